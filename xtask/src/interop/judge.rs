//! Compares what the Go client reports with what is expected.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Context, Result};
use serde::Deserialize;

/// What one step reports, one JSON line each.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    step: String,
    ok: bool,
    seen: String,
    /// `package.Service/Method` of the calls it made.
    rpcs: Vec<String>,
}

/// A step that has to be reported: its name, and a part of what it has to have seen.
pub(super) type Expected<'a> = (&'a str, &'a str);

/// What came out.
#[derive(Debug)]
pub(super) struct Verdict {
    /// Steps that are as expected.
    passed: usize,
    /// RPCs that were called.
    called: usize,
    /// What is not as expected, one line each.
    pub(super) problems: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            called,
            problems,
        } = self;
        write!(
            f,
            "interop: {called} RPCs called; {passed} passed, {} failed",
            problems.len()
        )
    }
}

/// Judges the output of the client: every expected step is there once, went well and saw what it should;
/// no other step is there; every one of `rpcs` was called.
pub(super) fn judge(output: &str, expected: &[Expected<'_>], rpcs: &BTreeSet<String>) -> Result<Verdict> {
    let lines: Vec<Line> = output
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("reading the line {line:?}")))
        .collect::<Result<_>>()?;
    let mut problems = Vec::new();
    let mut passed = 0;
    for (name, fragment) in expected {
        let found: Vec<_> = lines.iter().filter(|line| line.step == *name).collect();
        match found[..] {
            [] => problems.push(format!("{name}: missing")),
            [Line { ok: true, seen, .. }] if seen.contains(fragment) => passed += 1,
            [Line { ok: true, seen, .. }] => {
                problems.push(format!("{name}: {fragment:?} was expected, {seen:?} was seen"));
            }
            [Line { seen, .. }] => problems.push(format!("{name}: {seen}")),
            _ => problems.push(format!("{name}: reported {} times", found.len())),
        }
    }
    for line in &lines {
        if !expected.iter().any(|(name, _)| *name == line.step) {
            problems.push(format!("{}: not in the table of expected steps", line.step));
        }
    }
    let called: BTreeSet<_> = lines.iter().flat_map(|line| &line.rpcs).collect();
    for rpc in rpcs.iter().filter(|rpc| !called.contains(rpc)) {
        problems.push(format!("{rpc}: never called"));
    }
    Ok(Verdict {
        passed,
        called: called.len(),
        problems,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Expected<'_>] = &[("one", "v1."), ("two", "")];

    fn problems(output: &str) -> Vec<String> {
        let rpcs = BTreeSet::from(["a.B/C".to_owned()]);
        judge(output, TABLE, &rpcs).unwrap().problems
    }

    const ONE: &str = r#"{"step":"one","ok":true,"seen":"v1.14.0","rpcs":["a.B/C"]}"#;
    const TWO: &str = r#"{"step":"two","ok":true,"seen":"","rpcs":[]}"#;

    #[test]
    fn all_as_expected_is_no_problem() {
        assert_eq!(problems(&format!("{ONE}\n{TWO}\n")), [""; 0]);
    }

    #[test]
    fn a_missing_step_fails() {
        assert_eq!(problems(ONE), ["two: missing"]);
    }

    #[test]
    fn a_step_that_nobody_expects_fails() {
        let extra = r#"{"step":"three","ok":true,"seen":"","rpcs":[]}"#;
        let found = problems(&format!("{ONE}\n{TWO}\n{extra}"));
        assert_eq!(found, ["three: not in the table of expected steps"]);
    }

    #[test]
    fn a_step_twice_fails() {
        assert_eq!(
            problems(&format!("{ONE}\n{TWO}\n{TWO}")),
            ["two: reported 2 times"]
        );
    }

    #[test]
    fn a_failed_step_fails_with_what_it_saw() {
        let failed = TWO
            .replace("true", "false")
            .replace(r#""seen":"""#, r#""seen":"no answer""#);
        assert_eq!(problems(&format!("{ONE}\n{failed}")), ["two: no answer"]);
    }

    #[test]
    fn another_sight_fails() {
        let other = ONE.replace("v1.14.0", "v2.0.0");
        let found = problems(&format!("{other}\n{TWO}"));
        assert_eq!(found, [r#"one: "v1." was expected, "v2.0.0" was seen"#]);
    }

    #[test]
    fn an_rpc_that_no_step_calls_fails() {
        let silent = ONE.replace(r#""a.B/C""#, "");
        assert_eq!(problems(&format!("{silent}\n{TWO}")), ["a.B/C: never called"]);
    }

    #[test]
    fn a_line_that_is_no_report_is_an_error() {
        assert!(judge("panic: no", TABLE, &BTreeSet::new()).is_err());
    }
}
