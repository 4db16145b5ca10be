//! Logins: who asks for them, when, and what becomes of the key.

use std::{
    error::Error as StdError,
    fs,
    future::{Future, poll_fn},
    pin::pin,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    time::SystemTime,
};

use http::Request;
use talos_client::{
    ErrorKind,
    siderov1::{LoginHandler, LoginRequest, SideroV1Error},
};
use tokio::sync::{Notify, mpsc};
use tower_service::Service as _;

use crate::siderov1::{ME, NOW, Setup, USER, fingerprint_of, hostname, reason, signed_by};

/// Has keys confirmed by a server; can be told to fail or to wait.
#[derive(Clone, Default)]
pub(crate) struct Login(Arc<LoginState>);

#[derive(Default)]
pub(crate) struct LoginState {
    count: AtomicUsize,
    fail: AtomicBool,
    /// Told when a login begins; the login then waits for the permission to go on.
    steps: Option<(mpsc::UnboundedSender<()>, Arc<Notify>)>,
    omni: Option<OmniKeys>,
}

type OmniKeys = Box<dyn Fn(&LoginRequest) + Send + Sync>;

impl Login {
    pub(crate) fn count(&self) -> usize {
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
    pub(crate) fn login(&self, change: impl FnOnce(&mut LoginState)) -> Login {
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

/// A third opinion on keys and signatures, by an implementation that nobody here wrote.
#[tokio::test]
#[ignore = "needs gpg"]
async fn gnupg_accepts_the_key_and_the_signature() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    let setup = Setup::without_key().await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.expect("after 1970").as_secs();
    setup.omni.state.clock.store(now, Ordering::Relaxed);
    let login = setup.login(|_| ());
    hostname(&setup.client(setup.config().login(login)))
        .await
        .expect("an answer");

    let [register, call] = <[_; 2]>::try_from(setup.omni.received()).expect("two calls");
    let signature = call.headers["x-sidero-signature"].to_str().expect("text");
    let (_, signature) = signature.rsplit_once(' ').expect("four parts");
    let signature = STANDARD.decode(signature).expect("base64");
    let folder = setup.keys.path();
    for (name, contents) in [
        ("key", &register.body[5..]),
        ("signature", &signature),
        ("payload", call.headers["x-sidero-payload"].as_bytes()),
    ] {
        fs::write(folder.join(name), contents).expect("written");
    }
    for arguments in [&["--import", "key"][..], &["--verify", "signature", "payload"]] {
        let output = Command::new("gpg")
            .args(["--batch", "--no-autostart", "--homedir", "."])
            .args(arguments)
            .current_dir(folder)
            .output()
            .expect("gpg runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        assert!(said.contains(ME), "{arguments:?}: {said}");
    }
}
