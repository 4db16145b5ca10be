//! Names and values of metadata.

use http::{HeaderName, HeaderValue};

use super::BuildError;
use crate::layer::{NODE, NODES, PROXY_FROM};

/// Metadata that users may set.
pub(super) fn text_metadata(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), BuildError> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'.');
    let invalid = || BuildError::MetadataName {
        name: name.to_owned(),
    };
    if !name.bytes().all(allowed) || name.ends_with("-bin") {
        return Err(invalid());
    }
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
    let routing = [NODE, NODES, PROXY_FROM, RUNTIME].contains(&header);
    if routing || name.starts_with("grpc-") || HTTP_OWN.contains(&name) {
        return Err(BuildError::ReservedMetadata {
            name: name.to_owned(),
        });
    }
    let visible = value.bytes().all(|b| (b' '..=b'~').contains(&b));
    let value = HeaderValue::from_str(value).ok().filter(|_| visible);
    value
        .map(|value| (header, value))
        .ok_or_else(|| BuildError::MetadataValue {
            name: name.to_owned(),
        })
}

pub(super) const CONTEXT: HeaderName = HeaderName::from_static("context");
pub(super) const RUNTIME: HeaderName = HeaderName::from_static("runtime");
/// Headers with a meaning in HTTP/2 or gRPC; `authorization` has one as well, but callers may need it.
const HTTP_OWN: [&str; 9] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];
