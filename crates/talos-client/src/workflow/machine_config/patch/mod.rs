//! Patches of machine configurations.

mod delete;
mod error;
mod json;
mod merge;
mod rules;
#[cfg(test)]
mod tests;

use std::{fmt, fs, path::Path};

use self::{delete::Delete, json::Operation};
use super::document::{self, Document, Identity};
use crate::{SecretString, resource::value::Value};

pub use self::error::{PatchError, PatchInput};

/// A change of a machine configuration, as text: a strategic merge patch or a JSON patch (RFC 6902). `Debug` shows
/// which of the two it is, and nothing else.
///
/// # Strategic merge patches
///
/// A patch looks like a part of the configuration and may have several documents. Each is merged into the document of
/// the same `apiVersion`, `kind` and `name`; one without a counterpart is added.
///
/// - Mappings are merged key by key. Single values replace what was there, but an empty text, a zero and nothing
///   leave it as it is; `false` replaces.
/// - **Lists are appended to**, so that applying a patch twice appends twice. Some are replaced, as in Talos: pod and
///   service subnets, ports and ingress of firewall rules, the lists of BGP. Some are merged by what their items are
///   called: interfaces and VLANs, admission plugins, files of extensions, rules for images.
/// - Replaced as a whole are audit policy, authentication and credential provider configurations, static pods,
///   overrides of the container runtime, and each of `extraArgs`.
/// - `$patch: delete` in a mapping removes it; in an item of a list, it removes the first item whose value of the first
///   other key is the same; beside `kind`, the whole document. What is to be removed has to be there, but for whole
///   documents.
///
/// talosctl knows the type of each field and this library does not: it leaves unknown fields and wrong types to the
/// node, which refuses them. Comments are lost, as with talosctl.
///
/// # JSON patches
///
/// A list of operations, in JSON or YAML. They work on configurations of one document only, as in talosctl, and not on
/// those that Talos 1.12 and later make.
#[derive(Clone, PartialEq)]
pub struct ConfigPatch {
    kind: Kind,
}

#[derive(Clone, PartialEq)]
enum Kind {
    Strategic(Vec<Part>),
    Json(Vec<Operation>),
}

/// A document of a strategic merge patch.
#[derive(Clone, PartialEq)]
struct Part {
    identity: Identity,
    deletes: Vec<Delete>,
    /// What is merged; `None` if the document only deletes.
    value: Option<Value>,
}

impl ConfigPatch {
    /// Reads a patch; which kind it is shows from the text.
    ///
    /// # Errors
    ///
    /// [`PatchError`] with [`PatchInput::Patch`].
    pub fn parse(text: impl AsRef<str>) -> Result<Self, PatchError> {
        let input = PatchInput::Patch;
        let values = document::values(text.as_ref(), input)?;
        let kind = match values.as_slice() {
            [] => return Err(PatchError::Empty { input }),
            [Value::List(operations)] => Kind::Json(json::read(operations)?),
            _ => {
                let parts = values.into_iter().enumerate();
                let parts = parts.map(|(index, value)| Part::read(index + 1, value));
                Kind::Strategic(parts.collect::<Result<_, _>>()?)
            }
        };
        Ok(Self { kind })
    }

    /// Reads a patch from a file.
    ///
    /// # Errors
    ///
    /// [`PatchError::Read`], and as for [`ConfigPatch::parse`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, PatchError> {
        let path = path.as_ref();
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(zeroize::Zeroizing::new(text).as_str()),
            Err(source) => Err(PatchError::Read {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Changes the text of a configuration, and checks that the outcome may be one.
    ///
    /// # Errors
    ///
    /// [`PatchError`], which names the document and the path in it.
    pub fn apply(&self, config: impl AsRef<str>) -> Result<SecretString, PatchError> {
        apply_all(config.as_ref(), std::slice::from_ref(self))
    }

    fn change(&self, documents: &mut Vec<Document>) -> Result<(), PatchError> {
        match &self.kind {
            Kind::Strategic(parts) => parts.iter().try_for_each(|part| part.change(documents)),
            Kind::Json(operations) => {
                let [document] = documents.as_mut_slice() else {
                    return Err(PatchError::JsonPatchOnSeveralDocuments);
                };
                json::apply(document, operations)
            }
        }
    }
}

/// Applies these patches, one after the other.
pub(super) fn apply_all(config: &str, patches: &[ConfigPatch]) -> Result<SecretString, PatchError> {
    let mut documents = document::read(config)?;
    for patch in patches {
        patch.change(&mut documents)?;
    }
    document::check(&documents)?;
    document::write(&documents).map(|text| SecretString::new(text.as_str()))
}

impl fmt::Debug for ConfigPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Strategic(parts) => write!(f, "ConfigPatch(strategic, {} documents)", parts.len()),
            Kind::Json(operations) => write!(f, "ConfigPatch(JSON, {} operations)", operations.len()),
        }
    }
}

impl Part {
    fn read(number: usize, mut value: Value) -> Result<Self, PatchError> {
        let unknown = || PatchError::UnknownDocument {
            input: PatchInput::Patch,
            number,
        };
        if !matches!(value, Value::Mapping(_)) {
            return Err(unknown());
        }
        let identity = match Identity::of(&value) {
            Some(identity) => identity,
            None if value.get("kind").is_none() && delete::is_marked(&value) => Identity::main(),
            None => return Err(unknown()),
        };
        let deletes = delete::take(&identity, &mut value)?;
        let nothing_left = !deletes.is_empty() && is_bare(&value);
        Ok(Self {
            identity,
            deletes,
            value: (!nothing_left).then_some(value),
        })
    }

    fn change(&self, documents: &mut Vec<Document>) -> Result<(), PatchError> {
        let find = |documents: &[Document]| {
            let mut identities = documents.iter().map(|document| &document.identity);
            identities.position(|identity| *identity == self.identity)
        };
        for delete in &self.deletes {
            // A document that is not there is gone already.
            let Some(at) = find(documents) else { continue };
            if delete.is_document() {
                if self.identity.kind.is_none() {
                    return Err(PatchError::DeleteMain);
                }
                documents.remove(at);
            } else {
                delete.apply(&mut documents[at])?;
            }
        }
        let Some(value) = &self.value else {
            return Ok(());
        };
        match find(documents) {
            Some(at) => merge::merge(&mut documents[at], value),
            None => {
                documents.push(Document {
                    identity: self.identity.clone(),
                    value: value.clone(),
                });
                Ok(())
            }
        }
    }
}

/// Whether only what tells documents apart is left of one.
fn is_bare(value: &Value) -> bool {
    let keys = value.entries().iter().map(|(key, _)| key.as_str());
    let mut others = keys.filter(|key| !["apiVersion", "kind", "name", "version"].contains(key));
    others.next().is_none()
}
