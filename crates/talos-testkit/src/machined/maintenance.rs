//! The small server that machines in maintenance mode had until Talos 1.12.

use talos_proto::methods::MethodInfo;
use tonic::Status;

use super::policy;
use crate::roles::Roles;

/// The RPCs of `MachineService` that it has for administrators only, besides `ApplyConfiguration`.
const FOR_ADMINISTRATORS: [&str; 5] = ["Version", "Upgrade", "Reset", "MetaWrite", "MetaDelete"];

/// Lets a call in, or answers in the place of a handler.
pub(super) fn admit(method: &MethodInfo, tag: &str, roles: &Roles) -> Result<(), Status> {
    match method.service {
        "machine.MachineService" => {}
        "storage.StorageService" | "cosi.resource.State" => return policy::authorize(method, tag, roles),
        service => return Err(policy::unknown(service, method.name, false)),
    }
    match method.name {
        "ApplyConfiguration" => Ok(()),
        name if FOR_ADMINISTRATORS.contains(&name) => {
            if roles.is_admin() {
                return Ok(());
            }
            Err(Status::unimplemented(
                "API is not implemented in maintenance mode",
            ))
        }
        "GenerateClientConfiguration" => Err(Status::unimplemented(
            "client configuration (talosconfig) can't be generated in the maintenance mode",
        )),
        name => Err(Status::unimplemented(format!("method {name} not implemented"))),
    }
}

#[cfg(test)]
mod tests {
    use talos_proto::methods::by_path;

    use super::*;

    #[test]
    fn few_rpcs_are_there_and_fewer_for_everybody() {
        let answer = |path: &str, role: &str| {
            let admitted = admit(by_path(path).unwrap(), "v1.12.4", &Roles::new([role]));
            admitted.err().map(|status| status.message().to_owned())
        };
        let machine = |name: &str| format!("/machine.MachineService/{name}");
        for role in ["os:reader", "os:admin"] {
            assert_eq!(answer(&machine("ApplyConfiguration"), role), None);
            assert_eq!(answer("/storage.StorageService/Disks", role), None);
            assert_eq!(answer("/cosi.resource.State/List", role), None);
            assert_eq!(
                answer(&machine("Memory"), role).unwrap(),
                "method Memory not implemented"
            );
            assert_eq!(
                answer("/time.TimeService/Time", role).unwrap(),
                "unknown service time.TimeService"
            );
        }
        assert_eq!(answer(&machine("Version"), "os:admin"), None);
        assert_eq!(
            answer(&machine("Version"), "os:reader").unwrap(),
            "API is not implemented in maintenance mode"
        );
    }
}
