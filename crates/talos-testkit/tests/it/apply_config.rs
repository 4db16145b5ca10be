//! New configurations for machines that have one.

use std::time::Duration;

use prost::Message as _;
use talos_proto::cosi::resource::Resource;
use talos_proto::machine::apply_configuration_request::Mode;
use talos_proto::machine::{ApplyConfiguration, ApplyConfigurationRequest, RebootRequest};
use talos_proto::resource::config::MachineConfigSpec;
use talos_testkit::{Code, PlatformMode, SimCluster, SimNode};
use tonic::Status;

use crate::resources::{get, list, metadata, spec};
use crate::single;
use crate::wire::{Wire, failure};

const CONFIG: &str = "MachineConfigs.config.talos.dev";

pub(crate) fn request(config: &str, mode: Mode) -> ApplyConfigurationRequest {
    ApplyConfigurationRequest {
        data: config.to_owned().into(),
        mode: mode.into(),
        ..ApplyConfigurationRequest::default()
    }
}

pub(crate) async fn apply(
    wire: &Wire,
    request: ApplyConfigurationRequest,
) -> Result<ApplyConfiguration, Status> {
    let mut reply = wire.machine().apply_configuration(request).await?.into_inner();
    assert_eq!(reply.messages.len(), 1);
    Ok(reply.messages.remove(0))
}

/// The configuration of the node with a label more.
fn labelled(node: &SimNode, value: &str) -> String {
    let config = node.generated_machine_config();
    let changed = config.replacen(
        "machine:\n",
        &format!("machine:\n    nodeLabels:\n        rack: {value}\n"),
        1,
    );
    assert_ne!(config, changed);
    changed
}

/// The text that a resource holds, which both encodings agree about.
fn text(resource: &Resource) -> String {
    let proto = MachineConfigSpec::decode(spec(resource).proto_spec.clone()).unwrap();
    String::from_utf8(proto.yaml_marshalled.to_vec()).unwrap()
}

async fn held(wire: &Wire, id: &str) -> String {
    text(&get(wire, "config", CONFIG, id).await.unwrap())
}

#[tokio::test]
async fn the_configuration_is_a_resource_for_administrators() {
    let cluster = SimCluster::builder().workers(1).start().await.unwrap();
    for (index, role) in [(0, "controlplane"), (1, "worker")] {
        let node = cluster.node(index);
        let wire = Wire::admin(&cluster, &node).await;
        let found = list(&wire, "config", CONFIG).await.unwrap();
        let ids: Vec<_> = found.iter().map(|found| metadata(found).id.as_str()).collect();
        assert_eq!(ids, ["persistent", "v1alpha1"]);
        let config = node.machine_config().unwrap();
        for resource in &found {
            assert_eq!(text(resource), config);
            assert_eq!(metadata(resource).annotations["talos.dev/yaml-spec"], "1");
            assert_eq!(metadata(resource).version, "1");
            let yaml = &spec(resource).yaml_spec;
            assert!(
                yaml.starts_with("|\n    version: v1alpha1\n    debug: false\n"),
                "{yaml}"
            );
        }
        assert!(config.contains(&format!("\n    type: {role}\n")), "{config}");
        let token = cluster.machine_token();
        assert!(
            config.contains(&format!("\n    token: {token}\n")) || config.contains(&format!("\"{token}\""))
        );
        let reader = Wire::with_roles(&cluster, &node, &["os:reader", "os:operator"]).await;
        let (code, message) = failure(list(&reader, "config", CONFIG).await);
        assert_eq!(
            (code, message.as_str()),
            (Code::PermissionDenied, "not authorized")
        );
    }
    assert_ne!(cluster.node(0).machine_config(), cluster.node(1).machine_config());
}

#[tokio::test]
async fn before_1_12_the_resource_holds_the_documents_themselves() {
    let cluster = SimCluster::builder()
        .talos_version("v1.11.3")
        .start()
        .await
        .unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let found = get(&wire, "config", CONFIG, "v1alpha1").await.unwrap();
    assert!(metadata(&found).annotations.is_empty());
    assert_eq!(spec(&found).yaml_spec, text(&found));
    assert!(
        text(&found).contains("    install:\n        disk: "),
        "{}",
        text(&found)
    );
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn a_configuration_is_in_effect_at_once_and_stored() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    node.set_config_warnings(["careful"]);
    for (mode, value) in [(Mode::Auto, "a1"), (Mode::NoReboot, "a2")] {
        let config = labelled(&node, value);
        let reply = apply(&wire, request(&config, mode)).await.unwrap();
        assert_eq!(reply.mode(), Mode::NoReboot);
        assert_eq!(reply.mode_details, "Applied configuration without a reboot");
        assert_eq!(reply.warnings, ["careful"]);
        assert_eq!(held(&wire, "v1alpha1").await, config);
        assert_eq!(held(&wire, "persistent").await, config);
        let label = get(&wire, "k8s", "NodeLabelSpecs.k8s.talos.dev", "rack")
            .await
            .unwrap();
        assert_eq!(spec(&label).yaml_spec, format!("key: rack\nvalue: {value}\n"));
    }
    let versions = list(&wire, "config", CONFIG).await.unwrap();
    assert!(versions.iter().all(|resource| metadata(resource).version == "3"));
    apply(&wire, request(&node.generated_machine_config(), Mode::Auto))
        .await
        .unwrap();
    let labels = list(&wire, "k8s", "NodeLabelSpecs.k8s.talos.dev").await.unwrap();
    assert!(labels.iter().all(|label| metadata(label).id != "rack"));
    assert_eq!(node.running_sequence(), None);
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn what_a_configuration_says_shows_elsewhere() {
    let cluster = SimCluster::builder().control_planes(2).start().await.unwrap();
    let node = cluster.node(1);
    let wire = Wire::admin(&cluster, &node).await;
    let before = node.server_certificate().unwrap();
    let mut config = node.generated_machine_config();
    config = config.replace(
        "kind: HostnameConfig\nauto: stable\n",
        "kind: HostnameConfig\nhostname: other.example.org\n",
    );
    config.push_str(
        "---\napiVersion: v1alpha1\nkind: TimeSyncConfig\nntp:\n    servers:\n        - time.example.org\n",
    );
    apply(&wire, request(&config, Mode::Auto)).await.unwrap();
    let hostname = wire.machine().hostname(()).await.unwrap().into_inner();
    assert_eq!(hostname.messages[0].hostname, "other");
    let status = get(&wire, "network", "HostnameStatuses.net.talos.dev", "hostname")
        .await
        .unwrap();
    assert_eq!(
        spec(&status).yaml_spec,
        "hostname: other\ndomainname: example.org\n"
    );
    let time = wire.time().time(()).await.unwrap().into_inner();
    assert_eq!(time.messages[0].server, "time.example.org");
    let members = list(&wire, "cluster", "Members.cluster.talos.dev").await.unwrap();
    let ids: Vec<_> = members
        .iter()
        .map(|member| metadata(member).id.as_str())
        .collect();
    assert_eq!(ids, ["other", "sim-controlplane-1"]);
    // Other nodes find it by its new name.
    let first = Wire::admin(&cluster, &cluster.node(0)).await;
    let request = crate::wire::with((), &[("node", "other.example.org")]);
    let hostname = first.machine().hostname(request).await.unwrap().into_inner();
    assert_eq!(hostname.messages[0].hostname, "other");
    let after = node.server_certificate().unwrap();
    assert_ne!(before, after);
    let (_, certificate) = x509_parser::parse_x509_certificate(&after).unwrap();
    let names = format!(
        "{:?}",
        certificate.subject_alternative_name().unwrap().unwrap().value
    );
    assert!(names.contains("other.example.org"), "{names}");
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn a_staged_configuration_waits_for_the_next_boot() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let config = labelled(&node, "b1");
    let reply = apply(&wire, request(&config, Mode::Staged)).await.unwrap();
    assert_eq!(reply.mode(), Mode::Staged);
    assert_eq!(
        reply.mode_details,
        "Staged configuration to be applied after the next reboot"
    );
    assert_eq!(held(&wire, "v1alpha1").await, node.generated_machine_config());
    assert_eq!(held(&wire, "persistent").await, config);
    let boot_id = node.boot_id();
    wire.machine().reboot(RebootRequest::default()).await.unwrap();
    let wire = crate::power::ready_after(&cluster, &node, &boot_id).await;
    assert_eq!(held(&wire, "v1alpha1").await, config);
    assert!(
        get(&wire, "k8s", "NodeLabelSpecs.k8s.talos.dev", "rack")
            .await
            .is_ok()
    );
}

fn tried(config: &str, seconds: i64) -> ApplyConfigurationRequest {
    ApplyConfigurationRequest {
        try_mode_timeout: (seconds > 0).then_some(prost_types::Duration { seconds, nanos: 0 }),
        ..request(config, Mode::Try)
    }
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test(start_paused = true)]
async fn a_tried_configuration_is_given_up_in_time() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let config = labelled(&node, "c1");
    let reply = apply(&wire, tried(&config, 0)).await.unwrap();
    assert_eq!(reply.mode(), Mode::Try);
    assert_eq!(
        reply.mode_details,
        "Applied configuration without a reboot\nThe config is applied in 'try' mode and will be automatically \
         reverted back in 1m0s"
    );
    assert_eq!(node.machine_config().unwrap(), config);
    assert_eq!(
        node.persistent_machine_config().unwrap(),
        node.generated_machine_config()
    );
    tokio::time::advance(Duration::from_secs(61)).await;
    until(|| node.machine_config().unwrap() == node.generated_machine_config()).await;
    let resource = get(&wire, "config", CONFIG, "v1alpha1").await.unwrap();
    assert_eq!(text(&resource), node.generated_machine_config());
}

/// Lets other tasks run until `condition` holds.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test(start_paused = true)]
async fn a_second_try_goes_back_to_the_first() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let (first, second) = (labelled(&node, "d1"), labelled(&node, "d2"));
    apply(&wire, tried(&first, 600)).await.unwrap();
    apply(&wire, tried(&second, 1200)).await.unwrap();
    tokio::time::advance(Duration::from_secs(1201)).await;
    until(|| node.machine_config().unwrap() == first).await;
    tokio::time::advance(Duration::from_secs(10_000)).await;
    tokio::task::yield_now().await;
    assert_eq!(node.machine_config().unwrap(), first);
    assert_eq!(
        node.persistent_machine_config().unwrap(),
        node.generated_machine_config()
    );
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test(start_paused = true)]
async fn any_other_call_lets_a_tried_configuration_stay() {
    let others = [
        request("no configuration", Mode::Auto),
        ApplyConfigurationRequest {
            dry_run: true,
            ..request("machine: {}\n", Mode::NoReboot)
        },
    ];
    for other in others {
        let cluster = single().await;
        let node = cluster.node(0);
        let wire = Wire::admin(&cluster, &node).await;
        let config = labelled(&node, "e1");
        apply(&wire, tried(&config, 1)).await.unwrap();
        apply(&wire, other).await.unwrap_err();
        tokio::time::advance(Duration::from_secs(100)).await;
        tokio::task::yield_now().await;
        assert_eq!(node.machine_config().unwrap(), config);
        // It was never stored.
        assert_eq!(
            node.persistent_machine_config().unwrap(),
            node.generated_machine_config()
        );
    }
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn a_dry_run_shows_the_difference_and_changes_nothing() {
    let cluster = single().await;
    let node = cluster.node(0);
    node.set_config_warnings(["careful"]);
    let wire = Wire::admin(&cluster, &node).await;
    let dry = |config: &str, mode| ApplyConfigurationRequest {
        dry_run: true,
        ..request(config, mode)
    };
    let config = labelled(&node, "f1");
    let reply = apply(&wire, dry(&config, Mode::Staged)).await.unwrap();
    assert_eq!((reply.mode(), reply.warnings.len()), (Mode::Staged, 0));
    assert_eq!(
        reply.mode_details,
        "Dry run summary:\nStaged configuration to be applied after the next reboot (skipped in dry-run).\nConfig \
         diff:\n\n--- a\n+++ b\n@@ -2,6 +2,8 @@\n debug: false\n persist: true\n machine:\n+    nodeLabels:\n+        \
         rack: f1\n     type: controlplane\n     token: "
            .to_owned()
            + reply.mode_details.rsplit_once("     token: ").unwrap().1
    );
    let reply = apply(&wire, dry(&node.generated_machine_config(), Mode::Auto))
        .await
        .unwrap();
    assert_eq!(
        reply.mode_details,
        "Dry run summary:\nApplied configuration without a reboot (skipped in dry-run).\nConfig diff:\n\nNo changes."
    );
    assert_eq!(node.machine_config().unwrap(), node.generated_machine_config());
    assert_eq!(node.persistent_machine_config(), node.machine_config());
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn what_cannot_be_applied_is_refused_in_order() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let good = node.generated_machine_config();
    let worker = good.replacen("type: controlplane", "type: worker", 1);
    let untyped = good.replacen("    type: controlplane\n", "", 1);
    let plain = |config: &str, mode: i32| ApplyConfigurationRequest {
        data: config.to_owned().into(),
        mode,
        ..ApplyConfigurationRequest::default()
    };
    let cases = [
        (plain("machine: [\n", 0), Code::InvalidArgument, "yaml: line "),
        (
            plain("apiVersion: v1alpha1\nkind: Nonsense\n", 1),
            Code::InvalidArgument,
            "\"Nonsense\" \"v1alpha1\": not registered",
        ),
        (
            plain("machine: {}\nnonsense: 1\n", 1),
            Code::InvalidArgument,
            "unknown keys found during decoding:\nnonsense\n",
        ),
        (
            plain("apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: x\n", 0),
            Code::InvalidArgument,
            "the applied machine configuration doesn't contain v1alpha1 config, did you mean to patch the machine \
             config instead?",
        ),
        (
            plain(&untyped, 0),
            Code::Unimplemented,
            "the REBOOT mode is not supported, please use AUTO or NO_REBOOT modes instead",
        ),
        (
            plain(&untyped, 77),
            Code::InvalidArgument,
            "1 error occurred:\n\t* machine type is required\n",
        ),
        (
            plain(&good, 77),
            Code::InvalidArgument,
            "incorrect mode '77' specified for the apply config call",
        ),
        (plain(&worker, 1), Code::InvalidArgument, ""),
    ];
    for (request, code, text) in cases {
        let mode = request.mode;
        let (found, message) = failure(apply(&wire, request).await);
        assert_eq!(found, code, "{mode}: {message}");
        assert!(message.starts_with(text), "{mode}: {message}");
    }
    let kind = good
        .replace("kind: KubeletConfig", "x: 1")
        .replace("type: controlplane", "type: init");
    assert_eq!(
        apply(&wire, request(&kind, Mode::Auto)).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    assert_eq!(node.machine_config().unwrap(), good);

    node.set_apply_in_progress(true);
    let (code, message) = failure(apply(&wire, request(&good, Mode::Auto)).await);
    assert_eq!(code, Code::FailedPrecondition);
    assert_eq!(message, "another apply configuration is already in progress");
    node.set_apply_in_progress(false);
    let operator = Wire::with_roles(&cluster, &node, &["os:operator", "os:reader"]).await;
    let (code, message) = failure(apply(&operator, request(&good, Mode::Auto)).await);
    assert_eq!(
        (code, message.as_str()),
        (Code::PermissionDenied, "not authorized")
    );
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn the_platform_has_a_say() {
    let agent = SimCluster::builder()
        .platform(PlatformMode::MetalAgent)
        .start()
        .await
        .unwrap();
    let wire = Wire::admin(&agent, &agent.node(0)).await;
    let (code, message) = failure(apply(&wire, request("", Mode::Auto)).await);
    assert_eq!(
        (code, message.as_str()),
        (Code::Unimplemented, "API is not implemented in agent mode")
    );

    let container = SimCluster::builder()
        .platform(PlatformMode::Container)
        .start()
        .await
        .unwrap();
    let node = container.node(0);
    let wire = Wire::admin(&container, &node).await;
    let config = labelled(&node, "g1").replace("forwardKubeDNSToHost: true", "forwardKubeDNSToHost: false");
    let (code, message) = failure(apply(&wire, request(&config, Mode::Auto)).await);
    assert_eq!(code, Code::InvalidArgument);
    assert!(message.contains("forwardKubeDNSToHost"), "{message}");
    apply(&wire, request(&labelled(&node, "g1"), Mode::Auto))
        .await
        .unwrap();
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn before_1_14_a_configuration_may_take_a_reboot() {
    let cluster = SimCluster::builder()
        .talos_version("v1.13.2")
        .start()
        .await
        .unwrap();
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let reply = apply(&wire, request(&labelled(&node, "h1"), Mode::Auto))
        .await
        .unwrap();
    assert_eq!(reply.mode(), Mode::NoReboot);
    let files = labelled(&node, "h2").replacen("machine:\n", "machine:\n    env:\n        A: b\n", 1);
    let (code, _) = failure(apply(&wire, request(&files, Mode::NoReboot)).await);
    assert_eq!(code, Code::InvalidArgument);
    let boot_id = node.boot_id();
    let reply = apply(&wire, request(&files, Mode::Auto)).await.unwrap();
    assert_eq!(reply.mode, 0, "the number of REBOOT");
    assert_eq!(
        reply.mode_details,
        "Applied configuration with a reboot: machine.env changes"
    );
    let wire = crate::power::ready_after(&cluster, &node, &boot_id).await;
    assert_eq!(held(&wire, "v1alpha1").await, files);
    let boot_id = node.boot_id();
    let plain = ApplyConfigurationRequest {
        data: node.generated_machine_config().into(),
        ..ApplyConfigurationRequest::default()
    };
    let reply = apply(&wire, plain).await.unwrap();
    assert_eq!(reply.mode, 0);
    let wire = crate::power::ready_after(&cluster, &node, &boot_id).await;
    assert_eq!(held(&wire, "v1alpha1").await, node.generated_machine_config());
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn a_large_configuration_comes_back_whole() {
    let cluster = SimCluster::builder()
        .control_planes(2)
        .recording(false)
        .start()
        .await
        .unwrap();
    let node = cluster.node(1);
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let padding = "x".repeat(11 << 20);
    let config = format!(
        "{}---\napiVersion: v1alpha1\nkind: EnvironmentConfig\nvariables:\n    A: {padding}\n",
        node.generated_machine_config()
    );
    let metadata = [("node", "10.5.0.3")];
    let message = crate::wire::with(request(&config, Mode::Auto), &metadata);
    wire.machine().apply_configuration(message).await.unwrap();
    let get = talos_proto::cosi::resource::GetRequest {
        namespace: "config".to_owned(),
        r#type: CONFIG.to_owned(),
        id: "v1alpha1".to_owned(),
        options: None,
    };
    let reply = wire
        .state()
        .max_decoding_message_size(32 << 20)
        .get(crate::wire::with(get, &metadata))
        .await;
    let found = reply.unwrap().into_inner().resource.unwrap();
    assert_eq!(text(&found).len(), config.len());
}
