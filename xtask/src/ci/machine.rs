//! Runs the programs that steps are made of.

use std::path::{Path, PathBuf};
use std::process::{self, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::command::{Command, Program, Tool};
use super::oldest;

/// What steps need of the machine they run on.
pub(super) trait Machine {
    /// Whether the tool is installed, in whichever version.
    fn has(&mut self, tool: &Tool) -> bool;

    /// Runs a command to its end, with its output going where ours goes.
    fn run(&mut self, command: &Command) -> Result<()>;

    /// Copies the published crates into the folder `to`, below the target folder, as a workspace of their own.
    fn copy_crates(&mut self, to: &str) -> Result<()>;

    /// Removes a folder below the target folder.
    fn remove(&mut self, folder: &str) -> Result<()>;

    /// Time since some fixed moment.
    fn now(&self) -> Duration;
}

/// This machine.
pub(super) struct Local {
    root: PathBuf,
    /// Our own program. Found out before any step runs: steps build it anew, and the system would answer
    /// with the file that was replaced.
    xtask: Result<PathBuf, std::io::Error>,
    started: Instant,
}

impl Local {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            xtask: std::env::current_exe(),
            started: Instant::now(),
        }
    }

    /// Where builds go, also those of a copy of the workspace.
    fn target(&self) -> PathBuf {
        match std::env::var_os("CARGO_TARGET_DIR") {
            Some(folder) => self.root.join(folder),
            None => self.root.join("target"),
        }
    }

    fn process(&self, program: Program) -> Result<process::Command> {
        let mut process = match program {
            Program::Cargo => cargo(),
            Program::Xtask => match &self.xtask {
                Ok(program) => process::Command::new(program),
                Err(error) => bail!("cannot find the xtask program: {error}"),
            },
        };
        forget_our_package(&mut process);
        process.current_dir(&self.root).stdin(Stdio::null());
        Ok(process)
    }
}

impl Machine for Local {
    fn has(&mut self, tool: &Tool) -> bool {
        let mut process = match tool.subcommand() {
            Some(subcommand) => {
                let Ok(mut process) = self.process(Program::Cargo) else {
                    return false;
                };
                process.arg(subcommand);
                process
            }
            None => process::Command::new(tool.name),
        };
        process.arg("--version");
        process
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        process.status().is_ok_and(|status| status.success())
    }

    fn run(&mut self, command: &Command) -> Result<()> {
        let mut process = self.process(command.program)?;
        process.args(command.arguments()).env("CARGO_INCREMENTAL", "0");
        for (name, value) in &command.environment {
            process.env(name, value);
        }
        if let Some(folder) = command.folder {
            process.current_dir(self.target().join(folder));
        }
        if command.own_target.is_some() || command.folder.is_some() {
            process.env(
                "CARGO_TARGET_DIR",
                self.target()
                    .join(command.own_target.as_deref().unwrap_or_default()),
            );
        }
        let status = process
            .status()
            .with_context(|| format!("starting {:?}", process.get_program()))?;
        if !status.success() {
            bail!("{status}");
        }
        Ok(())
    }

    fn copy_crates(&mut self, to: &str) -> Result<()> {
        oldest::copy_crates(&self.root, &self.target().join(to))
    }

    fn remove(&mut self, folder: &str) -> Result<()> {
        let folder = self.target().join(folder);
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", folder.display()))
            }
            _ => Ok(()),
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

fn cargo() -> process::Command {
    process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Takes back what `cargo run` set for xtask: build scripts that watch these variables would run again for
/// every change between `cargo xtask ci` and a plain `cargo test`.
fn forget_our_package(process: &mut process::Command) {
    for (name, _) in std::env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            process.env_remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Local {
        Local::new(&crate::workspace::root())
    }

    #[test]
    fn runs_a_command_and_reports_that_it_failed() {
        machine().run(&Command::cargo("--version --quiet")).unwrap();
        let error = machine()
            .run(&Command::cargo("--quiet no-such-subcommand"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("101"), "{error}");
    }

    #[test]
    fn removes_folders_below_the_target_folder_whether_they_are_there_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut machine = Local::new(folder.path());
        let removed = machine.target().join("ci/test-of-remove");
        std::fs::create_dir_all(removed.join("inside")).unwrap();
        machine.remove("ci/test-of-remove").unwrap();
        assert!(!removed.exists());
        machine.remove("ci/test-of-remove").unwrap();
    }

    #[test]
    fn finds_out_what_is_installed() {
        assert!(!machine().has(&Tool {
            name: "cargo-no-such-subcommand",
            version: "1.0.0"
        }));
        assert!(machine().has(&Tool {
            name: "cargo-fmt",
            version: "1.0.0"
        }));
        assert!(!machine().has(&Tool {
            name: "no-such-program",
            version: "1.0.0"
        }));
        assert!(machine().has(&Tool {
            name: "rustc",
            version: "1.0.0"
        }));
    }

    #[test]
    fn commands_do_not_see_the_package_variables_of_xtask() {
        let process = machine().process(Program::Cargo).unwrap();
        let removed: Vec<_> = process
            .get_envs()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| name)
            .collect();
        assert!(
            removed.iter().any(|name| *name == "CARGO_MANIFEST_DIR"),
            "{removed:?}"
        );
        assert!(
            removed.iter().any(|name| *name == "CARGO_PKG_NAME"),
            "{removed:?}"
        );
    }
}
