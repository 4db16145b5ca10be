//! Who we are and whom we trust: every way in which that can be wrong.

use std::{error::Error as _, time::Duration};

use talos_client::{
    Client, ErrorKind, Origin,
    config::{ConfigError, Context, Talosconfig},
    transport::{HandshakeError, tls::TlsError},
};
use talos_testkit::{
    SimCluster,
    pki::{CertificateAuthority, ClientCertSpec, ExtendedKeyUsage},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::support::shown;

async fn cluster() -> SimCluster {
    SimCluster::builder().start().await.expect("started")
}

/// The cluster's only context, to be spoilt.
fn spoilt(cluster: &SimCluster, spoil: impl FnOnce(&mut Context)) -> Talosconfig {
    let mut talosconfig = Talosconfig::parse(cluster.talosconfig()).expect("valid");
    spoil(talosconfig.contexts.values_mut().next().expect("one context"));
    talosconfig
}

fn with_certificate(cluster: &SimCluster, authority: &CertificateAuthority, spec: &ClientCertSpec) -> Client {
    let certificate = authority.issue_client(spec).expect("issued");
    let talosconfig = spoilt(cluster, |context| {
        context.set_client_certificate_pem(&certificate.certificate_pem, &certificate.key_pem);
    });
    Client::builder()
        .talosconfig(talosconfig)
        .build()
        .expect("a client")
}

/// The TLS failure behind an error.
fn handshake_error(error: &talos_client::Error) -> &HandshakeError {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return found;
        }
        cause = error.source();
    }
    panic!("no TLS failure behind {error:?}");
}

#[tokio::test]
async fn a_certificate_that_apid_does_not_accept_is_a_connect_error_with_its_reason() {
    let cluster = cluster().await;
    let stranger = CertificateAuthority::new_talos().expect("an authority");
    let admin = || ClientCertSpec::new(["os:admin"]);
    let both = [ExtendedKeyUsage::ServerAuth, ExtendedKeyUsage::ClientAuth];
    let cases = [
        ("foreign authority", &stranger, admin()),
        ("expired", cluster.authority(), admin().expired()),
        (
            "for servers as well",
            cluster.authority(),
            admin().extended_key_usage(both),
        ),
        ("for nothing", cluster.authority(), admin().extended_key_usage([])),
    ];
    for (name, authority, spec) in cases {
        let error = with_certificate(&cluster, authority, &spec)
            .version()
            .await
            .expect_err(name);
        assert_eq!(
            (error.kind(), error.origin()),
            (ErrorKind::Connect, Origin::Local),
            "{name}: {error:#}"
        );
        assert!(
            matches!(handshake_error(&error), HandshakeError::Alert { .. }),
            "{name}: {error:?}"
        );
        assert!(
            format!("{error:#}").contains(&cluster.endpoints()[0]),
            "{name}: {error:#}"
        );
    }
    with_certificate(&cluster, cluster.authority(), &admin())
        .version()
        .await
        .expect("a good one is accepted");
}

#[tokio::test]
async fn no_certificate_at_all_is_refused() {
    let cluster = cluster().await;
    let talosconfig = spoilt(&cluster, |context| (context.crt, context.key) = (None, None));
    let client = Client::builder()
        .talosconfig(talosconfig)
        .build()
        .expect("a client");
    let error = client.version().await.expect_err("apid wants one");
    assert_eq!(error.kind(), ErrorKind::Connect, "{error:#}");
    assert!(
        matches!(handshake_error(&error), HandshakeError::Alert { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_trusted() {
    let cluster = cluster().await;
    let stranger = CertificateAuthority::new_talos().expect("an authority");
    let talosconfig = spoilt(&cluster, |context| {
        context.set_ca_pem(stranger.certificate_pem());
    });
    let client = Client::builder()
        .talosconfig(talosconfig)
        .build()
        .expect("a client");
    let error = client.version().await.expect_err("wrong CA");
    assert_eq!(
        (error.kind(), error.origin()),
        (ErrorKind::Connect, Origin::Local),
        "{error:#}"
    );
    assert!(
        matches!(handshake_error(&error), HandshakeError::UnknownIssuer),
        "{error:?}"
    );
    assert!(cluster.requests().all().is_empty(), "nothing was sent");
}

#[tokio::test]
async fn a_server_under_a_name_that_is_not_its_own_is_not_trusted() {
    let cluster = cluster().await;
    // Resolves to the loopback network everywhere, and is in no certificate.
    let port = cluster.node(0).socket_addr().port();
    let relay = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let relay_port = relay.local_addr().expect("bound").port();
    let target = cluster.node(0).socket_addr();
    assert_eq!(target.port(), port);
    let relaying = tokio::spawn(async move {
        while let Ok((mut inbound, _)) = relay.accept().await {
            let mut outbound = tokio::net::TcpStream::connect(target)
                .await
                .expect("the node listens");
            // Ends with either side; that is what the test is about.
            let _ = tokio::io::copy_bidirectional(&mut inbound, &mut outbound).await;
        }
    });
    let talosconfig = spoilt(&cluster, |context| {
        context.endpoints = vec![format!("localhost:{relay_port}")]
    });
    let client = Client::builder()
        .talosconfig(talosconfig)
        .build()
        .expect("a client");
    let error = client.version().await.expect_err("wrong name");
    assert_eq!(error.kind(), ErrorKind::Connect, "{error:#}");
    assert!(
        matches!(handshake_error(&error), HandshakeError::NameMismatch { .. }),
        "{error:?}"
    );
    assert!(format!("{error:#}").contains("localhost"), "{error:#}");
    relaying.abort();
}

#[tokio::test]
async fn a_server_that_speaks_something_else_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let endpoint = listener.local_addr().expect("bound").to_string();
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 64];
            // Whatever comes, answer as a plain web server would.
            let _ = stream.read(&mut request).await;
            let _ = stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
                .await;
        }
    });
    let cluster = cluster().await;
    let talosconfig = spoilt(&cluster, |context| context.endpoints = vec![endpoint.clone()]);
    let client = Client::builder()
        .talosconfig(talosconfig)
        .build()
        .expect("a client");
    let error = client.version().await.expect_err("not TLS");
    assert_eq!(error.kind(), ErrorKind::Connect, "{error:#}");
    assert!(format!("{error:#}").contains(&endpoint), "{error:#}");
    serving.abort();
}

#[tokio::test]
async fn an_endpoint_that_never_answers_costs_one_connect_timeout() {
    // Accepts into the backlog and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let endpoint = listener.local_addr().expect("bound").to_string();
    let cluster = cluster().await;
    let talosconfig = spoilt(&cluster, |context| context.endpoints = vec![endpoint.clone()]);
    let client = Client::builder()
        .talosconfig(talosconfig)
        .connect_timeout(Duration::from_millis(50))
        .build()
        .expect("a client");
    let error = client.version().await.expect_err("silence");
    assert_eq!(error.kind(), ErrorKind::Connect, "{error:#}");
    assert!(format!("{error:#}").contains(&endpoint), "{error:#}");
}

#[test]
fn key_and_certificate_that_do_not_match_are_found_without_a_server() {
    let authority = CertificateAuthority::new_talos().expect("an authority");
    let issue = || {
        authority
            .issue_client(&ClientCertSpec::new(["os:admin"]))
            .expect("issued")
    };
    let (one, other) = (issue(), issue());
    let mut context = Context::new(["10.5.0.2"]);
    context
        .set_ca_pem(authority.certificate_pem())
        .set_client_certificate_pem(&one.certificate_pem, &other.key_pem);
    let mut talosconfig = Talosconfig::new();
    talosconfig.context = "prod".to_owned();
    talosconfig.contexts.insert("prod".to_owned(), context);

    let error = Client::builder()
        .talosconfig(talosconfig)
        .build()
        .expect_err("a mismatch");
    let source = error
        .source()
        .and_then(|source| source.downcast_ref())
        .expect("a ConfigError");
    let ConfigError::Credentials { context, source, .. } = source else {
        panic!("{source:?}")
    };
    assert_eq!(context, "prod");
    assert!(matches!(source, TlsError::KeyMismatch), "{source:?}");
    let text = shown(&error);
    assert!(
        !text.contains(other.key_pem.lines().nth(1).expect("a body")),
        "{text}"
    );
}

#[tokio::test]
async fn credentials_may_come_without_a_talosconfig() {
    let cluster = cluster().await;
    let certificate = cluster.client_cert(["os:reader"]).expect("issued");
    let client = Client::builder()
        .endpoints(cluster.endpoints())
        .ca_pem(cluster.ca_pem())
        .client_certificate_pem(certificate.certificate_pem.clone(), certificate.key_pem.clone())
        .build()
        .expect("a client");
    client.version().await.expect("answered");
}
