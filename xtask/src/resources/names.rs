//! Rust names and places of messages.

use anyhow::{Result, bail};
use heck::{ToSnakeCase as _, ToUpperCamelCase as _};
use prost_reflect::MessageDescriptor;

use super::Resources;

/// The module below `talos_client::resource` for the messages of a package, which is also the name of its
/// feature behind `def-`.
pub fn module_of(package: &str) -> Result<&str> {
    let group = package
        .strip_prefix("talos.resource.definitions.")
        .or_else(|| package.strip_prefix("resource."));
    match group {
        Some(group) if !group.contains('.') => Ok(group),
        _ => bail!("package {package} has no module in talos-client"),
    }
}

/// The name of the Rust type: that of the resource for a spec, else that of the message.
pub fn type_of(resources: &Resources, message: &MessageDescriptor) -> String {
    match resources.row_of(message.full_name()) {
        Some(row) => row.name.clone(),
        None => message.name().to_upper_camel_case(),
    }
}

/// The Rust type that prost makes of a message, below `talos_proto`.
pub fn prost_path(message: &MessageDescriptor) -> Result<String> {
    let package = message.package_name();
    let package = package.strip_prefix("talos.resource.").unwrap_or(package);
    if message.parent_message().is_some() {
        bail!("{} is inside another message", message.full_name());
    }
    let module = package.replace('.', "::");
    Ok(format!(
        "talos_proto::{module}::{}",
        message.name().to_upper_camel_case()
    ))
}

/// Endings that come of capitals in upstream's names, and what they stand for.
const ENDINGS: [(&str, &str); 13] = [
    ("tpmpc_rs", "tpm_pcrs"),
    ("sani_ps", "san_ips"),
    ("cid_rs", "cidrs"),
    ("pc_rs", "pcrs"),
    ("sa_ns", "sans"),
    ("cp_us", "cpus"),
    ("cp_es", "cpes"),
    ("pur_ls", "purls"),
    ("tl_ss", "tls"),
    ("i_ds", "ids"),
    ("i_ps", "ips"),
    ("c_as", "cas"),
    ("i_pv6", "ipv6"),
];

/// A field as we call it.
pub fn our_field(name: &str) -> String {
    let prost = field(name);
    let mended = ENDINGS
        .iter()
        .find_map(|(ending, better)| Some(format!("{}{better}", prost.strip_suffix(ending)?)));
    let mended = mended.unwrap_or(prost);
    mended
        .replace("i_pv4", "ipv4")
        .replace("_i_if_", "_iif_")
        .replace("_o_if_", "_oif_")
}

/// A field as prost calls it.
pub fn field(name: &str) -> String {
    let name = name.to_snake_case();
    match name.as_str() {
        "type" | "match" | "ref" | "use" | "mod" | "where" | "loop" | "move" | "final" | "box" | "priv"
        | "virtual" | "static" | "const" => format!("r#{name}"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_of_capitals_are_mended() {
        for (upstream, ours) in [
            ("pod_cid_rs", "pod_cidrs"),
            ("cert_sani_ps", "cert_san_ips"),
            ("accepted_c_as", "accepted_cas"),
            ("node_cidr_mask_size_i_pv4", "node_cidr_mask_size_ipv4"),
            ("match_i_if_name", "match_iif_name"),
            ("addresses", "addresses"),
            ("type", "r#type"),
        ] {
            assert_eq!(our_field(upstream), ours);
        }
    }

    #[test]
    fn only_packages_of_specs_have_a_module() {
        assert_eq!(module_of("talos.resource.definitions.block").unwrap(), "block");
        assert_eq!(module_of("resource.config").unwrap(), "config");
        for other in ["machine", "google.protobuf", "talos.resource.definitions.a.b"] {
            assert!(module_of(other).is_err(), "{other}");
        }
    }
}
