//! Programs that steps start.

use std::fmt;

/// A program that a step needs and that does not come with Rust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tool {
    /// Name of its crate, which is the name of the program.
    pub(super) name: &'static str,
    /// The version that the hosted workflow installs; others are likely to do as well.
    pub(super) version: &'static str,
}

impl Tool {
    /// What to write after `cargo` to start it; `None` if it is a program of its own.
    pub(super) fn subcommand(&self) -> Option<&'static str> {
        self.name.strip_prefix("cargo-")
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// Which program a command starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    /// The cargo that started us.
    Cargo,
    /// This program.
    Xtask,
}

/// A command line.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) program: Program,
    line: String,
    /// Variables to set beside those of every command.
    pub(super) environment: Vec<(&'static str, &'static str)>,
    /// Folder to run in, below the target folder. The root of the workspace if there is none.
    pub(super) folder: Option<&'static str>,
    /// Folder for its builds inside the target folder, where they cannot replace those of other steps.
    pub(super) own_target: Option<String>,
}

impl Command {
    /// `cargo` with the arguments in `line`, split at spaces.
    pub(super) fn cargo(line: impl Into<String>) -> Self {
        let line = line.into();
        Self {
            program: Program::Cargo,
            line,
            environment: Vec::new(),
            folder: None,
            own_target: None,
        }
    }

    pub(super) fn xtask(line: impl Into<String>) -> Self {
        Self {
            program: Program::Xtask,
            ..Self::cargo(line)
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    pub(super) fn inside(mut self, folder: &'static str) -> Self {
        self.folder = Some(folder);
        self
    }

    pub(super) fn own_target(mut self, folder: impl Into<String>) -> Self {
        self.own_target = Some(folder.into());
        self
    }

    pub(super) fn arguments(&self) -> impl Iterator<Item = &str> {
        self.line.split_whitespace()
    }
}

/// As one would type it in a shell.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(folder) = self.folder {
            write!(f, "cd target/{folder} && ")?;
        }
        if let Some(folder) = &self.own_target {
            write!(f, "CARGO_TARGET_DIR=target/{folder} ")?;
        }
        for (name, value) in &self.environment {
            if value.contains(' ') {
                write!(f, "{name}='{value}' ")?
            } else {
                write!(f, "{name}={value} ")?
            }
        }
        let program = match self.program {
            Program::Cargo => "cargo",
            Program::Xtask => "cargo xtask",
        };
        write!(f, "{program} {}", self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_read_as_typed_in_a_shell() {
        let command = Command::cargo("doc  --no-deps")
            .with("FLAGS", "-D warnings")
            .with("ONE", "1")
            .inside("there");
        assert_eq!(
            command.to_string(),
            "cd target/there && FLAGS='-D warnings' ONE=1 cargo doc  --no-deps"
        );
        assert_eq!(command.arguments().collect::<Vec<_>>(), ["doc", "--no-deps"]);
    }
}
