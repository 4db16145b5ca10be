//! Gets a revision of upstream's sources into a folder, without touching the checkout it comes from.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

/// A folder with upstream's sources, deleted with this value if it is a copy.
#[derive(Debug)]
pub struct Source {
    folder: PathBuf,
    /// What the folder is a copy of.
    origin: Option<String>,
    _copy: Option<TempDir>,
}

impl Source {
    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the folder is a copy of, unless it is the one that was asked for.
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// Opens `from`: a folder as it is, a revision of a git checkout, or a clone of a git URL (without `rev`
    /// its default branch).
    pub fn open(from: &str, rev: Option<&str>) -> Result<Self> {
        if let Some(rev) = rev {
            ensure!(
                !rev.is_empty() && !rev.starts_with('-'),
                "`{rev}` is not a git revision"
            );
        }
        let path = Path::new(from);
        if path.is_dir() {
            match rev {
                None => Ok(Self {
                    folder: path.to_path_buf(),
                    origin: None,
                    _copy: None,
                }),
                Some(rev) => revision(path, rev),
            }
        } else if path.exists() {
            bail!("{from} is a file; give a folder or a git URL")
        } else if is_git_url(from) {
            clone(from, rev)
        } else {
            bail!("there is no folder {from}, and it is not a git URL")
        }
    }
}

/// URLs with a scheme, and git's short form `host:path`.
fn is_git_url(text: &str) -> bool {
    let short = text.split_once(':').is_some_and(|(host, path)| {
        host.len() > 1 && !host.contains(['/', '\\']) && !path.is_empty() && !host.starts_with('-')
    });
    text.contains("://") || short
}

fn clone(url: &str, rev: Option<&str>) -> Result<Source> {
    let copy = temporary()?;
    let folder = copy.path().join("clone");
    let mut git = git();
    git.args(["clone", "--quiet", "--depth", "1"]);
    if let Some(rev) = rev {
        git.args(["--branch", rev]);
    }
    git.arg("--").arg(url).arg(&folder);
    let origin = match rev {
        Some(rev) => format!("{} at branch or tag {rev}", without_login(url)),
        None => without_login(url),
    };
    run(git, &format!("cloning {origin}"), login(url))?;
    Ok(Source {
        folder,
        origin: Some(origin),
        _copy: Some(copy),
    })
}

/// Writes the `.proto` files of one revision out, through an index of its own.
fn revision(dir: &Path, rev: &str) -> Result<Source> {
    let ask = |arguments: &[&str], what: &str| -> Result<String> {
        let mut git = git();
        git.arg("-C").arg(dir).args(arguments);
        let output = run(git, what, None)?;
        let text =
            String::from_utf8(output.stdout).with_context(|| format!("{what}: git answered no UTF-8"))?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    };
    let no_checkout = format!("--rev needs a git checkout, and {} is none", dir.display());
    let git_dir = ask(&["rev-parse", "--absolute-git-dir"], &no_checkout)?;
    let prefix = ask(&["rev-parse", "--show-prefix"], &no_checkout)?;
    let commit = ask(
        &[
            "rev-parse",
            "--verify",
            "--end-of-options",
            &format!("{rev}^{{commit}}"),
        ],
        &format!("looking up revision {rev} in {}", dir.display()),
    )?;
    let tree = format!("{commit}:{}", prefix.trim_end_matches('/'));

    let copy = temporary()?;
    let folder = copy.path().join("tree");
    std::fs::create_dir(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let command = || {
        let mut git = git();
        git.current_dir(&folder)
            .arg("--git-dir")
            .arg(&git_dir)
            .arg("--work-tree")
            .arg(&folder)
            .env("GIT_INDEX_FILE", copy.path().join("index"));
        git
    };
    let origin = format!("revision {rev} of {}", dir.display());
    let what = format!("reading {origin}");
    let mut read = command();
    read.args(["read-tree", &tree]);
    run(read, &what, None)?;
    let mut list = command();
    list.args(["ls-files", "-z", "--", ":(glob)**/*.proto"]);
    let names = run(list, &what, None)?.stdout;
    let mut checkout = command();
    checkout.args(["-c", "core.autocrlf=false", "checkout-index", "-z", "--stdin"]);
    run_with_input(checkout, &names, &what)?;
    Ok(Source {
        folder,
        origin: Some(origin),
        _copy: Some(copy),
    })
}

fn temporary() -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix("protos-upstream-")
        .tempdir()
        .context("creating a temporary folder")
}

/// A git that never asks for a password, speaks English, and does not take a repository from a hook that may
/// have started this program.
fn git() -> Command {
    let mut git = Command::new("git");
    for inherited in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
        git.env_remove(inherited);
    }
    git.env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    git
}

fn run(mut git: Command, what: &str, secret: Option<&str>) -> Result<Output> {
    let output = git
        .output()
        .with_context(|| format!("{what}: running git (is it installed?)"))?;
    check(output, what, secret)
}

fn run_with_input(mut git: Command, input: &[u8], what: &str) -> Result<()> {
    let cannot = || format!("{what}: running git");
    git.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = git.spawn().with_context(cannot)?;
    // Nothing comes back before the input has ended, so writing it all first cannot block.
    let written = child
        .stdin
        .take()
        .map_or(Ok(()), |mut stdin| stdin.write_all(input));
    let output = child.wait_with_output().with_context(cannot)?;
    check(output, what, None)?;
    written.with_context(cannot)
}

fn check(output: Output, what: &str, secret: Option<&str>) -> Result<Output> {
    if output.status.success() {
        return Ok(output);
    }
    let mut said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if let Some(secret) = secret {
        said = said.replace(secret, "***");
    }
    bail!("{what}: git says: {said}")
}

/// User and password in a URL.
fn login(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split('/').next()?;
    authority.rsplit_once('@').map(|(login, _)| login)
}

fn without_login(url: &str) -> String {
    login(url).map_or_else(|| url.to_owned(), |login| url.replacen(login, "***", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_urls_are_told_from_paths() {
        for url in [
            "https://example.org/talos.git",
            "file:///tmp/talos",
            "git@example.org:talos.git",
            "host:talos",
        ] {
            assert!(is_git_url(url), "{url}");
        }
        for path in [
            "talos",
            "./talos",
            "../a:b",
            "/srv/talos",
            "C:\\talos",
            "-x:y",
            "host:",
        ] {
            assert!(!is_git_url(path), "{path}");
        }
    }

    #[test]
    fn a_login_in_a_url_is_not_shown() {
        let url = "https://user:hunter2@example.org/talos.git";
        assert_eq!(without_login(url), "https://***@example.org/talos.git");
        assert_eq!(login("https://example.org/a@b"), None);
    }

    #[test]
    fn a_revision_that_looks_like_an_option_is_refused() {
        let error = Source::open(".", Some("--upload-pack=x"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("not a git revision"), "{error}");
    }
}
