//! Pages that say what the code does: for those who come from talosctl, and about resilience.

use std::{fs, path::Path, time::Duration};

use talos_client::{
    Client, Timeouts, api::cluster::HealthCheckRequest, proto::methods::METHODS,
    transport::DEFAULT_CONNECT_TIMEOUT,
};

#[test]
fn the_page_names_every_rpc_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/coming-from-talosctl.md");
    let page = fs::read_to_string(&path).expect("the page is there");
    let missing: Vec<_> = METHODS
        .iter()
        .map(ToString::to_string)
        .filter(|method| !page.contains(&format!("`{method}`")))
        .collect();
    assert!(missing.is_empty(), "not named: {missing:?}");

    // Code that looks like `package.Service/Method` must be one.
    let named = page.split('`').skip(1).step_by(2).filter(|code| {
        let service = code.split('/').next().unwrap_or_default();
        code.matches('/').count() == 1 && METHODS.iter().any(|method| method.service == service)
    });
    for code in named {
        assert!(
            METHODS.iter().any(|method| method.to_string() == code),
            "{code} does not exist"
        );
    }
}

/// Every row of the table of time limits, by how it begins, with how its default does.
#[test]
fn the_table_of_time_limits_is_complete_and_right() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/resilience.md");
    let page = fs::read_to_string(&path).expect("the page is there");
    let (_, section) = page.split_once("### All defaults").expect("the section");
    let (table, _) = section.split_once("\nPrecedence:").expect("its end");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();

    let limits = Timeouts::default();
    let seconds = |time: Duration| format!("{} s", time.as_secs());
    let minutes = |time: Duration| format!("{} min", time.as_secs() / 60);
    let set = |limit: Option<Duration>| limit.expect("a limit");
    // What is fixed in the transport is compared there.
    let fixed = String::new;
    let expected = [
        ("connect to one endpoint", seconds(DEFAULT_CONNECT_TIMEOUT)),
        ("begin with the next endpoint", fixed()),
        ("call with one reply that reads", seconds(set(limits.quick))),
        ("call with one reply after work", minutes(set(limits.slow))),
        ("upload", minutes(set(limits.slow))),
        ("stream of data that is there", seconds(set(limits.transfer_idle))),
        ("stream about work", minutes(set(limits.work_idle))),
        ("stream that goes on", "none".to_owned()),
        ("one attempt", "none".to_owned()),
        ("calls on `Client::raw`", "none".to_owned()),
        ("health check", minutes(HealthCheckRequest::DEFAULT_WAIT)),
        (
            "time between looks at a talosconfig that is watched",
            seconds(talos_client::ClientBuilder::DEFAULT_WATCH_INTERVAL),
        ),
        ("a connection that says nothing while a call on it", fixed()),
        ("a connection that says nothing while a call waits", fixed()),
        ("… such a look", fixed()),
        ("TCP", fixed()),
    ];
    assert_eq!(rows.len(), expected.len(), "{rows:#?}");
    for (row, (what, default)) in rows.iter().zip(expected) {
        assert!(row[0].starts_with(what), "{row:?} is not about {what:?}");
        assert!(row[1].starts_with(&default), "{row:?} does not say {default:?}");
    }
    assert_eq!(limits.quick, Some(Client::DEFAULT_TIMEOUT));
}
