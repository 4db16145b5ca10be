//! Reading the gRPC status out of headers or trailers.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use tonic::{Code, Status};

use crate::call::AnsweredBy;

/// The status, if there is one and it is not `OK`, with the one who sent it as its source.
pub(crate) fn failure(headers: &HeaderMap, sender: impl FnOnce() -> AnsweredBy) -> Option<Status> {
    if !headers.contains_key(STATUS) {
        return None;
    }
    let mut status = Status::from_header_map(&readable(headers))?;
    if status.code() == Code::Ok {
        return None;
    }
    status.set_source(Arc::new(sender()));
    Some(status)
}

/// The headers without status details that are not base64: tonic panics on those, and a server must not be able to
/// make a client panic.
fn readable(headers: &HeaderMap) -> Cow<'_, HeaderMap> {
    match headers.get(DETAILS) {
        Some(details) if BASE64.decode(details).is_err() => {
            let mut headers = headers.clone();
            headers.remove(DETAILS);
            Cow::Owned(headers)
        }
        _ => Cow::Borrowed(headers),
    }
}

const STATUS: &str = "grpc-status";
const DETAILS: &str = "grpc-status-details-bin";
/// What tonic reads: with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
