//! What changes a cluster, and puts it back.

use super::Subject;

// covers: machine.MachineService/ServiceRestart
pub(super) async fn kubelet_is_restarted(subject: &Subject) {
    let node = subject.control_plane();
    let words = node.restart_service("kubelet").await.expect("allowed");
    assert_eq!(words, r#"Service "kubelet" restarted"#);
    let kubelet = node.service("kubelet").await.expect("answered").expect("exists");
    let restarted = kubelet
        .events
        .iter()
        .filter(|event| event.message.contains("Starting service"))
        .count();
    assert!(restarted > 0, "{kubelet:?}");
}
