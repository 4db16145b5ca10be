//! `cargo xtask ci`: the checks that a change has to pass, the same list on a desk and in the hosted workflow.
//!
//! [`steps`] is the list, [`machine`] runs programs, [`oldest`] prepares the copy with the oldest
//! dependencies, [`report`] says what failed. This file selects steps and runs them one after the other.

mod command;
mod machine;
mod oldest;
mod report;
mod steps;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use self::command::Tool;
use self::machine::{Local, Machine};
use self::report::{Failure, Seconds, StepResult, summarise};
use self::steps::{Action, Step};
use crate::workspace;

/// Arguments of `cargo xtask ci`.
#[derive(Debug, Args)]
pub struct Ci {
    /// Run this step only; may be given more than once
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Go on after a failed step, and report all of them at the end
    #[arg(long)]
    keep_going: bool,
    /// Print the steps and their commands, and run nothing
    #[arg(long, conflicts_with_all = ["keep_going", "missing_tools"])]
    list: bool,
    /// Print the tools that are not installed, in the form that `cargo install --locked` takes
    #[arg(long, conflicts_with = "keep_going")]
    missing_tools: bool,
}

/// Runs `cargo xtask ci`, reporting to `output`.
pub fn run(arguments: &Ci, output: &mut dyn Write) -> Result<ExitCode> {
    let root = workspace::root();
    let mut machine = Local::new(&root);
    let steps = select(steps::all(&root, machine.has(&steps::NEXTEST))?, &arguments.only)?;
    if arguments.list {
        list(&steps, output)?;
    } else if arguments.missing_tools {
        for tool in missing(&steps, &mut machine) {
            writeln!(output, "{tool}")?;
        }
    } else {
        require(&missing(&steps, &mut machine))?;
        let results = execute(&steps, arguments.keep_going, &mut machine, output)?;
        summarise(&results, steps.len(), output)?;
        if results.iter().any(|result| result.failure.is_some()) {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The steps named, in the order of the list, or all if none is named.
fn select(steps: Vec<Step>, only: &[String]) -> Result<Vec<Step>> {
    let known: Vec<_> = steps.iter().map(|step| step.name).collect();
    if let Some(unknown) = only.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("there is no step `{unknown}`; the steps are {}", known.join(", "));
    }
    Ok(steps
        .into_iter()
        .filter(|step| only.is_empty() || only.iter().any(|name| name == step.name))
        .collect())
}

fn list(steps: &[Step], output: &mut dyn Write) -> Result<()> {
    for step in steps {
        writeln!(output, "{}: {}", step.name, step.about)?;
        for action in &step.actions {
            writeln!(output, "    {action}")?;
        }
    }
    Ok(())
}

/// The tools that the steps need and that are not installed.
fn missing(steps: &[Step], machine: &mut dyn Machine) -> BTreeSet<Tool> {
    let needed: BTreeSet<_> = steps.iter().flat_map(|step| step.tools).copied().collect();
    needed.into_iter().filter(|tool| !machine.has(tool)).collect()
}

fn require(missing: &BTreeSet<Tool>) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let tools: Vec<_> = missing.iter().map(Tool::to_string).collect();
    bail!(
        "not installed: {0}; install with `cargo install --locked {0}`",
        tools.join(" ")
    );
}

/// Runs the steps in order, up to the first that fails unless told to keep going.
fn execute(
    steps: &[Step],
    keep_going: bool,
    machine: &mut dyn Machine,
    output: &mut dyn Write,
) -> Result<Vec<StepResult>> {
    let mut results = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        writeln!(
            output,
            "==> {} ({} of {}): {}",
            step.name,
            index + 1,
            steps.len(),
            step.about
        )?;
        let started = machine.now();
        let failure = run_step(step, machine, output)?;
        let time = machine.now().saturating_sub(started);
        let verdict = if failure.is_some() { "FAILED" } else { "ok" };
        writeln!(output, "==> {}: {verdict} in {}", step.name, Seconds(time))?;
        let failed = failure.is_some();
        results.push(StepResult {
            name: step.name,
            time,
            failure,
        });
        if failed && !keep_going {
            break;
        }
    }
    Ok(results)
}

fn run_step(step: &Step, machine: &mut dyn Machine, output: &mut dyn Write) -> Result<Option<Failure>> {
    for action in &step.actions {
        writeln!(output, "$ {action}")?;
        // What the command prints goes past this writer: it has to come after what is written here.
        output.flush()?;
        let outcome = match action {
            Action::Run(command) => machine.run(command),
            Action::CopyCrates { to } => machine.copy_crates(to),
            Action::Remove { folder } => machine.remove(folder),
        };
        if let Err(error) = outcome {
            return Ok(Some(Failure {
                action: action.to_string(),
                reason: format!("{error:#}"),
            }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::command::Command;
    use super::*;

    /// A machine where each command takes a second and those that contain `fails` fail.
    #[derive(Default)]
    struct Fake {
        fails: Option<&'static str>,
        installed: Vec<Tool>,
        ran: Vec<String>,
    }

    impl Fake {
        fn record(&mut self, action: String) -> Result<()> {
            let fails = self.fails.is_some_and(|part| action.contains(part));
            self.ran.push(action);
            if fails {
                bail!("exit status: 101");
            }
            Ok(())
        }
    }

    impl Machine for Fake {
        fn has(&mut self, tool: &Tool) -> bool {
            self.installed.contains(tool)
        }

        fn run(&mut self, command: &Command) -> Result<()> {
            self.record(command.to_string())
        }

        fn copy_crates(&mut self, to: &str) -> Result<()> {
            self.record(format!("copy to {to}"))
        }

        fn remove(&mut self, folder: &str) -> Result<()> {
            self.record(format!("remove {folder}"))
        }

        fn now(&self) -> Duration {
            Duration::from_secs(self.ran.len() as u64)
        }
    }

    fn step(name: &'static str, commands: &[&'static str]) -> Step {
        let actions = commands
            .iter()
            .map(|command| Action::Run(Command::cargo(*command)))
            .collect();
        Step {
            name,
            about: "a step",
            tools: &[],
            actions,
        }
    }

    fn three() -> Vec<Step> {
        vec![
            step("one", &["a", "b"]),
            step("two", &["c", "d"]),
            step("three", &["e"]),
        ]
    }

    fn run_all(steps: &[Step], keep_going: bool, machine: &mut Fake) -> (Vec<StepResult>, String) {
        let mut output = Vec::new();
        let results = execute(steps, keep_going, machine, &mut output).unwrap();
        summarise(&results, steps.len(), &mut output).unwrap();
        (results, String::from_utf8(output).unwrap())
    }

    #[test]
    fn selects_all_steps_unless_told_otherwise() {
        let names: Vec<_> = select(three(), &[])
            .unwrap()
            .iter()
            .map(|step| step.name)
            .collect();
        assert_eq!(names, ["one", "two", "three"]);
    }

    #[test]
    fn selects_steps_in_the_order_of_the_list_and_each_once() {
        let only = ["three", "one", "three"].map(String::from);
        let names: Vec<_> = select(three(), &only)
            .unwrap()
            .iter()
            .map(|step| step.name)
            .collect();
        assert_eq!(names, ["one", "three"]);
    }

    #[test]
    fn refuses_a_step_that_does_not_exist() {
        let error = select(three(), &["four".to_owned()]).unwrap_err().to_string();
        assert_eq!(error, "there is no step `four`; the steps are one, two, three");
    }

    #[test]
    fn runs_every_command_of_every_step_in_order() {
        let mut machine = Fake::default();
        let (results, text) = run_all(&three(), false, &mut machine);
        assert_eq!(
            machine.ran,
            ["cargo a", "cargo b", "cargo c", "cargo d", "cargo e"]
        );
        assert!(results.iter().all(|result| result.failure.is_none()));
        assert!(text.ends_with("ci: 3 passed in 5.0 s\n"), "{text}");
    }

    #[test]
    fn stops_at_the_first_failed_command_and_counts_what_did_not_run() {
        let mut machine = Fake {
            fails: Some("cargo c"),
            ..Fake::default()
        };
        let (results, text) = run_all(&three(), false, &mut machine);
        assert_eq!(machine.ran, ["cargo a", "cargo b", "cargo c"]);
        assert_eq!(results.len(), 2);
        assert!(
            text.contains("two failed: exit status: 101\n    cargo c\nagain with: cargo xtask ci --only two"),
            "{text}"
        );
        assert!(
            text.ends_with("ci: 1 failed, 1 passed, 1 not run, in 3.0 s\n"),
            "{text}"
        );
    }

    #[test]
    fn keeps_going_with_the_next_step_if_asked_to() {
        let mut machine = Fake {
            fails: Some("cargo c"),
            ..Fake::default()
        };
        let (results, text) = run_all(&three(), true, &mut machine);
        assert_eq!(
            machine.ran,
            ["cargo a", "cargo b", "cargo c", "cargo e"],
            "the rest of the step is skipped"
        );
        let failed: Vec<_> = results
            .iter()
            .filter(|result| result.failure.is_some())
            .map(|result| result.name)
            .collect();
        assert_eq!(failed, ["two"]);
        assert!(text.ends_with("ci: 1 failed, 2 passed in 4.0 s\n"), "{text}");
    }

    #[test]
    fn names_all_missing_tools_and_the_command_that_installs_them() {
        let mut steps = three();
        steps[0].tools = &[steps::HACK];
        steps[2].tools = &[steps::DENY, steps::HACK];
        let mut machine = Fake::default();
        let error = require(&missing(&steps, &mut machine)).unwrap_err().to_string();
        let (deny, hack) = (steps::DENY.to_string(), steps::HACK.to_string());
        assert_eq!(
            error,
            format!("not installed: {deny} {hack}; install with `cargo install --locked {deny} {hack}`")
        );

        machine.installed = vec![steps::HACK, steps::DENY];
        require(&missing(&steps, &mut machine)).unwrap();
    }
}
