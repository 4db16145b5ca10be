//! How nodes refuse.

use talos_client::{ErrorKind, Origin, Unimplemented};

use super::Subject;

// covers: machine.MachineService/Read
pub(super) async fn a_missing_file_is_not_found(subject: &Subject) {
    let node = subject.control_plane();
    let error = node.read("/no/such/file").await.expect_err("missing");
    assert_eq!(
        (error.kind(), error.origin()),
        (ErrorKind::NotFound, Origin::Node),
        "{error:#}"
    );
    assert_eq!(error.node(), Some(node.name()));
}

// covers: machine.MachineService/Read
pub(super) async fn a_folder_is_no_file(subject: &Subject) {
    let error = subject.control_plane().read("/etc").await.expect_err("a folder");
    assert_eq!(error.message(), Some("path must be a regular file"), "{error:#}");
}

// covers: machine.MachineService/Logs
pub(super) async fn an_unknown_log_is_an_error_of_the_node(subject: &Subject) {
    let error = subject
        .control_plane()
        .logs("nosuchservice")
        .send()
        .await
        .expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error:#}");
    let message = error.message().unwrap_or_default();
    assert!(
        message.contains(r#"log "nosuchservice" was not registered"#),
        "{message}"
    );
}

// covers: machine.MachineService/Bootstrap
// covers: machine.MachineService/Kubeconfig
pub(super) async fn workers_do_not_do_what_control_planes_do(subject: &Subject) {
    for worker in &subject.workers {
        let error = worker.kubeconfig().await.expect_err("a worker");
        assert_eq!(
            error.unimplemented(),
            Some(Unimplemented::ControlPlaneOnly),
            "{error:#}"
        );
        let error = worker.health_check().send().await.expect_err("a worker");
        assert_eq!(
            error.unimplemented(),
            Some(Unimplemented::ControlPlaneOnly),
            "{error:#}"
        );
    }
}

// covers: machine.MachineService/Version
pub(super) async fn an_unknown_node_is_unreachable_and_others_are_not(subject: &Subject) {
    let node = subject.client.node("no-such-node.invalid").expect("a name");
    let error = node.version().await.expect_err("nobody there");
    assert_eq!(
        (error.kind(), error.origin()),
        (ErrorKind::Unavailable, Origin::Endpoint),
        "{error:#}"
    );
    subject.control_plane().version().await.expect("there");
}

// covers: storage.StorageService/BlockDeviceWipe
pub(super) async fn an_unknown_disk_is_not_found(subject: &Subject) {
    let wipe = subject.control_plane().wipe_block_devices(["nosuchdevice"]);
    let error = wipe.send().await.expect_err("unknown");
    assert!(error.is_not_found(), "{error:#}");
}

// covers: machine.MachineService/ServiceStop
pub(super) async fn services_that_may_not_be_stopped_are_not(subject: &Subject) {
    let node = subject.control_plane();
    let error = node.stop_service("apid").await.expect_err("not allowed");
    let message = error.message().unwrap_or_default();
    assert!(
        message.contains("doesn't support stop operation via API"),
        "{error:#}"
    );
    node.version().await.expect("still there");
}
