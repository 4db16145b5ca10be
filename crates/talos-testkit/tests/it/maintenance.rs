//! Machines without a configuration.

use std::sync::Arc;

use base64::Engine as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, ring::default_provider, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use talos_proto::cosi::resource::GetRequest;
use talos_proto::machine::apply_configuration_request::Mode;
use talos_proto::machine::{
    EventsRequest, RebootRequest, ResetPartitionSpec, ResetRequest, SequenceEvent, TaskEvent, UpgradeRequest,
    task_event,
};
use talos_proto::methods::{METHODS, Maintenance, ServedBy};
use talos_testkit::{Code, SimCluster, SimNode};

use crate::config::apply;
use crate::events::{decode, subscribe, until};
use crate::lifecycle::install;
use crate::wire::{Wire, final_status, frame, handshake, with};

/// Trusts the one key whose fingerprint it knows.
#[derive(Debug)]
struct Pinned {
    fingerprint: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (_, certificate) = x509_parser::parse_x509_certificate(end_entity).unwrap();
        let key = certificate.public_key().raw;
        let digest = ring::digest::digest(&ring::digest::SHA256, key);
        if base64::engine::general_purpose::STANDARD.encode(digest) == self.fingerprint {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Connects without a certificate, to the key that the node says it has.
async fn anonymous(node: &SimNode) -> Wire {
    let provider = Arc::new(default_provider());
    let verifier = Pinned {
        fingerprint: node.certificate_fingerprint().unwrap(),
        provider: Arc::clone(&provider),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = handshake(node.socket_addr(), config).await.unwrap();
    Wire::over(stream, node.socket_addr()).await
}

async fn in_maintenance() -> SimCluster {
    SimCluster::builder()
        .workers(1)
        .maintenance()
        .start()
        .await
        .unwrap()
}

async fn resource(wire: &Wire, namespace: &str, kind: &str, id: &str) -> Result<String, Code> {
    let request = GetRequest {
        namespace: namespace.to_owned(),
        r#type: kind.to_owned(),
        id: id.to_owned(),
        options: None,
    };
    let reply = wire.state().get(request).await;
    reply
        .map(|reply| reply.into_inner().resource.unwrap().spec.unwrap().yaml_spec)
        .map_err(|status| status.code())
}

#[tokio::test]
async fn machines_without_a_configuration_serve_readers_without_certificates() {
    let cluster = in_maintenance().await;
    let node = cluster.node(0);
    assert!(node.is_in_maintenance());
    let wire = anonymous(&node).await;
    let metadata = [("node", "10.5.0.3"), ("node", "x"), ("talos-role", "os:admin")];
    let version = wire
        .machine()
        .version(with((), &metadata))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(version.messages.len(), 1, "routing is off");
    assert!(version.messages[0].features.is_none());
    assert_eq!(cluster.requests().of("Version")[0].roles, ["os:reader"]);
    let status = resource(&wire, "runtime", "MachineStatuses.runtime.talos.dev", "machine")
        .await
        .unwrap();
    assert!(
        status.starts_with("stage: maintenance\nstatus:\n    ready: true\n"),
        "{status}"
    );
    let kind = resource(&wire, "config", "MachineTypes.config.talos.dev", "machine-type").await;
    assert_eq!(kind.unwrap(), "unknown\n");
    let config = resource(&wire, "config", "MachineConfigs.config.talos.dev", "v1alpha1").await;
    assert_eq!(config, Err(Code::PermissionDenied));
    let status = wire.machine().reboot(RebootRequest::default()).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::PermissionDenied, "not authorized")
    );
    let services = wire.machine().service_list(()).await.unwrap().into_inner();
    let ids: Vec<_> = services.messages[0]
        .services
        .iter()
        .map(|service| service.id.as_str())
        .collect();
    assert_eq!(
        ids,
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
}

#[tokio::test]
async fn anonymous_peers_get_only_the_codes_that_are_promised() {
    let cluster = in_maintenance().await;
    let wire = anonymous(&cluster.node(0)).await;
    let allowed = [
        Code::Ok,
        Code::PermissionDenied,
        Code::Unimplemented,
        Code::InvalidArgument,
        Code::DeadlineExceeded,
        Code::Cancelled,
    ];
    for method in METHODS.iter().filter(|method| method.served_by == ServedBy::Apid) {
        let body = tonic::body::Body::new(http_body_util::Full::new(frame(b"")));
        let response = wire.raw(method.path, &[("grpc-timeout", "200m")], body).await;
        let status = final_status(response).await;
        let expected = method.maintenance != Maintenance::Denied;
        assert_eq!(
            status.message() != "not authorized",
            expected,
            "{method}: {status}"
        );
        // Reads of things that an empty request does not name.
        let unknown = [Code::Unknown, Code::NotFound].contains(&status.code());
        assert!(allowed.contains(&status.code()) || unknown, "{method}: {status}");
    }
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn a_complete_configuration_ends_maintenance() {
    let cluster = in_maintenance().await;
    let node = cluster.node(0);
    let boot = node.boot_id();
    let wire = anonymous(&node).await;
    let (_, mut stream) = subscribe(&wire, EventsRequest::default()).await;
    let partial = "apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: x\n";
    let applied = apply(&wire, partial, Mode::Auto, |request| request.mode = 0)
        .await
        .unwrap();
    assert_eq!(
        applied.mode(),
        Mode::NoReboot,
        "the default mode is no reboot here"
    );
    assert!(node.is_in_maintenance(), "side documents are not enough");
    let config = node.default_machine_config();
    let dry = apply(&wire, &config, Mode::Auto, |request| request.dry_run = true)
        .await
        .unwrap();
    assert!(dry.mode_details.contains("Dry run summary"));
    let applied = apply(&wire, &config, Mode::Auto, |request| request.mode = 0)
        .await
        .unwrap();
    assert_eq!(applied.mode_details, "Applied configuration without a reboot");
    let stopped = until(&mut stream, |event| {
        decode::<TaskEvent>(event, "machine.TaskEvent").is_some()
    })
    .await;
    let task: TaskEvent = decode(&stopped, "machine.TaskEvent").unwrap();
    assert_eq!(
        (task.task.as_str(), task.action()),
        ("runningMaintenance", task_event::Action::Stop)
    );
    while stream.message().await.is_ok() {}
    // It installs itself, reboots, and then waits for etcd.
    node.wait_for_event(|_| node.boot_id() != boot).await;
    node.wait_until_reachable().await;
    let wire = Wire::admin(&cluster, &node).await;
    let kind = resource(&wire, "config", "MachineTypes.config.talos.dev", "machine-type").await;
    assert_eq!(kind.unwrap(), "controlplane\n");
    let version = wire.machine().version(()).await.unwrap().into_inner();
    assert!(version.messages[0].features.as_ref().unwrap().rbac);
    let others = wire
        .machine()
        .version(with((), &[("node", "10.5.0.3")]))
        .await
        .unwrap_err();
    assert!(
        others
            .message()
            .contains("certificate signed by unknown authority"),
        "{others}"
    );
}

// covers: machine.MachineService/Reset
#[tokio::test]
async fn wiping_the_state_leads_back_to_maintenance() {
    let cluster = SimCluster::builder().start().await.unwrap();
    let node = cluster.node(0);
    let boot = node.boot_id();
    let wire = Wire::admin(&cluster, &node).await;
    let volume = |label: &str| ResetPartitionSpec {
        label: label.to_owned(),
        wipe: true,
    };
    let request = ResetRequest {
        reboot: true,
        system_partitions_to_wipe: vec![volume("STATE"), volume("EPHEMERAL")],
        ..ResetRequest::default()
    };
    wire.machine().reset(request).await.unwrap();
    node.wait_until_in_maintenance().await;
    assert_ne!(node.boot_id(), boot);
    let fingerprint = node.certificate_fingerprint().unwrap();
    let wire = anonymous(&node).await;
    wire.machine().version(()).await.unwrap();
    // Talos is still on the disk, so that the configuration boots it at once.
    let here = node.boot_id();
    apply(&wire, &node.default_machine_config(), Mode::Auto, |_| {})
        .await
        .unwrap();
    node.wait_until_ready().await;
    assert_eq!(node.boot_id(), here);
    assert_ne!(node.certificate_fingerprint().unwrap(), fingerprint);
    Wire::admin(&cluster, &node)
        .await
        .machine()
        .version(())
        .await
        .unwrap();
}

// covers: machine.LifecycleService/Install
// covers: machine.MachineService/Upgrade
// covers: machine.MachineService/Reset
#[tokio::test]
#[expect(deprecated, reason = "older clients still use the upgrade of MachineService")]
async fn siderolink_peers_administer_machines_in_maintenance() {
    let cluster = in_maintenance().await;
    let node = cluster.node(0);
    node.trust_peers_in_maintenance(true);
    let boot = node.boot_id();
    let wire = anonymous(&node).await;
    let upgrade = || UpgradeRequest {
        image: "ghcr.io/siderolabs/installer:v1.14.9".to_owned(),
        ..UpgradeRequest::default()
    };
    let status = wire.machine().upgrade(upgrade()).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::FailedPrecondition, "Talos is not installed")
    );
    let status = install(&wire, "/dev/nothing").await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(install(&wire, "/dev/sda").await.unwrap(), Some(0));
    assert_eq!(
        install(&wire, "/dev/sda").await.unwrap_err().code(),
        Code::AlreadyExists
    );
    let (_, mut stream) = subscribe(&wire, EventsRequest::default()).await;
    wire.machine().reset(ResetRequest::default()).await.unwrap();
    let event = until(&mut stream, |event| {
        decode::<SequenceEvent>(event, "machine.SequenceEvent").is_some()
    })
    .await;
    let locked: SequenceEvent = decode(&event, "machine.SequenceEvent").unwrap();
    assert_eq!(locked.error.unwrap().message, "sequence not started: locked");
    wire.machine().upgrade(upgrade()).await.unwrap();
    node.wait_for_event(|_| node.boot_id() != boot).await;
    node.wait_until_in_maintenance().await;
    let wire = anonymous(&node).await;
    let version = wire.machine().version(()).await.unwrap().into_inner();
    assert_eq!(version.messages[0].version.as_ref().unwrap().tag, "v1.14.9");
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn before_1_13_a_server_of_its_own_does_the_maintenance() {
    let cluster = SimCluster::builder()
        .talos_version("v1.12.4")
        .maintenance()
        .start()
        .await
        .unwrap();
    let node = cluster.node(0);
    let wire = anonymous(&node).await;
    let status = wire.machine().version(()).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unimplemented, "API is not implemented in maintenance mode")
    );
    let status = wire.machine().service_list(()).await.unwrap_err();
    assert_eq!(status.message(), "method ServiceList not implemented");
    let config = node.default_machine_config();
    let status = apply(&wire, &config, Mode::Staged, |_| {}).await.unwrap_err();
    assert_eq!(
        status.message(),
        "apply configuration --mode='staged' is not supported in maintenance mode"
    );
    let dry = apply(&wire, &config, Mode::Auto, |request| request.dry_run = true)
        .await
        .unwrap();
    assert_eq!(
        dry.mode_details,
        "Dry run summary:\nNode is running in maintenance mode and does not have a config yet."
    );
    let boot = node.boot_id();
    let applied = apply(&wire, &config, Mode::Try, |_| {}).await.unwrap();
    assert_eq!(applied.mode, 0);
    node.wait_for_event(|_| node.boot_id() != boot).await;
    node.wait_until_reachable().await;
    Wire::admin(&cluster, &node)
        .await
        .machine()
        .version(())
        .await
        .unwrap();
}
