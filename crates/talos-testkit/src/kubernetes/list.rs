//! Lists, in pages if asked.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::core::Kubernetes;
use super::failure::Failure;
use super::json::text;
use super::kind::Key;
use super::query::Query;
use super::route::ObjectPath;
use super::selector::Selection;

/// Where a list goes on: after this object, as of this version.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    version: u64,
    namespace: String,
    name: String,
}

impl Place {
    fn encode(&self) -> String {
        let text = json!({"v": "meta.k8s.io/v1", "rv": self.version, "start": [self.namespace, self.name]});
        URL_SAFE_NO_PAD.encode(text.to_string())
    }

    fn decode(token: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let value: Value = serde_json::from_slice(&bytes).ok()?;
        Some(Self {
            version: value["rv"].as_u64()?,
            namespace: text(&value, "/start/0").to_owned(),
            name: text(&value, "/start/1").to_owned(),
        })
    }
}

/// Lists objects of a kind. The pages of one list have the version of its first one.
pub(super) fn list(kubernetes: &Kubernetes, path: &ObjectPath, query: &Query) -> Result<Value, Failure> {
    let selection = Selection::parse(path.kind, query.get("labelSelector"), query.get("fieldSelector"))?;
    let limit = query.number("limit")?.filter(|limit| *limit > 0);
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let place = match query.get("continue") {
        "" => None,
        token => {
            let wrong = || Failure::bad_request("continue key is not valid");
            Some(Place::decode(token).ok_or_else(wrong)?)
        }
    };
    let state = kubernetes.look();
    if let Some(place) = &place
        && !state.store.remembers(place.version)
    {
        return Err(Failure::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list \
             without the continue parameter.",
        ));
    }
    let version = place
        .as_ref()
        .map_or_else(|| state.store.version(), |place| place.version);
    let begins_after = |key: &Key| match &place {
        Some(place) => (&key.namespace, &key.name) > (&place.namespace, &place.name),
        None => true,
    };
    let wanted = |(key, object): &(&Key, &Arc<Value>)| {
        let here = path
            .namespace
            .as_ref()
            .is_none_or(|namespace| *namespace == key.namespace);
        here && begins_after(key) && selection.matches(object)
    };
    let all: Vec<_> = state.store.of(path.kind).filter(wanted).collect();
    let page = &all[..all.len().min(limit)];
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if let Some((last, _)) = page.last().filter(|_| page.len() < all.len()) {
        let next = Place {
            version,
            namespace: last.namespace.clone(),
            name: last.name.clone(),
        };
        metadata["continue"] = json!(next.encode());
        if selection.is_everything() {
            metadata["remainingItemCount"] = json!(all.len() - page.len());
        }
    }
    let items: Vec<Value> = page.iter().map(|(_, object)| as_item(object)).collect();
    Ok(json!({
        "kind": format!("{}List", path.kind.names().kind),
        "apiVersion": path.kind.api_version(),
        "metadata": metadata,
        "items": items,
    }))
}

/// Objects in lists do not say what they are.
fn as_item(object: &Value) -> Value {
    let mut item = object.clone();
    if let Value::Object(item) = &mut item {
        item.remove("kind");
        item.remove("apiVersion");
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_survive_the_way_through_a_client() {
        let place = Place {
            version: 7,
            namespace: "a".to_owned(),
            name: "b".to_owned(),
        };
        assert_eq!(Place::decode(&place.encode()), Some(place));
        assert_eq!(Place::decode("nonsense"), None);
    }
}
