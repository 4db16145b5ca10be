//! Merging values.

use super::{
    PatchError,
    rules::{ITEM, Rule, rule},
};
use crate::{
    resource::value::Value,
    workflow::machine_config::document::{Document, Identity},
};

/// Where merging is, for rules and errors.
struct Place<'a> {
    identity: &'a Identity,
    path: Vec<String>,
}

/// Merges what a patch says about this document into it.
pub(super) fn merge(document: &mut Document, patch: &Value) -> Result<(), PatchError> {
    let mut place = Place {
        identity: &document.identity,
        path: Vec::new(),
    };
    place.merge(&mut document.value, patch)
}

impl Place<'_> {
    fn inside<T>(&mut self, key: &str, work: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(key.to_owned());
        let done = work(self);
        self.path.pop();
        done
    }

    fn merge(&mut self, old: &mut Value, new: &Value) -> Result<(), PatchError> {
        let rule = rule(self.identity.kind.as_deref(), &self.path);
        match (&mut *old, new) {
            (_, Value::Null) => {}
            (Value::Null, _) => *old = new.clone(),
            (Value::Mapping(_), Value::Mapping(_)) | (Value::List(_), Value::List(_))
                if rule == Rule::Replace =>
            {
                *old = new.clone();
            }
            (Value::Mapping(entries), Value::Mapping(added)) => {
                for (key, value) in added {
                    match entries.iter_mut().find(|(name, _)| name == key) {
                        Some((_, old)) if rule == Rule::ReplaceEntries => *old = value.clone(),
                        Some((_, old)) => self.inside(key, |place| place.merge(old, value))?,
                        None => entries.push((key.clone(), value.clone())),
                    }
                }
            }
            (Value::List(items), Value::List(added)) => {
                for item in added {
                    self.item(items, item, rule)?;
                }
            }
            (Value::Mapping(_) | Value::List(_), _) | (_, Value::Mapping(_) | Value::List(_)) => {
                return Err(PatchError::Mismatch {
                    document: self.identity.to_string(),
                    path: self.path.join("."),
                });
            }
            _ if is_zero(new) => {}
            _ => *old = new.clone(),
        }
        Ok(())
    }

    fn item(&mut self, items: &mut Vec<Value>, item: &Value, rule: Rule) -> Result<(), PatchError> {
        let keys = match &rule {
            Rule::MergeItems(keys) => *keys,
            Rule::ReplaceItems(key) => std::slice::from_ref(key),
            _ => &[],
        };
        let key = keys
            .iter()
            .find(|key| item.get(key).is_some_and(|value| !is_zero(value)));
        let found = key.and_then(|key| items.iter_mut().find(|old| old.get(key) == item.get(key)));
        match found {
            Some(old) if matches!(rule, Rule::ReplaceItems(_)) => *old = item.clone(),
            Some(old) => self.inside(ITEM, |place| place.merge(old, item))?,
            None => items.push(item.clone()),
        }
        Ok(())
    }
}

/// Values that say nothing; `false` does.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Int(number) => *number == 0,
        Value::UInt(number) => *number == 0,
        Value::Float(number) => *number == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::List(_) | Value::Mapping(_) => false,
    }
}
