//! Who may do what.

use std::time::Duration;

use talos_client::{Role, api::machine::RebootMode};

use super::Subject;

// covers: machine.MachineService/GenerateClientConfiguration
pub(super) async fn a_reader_may_look_and_no_more(subject: &Subject) {
    let issued = subject
        .control_plane()
        .generate_client_configuration([Role::Reader], Duration::from_secs(600))
        .send()
        .await
        .expect("issued");
    assert_eq!(issued.certificate().organizations(), ["os:reader"]);
    let mut talosconfig = subject.talosconfig.clone();
    talosconfig.renew(None, &issued).expect("renewed");
    let reader = subject.client_of(talosconfig);
    let node = reader
        .node(subject.control_plane().name().as_str())
        .expect("a name");
    node.version().await.expect("readers may look");
    let error = node
        .read("/etc/os-release")
        .await
        .expect_err("this needs an administrator");
    assert_eq!(error.required_roles(), [Role::Admin], "{error:#}");
    // Refused before anything happens, whatever the mode.
    let error = node
        .reboot()
        .mode(RebootMode::Force)
        .send()
        .await
        .expect_err("readers may not");
    assert_eq!(error.required_roles(), [Role::Admin, Role::Operator], "{error:#}");
}

// covers: machine.MachineService/Kubeconfig
pub(super) async fn a_kubeconfig_is_for_the_cluster(subject: &Subject) {
    let kubeconfig = subject.control_plane().kubeconfig().await.expect("made");
    let yaml = kubeconfig.as_yaml();
    for part in [
        "kind: Config",
        "client-certificate-data:",
        "current-context: admin@",
    ] {
        assert!(yaml.contains(part), "{part} is missing");
    }
}
