//! Programs that run to their end, and programs that run until we are done with them.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// How long a program may take until it is ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// Runs a program that shares our output, and must succeed.
pub(super) fn visible(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("starting {}", name(command)))?;
    ensure!(status.success(), "{} failed: {status}", name(command));
    Ok(())
}

/// Runs a program and gives its standard output; the other one is ours.
pub(super) fn capture(command: &mut Command) -> Result<(ExitStatus, String)> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting {}", name(command)))?;
    let text = String::from_utf8(output.stdout)
        .with_context(|| format!("the output of {} is not UTF-8", name(command)))?;
    Ok((output.status, text))
}

/// [`capture`] for a program that must succeed.
pub(super) fn quiet(command: &mut Command) -> Result<String> {
    let (status, text) = capture(command)?;
    ensure!(status.success(), "{} failed: {status}", name(command));
    Ok(text)
}

fn name(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// A program in the background, which ends with this value.
#[derive(Debug)]
pub(super) struct Background {
    child: Child,
    name: String,
    /// What it printed.
    lines: Receiver<String>,
}

impl Background {
    /// Starts a program whose standard input stays open until it is no longer needed.
    pub(super) fn start(mut command: Command) -> Result<Self> {
        let name = name(&command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let (sender, lines) = channel();
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|output| Box::new(output) as _),
            child.stderr.take().map(|output| Box::new(output) as _),
        ];
        for output in outputs.into_iter().flatten() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                // Read on when nobody wants the lines any more, so that the program does not block.
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        Ok(Self { child, name, lines })
    }

    /// Waits until `ready`.
    pub(super) fn wait_for(&mut self, ready: impl Fn() -> bool) -> Result<()> {
        let started = Instant::now();
        let mut printed = Vec::new();
        while !ready() {
            match self.lines.recv_timeout(INTERVAL) {
                Ok(line) => printed.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            if let Some(status) = self.child.try_wait()? {
                printed.extend(self.lines.iter());
                bail!("{} ended ({status}):\n{}", self.name, printed.join("\n"));
            }
            ensure!(
                started.elapsed() < PATIENCE,
                "{} is not ready after {PATIENCE:?}:\n{}",
                self.name,
                printed.join("\n")
            );
        }
        Ok(())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Both fail only for a program that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
