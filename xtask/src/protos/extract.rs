//! Reads wire facts, layout and comments out of compiled descriptors.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, Result, bail, ensure};
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, EnumDescriptor, FileDescriptor, Kind, MessageDescriptor,
    ReflectMessage as _, ServiceDescriptor, Syntax, Value as Reflected,
};

use super::docs::{self, Comment};
use super::locations::{comments, positions};
use super::schema::{
    Enum, Extension, Field, FileLayout, Item, Label, Message, Method, OptionName, Options, Reserved, Service,
    Tree, Type, Value, join,
};

/// Reads the named files out of `pool`. Types of other files must be well-known ones.
pub fn extract(pool: &DescriptorPool, files: &BTreeSet<String>) -> Result<Tree> {
    let mut reader = Reader {
        files,
        tree: Tree::default(),
        comments: HashMap::new(),
    };
    for name in files {
        let file = pool
            .get_file_by_name(name)
            .with_context(|| format!("{name} was not compiled"))?;
        reader.file(&file).with_context(|| format!("reading {name}"))?;
    }
    Ok(reader.tree)
}

struct Reader<'a> {
    files: &'a BTreeSet<String>,
    tree: Tree,
    /// Comments of the file at hand, by descriptor path.
    comments: HashMap<Vec<i32>, Comment>,
}

impl Reader<'_> {
    fn file(&mut self, file: &FileDescriptor) -> Result<()> {
        ensure!(file.syntax() == Syntax::Proto3, "only proto3 files are supported");
        ensure!(!file.package_name().is_empty(), "it has no package");
        self.comments = comments(file);
        self.comment(&[12], docs::syntax_key(file.name()));
        self.comment(&[2], docs::package_key(file.name()));

        // Descriptors list messages, enums and services apart: their positions tell how they were mixed.
        let positions = positions(file);
        let at = |path: &[i32]| positions.get(path).copied().unwrap_or((i32::MAX, i32::MAX));
        let mut items = Vec::new();
        for (message, index) in file.messages().zip(0..) {
            items.push((at(&[4, index]), message.full_name().to_owned()));
            let read = self.message(&message, &[4, index])?;
            self.tree
                .schema
                .items
                .insert(message.full_name().to_owned(), Item::Message(read));
        }
        for (item, index) in file.enums().zip(0..) {
            items.push((at(&[5, index]), item.full_name().to_owned()));
            let read = self.enumeration(&item, &[5, index])?;
            self.tree
                .schema
                .items
                .insert(item.full_name().to_owned(), Item::Enum(read));
        }
        for (service, index) in file.services().zip(0..) {
            items.push((at(&[6, index]), service.full_name().to_owned()));
            let read = self.service(&service, &[6, index])?;
            self.tree
                .schema
                .items
                .insert(service.full_name().to_owned(), Item::Service(read));
        }
        items.sort();

        let extensions = self.extensions(file)?;
        self.tree.files.push(FileLayout {
            path: file.name().to_owned(),
            package: file.package_name().to_owned(),
            items: items.into_iter().map(|(_, name)| name).collect(),
            extensions,
        });
        Ok(())
    }

    fn extensions(&mut self, file: &FileDescriptor) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for (extension, index) in file.extensions().zip(0..) {
            let name = extension.full_name().to_owned();
            self.comment(&[7, index], name.clone());
            let extendee = extension.containing_message();
            self.uses(extendee.full_name(), &extendee.parent_file())?;
            let field = Field {
                name: extension.name().to_owned(),
                number: extension.number(),
                ty: self.scalar_or_named(&extension.kind())?,
                label: match extension.cardinality() {
                    Cardinality::Repeated => Label::Repeated,
                    _ if extension.field_descriptor_proto().proto3_optional() => Label::Optional,
                    _ => Label::Singular,
                },
                oneof: None,
                options: self.options(&extension.options(), &[])?,
            };
            let read = Extension {
                extendee: extendee.full_name().to_owned(),
                field,
            };
            self.tree.schema.extensions.insert(name.clone(), read);
            names.push(name);
        }
        Ok(names)
    }

    fn service(&mut self, service: &ServiceDescriptor, path: &[i32]) -> Result<Service> {
        self.comment(path, service.full_name().to_owned());
        let mut methods = Vec::new();
        for (method, index) in service.methods().zip(0..) {
            self.comment(
                &[path, &[2, index]].concat(),
                join(service.full_name(), method.name()),
            );
            for message in [method.input(), method.output()] {
                self.uses(message.full_name(), &message.parent_file())?;
            }
            methods.push(Method {
                name: method.name().to_owned(),
                request: method.input().full_name().to_owned(),
                response: method.output().full_name().to_owned(),
                client_streaming: method.is_client_streaming(),
                server_streaming: method.is_server_streaming(),
                options: self.options(&method.options(), &["deprecated", "idempotency_level"])?,
            });
        }
        let options = self.options(&service.options(), &["deprecated"])?;
        Ok(Service {
            name: service.name().to_owned(),
            options,
            methods,
        })
    }

    fn message(&mut self, message: &MessageDescriptor, path: &[i32]) -> Result<Message> {
        let name = message.full_name();
        self.comment(path, name.to_owned());
        ensure!(
            message.child_extensions().len() == 0,
            "{name}: extensions inside a message are not supported"
        );

        let mut read = Message {
            name: message.name().to_owned(),
            options: self.options(&message.options(), &["deprecated"])?,
            reserved: reserved(
                message
                    .reserved_ranges()
                    .map(|range| (i64::from(range.start), i64::from(range.end) - 1)),
                message.reserved_names(),
            ),
            ..Message::default()
        };
        for (nested, index) in message.child_enums().zip(0..) {
            read.enums
                .push(self.enumeration(&nested, &[path, &[4, index]].concat())?);
        }
        for (nested, index) in message.child_messages().zip(0..) {
            if !nested.is_map_entry() {
                read.messages
                    .push(self.message(&nested, &[path, &[3, index]].concat())?);
            }
        }
        for (oneof, index) in message.oneofs().zip(0..) {
            if !oneof.is_synthetic() {
                self.comment(&[path, &[8, index]].concat(), join(name, oneof.name()));
            }
        }
        for (raw, index) in message.descriptor_proto().field.iter().zip(0..) {
            self.comment(&[path, &[2, index]].concat(), join(name, raw.name()));
            let field = message
                .get_field_by_name(raw.name())
                .with_context(|| format!("{name}.{} is missing from its own message", raw.name()))?;
            let mut options = self.options(&field.options(), &["deprecated", "packed"])?;
            if field.json_name() != default_json_name(field.name()) {
                options.insert(OptionName::BuiltIn("json_name"), quoted(field.json_name()));
            }
            read.fields.push(Field {
                name: field.name().to_owned(),
                number: field.number(),
                ty: self.field_type(&field)?,
                label: if field.is_list() {
                    Label::Repeated
                } else if raw.proto3_optional() {
                    Label::Optional
                } else {
                    Label::Singular
                },
                oneof: field
                    .containing_oneof()
                    .filter(|oneof| !oneof.is_synthetic())
                    .map(|o| o.name().to_owned()),
                options,
            });
        }
        read.group_oneofs();
        Ok(read)
    }

    fn enumeration(&mut self, item: &EnumDescriptor, path: &[i32]) -> Result<Enum> {
        let name = item.full_name();
        self.comment(path, name.to_owned());
        let mut values = Vec::new();
        for (raw, index) in item.enum_descriptor_proto().value.iter().zip(0..) {
            self.comment(&[path, &[2, index]].concat(), join(name, raw.name()));
            let value = item
                .get_value_by_name(raw.name())
                .with_context(|| format!("{name}.{} is missing from its own enum", raw.name()))?;
            values.push(Value {
                name: value.name().to_owned(),
                number: value.number(),
                options: self.options(&value.options(), &["deprecated"])?,
            });
        }
        Ok(Enum {
            name: item.name().to_owned(),
            options: self.options(&item.options(), &["deprecated", "allow_alias"])?,
            reserved: reserved(
                item.reserved_ranges()
                    .map(|range| (i64::from(*range.start()), i64::from(*range.end()))),
                item.reserved_names(),
            ),
            values,
        })
    }

    fn field_type(&mut self, field: &prost_reflect::FieldDescriptor) -> Result<Type> {
        match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let Type::Scalar(key) = self.scalar_or_named(&entry.map_entry_key_field().kind())? else {
                    bail!("{}: the key of a map must be a scalar", field.full_name());
                };
                Ok(Type::Map(
                    key,
                    Box::new(self.scalar_or_named(&entry.map_entry_value_field().kind())?),
                ))
            }
            kind => self.scalar_or_named(&kind),
        }
    }

    fn scalar_or_named(&mut self, kind: &Kind) -> Result<Type> {
        Ok(match kind {
            Kind::Message(message) => {
                self.uses(message.full_name(), &message.parent_file())?;
                Type::Named(message.full_name().to_owned())
            }
            Kind::Enum(item) => {
                self.uses(item.full_name(), &item.parent_file())?;
                Type::Named(item.full_name().to_owned())
            }
            Kind::Double => Type::Scalar("double"),
            Kind::Float => Type::Scalar("float"),
            Kind::Int32 => Type::Scalar("int32"),
            Kind::Int64 => Type::Scalar("int64"),
            Kind::Uint32 => Type::Scalar("uint32"),
            Kind::Uint64 => Type::Scalar("uint64"),
            Kind::Sint32 => Type::Scalar("sint32"),
            Kind::Sint64 => Type::Scalar("sint64"),
            Kind::Fixed32 => Type::Scalar("fixed32"),
            Kind::Fixed64 => Type::Scalar("fixed64"),
            Kind::Sfixed32 => Type::Scalar("sfixed32"),
            Kind::Sfixed64 => Type::Scalar("sfixed64"),
            Kind::Bool => Type::Scalar("bool"),
            Kind::String => Type::Scalar("string"),
            Kind::Bytes => Type::Scalar("bytes"),
        })
    }

    /// Notes where a type comes from that is not in the files at hand.
    fn uses(&mut self, name: &str, file: &FileDescriptor) -> Result<()> {
        if !self.files.contains(file.name()) {
            ensure!(
                file.package_name() == "google.protobuf",
                "{name} is used, but {} is not part of the tree",
                file.name()
            );
            self.tree.foreign.insert(name.to_owned(), file.name().to_owned());
        }
        Ok(())
    }

    /// The options among `built_in` that are set, and all custom ones that the tree itself defines.
    fn options(&self, set: &DynamicMessage, built_in: &[&'static str]) -> Result<Options> {
        let mut options = Options::new();
        for name in built_in {
            if set.has_field_by_name(name)
                && let (Some(field), Some(value)) = (
                    set.descriptor().get_field_by_name(name),
                    set.get_field_by_name(name),
                )
            {
                let literal = literal(&value, &field.kind()).with_context(|| format!("option {name}"))?;
                options.insert(OptionName::BuiltIn(name), literal);
            }
        }
        for (extension, value) in set.extensions() {
            if self.files.contains(extension.parent_file().name()) {
                let name = extension.full_name();
                let literal =
                    literal(value, &extension.kind()).with_context(|| format!("option ({name})"))?;
                options.insert(OptionName::Custom(name.to_owned(), extension.number()), literal);
            }
        }
        Ok(options)
    }

    fn comment(&mut self, path: &[i32], key: String) {
        if let Some(comment) = self.comments.remove(path) {
            self.tree.docs.insert(key, comment);
        }
    }
}

fn reserved<'a>(ranges: impl Iterator<Item = (i64, i64)>, names: impl Iterator<Item = &'a str>) -> Reserved {
    let mut reserved = Reserved {
        ranges: ranges.collect(),
        names: names.map(str::to_owned).collect(),
    };
    reserved.ranges.sort_unstable();
    reserved.names.sort_unstable();
    reserved
}

fn literal(value: &Reflected, kind: &Kind) -> Result<String> {
    Ok(match (value, kind) {
        (Reflected::Bool(value), _) => value.to_string(),
        (Reflected::I32(value), _) => value.to_string(),
        (Reflected::I64(value), _) => value.to_string(),
        (Reflected::U32(value), _) => value.to_string(),
        (Reflected::U64(value), _) => value.to_string(),
        (Reflected::String(value), _) => quoted(value),
        (Reflected::EnumNumber(number), Kind::Enum(item)) => item
            .get_value(*number)
            .context("it has a number that its enum does not know")?
            .name()
            .to_owned(),
        _ => bail!("options of this type cannot be carried over"),
    })
}

fn quoted(value: &str) -> String {
    format!(
        "\"{}\"",
        value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    )
}

/// The JSON name that the compiler derives from a field's name.
fn default_json_name(name: &str) -> String {
    let mut json = String::with_capacity(name.len());
    let mut upper = false;
    for character in name.chars() {
        if character == '_' {
            upper = true;
        } else if std::mem::take(&mut upper) {
            json.push(character.to_ascii_uppercase());
        } else {
            json.push(character);
        }
    }
    json
}
