//! That `docs/resilience.md` says what the code does.

use std::path::Path;
use std::time::Duration;

use crate::retry::RetryConfig;
use crate::{DEFAULT_CONNECT_TIMEOUT, dispatch, examine, pool, race};

/// What the second column of the row says that begins so.
fn said(page: &str, row: &str) -> String {
    let begin = format!("| {row}");
    let mut rows = page.lines().filter(|line| line.starts_with(&begin));
    let found = rows.next().unwrap_or_else(|| panic!("there is no row {row:?}"));
    assert_eq!(rows.next(), None, "two rows {row:?}");
    found.split(" | ").nth(1).unwrap().to_owned()
}

fn text(time: Duration) -> String {
    match (time.as_millis(), time.as_secs()) {
        (millis, 0) => format!("{millis} ms"),
        (_, seconds) => format!("{seconds} s"),
    }
}

#[test]
fn the_page_about_resilience_names_the_defaults_there_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/resilience.md");
    let page = std::fs::read_to_string(path).unwrap();
    let retry = RetryConfig::new();
    let (per_second, share) = retry.budget.unwrap();
    let calls = (1.0 / share).round();
    for (row, expected) in [
        ("connect to one endpoint", vec![text(DEFAULT_CONNECT_TIMEOUT)]),
        ("begin with the next endpoint", vec![text(race::DELAY)]),
        (
            "a connection that says nothing while a call on it",
            vec![text(dispatch::SUSPICIOUS)],
        ),
        (
            "a connection that says nothing while a call waits",
            vec![text(examine::PATIENCE)],
        ),
        ("… such a look", vec![text(examine::LONGEST)]),
        ("attempts per call", vec![retry.max_attempts.to_string()]),
        (
            "wait before the first retry",
            vec![text(retry.first_delay), text(retry.max_delay)],
        ),
        ("time in which something that", vec![text(retry.window)]),
        (
            "budget",
            vec![
                format!("{per_second} retries per second"),
                format!("every {calls} calls"),
            ],
        ),
        (
            "out after a failure",
            vec![text(pool::DEFAULT_EJECTION), text(pool::DEFAULT_LONGEST_EJECTION)],
        ),
    ] {
        let said = said(&page, row);
        for expected in expected {
            assert!(said.contains(&expected), "{row}: {expected} is not in {said:?}");
        }
    }
}
