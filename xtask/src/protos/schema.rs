//! What a tree of `.proto` files says: wire facts, apart from where they stand and how they are documented.

use std::collections::{BTreeMap, BTreeSet};

use super::docs::Docs;

/// Number of the custom options that name the release in which a deprecated item goes away.
pub const REMOVAL_OPTION: u32 = 93117;

/// Everything that is read from, or written to, a folder of `.proto` files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// The wire facts.
    pub schema: Schema,
    /// Which file holds what, in order; sorted by path.
    pub files: Vec<FileLayout>,
    /// Comments by full name.
    pub docs: Docs,
    /// Files of the types that are used but not part of the tree: the well-known types.
    pub foreign: BTreeMap<String, String>,
}

/// Contents of one file by full name, in the order in which they stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileLayout {
    /// Path below the root, with `/` as the separator.
    pub path: String,
    /// Protobuf package.
    pub package: String,
    /// Top-level services, messages and enums.
    pub items: Vec<String>,
    /// Extensions; they stand in front of the items.
    pub extensions: Vec<String>,
}

/// Wire facts by full name. Lists inside an item keep the order in which they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    /// Top-level services, messages and enums.
    pub items: BTreeMap<String, Item>,
    /// Extensions, here always of an options message.
    pub extensions: BTreeMap<String, Extension>,
}

/// A top-level definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An RPC service.
    Service(Service),
    /// A message with everything nested in it.
    Message(Message),
    /// An enum.
    Enum(Enum),
}

/// An RPC service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// Name without the package.
    pub name: String,
    /// Options.
    pub options: Options,
    /// RPCs.
    pub methods: Vec<Method>,
}

/// An RPC.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Method {
    /// Name without the service.
    pub name: String,
    /// Full name of the request message.
    pub request: String,
    /// Full name of the response message.
    pub response: String,
    /// Whether the client sends a stream.
    pub client_streaming: bool,
    /// Whether the server sends a stream.
    pub server_streaming: bool,
    /// Options.
    pub options: Options,
}

/// A message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Name without package and enclosing messages.
    pub name: String,
    /// Options.
    pub options: Options,
    /// Numbers and names that must not be used again.
    pub reserved: Reserved,
    /// Nested enums.
    pub enums: Vec<Enum>,
    /// Nested messages, without the entry types of maps.
    pub messages: Vec<Self>,
    /// Names of the oneofs, in the order of their first fields.
    pub oneofs: Vec<String>,
    /// Fields; the fields of a oneof stand together.
    pub fields: Vec<Field>,
}

/// A field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Name.
    pub name: String,
    /// Number.
    pub number: u32,
    /// Type.
    pub ty: Type,
    /// Label.
    pub label: Label,
    /// The oneof it is in.
    pub oneof: Option<String>,
    /// Options.
    pub options: Options,
}

/// Label of a field. Maps have none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Label {
    /// One value; absent and zero are the same.
    #[default]
    Singular,
    /// One value that is known to be present or absent (`optional`).
    Optional,
    /// A list.
    Repeated,
}

/// Type of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// A scalar, by its proto keyword.
    Scalar(&'static str),
    /// A message or an enum, by full name.
    Named(String),
    /// A map.
    Map(&'static str, Box<Self>),
}

/// An enum.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enum {
    /// Name without package and enclosing messages.
    pub name: String,
    /// Options.
    pub options: Options,
    /// Numbers and names that must not be used again.
    pub reserved: Reserved,
    /// Values.
    pub values: Vec<Value>,
}

/// A value of an enum.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Value {
    /// Name.
    pub name: String,
    /// Number.
    pub number: i32,
    /// Options.
    pub options: Options,
}

/// An extension of an options message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Full name of the message it extends.
    pub extendee: String,
    /// The field that it adds.
    pub field: Field,
}

/// Reserved numbers (inclusive ranges) and names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reserved {
    /// Ranges, both ends included, sorted.
    pub ranges: Vec<(i64, i64)>,
    /// Names, sorted.
    pub names: Vec<String>,
}

impl Reserved {
    /// Whether `number` must not be used.
    pub fn holds(&self, number: i64) -> bool {
        self.ranges
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&number))
    }
}

/// Options that are carried over, by name, with their values as proto literals.
pub type Options = BTreeMap<OptionName, String>;

/// Name of an option. Built-in ones sort first, which is also the order they are written in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum OptionName {
    /// An option that protobuf itself defines.
    BuiltIn(&'static str),
    /// An option that an extension of the tree defines: full name and field number.
    Custom(String, u32),
}

/// The release that a removal option names, without its quotes.
pub fn removal(options: &Options) -> Option<&str> {
    options.iter().find_map(|(name, value)| match name {
        OptionName::Custom(_, REMOVAL_OPTION) => Some(value.trim_matches('"')),
        _ => None,
    })
}

/// Whether an item is marked deprecated.
pub fn deprecated(options: &Options) -> bool {
    options
        .get(&OptionName::BuiltIn("deprecated"))
        .is_some_and(|value| value == "true")
}

impl std::fmt::Display for OptionName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BuiltIn(name) => f.write_str(name),
            Self::Custom(name, _) => write!(f, "({name})"),
        }
    }
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Scalar(name) => f.write_str(name),
            Self::Named(name) => f.write_str(name),
            Self::Map(key, value) => write!(f, "map<{key}, {value}>"),
        }
    }
}

impl Type {
    /// The message or enum that it names, inside a map too.
    pub fn named(&self) -> Option<&str> {
        match self {
            Self::Scalar(_) => None,
            Self::Named(name) => Some(name),
            Self::Map(_, value) => value.named(),
        }
    }
}

impl Item {
    /// What the proto language calls it.
    pub fn keyword(&self) -> &'static str {
        match self {
            Self::Service(_) => "service",
            Self::Message(_) => "message",
            Self::Enum(_) => "enum",
        }
    }

    /// Full names of all messages and enums that it uses.
    pub fn references(&self) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        match self {
            Self::Service(service) => {
                for method in &service.methods {
                    found.extend([method.request.as_str(), method.response.as_str()]);
                }
            }
            Self::Message(message) => message.references(&mut found),
            Self::Enum(_) => {}
        }
        found
    }
}

impl Message {
    fn references<'a>(&'a self, found: &mut BTreeSet<&'a str>) {
        found.extend(self.fields.iter().filter_map(|field| field.ty.named()));
        for nested in &self.messages {
            nested.references(found);
        }
    }

    /// Puts the fields of each oneof together, at the place of its first field, and names the oneofs in that
    /// order: the only order in which they can be written.
    pub fn group_oneofs(&mut self) {
        let mut grouped: Vec<Field> = Vec::with_capacity(self.fields.len());
        self.oneofs.clear();
        for field in std::mem::take(&mut self.fields) {
            let after = match &field.oneof {
                Some(oneof) if self.oneofs.contains(oneof) => grouped
                    .iter()
                    .rposition(|other| other.oneof == field.oneof)
                    .map(|last| last + 1),
                Some(oneof) => {
                    self.oneofs.push(oneof.clone());
                    None
                }
                None => None,
            };
            grouped.insert(after.unwrap_or(grouped.len()), field);
        }
        self.fields = grouped;
    }
}

impl Schema {
    /// The same facts with every list sorted by name, for comparing without regard to order.
    pub fn sorted(&self) -> Self {
        let mut sorted = self.clone();
        for item in sorted.items.values_mut() {
            match item {
                Item::Service(service) => service.methods.sort_by(|a, b| a.name.cmp(&b.name)),
                Item::Message(message) => message.sort(),
                Item::Enum(item) => item.sort(),
            }
        }
        sorted
    }

    /// The top-level item that holds `name`, which may be nested.
    pub fn top<'a>(&self, name: &'a str) -> Option<&'a str> {
        let mut name = name;
        loop {
            if self.items.contains_key(name) {
                return Some(name);
            }
            name = name.rsplit_once('.')?.0;
        }
    }
}

impl Message {
    fn sort(&mut self) {
        self.enums.sort_by(|a, b| a.name.cmp(&b.name));
        self.messages.sort_by(|a, b| a.name.cmp(&b.name));
        self.oneofs.sort();
        self.fields.sort_by(|a, b| a.name.cmp(&b.name));
        self.enums.iter_mut().for_each(Enum::sort);
        self.messages.iter_mut().for_each(Self::sort);
    }
}

impl Enum {
    fn sort(&mut self) {
        self.values.sort_by(|a, b| a.name.cmp(&b.name));
    }
}

/// `scope.name`, or `name` at the root.
pub fn join(scope: &str, name: &str) -> String {
    if scope.is_empty() {
        name.to_owned()
    } else {
        format!("{scope}.{name}")
    }
}
