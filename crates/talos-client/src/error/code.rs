//! gRPC status codes.

use super::ErrorKind;

/// A gRPC status code, as a server sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are those of the gRPC specification")]
pub enum Code {
    Ok,
    Cancelled,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
}

impl Code {
    /// The number on the wire; what is not a code counts as `Unknown`, as the specification wants it.
    pub(crate) fn from_wire(number: i32) -> Self {
        tonic::Code::from(number).into()
    }

    pub(crate) fn kind(self) -> ErrorKind {
        match self {
            Self::Cancelled => ErrorKind::Cancelled,
            Self::InvalidArgument | Self::OutOfRange => ErrorKind::InvalidArgument,
            Self::DeadlineExceeded => ErrorKind::Timeout,
            Self::NotFound => ErrorKind::NotFound,
            Self::AlreadyExists => ErrorKind::AlreadyExists,
            Self::PermissionDenied => ErrorKind::PermissionDenied,
            Self::ResourceExhausted => ErrorKind::ResourceExhausted,
            Self::FailedPrecondition | Self::Aborted => ErrorKind::FailedPrecondition,
            Self::Unimplemented => ErrorKind::Unimplemented,
            Self::Internal | Self::DataLoss => ErrorKind::Internal,
            Self::Unavailable => ErrorKind::Unavailable,
            Self::Unauthenticated => ErrorKind::Unauthenticated,
            Self::Ok | Self::Unknown => ErrorKind::Unknown,
        }
    }
}

impl From<tonic::Code> for Code {
    fn from(code: tonic::Code) -> Self {
        match code {
            tonic::Code::Ok => Self::Ok,
            tonic::Code::Cancelled => Self::Cancelled,
            tonic::Code::Unknown => Self::Unknown,
            tonic::Code::InvalidArgument => Self::InvalidArgument,
            tonic::Code::DeadlineExceeded => Self::DeadlineExceeded,
            tonic::Code::NotFound => Self::NotFound,
            tonic::Code::AlreadyExists => Self::AlreadyExists,
            tonic::Code::PermissionDenied => Self::PermissionDenied,
            tonic::Code::ResourceExhausted => Self::ResourceExhausted,
            tonic::Code::FailedPrecondition => Self::FailedPrecondition,
            tonic::Code::Aborted => Self::Aborted,
            tonic::Code::OutOfRange => Self::OutOfRange,
            tonic::Code::Unimplemented => Self::Unimplemented,
            tonic::Code::Internal => Self::Internal,
            tonic::Code::Unavailable => Self::Unavailable,
            tonic::Code::DataLoss => Self::DataLoss,
            tonic::Code::Unauthenticated => Self::Unauthenticated,
        }
    }
}
