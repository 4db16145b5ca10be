//! Certificates, keys and CAs that are replaced while calls are under way.

mod providers;
mod server;

use bytes::Bytes;
use talos_transport::tls::{TlsHandle, Validity};
use talos_transport::{Alert, Channel, Fingerprint, HandshakeError, ServerVerification, TlsConfig};
use tokio::task::JoinSet;

use self::server::{Rotating, accepting};
use crate::client::{
    builder, channel, connect_reason, echo, handshake_error, message, server_streaming, tls, tls_with, unary,
};
use crate::pki::{self, Algorithm, Ca, base64_of};

fn rotate(channel: &Channel, tls: TlsConfig) {
    channel.tls().unwrap().replace(tls);
}

/// Begins calls that the server holds back until it is told to answer, and waits until it has them all.
async fn begin(server: &Rotating, channel: &Channel, calls: usize) -> JoinSet<Result<Bytes, tonic::Status>> {
    server.answer(false);
    let already = server.counters().held;
    let mut under_way = JoinSet::new();
    for _ in 0..calls {
        let channel = channel.clone();
        under_way.spawn(async move {
            let response = unary(&channel, "Hold", message("held")).await?;
            Ok(response.into_inner())
        });
    }
    server.wait_until(|now| now.held == already + calls).await;
    under_way
}

#[tokio::test]
async fn calls_under_way_end_well_and_later_ones_show_the_new_certificate() {
    let ca = Ca::new();
    let (old, new) = (ca.client(), ca.client());
    let server = Rotating::start(&ca).await;
    let channel = channel(server.endpoint(), tls(&ca, &old));
    let under_way = begin(&server, &channel, 100).await;

    rotate(&channel, tls(&ca, &new));

    echo(&channel).await.unwrap();
    echo(&channel).await.unwrap();
    assert_eq!(server.calls_by([&old, &new]), [100, 2]);
    assert_eq!(
        server.counters().open,
        2,
        "old calls keep the old connection open"
    );
    server.answer(true);
    for result in under_way.join_all().await {
        assert_eq!(result.unwrap(), "held");
    }
    server.wait_until(|now| now.open == 1).await;
    echo(&channel).await.unwrap();
    assert_eq!(
        server.counters().arrived,
        2,
        "one connection for each certificate"
    );
}

#[tokio::test]
async fn streams_under_way_are_read_to_their_end() {
    let ca = Ca::new();
    let server = Rotating::start(&ca).await;
    let channel = channel(server.endpoint(), tls(&ca, &ca.client()));
    server.answer(false);
    let response = server_streaming(&channel, "Follow", message("line"))
        .await
        .unwrap();
    let mut stream = response.into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap(), "line");

    rotate(&channel, tls(&ca, &ca.client()));
    echo(&channel).await.unwrap();

    server.answer(true);
    assert_eq!(stream.message().await.unwrap().unwrap(), "line");
    assert_eq!(stream.message().await.unwrap(), None);
    drop(stream);
    server.wait_until(|now| now.open == 1).await;
}

#[tokio::test]
async fn a_connection_without_calls_is_closed_at_once() {
    let ca = Ca::new();
    let server = Rotating::start(&ca).await;
    let channel = channel(server.endpoint(), tls(&ca, &ca.client()));
    for _ in 0..2 {
        echo(&channel).await.unwrap();
    }
    assert_eq!(server.counters().open, 1);

    rotate(&channel, tls(&ca, &ca.client()));

    server.wait_until(|now| now.open == 0).await;
    assert_eq!(
        server.counters().arrived,
        1,
        "nothing is dialled before a call needs it"
    );
}

#[tokio::test]
async fn a_call_that_waits_for_a_connection_gets_one_with_the_new_certificate() {
    let ca = Ca::new();
    let (old, new) = (ca.client(), ca.client());
    let server = Rotating::start(&ca).await;
    server.shake_hands(false);
    let channel = channel(server.endpoint(), tls(&ca, &old));
    let calling = channel.clone();
    let call = tokio::spawn(async move { echo(&calling).await.map(drop) });
    server.wait_until(|now| now.arrived == 1).await;

    // More often than a pool would forgive attempts that end for other reasons.
    for arrived in 2..6 {
        rotate(&channel, tls(&ca, &ca.client()));
        server.wait_until(|now| now.arrived == arrived).await;
    }
    rotate(&channel, tls(&ca, &new));

    server.shake_hands(true);
    call.await.unwrap().unwrap();
    assert_eq!(server.calls_by([&old, &new]), [0, 1]);
}

#[tokio::test]
async fn a_ca_is_rotated_without_a_failed_call() {
    let (old, new) = (Ca::new(), Ca::new());
    let (old_client, new_client) = (old.client(), new.client());
    let both = ServerVerification::ca_pem(format!("{}{}", old.pem, new.pem)).unwrap();
    let server = Rotating::start(&old).await;
    let channel = channel(server.endpoint(), tls(&old, &old_client));
    echo(&channel).await.unwrap();

    // The order that Talos prescribes: everybody trusts the new CA, then it signs, then the old one is forgotten.
    server
        .replace(accepting(&old.server(&["127.0.0.1"]), &[&old, &new]))
        .await;
    echo(&channel).await.unwrap();
    rotate(&channel, tls_with(both.clone(), &old_client));
    echo(&channel).await.unwrap();
    server
        .replace(accepting(&new.server(&["127.0.0.1"]), &[&old, &new]))
        .await;
    echo(&channel).await.unwrap();
    rotate(&channel, tls_with(both, &new_client));
    echo(&channel).await.unwrap();
    server
        .replace(accepting(&new.server(&["127.0.0.1"]), &[&new]))
        .await;
    echo(&channel).await.unwrap();
    rotate(&channel, tls(&new, &new_client));
    echo(&channel).await.unwrap();

    assert_eq!(server.calls_by([&old_client, &new_client]), [4, 3]);
    // The old ones are of no use any more.
    rotate(&channel, tls(&old, &old_client));
    let status = echo(&channel).await.unwrap_err();
    assert!(
        matches!(handshake_error(&status), HandshakeError::UnknownIssuer),
        "{status:?}"
    );
}

#[tokio::test]
async fn credentials_that_are_refused_fail_calls_with_the_reason_until_replaced() {
    let (ca, foreign) = (Ca::new(), Ca::new());
    let (good, stranger) = (ca.client(), foreign.client());
    let server = Rotating::start(&ca).await;
    let channel = channel(server.endpoint(), tls(&ca, &good));
    let under_way = begin(&server, &channel, 3).await;

    rotate(&channel, tls(&ca, &stranger));
    for _ in 0..2 {
        let status = echo(&channel).await.unwrap_err();
        let error = handshake_error(&status);
        assert!(
            matches!(
                error,
                HandshakeError::Alert {
                    // rustls as a server finds the CA by its name, which all Talos CAs share, and then the wrong signature.
                    alert: Alert::UnknownCa | Alert::BadCertificate | Alert::Other(51)
                }
            ),
            "{error:?}"
        );
    }
    let connect = channel.connect().await.unwrap_err();
    assert!(connect.never_sent(), "{connect:?}");
    rotate(&channel, tls(&foreign, &good));
    let status = echo(&channel).await.unwrap_err();
    assert!(
        matches!(handshake_error(&status), HandshakeError::UnknownIssuer),
        "{status:?}"
    );

    rotate(&channel, tls(&ca, &good));
    echo(&channel).await.unwrap();
    server.answer(true);
    for result in under_way.join_all().await {
        assert_eq!(result.unwrap(), "held");
    }
    assert_eq!(server.calls_by([&good, &stranger]), [4, 0]);
}

#[tokio::test]
async fn a_fingerprint_that_does_not_match_is_shown_and_can_be_replaced() {
    let ca = Ca::new();
    let server = Rotating::start(&ca).await;
    let pair = ca.server(&["elsewhere"]);
    server.replace(accepting(&pair, &[&ca])).await;
    let pinned = |pin| tls_with(ServerVerification::fingerprints([pin]).unwrap(), &ca.client());
    let channel = channel(server.endpoint(), pinned(Fingerprint::from([7; 32])));

    let status = echo(&channel).await.unwrap_err();
    let HandshakeError::FingerprintMismatch { seen, .. } = handshake_error(&status) else {
        panic!("{status:?}");
    };
    assert_eq!(*seen, Fingerprint::of_certificate_pem(&pair.certificate).unwrap());
    assert!(status.message().contains(&seen.to_string()), "{status}");

    rotate(&channel, pinned(*seen));
    echo(&channel).await.unwrap();
}

#[tokio::test]
async fn one_handle_rotates_every_channel_that_has_it() {
    let ca = Ca::new();
    let (old, new) = (ca.client(), ca.client());
    let servers = [Rotating::start(&ca).await, Rotating::start(&ca).await];
    let handle = TlsHandle::new(tls(&ca, &old));
    let channels = servers.each_ref().map(|server| {
        Channel::builder([server.endpoint()])
            .tls(handle.clone())
            .build()
            .unwrap()
    });
    for channel in channels.iter().chain(&channels) {
        echo(channel).await.unwrap();
    }

    handle.replace(tls(&ca, &new));

    for (channel, server) in channels.iter().zip(&servers) {
        server.wait_until(|now| now.open == 0).await;
        echo(channel).await.unwrap();
        assert_eq!(server.calls_by([&old, &new]), [2, 1]);
    }
}

#[tokio::test]
async fn a_weak_handle_ends_with_the_last_channel() {
    let ca = Ca::new();
    let server = Rotating::start(&ca).await;
    let channel = channel(server.endpoint(), tls(&ca, &ca.client()));
    echo(&channel).await.unwrap();
    let weak = channel.tls().unwrap().downgrade();
    let waiting = tokio::spawn({
        let weak = weak.clone();
        async move { weak.dropped().await }
    });
    let clone = channel.clone();
    drop(channel);
    weak.upgrade().unwrap().replace(tls(&ca, &ca.client()));
    echo(&clone).await.unwrap();
    assert!(!waiting.is_finished());
    drop(clone);
    waiting.await.unwrap();
    assert!(weak.upgrade().is_none());
    weak.dropped().await;
}

#[tokio::test]
async fn the_certificate_in_use_can_be_read() {
    let ca = Ca::new();
    let expired = ca.client_with(Algorithm::Ed25519, pki::Validity::Expired);
    let channel = channel("127.0.0.1".parse().unwrap(), tls(&ca, &expired));
    let now = std::time::SystemTime::now();
    let facts = channel.tls().unwrap().certificate().unwrap();
    assert_eq!(facts.validity(now), Validity::Expired);
    rotate(&channel, tls(&ca, &ca.client()));
    let facts = channel.tls().unwrap().certificate().unwrap();
    assert_eq!(facts.validity(now), Validity::Valid);
    assert_eq!(facts.organizations(), ["os:admin", "os:etcd:backup"]);
    let anonymous = TlsConfig::builder(ServerVerification::ca_pem(&ca.pem).unwrap());
    rotate(&channel, anonymous.build().unwrap());
    assert_eq!(channel.tls().unwrap().certificate(), None);
}

/// Keeps what is traced on this thread.
#[derive(Clone, Default)]
struct Traced(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Traced {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_expired_certificate_is_reported_once_and_no_secret_ever() {
    let traced = Traced::default();
    let writer = traced.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = ::tracing::subscriber::set_default(subscriber);

    let ca = Ca::new();
    let expired = ca.client_with(Algorithm::Ed25519, pki::Validity::Expired);
    let good = ca.client();
    let server = Rotating::start(&ca).await;
    let settings = tls(&ca, &expired);
    let channel = builder(server.endpoint(), settings.clone()).build().unwrap();
    let mut printed = format!("{channel:?} {:?} {:#?}", channel.tls(), channel.tls());
    for _ in 0..5 {
        let status = echo(&channel).await.unwrap_err();
        connect_reason(&status);
        printed.push_str(&format!("{status:?}"));
    }
    // The same certificate in another channel is no news; neither is a good one.
    crate::client::channel(server.endpoint(), settings);
    rotate(&channel, tls(&ca, &good));
    echo(&channel).await.unwrap();

    let traced = String::from_utf8(traced.0.lock().unwrap().clone()).unwrap();
    let reports: Vec<_> = traced
        .lines()
        .filter(|line| line.contains("tls::expiry"))
        .collect();
    let [report] = reports[..] else {
        panic!("{reports:?}")
    };
    assert!(
        report.contains("ERROR") && report.contains("2021-01-01T00:00:00Z"),
        "{report}"
    );
    assert!(report.contains("os:admin,os:etcd:backup"), "{report}");
    printed.push_str(&traced);
    for client in [&expired, &good] {
        let secret = base64_of(&client.key);
        assert!(!printed.contains(&secret[20..]), "a key was printed");
    }
}
