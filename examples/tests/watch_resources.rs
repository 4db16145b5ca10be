//! Runs the table to its end, on the simulated cluster inside it.

mod run;

#[tokio::test]
async fn the_table_shows_what_happens_one_after_the_other_and_ends() {
    let (success, stdout, stderr) = run::run("watch-resources", &[]).await;
    assert!(success, "{stdout}{stderr}");
    assert!(stderr.is_empty(), "{stderr}");

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
