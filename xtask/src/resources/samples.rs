//! A resource of each type with every field filled, in both forms: data for tests.
//!
//! Bytes come from the descriptors, by a library that shares no code with the stubs, and YAML from the keys of
//! `resources.toml`. Keys inside nested messages are those of protobuf's JSON mapping, and names of enumeration values
//! are ours; a real node may spell both differently.

use std::collections::HashMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};
use prost_reflect::bytes::Bytes;
use prost_reflect::prost::Message as _;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value,
};

use super::{Resources, Row, enums, table, yaml_keys};
use crate::output::Outputs;

const FILE: &str = "crates/talos-proto/tests/data/resources.jsonl";

/// Adds the file: a line that says where it is from, then one for each type.
pub fn render(resources: &Resources, outputs: &mut Outputs) -> Result<()> {
    let mut lines = String::new();
    let origin = serde_json::json!({
        "origin": "made by `cargo xtask codegen` from proto/ and proto/resources.toml; not recorded from a node",
    });
    writeln!(lines, "{origin}")?;
    for (kind, row) in table::sorted(resources) {
        let (proto, yaml) = sample(resources, kind, row).with_context(|| format!("sample of {kind}"))?;
        let hex = proto.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let line = serde_json::json!({
            "type": kind,
            "namespace": row.namespace,
            "id": row.id.as_deref().unwrap_or("sample"),
            "proto_hex": hex,
            "yaml": yaml,
        });
        writeln!(lines, "{line}")?;
    }
    outputs.insert(FILE, lines);
    Ok(())
}

fn sample(resources: &Resources, kind: &str, row: &Row) -> Result<(Vec<u8>, String)> {
    const CONFIG: &str = "version: v1alpha1\nmachine:\n    type: worker\n---\napiVersion: v1alpha1\nkind: HostnameConfig\nhostname: a\n";
    let Some(message) = resources.message(row) else {
        let yaml = match kind {
            "DNSUpstreams.net.talos.dev" => "healthy: true\naddr: 10.5.0.1:53\n",
            _ => "{}\n",
        };
        return Ok((Vec::new(), yaml.to_owned()));
    };
    let (bytes, node) = match kind {
        "MachineConfigs.config.talos.dev" => {
            let yaml = format!("{}\n", serde_json::Value::from(CONFIG));
            return Ok((marshalled(&message, CONFIG)?, yaml));
        }
        "DeviceConfigSpecs.net.talos.dev" => {
            let yaml = "device:\n    interface: eth0\n    mtu: 9000\n";
            return Ok((marshalled(&message, yaml)?, yaml.to_owned()));
        }
        "MachineTypes.config.talos.dev" => {
            let filled = fill(&message, None);
            return Ok((filled.0.encode_to_vec(), "worker\n".to_owned()));
        }
        _ => {
            let keys = if row.yaml.is_empty() {
                None
            } else {
                Some(yaml_keys(row)?)
            };
            let filled = fill(&message, keys.as_ref());
            (filled.0.encode_to_vec(), filled.1)
        }
    };
    let mut yaml = String::new();
    node.write(&mut yaml, 0);
    Ok((bytes, yaml))
}

fn marshalled(message: &MessageDescriptor, yaml: &str) -> Result<Vec<u8>> {
    let mut filled = DynamicMessage::new(message.clone());
    filled.try_set_field_by_name(
        "yaml_marshalled",
        Value::Bytes(Bytes::copy_from_slice(yaml.as_bytes())),
    )?;
    Ok(filled.encode_to_vec())
}

/// A piece of YAML.
enum Node {
    Scalar(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

impl Node {
    fn text(text: &str) -> Self {
        Self::Scalar(serde_json::Value::from(text).to_string())
    }

    fn plain(value: impl ToString) -> Self {
        Self::Scalar(value.to_string())
    }

    fn write(&self, yaml: &mut String, indent: usize) {
        let pad = " ".repeat(indent);
        match self {
            Self::Scalar(text) => yaml.push_str(&format!("{pad}{text}\n")),
            Self::Map(entries) if entries.is_empty() => yaml.push_str(&format!("{pad}{{}}\n")),
            Self::Map(entries) => {
                for (key, node) in entries {
                    match node {
                        Self::Scalar(text) => yaml.push_str(&format!("{pad}{key}: {text}\n")),
                        Self::Map(inner) if inner.is_empty() => yaml.push_str(&format!("{pad}{key}: {{}}\n")),
                        nested => {
                            yaml.push_str(&format!("{pad}{key}:\n"));
                            nested.write(yaml, indent + 4);
                        }
                    }
                }
            }
            Self::List(items) => {
                for item in items {
                    let mut inner = String::new();
                    item.write(&mut inner, indent + 2);
                    yaml.push_str(&format!("{pad}- {}", inner.trim_start()));
                }
            }
        }
    }
}

fn fill(
    message: &MessageDescriptor,
    keys: Option<&std::collections::BTreeMap<u32, &str>>,
) -> (DynamicMessage, Node) {
    let mut filled = DynamicMessage::new(message.clone());
    let mut entries = Vec::new();
    for field in message.fields() {
        let (value, node) = of_field(&field);
        filled.set_field(&field, value);
        let key = keys.and_then(|keys| keys.get(&field.number()).copied());
        entries.push((key.unwrap_or_else(|| field.json_name()).to_owned(), node));
    }
    (filled, Node::Map(entries))
}

fn of_field(field: &FieldDescriptor) -> (Value, Node) {
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else {
            return single(field);
        };
        let (value, node) = single(&entry.map_entry_value_field());
        let map = HashMap::from([(MapKey::String("key".to_owned()), value)]);
        return (Value::Map(map), Node::Map(vec![("key".to_owned(), node)]));
    }
    let (value, node) = single(field);
    if field.is_list() {
        (Value::List(vec![value]), Node::List(vec![node]))
    } else {
        (value, node)
    }
}

fn single(field: &FieldDescriptor) -> (Value, Node) {
    match field.kind() {
        Kind::Message(message) => of_message(&message),
        Kind::Enum(kind) => {
            let last = kind.values().last();
            let number = last.map(|value| value.number()).unwrap_or_default();
            (
                Value::EnumNumber(number),
                Node::text(&enums::text_of(&kind, number)),
            )
        }
        Kind::String => (Value::String(field.name().to_owned()), Node::text(field.name())),
        Kind::Bytes => {
            let bytes = Bytes::from_static(&[0x02, 0x42, 0x0a, 0x05, 0x00, 0x02]);
            (Value::Bytes(bytes), Node::text("02:42:0a:05:00:02"))
        }
        Kind::Bool => (Value::Bool(true), Node::plain(true)),
        Kind::Double => (Value::F64(1.5), Node::plain(1.5)),
        Kind::Float => (Value::F32(1.5), Node::plain(1.5)),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => (Value::I32(7), Node::plain(7)),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => (Value::I64(7), Node::plain(7)),
        Kind::Uint32 | Kind::Fixed32 => (Value::U32(7), Node::plain(7)),
        Kind::Uint64 | Kind::Fixed64 => (Value::U64(7), Node::plain(7)),
    }
}

fn of_message(message: &MessageDescriptor) -> (Value, Node) {
    let address = || Value::Bytes(Bytes::from_static(&[10, 5, 0, 2]));
    let certificate = || Value::Bytes(Bytes::from_static(b"-----BEGIN CERTIFICATE-----\n"));
    let key = || Value::Bytes(Bytes::from_static(b"-----BEGIN PRIVATE KEY-----\n"));
    let (fields, node): (Vec<(&str, Value)>, Node) = match message.full_name() {
        "common.NetIP" => (vec![("ip", address())], Node::text("10.5.0.2")),
        "common.NetIPPrefix" => (
            vec![("ip", address()), ("prefix_length", Value::I32(24))],
            Node::text("10.5.0.2/24"),
        ),
        "common.NetIPPort" => (
            vec![("ip", address()), ("port", Value::I32(6443))],
            Node::text("10.5.0.2:6443"),
        ),
        "common.URL" => (
            vec![("full_path", Value::String("https://example.org/a".to_owned()))],
            Node::text("https://example.org/a"),
        ),
        "common.PEMEncodedCertificateAndKey" => (
            vec![("crt", certificate()), ("key", key())],
            Node::Map(vec![
                (
                    "crt".to_owned(),
                    Node::text("LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg=="),
                ),
                (
                    "key".to_owned(),
                    Node::text("LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCg=="),
                ),
            ]),
        ),
        "common.PEMEncodedCertificate" => (
            vec![("crt", certificate())],
            Node::Map(vec![(
                "crt".to_owned(),
                Node::text("LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg=="),
            )]),
        ),
        "common.PEMEncodedKey" => (
            vec![("key", key())],
            Node::Map(vec![(
                "key".to_owned(),
                Node::text("LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCg=="),
            )]),
        ),
        "google.protobuf.Timestamp" => (
            vec![("seconds", Value::I64(1_767_323_045))],
            Node::text("2026-01-02T03:04:05Z"),
        ),
        "google.protobuf.Duration" => (vec![("seconds", Value::I64(90))], Node::plain("1m30s")),
        // Upstream prints the source of the expression, which the protobuf form does not have.
        "google.api.expr.v1alpha1.CheckedExpr" => (
            vec![("expr_version", Value::String("cel1".to_owned()))],
            Node::text("true"),
        ),
        "google.protobuf.Struct" => return free_form(message),
        _ => {
            let (filled, node) = fill(message, None);
            return (Value::Message(filled), node);
        }
    };
    let mut filled = DynamicMessage::new(message.clone());
    for (name, value) in fields {
        filled.set_field_by_name(name, value);
    }
    (Value::Message(filled), node)
}

/// A mapping of no fixed form: `{name: "text"}`.
fn free_form(message: &MessageDescriptor) -> (Value, Node) {
    let mut filled = DynamicMessage::new(message.clone());
    if let Some(field) = message.get_field_by_name("fields")
        && let Kind::Message(entry) = field.kind()
        && let Kind::Message(value) = entry.map_entry_value_field().kind()
    {
        let mut text = DynamicMessage::new(value);
        text.set_field_by_name("string_value", Value::String("text".to_owned()));
        let map = HashMap::from([(MapKey::String("name".to_owned()), Value::Message(text))]);
        filled.set_field(&field, Value::Map(map));
    }
    let node = Node::Map(vec![("name".to_owned(), Node::text("text"))]);
    debug_assert_eq!(filled.descriptor(), *message);
    (Value::Message(filled), node)
}
