//! What becomes of a field: its Rust type, and the expression that makes it from prost's.

use anyhow::{Result, bail};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::{Resources, enums, names};
use crate::codegen::secrets;

/// A field of a generated type.
#[derive(Debug)]
pub struct Converted {
    /// The type, as seen from a module of `talos_client::resource::generated`.
    pub rust_type: String,
    /// An expression over `raw`, the message of prost, that may end with `?`.
    pub expression: String,
}

/// Durations that may be negative.
const SIGNED: [&str; 1] = ["talos.resource.definitions.time.AdjtimeStatusSpec.offset"];

/// Byte fields that hold a hardware address.
const HARDWARE_ADDRESSES: [&str; 5] = [
    "talos.resource.definitions.network.LinkStatusSpec.hardware_addr",
    "talos.resource.definitions.network.LinkStatusSpec.permanent_addr",
    "talos.resource.definitions.network.LinkStatusSpec.broadcast_addr",
    "talos.resource.definitions.network.LinkSpecSpec.hardware_addr",
    "talos.resource.definitions.network.HardwareAddrSpec.hardware_addr",
];

/// Converts one field; `module` is where the code will stand.
pub fn convert(resources: &Resources, field: &FieldDescriptor, module: &str) -> Result<Converted> {
    let name = names::field(field.name());
    let raw = format!("raw.{name}");
    if field.is_map() {
        return map(resources, field, &raw, module);
    }
    let secret = secrets::FIELDS.contains(&field.full_name());
    let (single, list) = match field.kind() {
        Kind::Message(message) => return of_message(resources, field, &message, &raw, module),
        Kind::Enum(kind) => {
            let name = enums::name(&kind);
            let path = format!("crate::resource::enums::{name}");
            if field.is_list() {
                return Ok(Converted {
                    rust_type: format!("Vec<{path}>"),
                    expression: format!("{raw}.into_iter().map(Into::into).collect()"),
                });
            }
            return Ok(Converted {
                rust_type: path,
                expression: format!("{raw}.into()"),
            });
        }
        Kind::String if secret => ("crate::SecretString", None),
        Kind::Bytes if secret => ("crate::resource::value::SecretBytes", None),
        Kind::Bytes if HARDWARE_ADDRESSES.contains(&field.full_name()) => {
            ("crate::resource::value::HardwareAddress", None)
        }
        Kind::String => ("String", Some("Vec<String>")),
        Kind::Bytes => ("bytes::Bytes", Some("Vec<bytes::Bytes>")),
        Kind::Bool => ("bool", Some("Vec<bool>")),
        Kind::Double => ("f64", Some("Vec<f64>")),
        Kind::Float => ("f32", Some("Vec<f32>")),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => ("i32", Some("Vec<i32>")),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => ("i64", Some("Vec<i64>")),
        Kind::Uint32 | Kind::Fixed32 => ("u32", Some("Vec<u32>")),
        Kind::Uint64 | Kind::Fixed64 => ("u64", Some("Vec<u64>")),
    };
    let plain = !single.starts_with("crate::");
    let rust_type = match (field.is_list(), list) {
        (false, _) => single,
        (true, Some(list)) => list,
        (true, None) => bail!("{}: a list of {single} is not supported", field.full_name()),
    };
    Ok(Converted {
        rust_type: rust_type.to_owned(),
        expression: if plain { raw } else { format!("{raw}.into()") },
    })
}

fn of_message(
    resources: &Resources,
    field: &FieldDescriptor,
    message: &MessageDescriptor,
    raw: &str,
    module: &str,
) -> Result<Converted> {
    let single = |rust_type: &str, function: &str| Converted {
        rust_type: rust_type.to_owned(),
        expression: format!("convert::{function}({raw})?"),
    };
    let list = |rust_type: &str, function: &str| Converted {
        rust_type: format!("Vec<{rust_type}>"),
        expression: format!("convert::list({raw}, convert::{function})?"),
    };
    const VALUE: &str = "crate::resource::value";
    Ok(match (message.full_name(), field.is_list()) {
        ("common.NetIP", false) => single("Option<std::net::IpAddr>", "ip"),
        ("common.NetIP", true) => list("std::net::IpAddr", "ip_of_list"),
        ("common.NetIPPrefix", false) => single(&format!("Option<{VALUE}::IpPrefix>"), "prefix"),
        ("common.NetIPPrefix", true) => list(&format!("{VALUE}::IpPrefix"), "prefix_of_list"),
        ("common.NetIPPort", false) => single("Option<std::net::SocketAddr>", "socket"),
        ("common.NetIPPort", true) => list("std::net::SocketAddr", "socket_of_list"),
        ("common.URL", false) => single("String", "url"),
        ("common.URL", true) => list("String", "url_of_list"),
        ("common.PEMEncodedCertificateAndKey", false) => single(
            &format!("Option<{VALUE}::CertificateAndKey>"),
            "certificate_and_key",
        ),
        ("common.PEMEncodedCertificate", true) => list("String", "certificate"),
        ("common.PEMEncodedKey", false) => single("Option<crate::SecretString>", "key"),
        ("common.PEMEncodedKey", true) => list("crate::SecretString", "key_of_list"),
        ("google.protobuf.Timestamp", false) => single("Option<std::time::SystemTime>", "time"),
        ("google.protobuf.Duration", false) if SIGNED.contains(&field.full_name()) => {
            single(&format!("{VALUE}::TimeOffset"), "offset")
        }
        ("google.protobuf.Duration", false) => single("std::time::Duration", "duration"),
        ("google.protobuf.Struct", false) => single(&format!("{VALUE}::Value"), "value"),
        ("google.protobuf.Struct", true) => list(&format!("{VALUE}::Value"), "value_of_list"),
        ("google.api.expr.v1alpha1.CheckedExpr", false) => {
            single(&format!("Option<{VALUE}::Expression>"), "expression")
        }
        (_, is_list) => {
            let path = path(resources, message, module)?;
            if is_list {
                Converted {
                    rust_type: format!("Vec<{path}>"),
                    expression: format!("convert::list({raw}, {path}::from_proto)?"),
                }
            } else {
                Converted {
                    rust_type: format!("Option<{path}>"),
                    expression: format!("{raw}.map({path}::from_proto).transpose()?"),
                }
            }
        }
    })
}

fn map(resources: &Resources, field: &FieldDescriptor, raw: &str, module: &str) -> Result<Converted> {
    let Kind::Message(entry) = field.kind() else {
        bail!("{} is no map", field.full_name());
    };
    let value = entry.map_entry_value_field();
    let of = |rust_type: &str, function: &str| Converted {
        rust_type: format!("std::collections::BTreeMap<String, {rust_type}>"),
        expression: format!("convert::map({raw}, {function})?"),
    };
    Ok(match value.kind() {
        Kind::String => of("String", "Ok"),
        Kind::Bool => of("bool", "Ok"),
        Kind::Message(message) if message.name() == "ArgValues" => of("Vec<String>", "|raw| Ok(raw.values)"),
        Kind::Message(message) => {
            let path = path(resources, &message, module)?;
            of(&path, &format!("{path}::from_proto"))
        }
        other => bail!("{}: a map to {other:?} is not supported", field.full_name()),
    })
}

/// The generated type of a message, as seen from `module`.
fn path(resources: &Resources, message: &MessageDescriptor, module: &str) -> Result<String> {
    let own = names::module_of(message.package_name())?;
    let name = names::type_of(resources, message);
    Ok(if own == module {
        name
    } else {
        format!("crate::resource::{own}::{name}")
    })
}

/// Whether a message has a type of its own in talos-client.
pub fn has_type(message: &MessageDescriptor) -> bool {
    names::module_of(message.package_name()).is_ok()
        && !message.is_map_entry()
        && message.name() != "ArgValues"
}
