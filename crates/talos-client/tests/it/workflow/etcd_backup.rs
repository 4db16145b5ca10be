//! Backups of etcd, and what becomes of the files when something goes wrong.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use talos_client::{
    ErrorKind,
    proto::machine as proto,
    workflow::etcd::{EtcdBackup, EtcdBackupProgress, EtcdRecovery, EtcdRecoveryProgress},
};
use talos_testkit::{SimCluster, fault::CallFault};

use super::faulted;
use crate::support::Sim;

const SNAPSHOT: &str = "/machine.MachineService/EtcdSnapshot";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// 2026-01-31 12:30
fn now() -> SystemTime {
    at(1_769_862_600)
}

fn files(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| name(entry).into_string().expect("a name"))
        .collect();
    names.sort();
    names
}

async fn one() -> Sim {
    Sim::of(SimCluster::builder()).await
}

#[tokio::test]
async fn a_backup_is_verified_and_the_oldest_go() {
    let sim = one().await;
    let folder = tempfile::tempdir().expect("a folder");
    let foreign = [
        "notes.txt",
        "etcd.snapshot",
        "lab-20200101T000000Z.snapshot",
        "etcd-20200101T000000Z.snapshot.gz",
    ];
    for name in foreign {
        fs::write(folder.path().join(name), "mine").expect("written");
    }
    fs::write(
        folder.path().join("etcd-20260129T000000Z.snapshot.part"),
        "left behind",
    )
    .expect("written");
    for day in 0..4 {
        let backup = EtcdBackup::new(&sim.node(0)).keep(2).at(now() + DAY * day);
        let mut run = backup.to_folder(folder.path());
        let mut progress = Vec::new();
        while let Some(item) = run.next_progress().await {
            progress.push(item);
        }
        let report = run.finish().await.expect("saved");
        assert_eq!(report.rotation, Ok(()));
        assert_eq!(report.snapshot.bytes(), (2 << 20) + 32);
        let percents: Vec<_> = progress.iter().filter_map(EtcdBackupProgress::percent).collect();
        assert!(
            percents.is_sorted() && percents.last() == Some(&100),
            "{percents:?}"
        );
        assert!(progress.contains(&EtcdBackupProgress::Verified {
            sha256: report.snapshot.sha256()
        }));
        assert_eq!(
            report.removed.len(),
            if day == 1 { 0 } else { 1 },
            "{day}: {:?}",
            report.removed
        );
    }
    let mut expected = vec![
        "etcd-20260202T123000Z.snapshot".to_owned(),
        "etcd-20260203T123000Z.snapshot".to_owned(),
    ];
    expected.extend(foreign.map(str::to_owned));
    expected.sort();
    assert_eq!(files(folder.path()), expected);
    let calls = sim.cluster.requests().of(SNAPSHOT);
    assert_eq!(calls.len(), 4);
    assert!(
        calls
            .iter()
            .all(|call| call.handled_by == [sim.cluster.node(0).name()])
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let file = folder.path().join("etcd-20260203T123000Z.snapshot");
        assert_eq!(
            fs::metadata(file).expect("there").permissions().mode() & 0o777,
            0o600
        );
    }
}

#[tokio::test]
async fn two_backups_of_one_second_do_not_replace_each_other() {
    let sim = one().await;
    let folder = tempfile::tempdir().expect("a folder");
    for _ in 0..2 {
        let backup = EtcdBackup::new(&sim.node(0)).prefix("lab").at(now());
        backup.to_folder(folder.path()).await.expect("saved");
    }
    assert_eq!(
        files(folder.path()),
        ["lab-20260131T123000Z-2.snapshot", "lab-20260131T123000Z.snapshot"]
    );
    for prefix in ["", "../lab", ".lab", "a/b"] {
        let backup = EtcdBackup::new(&sim.node(0)).prefix(prefix);
        let error = backup.to_folder(folder.path()).await.expect_err(prefix);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[tokio::test]
async fn any_writer_gets_the_same_bytes() {
    let sim = one().await;
    let written = EtcdBackup::new(&sim.node(0))
        .to_writer(Vec::new())
        .await
        .expect("written");
    assert_eq!(written.writer.len() as u64, written.bytes);
    assert_eq!(written.writer[written.writer.len() - 32..], written.sha256);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    let saved = EtcdBackup::new(&sim.node(0)).to_file(&path).await.expect("saved");
    assert_eq!(saved.bytes(), written.bytes);
    assert_eq!(files(folder.path()), ["db"]);
}

#[tokio::test]
async fn a_damaged_snapshot_removes_nothing() {
    let sim = one().await;
    let folder = tempfile::tempdir().expect("a folder");
    let backup = |day| EtcdBackup::new(&sim.node(0)).keep(1).at(now() + DAY * day);
    backup(0).to_folder(folder.path()).await.expect("saved");
    let before = files(folder.path());
    let cut = CallFault::on_node(sim.cluster.node(0).name())
        .method(SNAPSHOT)
        .after_messages(3)
        .disconnect();
    sim.cluster.inject(cut).expect("a fault");
    let error = backup(1).to_folder(folder.path()).await.expect_err("cut off");
    assert!(
        matches!(error.kind(), ErrorKind::Malformed | ErrorKind::Unavailable),
        "{error:#}"
    );
    assert_eq!(files(folder.path()), before);
    let error = backup(1).to_writer(Vec::new()).await.expect_err("cut off");
    assert!(
        matches!(error.kind(), ErrorKind::Malformed | ErrorKind::Unavailable),
        "{error:#}"
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_an_error_of_this_machine() {
    let sim = one().await;
    let full = tokio::fs::OpenOptions::new().write(true).open("/dev/full").await;
    let backup = EtcdBackup::new(&sim.node(0)).to_writer(full.expect("a device"));
    let error = backup.await.expect_err("full");
    assert_eq!(error.kind(), ErrorKind::Io, "{error:#}");
    assert!(format!("{error:#}").contains("No space left"), "{error:#}");
}

/// Runs the test below in a process that may write little.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_leaves_the_old_file_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = folder.path().join("etcd-20260131T123000Z.snapshot");
    fs::write(&old, "old").expect("written");
    // Without the signal, writing fails as it does on a full disk.
    let script =
        "trap '' XFSZ; ulimit -f 256; exec \"$0\" --exact --ignored workflow::etcd_backup::writes_little";
    let output = std::process::Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().expect("a path"))
        .env("TALOS_TEST_FOLDER", folder.path())
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    assert_eq!(fs::read(&old).expect("there"), b"old");
    assert_eq!(files(folder.path()).len(), 1, "no part is left");
}

#[tokio::test]
#[ignore = "run by `a_disk_that_fills_up_leaves_the_old_file_as_it_was`, with a limit on files"]
async fn writes_little() {
    let folder = std::env::var_os("TALOS_TEST_FOLDER").expect("the folder");
    let folder = Path::new(&folder);
    let sim = one().await;
    let backup = || EtcdBackup::new(&sim.node(0)).keep(1).at(now());
    let error = backup().to_folder(folder).await.expect_err("full");
    assert_eq!(error.kind(), ErrorKind::Io, "{error:#}");
    let path = folder.join("etcd-20260131T123000Z.snapshot");
    let error = backup().to_file(path).await.expect_err("full");
    assert_eq!(error.kind(), ErrorKind::Io, "{error:#}");
}

#[tokio::test]
async fn a_backup_is_there_or_not_wherever_the_connection_is_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let of = |sim: &Sim| {
        folder
            .path()
            .join(sim.cluster.node(0).socket_addr().port().to_string())
    };
    faulted::every_step(
        async || one().await,
        async |sim| EtcdBackup::new(&sim.node(0)).keep(1).to_folder(of(sim)).await,
        |error| error.is_retriable() || error.kind() == ErrorKind::Malformed,
        async |sim| {
            assert_eq!(files(&of(sim)).len(), 1);
            fs::remove_dir_all(of(sim)).expect("removed");
        },
    )
    .await;
}

#[tokio::test]
async fn what_is_no_snapshot_is_not_uploaded() {
    let sim = one().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    let saved = EtcdBackup::new(&sim.node(0)).to_file(&path).await.expect("saved");
    let mut bytes = fs::read(&path).expect("there");
    bytes[1000] ^= 1;
    fs::write(&path, &bytes).expect("written");
    sim.cluster.requests().clear();
    let recovery = || EtcdRecovery::new(&sim.node(0));
    let error = recovery().from_file(&path).await.expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:#}");
    let error = recovery()
        .from_file(folder.path().join("none"))
        .await
        .expect_err("missing");
    assert_eq!(error.kind(), ErrorKind::Io, "{error:#}");
    assert!(sim.cluster.requests().all().is_empty());

    // A whole one arrives byte for byte; this node has data already.
    bytes[1000] ^= 1;
    fs::write(&path, &bytes).expect("written");
    let error = recovery().from_file(&path).await.expect_err("it has data");
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error:#}");
    let uploaded = sim.cluster.node(0).read_file("/var/lib/etcd.snapshot");
    assert_eq!(uploaded.map(|bytes| bytes.len() as u64), Some(saved.bytes()));
}

/// A snapshot of a cluster in this folder.
async fn snapshot(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("db");
    let sim = one().await;
    EtcdBackup::new(&sim.node(0)).to_file(&path).await.expect("saved");
    path
}

async fn empty() -> Sim {
    Sim::of(SimCluster::builder().bootstrapped(false)).await
}

#[tokio::test]
async fn a_cluster_begins_with_a_snapshot() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = snapshot(folder.path()).await;
    let sim = empty().await;
    let mut run = EtcdRecovery::new(&sim.node(0)).from_file(&path);
    let mut last = None;
    while let Some(progress) = run.next_progress().await {
        last = Some(progress);
    }
    run.finish().await.expect("recovered");
    assert_eq!(last, Some(EtcdRecoveryProgress::Bootstrapping));
    let request: proto::BootstrapRequest = sim.received_by(0, "/machine.MachineService/Bootstrap");
    assert!(request.recover_etcd && !request.recover_skip_hash_check);
    assert!(sim.cluster.node(0).etcd_member_id().is_some());
}

#[tokio::test]
async fn a_recovery_is_done_or_can_be_repeated_wherever_the_connection_is_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = snapshot(folder.path()).await;
    faulted::every_step(
        empty,
        async |sim| EtcdRecovery::new(&sim.node(0)).from_file(&path).await,
        |error| error.is_retriable() || error.is_unreachable(),
        async |sim| assert!(sim.cluster.node(0).etcd_member_id().is_some()),
    )
    .await;
}
