//! Signed requests: what servers that check signatures make of them.

use std::{
    error::Error as StdError,
    ffi::OsString,
    fs,
    future::{Future, poll_fn},
    path::PathBuf,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, Request, header::HeaderName};
use talos_client::{
    Client, Error, ErrorKind,
    config::{Auth, Context, Talosconfig},
    siderov1::{
        KeyError, LoginHandler, LoginRequest, ServiceAccountOrigin, ServiceAccountProblem, SideroV1Config,
        SideroV1Error,
    },
    transport::{self, Channel},
};
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc};
use tower_service::Service as _;

use crate::{
    siderov1_openpgp::PublicKey,
    siderov1_server::{Omni, Received},
};

macro_rules! key_file {
    ($name:literal) => {
        include_str!(concat!("../data/siderov1/", $name, ".pgp"))
    };
}

const USER: &str = key_file!("user");
/// Another key of the same user.
const OTHER: &str = key_file!("longest-lifetime");
const SERVICE_ACCOUNT: &str = key_file!("service-account");
const ME: &str = "me@example.com";
/// An hour after the keys were made.
const NOW: u64 = 1_723_653_600;

/// A server, and a folder with keys for its clients.
struct Setup {
    omni: Omni,
    keys: TempDir,
}

impl Setup {
    /// The server knows the key of the user, who has it in a file.
    async fn new() -> Self {
        let this = Self::without_key().await;
        this.omni.accept(ME, USER);
        this.write_key(USER);
        this
    }

    async fn without_key() -> Self {
        Self {
            omni: Omni::start(NOW).await,
            keys: tempfile::tempdir().expect("temporary folder"),
        }
    }

    fn key_file(&self) -> PathBuf {
        self.keys.path().join(format!("prod-{ME}.pgp"))
    }

    fn write_key(&self, armored: &str) {
        fs::write(self.key_file(), armored).expect("written");
    }

    fn config(&self) -> SideroV1Config {
        let state = Arc::clone(&self.omni.state);
        SideroV1Config::new()
            .keys_dir(self.keys.path())
            .clock(move || unix(state.clock.load(Ordering::Relaxed)))
    }

    fn context(&self) -> Context {
        let mut context = Context::new([&self.omni.endpoint]);
        context.set_ca_pem(&self.omni.ca);
        context.auth = Some(Auth::SideroV1 {
            identity: ME.to_owned(),
        });
        context.cluster = Some("main".to_owned());
        context
    }

    fn client(&self, config: SideroV1Config) -> Client {
        self.try_client("prod", self.context(), config).expect("a client")
    }

    fn try_client(&self, name: &str, context: Context, config: SideroV1Config) -> Result<Client, Error> {
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

fn unix(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

async fn hostname(client: &Client) -> Result<String, Error> {
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

fn signed_by(received: &[Received]) -> Vec<Result<&str, &str>> {
    received
        .iter()
        .map(|call| call.signer.as_deref().map_err(String::as_str))
        .collect()
}

fn fingerprint_of(armored: &str) -> String {
    PublicKey::from_armor(armored).expect("a key").fingerprint
}

/// The reason for a call that was not sent, because it could not be signed.
fn reason(error: &Error) -> &SideroV1Error {
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error:#}");
    let source = error.source().expect("a source");
    let transport: &transport::Error = source.downcast_ref().expect("an error of the transport");
    assert!(matches!(transport, transport::Error::Signing(_)), "{transport:?}");
    let source = transport.source().expect("a source");
    source.downcast_ref().expect("an error of the signer")
}

fn config_reason(error: &Error) -> &SideroV1Error {
    assert_eq!(error.kind(), ErrorKind::Config, "{error:#}");
    let source = error.source().expect("a source");
    source.downcast_ref().expect("an error of the signer")
}

fn shows_no_secret(shown: &str) {
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
    let client = setup.client(setup.config().clock(clock));
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
async fn a_refusal_after_the_response_has_begun_is_final() {
    let setup = Setup::without_key().await;
    setup.write_key(USER);
    setup.omni.state.refuse_late.store(true, Ordering::Relaxed);
    let login = Login::default();
    let client = setup.client(setup.config().login(login.clone()));
    let node = client.node("10.5.0.3").expect("a name");
    let outcome = match node.read("/etc/hosts").await {
        Ok(stream) => stream.collect_up_to(100).await.map(drop),
        Err(error) => Err(error),
    };
    assert_eq!(outcome.expect_err("refused").kind(), ErrorKind::Unauthenticated);
    assert_eq!(setup.omni.received().len(), 1);
    assert_eq!(login.count(), 0);
}

/// Has keys confirmed by a server; can be told to fail or to wait.
#[derive(Clone, Default)]
struct Login(Arc<LoginState>);

#[derive(Default)]
struct LoginState {
    count: AtomicUsize,
    fail: AtomicBool,
    /// Told when a login begins; the login then waits for the permission to go on.
    steps: Option<(mpsc::UnboundedSender<()>, Arc<Notify>)>,
    omni: Option<OmniKeys>,
}

type OmniKeys = Box<dyn Fn(&LoginRequest) + Send + Sync>;

impl Login {
    fn count(&self) -> usize {
        self.0.count.load(Ordering::Relaxed)
    }
}

impl LoginHandler for Login {
    async fn login(&self, request: LoginRequest) -> Result<(), Box<dyn StdError + Send + Sync>> {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        if let Some((begun, go_on)) = &self.0.steps {
            begun.send(())?;
            go_on.notified().await;
        }
        if self.0.fail.load(Ordering::Relaxed) {
            return Err("nobody is there".into());
        }
        register(&request).await?;
        if let Some(accept) = &self.0.omni {
            accept(&request);
        }
        Ok(())
    }
}

/// Calls the server as a login does, though not with the messages of a real one.
async fn register(request: &LoginRequest) -> Result<(), tonic::Status> {
    let message = request.public_key().as_bytes();
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).expect("short").to_be_bytes());
    frame.extend(message);
    let body = http_body_util::Full::new(hyper::body::Bytes::from(frame));
    let mut call = Request::new(tonic::body::Body::new(body));
    *call.uri_mut() = "/auth.AuthService/RegisterPublicKey".parse().expect("a path");
    let mut channel = request.channel();
    poll_fn(|cx| channel.poll_ready(cx)).await?;
    channel.call(call).await.map(drop)
}

impl Setup {
    /// A login that makes the server accept the key.
    fn login(&self, change: impl FnOnce(&mut LoginState)) -> Login {
        let state = Arc::clone(&self.omni.state);
        let mut login = LoginState {
            omni: Some(Box::new(move |request| {
                state.accept(request.identity(), request.public_key());
            })),
            ..LoginState::default()
        };
        change(&mut login);
        Login(Arc::new(login))
    }
}

#[tokio::test]
async fn a_login_makes_a_key_for_this_and_later_clients() {
    let setup = Setup::without_key().await;
    let login = setup.login(|_| ());
    let client = setup.client(setup.config().login(login.clone()));
    assert!(
        setup.omni.received().is_empty(),
        "nothing happens before the first call"
    );
    hostname(&client).await.expect("an answer");

    let [register, call] = <[_; 2]>::try_from(setup.omni.received()).expect("two calls");
    assert_eq!(register.path, "/auth.AuthService/RegisterPublicKey");
    assert!(
        !register
            .headers
            .keys()
            .any(|name| name.as_str().starts_with("x-sidero")),
        "{register:?}"
    );
    assert_eq!(
        (&register.headers["runtime"], &register.headers["context"]),
        (&"Talos".parse().expect("text"), &"main".parse().expect("text"))
    );
    let public = std::str::from_utf8(&register.body[5..]).expect("armor");
    assert!(
        public.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----"),
        "{public}"
    );
    assert_eq!(call.signer.as_deref(), Ok(ME));

    let saved = fs::read_to_string(setup.key_file()).expect("a key file");
    assert_eq!(fingerprint_of(&saved), fingerprint_of(public));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(setup.key_file())
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    hostname(&setup.client(setup.config())).await.expect("an answer");
    hostname(&client).await.expect("an answer");
    assert_eq!(signed_by(&setup.omni.received()), [Ok(ME), Ok(ME)]);
    assert_eq!(login.count(), 1);
}

#[tokio::test]
async fn calls_that_need_a_key_at_the_same_time_share_a_login() {
    let setup = Setup::without_key().await;
    let login = setup.login(|_| ());
    let client = setup.client(setup.config().login(login.clone()));
    let calls = (0..8).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { hostname(&client).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.expect("no panic").expect("an answer");
    }
    assert_eq!(login.count(), 1);
}

#[tokio::test]
async fn a_failed_login_is_told_and_not_remembered() {
    let setup = Setup::without_key().await;
    let login = setup.login(|login| login.fail = AtomicBool::new(true));
    let client = setup.client(setup.config().login(login.clone()));
    let error = hostname(&client).await.expect_err("no login");
    assert!(matches!(reason(&error), SideroV1Error::Login { identity, .. } if identity == ME));
    assert!(format!("{error:#}").ends_with("nobody is there"), "{error:#}");
    assert!(setup.omni.received().is_empty());
    assert!(!setup.key_file().exists(), "a key nobody confirmed is not kept");

    login.0.fail.store(false, Ordering::Relaxed);
    hostname(&client).await.expect("an answer");
    assert_eq!(login.count(), 2);
}

#[tokio::test]
async fn a_login_outlives_the_call_that_began_it() {
    let setup = Setup::without_key().await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let login = setup.login(|login| login.steps = Some((begun, Arc::clone(&go_on))));
    let client = setup.client(setup.config().login(login.clone()));
    {
        let mut call = pin!(hostname(&client));
        let mut begins = pin!(begins.recv());
        poll_fn(|cx| {
            assert!(call.as_mut().poll(cx).is_pending(), "the login is not over");
            begins.as_mut().poll(cx)
        })
        .await
        .expect("the login begins");
        // Here the call is given up.
    }
    go_on.notify_one();
    hostname(&client).await.expect("an answer");
    assert_eq!(login.count(), 1);
}

#[tokio::test]
async fn a_login_ends_with_its_client() {
    let setup = Setup::without_key().await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let login = setup.login(|login| login.steps = Some((begun, Arc::clone(&go_on))));
    let held = Arc::downgrade(&login.0);
    let client = setup.client(setup.config().login(login));
    let call = tokio::spawn(async move { hostname(&client).await });
    begins.recv().await.expect("the login begins");
    call.abort();
    assert!(call.await.expect_err("aborted").is_cancelled());
    poll_fn(|cx| match held.upgrade() {
        None => Poll::Ready(()),
        Some(_) => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

#[tokio::test]
async fn a_refused_key_is_replaced_by_a_login_and_the_call_sent_once_more() {
    let setup = Setup::without_key().await;
    setup.write_key(USER);
    let login = setup.login(|_| ());
    let client = setup.client(setup.config().login(login.clone()));
    let node = client.node("10.5.0.3").expect("a name");
    let file = node.read("/etc/hosts").await.expect("an answer");
    assert_eq!(file.collect_up_to(100).await.expect("all of it"), "one two three");

    let received = setup.omni.received();
    let paths: Vec<_> = received.iter().map(|call| &*call.path).collect();
    let (read, register) = (
        "/machine.MachineService/Read",
        "/auth.AuthService/RegisterPublicKey",
    );
    assert_eq!(paths, [read, register, read]);
    assert_eq!(received[0].body, received[2].body);
    assert_eq!(received[2].signer.as_deref(), Ok(ME));
    let saved = fs::read_to_string(setup.key_file()).expect("a key file");
    assert_ne!(fingerprint_of(&saved), fingerprint_of(USER));
    assert_eq!(login.count(), 1);
}

#[tokio::test]
async fn an_expired_key_is_replaced_by_a_login_without_being_sent() {
    let setup = Setup::new().await;
    let login = setup.login(|_| ());
    let client = setup.client(setup.config().login(login.clone()));
    hostname(&client).await.expect("an answer");
    assert_eq!(login.count(), 0);

    setup.omni.state.clock.store(NOW + 3 * 3600, Ordering::Relaxed);
    hostname(&client).await.expect("an answer");
    assert_eq!(login.count(), 1);
    let received = setup.omni.received();
    assert!(
        received
            .iter()
            .all(|call| call.path.starts_with("/auth.") || call.signer.is_ok())
    );
    let saved = fs::read_to_string(setup.key_file()).expect("a key file");
    assert_ne!(fingerprint_of(&saved), fingerprint_of(USER));
}

#[tokio::test]
async fn a_login_that_fails_after_a_refusal_tells_both() {
    let setup = Setup::without_key().await;
    setup.write_key(USER);
    let login = setup.login(|login| login.fail = AtomicBool::new(true));
    let client = setup.client(setup.config().login(login));
    let error = hostname(&client).await.expect_err("refused, and no login");
    assert!(matches!(reason(&error), SideroV1Error::Login { .. }), "{error:?}");
    let shown = format!("{error:#}");
    assert!(
        shown.contains("invalid signature") && shown.contains("nobody is there"),
        "{shown}"
    );
    let saved = fs::read_to_string(setup.key_file()).expect("a key file");
    assert_eq!(saved, USER, "the file is as it was");
}

#[tokio::test]
async fn unusable_key_files_are_told_apart_before_anything_is_sent() {
    let cases: [(Option<&str>, &dyn Fn(&SideroV1Error) -> bool); 5] = [
        (
            None,
            &|error| matches!(error, SideroV1Error::NoKey { identity, .. } if identity == ME),
        ),
        (Some(key_file!("revoked")), &|error| {
            matches!(
                error,
                SideroV1Error::Key {
                    source: KeyError::Revoked,
                    ..
                }
            )
        }),
        (Some(key_file!("locked")), &|error| {
            matches!(
                error,
                SideroV1Error::Key {
                    source: KeyError::Locked,
                    ..
                }
            )
        }),
        (Some(key_file!("no-lifetime")), &|error| {
            matches!(
                error,
                SideroV1Error::Key {
                    source: KeyError::NoLifetime,
                    ..
                }
            )
        }),
        (Some("hunter2"), &|error| {
            matches!(
                error,
                SideroV1Error::Key {
                    source: KeyError::Malformed,
                    ..
                }
            )
        }),
    ];
    let setup = Setup::without_key().await;
    for (key, expected) in cases {
        if let Some(key) = key {
            setup.write_key(key);
        }
        let error = hostname(&setup.client(setup.config())).await.expect_err("no key");
        assert!(expected(reason(&error)), "{error:?}");
        let shown = format!("{error} {error:#} {error:?}");
        assert!(
            shown.contains(setup.key_file().to_str().expect("text")),
            "{shown}"
        );
        shows_no_secret(&shown);
    }

    setup.write_key(USER);
    let client = setup.client(setup.config());
    setup.omni.state.clock.store(NOW + 24 * 3600, Ordering::Relaxed);
    let error = hostname(&client).await.expect_err("expired");
    let SideroV1Error::Key {
        source: KeyError::Expired { at },
        ..
    } = reason(&error)
    else {
        panic!("{error:?}")
    };
    assert_eq!(*at, unix(NOW + 3 * 3600));
    assert!(setup.omni.received().is_empty());

    setup.omni.state.clock.store(NOW, Ordering::Relaxed);
    setup.omni.accept(ME, USER);
    hostname(&client).await.expect("the failure is not remembered");
}

#[tokio::test]
async fn a_time_before_the_epoch_cannot_sign() {
    let setup = Setup::without_key().await;
    let config = setup
        .config()
        .service_account_key(account("ci", SERVICE_ACCOUNT))
        .clock(|| SystemTime::UNIX_EPOCH - Duration::from_secs(1));
    let error = hostname(&setup.client(config)).await.expect_err("no such time");
    assert!(matches!(reason(&error), SideroV1Error::Clock), "{error:?}");
}

fn account(name: &str, armored: &str) -> String {
    STANDARD.encode(serde_json::json!({"name": name, "pgp_key": armored}).to_string())
}

fn variables(values: &[(&'static str, String)]) -> SideroV1Config {
    SideroV1Config::with_variables(|name| {
        let (_, value) = values.iter().find(|(known, _)| *known == name)?;
        Some(OsString::from(value))
    })
}

#[tokio::test]
async fn a_service_account_goes_before_the_user_and_the_first_one_found_counts() {
    let setup = Setup::new().await;
    let [sidero, omni, own] = ["sidero", "omni", "own"].map(|name| {
        setup.omni.accept(name, SERVICE_ACCOUNT);
        account(name, SERVICE_ACCOUNT)
    });
    let sidero = ("SIDERO_SERVICE_ACCOUNT_KEY", sidero);
    let omni = ("OMNI_SERVICE_ACCOUNT_KEY", omni);
    let both = [sidero.clone(), omni.clone()];
    let cases = [
        (variables(&[omni.clone()]), "omni"),
        (variables(&[sidero]), "sidero"),
        (variables(&both), "sidero"),
        (variables(&both).service_account_key(own), "own"),
        (variables(&[]), ME),
    ];
    for (config, expected) in cases {
        let state = Arc::clone(&setup.omni.state);
        let config = config
            .keys_dir(setup.keys.path())
            .clock(move || unix(state.clock.load(Ordering::Relaxed)));
        hostname(&setup.client(config)).await.expect("an answer");
        assert_eq!(signed_by(&setup.omni.received()), [Ok(expected)]);
    }
}

#[tokio::test]
async fn a_service_account_never_logs_in_and_is_not_held_to_the_rules_for_users() {
    let setup = Setup::without_key().await;
    let login = setup.login(|_| ());
    for key in [
        SERVICE_ACCOUNT,
        key_file!("no-lifetime"),
        key_file!("revoked"),
        USER,
    ] {
        setup.omni.forget_keys();
        setup.omni.accept("ci", key);
        setup.omni.state.clock.store(NOW + 24 * 3600, Ordering::Relaxed);
        let config = setup
            .config()
            .service_account_key(account("ci", key))
            .login(login.clone());
        let client = setup.client(config);
        hostname(&client).await.expect("an answer");
        assert_eq!(signed_by(&setup.omni.received()), [Ok("ci")]);

        setup.omni.forget_keys();
        let error = hostname(&client).await.expect_err("refused");
        assert_eq!(error.message(), Some("invalid signature"));
        assert_eq!(setup.omni.received().len(), 1);
    }
    assert_eq!(login.count(), 0);
}

#[tokio::test]
async fn an_unusable_service_account_is_reported_when_the_client_is_built() {
    let setup = Setup::new().await;
    let cases = [
        ("", ServiceAccountProblem::Empty),
        ("aHVudGVyMg==", ServiceAccountProblem::Json),
    ];
    for (value, problem) in cases {
        let config = variables(&[("OMNI_SERVICE_ACCOUNT_KEY", value.to_owned())]);
        let outcome = setup.try_client("prod", setup.context(), config.keys_dir(setup.keys.path()));
        let error = outcome.expect_err("set, and not usable");
        let SideroV1Error::ServiceAccount {
            origin,
            problem: found,
        } = config_reason(&error)
        else {
            panic!("{error:?}")
        };
        assert_eq!(
            *origin,
            ServiceAccountOrigin::Variable("OMNI_SERVICE_ACCOUNT_KEY")
        );
        assert_eq!(*found, problem);
        let shown = format!("{error:#} {error:?}");
        assert!(shown.contains("OMNI_SERVICE_ACCOUNT_KEY"), "{shown}");
        shows_no_secret(&shown);
    }
}

#[tokio::test]
async fn an_identity_that_cannot_sign_is_reported_when_the_client_is_built() {
    let setup = Setup::new().await;
    for identity in ["", "two words", "jörg@example.com", "me\n"] {
        let mut context = setup.context();
        context.auth = Some(Auth::SideroV1 {
            identity: identity.to_owned(),
        });
        let outcome = setup.try_client("prod", context, setup.config());
        let error = outcome.expect_err("no such identity");
        assert!(
            matches!(config_reason(&error), SideroV1Error::Identity { .. }),
            "{error:?}"
        );
    }
    let outcome = setup.try_client("../prod", setup.context(), setup.config());
    let error = outcome.expect_err("no such file");
    assert!(
        matches!(config_reason(&error), SideroV1Error::KeyFileName { .. }),
        "{error:?}"
    );
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
