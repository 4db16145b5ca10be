//! `$patch: delete`.

use super::PatchError;
use crate::{
    resource::value::Value,
    workflow::machine_config::document::{Document, Identity},
};

const MARKER: &str = "$patch";

/// Something that is to be removed from a document.
#[derive(Clone, PartialEq)]
pub(super) struct Delete {
    /// Keys of mappings; none for the whole document.
    path: Vec<String>,
    /// In the list at the path, the first item with this value of this key.
    item: Option<(String, Value)>,
}

/// Whether there is a marker at the top of this.
pub(super) fn is_marked(value: &Value) -> bool {
    value.get(MARKER).is_some()
}

/// Takes everything that is marked out of a document of a patch.
pub(super) fn take(identity: &Identity, value: &mut Value) -> Result<Vec<Delete>, PatchError> {
    let mut search = Search {
        identity,
        path: Vec::new(),
        lists: 0,
        found: Vec::new(),
    };
    if search.is_marked(value)? {
        search.found.push(Delete {
            path: Vec::new(),
            item: None,
        });
        *value = Value::Mapping(Vec::new());
    } else {
        search.inside(value)?;
    }
    Ok(search.found)
}

struct Search<'a> {
    identity: &'a Identity,
    path: Vec<String>,
    /// How many lists the search is inside of.
    lists: usize,
    found: Vec<Delete>,
}

impl Search<'_> {
    fn at(&self) -> (String, String) {
        (self.identity.to_string(), self.path.join("."))
    }

    fn is_marked(&self, value: &Value) -> Result<bool, PatchError> {
        match value.get(MARKER) {
            None => Ok(false),
            Some(Value::String(text)) if text == "delete" => Ok(true),
            Some(_) => {
                let (document, path) = self.at();
                Err(PatchError::Directive { document, path })
            }
        }
    }

    /// Takes what is marked out of a value that is not marked itself. What is empty then goes, too.
    fn inside(&mut self, value: &mut Value) -> Result<(), PatchError> {
        match value {
            Value::Mapping(entries) => {
                let mut kept = Vec::with_capacity(entries.len());
                for (key, mut value) in std::mem::take(entries) {
                    self.path.push(key.clone());
                    if self.is_marked(&value)? {
                        if self.lists > 0 {
                            let (document, path) = self.at();
                            return Err(PatchError::DeleteInsideItem { document, path });
                        }
                        self.found.push(Delete {
                            path: self.path.clone(),
                            item: None,
                        });
                    } else if self.goes_on(&mut value)? {
                        kept.push((key, value));
                    }
                    self.path.pop();
                }
                *entries = kept;
            }
            Value::List(items) => {
                let mut kept = Vec::with_capacity(items.len());
                for mut item in std::mem::take(items) {
                    if self.is_marked(&item)? {
                        self.item(&item)?;
                        continue;
                    }
                    self.lists += 1;
                    if self.goes_on(&mut item)? {
                        kept.push(item);
                    }
                    self.lists -= 1;
                }
                *items = kept;
            }
            _ => {}
        }
        Ok(())
    }

    /// Searches inside; whether anything is left that is to be merged.
    fn goes_on(&mut self, value: &mut Value) -> Result<bool, PatchError> {
        let before = self.found.len();
        self.inside(value)?;
        let is_empty = match value {
            Value::Mapping(entries) => entries.is_empty(),
            Value::List(items) => items.is_empty(),
            _ => false,
        };
        Ok(self.found.len() == before || !is_empty)
    }

    fn item(&mut self, item: &Value) -> Result<(), PatchError> {
        let (document, path) = self.at();
        if self.lists > 0 {
            return Err(PatchError::DeleteInsideItem { document, path });
        }
        let mut others = item.entries().iter().filter(|(key, _)| key != MARKER);
        match others.next() {
            Some((key, value)) if !matches!(value, Value::Mapping(_) | Value::List(_) | Value::Null) => {
                self.found.push(Delete {
                    path: self.path.clone(),
                    item: Some((key.clone(), value.clone())),
                });
                Ok(())
            }
            _ => Err(PatchError::DeleteWithoutKey { document, path }),
        }
    }
}

impl Delete {
    pub(super) fn is_document(&self) -> bool {
        self.path.is_empty()
    }

    /// Removes it, which has to be there.
    pub(super) fn apply(&self, document: &mut Document) -> Result<(), PatchError> {
        let Document { identity, value } = document;
        self.remove_from(value).ok_or_else(|| {
            let mut path = self.path.join(".");
            if let Some((key, _)) = &self.item {
                path.push_str(&format!("[{key}]"));
            }
            PatchError::NotFound {
                document: identity.to_string(),
                path,
            }
        })
    }

    fn remove_from(&self, mut value: &mut Value) -> Option<()> {
        let (last, folders) = self.path.split_last()?;
        for key in folders {
            value = child(value, key)?;
        }
        match &self.item {
            None => {
                let Value::Mapping(entries) = value else {
                    return None;
                };
                let at = entries.iter().position(|(key, _)| key == last)?;
                entries.remove(at);
            }
            Some((key, wanted)) => {
                let Value::List(items) = child(value, last)? else {
                    return None;
                };
                let wanted = wanted.to_string();
                // As with talosctl, what is compared is how it is written.
                let at = items.iter().position(|item| {
                    let found = item.get(key).filter(|found| !found.is_null());
                    found.is_some_and(|found| found.to_string() == wanted)
                })?;
                items.remove(at);
            }
        }
        Some(())
    }
}

fn child<'a>(value: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    match value {
        Value::Mapping(entries) => {
            let found = entries.iter_mut().find(|(name, _)| name == key);
            found.map(|(_, value)| value)
        }
        _ => None,
    }
}
