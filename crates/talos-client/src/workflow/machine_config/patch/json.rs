//! JSON patches, RFC 6902.

use super::PatchError;
use crate::{
    resource::value::Value,
    workflow::machine_config::document::{Document, Identity},
};

#[derive(Clone, PartialEq)]
pub(super) struct Operation {
    /// Counted from 1.
    number: usize,
    action: Action,
    path: Pointer,
}

#[derive(Clone, PartialEq)]
enum Action {
    Add(Value),
    Remove,
    Replace(Value),
    Move(Pointer),
    Copy(Pointer),
    Test(Value),
}

/// A JSON pointer (RFC 6901), in its parts.
#[derive(Clone, PartialEq)]
struct Pointer(Vec<String>);

impl Pointer {
    /// `None` for a text that is none.
    fn read(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self(Vec::new()));
        }
        let parts = text.strip_prefix('/')?.split('/');
        Some(Self(
            parts
                .map(|part| part.replace("~1", "/").replace("~0", "~"))
                .collect(),
        ))
    }

    fn is_inside(&self, other: &Self) -> bool {
        self.0.len() > other.0.len() && self.0.starts_with(&other.0)
    }
}

impl std::fmt::Display for Pointer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0
            .iter()
            .try_for_each(|part| write!(f, "/{}", part.replace('~', "~0").replace('/', "~1")))
    }
}

/// Reads the operations of a patch.
pub(super) fn read(operations: &[Value]) -> Result<Vec<Operation>, PatchError> {
    let operations = operations.iter().enumerate();
    operations
        .map(|(index, value)| operation(index + 1, value))
        .collect()
}

fn operation(number: usize, value: &Value) -> Result<Operation, PatchError> {
    let wrong = |problem| PatchError::Operation { number, problem };
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let pointer = |text: Option<&str>, problem| text.and_then(Pointer::read).ok_or_else(|| wrong(problem));
    let given = || {
        value
            .get("value")
            .cloned()
            .ok_or_else(|| wrong("it has no `value`"))
    };
    let from = || {
        pointer(
            text("from"),
            "`from` is not a JSON pointer, which begins with a slash",
        )
    };
    let action = match text("op") {
        Some("add") => Action::Add(given()?),
        Some("remove") => Action::Remove,
        Some("replace") => Action::Replace(given()?),
        Some("move") => Action::Move(from()?),
        Some("copy") => Action::Copy(from()?),
        Some("test") => Action::Test(given()?),
        _ => return Err(wrong("`op` is none of add, remove, replace, move, copy and test")),
    };
    let path = pointer(
        text("path"),
        "`path` is not a JSON pointer, which begins with a slash",
    )?;
    match &action {
        Action::Remove if path.0.is_empty() => return Err(wrong("the whole document cannot be removed")),
        Action::Move(from) if path.is_inside(from) => {
            return Err(wrong("a value cannot be moved into itself"));
        }
        _ => {}
    }
    Ok(Operation { number, action, path })
}

/// Does all operations.
pub(super) fn apply(document: &mut Document, operations: &[Operation]) -> Result<(), PatchError> {
    for operation in operations {
        let name = document.identity.to_string();
        operation.apply(&mut document.value, &name)?;
    }
    // A patch may change anything, the kind included.
    document.identity = Identity::of(&document.value).ok_or(PatchError::UnknownDocument {
        input: super::PatchInput::Configuration,
        number: 1,
    })?;
    Ok(())
}

impl Operation {
    fn apply(&self, root: &mut Value, document: &str) -> Result<(), PatchError> {
        let missing = |path: &Pointer| PatchError::NotFound {
            document: document.to_owned(),
            path: path.to_string(),
        };
        let path = &self.path;
        match &self.action {
            Action::Add(value) => add(root, path, value.clone()).ok_or_else(|| missing(path)),
            Action::Remove => remove(root, path).map(drop).ok_or_else(|| missing(path)),
            Action::Replace(value) => {
                *find(root, &path.0).ok_or_else(|| missing(path))? = value.clone();
                Ok(())
            }
            Action::Move(from) => {
                let value = remove(root, from).ok_or_else(|| missing(from))?;
                add(root, path, value).ok_or_else(|| missing(path))
            }
            Action::Copy(from) => {
                let value = find(root, &from.0).ok_or_else(|| missing(from))?.clone();
                add(root, path, value).ok_or_else(|| missing(path))
            }
            Action::Test(value) => match find(root, &path.0) {
                Some(found) if same(found, value) => Ok(()),
                _ => Err(PatchError::Test {
                    number: self.number,
                    path: path.to_string(),
                }),
            },
        }
    }
}

fn find<'a>(mut value: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    for part in path {
        value = match value {
            Value::Mapping(entries) => {
                let found = entries.iter_mut().find(|(key, _)| key == part);
                found.map(|(_, value)| value)?
            }
            Value::List(items) => items.get_mut(index(part)?)?,
            _ => return None,
        };
    }
    Some(value)
}

fn add(root: &mut Value, path: &Pointer, value: Value) -> Option<()> {
    let Some((last, parents)) = path.0.split_last() else {
        *root = value;
        return Some(());
    };
    match find(root, parents)? {
        Value::Mapping(entries) => match entries.iter_mut().find(|(key, _)| key == last) {
            Some((_, old)) => *old = value,
            None => entries.push((last.clone(), value)),
        },
        Value::List(items) => {
            let at = if last == "-" { items.len() } else { index(last)? };
            if at > items.len() {
                return None;
            }
            items.insert(at, value);
        }
        _ => return None,
    }
    Some(())
}

fn remove(root: &mut Value, path: &Pointer) -> Option<Value> {
    let (last, parents) = path.0.split_last()?;
    match find(root, parents)? {
        Value::Mapping(entries) => {
            let at = entries.iter().position(|(key, _)| key == last)?;
            Some(entries.remove(at).1)
        }
        Value::List(items) => {
            let at = index(last).filter(|at| *at < items.len())?;
            Some(items.remove(at))
        }
        _ => None,
    }
}

/// Digits without leading zeros.
fn index(part: &str) -> Option<usize> {
    let canonical = part == "0" || !part.starts_with(['0', '+']);
    canonical.then(|| part.parse().ok()).flatten()
}

/// Whether two values are the same; the order of keys and the way of numbers do not matter.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Mapping(one), Value::Mapping(other)) => {
            let found = |(key, value): &(String, Value)| {
                let entry = other.iter().find(|(name, _)| name == key);
                entry.is_some_and(|(_, other)| same(value, other))
            };
            one.len() == other.len() && one.iter().all(found)
        }
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        #[expect(clippy::cast_precision_loss, reason = "numbers of configurations are small")]
        (Value::Int(whole), Value::Float(number)) | (Value::Float(number), Value::Int(whole)) => {
            *whole as f64 == *number
        }
        (one, other) => one == other,
    }
}
