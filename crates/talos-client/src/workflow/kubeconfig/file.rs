//! A kubeconfig as a YAML document whose lists are known to be lists.

use std::collections::BTreeMap;

use serde::{Deserialize, de::IgnoredAny};

use super::{KubeconfigError, KubeconfigOrigin};
use crate::{
    config::blank_quotes,
    resource::value::{self, Value},
};

/// What has to be right before anything is merged. Read only to learn where it is not.
#[derive(Deserialize)]
struct Shape {
    #[serde(default, rename = "kind")]
    _kind: Option<Kind>,
    #[serde(default, rename = "clusters")]
    _clusters: Option<Vec<Entry>>,
    #[serde(default, rename = "users")]
    _users: Option<Vec<Entry>>,
    #[serde(default, rename = "contexts")]
    _contexts: Option<Vec<Entry>>,
    #[serde(default, rename = "current-context")]
    _current: Option<String>,
}

#[derive(Deserialize)]
enum Kind {
    Config,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "name")]
    _name: String,
    #[serde(default, rename = "cluster")]
    _cluster: Option<BTreeMap<String, IgnoredAny>>,
    #[serde(default, rename = "user")]
    _user: Option<BTreeMap<String, IgnoredAny>>,
    #[serde(default, rename = "context")]
    _context: Option<BTreeMap<String, IgnoredAny>>,
}

/// Reads a kubeconfig; an empty text is one without entries.
pub(in crate::workflow) fn read(text: &str, origin: &KubeconfigOrigin) -> Result<Value, KubeconfigError> {
    let malformed = |line, column, reason: String| KubeconfigError::Malformed {
        origin: origin.clone(),
        line,
        column,
        reason,
    };
    let documents =
        value::all(text).map_err(|error| malformed(error.line(), error.column(), "not YAML".into()))?;
    let mut documents = documents.into_iter().filter(|document| !document.is_null());
    let Some(document) = documents.next() else {
        return Ok(Value::Mapping(Vec::new()));
    };
    if documents.next().is_some() {
        return Err(malformed(0, 0, "it has several documents".into()));
    }
    // Snippets would quote the neighbouring lines of an error, private keys included.
    let options = serde_saphyr::options! { with_snippet: false };
    let mut bytes = text.as_bytes();
    let shapes = serde_saphyr::read_with_options::<_, Option<Shape>>(&mut bytes, options);
    for shape in shapes {
        if let Err(error) = shape {
            let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
            let text = error.without_snippet().to_string();
            let reason = blank_quotes(text.lines().next().unwrap_or_default());
            return Err(malformed(line, column, reason));
        }
    }
    Ok(document)
}
