//! The client of the environment. Each test runs itself again in a process with an environment of its own,
//! since changing that of this process would disturb its neighbours.

use std::{env, path::Path, process::Command};

use talos_client::Client;
use talos_testkit::SimCluster;

const INNER: &str = "TALOS_CLIENT_TEST_INNER";

/// Runs the test of this name again with these variables and nothing else of ours, and returns what it printed.
async fn again(test: &str, variables: &[(&str, &Path)]) -> String {
    let mut command = Command::new(env::current_exe().expect("a path"));
    command.args(["--exact", test, "--nocapture"]).env(INNER, "1");
    for name in ["TALOSCONFIG", "TALOS_HOME", "HOME", "USERPROFILE"] {
        command.env_remove(name);
    }
    command.envs(variables.iter().map(|(name, value)| (*name, value.as_os_str())));
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("not panicked")
        .expect("run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

#[tokio::test]
async fn the_default_client_follows_the_environment() {
    if env::var_os(INNER).is_some() {
        match Client::try_default().await {
            Ok(client) => println!("reached {}", client.version().await.expect("answered").tag()),
            Err(error) => println!("failed: {error:#}"),
        }
        return;
    }
    let cluster = SimCluster::builder()
        .talos_version("v1.14.3")
        .start()
        .await
        .expect("started");
    let folder = tempfile::tempdir().expect("temporary folder");
    let home = folder.path().join("home");
    cluster
        .talosconfig_builder()
        .write_to(folder.path().join("explicit"))
        .expect("written");
    std::fs::create_dir_all(home.join(".talos")).expect("folder");
    cluster
        .talosconfig_builder()
        .write_to(home.join(".talos").join("config"))
        .expect("written");

    let name = "default::the_default_client_follows_the_environment";
    let home_variable = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    let explicit = folder.path().join("explicit");
    let cases: [&[(&str, &Path)]; 3] = [
        &[("TALOSCONFIG", &explicit)],
        &[(home_variable, &home)],
        &[
            ("TALOSCONFIG", Path::new("/no/such/file")),
            (home_variable, &home),
        ],
    ];
    for variables in cases {
        let text = again(name, variables).await;
        assert!(text.contains("reached v1.14.3"), "{variables:?}: {text}");
    }
    let text = again(name, &[("TALOSCONFIG", Path::new("/no/such/file"))]).await;
    assert!(
        text.contains("failed: unusable configuration: no talosconfig found"),
        "{text}"
    );
    assert!(text.contains("/no/such/file"), "{text}");
}
