//! Runs the program on the simulated cluster inside it, and on clusters outside it.

use std::{path::PathBuf, time::Duration};

use example_testing::{Lines, Outcome, Program, assert_recorded};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use talos_client::{Client, config::Talosconfig, workflow::kubernetes::Kubernetes};
use talos_testkit::{
    SimCluster,
    kubernetes::{KubePod, ObservedNode, PodOwner, SimKubernetes},
};
use tempfile::TempDir;

const WORKERS: [&str; 2] = ["sim-worker-1", "sim-worker-2"];
const REBOOT: &str = "talos.example/reboot";

fn program() -> Program {
    Program::at(env!("CARGO_BIN_EXE_in-cluster-operator"))
}

#[test]
fn what_it_prints_is_as_recorded() {
    let outcome = program().run(&[]);
    assert_eq!(outcome.count("sim-worker-1: done"), 1, "{outcome}");
    assert_eq!(
        outcome.count("sim-worker-2: failed: nothing was rebooted: "),
        1,
        "{outcome}"
    );
    // Names are made up, and a pod may be asked for once more.
    let incidental = ["pod kube-system/", "pod default/web", "cannot go yet"];
    assert_recorded(
        "in-cluster-operator",
        &outcome.succeeded(),
        Lines::InOrder,
        &incidental,
    );
}

/// A cluster, and a file with the talosconfig of its administrator.
struct Setup {
    cluster: SimCluster,
    nodes: Api<Node>,
    folder: TempDir,
}

impl Setup {
    async fn new() -> Self {
        let builder = SimCluster::builder().workers(2).kubernetes(true);
        let cluster = builder.start().await.expect("started");
        let folder = tempfile::tempdir().expect("a folder");
        let talosconfig = Talosconfig::parse(cluster.talosconfig()).expect("a talosconfig");
        let client = Client::builder()
            .talosconfig(talosconfig)
            .build()
            .expect("a client");
        let kubernetes = Kubernetes::of(&client).client().await.expect("a client");
        let this = Self {
            nodes: Api::all(kubernetes),
            cluster,
            folder,
        };
        let written = this.cluster.talosconfig_builder().write_to(this.talosconfig());
        written.expect("written");
        this
    }

    fn talosconfig(&self) -> PathBuf {
        self.folder.path().join("talosconfig")
    }

    fn kubernetes(&self) -> SimKubernetes {
        self.cluster.kubernetes().expect("the cluster has it")
    }

    async fn request(&self, node: &str) {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {REBOOT: "requested"}}}));
        let patched = self.nodes.patch(node, &PatchParams::default(), &patch).await;
        patched.expect("patched");
    }

    async fn run(&self, arguments: &[&str]) -> Outcome {
        let path = self.talosconfig();
        let arguments = [&["--talosconfig", path.to_str().expect("text")], arguments].concat();
        program().run_beside(&arguments).await
    }

    fn node(&self, name: &str) -> ObservedNode {
        self.kubernetes().node(name).expect("a node")
    }

    fn state(&self, node: &str) -> Option<String> {
        self.node(node).annotations.get(REBOOT).cloned()
    }

    /// Nodes that were cordoned and uncordoned, in this order, and machines that were rebooted.
    fn cordons(&self) -> Vec<(String, bool)> {
        let requests = self.kubernetes().requests().into_iter();
        requests
            .filter(|request| request.method == "PATCH")
            .filter_map(|request| {
                let body: serde_json::Value = serde_json::from_slice(&request.body).ok()?;
                let node = request.path.rsplit('/').next()?.to_owned();
                let value = body.get("spec")?.get("unschedulable")?;
                Some((node, value.as_bool() == Some(true)))
            })
            .collect()
    }
}

#[tokio::test]
async fn nodes_are_drained_and_rebooted_one_after_the_other() {
    let setup = Setup::new().await;
    for (number, worker) in WORKERS.iter().enumerate() {
        let pod = KubePod::new("default", format!("web-{number}"));
        let pod = pod.owned_by(PodOwner::ReplicaSet, "web").on_node(*worker);
        setup.kubernetes().add_pod(pod);
        setup.request(worker).await;
    }
    let outcome = setup.run(&["--count", "2"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome}");
    let expected = WORKERS.map(|worker| [(worker.to_owned(), true), (worker.to_owned(), false)]);
    assert_eq!(setup.cordons(), expected.concat(), "{outcome}");
    for worker in WORKERS {
        let node = setup.node(worker);
        assert!(!node.unschedulable && node.ready == "True", "{node:?}");
        let own: Vec<_> = node
            .annotations
            .iter()
            .filter(|(key, _)| key.contains("talos.example"))
            .collect();
        assert_eq!(own, [(&REBOOT.to_owned(), &"done".to_owned())]);
    }
    let reboots = setup.cluster.requests().of("Reboot");
    let rebooted: Vec<_> = reboots.iter().map(|call| call.handled_by.concat()).collect();
    assert_eq!(rebooted, ["10.5.0.3", "10.5.0.4"]);
    for pod in setup.kubernetes().pods() {
        assert!(!pod.name.starts_with("web-") || pod.phase == "Running", "{pod:?}");
    }
}

#[tokio::test]
async fn an_operator_goes_on_where_the_one_before_was_killed() {
    let setup = Setup::new().await;
    setup.request(WORKERS[0]).await;
    setup.request(WORKERS[1]).await;
    let path = setup.talosconfig();
    let arguments = ["--talosconfig", path.to_str().expect("text")];
    let mut first = program().start(&arguments);
    let begun = setup
        .cluster
        .requests()
        .wait_for(|call| call.name() == "Reboot" && call.code.is_some());
    let begun = tokio::time::timeout(Duration::from_secs(60), begun).await;
    begun.expect("the first operator reboots the node");
    first.kill().expect("killed");
    first.wait().expect("ended");
    assert_eq!(setup.state(WORKERS[0]).as_deref(), Some("rebooting"));
    assert!(setup.node(WORKERS[0]).unschedulable);

    let outcome = setup.run(&["--count", "1"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome}");
    assert_eq!(setup.cluster.requests().attempts("Reboot"), 1, "{outcome}");
    assert_eq!(setup.state(WORKERS[0]).as_deref(), Some("done"), "{outcome}");
    assert!(!setup.node(WORKERS[0]).unschedulable, "{outcome}");
    assert_eq!(setup.state(WORKERS[1]).as_deref(), Some("requested"), "{outcome}");
}

#[tokio::test]
async fn a_cordon_of_somebody_else_stays() {
    let setup = Setup::new().await;
    setup.kubernetes().set_unschedulable(WORKERS[0], true);
    setup.request(WORKERS[0]).await;
    let outcome = setup.run(&["--count", "1"]).await;
    assert_eq!(outcome.count("stays cordoned"), 1, "{outcome}");
    assert_eq!(setup.state(WORKERS[0]).as_deref(), Some("done"), "{outcome}");
    assert!(setup.node(WORKERS[0]).unschedulable, "{outcome}");
}

#[tokio::test]
async fn a_node_that_cannot_be_drained_is_left_as_it_was_with_the_reason() {
    let setup = Setup::new().await;
    let stuck = KubePod::new("default", "stuck")
        .on_node(WORKERS[0])
        .never_terminates();
    setup.kubernetes().add_pod(stuck);
    setup.request(WORKERS[0]).await;
    let outcome = setup.run(&["--count", "1", "--drain-seconds", "1"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome}");
    let node = setup.node(WORKERS[0]);
    assert_eq!(node.annotations[REBOOT], "failed", "{outcome}");
    let message = &node.annotations["talos.example/reboot-message"];
    assert!(message.contains("default/stuck"), "{message}");
    assert!(!node.unschedulable, "{outcome}");
    assert_eq!(setup.cluster.requests().attempts("Reboot"), 0);
}
