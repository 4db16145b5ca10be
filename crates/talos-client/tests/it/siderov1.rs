//! Signed requests: what servers that check signatures make of them.

use std::{
    error::Error as _,
    fs,
    future::poll_fn,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, Request, header::HeaderName};
use talos_client::{
    Client, Error, ErrorKind,
    config::{Auth, Context, Talosconfig},
    siderov1::{SideroV1Config, SideroV1Error},
    transport::{self, Channel},
};
use talos_testkit::omni::PublicKey;
use tempfile::TempDir;
use tower_service::Service as _;

use crate::{
    siderov1_keys::account,
    siderov1_login::Login,
    siderov1_server::{Omni, Received},
};

macro_rules! key_file {
    ($name:literal) => {
        include_str!(concat!("../data/siderov1/", $name, ".pgp"))
    };
}
pub(crate) use key_file;

pub(crate) const USER: &str = key_file!("user");
/// Another key of the same user.
const OTHER: &str = key_file!("longest-lifetime");
pub(crate) const SERVICE_ACCOUNT: &str = key_file!("service-account");
pub(crate) const ME: &str = "me@example.com";
/// An hour after the keys were made.
pub(crate) const NOW: u64 = 1_723_653_600;

/// A server, and a folder with keys for its clients.
pub(crate) struct Setup {
    pub(crate) omni: Omni,
    pub(crate) keys: TempDir,
}

impl Setup {
    /// The server knows the key of the user, who has it in a file.
    pub(crate) async fn new() -> Self {
        let this = Self::without_key().await;
        this.omni.accept(ME, USER);
        this.write_key(USER);
        this
    }

    pub(crate) async fn without_key() -> Self {
        Self {
            omni: Omni::start(NOW).await,
            keys: tempfile::tempdir().expect("temporary folder"),
        }
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.keys.path().join(format!("prod-{ME}.pgp"))
    }

    pub(crate) fn write_key(&self, armored: &str) {
        fs::write(self.key_file(), armored).expect("written");
    }

    pub(crate) fn config(&self) -> SideroV1Config {
        let state = Arc::clone(&self.omni.state);
        SideroV1Config::new()
            .keys_dir(self.keys.path())
            .clock(move || unix(state.clock.load(Ordering::Relaxed)))
    }

    pub(crate) fn context(&self) -> Context {
        let mut context = Context::new([&self.omni.endpoint]);
        context.set_ca_pem(&self.omni.ca);
        context.auth = Some(Auth::SideroV1 {
            identity: ME.to_owned(),
        });
        context.cluster = Some("main".to_owned());
        context
    }

    pub(crate) fn client(&self, config: SideroV1Config) -> Client {
        self.try_client("prod", self.context(), config).expect("a client")
    }

    pub(crate) fn try_client(
        &self,
        name: &str,
        context: Context,
        config: SideroV1Config,
    ) -> Result<Client, Error> {
        Client::builder()
            .talosconfig(talosconfig(name, context))
            .siderov1(config)
            .build()
    }
}

fn talosconfig(name: &str, context: Context) -> Talosconfig {
    let mut talosconfig = Talosconfig::new();
    name.clone_into(&mut talosconfig.context);
    talosconfig.contexts.insert(name.to_owned(), context);
    talosconfig
}

pub(crate) fn unix(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

pub(crate) async fn hostname(client: &Client) -> Result<String, Error> {
    client.node("10.5.0.3").expect("a name").hostname().await
}

/// The one call that arrived.
fn only(received: Vec<Received>) -> Received {
    <[_; 1]>::try_from(received)
        .expect("one call")
        .into_iter()
        .next()
        .expect("one call")
}

pub(crate) fn signed_by(received: &[Received]) -> Vec<Result<&str, &str>> {
    received
        .iter()
        .map(|call| call.signer.as_deref().map_err(String::as_str))
        .collect()
}

pub(crate) fn fingerprint_of(armored: &str) -> String {
    PublicKey::from_armor(armored)
        .expect("a key")
        .fingerprint()
        .to_owned()
}

/// The reason for a call that was not sent, because it could not be signed.
pub(crate) fn reason(error: &Error) -> &SideroV1Error {
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error:#}");
    let source = error.source().expect("a source");
    let transport: &transport::Error = source.downcast_ref().expect("an error of the transport");
    assert!(matches!(transport, transport::Error::Signing(_)), "{transport:?}");
    let source = transport.source().expect("a source");
    source.downcast_ref().expect("an error of the signer")
}

pub(crate) fn shows_no_secret(shown: &str) {
    let body = |armored: &'static str| armored.lines().nth(2).expect("a line of the key");
    for secret in ["PRIVATE KEY", body(USER), body(SERVICE_ACCOUNT), "hunter2"] {
        assert!(!shown.contains(secret), "{secret:?} is visible in {shown}");
    }
}

#[tokio::test]
async fn every_call_carries_a_signature_that_servers_accept() {
    let setup = Setup::new().await;
    let client = setup.client(setup.config());
    assert_eq!(hostname(&client).await.expect("an answer"), "omni");
    let node = client.node("10.5.0.3").expect("a name");
    let file = node.read("/etc/hosts").await.expect("an answer");
    assert_eq!(file.collect_up_to(100).await.expect("all of it"), "one two three");

    let received = setup.omni.received();
    assert_eq!(signed_by(&received), [Ok(ME), Ok(ME)]);
    for call in &received {
        assert_eq!(call.headers["node"], "10.5.0.3");
        assert_eq!(call.headers["context"], "main");
        assert_eq!(call.headers["x-sidero-timestamp"], NOW.to_string().as_str());
        let signature = call.headers["x-sidero-signature"].to_str().expect("text");
        let fingerprint = fingerprint_of(USER);
        assert!(
            signature.starts_with(&format!("siderov1 {ME} {fingerprint} ")),
            "{signature}"
        );
    }
}

/// Shows that the server of these tests tells the differences that Omni tells.
#[tokio::test]
async fn a_signature_is_good_for_one_request_only() {
    let setup = Setup::new().await;
    hostname(&setup.client(setup.config())).await.expect("an answer");
    let received = only(setup.omni.received());
    let check = |change: &dyn Fn(&mut http::request::Parts)| {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.uri = received.path.parse().expect("a path");
        parts.headers = received.headers.clone();
        change(&mut parts);
        setup.omni.state.verify(&parts)
    };
    let set = |name: &'static str, value: &'static str| {
        check(&move |parts| {
            parts.headers.insert(name, HeaderValue::from_static(value));
        })
    };
    let in_payload = |old: &str, new: &str| {
        check(&|parts| {
            let payload = parts.headers["x-sidero-payload"].to_str().expect("text");
            assert!(payload.contains(old), "{payload}");
            let payload = payload.replace(old, new).try_into().expect("a header value");
            parts.headers.insert("x-sidero-payload", payload);
        })
    };
    let failure = |text: &str| Err(text.to_owned());

    assert_eq!(check(&|_| ()).as_deref(), Ok(ME));
    assert_eq!(set("node", "10.5.0.4").as_deref(), Ok(ME), "this is not signed");
    assert_eq!(set("context", "other"), failure("context differs"));
    assert_eq!(set("nodes", "10.5.0.4"), failure("nodes differs"));
    assert_eq!(set("authorization", "Basic x"), failure("authorization differs"));
    assert_eq!(
        set("x-sidero-timestamp", "1723653601"),
        failure("x-sidero-timestamp differs")
    );
    assert_eq!(
        set("x-sidero-timestamp", "1723650000"),
        failure("the clocks differ")
    );
    let other = check(&|parts| parts.uri = "/machine.MachineService/Reset".parse().expect("a path"));
    assert_eq!(other, failure("signed for another method"));
    assert_eq!(in_payload(r#""uid":null"#, r#""uid":[]"#), failure("uid differs"));
    assert_eq!(
        in_payload(r#""uid":null,"#, ""),
        failure("the digest begins otherwise")
    );
    let forged = check(&|parts| {
        let signature = parts.headers["x-sidero-signature"].to_str().expect("text");
        let (head, signature) = signature.rsplit_once(' ').expect("four parts");
        let mut signature = STANDARD.decode(signature).expect("base64");
        *signature.last_mut().expect("bytes") ^= 1;
        let signature = format!("{head} {}", STANDARD.encode(signature));
        let signature = signature.try_into().expect("a header value");
        parts.headers.insert("x-sidero-signature", signature);
    });
    assert_eq!(forged, failure("the signature does not fit"));
}

/// Sends a request with metadata of its own.
async fn raw_call(channel: Channel, metadata: &[(&'static str, &[u8])]) -> Result<(), tonic::Status> {
    let mut request = Request::new(tonic::body::Body::empty());
    *request.uri_mut() = "/machine.MachineService/Hostname".parse().expect("a path");
    for (name, value) in metadata {
        let value = HeaderValue::from_bytes(value).expect("a header value");
        request.headers_mut().append(HeaderName::from_static(name), value);
    }
    let mut channel = channel;
    poll_fn(|cx| channel.poll_ready(cx)).await?;
    channel.call(request).await.map(drop)
}

#[tokio::test]
async fn metadata_of_every_kind_is_covered() {
    let setup = Setup::new().await;
    let client = setup.client(setup.config());
    let cases: [&[(&str, &[u8])]; 5] = [
        &[("nodes", b"10.5.0.4"), ("nodes", b"10.5.0.3")],
        &[("selectors", "Prüfstand 実験 🦀".as_bytes())],
        &[
            ("fieldselectors", br#"a="quoted\" "#),
            ("uid", b""),
            ("namespace", b"x"),
        ],
        &[("authorization", b"Basic aHVudGVyMg=="), ("cluster", b"c")],
        // What a caller puts there is replaced.
        &[
            ("x-sidero-timestamp", b"1"),
            ("x-sidero-payload", b"{}"),
            ("x-sidero-signature", b"siderov1 a b c"),
            ("x-sidero-signature", b"siderov1 a b d"),
        ],
    ];
    for metadata in cases {
        raw_call(client.raw(), metadata).await.expect("an answer");
        assert_eq!(
            only(setup.omni.received()).signer.as_deref(),
            Ok(ME),
            "{metadata:?}"
        );
    }

    let status = raw_call(client.raw(), &[("selectors", b"\xff")])
        .await
        .expect_err("no text");
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
    assert!(status.message().contains(r#"metadata "selectors""#), "{status:?}");
    assert!(setup.omni.received().is_empty());
}

#[tokio::test]
async fn the_name_of_the_context_finds_the_key_whatever_its_letters() {
    let setup = Setup::without_key().await;
    setup.omni.accept(ME, USER);
    for name in ["Prüfstand", "実験 🦀", "", "admin@cluster"] {
        fs::write(setup.keys.path().join(format!("{name}-{ME}.pgp")), USER).expect("written");
        let client = setup
            .try_client(name, setup.context(), setup.config())
            .expect("a client");
        hostname(&client).await.expect("an answer");
        assert_eq!(signed_by(&setup.omni.received()), [Ok(ME)], "{name}");
    }
}

#[tokio::test]
async fn a_key_that_was_renewed_elsewhere_is_taken_up() {
    let setup = Setup::new().await;
    // Each look at the clock is a second later, so that times of signatures can be told apart.
    let seconds = AtomicUsize::new(0);
    let clock = move || unix(NOW + seconds.fetch_add(1, Ordering::Relaxed) as u64);
    let login = Login::default();
    let client = setup.client(setup.config().clock(clock).login(login.clone()));
    hostname(&client).await.expect("an answer");
    setup.omni.received();

    setup.write_key(OTHER);
    setup.omni.forget_keys();
    setup.omni.accept(ME, OTHER);
    hostname(&client).await.expect("an answer");
    let received = setup.omni.received();
    let refused = format!("{ME} has no key {}", fingerprint_of(USER));
    assert_eq!(signed_by(&received), [Err(&*refused), Ok(ME)]);
    let times: Vec<_> = received
        .iter()
        .map(|call| &call.headers["x-sidero-timestamp"])
        .collect();
    assert_ne!(times[0], times[1], "each attempt is signed for itself");
    assert_eq!(received[0].body, received[1].body);

    hostname(&client).await.expect("an answer");
    assert_eq!(
        signed_by(&setup.omni.received()),
        [Ok(ME)],
        "the new key is remembered"
    );
    assert_eq!(login.count(), 0, "there was no need to ask anybody");
}

#[tokio::test]
async fn a_refusal_stands_where_there_is_no_other_key() {
    let setup = Setup::new().await;
    setup.omni.state.refuse.store(1, Ordering::Relaxed);
    let client = setup.client(setup.config());
    let error = hostname(&client).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert_eq!(error.message(), Some("invalid signature"), "{error:#}");
    assert_eq!(setup.omni.received().len(), 1);

    hostname(&client).await.expect("an answer");
}

#[tokio::test]
async fn nothing_is_signed_unless_the_context_says_so() {
    let setup = Setup::new().await;
    let mut context = setup.context();
    context.auth = None;
    let client = setup
        .try_client("prod", context, setup.config())
        .expect("a client");
    hostname(&client).await.expect_err("not signed");
    assert!(
        !only(setup.omni.received())
            .headers
            .contains_key("x-sidero-signature")
    );
}

#[tokio::test]
async fn tls_settings_of_the_program_replace_signatures_too() {
    let setup = Setup::new().await;
    let verification = transport::ServerVerification::ca_pem(setup.omni.ca.as_bytes()).expect("a CA");
    let tls = transport::TlsConfig::builder(verification)
        .build()
        .expect("settings");
    let client = Client::builder()
        .talosconfig(talosconfig("prod", setup.context()))
        .siderov1(setup.config())
        .tls(tls)
        .build()
        .expect("a client");
    hostname(&client).await.expect_err("not signed");
    assert!(
        !only(setup.omni.received())
            .headers
            .contains_key("x-sidero-signature")
    );
}

#[tokio::test]
async fn keys_are_never_shown() {
    let setup = Setup::new().await;
    let value = account("ci", SERVICE_ACCOUNT);
    let config = setup
        .config()
        .service_account_key(value.clone())
        .login(Login::default());
    let builder = Client::builder()
        .talosconfig(talosconfig("prod", setup.context()))
        .siderov1(config.clone());
    let shown = format!("{config:?} {builder:?} {builder:#?}");
    let client = builder.build().expect("a client");
    let shown = format!("{shown} {client:?}");
    assert!(!shown.contains(&value[..40]), "{shown}");
    shows_no_secret(&shown);
}
