//! [`SignError`]: a request that could not be signed.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use super::BoxError;
use crate::error::Delivery;

/// Why a request could not be signed.
///
/// The [`source`](StdError::source) is what the [`RequestSigner`](super::RequestSigner) returned.
#[derive(Clone)]
pub struct SignError {
    source: Arc<dyn StdError + Send + Sync>,
    refused: Option<Arc<str>>,
}

impl SignError {
    /// The request was not sent.
    pub(super) fn before_sending(source: BoxError) -> Self {
        Self {
            source: source.into(),
            refused: None,
        }
    }

    /// A server refused an earlier signature, in these words.
    pub(super) fn after_refusal(source: BoxError, message: &str) -> Self {
        Self {
            source: source.into(),
            refused: Some(message.into()),
        }
    }

    /// The server's words, if it refused a first signature and making another one failed.
    pub fn refusal(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// Whether a server has seen the request at all. None has acted on it in any case.
    pub(crate) fn delivery(&self) -> Delivery {
        match self.refused {
            None => Delivery::NotSent,
            Some(_) => Delivery::Refused,
        }
    }
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.refused {
            None => f.write_str("the request could not be signed"),
            Some(message) => write!(
                f,
                "the request could not be signed again after the server refused it with {message:?}"
            ),
        }
    }
}

impl fmt::Debug for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignError")
            .field("source", &self.source)
            .field("refused", &self.refused)
            .finish()
    }
}

impl StdError for SignError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}
