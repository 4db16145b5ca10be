//! A workspace and an upstream in a temporary folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Folder of the fixtures.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/protos")
}

/// Root of this repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What a run of the program said.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Checks that the program failed and said each of `texts` on stderr.
    pub(crate) fn failed_with(self, texts: &[&str]) -> Self {
        assert_eq!(self.code, Some(1), "{self:?}");
        for text in texts {
            assert!(self.stderr.contains(text), "no {text:?} in: {}", self.stderr);
        }
        self
    }
}

/// Runs `cargo xtask` with the given arguments.
pub(crate) fn xtask(arguments: &[&str]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(arguments)
        .output()
        .unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Copies of `ours/` as a workspace and of one of the upstream fixtures.
#[derive(Debug)]
pub(crate) struct Fixture {
    folder: TempDir,
}

impl Fixture {
    /// A workspace that is up to date with its upstream.
    pub(crate) fn new() -> Self {
        Self::with_upstream(&fixtures().join("upstream"))
    }

    pub(crate) fn with_upstream(upstream: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&fixtures().join("ours"), &folder.path().join("ours"));
        copy(upstream, &folder.path().join("upstream"));
        Self { folder }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub(crate) fn read(&self, below: &str) -> String {
        std::fs::read_to_string(self.path(below)).unwrap()
    }

    pub(crate) fn write(&self, below: &str, text: &str) {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Replaces the only occurrence of `old` in a file.
    pub(crate) fn edit(&self, below: &str, old: &str, new: &str) -> &Self {
        let text = self.read(below);
        assert_eq!(text.matches(old).count(), 1, "{old:?} in {below}");
        self.write(below, &text.replace(old, new));
        self
    }

    /// Edits upstream's main file.
    pub(crate) fn upstream(&self, old: &str, new: &str) -> &Self {
        self.edit("upstream/api/lamp/lamp.proto", old, new)
    }

    pub(crate) fn ours(&self) -> BTreeMap<String, String> {
        contents(&self.path("ours"))
    }

    /// Runs `protos refresh` on the workspace without generating code.
    pub(crate) fn refresh(&self, arguments: &[&str]) -> Run {
        self.run("refresh", &[&["--no-codegen"], arguments].concat())
    }

    /// Runs `protos diff` on the workspace.
    pub(crate) fn diff(&self, arguments: &[&str]) -> Run {
        self.run("diff", arguments)
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Run {
        let (root, from) = (self.path("ours"), self.path("upstream"));
        let mut all = vec!["protos", command, "--root", root.to_str().unwrap()];
        if !arguments.contains(&"--from") {
            all.extend(["--from", from.to_str().unwrap()]);
        }
        all.extend(arguments);
        xtask(&all)
    }
}

/// Runs git without the user's configuration.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let identity = [
        "-c",
        "user.name=Test",
        "-c",
        "user.email=test@example.org",
        "-c",
        "init.defaultBranch=main",
    ];
    let output = Command::new("git")
        .current_dir(folder)
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .args(identity)
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// All files below a folder with their contents.
pub(crate) fn contents(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut pending = vec![folder.to_path_buf()];
    while let Some(path) = pending.pop() {
        for entry in std::fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                let name = path
                    .strip_prefix(folder)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .replace('\\', "/");
                found.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

pub(crate) fn copy(from: &Path, to: &Path) {
    for (name, text) in contents(from) {
        let path = to.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}
