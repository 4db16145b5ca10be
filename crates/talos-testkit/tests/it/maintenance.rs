//! Machines that have no configuration yet.

use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::Full;
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use talos_proto::machine::apply_configuration_request::Mode;
use talos_proto::machine::{
    ApplyConfigurationRequest, BootstrapRequest, EventsRequest, PhaseEvent, RebootRequest,
    ResetPartitionSpec, ResetRequest, SequenceEvent, ServiceStateEvent, TaskEvent, UpgradeRequest,
    phase_event, service_state_event, task_event,
};
use talos_proto::storage::{BlockDeviceWipeDescriptor, BlockDeviceWipeRequest};
use talos_testkit::{Code, PlatformMode, SimCluster, SimEvent, SimNode};
use tonic::body::Body;

use crate::apply_config::{apply, request};
use crate::events::{decode, subscribe, until};
use crate::resources::{get, list, metadata, spec};
use crate::wire::{Wire, failure, final_status, frame, handshake, with};

/// Takes any certificate, and looks at the signature only.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Connects as somebody who trusts anybody and shows nothing.
async fn anonymous(address: SocketAddr) -> Wire {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Wire::over(handshake(address, config).await.unwrap(), address).await
}

/// A node that waits for its configuration, in a cluster without another one.
async fn waiting() -> (SimCluster, SimNode, Wire) {
    waiting_with("v1.14.0").await
}

async fn waiting_with(tag: &str) -> (SimCluster, SimNode, Wire) {
    let cluster = SimCluster::builder()
        .maintenance(..)
        .talos_version(tag)
        .start()
        .await
        .unwrap();
    let node = cluster.node(0);
    let wire = anonymous(node.socket_addr()).await;
    (cluster, node, wire)
}

fn decoded<M: prost::Message + Default>(event: &SimEvent, name: &str) -> Option<M> {
    (event.name == name).then(|| M::decode(event.value.clone()).unwrap())
}

/// Waits until etcd is all that a boot other than `boot_id` waits for.
async fn etcd_waits_after(node: &SimNode, boot_id: &str) {
    let waits = |event: &SimEvent| {
        node.boot_id() != boot_id
            && decoded::<ServiceStateEvent>(event, "machine.ServiceStateEvent").is_some_and(|event| {
                event.service == "etcd" && event.action() == service_state_event::Action::Preparing
            })
    };
    node.wait_for_event(waits).await;
}

#[tokio::test]
async fn the_certificate_says_maintenance_and_is_signed_by_nobody() {
    let (cluster, node, _) = waiting().await;
    let der = node.server_certificate().unwrap();
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert_eq!(
        certificate.subject().to_string(),
        "CN=maintenance-service.talos.dev"
    );
    let names = certificate.subject_alternative_name().unwrap().unwrap().value;
    let names = format!("{names:?}");
    assert!(names.contains("sim-controlplane-1"), "{names}");
    let trusting = crate::wire::client_config(cluster.authority().certificate_der(), None);
    let refusal = handshake(node.socket_addr(), trusting).await.unwrap_err();
    // Both authorities are called `O=talos`.
    assert!(refusal.to_string().contains("BadSignature"), "{refusal}");
    let fingerprint = node.fingerprint().unwrap();
    assert_eq!(fingerprint.len(), 44);
    // Another boot, another authority and key.
    let boot_id = node.boot_id();
    node.kill();
    node.revive().unwrap();
    while node.boot_id() == boot_id {
        tokio::task::yield_now().await;
    }
    node.wait_until_in_maintenance().await;
    assert_ne!(node.fingerprint().unwrap(), fingerprint);
}

#[tokio::test]
async fn a_machine_without_configuration_says_so() {
    let (cluster, node, wire) = waiting().await;
    assert!(node.is_in_maintenance());
    assert_eq!(node.running_sequence(), Some("initialize"));
    assert_eq!(
        (node.machine_config(), node.persistent_machine_config()),
        (None, None)
    );
    let status = get(&wire, "runtime", "MachineStatuses.runtime.talos.dev", "machine")
        .await
        .unwrap();
    assert!(
        spec(&status)
            .yaml_spec
            .starts_with("stage: maintenance\nstatus:\n    ready: true\n")
    );
    let kind = get(&wire, "config", "MachineTypes.config.talos.dev", "machine-type")
        .await
        .unwrap();
    assert_eq!(spec(&kind).yaml_spec, "unknown\n");
    let version = wire.machine().version(()).await.unwrap().into_inner();
    assert!(version.messages[0].features.is_none() && version.messages[0].version.is_some());
    let services = wire.machine().service_list(()).await.unwrap().into_inner();
    let services: Vec<_> = services.messages[0]
        .services
        .iter()
        .map(|service| service.id.as_str())
        .collect();
    assert_eq!(
        services,
        [
            "apid",
            "auditd",
            "containerd",
            "dashboard",
            "machined",
            "syslogd",
            "udevd"
        ]
    );
    let members = list(&wire, "cluster", "Members.cluster.talos.dev").await.unwrap();
    assert!(members.is_empty());
    let volumes = list(&wire, "runtime", "VolumeStatuses.block.talos.dev")
        .await
        .unwrap();
    assert!(
        volumes
            .iter()
            .all(|volume| spec(volume).yaml_spec.starts_with("phase: missing\n")),
        "it is not installed"
    );
    // Roles and routes that a caller asks for count for nothing.
    let asked = [
        ("talos-role", "os:admin"),
        ("node", "10.5.0.77"),
        ("node", "10.5.0.78"),
        ("proxyfrom", "x"),
    ];
    wire.machine().version(with((), &asked)).await.unwrap();
    let (code, message) = failure(
        wire.machine()
            .reboot(with(RebootRequest::default(), &asked))
            .await,
    );
    assert_eq!(
        (code, message.as_str()),
        (Code::PermissionDenied, "not authorized")
    );
    let calls = cluster.requests().of("Version");
    assert!(calls.iter().all(|call| call.handled_by == ["10.5.0.2"]));
}

#[tokio::test]
async fn anybody_may_call_what_the_table_says() {
    let table = include_str!("../data/rpcs.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'));
    for line in table {
        let columns: Vec<_> = line.split('\t').collect();
        let (path, expected) = (columns[0], columns[4]);
        let (_cluster, _, wire) = waiting().await;
        let body = Body::new(Full::new(frame(b"")));
        let response = wire.raw(path, &[("grpc-timeout", "50m")], body).await;
        let status = final_status(response).await;
        let denied = status.code() == Code::PermissionDenied && status.message() == "not authorized";
        let writes = status.message() == "write access is not allowed";
        match expected {
            "denied" => assert!(denied || writes, "{path}: {status}"),
            "unimplemented" => {
                assert_eq!(status.code(), Code::Unimplemented, "{path}: {status}");
                assert!(
                    status
                        .message()
                        .starts_with("machine type is not set, cannot use "),
                    "{path}: {status}"
                );
            }
            _ => {
                assert!(!denied, "{path}: {status}");
            }
        }
        let allowed = [
            Code::Ok,
            Code::PermissionDenied,
            Code::Unimplemented,
            Code::InvalidArgument,
            Code::DeadlineExceeded,
            Code::Cancelled,
        ];
        assert!(allowed.contains(&status.code()), "{path}: {status}");
    }
}

#[tokio::test]
async fn secrets_are_for_administrators() {
    let (_cluster, node, wire) = waiting().await;
    let config = "MachineConfigs.config.talos.dev";
    let (code, message) = failure(list(&wire, "config", config).await);
    assert_eq!(
        (code, message.as_str()),
        (Code::PermissionDenied, "not authorized")
    );
    list(&wire, "network", "NodeAddresses.net.talos.dev")
        .await
        .unwrap();
    node.set_siderolink(true);
    let wire = anonymous(node.socket_addr()).await;
    assert!(list(&wire, "config", config).await.unwrap().is_empty());
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn a_configuration_installs_the_machine_and_makes_it_a_node() {
    let (cluster, node, wire) = waiting().await;
    let boot_id = node.boot_id();
    let (_, mut events) = subscribe(&wire, EventsRequest::default()).await;
    let plain = ApplyConfigurationRequest {
        data: node.generated_machine_config().into(),
        ..ApplyConfigurationRequest::default()
    };
    let reply = apply(&wire, plain).await.unwrap();
    assert_eq!(reply.mode(), Mode::NoReboot);
    assert_eq!(reply.mode_details, "Applied configuration without a reboot");
    let end = until(&mut events, |event| {
        decode::<TaskEvent>(event, "machine.TaskEvent").is_some_and(|task| {
            task.task == "runningMaintenance" && task.action() == task_event::Action::Stop
        })
    })
    .await;
    assert_eq!(end.actor_id, "");
    // Its controller installs it, and etcd waits to be bootstrapped.
    etcd_waits_after(&node, &boot_id).await;
    let wire = Wire::admin(&cluster, &node).await;
    let kind = get(&wire, "config", "MachineTypes.config.talos.dev", "machine-type")
        .await
        .unwrap();
    assert_eq!(spec(&kind).yaml_spec, "controlplane\n");
    wire.machine()
        .bootstrap(BootstrapRequest::default())
        .await
        .unwrap();
    node.wait_until_ready().await;
    let members = list(&wire, "cluster", "Members.cluster.talos.dev").await.unwrap();
    assert_eq!(metadata(&members[0]).id, "sim-controlplane-1");
    assert_eq!(node.machine_config().unwrap(), node.generated_machine_config());
    let disks = wire.storage().disks(()).await.unwrap().into_inner();
    assert!(disks.messages[0].disks[0].system_disk);
    // Whoever shows no certificate is not let in any more.
    let config = crate::wire::client_config(cluster.authority().certificate_der(), None);
    let stream = handshake(node.socket_addr(), config).await.unwrap();
    let stranger = Wire::over(stream, node.socket_addr()).await;
    assert_eq!(
        stranger.machine().version(()).await.unwrap_err().code(),
        Code::Unknown
    );
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn an_older_configuration_installs_in_a_sequence_of_its_own() {
    let (cluster, node, wire) = waiting_with("v1.13.2").await;
    let boot_id = node.boot_id();
    node.hold_task("install");
    let config = node.generated_machine_config();
    assert!(config.contains("    install:\n"), "{config}");
    apply(&wire, request(&config, Mode::Auto)).await.unwrap();
    let installs = |event: &SimEvent| {
        decoded::<PhaseEvent>(event, "machine.PhaseEvent")
            .is_some_and(|phase| phase.phase == "install" && phase.action() == phase_event::Action::Start)
    };
    node.wait_for_event(installs).await;
    assert_eq!(node.running_sequence(), Some("install"));
    let secure = Wire::admin(&cluster, &node).await;
    let status = get(&secure, "runtime", "MachineStatuses.runtime.talos.dev", "machine")
        .await
        .unwrap();
    assert!(spec(&status).yaml_spec.starts_with("stage: installing\n"));
    node.release_task("install");
    etcd_waits_after(&node, &boot_id).await;
    assert!(node.bootstrap());
    node.wait_until_ready().await;
    assert_eq!(node.persistent_machine_config().unwrap(), config);
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn a_machine_joins_the_cluster_that_is_there() {
    let cluster = SimCluster::builder()
        .control_planes(2)
        .workers(1)
        .maintenance(1..)
        .start()
        .await
        .unwrap();
    let first = Wire::admin(&cluster, &cluster.node(0)).await;
    let hidden = with((), &[("node", "10.5.0.4")]);
    let (code, message) = failure(first.machine().version(hidden).await);
    assert_eq!(code, Code::Unavailable);
    assert!(
        message.contains("certificate signed by unknown authority"),
        "{message}"
    );
    for index in [1, 2] {
        let node = cluster.node(index);
        assert!(node.is_in_maintenance());
        let wire = anonymous(node.socket_addr()).await;
        let boot_id = node.boot_id();
        apply(&wire, request(&node.generated_machine_config(), Mode::Auto))
            .await
            .unwrap();
        node.wait_until_ready_after(&boot_id).await;
    }
    let members = list(&first, "cluster", "Members.cluster.talos.dev")
        .await
        .unwrap();
    assert_eq!(members.len(), 3);
    assert!(cluster.node(1).etcd_is_running());
    assert!(cluster.node(1).trustd_addr().unwrap().is_some());
    let found = first
        .machine()
        .version(with((), &[("node", "10.5.0.4")]))
        .await
        .unwrap()
        .into_inner();
    assert!(found.messages[0].features.is_some());
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn a_part_of_a_configuration_is_kept_until_the_next_boot() {
    let (_cluster, node, wire) = waiting().await;
    let part = "apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: early\n";
    let reply = apply(&wire, request(part, Mode::Auto)).await.unwrap();
    assert_eq!(reply.mode(), Mode::NoReboot);
    assert!(node.is_in_maintenance());
    assert_eq!(node.machine_config().as_deref(), Some(part));
    let hostname = wire.machine().hostname(()).await.unwrap().into_inner();
    assert_eq!(hostname.messages[0].hostname, "early");
    let boot_id = node.boot_id();
    node.kill();
    node.revive().unwrap();
    while node.boot_id() == boot_id {
        tokio::task::yield_now().await;
    }
    node.wait_until_in_maintenance().await;
    assert_eq!(node.machine_config(), None);
}

fn volumes(labels: &[&str]) -> Vec<ResetPartitionSpec> {
    let volumes = labels.iter().map(|label| ResetPartitionSpec {
        label: (*label).to_owned(),
        wipe: true,
    });
    volumes.collect()
}

// covers: machine.MachineService/Reset
#[tokio::test]
async fn a_machine_whose_configuration_is_wiped_waits_for_another_one() {
    for labels in [&[][..], &["STATE", "EPHEMERAL"]] {
        let cluster = SimCluster::builder().workers(1).start().await.unwrap();
        let node = cluster.node(1);
        let wire = Wire::admin(&cluster, &node).await;
        let reset = ResetRequest {
            reboot: true,
            system_partitions_to_wipe: volumes(labels),
            ..ResetRequest::default()
        };
        wire.machine().reset(reset).await.unwrap();
        node.wait_until_in_maintenance().await;
        let wire = anonymous(node.socket_addr()).await;
        assert_eq!(node.machine_config(), None);
        let disks = wire.storage().disks(()).await.unwrap().into_inner();
        assert_eq!(disks.messages[0].disks[0].system_disk, !labels.is_empty());
        let boot_id = node.boot_id();
        apply(&wire, request(&node.generated_machine_config(), Mode::Auto))
            .await
            .unwrap();
        if labels.is_empty() {
            node.wait_until_ready_after(&boot_id).await;
        } else {
            node.wait_until_ready().await;
            assert_eq!(node.boot_id(), boot_id, "it is installed");
        }
    }
}

#[tokio::test]
#[expect(deprecated, reason = "older clients upgrade so")]
async fn an_administrator_can_do_what_can_be_done_without_a_configuration() {
    let (_cluster, node, _) = waiting().await;
    node.set_siderolink(true);
    let wire = anonymous(node.socket_addr()).await;
    let (code, message) = failure(
        wire.machine()
            .upgrade(UpgradeRequest {
                image: "installer:v1.15.0".to_owned(),
                ..UpgradeRequest::default()
            })
            .await,
    );
    assert_eq!(
        (code, message.as_str()),
        (Code::FailedPrecondition, "Talos is not installed")
    );
    // A reset waits for nobody: the sequence that is there does not make room for it.
    wire.machine().reset(ResetRequest::default()).await.unwrap();
    let locked = node.events().into_iter().rev().find_map(|event| {
        let sequence = decoded::<SequenceEvent>(&event, "machine.SequenceEvent")?;
        (sequence.sequence == "reset").then_some(sequence.error?.message)
    });
    assert_eq!(locked.unwrap(), "sequence not started: locked");
    let wipe = BlockDeviceWipeRequest {
        devices: vec![BlockDeviceWipeDescriptor {
            device: "vda".to_owned(),
            ..BlockDeviceWipeDescriptor::default()
        }],
    };
    wire.storage().block_device_wipe(wipe).await.unwrap();
    let boot_id = node.boot_id();
    wire.machine().reboot(RebootRequest::default()).await.unwrap();
    while node.boot_id() == boot_id {
        tokio::task::yield_now().await;
    }
    node.wait_until_in_maintenance().await;
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn before_1_13_maintenance_is_a_small_server() {
    let (_cluster, node, wire) = waiting_with("v1.12.4").await;
    let (code, message) = failure(wire.machine().version(()).await);
    assert_eq!(
        (code, message.as_str()),
        (Code::Unimplemented, "API is not implemented in maintenance mode")
    );
    let (code, message) = failure(wire.machine().memory(()).await);
    assert_eq!(
        (code, message.as_str()),
        (Code::Unimplemented, "method Memory not implemented")
    );
    let (code, message) = failure(wire.time().time(()).await);
    assert_eq!(
        (code, message.as_str()),
        (Code::Unimplemented, "unknown service time.TimeService")
    );
    wire.storage().disks(()).await.unwrap();
    list(&wire, "network", "NodeAddresses.net.talos.dev")
        .await
        .unwrap();
    let config = node.generated_machine_config();
    let mut dry = request(&config, Mode::Auto);
    dry.dry_run = true;
    let reply = apply(&wire, dry).await.unwrap();
    assert_eq!(
        reply.mode_details,
        "Dry run summary:\nNode is running in maintenance mode and does not have a config yet."
    );
    for (mode, name) in [(Mode::NoReboot, "no-reboot"), (Mode::Staged, "staged")] {
        let (code, message) = failure(apply(&wire, request(&config, mode)).await);
        assert_eq!(code, Code::Unimplemented);
        assert_eq!(
            message,
            format!("apply configuration --mode='{name}' is not supported in maintenance mode")
        );
    }
    let (code, message) = failure(apply(&wire, request("machine: [\n", Mode::Auto)).await);
    assert_eq!(code, Code::Unknown);
    assert!(
        message.starts_with("failed to parse config: yaml: line "),
        "{message}"
    );
    let (code, message) = failure(apply(&wire, request("machine: {}\n", Mode::Auto)).await);
    assert_eq!(code, Code::InvalidArgument);
    assert!(
        message.starts_with("configuration validation failed: 2 errors occurred:\n"),
        "{message}"
    );
    node.set_siderolink(true);
    let admin = anonymous(node.socket_addr()).await;
    admin.machine().version(()).await.unwrap();
    let boot_id = node.boot_id();
    let reply = apply(&wire, request(&config, Mode::Try)).await.unwrap();
    assert_eq!((reply.mode, reply.mode_details.as_str()), (0, ""));
    etcd_waits_after(&node, &boot_id).await;
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn a_container_needs_no_installation() {
    let cluster = SimCluster::builder()
        .platform(PlatformMode::Container)
        .workers(1)
        .maintenance(1..)
        .start()
        .await
        .unwrap();
    let node = cluster.node(1);
    let boot_id = node.boot_id();
    let wire = anonymous(node.socket_addr()).await;
    apply(&wire, request(&node.generated_machine_config(), Mode::Auto))
        .await
        .unwrap();
    node.wait_until_ready().await;
    assert_eq!(node.boot_id(), boot_id);
    assert_eq!(node.persistent_machine_config(), node.machine_config());
}
