//! [`Signer`]: puts signatures on requests.

use std::{sync::Arc, time::SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue};
use talos_transport::{
    ChannelBuilder,
    layer::{AfterRefusal, BoxError, Refusal, RequestSigner, Unsigned},
};

use super::{
    config::{Clock, SideroV1Config},
    error::SideroV1Error,
    key::SigningKey,
    payload::{TIMESTAMP, payload},
    service_account::ServiceAccount,
    user::User,
};
use crate::error::{Error, ErrorKind, Result};

/// Who is to sign, by the talosconfig.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// Name of the context.
    pub(crate) context: String,
    /// The identity in it.
    pub(crate) identity: String,
}

/// Signs every request of a channel.
pub(crate) struct Signer {
    credentials: Credentials,
    clock: Clock,
}

enum Credentials {
    ServiceAccount { name: String, key: Arc<SigningKey> },
    User(User),
}

impl Signer {
    /// Logins go through a channel of their own that is like this one.
    pub(crate) fn new(config: SideroV1Config, subject: Subject, channel: &ChannelBuilder) -> Result<Self> {
        let clock = config.clock.clone();
        let credentials = match &config.service_account {
            Some((origin, value)) => {
                let ServiceAccount { name, key } =
                    ServiceAccount::decode(*origin, value).map_err(config_error)?;
                Credentials::ServiceAccount {
                    name,
                    key: Arc::new(key),
                }
            }
            None => Credentials::User(User::new(config, subject, channel)?),
        };
        Ok(Self { credentials, clock })
    }

    async fn credentials(&self) -> Result<(&str, Arc<SigningKey>), SideroV1Error> {
        match &self.credentials {
            Credentials::ServiceAccount { name, key } => Ok((name, Arc::clone(key))),
            Credentials::User(user) => Ok((user.identity(), user.key().await?)),
        }
    }

    async fn headers(&self, request: Unsigned<'_>) -> Result<HeaderMap, SideroV1Error> {
        let (identity, key) = self.credentials().await?;
        // A login may have taken its time, so the clock is read after it.
        let now = unix_seconds(self.clock.now()).ok_or(SideroV1Error::Clock)?;
        let timestamp = now.to_string();
        let payload = payload(request.path, request.metadata, &timestamp)?;
        let signature = key
            .sign(payload.as_bytes(), now)
            .ok_or_else(|| SideroV1Error::Sign {
                fingerprint: key.fingerprint().to_owned(),
            })?;
        let signature = format!(
            "siderov1 {identity} {} {}",
            key.fingerprint(),
            STANDARD.encode(signature)
        );
        let mut headers = HeaderMap::with_capacity(3);
        for (name, text) in [(TIMESTAMP, timestamp), (PAYLOAD, payload), (SIGNATURE, signature)] {
            let mut value = HeaderValue::try_from(text).expect("all three are printable ASCII");
            // The payload repeats `authorization`; and all of them are of no use to compression.
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(headers)
    }
}

impl RequestSigner for Signer {
    async fn sign(&self, request: Unsigned<'_>) -> Result<HeaderMap, BoxError> {
        Ok(self.headers(request).await?)
    }

    async fn on_unauthenticated(&self, refusal: Refusal<'_>) -> Result<AfterRefusal, BoxError> {
        let Credentials::User(user) = &self.credentials else {
            return Ok(AfterRefusal::GiveUp);
        };
        let signature = refusal
            .headers
            .get(SIGNATURE)
            .and_then(|value| value.to_str().ok());
        let Some(fingerprint) = signature.and_then(|text| text.split(' ').nth(2)) else {
            return Ok(AfterRefusal::GiveUp);
        };
        Ok(match user.key_instead_of(fingerprint).await? {
            Some(_) => AfterRefusal::SignAgain,
            None => AfterRefusal::GiveUp,
        })
    }
}

/// Whether this can stand between spaces in a header.
pub(super) fn is_identity(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(super) fn config_error(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::local(ErrorKind::Config, error)
}

/// OpenPGP has 32 bits for it.
fn unix_seconds(time: SystemTime) -> Option<u32> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u32::try_from(since.as_secs()).ok()
}

const PAYLOAD: &str = "x-sidero-payload";
const SIGNATURE: &str = "x-sidero-signature";
