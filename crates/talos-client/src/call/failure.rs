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
            return self.answered(&status).with_endpoint(Some(by.endpoint().clone()));
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

    /// What a server said.
    fn answered(&self, status: &tonic::Status) -> Error {
        let code = Code::from(status.code());
        self.error(code.kind(), Origin::of_status(code, status.message()))
            .with_code(code)
            .with_message(status.message())
            .with_details(Detail::of_status(status.details()))
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use talos_proto::methods::lookup;

    use super::*;

    #[test]
    fn details_of_a_status_off_the_wire_are_kept() {
        let method = lookup("machine.MachineService", "Version").expect("in the table");
        // A `google.rpc.Status` with one `google.rpc.RequestInfo`, by hand: field 3 holds an `Any` with the type
        // in field 1 and in field 2 the message, whose field 1 is the id.
        let name = b"type.googleapis.com/google.rpc.RequestInfo";
        let mut any = vec![0x0a, u8::try_from(name.len()).expect("short")];
        any.extend_from_slice(name);
        any.extend_from_slice(&[0x12, 4, 0x0a, 2, b'4', b'2']);
        let mut details = vec![0x1a, u8::try_from(any.len()).expect("short")];
        details.extend_from_slice(&any);

        let status =
            tonic::Status::with_details(tonic::Code::ResourceExhausted, "slow down", Bytes::from(details));
        let error = CallInfo::for_tests(method).answered(&status);
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
        let expected = Detail::RequestInfo {
            request_id: "42".to_owned(),
            serving_data: String::new(),
        };
        assert_eq!(error.details(), [expected]);
        assert!(
            format!("{error:#}").ends_with("slow down; request 42"),
            "{error:#}"
        );
    }
}
