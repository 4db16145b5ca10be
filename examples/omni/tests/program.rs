//! Runs the program on the simulated cluster inside it, and on endpoints outside it.

use std::path::PathBuf;

use example_testing::{Lines, Outcome, Program, assert_recorded};
use talos_testkit::{SimCluster, omni::SimOmni};
use tempfile::TempDir;

const KEY: &str = "OMNI_SERVICE_ACCOUNT_KEY";

fn program() -> Program {
    Program::at(env!("CARGO_BIN_EXE_omni"))
}

#[test]
fn machines_and_refused_signatures_are_shown_as_recorded() {
    let outcome = program().run(&[]);
    assert_eq!(outcome.count(" yes"), 5, "{outcome}");
    for reason in ["the clocks differ", "reporter has no key "] {
        assert!(outcome.count(reason) >= 1, "{reason}: {outcome}");
    }
    assert_eq!(outcome.count("the signature was refused"), 3, "{outcome}");
    assert_recorded("omni", &outcome.succeeded(), Lines::InOrder, &[]);
}

/// An endpoint with a service account, and files for the program.
struct Setup {
    cluster: SimCluster,
    omni: SimOmni,
    folder: TempDir,
    key: String,
}

impl Setup {
    async fn new() -> Self {
        let cluster = SimCluster::builder().control_planes(2).start().await;
        let cluster = cluster.expect("started");
        let omni = SimOmni::in_front_of(&cluster).expect("started");
        Self {
            key: omni.service_account("ci", ["os:reader"]).expect("a key"),
            folder: tempfile::tempdir().expect("a folder"),
            cluster,
            omni,
        }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    async fn run_with_talosconfig(&self, key: &str) -> Outcome {
        let path = self.file("omni.yaml", &self.omni.talosconfig("me@example.org"));
        program()
            .variable(KEY, key)
            .run_beside(&["--talosconfig", path.to_str().expect("text")])
            .await
    }
}

#[tokio::test]
async fn an_endpoint_elsewhere_is_reached_through_its_talosconfig() {
    let setup = Setup::new().await;
    let outcome = setup.run_with_talosconfig(&setup.key).await;
    assert_eq!(outcome.code, Some(0), "{outcome}");
    assert_eq!(outcome.count(" yes"), 2, "{outcome}");
    assert!(!outcome.stdout.contains("not accepted"), "{outcome}");
    let calls = setup.cluster.requests().of("Version");
    assert_eq!(calls.len(), 2);
    assert!(calls.iter().all(|call| call.roles == ["os:reader"]));
}

#[tokio::test]
async fn an_endpoint_and_a_key_do_without_a_talosconfig() {
    let setup = Setup::new().await;
    // In place of the system's roots.
    let roots = setup.file("roots.pem", &setup.omni.ca_pem());
    let program = program()
        .variable("SSL_CERT_FILE", roots)
        .variable("OMNI_ENDPOINT", setup.omni.endpoint());
    let outcome = program.run_beside(&["--cluster", "sim"]).await;
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert!(outcome.stderr.contains(KEY), "{outcome}");

    let program = program.variable(KEY, &setup.key);
    let outcome = program.run_beside(&[]).await;
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert!(outcome.stderr.contains("--cluster"), "{outcome}");

    let outcome = program
        .run_beside(&["--cluster", "sim", "--nodes", "10.5.0.3"])
        .await;
    assert_eq!(outcome.code, Some(0), "{outcome}");
    assert_eq!(outcome.count(" yes"), 1, "{outcome}");
    let calls = setup.cluster.requests().of("Version");
    assert_eq!(calls[0].metadata_values("context").collect::<Vec<_>>(), ["sim"]);
}

#[tokio::test]
async fn a_key_that_is_not_accepted_is_told_with_advice_and_without_the_key() {
    let setup = Setup::new().await;
    let stranger = Setup::new().await.key;
    let outcome = setup.run_with_talosconfig(&stranger).await;
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert!(outcome.stderr.contains("the signature was refused"), "{outcome}");
    assert_eq!(setup.cluster.requests().attempts("Version"), 0);

    let outcome = setup.run_with_talosconfig("aHVudGVyMg==").await;
    assert_eq!(outcome.code, Some(1), "{outcome}");
    let text = outcome.to_string();
    assert!(text.contains(KEY), "{text}");
    for secret in [&stranger[..40], "aHVudGVyMg", "hunter2"] {
        assert!(!text.contains(secret), "{text}");
    }
}
