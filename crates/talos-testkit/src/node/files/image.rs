//! The part of the file tree that comes with Talos and the kernel, the same on every node.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;

use super::entry::{Contents, Entry, Kind};

/// One entry a line: mode in octal, kind, path, and the target, device number or text.
const TABLE: &str = include_str!("image.tsv");

/// SELinux label of everything in the image.
const LABEL: &[u8] = b"system_u:object_r:rootfs_t:s0\0";

static IMAGE: LazyLock<BTreeMap<String, Entry>> = LazyLock::new(|| TABLE.lines().filter_map(row).collect());

pub(super) fn image() -> &'static BTreeMap<String, Entry> {
    &IMAGE
}

fn row(line: &str) -> Option<(String, Entry)> {
    let mut columns = line.split('\t');
    let mode = u32::from_str_radix(columns.next()?, 8).ok()?;
    let kind = columns.next()?;
    let path = columns.next()?;
    let rest = columns.next().unwrap_or_default();
    let mut entry = match kind {
        "dir" => Entry::directory(),
        "link" => Entry::symlink(rest),
        "char" => {
            let (major, minor) = device(rest)?;
            Entry::device(Kind::CharDevice { major, minor })
        }
        "block" => {
            let (major, minor) = device(rest)?;
            Entry::device(Kind::BlockDevice { major, minor })
        }
        "pipe" => Entry::device(Kind::Pipe),
        "socket" => Entry::device(Kind::Socket),
        "text" => Entry::regular(Contents::Fixed(Bytes::from(format!(
            "{}\n",
            rest.replace("\\n", "\n")
        )))),
        // An attribute of sysfs says that it has a page, whatever is in it.
        "attr" => {
            let text = format!("{}\n", rest.replace("\\n", "\n"));
            let mut entry = Entry::regular(Contents::Fixed(text.into()));
            entry.claimed_size = Some(4096);
            entry
        }
        "binary" => Entry::regular(Contents::Seeded {
            seed: path.len() as u64,
            size: rest.parse().ok()?,
        }),
        _ => return None,
    };
    entry.mode = mode;
    if ["/usr", "/etc", "/opt"].iter().any(|root| path.starts_with(root)) {
        entry.xattrs = vec![("security.selinux".to_owned(), Bytes::from_static(LABEL))];
    }
    Some((path.to_owned(), entry))
}

fn device(numbers: &str) -> Option<(u32, u32)> {
    let (major, minor) = numbers.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_an_entry_below_a_directory() {
        assert_eq!(IMAGE.len(), TABLE.lines().count());
        for path in IMAGE.keys().filter(|path| *path != "/") {
            let above = super::super::parent(path).unwrap();
            assert!(IMAGE[above].is_dir(), "{path}");
        }
    }
}
