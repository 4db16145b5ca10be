//! Machine configurations: applying them in all ways, and the resources that show them.

use std::time::Duration;

use talos_proto::cosi::resource::GetRequest;
use talos_proto::machine::apply_configuration_request::Mode;
use talos_proto::machine::{ApplyConfiguration, ApplyConfigurationRequest, RebootRequest};
use talos_testkit::{Code, PlatformMode, SimCluster, SimNode};
use tonic::Status;

use crate::power::ready_after;
use crate::single;
use crate::wire::Wire;

pub(crate) async fn apply(
    wire: &Wire,
    text: &str,
    mode: Mode,
    change: impl FnOnce(&mut ApplyConfigurationRequest),
) -> Result<ApplyConfiguration, Status> {
    let mut request = ApplyConfigurationRequest {
        data: text.as_bytes().to_vec().into(),
        mode: mode.into(),
        ..ApplyConfigurationRequest::default()
    };
    change(&mut request);
    let reply = wire.machine().apply_configuration(request).await?.into_inner();
    assert_eq!(reply.messages.len(), 1);
    Ok(reply.messages[0].clone())
}

/// The configuration that a resource holds, read from its YAML as a client reads it.
async fn resource(wire: &Wire, id: &str) -> Option<String> {
    let request = GetRequest {
        namespace: "config".to_owned(),
        r#type: "MachineConfigs.config.talos.dev".to_owned(),
        id: id.to_owned(),
        options: None,
    };
    let reply = match wire.state().get(request).await {
        Ok(reply) => reply.into_inner(),
        Err(status) if status.code() == Code::NotFound => return None,
        Err(status) => panic!("{status}"),
    };
    let resource = reply.resource.unwrap();
    assert_eq!(resource.metadata.unwrap().annotations["talos.dev/yaml-spec"], "1");
    let yaml = resource.spec.unwrap().yaml_spec;
    let lines = yaml.strip_prefix("|\n").unwrap().lines();
    Some(
        lines
            .map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line)))
            .collect(),
    )
}

/// The node's configuration with another line in it.
fn with_sysctl(node: &SimNode, value: u32) -> String {
    let text = node.machine_config().unwrap();
    text.replace(
        "    certSANs: []\n",
        &format!("    certSANs: []\n    sysctls:\n        a.b: \"{value}\"\n"),
    )
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn a_configuration_is_applied_at_once_and_kept() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let before = node.machine_config().unwrap();
    assert_eq!(resource(&wire, "v1alpha1").await.unwrap(), before);
    let text = with_sysctl(&node, 1);
    let applied = apply(&wire, &text, Mode::Auto, |_| {}).await.unwrap();
    assert_eq!(applied.mode(), Mode::NoReboot, "AUTO never reboots");
    assert_eq!(applied.mode_details, "Applied configuration without a reboot");
    for id in ["v1alpha1", "persistent"] {
        assert_eq!(resource(&wire, id).await.unwrap(), text, "{id}");
    }
    let boot = node.boot_id();
    wire.machine().reboot(RebootRequest::default()).await.unwrap();
    let wire = ready_after(&cluster, &node, &boot).await;
    assert_eq!(resource(&wire, "v1alpha1").await.unwrap(), text);
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn a_staged_configuration_waits_for_the_next_boot() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let before = node.machine_config().unwrap();
    let text = with_sysctl(&node, 2);
    let applied = apply(&wire, &text, Mode::Staged, |_| {}).await.unwrap();
    assert_eq!(applied.mode(), Mode::Staged);
    assert_eq!(
        applied.mode_details,
        "Staged configuration to be applied after the next reboot"
    );
    assert_eq!(resource(&wire, "v1alpha1").await.unwrap(), before);
    assert_eq!(resource(&wire, "persistent").await.unwrap(), text);
    let boot = node.boot_id();
    wire.machine().reboot(RebootRequest::default()).await.unwrap();
    let wire = ready_after(&cluster, &node, &boot).await;
    assert_eq!(resource(&wire, "v1alpha1").await.unwrap(), text);
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test(start_paused = true)]
async fn a_configuration_on_trial_is_taken_back_in_time() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let before = node.machine_config().unwrap();
    let tried = with_sysctl(&node, 3);
    let applied = apply(&wire, &tried, Mode::Try, |_| {}).await.unwrap();
    assert_eq!(applied.mode(), Mode::Try);
    assert_eq!(
        applied.mode_details,
        "Applied configuration without a reboot\nThe config is applied in 'try' mode and will be automatically \
         reverted back in 1m0s"
    );
    assert_eq!(resource(&wire, "v1alpha1").await.unwrap(), tried);
    assert_eq!(resource(&wire, "persistent").await.unwrap(), before);
    tokio::time::advance(Duration::from_secs(58)).await;
    assert_eq!(node.machine_config().unwrap(), tried);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(resource(&wire, "v1alpha1").await.unwrap(), before);

    // A second trial goes back to the first one.
    let second = with_sysctl(&node, 4);
    let short = |request: &mut ApplyConfigurationRequest| {
        request.try_mode_timeout = Some(prost_types::Duration {
            seconds: 1,
            nanos: 500_000_000,
        });
    };
    apply(&wire, &tried, Mode::Try, |_| {}).await.unwrap();
    let applied = apply(&wire, &second, Mode::Try, short).await.unwrap();
    assert!(applied.mode_details.ends_with("reverted back in 1.5s"));
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(node.machine_config().unwrap(), tried);

    // Any other call lets a trial stay, a refused one as well.
    apply(&wire, &second, Mode::Try, short).await.unwrap();
    apply(&wire, "nonsense: [", Mode::Auto, |_| {}).await.unwrap_err();
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(node.machine_config().unwrap(), second);
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn a_dry_run_shows_the_difference_and_changes_nothing() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let before = node.machine_config().unwrap();
    let dry = |request: &mut ApplyConfigurationRequest| request.dry_run = true;
    let shown = apply(&wire, &with_sysctl(&node, 5), Mode::Auto, dry)
        .await
        .unwrap();
    let (summary, diff) = shown.mode_details.split_once("Config diff:\n\n").unwrap();
    assert_eq!(
        summary,
        "Dry run summary:\nApplied configuration without a reboot (skipped in dry-run).\n"
    );
    assert!(diff.starts_with("--- a\n+++ b\n@@ -"), "{diff}");
    assert!(diff.contains("\n+    sysctls:\n+        a.b: \"5\"\n"), "{diff}");
    assert!(!diff.contains("\n-"), "{diff}");
    let shown = apply(&wire, &before, Mode::Staged, dry).await.unwrap();
    assert_eq!(
        shown.mode_details,
        "Dry run summary:\nStaged configuration to be applied after the next reboot (skipped in dry-run).\nConfig \
         diff:\n\nNo changes."
    );
    assert_eq!(node.machine_config().unwrap(), before);
    let status = apply(&wire, "version: v1alpha1\n", Mode::Auto, dry)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "it is checked all the same");
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn refusals_come_in_order() {
    let cluster = SimCluster::builder()
        .control_planes(1)
        .workers(1)
        .start()
        .await
        .unwrap();
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let worker = cluster.node(1).machine_config().unwrap();
    let good = node.machine_config().unwrap();
    let refusal = async |text: &str, mode: i32| {
        let status = apply(&wire, text, Mode::Auto, |request| request.mode = mode)
            .await
            .unwrap_err();
        (status.code(), status.message().to_owned())
    };
    let auto = Mode::Auto.into();
    let (code, text) = refusal("a: [", auto).await;
    assert_eq!(code, Code::InvalidArgument, "{text}");
    let partial = "apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: x\n";
    let text = "the applied machine configuration doesn't contain v1alpha1 config, did you mean to patch the machine \
                config instead?";
    assert_eq!(
        refusal(partial, 0).await,
        (Code::InvalidArgument, text.to_owned())
    );
    let text = "the REBOOT mode is not supported, please use AUTO or NO_REBOOT modes instead";
    assert_eq!(refusal(&worker, 0).await, (Code::Unimplemented, text.to_owned()));
    let (code, text) = refusal(&worker, 77).await;
    assert_eq!(code, Code::InvalidArgument);
    assert!(
        text.starts_with("1 error occurred:\n\t* machine type can't be changed"),
        "{text}"
    );
    let text = "incorrect mode '77' specified for the apply config call";
    assert_eq!(refusal(&good, 77).await, (Code::InvalidArgument, text.to_owned()));
    let reader = Wire::with_roles(&cluster, &node, &["os:reader"]).await;
    let status = apply(&reader, "a: [", Mode::Auto, |_| {}).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::PermissionDenied, "not authorized")
    );
    node.set_apply_in_progress(true);
    let status = apply(&reader, "a: [", Mode::Auto, |_| {}).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(
        status.message(),
        "another apply configuration is already in progress"
    );
    node.set_apply_in_progress(false);
    apply(&wire, &good, Mode::Auto, |_| {}).await.unwrap();
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn agents_take_no_configuration() {
    let cluster = SimCluster::builder()
        .platform(PlatformMode::MetalAgent)
        .start()
        .await
        .unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let status = apply(&wire, "", Mode::Auto, |_| {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn before_1_14_a_request_without_a_mode_reboots() {
    let cluster = SimCluster::builder()
        .talos_version("v1.13.2")
        .start()
        .await
        .unwrap();
    let node = cluster.node(0);
    let boot = node.boot_id();
    let wire = Wire::admin(&cluster, &node).await;
    let text = with_sysctl(&node, 6);
    let applied = apply(&wire, &text, Mode::Auto, |request| request.mode = 0)
        .await
        .unwrap();
    assert_eq!(applied.mode, 0);
    let wire = ready_after(&cluster, &node, &boot).await;
    assert_eq!(resource(&wire, "v1alpha1").await.unwrap(), text);
}
