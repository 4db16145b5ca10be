//! A copy of the published crates as a workspace of their own, where they can have another lock file.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use toml::{Table, Value};

/// The members of the copy, as a line of its manifest.
const MEMBERS: &str = "members = [\"crates/*\"]";

/// Copies `crates/` and the workspace manifest from `root` to `to`, replacing what is there.
///
/// The other members stay behind: they are never published, so that the oldest versions they build with are
/// nobody's concern.
pub(super) fn copy_crates(root: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to).with_context(|| format!("removing {}", to.display()))?;
    }
    copy_folder(&root.join("crates"), &to.join("crates"))?;

    let manifest = root.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).with_context(|| format!("reading {}", manifest.display()))?;
    let manifest = with_crates_only(&text).with_context(|| format!("in {}", manifest.display()))?;
    fs::write(to.join("Cargo.toml"), manifest).with_context(|| format!("writing into {}", to.display()))
}

/// The workspace manifest with the folders in `crates/` as the only members.
fn with_crates_only(manifest: &str) -> Result<String> {
    let mut changed = Vec::new();
    let mut among_members = false;
    for line in manifest.lines() {
        if line.starts_with("members") {
            changed.push(MEMBERS);
            among_members = true;
        }
        // All members of the copy are default ones.
        if line.starts_with("default-members") {
            among_members = true;
        }
        if !among_members {
            changed.push(line);
        }
        if line.contains(']') {
            among_members = false;
        }
    }
    let changed = changed.join("\n");
    let parsed: Table = toml::from_str(&changed)?;
    let members = parsed
        .get("workspace")
        .and_then(|workspace| workspace.get("members"));
    let wanted = Value::Array(vec!["crates/*".into()]);
    ensure!(
        members == Some(&wanted),
        "the members of the workspace do not stand in a list of their own"
    );
    Ok(changed)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("creating {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry.with_context(|| format!("reading {}", from.display()))?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        // Follows symbolic links, as `cargo package` does.
        if path.is_dir() {
            copy_folder(&path, &copy)?;
        } else {
            fs::copy(&path, &copy).with_context(|| format!("copying {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_the_crates_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (root, to) = (folder.path().join("root"), folder.path().join("copy"));
        for (path, contents) in [
            (
                "Cargo.toml",
                "[workspace]\nresolver = \"3\"\nmembers = [\n  \"crates/*\",\n  \"xtask\",\n]\n\
                 default-members = [\n  \"xtask\",\n]\n[profile.dev]\ndebug = false\n",
            ),
            ("crates/a/Cargo.toml", "[package]\nname = \"a\"\n"),
            ("crates/a/src/lib.rs", "//! A.\n"),
            ("xtask/Cargo.toml", "[package]\nname = \"xtask\"\n"),
        ] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }
        fs::create_dir_all(to.join("crates/gone")).unwrap();

        copy_crates(&root, &to).unwrap();

        assert_eq!(
            fs::read_to_string(to.join("crates/a/src/lib.rs")).unwrap(),
            "//! A.\n"
        );
        assert!(!to.join("xtask").exists() && !to.join("crates/gone").exists());
        let manifest: Table = toml::from_str(&fs::read_to_string(to.join("Cargo.toml")).unwrap()).unwrap();
        assert_eq!(
            manifest["workspace"]["members"],
            Value::Array(vec!["crates/*".into()])
        );
        assert_eq!(manifest["workspace"].get("default-members"), None);
        assert_eq!(manifest["workspace"]["resolver"].as_str(), Some("3"));
        assert_eq!(manifest["profile"]["dev"]["debug"].as_bool(), Some(false));
    }

    #[test]
    fn refuses_a_manifest_whose_members_it_cannot_replace() {
        for manifest in [
            "[package]\nname = \"a\"\n",
            "[workspace]\n  members = [\"xtask\"]\n",
        ] {
            let error = with_crates_only(manifest).unwrap_err().to_string();
            assert_eq!(
                error,
                "the members of the workspace do not stand in a list of their own"
            );
        }
    }
}
