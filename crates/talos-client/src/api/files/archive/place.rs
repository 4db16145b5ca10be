//! Where an entry may be put: below one folder, whatever the archive says.

use std::{
    ffi::OsString,
    fs, io,
    path::{Component, Path, PathBuf},
};

use super::report::SkipReason;

/// The names of a path, outermost first, if each of them is one and no more.
pub(super) fn names(path: &[u8]) -> Result<Vec<OsString>, SkipReason> {
    if path.starts_with(b"/") {
        return Err(SkipReason::UnsafePath);
    }
    let mut names = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return Err(SkipReason::UnsafePath),
            name => {
                let name = os_string(name)?;
                // What else this system takes for a path, such as `C:` and `a\b`.
                let mut components = Path::new(&name).components();
                match (components.next(), components.next()) {
                    (Some(Component::Normal(normal)), None) if normal == name => names.push(name),
                    _ => return Err(SkipReason::UnsafePath),
                }
            }
        }
    }
    Ok(names)
}

/// The target of a symbolic link, if it stays below the folder: relative, and with `..` at its beginning only,
/// no more of them than the link is deep.
///
/// After a name there must be no `..`: the name may be a link itself, and then that leads from elsewhere.
pub(super) fn link_target(target: &[u8], depth: usize) -> Result<PathBuf, SkipReason> {
    if target.is_empty() || target.starts_with(b"/") {
        return Err(SkipReason::LinkEscapes);
    }
    let mut path = PathBuf::new();
    let mut up = 0;
    let mut named = false;
    for name in target.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." if named || up == depth => return Err(SkipReason::LinkEscapes),
            b".." => {
                up += 1;
                path.push("..");
            }
            name => {
                named = true;
                let mut names = names(name).map_err(|_| SkipReason::LinkEscapes)?;
                path.extend(names.drain(..));
            }
        }
    }
    if path.as_os_str().is_empty() {
        path.push(".");
    }
    Ok(path)
}

#[cfg(unix)]
fn os_string(name: &[u8]) -> Result<OsString, SkipReason> {
    Ok(std::os::unix::ffi::OsStringExt::from_vec(name.to_vec()))
}

#[cfg(not(unix))]
fn os_string(name: &[u8]) -> Result<OsString, SkipReason> {
    std::str::from_utf8(name)
        .map(OsString::from)
        .map_err(|_| SkipReason::UnsafePath)
}

/// Sees to it that these folders are there, below the root, and that none of them is a link.
///
/// Nobody else must change them meanwhile; who can write to the destination can also replace what was
/// extracted.
pub(super) fn folders(root: &Path, names: &[OsString]) -> io::Result<Result<PathBuf, SkipReason>> {
    let mut path = root.to_owned();
    for name in names {
        path.push(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Ok(Err(SkipReason::NotAFolder)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(&path)?,
            Err(error) => return Err(error),
        }
    }
    Ok(Ok(path))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_stay_below_the_folder() {
        let read = |path: &str| names(path.as_bytes()).map(|names| names.join("/".as_ref()));
        for (path, expected) in [
            ("a", "a"),
            ("a/b", "a/b"),
            ("./a//b/", "a/b"),
            ("...", "..."),
            ("", ""),
        ] {
            assert_eq!(read(path), Ok(expected.into()), "{path:?}");
        }
        for path in ["/", "/a", "..", "../a", "a/..", "a/../b", "a/../../b"] {
            assert_eq!(read(path), Err(SkipReason::UnsafePath), "{path:?}");
        }
        #[cfg(windows)]
        for path in ["C:", "C:\\a", "a\\..\\b", "\\a"] {
            assert_eq!(read(path), Err(SkipReason::UnsafePath), "{path:?}");
        }
    }

    #[test]
    fn links_stay_below_the_folder() {
        let read = |target: &str, depth| link_target(target.as_bytes(), depth).map(|path| path.to_owned());
        for (target, depth) in [("a", 0), ("a/b", 0), ("../a", 1), ("../../a/b", 2), (".", 0)] {
            assert_eq!(read(target, depth), Ok(target.into()), "{target:?} at {depth}");
        }
        for (target, depth) in [
            ("", 3),
            ("/etc/passwd", 3),
            ("..", 0),
            ("../a", 0),
            ("../../a", 1),
            ("a/..", 3),
            ("a/../../b", 3),
            ("../a/..", 3),
        ] {
            assert_eq!(
                read(target, depth),
                Err(SkipReason::LinkEscapes),
                "{target:?} at {depth}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_path_leads_out(path in "[a-b./\\\\:]{0,20}") {
            if let Ok(names) = names(path.as_bytes()) {
                for name in names {
                    let mut components = Path::new(&name).components();
                    prop_assert!(matches!(components.next(), Some(Component::Normal(_))));
                    prop_assert!(components.next().is_none());
                }
            }
        }
    }
}
