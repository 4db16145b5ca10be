//! Which methods exist and who may call them.

use talos_proto::methods::{self, METHODS, Maintenance, MethodInfo, ServedBy};
use tonic::Status;

use crate::profile::Profile;
use crate::roles::Roles;

/// The method at `path` as a node that runs the release `tag` knows it.
pub(super) fn find(path: &str, tag: &str) -> Result<&'static MethodInfo, Status> {
    let release = Profile::of(tag).release();
    let served = |method: &&MethodInfo| method.served_by == ServedBy::Apid && method.available_in(release);
    if let Some(method) = methods::by_path(path).filter(served) {
        return Ok(method);
    }
    // `apid` has turned away paths without a second slash.
    let (service, name) = path
        .trim_start_matches('/')
        .rsplit_once('/')
        .unwrap_or((path, ""));
    let service_known = METHODS
        .iter()
        .filter(served)
        .any(|method| method.service == service);
    Err(unknown(service, name, service_known))
}

/// grpc-go's answer to a method that it does not have.
pub(crate) fn unknown(service: &str, name: &str, service_known: bool) -> Status {
    Status::unimplemented(if service_known {
        format!("unknown method {name} for service {service}")
    } else {
        format!("unknown service {service}")
    })
}

/// One of the roles that a node with the release `tag` lets in is enough.
pub(super) fn authorize(method: &MethodInfo, tag: &str, roles: &Roles) -> Result<(), Status> {
    if Profile::of(tag).allows(method, |role| roles.contains(role)) {
        Ok(())
    } else {
        Err(not_authorized())
    }
}

/// As [`authorize`], on a machine without a configuration: readers may do a little more there.
pub(super) fn authorize_in_maintenance(method: &MethodInfo, tag: &str, roles: &Roles) -> Result<(), Status> {
    let open = matches!(
        method.maintenance,
        Maintenance::Allowed | Maintenance::Unimplemented
    );
    if open && roles.contains("os:reader") {
        return Ok(());
    }
    authorize(method, tag, roles)
}

pub(super) fn not_authorized() -> Status {
    Status::permission_denied("not authorized")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(path: &str, tag: &str) -> String {
        find(path, tag).unwrap_err().message().to_owned()
    }

    #[test]
    fn unknown_names_are_told_apart() {
        let tag = "v1.14.0";
        assert_eq!(
            message("/machine.MachineService/Foo", tag),
            "unknown method Foo for service machine.MachineService"
        );
        assert_eq!(
            message("/grpc.health.v1.Health/Check", tag),
            "unknown service grpc.health.v1.Health"
        );
        assert_eq!(
            message("/securityapi.SecurityService/Certificate", tag),
            "unknown service securityapi.SecurityService",
            "trustd serves that one"
        );
        assert_eq!(message("/a/b/c", tag), "unknown service a/b");
    }

    #[test]
    fn older_releases_know_less() {
        let pull = "/machine.ImageService/Pull";
        assert!(find(pull, "v1.13.0").is_ok() && find(pull, "unreleased").is_ok());
        assert_eq!(message(pull, "v1.12.4"), "unknown service machine.ImageService");
        assert_eq!(
            message("/cosi.resource.State/Teardown", "v1.13.0"),
            "unknown method Teardown for service cosi.resource.State"
        );
    }

    #[test]
    fn any_listed_role_is_enough_and_admin_implies_nothing_by_itself() {
        let snapshot = methods::machine::machine_service::ETCD_SNAPSHOT;
        for (roles, allowed) in [
            (&["os:admin"][..], true),
            (&["os:etcd:backup"], true),
            (&["os:reader", "os:operator"], true),
            (&["os:reader"], false),
            (&["admin", "os:Admin"], false),
            (&[], false),
        ] {
            assert_eq!(
                authorize(&snapshot, "v1.14.0", &Roles::new(roles)).is_ok(),
                allowed,
                "{roles:?}"
            );
        }
        let status = authorize(&snapshot, "v1.14.0", &Roles::default()).unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (tonic::Code::PermissionDenied, "not authorized")
        );
    }
}
