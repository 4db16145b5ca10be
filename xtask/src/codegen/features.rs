//! Which Cargo feature of talos-proto a service or a package belongs to, and where a package lives in Rust.

use anyhow::{Result, bail};

/// One feature per RPC service.
const SERVICES: [(&str, &str); 13] = [
    ("cluster.ClusterService", "cluster"),
    ("cosi.resource.State", "cosi"),
    ("inspect.InspectService", "inspect"),
    ("machine.DebugService", "debug"),
    ("machine.ImageService", "image"),
    ("machine.LVMService", "lvm"),
    ("machine.LifecycleService", "lifecycle"),
    ("machine.MDService", "md"),
    ("machine.MachineService", "machine"),
    ("securityapi.SecurityService", "security"),
    ("signerapi.SignerService", "signer"),
    ("storage.StorageService", "storage"),
    ("time.TimeService", "time"),
];

/// The feature that turns `service` (a full name such as `machine.MachineService`) on.
pub fn of_service(service: &str) -> Result<&'static str> {
    match SERVICES.iter().find(|(name, _)| *name == service) {
        Some((_, feature)) => Ok(feature),
        None => bail!(
            "service {service} has no feature: add it to xtask/src/codegen/features.rs and to the manifest of talos-proto"
        ),
    }
}

/// The feature that turns a whole package on, whatever else reaches its messages: resource definitions are
/// payloads of the resource service, so no RPC names them.
pub fn of_definitions(package: &str) -> Option<String> {
    let group = package
        .strip_prefix("talos.resource.definitions.")
        .or_else(|| package.strip_prefix("resource."));
    match (group, package) {
        (Some(group), _) => Some(format!("def-{group}")),
        (None, "cosi.resource.meta") => Some("cosi".to_owned()),
        _ => None,
    }
}

/// The feature that also gets the items of `package` that nothing reaches, such as event payloads.
pub fn of_unreached(package: &str) -> Option<String> {
    match package {
        "machine" => Some("machine".to_owned()),
        _ => of_definitions(package),
    }
}

/// Rust module path of a package below the crate root.
pub fn module_path(package: &str) -> Vec<&str> {
    let path = package.strip_prefix("talos.resource.").unwrap_or(package);
    path.split('.').collect()
}
