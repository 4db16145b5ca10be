//! The modules of `talos_client::resource`: one for each group of definitions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context, Result};
use heck::ToSnakeCase as _;
use prost_reflect::{EnumDescriptor, Kind, MessageDescriptor};

use super::{Resources, Row, convert, enums, names, shapes};
use crate::codegen::format_code;
use crate::output::Outputs;
use crate::protos::locations;

/// Folder of the generated Rust files.
const GENERATED: &str = "crates/talos-client/src/resource/generated";

/// Everything that goes into one module.
#[derive(Debug, Default)]
struct Group {
    messages: BTreeMap<String, MessageDescriptor>,
    resources: Vec<(String, Row)>,
}

/// Adds a file for each group, one with the enumerations, and `mod.rs`.
pub fn render(resources: &Resources, outputs: &mut Outputs) -> Result<()> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    let mut kinds: BTreeMap<String, (EnumDescriptor, BTreeSet<String>)> = BTreeMap::new();
    for (kind, row) in &resources.rows {
        if row.group == "meta" {
            continue;
        }
        let group = groups.entry(row.group.clone()).or_default();
        group.resources.push((kind.clone(), row.clone()));
        if let Some(message) = resources.message(row) {
            let feature = format!("def-{}", row.group);
            visit(&message, &feature, &mut groups, &mut kinds)?;
        }
    }
    outputs.own_folder(GENERATED);
    let mut tree = String::new();
    for (name, group) in &groups {
        let code = module(resources, name, group).with_context(|| format!("group {name}"))?;
        outputs.insert(format!("{GENERATED}/{name}.rs"), format_code(&code)?);
        writeln!(tree, "#[cfg(feature = \"def-{name}\")]\npub mod {name};")?;
    }
    let mut code =
        "//! Enumerations of resource specs. Numbers that this library does not know are kept.\n".to_owned();
    for (kind, features) in kinds.values() {
        let docs = docs(&kind.parent_file(), kind.path(), kind.name());
        code.push_str(&enums::render(kind, features, &docs)?);
    }
    outputs.insert(format!("{GENERATED}/enums.rs"), format_code(&code)?);
    tree.push_str("pub mod enums;\n");
    tree.push_str(&visit_all(resources)?);
    outputs.insert(format!("{GENERATED}/mod.rs"), format_code(&tree)?);
    Ok(())
}

/// A function that goes through all types that are compiled in.
fn visit_all(resources: &Resources) -> Result<String> {
    let mut code = "/// Shows every typed resource that is compiled in to `visitor`.
        pub fn visit_all(visitor: &mut impl crate::resource::Visitor) {"
        .to_owned();
    for row in resources.rows.values() {
        match row.group.as_str() {
            "meta" => write!(code, "visitor.visit::<crate::resource::meta::{}>();", row.name)?,
            group => write!(
                code,
                "#[cfg(feature = \"def-{group}\")] visitor.visit::<{group}::{}>();",
                row.name
            )?,
        }
    }
    code.push('}');
    Ok(code)
}

/// Puts a message and all that it reaches into their groups.
fn visit(
    message: &MessageDescriptor,
    feature: &str,
    groups: &mut BTreeMap<String, Group>,
    kinds: &mut BTreeMap<String, (EnumDescriptor, BTreeSet<String>)>,
) -> Result<()> {
    if convert::has_type(message) {
        let module = names::module_of(message.package_name())?.to_owned();
        let group = groups.entry(module).or_default();
        group
            .messages
            .insert(message.full_name().to_owned(), message.clone());
    } else if !message.is_map_entry() {
        return Ok(());
    }
    for field in message.fields() {
        match field.kind() {
            Kind::Message(inner) => visit(&inner, feature, groups, kinds)?,
            Kind::Enum(kind) => {
                let entry = kinds
                    .entry(enums::name(&kind))
                    .or_insert_with(|| (kind.clone(), BTreeSet::new()));
                entry.1.insert(feature.to_owned());
                // Where the type with the field is compiled, its enumerations are.
                if let Ok(module) = names::module_of(message.package_name()) {
                    entry.1.insert(format!("def-{module}"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn module(resources: &Resources, name: &str, group: &Group) -> Result<String> {
    let mut code =
        format!("//! Resources and their parts: group `{name}`.\n\nuse crate::resource::convert;\n");
    let mut done = BTreeSet::new();
    for (kind, row) in &group.resources {
        if row.by_hand {
            if let Some(message) = &row.message {
                done.insert(message.clone());
            }
            let file = row.name.to_snake_case();
            writeln!(code, "pub use crate::resource::by_hand::{file}::*;")?;
            continue;
        }
        let message = resources.message(row);
        if let Some(message) = &message {
            done.insert(message.full_name().to_owned());
        }
        code.push_str(&resource(resources, name, kind, row, message.as_ref())?);
    }
    for (full_name, message) in &group.messages {
        if !done.contains(full_name) {
            let docs = docs(&message.parent_file(), message.path(), message.name());
            let type_name = names::type_of(resources, message);
            code.push_str(&structure(resources, name, &type_name, message, &docs)?);
        }
    }
    Ok(code)
}

/// The type of a resource, and what makes it one.
fn resource(
    resources: &Resources,
    module: &str,
    kind: &str,
    row: &Row,
    message: Option<&MessageDescriptor>,
) -> Result<String> {
    let name = &row.name;
    let mut code = String::new();
    let (decode, shape) = match message {
        None => {
            write!(
                code,
                "/// `{kind}`; its spec is empty.\n#[derive(Clone, Debug, Default, PartialEq)]\n#[non_exhaustive]\npub struct {name} {{}}\n"
            )?;
            ("let _ = spec; Ok(Self {})".to_owned(), String::new())
        }
        Some(message) => {
            let text = docs(&message.parent_file(), message.path(), message.name());
            let place = format!("///\n/// `{kind}` in namespace `{}`.\n", row.namespace);
            code.push_str(&structure(
                resources,
                module,
                name,
                message,
                &format!("{text}{place}"),
            )?);
            let (argument, shape) = match shapes::of(resources, message)? {
                None => ("None", String::new()),
                Some(shape) => ("Some(&SHAPE)", format!("static SHAPE: convert::Shape = {shape};")),
            };
            (
                format!("{shape} Self::from_proto(convert::decode(&spec.proto, {argument})?)"),
                String::new(),
            )
        }
    };
    let id = option(row.id.as_ref().map(|id| format!("{id:?}")));
    let since = option(
        row.since
            .map(|since| format!("talos_proto::methods::Release::new({}, {})", since.0, since.1)),
    );
    write!(
        code,
        "impl crate::resource::Resource for {name} {{
            const TYPE: &'static str = {kind:?};
            const NAMESPACE: &'static str = {:?};
            const DEFAULT_ID: Option<&'static str> = {id};
            const SENSITIVE: bool = {};
            const SPELLED: bool = true;
            const SINCE: Option<talos_proto::methods::Release> = {since};

            fn decode(spec: crate::resource::RawSpec) -> Result<Self, crate::resource::DecodeError> {{ {decode} }}
        }}\n{shape}",
        row.namespace, row.sensitive
    )?;
    Ok(code)
}

fn option(value: Option<String>) -> String {
    value.map_or_else(|| "None".to_owned(), |value| format!("Some({value})"))
}

fn structure(
    resources: &Resources,
    module: &str,
    name: &str,
    message: &MessageDescriptor,
    docs_of_type: &str,
) -> Result<String> {
    let mut fields = String::new();
    let mut values = String::new();
    for field in message.fields() {
        let converted = convert::convert(resources, &field, module)?;
        let text = docs(&message.parent_file(), field.path(), field.name());
        let ours = names::our_field(field.name());
        write!(fields, "{text}pub {ours}: {},", converted.rust_type)?;
        write!(values, "{ours}: {},", converted.expression)?;
    }
    let raw = if values.is_empty() { "_raw" } else { "raw" };
    Ok(format!(
        "{docs_of_type}#[derive(Clone, Debug, Default, PartialEq)]\n#[non_exhaustive]\npub struct {name} {{ {fields} }}
        impl {name} {{
            pub(crate) fn from_proto({raw}: {}) -> Result<Self, crate::resource::DecodeError> {{ Ok(Self {{ {values} }}) }}
        }}\n",
        names::prost_path(message)?
    ))
}

/// The comment of an element as documentation, or its name where it has none.
fn docs(file: &prost_reflect::FileDescriptor, path: &[i32], name: &str) -> String {
    let comments = locations::comments(file);
    let lines = comments.get(path).map(|comment| comment.lines.clone());
    let lines = lines.filter(|lines| !lines.is_empty());
    let lines = lines.unwrap_or_else(|| vec![format!("`{name}`.")]);
    lines.iter().fold(String::new(), |mut text, line| {
        let space = if line.is_empty() { "" } else { " " };
        text.push_str(&format!("///{space}{line}\n"));
        text
    })
}
