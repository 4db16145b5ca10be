//! The talosconfig file: what is read, what is written, what is refused.

use std::{error::Error as _, fs, path::Path};

use talos_client::{
    Client, ErrorKind, SecretString,
    config::{Auth, Base64Problem, ConfigError, Context, Lookup, Origin, Talosconfig},
};

const FULL: &str = r#"
context: prod
contexts:
  prod:
    endpoints:
      - 10.5.0.2
      - https://omni.example.com
    nodes: [10.5.0.3]
    ca: Y2E=
    crt: Y3J0
    key: a2V5
    auth:
      siderov1:
        identity: me@example.com
    cluster: main
    proxy-url: socks5://10.0.0.1:1080
  lab:
    endpoints: []
    auth:
      basic: {username: user, password: hunter2}
"#;

fn parse(text: &str) -> Talosconfig {
    Talosconfig::parse(text).expect("a valid talosconfig")
}

fn config_error(error: &talos_client::Error) -> &ConfigError {
    assert_eq!(error.kind(), ErrorKind::Config, "{error:#}");
    error
        .source()
        .and_then(|source| source.downcast_ref())
        .expect("a ConfigError behind it")
}

#[test]
fn every_key_is_read() {
    let config = parse(FULL);
    assert_eq!(config.context, "prod");
    let prod = &config.contexts["prod"];
    assert_eq!(prod.endpoints, ["10.5.0.2", "https://omni.example.com"]);
    assert_eq!(prod.nodes, ["10.5.0.3"]);
    assert_eq!(prod.ca.as_deref(), Some("Y2E="));
    assert_eq!(prod.crt.as_deref(), Some("Y3J0"));
    assert_eq!(prod.key.as_ref().map(SecretString::expose), Some("a2V5"));
    assert_eq!(
        prod.auth,
        Some(Auth::SideroV1 {
            identity: "me@example.com".to_owned()
        })
    );
    assert_eq!(prod.cluster.as_deref(), Some("main"));
    assert_eq!(
        prod.proxy_url.as_ref().map(SecretString::expose),
        Some("socks5://10.0.0.1:1080")
    );
    let basic = Auth::Basic {
        username: "user".to_owned(),
        password: SecretString::new("hunter2"),
    };
    assert_eq!(config.contexts["lab"].auth, Some(basic));
}

#[test]
fn what_is_written_reads_the_same() {
    let config = parse(FULL);
    let text = config.to_yaml().expect("writable");
    assert_eq!(parse(&text), config, "{text}");
    assert!(
        text.find("lab:") < text.find("prod:"),
        "contexts are sorted: {text}"
    );
    assert!(
        text.contains("endpoints: []"),
        "empty endpoints are written: {text}"
    );
    assert!(!text.contains("target"), "{text}");
}

#[test]
fn reading_is_as_forgiving_as_talosctl() {
    let cases = [
        (
            "unknown keys",
            "future: 1\ncontexts: {a: {endpoints: [x], shiny: true}}\ncontext: a\n",
        ),
        (
            "second document",
            "context: a\ncontexts: {a: {endpoints: [x]}}\n---\n[not, a, talosconfig]\n",
        ),
        (
            "garbage after the first document",
            "context: a\ncontexts: {a: {endpoints: [x]}}\n---\n{ broken\n",
        ),
        ("legacy target", "context: a\ncontexts: {a: {target: x}}\n"),
        (
            "null lists",
            "context: a\ncontexts:\n  a:\n    target: x\n    endpoints:\n    nodes: ~\n    ca:\n",
        ),
        (
            "document marker",
            "---\ncontext: a\ncontexts: {a: {endpoints: [x]}}\n",
        ),
        (
            "Windows line ends",
            "context: a\r\ncontexts:\r\n  a:\r\n    endpoints: [x]\r\n",
        ),
    ];
    for (name, text) in cases {
        let config = parse(text);
        let (context, found) = config.select(None).expect(name);
        assert_eq!(
            (context, found.endpoints.as_slice()),
            ("a", &["x".to_owned()][..]),
            "{name}"
        );
    }
}

#[test]
fn a_legacy_target_comes_after_the_endpoints() {
    let config = parse("context: a\ncontexts: {a: {target: old, endpoints: [new]}}\n");
    assert_eq!(config.contexts["a"].endpoints, ["new", "old"]);
}

#[test]
fn nothing_to_read_is_an_error() {
    for text in ["", "# only a comment\n", "---\n"] {
        let error = Talosconfig::parse(text).expect_err("nothing there");
        assert!(
            matches!(
                error,
                ConfigError::Empty {
                    origin: Origin::Memory,
                    ..
                }
            ),
            "{text:?}: {error:?}"
        );
    }
    let error = parse("contexts: {}\n")
        .select(None)
        .map(drop)
        .expect_err("no contexts");
    assert!(matches!(error, ConfigError::Empty { .. }), "{error:?}");
}

#[test]
fn malformed_text_is_located_and_not_quoted() {
    let cases = [
        ("broken YAML", "context: a\ncontexts: {a: [\n"),
        (
            "a list where a mapping belongs",
            "context: a\ncontexts:\n  - TOP-SECRET\n",
        ),
        (
            "a text where a list belongs",
            "context: a\ncontexts:\n  a:\n    endpoints: TOP-SECRET\n",
        ),
        (
            "a text where a mapping belongs",
            "context: a\ncontexts:\n  a:\n    auth: TOP-SECRET\n",
        ),
        (
            "an error beside a key",
            "context: a\ncontexts:\n  a:\n    key: TOP-SECRET\n    nodes: 5\n",
        ),
        ("a null context", "context: a\ncontexts:\n  a:\n"),
    ];
    for (name, text) in cases {
        let error = Talosconfig::parse(text).expect_err(name);
        assert!(
            matches!(error, ConfigError::Malformed { .. }),
            "{name}: {error:?}"
        );
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("TOP-SECRET"), "{name}: {shown}");
    }
    let Err(ConfigError::Malformed { line, .. }) = Talosconfig::parse(cases[2].1) else {
        panic!("checked above")
    };
    assert_eq!(line, 4);
}

#[test]
fn contexts_are_selected_by_name_or_by_default() {
    let config = parse(FULL);
    assert_eq!(config.select(None).expect("current").0, "prod");
    assert_eq!(config.select(Some("lab")).expect("named").0, "lab");

    let error = config
        .select(Some("nope"))
        .map(drop)
        .expect_err("no such context");
    assert!(
        matches!(&error, ConfigError::ContextNotFound { context, .. } if context == "nope"),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        "context \"nope\" not found in talosconfig, known contexts: lab, prod"
    );

    let error = parse("context: gone\ncontexts: {a: {}}\n")
        .select(None)
        .map(drop)
        .expect_err("dangling");
    assert!(
        matches!(&error, ConfigError::CurrentContextNotFound { context, .. } if context == "gone"),
        "{error:?}"
    );
}

#[test]
fn merging_renames_and_never_overwrites() {
    let mut config = parse("context: a\ncontexts: {a: {endpoints: [mine]}, a-1: {endpoints: [mine too]}}\n");
    let other = parse("context: a\ncontexts: {a: {endpoints: [theirs]}, b: {endpoints: [new]}}\n");

    let renames = config.merge(other.clone());
    let renames: Vec<_> = renames
        .iter()
        .map(|rename| (rename.from.as_str(), rename.to.as_str()))
        .collect();
    assert_eq!(renames, [("a", "a-2")]);
    assert_eq!(
        config.context, "a-2",
        "the incoming current context wins, under its new name"
    );
    let endpoints = |name: &str| config.contexts[name].endpoints[0].as_str();
    assert_eq!(
        ["a", "a-1", "a-2", "b"].map(endpoints),
        ["mine", "mine too", "theirs", "new"]
    );

    // Identical contexts are not recognised as such.
    assert_eq!(config.merge(other).len(), 2);
    assert_eq!(config.contexts.len(), 6);
}

#[test]
fn merging_keeps_the_current_context_unless_another_one_comes_in() {
    let cases = [("", "a"), ("unknown", "a"), ("b", "b")];
    for (incoming, expected) in cases {
        let mut config = parse("context: a\ncontexts: {a: {}}\n");
        config.merge(parse(&format!("context: '{incoming}'\ncontexts: {{b: {{}}}}\n")));
        assert_eq!(config.context, expected, "incoming current context {incoming:?}");
    }
}

#[test]
fn files_are_written_for_the_owner_alone_and_remembered() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("new").join("config");
    let mut config = parse(FULL);
    assert!(matches!(config.save(), Err(ConfigError::NoPath)));

    config.save_to(&path).expect("saved");
    assert_eq!(config.path(), Some(&*path));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;

        let mode = |path: &Path| fs::metadata(path).expect("exists").permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().expect("has one")), 0o700);

        // Whatever the mode was, secrets are for the owner.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
        config.save().expect("saved again");
        assert_eq!(mode(&path), 0o600);
    }
    let mut loaded = Talosconfig::load(&path).expect("readable");
    assert_eq!(loaded, config);
    loaded.context = "lab".to_owned();
    loaded.save().expect("saved to where it came from");
    assert_eq!(Talosconfig::load(&path).expect("readable").context, "lab");
    let names: Vec<_> = fs::read_dir(path.parent().expect("has one"))
        .expect("listing")
        .collect();
    assert_eq!(names.len(), 1, "no temporary file is left: {names:?}");
}

#[cfg(unix)]
#[test]
fn a_failed_write_leaves_the_file_as_it_was() {
    let folder = tempfile::tempdir().expect("temporary folder");
    // A folder cannot be replaced by a file, even by root.
    let path = folder.path().join("config");
    fs::create_dir(&path).expect("folder");
    fs::write(path.join("inside"), "untouched").expect("file");

    let error = parse(FULL).save_to(&path).expect_err("a folder is in the way");
    assert!(
        matches!(&error, ConfigError::Write { path: at, .. } if *at == path),
        "{error:?}"
    );
    assert_eq!(
        fs::read_to_string(path.join("inside")).expect("still there"),
        "untouched"
    );
    assert_eq!(
        fs::read_dir(folder.path()).expect("listing").count(),
        1,
        "no temporary file is left"
    );
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_is_followed() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    fs::write(&real, "").expect("file");
    std::os::unix::fs::symlink(&real, &link).expect("link");

    parse(FULL).save_to(&link).expect("saved");
    assert!(fs::symlink_metadata(&link).expect("exists").is_symlink());
    assert_eq!(Talosconfig::load(&real).expect("readable").context, "prod");
}

#[test]
fn the_file_inside_pods_is_never_written() {
    let error = parse(FULL)
        .save_to(Lookup::SERVICE_ACCOUNT_FILE)
        .expect_err("read-only by contract");
    assert!(matches!(error, ConfigError::ReadOnly { .. }), "{error:?}");
}

#[test]
fn a_missing_file_is_named_and_not_created() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("missing");
    let error = Talosconfig::load(&path).expect_err("not there");
    assert!(matches!(error, ConfigError::Read { .. }), "{error:?}");
    assert!(
        error.to_string().contains(path.to_str().expect("utf-8")),
        "{error}"
    );
    assert!(!path.exists());

    let error = Talosconfig::load(folder.path()).expect_err("a folder without a talosconfig in it");
    assert!(
        matches!(&error, ConfigError::Read { path, .. } if path == folder.path()),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_client_cannot_be_made_from_a_broken_context() {
    let folder = tempfile::tempdir().expect("temporary folder");
    type Expected = fn(&ConfigError) -> bool;
    let cases: [(&str, &str, Expected); 8] = [
        ("no endpoints", "{}", |error| {
            matches!(error, ConfigError::NoEndpoints { .. })
        }),
        ("bad endpoint", "{endpoints: ['10.5.0.2:port']}", |error| {
            matches!(error, ConfigError::Endpoint { .. })
        }),
        (
            "bad node",
            "{endpoints: [x], nodes: ['10.5.0.2:50000']}",
            |error| matches!(error, ConfigError::Node { .. }),
        ),
        ("base64", "{endpoints: [x], ca: 'LS0*'}", |error| {
            let problem = Base64Problem::Symbol { offset: 3 };
            matches!(error, ConfigError::Base64 { field: "ca", problem: p, .. } if *p == problem)
        }),
        ("no key", "{endpoints: [x], crt: Y3J0}", |error| {
            matches!(error, ConfigError::IncompleteIdentity { missing: "key", .. })
        }),
        ("no PEM", "{endpoints: [x], ca: Y2E=}", |error| {
            matches!(error, ConfigError::Credentials { .. })
        }),
        (
            "no key in PEM",
            "{endpoints: [x], ca: Y2E=, crt: Y3J0, key: U0VDUkVU}",
            |error| matches!(error, ConfigError::Credentials { .. }),
        ),
        (
            "proxy",
            "{endpoints: [x], proxy-url: 'socks4://user:SECRET@proxy:1'}",
            |error| match error {
                #[cfg(feature = "proxy")]
                ConfigError::ProxyUrl { .. } => true,
                #[cfg(not(feature = "proxy"))]
                ConfigError::FeatureDisabled {
                    field: "proxy-url",
                    feature: "proxy",
                    ..
                } => true,
                _ => false,
            },
        ),
    ];
    for (number, (name, context, expected)) in cases.into_iter().enumerate() {
        let path = folder.path().join(format!("config-{number}"));
        fs::write(&path, format!("context: main\ncontexts:\n  main: {context}\n")).expect("written");
        let error = Client::from_talosconfig(&path).await.expect_err(name);
        assert!(expected(config_error(&error)), "{name}: {error:?}");
        let shown = format!("{error} {error:#} {error:?}");
        assert!(
            shown.contains("main") && shown.contains(path.to_str().expect("utf-8")),
            "{name}: {shown}"
        );
        for secret in ["SECRET", "U0VDUkVU", "LS0*"] {
            assert!(!shown.contains(secret), "{name} shows {secret}: {shown}");
        }
    }
}

#[cfg(not(feature = "siderov1"))]
#[tokio::test]
async fn a_context_with_signatures_names_the_feature_it_needs() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("config");
    let text = "context: main\ncontexts:\n  main: {endpoints: [x], auth: {siderov1: {identity: me@x}}}\n";
    fs::write(&path, text).expect("written");
    let error = Client::from_talosconfig(&path)
        .await
        .expect_err("not in this build");
    assert!(matches!(
        config_error(&error),
        ConfigError::FeatureDisabled {
            field: "auth.siderov1",
            feature: "siderov1",
            ..
        }
    ));
    let shown = format!("{error:#}");
    assert!(shown.contains("`siderov1` of talos-client"), "{shown}");
}

#[test]
fn a_wrong_context_is_reported_before_missing_endpoints() {
    let build = |builder: talos_client::ClientBuilder| builder.build().expect_err("no such context");
    let error = build(
        Client::builder()
            .talosconfig(parse(FULL))
            .context("nope")
            .endpoints(["10.5.0.2"]),
    );
    assert!(
        matches!(config_error(&error), ConfigError::ContextNotFound { .. }),
        "{error:?}"
    );
    let error = build(Client::builder().talosconfig(parse(FULL)).context("nope"));
    assert!(
        matches!(config_error(&error), ConfigError::ContextNotFound { .. }),
        "{error:?}"
    );
    let error = build(Client::builder().talosconfig(Talosconfig::new()));
    assert!(
        matches!(config_error(&error), ConfigError::Empty { .. }),
        "{error:?}"
    );
}

#[test]
fn nothing_is_loaded_unless_asked_for() {
    let error = Client::builder().ca_pem("").build().expect_err("no endpoints");
    assert_eq!(error.kind(), ErrorKind::Config, "{error:#}");
}

#[test]
fn contexts_made_by_hand_encode_pem() {
    let mut context = Context::new(["10.5.0.2"]);
    context.set_ca_pem("ca").set_client_certificate_pem("crt", "key");
    let mut config = Talosconfig::new();
    config.contexts.insert("prod".to_owned(), context.clone());
    assert_eq!(context.ca.as_deref(), Some("Y2E="));
    let text = config.to_yaml().expect("writable");
    assert_eq!(parse(&text).contexts["prod"], context);
}
