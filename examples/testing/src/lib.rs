//! What the tests of the examples share: running a program as a user would, and comparing what it prints with the
//! recording in `examples/README.md`.

mod mask;
mod recording;

use std::{
    env,
    ffi::OsString,
    fmt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::{runtime::Builder, time::timeout};

pub use recording::{Lines, assert_recorded, assert_recorded_file};

/// Programs end in seconds. One that does not by then fails its test, rather than keeping it waiting for ever.
const LIMIT: Duration = Duration::from_secs(180);

/// Variables that change what programs do, and that tests set themselves if at all.
const FORGOTTEN: [&str; 10] = [
    "KUBECONFIG",
    "KUBERNETES_SERVICE_HOST",
    "NO_COLOR",
    "OMNI_ENDPOINT",
    "OMNI_SERVICE_ACCOUNT_KEY",
    "RUST_LOG",
    "SIDERO_SERVICE_ACCOUNT_KEY",
    "SSL_CERT_FILE",
    "TALOSCONFIG",
    "TALOS_HOME",
];

/// A program to run.
#[derive(Debug, Clone)]
#[must_use]
pub struct Program {
    path: PathBuf,
    variables: Vec<(&'static str, OsString)>,
}

/// What became of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Its output.
    pub stdout: String,
    /// What it said beside.
    pub stderr: String,
}

impl Program {
    /// The program with this path, which tests of a package know as `CARGO_BIN_EXE_…`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            variables: Vec::new(),
        }
    }

    /// The example called `name` of the package whose tests ask. Cargo builds the one together with the others.
    ///
    /// # Panics
    ///
    /// If the system does not tell where the running test is.
    pub fn example(name: &str) -> Self {
        let mut path = env::current_exe().expect("the path of the test");
        path.pop();
        path.pop();
        path.push("examples");
        path.push(format!("{name}{}", env::consts::EXE_SUFFIX));
        Self::at(path)
    }

    /// Sets a variable of its environment.
    pub fn variable(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Runs it to its end, in this thread.
    ///
    /// # Panics
    ///
    /// If it is not there, prints what is not text, or does not end.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(self.run_beside(arguments))
    }

    /// Runs it to its end, beside what else the test does, such as simulating a cluster.
    ///
    /// # Panics
    ///
    /// As [`Self::run`].
    pub async fn run_beside(&self, arguments: &[&str]) -> Outcome {
        let mut command = tokio::process::Command::from(self.command(arguments));
        let output = timeout(LIMIT, command.kill_on_drop(true).output()).await;
        let output =
            output.unwrap_or_else(|_| panic!("{} {arguments:?} runs on for {LIMIT:?}", self.path.display()));
        let output = output.unwrap_or_else(|error| self.is_missing(&error));
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Outcome {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Starts it, for tests that end it before its end. What it prints is lost.
    ///
    /// # Panics
    ///
    /// If it is not there.
    #[must_use]
    pub fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        let started = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        started.unwrap_or_else(|error| self.is_missing(&error))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(arguments).stdin(Stdio::null());
        for name in FORGOTTEN {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn is_missing(&self, error: &std::io::Error) -> ! {
        panic!(
            "{}: {error}; was it built? `cargo build --all-targets` does",
            self.path.display()
        )
    }
}

impl Outcome {
    /// The output of a program that did what it should.
    ///
    /// # Panics
    ///
    /// If it failed.
    #[must_use]
    #[track_caller]
    pub fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{self}");
        self.stdout
    }

    /// How many lines of its output contain `wanted`.
    #[must_use]
    pub fn count(&self, wanted: &str) -> usize {
        count(&self.stdout, wanted)
    }
}

/// For messages of assertions.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {:?}\n{}{}", self.code, self.stdout, self.stderr)
    }
}

/// How many lines of `text` contain `wanted`.
#[must_use]
pub fn count(text: &str, wanted: &str) -> usize {
    text.lines().filter(|line| line.contains(wanted)).count()
}
