//! What goes wrong on purpose.

mod calls;
mod connections;
mod pings;
mod streams;

use http_body_util::{BodyExt as _, Full};
use tonic::body::Body;
use tonic::{Code, Status};

use crate::wire::{Wire, final_status, frame};

pub(crate) const VERSION: &str = "/machine.MachineService/Version";

/// An empty request message.
pub(crate) fn empty() -> Body {
    Body::new(Full::new(frame(b"")))
}

/// Code and message of a `Version` call with `metadata`.
pub(crate) async fn version(wire: &Wire, metadata: &[(&str, &str)]) -> (Code, String) {
    let status = final_status(wire.raw(VERSION, metadata, empty()).await).await;
    (status.code(), status.message().to_owned())
}

/// The bytes of a reply, and what came after them: a status, or an error of HTTP/2.
pub(crate) async fn drain(
    response: http::Response<hyper::body::Incoming>,
) -> (Vec<u8>, Result<Option<Status>, hyper::Error>) {
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    loop {
        match body.frame().await {
            None => return (bytes, Ok(None)),
            Some(Err(error)) => return (bytes, Err(error)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => bytes.extend_from_slice(&data),
                Err(frame) => return (bytes, Ok(Status::from_header_map(frame.trailers_ref().unwrap()))),
            },
        }
    }
}

/// The HTTP/2 error code inside an error of hyper.
pub(crate) fn reason(error: &hyper::Error) -> Option<h2::Reason> {
    let source = std::error::Error::source(error)?;
    source.downcast_ref::<h2::Error>()?.reason()
}
