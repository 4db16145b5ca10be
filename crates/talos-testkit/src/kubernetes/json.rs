//! Looking into JSON values.

use serde_json::{Map, Value, json};

/// The text at a pointer, empty if there is none.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Whether there is a `true` at a pointer.
pub(super) fn flag(value: &Value, pointer: &str) -> bool {
    value
        .pointer(pointer)
        .and_then(Value::as_bool)
        .unwrap_or_default()
}

/// The list at a pointer, empty if there is none.
pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// The texts in a map at a pointer, such as labels.
pub(super) fn texts<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let entries = value.pointer(pointer).and_then(Value::as_object);
    let entries = entries.into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

/// The map called `key` in `value`, made if there is none.
pub(super) fn map<'a>(value: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    if !value[key].is_object() {
        value[key] = json!({});
    }
    match &mut value[key] {
        Value::Object(map) => map,
        _ => unreachable!("an object was just put there"),
    }
}

/// Takes `key` out of the map at `parent`, and the map as well if nothing is left in it.
pub(super) fn drop_entry(value: &mut Value, parent: &str, key: &str) {
    if let Some(Value::Object(map)) = value.get_mut(parent) {
        map.remove(key);
        if map.is_empty()
            && let Value::Object(outer) = value
        {
            outer.remove(parent);
        }
    }
}
