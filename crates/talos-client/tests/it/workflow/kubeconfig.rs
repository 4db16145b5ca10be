//! Kubeconfigs in files that have others in them.

use std::{error::Error as _, fs, path::PathBuf};

use talos_client::{
    ErrorKind,
    resource::value::Value,
    workflow::kubeconfig::{KubeconfigConflicts, KubeconfigError, KubeconfigMerge},
};
use talos_testkit::SimCluster;

use super::faulted;
use crate::support::{Sim, shown};

const KUBECONFIG: &str = "/machine.MachineService/Kubeconfig";

const OTHERS: &str = "\
apiVersion: v1
kind: Config
clusters:
- name: sim
  cluster: {server: 'https://elsewhere:6443', tls-server-name: odd}
users:
- name: admin@sim
  user: {token: hunter2}
contexts:
- name: admin@sim
  context: {cluster: sim, user: admin@sim}
current-context: admin@sim
preferences: {colors: true}
extensions:
- name: unheard-of
  extension: {since: '0644', on: yes}
";

fn read(path: &std::path::Path) -> Value {
    Value::from_yaml(&fs::read_to_string(path).expect("a file")).expect("YAML")
}

fn names(document: &Value, list: &str) -> Vec<String> {
    let entries = document.get(list).expect("a list").items();
    let name = |entry: &Value| {
        entry
            .get("name")
            .and_then(Value::as_str)
            .expect("a name")
            .to_owned()
    };
    entries.iter().map(name).collect()
}

async fn one() -> Sim {
    Sim::of(SimCluster::builder().cluster_name("sim")).await
}

#[tokio::test]
async fn a_missing_file_is_made_for_its_owner_only() {
    let sim = one().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deep").join("config");
    let merged = KubeconfigMerge::new()
        .fetch_into(&sim.node(0), &path)
        .await
        .expect("merged");
    let call = sim.received(KUBECONFIG);
    assert_eq!(call.handled_by, [sim.cluster.node(0).name()]);
    assert_eq!(merged.path, path);
    assert!(merged.changed && merged.renames.is_empty());
    assert_eq!(merged.context.as_deref(), Some("admin@sim"));
    let document = read(&path);
    assert_eq!(names(&document, "contexts"), ["admin@sim"]);
    assert_eq!(
        document.get("current-context").and_then(Value::as_str),
        Some("admin@sim")
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(path.as_path()), 0o600);
        assert_eq!(mode(path.parent().expect("a folder")), 0o700);
    }
    // Neither the lock nor a temporary file stays.
    assert_eq!(
        fs::read_dir(path.parent().expect("a folder"))
            .expect("a folder")
            .count(),
        1
    );
}

#[tokio::test]
async fn what_is_there_stays_and_what_comes_is_renamed() {
    let sim = one().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kubeconfig");
    fs::write(&path, OTHERS).expect("written");
    // A folder stands for the file in it.
    let merged = KubeconfigMerge::new()
        .fetch_into(&sim.node(0), folder.path())
        .await
        .expect("merged");
    let renames: Vec<_> = merged.renames.iter().map(|rename| rename.to.as_str()).collect();
    assert_eq!(renames, ["sim-1", "admin@sim-1", "admin@sim-1"]);
    let (document, before) = (read(&path), Value::from_yaml(OTHERS).expect("YAML"));
    for list in ["clusters", "users", "contexts"] {
        let entries = document.get(list).expect("a list").items();
        assert_eq!(entries[0], before.get(list).expect("a list").items()[0], "{list}");
        assert_eq!(entries.len(), 2, "{list}");
    }
    for key in ["preferences", "extensions"] {
        assert_eq!(document.get(key), before.get(key), "{key}");
    }
    let context = document.get("contexts").expect("a list").items()[1].get("context");
    let refers = |key| {
        context
            .and_then(|context| context.get(key))
            .and_then(Value::as_str)
    };
    assert_eq!(
        (refers("cluster"), refers("user")),
        (Some("sim-1"), Some("admin@sim-1"))
    );
    assert_eq!(
        document.get("current-context").and_then(Value::as_str),
        Some("admin@sim-1")
    );
}

#[tokio::test]
async fn a_file_can_be_refreshed_again_and_again() {
    let sim = one().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config");
    let merge = KubeconfigMerge::new()
        .conflicts(KubeconfigConflicts::Renew)
        .context_name("lab");
    for round in 0..3 {
        let merged = merge.fetch_into(&sim.node(0), &path).await.expect("merged");
        assert!(merged.changed, "{round}");
        let document = read(&path);
        assert_eq!(names(&document, "users"), ["admin@sim"]);
        assert_eq!(names(&document, "contexts"), ["lab"]);
        let user = document.get("users").expect("a list").items()[0].get("user");
        let key = user
            .and_then(|user| user.get("client-key-data"))
            .and_then(Value::as_str);
        // As if it were a key that the node made earlier.
        let text = fs::read_to_string(&path).expect("a file");
        let older = format!("T0xE{round}");
        fs::write(&path, text.replace(key.expect("a key"), &older)).expect("written");
    }

    let kubeconfig = sim.node(0).kubeconfig().await.expect("fetched");
    assert!(
        merge
            .merge_into(&kubeconfig, &path)
            .await
            .expect("merged")
            .changed
    );
    let before = fs::metadata(&path).expect("there").modified().expect("a time");
    let again = merge.merge_into(&kubeconfig, &path).await.expect("merged");
    assert!(!again.changed, "the file says so already");
    assert_eq!(
        fs::metadata(&path).expect("there").modified().expect("a time"),
        before
    );
}

#[tokio::test]
async fn a_broken_file_is_named_with_its_line_and_left_alone() {
    let sim = one().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config");
    for (text, line) in [
        ("clusters: []\nusers:\n- name: a\n  user: [hunter2\n", 4),
        ("users: hunter2\n", 1),
        ("clusters: []\nusers:\n- name: a\n  user: hunter2\n", 4),
        ("clusters: []\ncontexts:\n- context: {}\n  nome: hunter2\n", 0),
        ("kind: Secret\ndata: hunter2\n", 1),
        ("clusters: []\n---\nkind: Config\n", 0),
    ] {
        fs::write(&path, text).expect("written");
        let error = KubeconfigMerge::new()
            .fetch_into(&sim.node(0), &path)
            .await
            .expect_err(text);
        assert_eq!(error.kind(), ErrorKind::Config, "{text}: {error:#}");
        let shown = shown(&error);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains(&path.display().to_string()), "{shown}");
        let source = error.source().and_then(|source| source.downcast_ref());
        let Some(KubeconfigError::Malformed { line: found, .. }) = source else {
            panic!("{text}: {error:#}")
        };
        assert!(line == 0 || *found == line, "{text}: {error:#}");
        assert_eq!(fs::read_to_string(&path).expect("there"), text);
    }
}

#[tokio::test]
async fn a_file_that_kubectl_is_changing_is_left_alone() {
    let sim = one().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config");
    let lock = folder.path().join("config.lock");
    fs::write(&lock, "").expect("written");
    let merge = KubeconfigMerge::new();
    let error = merge.fetch_into(&sim.node(0), &path).await.expect_err("locked");
    assert_eq!(error.kind(), ErrorKind::Io);
    let source = error.source().and_then(|source| source.downcast_ref());
    assert!(
        matches!(source, Some(KubeconfigError::Locked { .. })),
        "{error:#}"
    );
    assert!(lock.exists() && !path.exists());
    fs::remove_file(&lock).expect("removed");
    merge.fetch_into(&sim.node(0), &path).await.expect("merged");
    assert!(!lock.exists() && path.exists());
}

#[tokio::test]
async fn a_file_is_whole_wherever_the_connection_is_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |sim: &Sim| -> PathBuf {
        let file = folder
            .path()
            .join(sim.cluster.node(0).socket_addr().port().to_string());
        if !file.exists() {
            fs::write(&file, OTHERS).expect("written");
        }
        file
    };
    faulted::every_step(
        async || one().await,
        async |sim| KubeconfigMerge::new().fetch_into(&sim.node(0), path(sim)).await,
        |error| error.is_retriable(),
        async |sim| {
            let document = read(&path(sim));
            assert_eq!(names(&document, "clusters"), ["sim", "sim-1"]);
            fs::remove_file(path(sim)).expect("removed");
        },
    )
    .await;
}
