//! Keys of service accounts.

use serde::Deserialize;
use zeroize::Zeroizing;

use super::{
    error::{ServiceAccountOrigin, ServiceAccountProblem, SideroV1Error},
    key::SigningKey,
    signer::is_identity,
};
use crate::{SecretString, config::decode_base64};

/// A name and the key that goes with it.
#[derive(Debug)]
pub(super) struct ServiceAccount {
    pub(super) name: String,
    pub(super) key: SigningKey,
}

#[derive(Deserialize)]
struct Encoded {
    name: String,
    pgp_key: SecretString,
}

impl ServiceAccount {
    pub(super) fn decode(origin: ServiceAccountOrigin, value: &SecretString) -> Result<Self, SideroV1Error> {
        Self::parse(value.expose()).map_err(|problem| SideroV1Error::ServiceAccount { origin, problem })
    }

    fn parse(value: &str) -> Result<Self, ServiceAccountProblem> {
        if value.trim().is_empty() {
            return Err(ServiceAccountProblem::Empty);
        }
        let json = decode_base64(value).map_err(ServiceAccountProblem::Base64)?;
        let json = Zeroizing::new(json);
        // The parser's error may quote what it read.
        let encoded: Encoded = serde_json::from_slice(&json).map_err(|_| ServiceAccountProblem::Json)?;
        if !is_identity(&encoded.name) {
            return Err(ServiceAccountProblem::Name);
        }
        let key = SigningKey::parse(encoded.pgp_key.expose()).map_err(ServiceAccountProblem::Key)?;
        Ok(Self {
            name: encoded.name,
            key,
        })
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::*;
    use crate::siderov1::error::KeyError;

    const KEY: &str = include_str!("../../tests/data/siderov1/service-account.pgp");
    const LOCKED: &str = include_str!("../../tests/data/siderov1/locked.pgp");

    fn encode(json: impl ToString) -> String {
        STANDARD.encode(json.to_string())
    }

    fn account(name: &str, key: &str) -> String {
        encode(serde_json::json!({"name": name, "pgp_key": key, "unknown": 1}))
    }

    #[test]
    fn name_and_key_are_read() {
        let folded = account("ci", KEY).replace('a', "a\n  ");
        for value in [account("ci", KEY), folded] {
            let account = ServiceAccount::parse(&value).expect("an account");
            assert_eq!(account.name, "ci");
            assert_eq!(account.key.fingerprint().len(), 40);
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_the_value() {
        let cases = [
            (String::new(), ServiceAccountProblem::Empty),
            (" \n".to_owned(), ServiceAccountProblem::Empty),
            (
                "hunter2*".to_owned(),
                ServiceAccountProblem::Base64(crate::config::Base64Problem::Symbol { offset: 7 }),
            ),
            (encode("hunter2"), ServiceAccountProblem::Json),
            (encode(r#"{"name": "ci"}"#), ServiceAccountProblem::Json),
            (
                encode(r#"{"name": "ci", "pgp_key": 2}"#),
                ServiceAccountProblem::Json,
            ),
            (account("", KEY), ServiceAccountProblem::Name),
            (account("two words", KEY), ServiceAccountProblem::Name),
            (account("jörg", KEY), ServiceAccountProblem::Name),
            (
                account("ci", "hunter2"),
                ServiceAccountProblem::Key(KeyError::Malformed),
            ),
            (
                account("ci", LOCKED),
                ServiceAccountProblem::Key(KeyError::Locked),
            ),
        ];
        for (value, expected) in cases {
            let problem = ServiceAccount::parse(&value).expect_err("unusable");
            assert_eq!(problem, expected);
            let shown = format!("{problem} {problem:?}");
            assert!(!shown.contains("hunter2") && !shown.contains("BEGIN"), "{shown}");
        }
    }
}
