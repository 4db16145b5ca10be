//! From a status to an [`Error`].

use std::error::Error as _;

use talos_transport::{AnsweredBy, Delivery, Error as TransportError};

use super::CallInfo;
use crate::error::{Code, Detail, Error, ErrorKind, Origin};

impl CallInfo {
    /// What a status says about this call.
    ///
    /// The channel marks each status: one of its own has a transport error behind it, one off the wire the
    /// endpoint that sent it. What has neither was made by the gRPC library here, from bytes that it could
    /// not decode or a message above the limit.
    pub(crate) fn fail(&self, status: tonic::Status) -> Error {
        let code = Code::from(status.code());
        let source = status.source();
        if let Some(error) = source.and_then(|source| source.downcast_ref::<TransportError>()) {
            return self.transport_failure(code, error.clone());
        }
        if let Some(by) = source.and_then(|source| source.downcast_ref::<AnsweredBy>()) {
            let origin = Origin::of_status(code, status.message());
            return self
                .error(code.kind(), origin)
                .with_endpoint(Some(by.endpoint().clone()))
                .with_code(code)
                .with_message(status.message())
                .with_details(Detail::of_status(status.details()));
        }
        let kind = match code {
            Code::Internal | Code::Unknown => ErrorKind::Malformed,
            // The limit on the size of a message.
            Code::OutOfRange | Code::ResourceExhausted => ErrorKind::TooLarge,
            other => other.kind(),
        };
        self.error(kind, Origin::Local)
            .with_code(code)
            .with_message(status.message())
    }

    fn transport_failure(&self, code: Code, error: TransportError) -> Error {
        let kind = match &error {
            TransportError::Connect(_) => ErrorKind::Connect,
            TransportError::Timeout { .. } => ErrorKind::Timeout,
            TransportError::Closed {
                delivery: Delivery::NotSent,
                ..
            } => ErrorKind::Connect,
            TransportError::Closed { .. } => ErrorKind::Unavailable,
            _ => code.kind(),
        };
        let mut failure = self.error(kind, Origin::Local);
        if let Some(endpoint) = error.endpoint() {
            failure = failure.with_endpoint(Some(endpoint.clone()));
        }
        failure.with_source(error)
    }
}
