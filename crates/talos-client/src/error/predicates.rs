//! Questions that callers ask most.

use super::{Error, ErrorCategory, ErrorKind, Origin, Unimplemented, state::passes_by_itself};

impl Error {
    /// Who has to do something about it.
    pub fn category(&self) -> ErrorCategory {
        self.kind().category()
    }

    /// Whether time ran out.
    pub fn is_timeout(&self) -> bool {
        self.kind() == ErrorKind::Timeout
    }

    /// Whether what was asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        self.kind() == ErrorKind::NotFound
    }

    /// Whether the role or the certificate does not suffice.
    pub fn is_denied(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::PermissionDenied | ErrorKind::Unauthenticated
        )
    }

    /// Whether the role or the certificate allows the call, but the endpoint does not forward it, as worker nodes
    /// do not.
    pub fn is_not_forwarded(&self) -> bool {
        self.kind() == ErrorKind::PermissionDenied && self.origin() == Origin::Endpoint
    }

    /// Whether what was to be made exists already.
    pub fn is_already_exists(&self) -> bool {
        self.kind() == ErrorKind::AlreadyExists
    }

    /// Whether the node is in a state in which it cannot do this, or not now; see [`Error::is_not_yet`].
    pub fn is_failed_precondition(&self) -> bool {
        self.kind() == ErrorKind::FailedPrecondition
    }

    /// Whether the request is wrong, no matter who found out: this library before it was sent, or the server.
    pub fn is_invalid_input(&self) -> bool {
        matches!(self.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidArgument)
    }

    /// Whether the server does not implement the call; [`Error::unimplemented`] says why.
    pub fn is_unimplemented(&self) -> bool {
        self.kind() == ErrorKind::Unimplemented
    }

    /// Whether the server does not know the call at all, so that an older one may do in its place. That a node is
    /// not a control plane node, or in another mode, is something else.
    pub fn is_unknown_method(&self) -> bool {
        matches!(
            self.unimplemented(),
            Some(Unimplemented::TooOld { .. } | Unimplemented::Removed { .. })
        )
    }

    /// Whether the server or the node could not be reached.
    pub fn is_unreachable(&self) -> bool {
        matches!(self.kind(), ErrorKind::Connect | ErrorKind::Unavailable)
    }

    /// Whether nothing was sent, so that the call has certainly had no effect.
    pub fn is_not_sent(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::Config | ErrorKind::InvalidInput | ErrorKind::Connect
        )
    }

    /// Whether the node is busy with something that ends by itself, or not far enough in its boot: another
    /// configuration is being applied, the clock is not in sync, etcd cannot be bootstrapped yet, ….
    pub fn is_not_yet(&self) -> bool {
        self.code()
            .is_some_and(|code| passes_by_itself(code, self.message().unwrap_or_default()))
    }

    /// Whether the same call may succeed later without anybody changing anything.
    ///
    /// True for [`ErrorKind::Connect`], [`ErrorKind::Unavailable`] and [`ErrorKind::Timeout`], where
    /// [`Error::is_not_yet`] is, and where the server says [when to try again](Error::retry_after). It does not say
    /// that repeating is harmless: a call that was sent may have had its effect.
    pub fn is_retriable(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::Connect | ErrorKind::Unavailable | ErrorKind::Timeout
        ) || self.is_not_yet()
            || self.retry_after().is_some()
    }
}

#[cfg(test)]
mod tests;
