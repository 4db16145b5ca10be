//! Objects as they are on the wire, and what keeps them in line with the machines.

pub(super) mod budget;
pub(super) mod node;
pub(super) mod pod;
pub(super) mod workload;

use serde_json::{Value, json};

use super::json::{list, text};
use crate::clock::Moment;

/// Sets the condition of a type, with the moment of its last change. An equal one stays as it is.
pub(super) fn set_condition(object: &mut Value, kind: &str, status: &str, reason: &str, message: &str) {
    let now = Moment::now().rfc3339();
    let found = list(object, "/status/conditions")
        .iter()
        .position(|condition| text(condition, "/type") == kind);
    let mut condition = json!({"type": kind, "status": status, "lastTransitionTime": now});
    for (key, value) in [("reason", reason), ("message", message)] {
        if !value.is_empty() {
            condition[key] = json!(value);
        }
    }
    let Some(index) = found else {
        let conditions = &mut object["status"]["conditions"];
        match conditions {
            Value::Array(conditions) => conditions.push(condition),
            _ => *conditions = json!([condition]),
        }
        return;
    };
    let old = &mut object["status"]["conditions"][index];
    if old["status"] == condition["status"] {
        condition["lastTransitionTime"] = old["lastTransitionTime"].clone();
    }
    *old = condition;
}

/// The status of the condition of a type, empty if there is none.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    let conditions = list(object, "/status/conditions").iter();
    conditions
        .into_iter()
        .find(|condition| text(condition, "/type") == kind)
        .map_or("", |condition| text(condition, "/status"))
}
