//! Talosconfigs whose credentials are renewed while the client is in use.

mod fixtures;
mod reports;

use std::{error::Error as _, fs, io, path::Path, time::Duration};

use talos_client::{
    Client, ClientBuilder, Error, ErrorKind,
    config::{ConfigError, ReloadError, ReloadStatus, Reloads, Talosconfig},
    transport::HandshakeError,
};
use talos_testkit::{SimCluster, pki::ClientCertSpec};

use self::fixtures::{Mount, Relay};
use crate::support::shown;

/// Often, so that tests need not wait; how often is never asserted.
const OFTEN: Duration = Duration::from_millis(5);

/// How long a test waits for what must happen; it is only ever reached by a failing test.
const PATIENCE: Duration = Duration::from_secs(30);

async fn cluster() -> SimCluster {
    SimCluster::builder().start().await.expect("started")
}

fn loaded(path: &Path) -> ClientBuilder {
    Client::builder().talosconfig(Talosconfig::load(path).expect("a talosconfig"))
}

fn watching(path: &Path) -> (Client, Reloads) {
    let client = loaded(path).watch_talosconfig(OFTEN).build().expect("a client");
    let reloads = client.reloads().expect("made from a file");
    (client, reloads)
}

async fn until(reloads: &mut Reloads, condition: impl Fn(&ReloadStatus) -> bool) -> ReloadStatus {
    let waiting = async {
        loop {
            let status = reloads.next().await.expect("the client lives");
            if condition(&status) {
                return status;
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("it happens in time")
}

/// Waits for looks that began after now.
async fn look_again(reloads: &mut Reloads) -> ReloadStatus {
    let looks = reloads.status().looks();
    until(reloads, |status| status.looks() >= looks + 3).await
}

fn roles(client: &Client) -> Vec<String> {
    let certificate = client.certificate().expect("a client certificate");
    certificate.organizations().to_vec()
}

/// The roles that the cluster saw in the last call.
async fn roles_seen(cluster: &SimCluster, client: &Client) -> Vec<String> {
    client.version().await.expect("answered");
    cluster.requests().all().pop().expect("a call").roles
}

fn config_error(error: &Error) -> &ConfigError {
    assert_eq!(error.kind(), ErrorKind::Config, "{error:#}");
    let source = error.source().and_then(|source| source.downcast_ref());
    source.unwrap_or_else(|| panic!("no ConfigError behind {error:?}"))
}

fn reload_error(error: &Error) -> &ReloadError {
    assert_eq!(error.kind(), ErrorKind::Config, "{error:#}");
    let source = error.source().and_then(|source| source.downcast_ref());
    source.unwrap_or_else(|| panic!("no ReloadError behind {error:?}"))
}

// covers: machine.MachineService/Version, machine.MachineService/Logs
#[tokio::test]
async fn a_renewed_secret_is_shown_to_the_cluster_and_streams_go_on() {
    let cluster = cluster().await;
    let mut mount = Mount::new(&cluster.talosconfig());
    let (client, mut reloads) = watching(&mount.path());
    assert_eq!(roles_seen(&cluster, &client).await, ["os:admin"]);
    let node = cluster.node(0);
    node.append_log("kubelet", "before");
    let handle = client.node(node.name()).expect("a name");
    let logs = handle.logs("kubelet");
    let stream = logs.tail_lines(1).follow(true).send().await.expect("opened");
    let mut lines = stream.lines();
    let line = lines.next_line().await.expect("a line").expect("readable");
    assert_eq!(line, "before");

    mount.publish(&cluster.talosconfig_for_roles(["os:reader"]));
    let status = until(&mut reloads, |status| status.replacements() == 1).await;

    assert!(
        status.last_replacement().is_some() && status.last_error().is_none(),
        "{status:?}"
    );
    assert_eq!(roles(&client), ["os:reader"]);
    assert_eq!(roles_seen(&cluster, &client).await, ["os:reader"]);
    node.append_log("kubelet", "after");
    let line = lines.next_line().await.expect("a line").expect("readable");
    assert_eq!(line, "after");
}

#[tokio::test]
async fn contents_that_say_the_same_cause_no_new_connection() {
    let cluster = cluster().await;
    let relay = Relay::to(cluster.node(0).endpoint()).await;
    let builder = cluster
        .talosconfig_builder()
        .endpoints([relay.address.to_string()]);
    let text = builder.render().expect("rendered");
    let mut mount = Mount::new(&text);
    let (client, mut reloads) = watching(&mount.path());
    client.version().await.expect("answered");

    let (context, contexts) = text.split_once('\n').expect("several lines");
    let other = "  other:\n        endpoints: [10.5.0.9]\n";
    let longer = text.replacen("contexts:\n", &format!("contexts:\n  {other}"), 1);
    let same = [
        text.clone(),
        format!("# a comment\n{contexts}{context}\n"),
        longer,
        text.replace("context: sim\n", "context: other\n"),
    ];
    for text in &same {
        mount.publish(text);
        let status = look_again(&mut reloads).await;
        assert_eq!((status.replacements(), status.last_error()), (0, None), "{text}");
        let reloaded = client.reload().await.expect("readable");
        assert!(!reloaded.replaced(), "{text}");
        client.version().await.expect("answered");
    }
    assert_eq!(relay.connections(), 1);
}

#[tokio::test]
async fn a_half_written_file_changes_nothing_until_it_is_whole() {
    let cluster = cluster().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config");
    fs::write(&path, cluster.talosconfig()).expect("written");
    let client = loaded(&path).build().expect("a client");
    let reloads = client.reloads().expect("made from a file");
    let next = cluster.talosconfig_for_roles(["os:reader"]);
    let key = Talosconfig::parse(&next).expect("valid").contexts["sim"]
        .key
        .clone();
    let key = key.expect("a key").expose().to_owned();

    // The last line is whole once its base64 says "END"; what is cut off before must not be taken over.
    let nearly_all = next.len() - 16;
    for end in (0..nearly_all).step_by(23).chain([nearly_all]) {
        fs::write(&path, &next[..end]).expect("written");
        let error = client.reload().await.expect_err("cut off");
        assert_eq!(error.kind(), ErrorKind::Config, "{end}: {error:#}");
        assert!(!shown(&error).contains(&key[20..60]), "{end}: a key is visible");
        assert_eq!(roles(&client), ["os:admin"], "cut off at {end} of {}", next.len());
        let status = reloads.status();
        let told = status.last_error().expect("an error").to_owned();
        assert_eq!(told, format!("{error:#}"));
        assert_eq!(status.replacements(), 0);
    }
    assert_eq!(roles_seen(&cluster, &client).await, ["os:admin"]);

    fs::write(&path, &next).expect("written");
    assert!(client.reload().await.expect("whole").replaced());
    assert_eq!(reloads.status().last_error(), None);
    assert_eq!(roles_seen(&cluster, &client).await, ["os:reader"]);
}

#[tokio::test]
async fn a_context_that_loses_its_credentials_is_not_followed() {
    let cluster = cluster().await;
    let mount = Mount::new(&cluster.talosconfig());
    let client = loaded(&mount.path()).build().expect("a client");
    let spoil = |fields: &[&str]| {
        let text = cluster.talosconfig();
        let kept = text
            .lines()
            .filter(|line| !fields.iter().any(|field| line.trim_start().starts_with(field)));
        kept.map(|line| format!("{line}\n")).collect::<String>()
    };
    for (fields, lost) in [(&["ca:"][..], "ca"), (&["crt:", "key:"], "crt")] {
        fs::write(mount.path(), spoil(fields)).expect("written");
        let error = client.reload().await.expect_err("something is missing");
        match reload_error(&error) {
            ReloadError::Lost { context, field, path } => {
                assert_eq!((context.as_str(), *field, path), ("sim", lost, &mount.path()));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(roles_seen(&cluster, &client).await, ["os:admin"]);
}

#[tokio::test]
async fn a_removed_file_is_reported_and_missed_by_nobody() {
    let cluster = cluster().await;
    let relay = Relay::to(cluster.node(0).endpoint()).await;
    let builder = cluster
        .talosconfig_builder()
        .endpoints([relay.address.to_string()]);
    let text = builder.render().expect("rendered");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config");
    fs::write(&path, &text).expect("written");
    // A folder stands for the file in it.
    let (client, mut reloads) = watching(folder.path());
    client.version().await.expect("answered");

    fs::remove_file(&path).expect("removed");
    let status = until(&mut reloads, |status| status.last_error().is_some()).await;
    let told = status.last_error().expect("an error");
    assert!(told.contains(path.to_str().expect("utf-8")), "{told}");
    let error = client.reload().await.expect_err("gone");
    match config_error(&error) {
        ConfigError::Read { source, .. } => assert_eq!(source.kind(), io::ErrorKind::NotFound),
        other => panic!("{other:?}"),
    }
    client.version().await.expect("answered");

    fs::write(&path, &text).expect("written");
    let status = until(&mut reloads, |status| status.last_error().is_none()).await;
    assert_eq!(status.replacements(), 0);
    client.version().await.expect("answered");
    assert_eq!(relay.connections(), 1);
}

#[tokio::test]
async fn the_client_stays_with_its_context() {
    let (cluster, other) = (cluster().await, cluster().await);
    let parse = |text: String| Talosconfig::parse(text).expect("valid");
    let mut both = parse(
        cluster
            .talosconfig_builder()
            .context("mine")
            .render()
            .expect("rendered"),
    );
    let theirs = || {
        other
            .talosconfig_builder()
            .context("theirs")
            .render()
            .expect("rendered")
    };
    both.merge(parse(theirs()));
    both.context = "mine".to_owned();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config");
    both.save_to(&path).expect("saved");
    let client = loaded(&path).build().expect("a client");

    both.context = "theirs".to_owned();
    both.save_to(&path).expect("saved");
    assert!(!client.reload().await.expect("readable").replaced());
    fs::write(&path, theirs()).expect("written");
    let error = client.reload().await.expect_err("its context is gone");
    let known = config_error(&error);
    assert!(
        matches!(known, ConfigError::ContextNotFound { context, .. } if context == "mine"),
        "{known:?}"
    );
    client.version().await.expect("answered");
    assert_eq!(
        (cluster.requests().all().len(), other.requests().all().len()),
        (1, 0)
    );
}

#[tokio::test]
async fn endpoints_are_taken_over_with_the_credentials() {
    let cluster = SimCluster::builder()
        .control_planes(2)
        .start()
        .await
        .expect("started");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config");
    let write = |endpoints: &[String], roles: &str| {
        let talosconfig = cluster.talosconfig_builder().endpoints(endpoints).roles([roles]);
        fs::write(&path, talosconfig.render().expect("rendered")).expect("written");
    };
    let all = cluster.endpoints();
    write(&all[..1], "os:admin");
    let client = loaded(&path).build().expect("a client");
    assert_eq!(roles_seen(&cluster, &client).await, ["os:admin"]);

    write(&all[1..], "os:operator");
    for replaced in [true, false] {
        let reloaded = client.reload().await.expect("readable");
        assert_eq!(
            (reloaded.replaced(), reloaded.endpoints_replaced()),
            (replaced, replaced)
        );
        assert_eq!(reloaded.endpoints(), client.raw().endpoints());
        assert!(reloaded.needs_new_client().is_empty());
    }
    assert_eq!(roles_seen(&cluster, &client).await, ["os:operator"]);
    let call = cluster.requests().all().pop().expect("a call");
    assert_eq!(call.endpoint, cluster.node(1).name());

    // The order has no meaning, and what cannot be an endpoint changes nothing.
    write(&[all[1].clone(), all[0].clone()], "os:operator");
    assert!(client.reload().await.expect("readable").endpoints_replaced());
    write(&all, "os:operator");
    assert!(!client.reload().await.expect("readable").endpoints_replaced());
    write(&["not an endpoint".to_owned()], "os:operator");
    let error = client.reload().await.expect_err("no endpoint");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(client.raw().endpoints().len(), 2);
    let status = client.reloads().expect("made from a file").status();
    assert_eq!(status.endpoint_replacements(), 2);
}

#[tokio::test]
async fn what_only_a_new_client_takes_over_is_said() {
    let cluster = cluster().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config");
    fs::write(&path, cluster.talosconfig()).expect("written");
    let client = loaded(&path).build().expect("a client");
    let changed = cluster
        .talosconfig_builder()
        .nodes(["10.5.0.2"])
        .roles(["os:operator"])
        .render()
        .expect("rendered");
    fs::write(&path, changed + "        cluster: main\n").expect("written");

    for replaced in [true, false] {
        let reloaded = client.reload().await.expect("readable");
        assert_eq!(reloaded.replaced(), replaced);
        assert_eq!(reloaded.needs_new_client(), ["nodes", "cluster"]);
        let status = client.reloads().expect("made from a file").status();
        assert_eq!(status.needs_new_client(), reloaded.needs_new_client());
    }
    // Nothing but the credentials is taken over.
    assert_eq!(roles_seen(&cluster, &client).await, ["os:operator"]);

    // What was given to the builder does not come from the file.
    let given = loaded(&path)
        .endpoints(cluster.endpoints())
        .cluster("main")
        .build()
        .expect("a client");
    let elsewhere = cluster.talosconfig_builder().endpoints(["10.5.0.77"]).render();
    fs::write(&path, elsewhere.expect("rendered")).expect("written");
    let reloaded = given.reload().await.expect("readable");
    assert_eq!(reloaded.needs_new_client(), ["nodes"]);
    assert!(!reloaded.endpoints_replaced());
    assert_eq!(reloaded.endpoints(), given.raw().endpoints());
}

#[tokio::test]
async fn credentials_of_a_foreign_cluster_fail_calls_until_the_file_is_right_again() {
    let (cluster, foreign) = (cluster().await, cluster().await);
    let mut mount = Mount::new(&cluster.talosconfig());
    let (client, mut reloads) = watching(&mount.path());
    client.version().await.expect("answered");
    let endpoints = cluster.endpoints();
    let wrong = foreign.talosconfig_builder().endpoints(endpoints).render();
    mount.publish(&wrong.expect("rendered"));
    until(&mut reloads, |status| status.replacements() == 1).await;

    let error = client.version().await.expect_err("another cluster");
    assert_eq!(error.kind(), ErrorKind::Connect, "{error:#}");
    let mut cause = error.source();
    let unknown = std::iter::from_fn(|| {
        let found = cause?;
        cause = found.source();
        Some(found)
    })
    .any(|found| matches!(found.downcast_ref(), Some(HandshakeError::UnknownIssuer)));
    assert!(unknown, "{error:?}");

    mount.publish(&cluster.talosconfig());
    until(&mut reloads, |status| status.replacements() == 2).await;
    client.version().await.expect("answered");
}

#[tokio::test]
async fn a_given_certificate_goes_before_the_renewed_one() {
    let cluster = cluster().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config");
    fs::write(&path, cluster.talosconfig()).expect("written");
    let own = cluster
        .authority()
        .issue_client(&ClientCertSpec::new(["os:operator"]));
    let own = own.expect("issued");
    let client = loaded(&path)
        .client_certificate_pem(own.certificate_pem.clone(), own.key_pem.clone())
        .build()
        .expect("a client");
    fs::write(&path, cluster.talosconfig_for_roles(["os:reader"])).expect("written");
    assert!(!client.reload().await.expect("readable").replaced());
    assert_eq!(roles_seen(&cluster, &client).await, ["os:operator"]);

    let nothing_left = loaded(&path)
        .ca_pem(cluster.ca_pem())
        .client_certificate_pem(own.certificate_pem, own.key_pem)
        .build()
        .expect("a client");
    let error = nothing_left.reload().await.expect_err("all was given");
    assert_eq!(*reload_error(&error), ReloadError::CredentialsGiven);
    assert!(nothing_left.reloads().is_none());
}

#[tokio::test]
async fn watching_ends_with_everything_made_from_the_client() {
    let cluster = cluster().await;
    let mut mount = Mount::new(&cluster.talosconfig());
    let (client, mut reloads) = watching(&mount.path());
    let node = client.node(cluster.node(0).name()).expect("a name");
    let channel = client.raw();
    drop(client);
    look_again(&mut reloads).await;
    drop(channel);
    // A handle of a node is enough to go on.
    mount.publish(&cluster.talosconfig_for_roles(["os:reader"]));
    until(&mut reloads, |status| status.replacements() == 1).await;
    node.version().await.expect("answered");
    let call = cluster.requests().all().pop().expect("a call");
    assert_eq!(call.roles, ["os:reader"]);
    drop(node);
    let end = async { while reloads.next().await.is_some() {} };
    tokio::time::timeout(PATIENCE, end).await.expect("watching ends");
}
