//! Why writes are refused.

use talos_proto::methods::cosi::resource::state as methods;

use crate::error::{Code, Error};

/// Why a write was refused, beyond the [`ErrorKind`](crate::ErrorKind).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Conflict {
    /// What is to be made exists.
    AlreadyExists,
    /// Somebody else has changed it since it was read. Read it again and try again.
    Version,
    /// It belongs to another owner.
    Owner,
    /// It is in another phase, usually being torn down.
    Phase,
    /// Somebody has not let go of it yet.
    Finalizers,
    /// The server allows no writes at all, as every Talos node.
    WritesNotAllowed,
}

impl Conflict {
    /// What an error of a write says about the resource; `None` if it is about something else.
    #[must_use]
    pub fn of(error: &Error) -> Option<Self> {
        let update = error.method() == Some(methods::UPDATE.path);
        let writes = [
            &methods::CREATE,
            &methods::UPDATE,
            &methods::DESTROY,
            &methods::TEARDOWN,
        ];
        if !writes.iter().any(|method| error.method() == Some(method.path)) {
            return None;
        }
        match error.code()? {
            Code::AlreadyExists => Some(Self::AlreadyExists),
            Code::FailedPrecondition if update => Some(Self::Version),
            Code::FailedPrecondition => Some(Self::Finalizers),
            Code::InvalidArgument if update => Some(Self::Phase),
            // The code is the same, so the words have to tell (Talos v1.14, `internal/app/resources/access.go`).
            Code::PermissionDenied if error.message() == Some("write access is not allowed") => {
                Some(Self::WritesNotAllowed)
            }
            Code::PermissionDenied => Some(Self::Owner),
            _ => None,
        }
    }
}
