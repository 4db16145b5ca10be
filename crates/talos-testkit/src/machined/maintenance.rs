//! What the separate maintenance server of releases before 1.13 has, and for whom.

use talos_proto::methods::MethodInfo;
use tonic::Status;

use crate::roles::Roles;

/// Services that it registers.
const SERVICES: [&str; 3] = [
    "machine.MachineService",
    "storage.StorageService",
    "cosi.resource.State",
];
/// Methods of `MachineService` that it has for administrators.
const ADMINISTRATION: [&str; 5] = ["Version", "Upgrade", "Reset", "MetaWrite", "MetaDelete"];

pub(super) fn before_1_13(method: &MethodInfo, roles: &Roles) -> Result<(), Status> {
    if !SERVICES.contains(&method.service) {
        return Err(Status::unimplemented(format!(
            "unknown service {}",
            method.service
        )));
    }
    if method.service != "machine.MachineService" {
        return Ok(());
    }
    let refusal = match method.name {
        "ApplyConfiguration" | "GenerateConfiguration" => return Ok(()),
        name if ADMINISTRATION.contains(&name) && roles.is_admin() => return Ok(()),
        name if ADMINISTRATION.contains(&name) => "API is not implemented in maintenance mode".to_owned(),
        "GenerateClientConfiguration" => {
            "client configuration (talosconfig) can't be generated in the maintenance mode".to_owned()
        }
        name => format!("method {name} not implemented"),
    };
    Err(Status::unimplemented(refusal))
}

#[cfg(test)]
mod tests {
    use talos_proto::methods;

    use super::*;

    #[test]
    fn little_is_there_for_readers() {
        let reader = Roles::new(["os:reader"]);
        let answer = |path: &str, roles: &Roles| {
            let method = methods::by_path(path).unwrap();
            before_1_13(method, roles).map_err(|status| status.message().to_owned())
        };
        let refused = |text: &str| Err(text.to_owned());
        for (path, expected) in [
            ("/machine.MachineService/ApplyConfiguration", Ok(())),
            ("/cosi.resource.State/List", Ok(())),
            ("/storage.StorageService/Disks", Ok(())),
            (
                "/machine.MachineService/Version",
                refused("API is not implemented in maintenance mode"),
            ),
            (
                "/machine.MachineService/Dmesg",
                refused("method Dmesg not implemented"),
            ),
            (
                "/time.TimeService/Time",
                refused("unknown service time.TimeService"),
            ),
        ] {
            assert_eq!(answer(path, &reader), expected, "{path}");
        }
        let admin = Roles::new(["os:admin"]);
        assert_eq!(answer("/machine.MachineService/Version", &admin), Ok(()));
    }
}
