//! Documents of a machine configuration, and what makes a text one.

use std::{collections::HashSet, fmt};

use zeroize::Zeroizing;

use super::{PatchError, PatchInput};
use crate::resource::value::{self, Value};

/// Keys of which any one makes a document the one without a kind.
const MAIN_KEYS: [&str; 4] = ["machine", "cluster", "debug", "persist"];

/// What tells documents apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    /// `None` for the document without a kind, which has `machine` and `cluster`.
    pub(super) kind: Option<String>,
    api_version: Option<String>,
    name: Option<String>,
}

#[derive(Clone, PartialEq)]
pub(super) struct Document {
    pub(super) identity: Identity,
    pub(super) value: Value,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.kind, &self.name) {
            (None, _) => f.write_str("the main document"),
            (Some(kind), None) => write!(f, "{kind}"),
            (Some(kind), Some(name)) => write!(f, "{kind} {name:?}"),
        }
    }
}

impl Identity {
    /// What this document is; `None` if that cannot be told.
    pub(super) fn of(value: &Value) -> Option<Self> {
        let text = |key: &str| Some(value.get(key)?.as_str()?.to_owned()).filter(|text| !text.is_empty());
        if MAIN_KEYS.iter().any(|key| value.get(key).is_some()) {
            return Some(Self::main());
        }
        match (text("kind"), text("apiVersion")) {
            (Some(kind), Some(api_version)) => Some(Self {
                kind: Some(kind),
                api_version: Some(api_version),
                name: text("name"),
            }),
            _ => None,
        }
    }

    pub(super) const fn main() -> Self {
        Self {
            kind: None,
            api_version: None,
            name: None,
        }
    }
}

/// The YAML documents of a text; those that are nothing are left out.
pub(super) fn values(text: &str, input: PatchInput) -> Result<Vec<Value>, PatchError> {
    let documents = value::all(text).map_err(|error| PatchError::Yaml {
        input,
        line: error.line(),
        column: error.column(),
    })?;
    Ok(documents
        .into_iter()
        .filter(|document| !document.is_null())
        .collect())
}

/// Reads a machine configuration.
pub(super) fn read(text: &str) -> Result<Vec<Document>, PatchError> {
    let values = values(text, PatchInput::Configuration)?;
    let document = |(index, value): (usize, Value)| match Identity::of(&value) {
        Some(identity) => Ok(Document { identity, value }),
        None => Err(PatchError::UnknownDocument {
            input: PatchInput::Configuration,
            number: index + 1,
        }),
    };
    values.into_iter().enumerate().map(document).collect()
}

/// Refuses what no node takes: no documents at all, two of the same, sections that are none.
pub(super) fn check(documents: &[Document]) -> Result<(), PatchError> {
    if documents.is_empty() {
        return Err(PatchError::Empty {
            input: PatchInput::Configuration,
        });
    }
    let mut seen = HashSet::new();
    for Document { identity, value } in documents {
        if !seen.insert(identity) {
            return Err(PatchError::Duplicate {
                document: identity.to_string(),
            });
        }
        for key in ["machine", "cluster"] {
            let section = value.get(key).filter(|_| identity.kind.is_none());
            if section.is_some_and(|section| !matches!(section, Value::Mapping(_) | Value::Null)) {
                return Err(PatchError::Mismatch {
                    document: identity.to_string(),
                    path: key.to_owned(),
                });
            }
        }
    }
    Ok(())
}

/// Writes all documents as one text.
pub(super) fn write(documents: &[Document]) -> Result<Zeroizing<String>, PatchError> {
    let mut text = Zeroizing::new(String::new());
    for (index, document) in documents.iter().enumerate() {
        if index > 0 {
            text.push_str("---\n");
        }
        let written = document.value.to_yaml().map_err(|_| PatchError::Unwritable {
            document: document.identity.to_string(),
        })?;
        text.push_str(&written);
        if !written.ends_with('\n') {
            text.push('\n');
        }
    }
    Ok(text)
}

/// Whether two texts are the same configuration, whatever their layout.
pub(super) fn same(one: &str, other: &str) -> bool {
    let parse = |text| read(text).map(|documents| documents.into_iter().map(sorted).collect::<Vec<_>>());
    match (parse(one), parse(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

/// The order of keys says nothing.
fn sorted(document: Document) -> Value {
    fn sort(value: Value) -> Value {
        match value {
            Value::Mapping(mut entries) => {
                entries.sort_by(|(one, _), (other, _)| one.cmp(other));
                Value::Mapping(
                    entries
                        .into_iter()
                        .map(|(key, value)| (key, sort(value)))
                        .collect(),
                )
            }
            Value::List(items) => Value::List(items.into_iter().map(sort).collect()),
            other => other,
        }
    }
    sort(document.value)
}
