//! Support bundles: what is in them, what is not, and what they do about failures.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read as _,
    path::Path,
};

use talos_client::{
    ErrorKind,
    workflow::support::{SupportBundle, SupportReport},
};
use talos_testkit::{Code, SimCluster, fault::CallFault};

use super::faulted;
use crate::support::Sim;

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----";

async fn two() -> Sim {
    Sim::of(SimCluster::builder().workers(1)).await
}

fn bundle(sim: &Sim) -> SupportBundle {
    SupportBundle::of(sim.client.nodes(sim.cluster.nodes()).expect("nodes"))
}

pub(super) fn unpack(path: &Path) -> BTreeMap<String, String> {
    let mut archive = zip::ZipArchive::new(File::open(path).expect("there")).expect("an archive");
    let mut files = BTreeMap::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).expect("a file");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("text");
        let name = file.name().expect("a name").into_owned();
        assert!(files.insert(name.clone(), text).is_none(), "{name}");
    }
    files
}

async fn collected(sim: &Sim, path: &Path) -> (SupportReport, BTreeMap<String, String>) {
    let report = bundle(sim).to_file(path).await.expect("collected");
    (report, unpack(path))
}

#[tokio::test]
async fn a_bundle_has_what_is_needed_and_no_secrets() {
    let sim = two().await;
    let (first, second) = (sim.cluster.node(0).name(), sim.cluster.node(1).name());
    sim.cluster.node(0).append_log(
        "kubelet",
        &format!("before\n{KEY}\nafter abc123.0123456789abcdef"),
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("support.zip");
    let mut run = bundle(&sim).to_file(&path);
    let mut progress = Vec::new();
    while let Some(item) = run.next_progress().await {
        progress.push(item);
    }
    let report = run.finish().await.expect("collected");
    let files = unpack(&path);
    assert_eq!(report.files, files.len());
    for node in [&first, &second] {
        for file in [
            "summary",
            "dmesg.log",
            "mounts",
            "io",
            "processes",
            "dependencies.dot",
            "service-logs/kubelet.log",
            "service-logs/apid.state",
            "resources/machinestatuses.runtime.talos.dev.yaml",
        ] {
            assert!(
                files.contains_key(&format!("{node}/{file}")),
                "{node}/{file}: {:?}",
                files.keys()
            );
        }
    }
    let log = &files[&format!("{first}/service-logs/kubelet.log")];
    assert!(
        log.contains("before") && log.contains("after <REDACTED>"),
        "{log}"
    );
    let config = files.get(&format!("{first}/resources/machineconfigs.config.talos.dev.yaml"));
    assert!(
        config.is_none_or(|config| config.contains("spec: <REDACTED>")),
        "{config:?}"
    );
    let token = sim.cluster.machine_token();
    for (name, text) in &files {
        for secret in ["hunter2", token, "PRIVATE KEY"] {
            assert!(!text.contains(secret), "{name} has {secret}");
        }
    }
    assert_eq!(
        progress[0].node.as_ref().map(|node| node.as_str()),
        Some(first.as_str())
    );
    assert_eq!(progress.last().map(|item| (item.number, item.of)), Some((2, 2)));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(
            fs::metadata(&path).expect("there").permissions().mode() & 0o777,
            0o600
        );
    }
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
}

#[tokio::test]
async fn what_cannot_be_had_is_listed_inside() {
    let sim = two().await;
    let (first, second) = (sim.cluster.node(0).name(), sim.cluster.node(1).name());
    let refuse = CallFault::on_node(&first)
        .method("Processes")
        .status(Code::Internal, "out of order");
    sim.cluster.inject(refuse).expect("a fault");
    let cut = CallFault::on_node(&first)
        .method("Dmesg")
        .after_messages(1)
        .status(Code::Internal, "cut off");
    sim.cluster.inject(cut).expect("a fault");
    sim.cluster.node(1).kill();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("support.zip");
    let (report, files) = collected(&sim, &path).await;
    let failed = |node: &str, part: &str| {
        let mut failures = report.failures.iter();
        failures.any(|failure| {
            failure.node.as_ref().is_some_and(|name| name.as_str() == node) && failure.part == part
        })
    };
    assert!(failed(&first, "processes") && failed(&first, "dmesg.log") && failed(&second, "summary"));
    let of_second = report
        .failures
        .iter()
        .filter(|failure| failure.node.as_ref().is_some_and(|node| node.as_str() == second));
    assert_eq!(of_second.count(), 1, "a node that is gone is asked once");
    let errors = &files["errors.txt"];
    for text in ["out of order", "cut off", second.as_str()] {
        assert!(errors.contains(text), "{errors}");
    }
    assert!(!files.contains_key(&format!("{first}/processes")));
    assert!(files.contains_key(&format!("{first}/mounts")));
}

#[tokio::test]
async fn readers_get_what_readers_may_see() {
    let sim = two().await;
    let reader = sim.client_with_roles(&["os:reader"]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("support.zip");
    let nodes = reader.nodes([sim.cluster.node(0).name()]).expect("nodes");
    let report = SupportBundle::of(nodes)
        .tail_lines(1)
        .to_file(&path)
        .await
        .expect("collected");
    assert!(
        report
            .failures
            .iter()
            .any(|failure| failure.reason.contains("permission denied"))
    );
    assert!(unpack(&path).contains_key(&format!("{}/summary", sim.cluster.node(0).name())));
}

#[tokio::test]
async fn a_bundle_that_cannot_be_written_or_is_given_up_leaves_nothing() {
    let sim = two().await;
    let folder = tempfile::tempdir().expect("a folder");
    let error = bundle(&sim)
        .to_file(folder.path().join("none/support.zip"))
        .await
        .expect_err("no folder");
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(sim.cluster.requests().all().is_empty());

    let path = folder.path().join("support.zip");
    fs::write(&path, "old").expect("written");
    let mut run = bundle(&sim).to_file(&path);
    run.next_progress().await.expect("it has begun");
    drop(run);
    // The thread that writes notices by itself.
    while fs::read_dir(folder.path()).expect("a folder").count() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fs::read(&path).expect("there"), b"old");
}

#[tokio::test]
async fn a_bundle_is_whole_wherever_the_connection_is_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |sim: &Sim| {
        folder
            .path()
            .join(sim.cluster.node(0).socket_addr().port().to_string())
    };
    // With resources there would be hundreds of cuts that are all the same.
    faulted::every_step(
        async || Sim::of(SimCluster::builder()).await,
        async |sim| bundle(sim).resources(false).to_file(path(sim)).await,
        |error| error.is_retriable(),
        async |sim| {
            let files = unpack(&path(sim));
            assert!(!files.is_empty());
            fs::remove_file(path(sim)).expect("removed");
        },
    )
    .await;
}
