//! Runs the table to its end, on the simulated cluster inside it.

use example_testing::{Lines, Program, assert_recorded};

#[test]
fn the_table_shows_what_happens_one_after_the_other_and_ends() {
    let outcome = Program::example("watch-resources").run(&[]);
    assert_eq!(outcome.stderr, "");
    let stdout = outcome.succeeded();

    let tables: Vec<&str> = stdout
        .split("\n\n")
        .filter(|table| !table.trim().is_empty())
        .collect();
    let first = tables.first().expect("a table");
    assert_eq!(first.lines().count(), 5, "a title and four members:\n{first}");
    assert_eq!(first.matches(" running ").count(), 4, "{first}");
    let shown = |text: &str| tables.iter().position(|table| table.contains(text));
    let order = ["but not kubelet", "rebooting", "v1.14.1"].map(shown);
    assert!(order.is_sorted() && order[0] > Some(0), "{order:?} in:\n{stdout}");
    let last = tables.last().expect("a table");
    assert!(last.contains("v1.14.1"), "{last}");
}

#[test]
fn what_it_prints_is_as_recorded() {
    let printed = Program::example("watch-resources").run(&[]).succeeded();
    // It is shown in as many stages of its reboot as there is time for.
    let incidental = ["sim-worker-1"];
    assert_recorded("watch-resources", &printed, Lines::Distinct, &incidental);
}
