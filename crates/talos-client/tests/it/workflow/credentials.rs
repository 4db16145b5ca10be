//! Certificates of talosconfigs: when they end, new ones, and lesser ones.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use talos_client::{
    Client, ErrorKind, Origin, Role,
    config::{Context, Talosconfig},
    proto::machine as proto,
    workflow::credentials::{CredentialRenewal, CredentialReport, CredentialState, RoleConfigs},
};
use talos_testkit::{Code, SimCluster, fault::CallFault, pki::ClientCertSpec};

use super::faulted;
use crate::support::Sim;

const GENERATE: &str = "/machine.MachineService/GenerateClientConfiguration";
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn one() -> Sim {
    Sim::of(SimCluster::builder().workers(1)).await
}

/// A context with a certificate of these roles, valid from now on.
fn context(sim: &Sim, spec: ClientCertSpec) -> Context {
    let config = Talosconfig::parse(sim.cluster.talosconfig()).expect("valid");
    let mut context = config.contexts.into_values().next().expect("one");
    let certificate = sim.cluster.authority().issue_client(&spec).expect("issued");
    context.set_client_certificate_pem(&certificate.certificate_pem, &certificate.key_pem);
    context
}

/// A file with an administrator's and a reader's context.
fn file(sim: &Sim, folder: &Path) -> PathBuf {
    let mut config = Talosconfig::new();
    let spec = |role: &str| ClientCertSpec::new([role]).valid_for(DAY);
    config
        .add("admin", context(sim, spec("os:admin")))
        .expect("added");
    config
        .add("reader", context(sim, spec("os:reader")))
        .expect("added");
    let path = folder.join(sim.cluster.node(0).socket_addr().port().to_string());
    config.save_to(&path).expect("saved");
    path
}

#[tokio::test]
async fn a_report_tells_which_certificates_end() {
    let sim = one().await;
    let mut config = Talosconfig::new();
    let spec = || ClientCertSpec::new(["os:admin", "os:reader"]).valid_for(10 * DAY);
    config.add("fine", context(&sim, spec())).expect("added");
    config.add("old", context(&sim, spec().expired())).expect("added");
    config
        .add("early", context(&sim, spec().not_yet_valid()))
        .expect("added");
    config.add("none", Context::new(["10.5.0.2"])).expect("added");
    let mut broken = context(&sim, spec());
    broken.crt = Some("hunter2!".to_owned());
    config.add("broken", broken).expect("added");

    let states = |now| {
        let report = CredentialReport::of(&config, now);
        let states = report
            .contexts
            .into_iter()
            .map(|found| (found.context, found.state));
        states.collect::<Vec<_>>()
    };
    let state = |name: &str, now| {
        let found = states(now).into_iter().find(|(context, _)| context == name);
        found.expect("there").1
    };
    let now = SystemTime::now();
    assert_eq!(state("fine", now), CredentialState::Valid);
    assert_eq!(state("fine", now + 9 * DAY + HOUR), CredentialState::ExpiresSoon);
    assert_eq!(state("fine", now + 11 * DAY), CredentialState::Expired);
    assert_eq!(state("old", now), CredentialState::Expired);
    assert_eq!(state("early", now), CredentialState::NotYetValid);
    assert_eq!(state("none", now), CredentialState::Missing);
    let CredentialState::Unusable(why) = state("broken", now) else {
        panic!("it is broken")
    };
    assert!(!why.contains("hunter2"), "{why}");

    let report = CredentialReport::of(&config, now);
    let names = report
        .needing_attention()
        .into_iter()
        .map(|found| found.context.clone());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, ["broken", "early", "old"]);
    let fine = report
        .contexts
        .iter()
        .find(|found| found.context == "fine")
        .expect("there");
    assert!(fine.current && fine.left > Some(9 * DAY));
    assert_eq!(
        fine.to_string(),
        "fine (current): valid for 9 days, os:admin, os:reader"
    );
}

#[tokio::test]
async fn a_certificate_is_renewed_when_it_ends_soon_and_not_before() {
    let sim = one().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&sim, folder.path());
    let before = fs::read(&path).expect("there");
    let report = CredentialRenewal::new(&path).run().await.expect("looked at");
    assert!(!report.renewed && report.context == "admin");
    assert_eq!(fs::read(&path).expect("there"), before);
    assert!(sim.cluster.requests().all().is_empty());

    let soon = SystemTime::now() + 23 * HOUR;
    let report = CredentialRenewal::new(&path)
        .at(soon)
        .run()
        .await
        .expect("renewed");
    assert!(report.renewed);
    let request: proto::GenerateClientConfigurationRequest = sim.received_by(0, GENERATE);
    assert_eq!(request.roles, ["os:admin"]);
    assert_eq!(request.crt_ttl.expect("a time").seconds, 24 * 60 * 60);
    let (old, new) = (
        Talosconfig::parse(before).expect("valid"),
        Talosconfig::load(&path).expect("valid"),
    );
    assert_ne!(new.contexts["admin"].crt, old.contexts["admin"].crt);
    assert_eq!(new.contexts["admin"].endpoints, old.contexts["admin"].endpoints);
    assert_eq!(new.contexts["reader"], old.contexts["reader"]);
    let client = Client::from_talosconfig(&path).await.expect("a client");
    client
        .node(sim.cluster.node(0).name())
        .expect("a name")
        .version()
        .await
        .expect("it works");
}

#[tokio::test]
async fn lesser_certificates_are_renewed_by_an_administrator() {
    let sim = one().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&sim, folder.path());
    let renewal = || CredentialRenewal::new(&path).context("reader").always(true);
    let node = sim.cluster.node(0).name();
    let error = renewal().node(&node).run().await.expect_err("readers may not");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:#}");
    let report = renewal()
        .signed_in_with("admin")
        .lifetime(HOUR)
        .run()
        .await
        .expect("renewed");
    assert!(report.renewed && report.context == "reader");
    let renewed = Talosconfig::load(&path).expect("valid");
    let facts = renewed
        .certificate(Some("reader"))
        .expect("usable")
        .expect("there");
    assert_eq!(facts.organizations(), ["os:reader"]);
    assert!(facts.not_after() < SystemTime::now() + 2 * HOUR);

    // Even one that is over.
    let over = SystemTime::now() + 2 * DAY;
    let error = renewal().at(over).run().await.expect_err("it is over");
    assert_eq!(
        (error.kind(), error.origin()),
        (ErrorKind::FailedPrecondition, Origin::Local)
    );
    assert!(error.to_string().contains("cannot renew itself"), "{error}");
    let report = renewal().at(over).signed_in_with("admin").run().await;
    assert!(report.expect("renewed").renewed);
}

#[tokio::test]
async fn a_certificate_that_does_not_work_is_not_saved() {
    let sim = one().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&sim, folder.path());
    let before = fs::read(&path).expect("there");
    let refuse = CallFault::on_endpoints()
        .method("Version")
        .status(Code::Unauthenticated, "who are you");
    sim.cluster.inject(refuse).expect("a fault");
    let error = CredentialRenewal::new(&path)
        .always(true)
        .run()
        .await
        .expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error:#}");
    assert_eq!(fs::read(&path).expect("there"), before);

    let error = CredentialRenewal::new(&path)
        .context("none")
        .run()
        .await
        .expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::Config);
    let error = CredentialRenewal::new(folder.path().join("none"))
        .run()
        .await
        .expect_err("missing");
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn configs_for_roles_have_no_more_than_asked_for() {
    let sim = one().await;
    let like = context(&sim, ClientCertSpec::new(["os:admin"]));
    let configs = RoleConfigs::new(&sim.node(0), &like)
        .with([Role::Reader], DAY)
        .with([Role::EtcdBackup, Role::ImageVerifier], HOUR)
        .run()
        .await
        .expect("issued");
    assert_eq!(configs.len(), 2);
    let reader = &configs[0].talosconfig;
    assert!(reader.context.starts_with("reader@"), "{}", reader.context);
    let context = &reader.contexts[&reader.context];
    assert_eq!(context.endpoints, like.endpoints);
    assert!(context.crt != like.crt && context.ca.is_some());
    let client = Client::builder()
        .talosconfig(reader.clone())
        .build()
        .expect("a client");
    let node = client.node(sim.cluster.node(0).name()).expect("a name");
    node.version().await.expect("readers may");
    let error = node.reboot().send().await.expect_err("readers may not");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let backup = &configs[1].talosconfig;
    let facts = backup.certificate(None).expect("usable").expect("there");
    let mut roles = facts.organizations().to_vec();
    roles.sort();
    assert_eq!(roles, ["os:etcd:backup", "os:image:verifier"]);
    assert_eq!(sim.cluster.requests().of(GENERATE).len(), 2);
}

#[tokio::test]
async fn a_file_works_wherever_the_connection_is_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |sim: &Sim| {
        let path = folder
            .path()
            .join(sim.cluster.node(0).socket_addr().port().to_string());
        if path.exists() {
            path
        } else {
            file(sim, folder.path())
        }
    };
    faulted::every_step(
        async || one().await,
        async |sim| CredentialRenewal::new(path(sim)).always(true).run().await,
        |error| error.is_retriable() || error.is_unreachable(),
        async |sim| {
            let client = Client::from_talosconfig(path(sim)).await.expect("a client");
            let node = client.node(sim.cluster.node(0).name()).expect("a name");
            node.version().await.expect("it works");
            fs::remove_file(path(sim)).expect("removed");
        },
    )
    .await;
}
