//! From the HTTP library's errors to ours.

use std::error::Error as _;

use super::Peer;
use crate::error::{CloseReason, Delivery, Error};

/// What an error of a call means. `delivery` is what the sender knows about the request.
pub(crate) fn call_error(error: &hyper::Error, peer: &Peer, delivery: Delivery) -> Error {
    let endpoint = peer.endpoint.clone();
    if let Some(code) = find_http2(error)
        .filter(|error| error.is_reset())
        .and_then(h2::Error::reason)
    {
        return Error::Reset {
            endpoint,
            code: code.into(),
        };
    }
    let reason = close_reason(error)
        .or_else(|| peer.observer.reason())
        .unwrap_or(CloseReason::Local);
    Error::Closed {
        endpoint,
        delivery,
        reason,
    }
}

/// Whether the server announced the end of the connection and left this call out of those it still answers.
///
/// The HTTP/2 library fails a call with the announcement itself only if its stream is above the last one the server names.
/// Others go on, and if the connection then ends they fail with that.
pub(crate) fn was_left_out(error: &hyper::Error) -> bool {
    find_http2(error).is_some_and(|error| error.is_go_away() && error.is_remote())
}

/// The reason in the error itself. There is none in an I/O error; the observer knows that one better.
pub(crate) fn close_reason(error: &hyper::Error) -> Option<CloseReason> {
    let error = find_http2(error)?;
    let code = error.reason()?;
    if error.is_go_away() && error.is_remote() {
        return Some(CloseReason::GoAway { code: code.into() });
    }
    Some(CloseReason::Protocol(code.description().to_owned()))
}

fn find_http2(error: &hyper::Error) -> Option<&h2::Error> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        source = error.source();
    }
    None
}
