//! Specs that cannot be read.

use std::{error::Error as StdError, fmt};

/// Why a spec does not decode.
#[derive(Debug)]
pub struct DecodeError(Box<dyn StdError + Send + Sync>);

impl DecodeError {
    /// Something that went wrong on the way.
    pub fn new(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(error.into())
    }

    #[allow(dead_code, reason = "the small builds have no spec that needs it")]
    pub(crate) fn text(text: &'static str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the spec does not decode")
    }
}

impl StdError for DecodeError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.0.as_ref())
    }
}
