//! How a call ends before its time.

use tonic::{Code, Status};

/// What ends a call, or lets it never end.
#[derive(Debug, Clone)]
pub(crate) enum Ending {
    /// A gRPC status.
    Status(Status),
    /// The HTTP/2 stream is reset with this error code.
    Reset(u32),
    /// The connection breaks, with everything else on it.
    Disconnect,
    /// Nothing more comes.
    Hang,
}

/// An ending that is no answer: only the connection can carry it out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Abrupt {
    Reset(u32),
    Disconnect,
}

impl Ending {
    /// The ending as an `apid` passes it on that sees it on a connection of its own; `None` if nothing comes.
    pub(crate) fn relayed(&self) -> Option<Status> {
        match self {
            Self::Status(status) => Some(status.clone()),
            Self::Reset(code) => Some(reset_status(*code)),
            Self::Disconnect => Some(Status::unavailable("error reading from server: EOF")),
            Self::Hang => None,
        }
    }
}

/// What grpc-go makes of a reset stream.
fn reset_status(code: u32) -> Status {
    let (name, status) = match code {
        0x0 => ("NO_ERROR", Code::Internal),
        0x1 => ("PROTOCOL_ERROR", Code::Internal),
        0x2 => ("INTERNAL_ERROR", Code::Internal),
        0x3 => ("FLOW_CONTROL_ERROR", Code::ResourceExhausted),
        0x4 => ("SETTINGS_TIMEOUT", Code::Internal),
        0x5 => ("STREAM_CLOSED", Code::Internal),
        0x6 => ("FRAME_SIZE_ERROR", Code::Internal),
        0x7 => ("REFUSED_STREAM", Code::Unavailable),
        0x8 => ("CANCEL", Code::Cancelled),
        0x9 => ("COMPRESSION_ERROR", Code::Internal),
        0xa => ("CONNECT_ERROR", Code::Internal),
        0xb => ("ENHANCE_YOUR_CALM", Code::ResourceExhausted),
        0xc => ("INADEQUATE_SECURITY", Code::PermissionDenied),
        0xd => ("HTTP_1_1_REQUIRED", Code::Internal),
        _ => {
            return Status::unknown(format!(
                "stream terminated by RST_STREAM with error code: unknown error code 0x{code:x}"
            ));
        }
    };
    Status::new(
        status,
        format!("stream terminated by RST_STREAM with error code: {name}"),
    )
}
