//! Whether objects of clients have the shape that everything here counts on.

use serde_json::Value;

use super::failure::Failure;
use super::json::text;
use super::kind::{Key, Kind};

/// Values in one object, and levels of them, at most.
const MOST_VALUES: usize = 100_000;
const MOST_LEVELS: usize = 100;

/// Whether `value` is no larger than objects may be; it is not followed beyond that.
pub(super) fn is_bounded(value: &Value) -> bool {
    fn count(value: &Value, levels: usize, left: &mut usize) -> bool {
        if levels == 0 || *left == 0 {
            return false;
        }
        *left -= 1;
        match value {
            Value::Array(items) => items.iter().all(|item| count(item, levels - 1, left)),
            Value::Object(entries) => entries.values().all(|entry| count(entry, levels - 1, left)),
            _ => true,
        }
    }
    count(value, MOST_LEVELS, &mut { MOST_VALUES })
}

/// Refuses an object whose parts are not what they have to be.
pub(super) fn check(key: &Key, object: &Value) -> Result<(), Failure> {
    if !object.is_object() || !is_bounded(object) {
        return Err(Failure::bad_request("the object is none, or too large"));
    }
    let wrong = |field: &str, message: &str| Err(Failure::invalid(key, field, message));
    let at = |pointer: &str| object.pointer(pointer).filter(|value| !value.is_null());
    for (field, pointer) in [
        ("metadata", "/metadata"),
        ("spec", "/spec"),
        ("status", "/status"),
    ] {
        if at(pointer).is_some_and(|value| !value.is_object()) {
            return wrong(field, "must be an object");
        }
    }
    for (field, pointer) in [
        ("metadata.labels", "/metadata/labels"),
        ("metadata.annotations", "/metadata/annotations"),
    ] {
        let sound = |value: &Value| {
            let entries = value.as_object();
            entries.is_some_and(|entries| entries.values().all(Value::is_string))
        };
        if at(pointer).is_some_and(|value| !sound(value)) {
            return wrong(field, "must be a map of strings");
        }
    }
    for (field, pointer, key) in [
        ("spec.taints", "/spec/taints", "/key"),
        ("status.conditions", "/status/conditions", "/type"),
    ] {
        let sound = |value: &Value| {
            let items = value.as_array();
            items.is_some_and(|items| items.iter().all(|item| !text(item, key).is_empty()))
        };
        if at(pointer).is_some_and(|value| !sound(value)) {
            return wrong(field, "must be a list of objects with their key");
        }
    }
    let unschedulable = at("/spec/unschedulable");
    if key.kind == Kind::Node && unschedulable.is_some_and(|value| !value.is_boolean()) {
        return wrong("spec.unschedulable", "must be true or false");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nests_and_crowds_are_too_large() {
        let mut nest = json!({});
        for _ in 0..MOST_LEVELS {
            nest = json!({ "a": nest });
        }
        assert!(!is_bounded(&nest));
        assert!(is_bounded(&nest["a"]));
        assert!(!is_bounded(&json!(vec![0; MOST_VALUES])));
        assert!(is_bounded(&json!(vec![0; MOST_VALUES - 1])));
    }
}
