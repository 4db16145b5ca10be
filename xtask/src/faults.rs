//! Runs the fault tests of the transport and the client many times over: what is rare shows only then.
//!
//! The tests are those of the workspace; nothing here depends on them. They are built once, and each round runs all of them.
//! Most of them wait most of the time, so many run side by side, and several rounds as well. The log of a round that fails is
//! kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value;

/// What `cargo xtask faults` is told.
#[derive(Debug, Args)]
pub struct Faults {
    /// How many rounds to run
    #[arg(long, default_value_t = 1)]
    times: u32,
    /// How many rounds to run at the same time
    #[arg(long, default_value_t = 3)]
    jobs: u32,
    /// How many tests of a program to run at the same time
    #[arg(long, default_value_t = 16)]
    threads: u32,
    /// Run only tests whose names contain this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Begin no further round when one has failed
    #[arg(long)]
    fail_fast: bool,
}

/// A test program and the modules in it that are about faults.
struct Suite {
    package: &'static str,
    modules: &'static [&'static str],
}

const SUITES: [Suite; 2] = [
    Suite {
        package: "talos-transport",
        modules: &[
            "deadlines",
            "endpoints",
            "faults",
            "goaway",
            "memory",
            "pool",
            "pool_memory",
            "proxy",
            "reconnect",
            "replacement",
            "retry",
            "rotation",
            "silence",
            "strangers",
        ],
    },
    Suite {
        package: "talos-client",
        modules: &["failures", "faults", "resilience", "watch"],
    },
];

/// Counts of one run of a test program, or of all.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
}

/// What came of a round.
struct Round {
    number: u32,
    counts: Counts,
    /// The logs of programs that failed.
    logs: Vec<PathBuf>,
}

/// Runs all rounds. Returns whether every test passed in every round.
pub fn run(root: &Path, arguments: &Faults, print: &mut dyn std::io::Write) -> Result<bool> {
    let Faults {
        times, jobs, threads, ..
    } = *arguments;
    ensure!(
        times > 0 && jobs > 0 && threads > 0,
        "--times, --jobs and --threads must not be zero"
    );
    let programs = build(root)?;
    let logs = root.join("target/faults");
    let (begun, enough) = (AtomicU32::new(0), AtomicBool::new(false));
    let next = || {
        let number = begun.fetch_add(1, Ordering::Relaxed) + 1;
        (number <= times && !enough.load(Ordering::Relaxed)).then_some(number)
    };
    let (sender, rounds) = mpsc::channel();
    let (mut total, mut finished, mut failed_rounds) = (Counts::default(), 0, 0);
    thread::scope(|scope| {
        for _ in 0..jobs.min(times) {
            let (sender, programs, logs) = (sender.clone(), &programs, &logs);
            scope.spawn(move || {
                while let Some(number) = next() {
                    if sender.send(run_round(number, programs, logs, arguments)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut note = |round: Round| {
            total.add(round.counts);
            finished += 1;
            failed_rounds += u32::from(!round.logs.is_empty());
            if arguments.fail_fast && failed_rounds > 0 {
                enough.store(true, Ordering::Relaxed);
            }
            show(&round, times, print)
        };
        let result = rounds.iter().try_for_each(|round| note(round?));
        // Whoever waits for the others does not wait for all that they would do.
        enough.store(true, Ordering::Relaxed);
        result
    })?;
    let Counts { passed, failed } = total;
    writeln!(
        print,
        "{passed} passed, {failed} failed, {failed_rounds} of {finished} rounds with a failure"
    )?;
    Ok(failed_rounds == 0)
}

fn show(round: &Round, times: u32, print: &mut dyn std::io::Write) -> Result<()> {
    let Round { number, logs, .. } = round;
    let Counts { passed, failed } = round.counts;
    write!(
        print,
        "round {number} of {times}: {passed} passed, {failed} failed"
    )?;
    for log in logs {
        write!(print, ", see {}", log.display())?;
    }
    writeln!(print)?;
    Ok(print.flush()?)
}

fn run_round(number: u32, programs: &[PathBuf], logs: &Path, arguments: &Faults) -> Result<Round> {
    let mut round = Round {
        number,
        counts: Counts::default(),
        logs: Vec::new(),
    };
    for (suite, program) in SUITES.iter().zip(programs) {
        let output = run_suite(suite, program, arguments)?;
        let counts = count(&output)?;
        round.counts.add(counts);
        if counts.failed > 0 || !output.status.success() {
            fs::create_dir_all(logs).context("making the folder for logs")?;
            let log = logs.join(format!("{number:04}-{}.log", suite.package));
            fs::write(&log, [output.stdout, output.stderr].concat()).context("writing the log")?;
            round.logs.push(log);
        }
    }
    let Counts { passed, failed } = round.counts;
    ensure!(passed + failed > 0, "no test is called so");
    Ok(round)
}

/// Builds the test programs and says where they are, in the order of the suites.
fn build(root: &Path) -> Result<Vec<PathBuf>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(root)
        .args([
            "test",
            "--all-features",
            "--no-run",
            "--message-format",
            "json",
            "--test",
            "it",
        ])
        .stderr(Stdio::inherit());
    for suite in &SUITES {
        command.args(["--package", suite.package]);
    }
    let output = command.output().context("running cargo")?;
    ensure!(output.status.success(), "the tests do not build");
    let messages = String::from_utf8(output.stdout).context("cargo printed something that is not text")?;
    SUITES
        .iter()
        .map(|suite| {
            executable(&messages, suite.package).with_context(|| format!("no tests of {}", suite.package))
        })
        .collect()
}

/// The test program of a package, from the messages of cargo.
fn executable(messages: &str, package: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| {
            let manifest = Path::new(message.get("manifest_path")?.as_str()?);
            let of_package = manifest.parent()?.file_name()? == package;
            let executable = message.get("executable")?.as_str()?;
            of_package.then(|| PathBuf::from(executable))
        })
}

fn run_suite(suite: &Suite, program: &Path, arguments: &Faults) -> Result<Output> {
    let mut command = Command::new(program);
    match &arguments.only {
        Some(only) => command.arg(only),
        None => command.args(suite.modules.iter().map(|module| format!("{module}::"))),
    };
    command.arg("--test-threads").arg(arguments.threads.to_string());
    command
        .output()
        .with_context(|| format!("running {}", program.display()))
}

/// What libtest says at its end.
fn count(output: &Output) -> Result<Counts> {
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(line) = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("test result: "))
    else {
        // A program that was killed has not got that far.
        if output.status.success() {
            bail!("the test program says nothing about its result");
        }
        return Ok(Counts { passed: 0, failed: 1 });
    };
    let number = |word: &str| {
        let before = line
            .split([';', '.'])
            .find_map(|part| part.trim().strip_suffix(word));
        before.and_then(|number| number.trim().parse().ok())
    };
    Ok(Counts {
        passed: number("passed").context("no number of tests that passed")?,
        failed: number("failed").context("no number of tests that failed")?,
    })
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn output(text: &str, success: bool) -> Output {
        use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

        Output {
            status: ExitStatus::from_raw(if success { 0 } else { 1 << 8 }),
            stdout: text.as_bytes().to_vec(),
            stderr: Vec::new(),
        }
    }

    #[test]
    fn the_result_of_a_test_program_is_read_from_its_last_lines() {
        let line = |verdict: &str| {
            format!(
                "running 3 tests\n\ntest result: {verdict}. 2 passed; 1 failed; 4 ignored; 0 measured; 9 filtered out; finished in 0.52s\n\n"
            )
        };
        for verdict in ["ok", "FAILED"] {
            let counts = count(&output(&line(verdict), true)).unwrap();
            assert_eq!(counts, Counts { passed: 2, failed: 1 });
        }
        assert_eq!(count(&output("killed", false)).unwrap().failed, 1);
        assert!(count(&output("", true)).is_err());
    }

    #[test]
    fn test_programs_are_found_in_the_messages_of_cargo() {
        let messages = r#"
{"reason":"compiler-artifact","manifest_path":"/w/crates/talos-proto/Cargo.toml","executable":null}
{"reason":"compiler-artifact","manifest_path":"/w/crates/talos-transport/Cargo.toml","executable":null}
{"reason":"compiler-artifact","manifest_path":"/w/crates/talos-transport/Cargo.toml","executable":"/w/target/it-1"}
not json
{"reason":"build-finished","success":true}
"#;
        assert_eq!(
            executable(messages, "talos-transport").unwrap(),
            Path::new("/w/target/it-1")
        );
        assert!(executable(messages, "talos-client").is_none());
    }
}
