//! Which key signs, and what is said of those that cannot.

use std::{
    error::Error as _,
    ffi::OsString,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use talos_client::{
    Error, ErrorKind,
    config::Auth,
    siderov1::{KeyError, ServiceAccountOrigin, ServiceAccountProblem, SideroV1Config, SideroV1Error},
};

use crate::siderov1::{
    ME, NOW, SERVICE_ACCOUNT, Setup, USER, hostname, key_file, reason, shows_no_secret, signed_by, unix,
};

fn config_reason(error: &Error) -> &SideroV1Error {
    assert_eq!(error.kind(), ErrorKind::Config, "{error:#}");
    let source = error.source().expect("a source");
    source.downcast_ref().expect("an error of the signer")
}

#[tokio::test]
async fn unusable_key_files_are_told_apart_before_anything_is_sent() {
    type Check = fn(&SideroV1Error) -> bool;
    let cases: [(Option<&str>, Check); 5] = [
        (
            None,
            |error| matches!(error, SideroV1Error::NoKey { identity, .. } if identity == ME),
        ),
        (Some(key_file!("revoked")), |error| {
            matches!(
                error,
                SideroV1Error::Key {
                    source: KeyError::Revoked,
                    ..
                }
            )
        }),
        (Some(key_file!("locked")), |error| {
            matches!(
                error,
                SideroV1Error::Key {
                    source: KeyError::Locked,
                    ..
                }
            )
        }),
        (Some(key_file!("no-lifetime")), |error| {
            matches!(
                error,
                SideroV1Error::Key {
                    source: KeyError::NoLifetime,
                    ..
                }
            )
        }),
        (Some("hunter2"), |error| {
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

pub(crate) fn account(name: &str, armored: &str) -> String {
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
        (variables(std::slice::from_ref(&omni)), "omni"),
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
