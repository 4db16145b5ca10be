//! What is printed about steps that were run.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use anyhow::Result;

/// How one step went.
#[derive(Debug)]
pub(super) struct StepResult {
    pub(super) name: &'static str,
    pub(super) time: Duration,
    pub(super) failure: Option<Failure>,
}

/// The part of a step that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) action: String,
    pub(super) reason: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n    {}", self.reason, self.action)
    }
}

/// Prints how all steps went, and how to run those again that failed.
pub(super) fn summarise(results: &[StepResult], selected: usize, output: &mut dyn Write) -> Result<()> {
    let width = results
        .iter()
        .map(|result| result.name.len())
        .max()
        .unwrap_or_default();
    writeln!(output, "\nci: summary")?;
    for result in results {
        let verdict = if result.failure.is_some() { "FAILED" } else { "ok" };
        writeln!(
            output,
            "  {:width$}  {:>8}  {verdict}",
            result.name,
            Seconds(result.time).to_string()
        )?;
    }
    for result in results {
        if let Some(failure) = &result.failure {
            writeln!(output, "\n{} failed: {failure}", result.name)?;
            writeln!(output, "again with: cargo xtask ci --only {}", result.name)?;
        }
    }
    let failed = results.iter().filter(|result| result.failure.is_some()).count();
    let passed = results.len() - failed;
    let total = results.iter().map(|result| result.time).sum();
    match (failed, selected - results.len()) {
        (0, 0) => writeln!(output, "ci: {passed} passed in {}", Seconds(total))?,
        (_, 0) => writeln!(
            output,
            "ci: {failed} failed, {passed} passed in {}",
            Seconds(total)
        )?,
        (_, skipped) => {
            writeln!(
                output,
                "ci: {failed} failed, {passed} passed, {skipped} not run, in {}",
                Seconds(total)
            )?;
        }
    }
    Ok(())
}

/// A time span as seconds with one decimal.
pub(super) struct Seconds(pub(super) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s", self.0.as_secs_f64())
    }
}
