//! The three kinds of patches: merge (RFC 7386), strategic merge, and JSON patch (RFC 6902).

use serde_json::{Map, Value};

use super::failure::Failure;
use super::json::text;
use super::shape::is_bounded;

/// What a client may send.
const SUPPORTED: &str =
    "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json";

/// Operations of one JSON patch, at most.
const MOST_OPERATIONS: usize = 1_000;

/// Applies the patch in `body` to `object`.
pub(super) fn apply(content_type: &str, body: &[u8], object: &mut Value) -> Result<(), Failure> {
    let content_type = content_type.split(';').next().unwrap_or_default().trim();
    let read = || -> Result<Value, Failure> {
        serde_json::from_slice(body)
            .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))
    };
    match content_type {
        "application/merge-patch+json" => merge(object, read()?),
        "application/strategic-merge-patch+json" => strategic(object, read()?),
        "application/json-patch+json" => {
            let Value::Array(operations) = read()? else {
                return Err(Failure::bad_request("a JSON patch is a list of operations"));
            };
            if operations.len() > MOST_OPERATIONS {
                return Err(Failure::bad_request("the JSON patch has too many operations"));
            }
            for operation in &operations {
                step(object, operation).map_err(|error| {
                    Failure::bad_request(format!("the JSON patch cannot be applied: {error}"))
                })?;
                // Copies of copies grow without end.
                if !is_bounded(object) {
                    return Err(Failure::bad_request("the JSON patch makes the object too large"));
                }
            }
        }
        _ => return Err(Failure::unsupported_media(SUPPORTED)),
    }
    Ok(())
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    let target = as_map(target);
    for (key, value) in patch {
        if value.is_null() {
            target.remove(&key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}

fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("an object was just put there"),
    }
}

/// The field by which elements of a list are told apart in strategic merges; lists without one are replaced.
fn merge_key(list: &str) -> Option<&'static str> {
    Some(match list {
        "taints" => "key",
        "conditions" | "addresses" => "type",
        "ownerReferences" => "uid",
        "containers" | "initContainers" | "volumes" | "env" => "name",
        _ => return None,
    })
}

fn strategic(target: &mut Value, patch: Value) {
    let Value::Object(mut patch) = patch else {
        *target = patch;
        return;
    };
    let target = as_map(target);
    if patch
        .remove("$patch")
        .is_some_and(|directive| directive == "replace")
    {
        target.clear();
    }
    for (key, value) in patch {
        if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Value::Array(items)), Value::Array(gone)) = (target.get_mut(list), &value) {
                items.retain(|item| !gone.contains(item));
            }
        } else if key.starts_with('$') {
            // Orders of lists and keys to retain change nothing that anybody reads here.
        } else if value.is_null() {
            target.remove(&key);
        } else if let (Value::Array(_), "finalizers") = (&value, key.as_str()) {
            union(target.entry(key).or_insert(Value::Null), value);
        } else if let (Some(by), Value::Array(elements)) = (merge_key(&key), &value) {
            merge_list(target.entry(key).or_insert(Value::Null), elements, by);
        } else if value.is_object() {
            strategic(target.entry(key).or_insert(Value::Null), value);
        } else {
            target.insert(key, value);
        }
    }
}

fn as_list(value: &mut Value) -> &mut Vec<Value> {
    if !value.is_array() {
        *value = Value::Array(Vec::new());
    }
    match value {
        Value::Array(list) => list,
        _ => unreachable!("a list was just put there"),
    }
}

fn union(target: &mut Value, more: Value) {
    let target = as_list(target);
    if let Value::Array(more) = more {
        for item in more {
            if !target.contains(&item) {
                target.push(item);
            }
        }
    }
}

fn merge_list(target: &mut Value, patch: &[Value], by: &str) {
    let target = as_list(target);
    let is_directive = |element: &Value| element.get("$patch").is_some() && element.get(by).is_none();
    if patch
        .iter()
        .any(|element| is_directive(element) && text(element, "/$patch") == "replace")
    {
        target.clear();
    }
    for element in patch.iter().filter(|element| !is_directive(element)) {
        let found = target.iter().position(|item| item.get(by) == element.get(by));
        match (found, text(element, "/$patch")) {
            (Some(index), "delete") => {
                target.remove(index);
            }
            (None, "delete") => {}
            (Some(index), _) => strategic(&mut target[index], element.clone()),
            (None, _) => {
                let mut new = Value::Null;
                strategic(&mut new, element.clone());
                target.push(new);
            }
        }
    }
}

/// One operation of a JSON patch.
fn step(target: &mut Value, operation: &Value) -> Result<(), String> {
    let path = text(operation, "/path");
    let value = || {
        let value = operation.get("value").cloned();
        value.ok_or_else(|| format!("no value for {path}"))
    };
    let at = |target: &Value, path: &str| {
        let found = target.pointer(path).cloned();
        found.ok_or_else(|| format!("nothing at {path}"))
    };
    match text(operation, "/op") {
        "add" => add(target, path, value()?),
        "replace" => {
            let found = target.pointer_mut(path);
            *found.ok_or_else(|| format!("nothing at {path}"))? = value()?;
            Ok(())
        }
        "remove" => remove(target, path).map(drop),
        "test" if at(target, path)? == value()? => Ok(()),
        "test" => Err(format!("testing value {path} failed")),
        "copy" => {
            let copied = at(target, text(operation, "/from"))?;
            add(target, path, copied)
        }
        "move" => {
            let moved = remove(target, text(operation, "/from"))?;
            add(target, path, moved)
        }
        other => Err(format!("unknown operation {other:?}")),
    }
}

/// The container that `path` is in, and its last part without escapes.
fn parent<'a>(target: &'a mut Value, path: &str) -> Result<(&'a mut Value, String), String> {
    let (parent, last) = path
        .rsplit_once('/')
        .ok_or_else(|| format!("no path: {path:?}"))?;
    let found = target.pointer_mut(parent);
    let found = found.ok_or_else(|| format!("nothing at {parent}"))?;
    Ok((found, last.replace("~1", "/").replace("~0", "~")))
}

fn add(target: &mut Value, path: &str, value: Value) -> Result<(), String> {
    let (container, last) = parent(target, path)?;
    match container {
        Value::Object(map) => {
            map.insert(last, value);
        }
        Value::Array(list) if last == "-" => list.push(value),
        Value::Array(list) => {
            let index = last.parse().ok().filter(|index| *index <= list.len());
            list.insert(index.ok_or_else(|| format!("no place {path}"))?, value);
        }
        _ => return Err(format!("nothing can be added at {path}")),
    }
    Ok(())
}

fn remove(target: &mut Value, path: &str) -> Result<Value, String> {
    let (container, last) = parent(target, path)?;
    let removed = match container {
        Value::Object(map) => map.remove(&last),
        Value::Array(list) => {
            let index = last.parse().ok().filter(|index| *index < list.len());
            index.map(|index: usize| list.remove(index))
        }
        _ => None,
    };
    removed.ok_or_else(|| format!("nothing at {path}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(kind: &str, object: Value, patch: &Value) -> Result<Value, Value> {
        let mut object = object;
        let content_type = format!("application/{kind}+json; charset=utf-8");
        let done = apply(&content_type, patch.to_string().as_bytes(), &mut object);
        done.map(|()| object).map_err(|failure| failure.body())
    }

    #[test]
    fn merge_patches_replace_lists_and_drop_nulls() {
        let before = json!({"a": {"b": 1, "c": [1, 2]}, "d": 1});
        let patch = json!({"a": {"b": null, "c": [3], "e": {"f": 1, "g": null}}, "d": "x"});
        let after = json!({"a": {"c": [3], "e": {"f": 1}}, "d": "x"});
        assert_eq!(patched("merge-patch", before, &patch).unwrap(), after);
    }

    #[test]
    fn strategic_patches_merge_lists_by_key() {
        let before =
            json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "b"}], "list": [1]}});
        let patch = json!({"spec": {
            "taints": [{"key": "a", "value": "v"}, {"key": "b", "$patch": "delete"}, {"key": "c"}],
            "$setElementOrder/taints": [{"key": "a"}],
            "list": [2],
        }});
        let after = json!({"spec": {
            "taints": [{"key": "a", "effect": "NoSchedule", "value": "v"}, {"key": "c"}],
            "list": [2],
        }});
        assert_eq!(
            patched("strategic-merge-patch", before.clone(), &patch).unwrap(),
            after
        );
        let patch = json!({"spec": {"taints": [{"$patch": "replace"}, {"key": "z"}]}});
        let after = patched("strategic-merge-patch", before, &patch).unwrap();
        assert_eq!(after["spec"]["taints"], json!([{"key": "z"}]));
    }

    #[test]
    fn json_patches() {
        let before = json!({"metadata": {"labels": {"a/b": "1"}}, "list": [1, 2]});
        let patch = json!([
            {"op": "test", "path": "/metadata/labels/a~1b", "value": "1"},
            {"op": "replace", "path": "/metadata/labels/a~1b", "value": "2"},
            {"op": "add", "path": "/list/-", "value": 3},
            {"op": "add", "path": "/list/0", "value": 0},
            {"op": "remove", "path": "/list/1"},
            {"op": "copy", "from": "/list/0", "path": "/copied"},
            {"op": "move", "from": "/copied", "path": "/moved"},
        ]);
        let after = json!({"metadata": {"labels": {"a/b": "2"}}, "list": [0, 2, 3], "moved": 0});
        assert_eq!(patched("json-patch", before.clone(), &patch).unwrap(), after);
        for wrong in [
            json!([{"op": "test", "path": "/list/0", "value": 7}]),
            json!([{"op": "remove", "path": "/nothing"}]),
            json!([{"op": "add", "path": "/list/9", "value": 7}]),
            json!([{"op": "dance", "path": "/list"}]),
            json!({"op": "add"}),
            json!(vec![json!({"op": "copy", "from": "", "path": "/list/0"}); 40]),
            json!(vec![json!({"op": "test", "path": "/list/0", "value": 1}); 1_001]),
        ] {
            let failed = patched("json-patch", before.clone(), &wrong).unwrap_err();
            assert_eq!(failed["code"], 400, "{wrong}");
        }
    }

    #[test]
    fn other_kinds_are_refused() {
        let failed = patched("apply-patch", json!({}), &json!({})).unwrap_err();
        assert_eq!(failed["code"], 415);
    }
}
