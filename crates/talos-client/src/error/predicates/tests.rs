use std::time::Duration;

use talos_proto::methods::{Release, Role, by_path};

use super::*;
use crate::error::{Code, Detail};

const READ: &str = "/machine.MachineService/Read";
const REBOOT: &str = "/machine.MachineService/Reboot";

/// An error as a node answers, about a method of the table.
fn answered(method: &str, code: Code, message: &str) -> Error {
    let method = by_path(method).expect("in the table");
    Error::new(code.kind(), Origin::of_status(code, message))
        .with_method(method.path)
        .with_code(code)
        .with_message(message)
}

/// What each code that Talos produces means, by an example from the facts.
#[test]
fn every_code_that_talos_produces_has_its_kind_and_category() {
    use ErrorCategory as Category;

    let cases = [
        (
            Code::PermissionDenied,
            "not authorized",
            ErrorKind::PermissionDenied,
            Category::Authorization,
            false,
        ),
        (
            Code::Unauthenticated,
            "invalid token",
            ErrorKind::Unauthenticated,
            Category::Authorization,
            false,
        ),
        (
            Code::Unimplemented,
            "unknown service x",
            ErrorKind::Unimplemented,
            Category::State,
            false,
        ),
        (
            Code::FailedPrecondition,
            "method is not supported in container mode",
            ErrorKind::FailedPrecondition,
            Category::State,
            false,
        ),
        (
            Code::FailedPrecondition,
            "time is not in sync yet",
            ErrorKind::FailedPrecondition,
            Category::State,
            true,
        ),
        (
            Code::AlreadyExists,
            "etcd data directory is not empty",
            ErrorKind::AlreadyExists,
            Category::Request,
            false,
        ),
        (
            Code::InvalidArgument,
            "crt_ttl should be positive",
            ErrorKind::InvalidArgument,
            Category::Request,
            false,
        ),
        (
            Code::OutOfRange,
            "",
            ErrorKind::InvalidArgument,
            Category::Request,
            false,
        ),
        (
            Code::NotFound,
            "meta key not found",
            ErrorKind::NotFound,
            Category::Request,
            false,
        ),
        (
            Code::ResourceExhausted,
            "meta write failed",
            ErrorKind::ResourceExhausted,
            Category::Server,
            false,
        ),
        (
            Code::Unavailable,
            "connection error: desc = \"transport: …\"",
            ErrorKind::Unavailable,
            Category::Connectivity,
            true,
        ),
        (
            Code::Internal,
            "runtime error: nil map",
            ErrorKind::Internal,
            Category::Server,
            false,
        ),
        (Code::DataLoss, "", ErrorKind::Internal, Category::Server, false),
        (
            Code::Unknown,
            "path must be a regular file",
            ErrorKind::Unknown,
            Category::Server,
            false,
        ),
        (
            Code::DeadlineExceeded,
            "context deadline exceeded",
            ErrorKind::Timeout,
            Category::Connectivity,
            true,
        ),
        (
            Code::Cancelled,
            "context canceled",
            ErrorKind::Cancelled,
            Category::Connectivity,
            false,
        ),
        (
            Code::Aborted,
            "",
            ErrorKind::FailedPrecondition,
            Category::State,
            false,
        ),
        // Nothing is OK about a status that ends up as an error.
        (Code::Ok, "", ErrorKind::Unknown, Category::Server, false),
    ];
    let mut codes = Vec::new();
    for (code, message, kind, category, retriable) in cases {
        let error = answered(READ, code, message);
        assert_eq!(
            (error.kind(), error.category()),
            (kind, category),
            "{code:?} {message}"
        );
        assert_eq!(error.is_retriable(), retriable, "{code:?} {message}");
        codes.push(code);
    }
    for number in 0..=16 {
        assert!(
            codes.contains(&Code::from_wire(number)),
            "code {number} has no case"
        );
    }
}

#[test]
fn predicates_go_by_kind_and_not_by_code_alone() {
    type Predicate = fn(&Error) -> bool;
    let cases: [(Code, &str, Predicate, Predicate); 9] = [
        (
            Code::DeadlineExceeded,
            "",
            Error::is_timeout,
            Error::is_unreachable,
        ),
        (Code::NotFound, "", Error::is_not_found, Error::is_already_exists),
        (
            Code::AlreadyExists,
            "",
            Error::is_already_exists,
            Error::is_not_found,
        ),
        (
            Code::PermissionDenied,
            "not authorized",
            Error::is_denied,
            Error::is_not_forwarded,
        ),
        (
            Code::PermissionDenied,
            "no request forwarding",
            Error::is_not_forwarded,
            Error::is_not_yet,
        ),
        (
            Code::InvalidArgument,
            "",
            Error::is_invalid_input,
            Error::is_failed_precondition,
        ),
        (
            Code::FailedPrecondition,
            "",
            Error::is_failed_precondition,
            Error::is_not_yet,
        ),
        (
            Code::Unimplemented,
            "unknown service x",
            Error::is_unknown_method,
            Error::is_not_yet,
        ),
        (
            Code::Unimplemented,
            "kubeconfig is only available on control plane nodes",
            Error::is_unimplemented,
            Error::is_unknown_method,
        ),
    ];
    for (code, message, yes, no) in cases {
        let error = answered(READ, code, message);
        assert!(yes(&error) && !no(&error), "{code:?} {message}");
        assert!(!error.is_not_sent(), "a server answered");
    }
    for kind in [ErrorKind::Config, ErrorKind::InvalidInput, ErrorKind::Connect] {
        assert!(Error::new(kind, Origin::Local).is_not_sent(), "{kind}");
    }
}

#[test]
fn a_server_that_names_a_delay_wants_to_be_asked_again() {
    let error = answered(READ, Code::ResourceExhausted, "slow down");
    assert!(!error.is_retriable());
    let delay = Some(Duration::from_secs(3));
    let error = error.with_details(vec![Detail::RetryInfo { delay }]);
    assert_eq!(error.retry_after(), delay);
    assert!(error.is_retriable());
    let text = format!("{error:#}");
    assert!(text.ends_with("slow down; try again in 3s"), "{text}");
    assert!(error.to_string().ends_with("slow down"), "one line about itself");
}

#[test]
fn a_refusal_names_the_roles_that_would_do() {
    let error = answered(REBOOT, Code::PermissionDenied, "not authorized");
    assert_eq!(error.required_roles(), [Role::Admin, Role::Operator]);
    let text = error.to_string();
    assert!(
        text.ends_with("not authorized (it takes the role os:admin or os:operator)"),
        "{text}"
    );

    let error = answered(READ, Code::PermissionDenied, "not authorized");
    assert_eq!(error.required_roles(), [Role::Admin]);
    let sensitive = answered(
        "/cosi.resource.State/Get",
        Code::PermissionDenied,
        "not authorized",
    );
    assert_eq!(
        sensitive.required_roles(),
        [Role::Admin],
        "readers may call it, but not for this type"
    );
    let forwarding = answered(READ, Code::PermissionDenied, "no request forwarding");
    assert_eq!(forwarding.required_roles(), []);
}

#[test]
fn a_call_that_is_not_there_says_since_when_it_would_be() {
    let error = answered(
        "/machine.LVMService/VolumeGroupRemove",
        Code::Unimplemented,
        "unknown service machine.LVMService",
    );
    let text = error.to_string();
    assert!(
        text.ends_with("(the server is too old, Talos has this call since v1.14)"),
        "{text}"
    );
    let text = error.with_release(Some(Release::new(1, 12))).to_string();
    assert!(text.ends_with("since v1.14; it runs v1.12)"), "{text}");
}
