//! What a refused call on resources means.

use super::Code;

/// What a failed call of `cosi.resource.State` means; see [`Error::resource_kind`](crate::Error::resource_kind).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResourceErrorKind {
    /// There is no such resource.
    NotFound,
    /// There is one of this id already.
    AlreadyExists,
    /// The resource has changed since it was read.
    VersionConflict,
    /// The resource is being torn down, or is not.
    PhaseConflict,
    /// Somebody else owns the resource.
    OwnerConflict,
    /// Somebody still holds a finalizer on the resource.
    PendingFinalizers,
    /// Nodes let nobody write resources.
    WriteDenied,
    /// The node has no resources of this type, which older releases may not have. A type that is spelled in
    /// another case is not refused: there just are no resources of it.
    UnknownType,
    /// The node has no such namespace.
    UnknownNamespace,
    /// Resources of this type are only for administrators.
    NotAuthorized,
    /// The bookmark is of another boot, or too old: list again, and watch from there.
    InvalidBookmark,
}

impl ResourceErrorKind {
    /// By method, code and, where those are not enough, text (Talos v1.14, `internal/app/resources/access.go`).
    pub(super) fn of_status(method: &str, code: Code, message: &str) -> Option<Self> {
        let method = method.strip_prefix("/cosi.resource.State/")?;
        let reads = matches!(method, "Get" | "List" | "Watch");
        Some(match code {
            Code::NotFound => Self::NotFound,
            Code::AlreadyExists => Self::AlreadyExists,
            Code::PermissionDenied if message == "not authorized" => Self::NotAuthorized,
            Code::PermissionDenied if message == "write access is not allowed" => Self::WriteDenied,
            Code::PermissionDenied if message.ends_with(" is not supported") => {
                if message.starts_with("resource type ") {
                    Self::UnknownType
                } else if message.starts_with("namespace ") {
                    Self::UnknownNamespace
                } else {
                    return None;
                }
            }
            Code::PermissionDenied if !reads => Self::OwnerConflict,
            Code::InvalidArgument if method == "Update" => Self::PhaseConflict,
            Code::FailedPrecondition => match method {
                "Watch" => Self::InvalidBookmark,
                "Update" => Self::VersionConflict,
                _ if reads => return None,
                _ => Self::PendingFinalizers,
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_the_facts_is_told_apart() {
        use ResourceErrorKind as Kind;

        let cases = [
            (
                "Get",
                Code::NotFound,
                "resource X doesn't exist",
                Some(Kind::NotFound),
            ),
            ("Create", Code::AlreadyExists, "exists", Some(Kind::AlreadyExists)),
            (
                "Update",
                Code::FailedPrecondition,
                "version",
                Some(Kind::VersionConflict),
            ),
            (
                "Update",
                Code::InvalidArgument,
                "phase",
                Some(Kind::PhaseConflict),
            ),
            (
                "Update",
                Code::PermissionDenied,
                "owner conflict",
                Some(Kind::OwnerConflict),
            ),
            (
                "Destroy",
                Code::FailedPrecondition,
                "finalizers",
                Some(Kind::PendingFinalizers),
            ),
            (
                "Teardown",
                Code::PermissionDenied,
                "write access is not allowed",
                Some(Kind::WriteDenied),
            ),
            (
                "List",
                Code::PermissionDenied,
                r#"resource type "X" is not supported"#,
                Some(Kind::UnknownType),
            ),
            (
                "List",
                Code::PermissionDenied,
                r#"namespace "x" is not supported"#,
                Some(Kind::UnknownNamespace),
            ),
            (
                "Get",
                Code::PermissionDenied,
                "not authorized",
                Some(Kind::NotAuthorized),
            ),
            (
                "Watch",
                Code::FailedPrecondition,
                "invalid watch bookmark",
                Some(Kind::InvalidBookmark),
            ),
            ("List", Code::InvalidArgument, "failed to compile regexp: x", None),
            ("Get", Code::PermissionDenied, "no request forwarding", None),
            ("Get", Code::Unavailable, "connection error:", None),
        ];
        for (method, code, message, expected) in cases {
            let path = format!("/cosi.resource.State/{method}");
            assert_eq!(
                ResourceErrorKind::of_status(&path, code, message),
                expected,
                "{method} {message}"
            );
        }
        let elsewhere = ResourceErrorKind::of_status("/machine.MachineService/Read", Code::NotFound, "");
        assert_eq!(elsewhere, None);
    }
}
