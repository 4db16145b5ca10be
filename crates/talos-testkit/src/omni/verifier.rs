//! Whether a call was signed as it arrived.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde_json::Value;

use super::openpgp::{OpenPgpError, PublicKey};

/// How far the clock of a client may be off.
const SKEW: Duration = Duration::from_secs(5 * 60);

/// What has to be signed as it is. Other metadata, `node` among them, is not covered.
const COVERED: [&str; 10] = [
    "x-sidero-timestamp",
    "nodes",
    "selectors",
    "fieldSelectors",
    "runtime",
    "context",
    "cluster",
    "namespace",
    "uid",
    "authorization",
];

/// Checks signatures of calls as Omni does, for servers of your own.
#[derive(Debug, Clone, Default)]
pub struct SignatureVerifier {
    keys: Vec<(String, PublicKey)>,
}

/// Why a call is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureProblem {
    /// One of the three parts of a signature is not there; without all three the call is not signed.
    #[error("no {name}")]
    Missing {
        /// Name of the metadata.
        name: &'static str,
    },
    /// One of them is there twice.
    #[error("more than one {name}")]
    Repeated {
        /// Name of the metadata.
        name: &'static str,
    },
    /// One of them cannot be read.
    #[error("{name} cannot be read")]
    Malformed {
        /// Name of the metadata.
        name: &'static str,
    },
    /// It was signed more than five minutes ago, or will be signed in more than five minutes.
    #[error("the clocks differ")]
    Clock,
    /// What was signed is a call of another method.
    #[error("signed for another method")]
    Method,
    /// Metadata are not what was signed.
    #[error("{name} differs")]
    Metadata {
        /// Name of the metadata.
        name: &'static str,
    },
    /// No such key of that identity is accepted.
    #[error("{identity} has no key {fingerprint}")]
    UnknownKey {
        /// Who is said to have signed.
        identity: String,
        /// The key.
        fingerprint: String,
    },
    /// The signature itself is not one of this key for this text.
    #[error(transparent)]
    Signature(OpenPgpError),
    /// The signature says that another key made it.
    #[error("issued by another key")]
    Issuer,
    /// The signature says another time than the metadata.
    #[error("not made at the time it says")]
    Time,
}

impl SignatureVerifier {
    /// Accepts no key.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Accepts signatures of `identity` by `key`, beside those of keys that were accepted before.
    pub fn accept(&mut self, identity: impl Into<String>, key: PublicKey) {
        self.keys.push((identity.into(), key));
    }

    /// Forgets all keys of `identity`.
    pub fn forget(&mut self, identity: &str) {
        self.keys.retain(|(known, _)| known != identity);
    }

    /// The identity that signed the call of `method` (a gRPC path) with this metadata, if the signature is good at
    /// the time `now`.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn verify(
        &self,
        method: &str,
        metadata: &HeaderMap,
        now: SystemTime,
    ) -> Result<&str, SignatureProblem> {
        let timestamp = single(metadata, TIMESTAMP)?;
        let timestamp: u64 = timestamp.parse().map_err(|_| malformed(TIMESTAMP))?;
        let signed = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(timestamp));
        let signed = signed.ok_or_else(|| malformed(TIMESTAMP))?;
        let apart = now
            .duration_since(signed)
            .unwrap_or_else(|ahead| ahead.duration());
        if apart > SKEW {
            return Err(SignatureProblem::Clock);
        }

        let payload = single(metadata, PAYLOAD)?;
        let json: Value = serde_json::from_str(payload).map_err(|_| malformed(PAYLOAD))?;
        if json["method"] != method {
            return Err(SignatureProblem::Method);
        }
        for name in COVERED {
            let values: Vec<_> = metadata.get_all(name).iter().collect();
            let values = values
                .iter()
                .map(|value| Value::from(String::from_utf8_lossy(value.as_bytes())));
            let actual: Value = values.collect();
            // Metadata that is not there is no empty list.
            let actual = if actual == Value::Array(Vec::new()) {
                Value::Null
            } else {
                actual
            };
            if json["headers"][name] != actual {
                return Err(SignatureProblem::Metadata { name });
            }
        }

        let parts: Vec<_> = single(metadata, SIGNATURE)?.split(' ').collect();
        let ["siderov1", identity, fingerprint, signature] = parts[..] else {
            return Err(malformed(SIGNATURE));
        };
        let signature = STANDARD.decode(signature).map_err(|_| malformed(SIGNATURE))?;
        let (identity, key) = self
            .keys
            .iter()
            .find(|(known, key)| known == identity && key.fingerprint() == fingerprint)
            .ok_or_else(|| SignatureProblem::UnknownKey {
                identity: identity.to_owned(),
                fingerprint: fingerprint.to_owned(),
            })?;
        let about = key
            .verify(&signature, payload.as_bytes())
            .map_err(SignatureProblem::Signature)?;
        if about.issuer_fingerprint != fingerprint {
            return Err(SignatureProblem::Issuer);
        }
        if u64::from(about.created) != timestamp {
            return Err(SignatureProblem::Time);
        }
        Ok(identity)
    }
}

fn single<'a>(metadata: &'a HeaderMap, name: &'static str) -> Result<&'a str, SignatureProblem> {
    let mut values = metadata.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| malformed(name)),
        (None, _) => Err(SignatureProblem::Missing { name }),
        (Some(_), Some(_)) => Err(SignatureProblem::Repeated { name }),
    }
}

const fn malformed(name: &'static str) -> SignatureProblem {
    SignatureProblem::Malformed { name }
}

const TIMESTAMP: &str = "x-sidero-timestamp";
const PAYLOAD: &str = "x-sidero-payload";
const SIGNATURE: &str = "x-sidero-signature";
