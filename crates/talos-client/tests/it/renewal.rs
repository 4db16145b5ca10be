//! New credentials from the cluster.

use std::time::{Duration, SystemTime};

use talos_client::{
    Client, ErrorKind, Role,
    config::{Auth, Talosconfig},
    proto::machine as proto,
};

use crate::support::{Sim, shown};

const GENERATE: &str = "/machine.MachineService/GenerateClientConfiguration";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

// covers: machine.MachineService/GenerateClientConfiguration
#[tokio::test]
async fn renewed_credentials_work_and_the_rest_of_the_context_stays() {
    let sim = Sim::start().await;
    let issued = sim
        .node(0)
        .generate_client_configuration([Role::Reader, Role::EtcdBackup], DAY)
        .send()
        .await
        .expect("issued");
    let request: proto::GenerateClientConfigurationRequest = sim.received_by(0, GENERATE);
    assert_eq!(request.roles, ["os:reader", "os:etcd:backup"]);
    assert_eq!(request.crt_ttl.expect("set").seconds, 24 * 60 * 60);
    let mut roles = issued.certificate().organizations().to_vec();
    roles.sort();
    assert_eq!(roles, ["os:etcd:backup", "os:reader"]);
    assert!(issued.certificate().not_after() > SystemTime::now() + DAY / 2);

    let mut config = Talosconfig::parse(sim.cluster.talosconfig()).expect("valid");
    let name = config.context.clone();
    let old = config.contexts[&name].clone();
    let context = config.contexts.get_mut(&name).expect("current");
    context.nodes = vec!["10.5.0.9".to_owned()];
    context.cluster = Some("main".to_owned());
    context.auth = Some(Auth::Basic {
        username: "old".to_owned(),
        password: "old".into(),
    });
    config.renew(None, &issued).expect("renewed");
    let renewed = &config.contexts[&name];
    assert_eq!(renewed.endpoints, old.endpoints);
    assert_eq!(renewed.nodes, ["10.5.0.9"]);
    assert_eq!(renewed.cluster.as_deref(), Some("main"));
    assert!(renewed.auth.is_none() && renewed.crt != old.crt && renewed.key != old.key);

    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("config");
    config.save_to(&path).expect("saved");
    let client = Client::from_talosconfig(&path).await.expect("a client");
    let node = client.node(sim.cluster.node(0).name()).expect("a name");
    node.version().await.expect("readers may");
    assert!(
        node.read("/etc/os-release")
            .await
            .expect_err("readers may not")
            .is_denied()
    );
}

// covers: machine.MachineService/GenerateClientConfiguration
#[tokio::test]
async fn the_talosconfig_of_the_node_is_named_after_role_and_cluster() {
    let sim = Sim::start().await;
    let issued = sim
        .node(1)
        .generate_client_configuration([Role::Operator], DAY)
        .send()
        .await
        .expect("issued");
    let config = issued.talosconfig().expect("valid");
    assert_eq!(config.context, format!("operator@{}", sim.cluster.name()));
    let facts = config.certificate(None).expect("usable").expect("has one");
    assert_eq!(&facts, issued.certificate());
    assert!(config.contexts[&config.context].endpoints.is_empty());
}

// covers: machine.MachineService/GenerateClientConfiguration
#[tokio::test]
async fn a_certificate_for_nobody_or_no_time_is_not_asked_for() {
    let sim = Sim::start().await;
    let node = sim.node(0);
    for error in [
        node.generate_client_configuration([], DAY)
            .send()
            .await
            .expect_err("no roles"),
        node.generate_client_configuration([Role::Reader], Duration::ZERO)
            .send()
            .await
            .expect_err("no time"),
    ] {
        assert_eq!(
            (error.kind(), error.attempts()),
            (ErrorKind::InvalidInput, 0),
            "{error:#}"
        );
    }
    assert!(sim.cluster.requests().all().is_empty());
    let error = sim
        .node(3)
        .generate_client_configuration([Role::Reader], DAY)
        .send()
        .await
        .expect_err("a worker");
    assert!(error.is_unimplemented(), "{error:#}");
}

#[tokio::test]
async fn issued_keys_are_not_shown() {
    let sim = Sim::start().await;
    let issued = sim
        .node(0)
        .generate_client_configuration([Role::Reader], DAY)
        .send()
        .await
        .expect("issued");
    let key = String::from_utf8(issued.key_pem().to_vec()).expect("PEM");
    assert!(key.contains("PRIVATE KEY"));
    let text = format!("{issued:?} {issued:#?}");
    assert!(
        !text.contains("PRIVATE KEY") && text.contains("os:reader"),
        "{text}"
    );

    // A node that breaks its word: the error must not show what it sent.
    let message = proto::GenerateClientConfiguration {
        crt: "crt".into(),
        key: "hunter2".into(),
        ..Default::default()
    };
    let reply = proto::GenerateClientConfigurationResponse {
        messages: vec![message],
    };
    let fault = talos_testkit::fault::CallFault::on_node(sim.cluster.node(0).name())
        .method(GENERATE)
        .message(prost::Message::encode_to_vec(&reply))
        .status(talos_testkit::Code::Ok, "");
    sim.cluster.inject(fault).expect("a fault");
    let error = sim
        .node(0)
        .generate_client_configuration([Role::Reader], DAY)
        .send()
        .await
        .expect_err("no certificate");
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error:#}");
    assert!(!shown(&error).contains("hunter2"));
}
