//! Label and field selectors.

use serde_json::Value;

use super::failure::Failure;
use super::json::{flag, list, text, texts};
use super::kind::Kind;

/// Which objects of a kind a request is about.
#[derive(Debug, Clone, Default)]
pub(super) struct Selection {
    labels: Vec<Requirement>,
    fields: Vec<FieldRequirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone)]
struct FieldRequirement {
    field: String,
    value: String,
    equal: bool,
}

impl Selection {
    /// Reads the parameters `labelSelector` and `fieldSelector`.
    pub(super) fn parse(kind: Kind, labels: &str, fields: &str) -> Result<Self, Failure> {
        Ok(Self {
            labels: parse_labels(labels)?,
            fields: parse_fields(kind, fields)?,
        })
    }

    pub(super) fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        self.labels.iter().all(|requirement| requirement.holds(object))
            && self.fields.iter().all(|requirement| requirement.holds(object))
    }
}

/// Whether a `LabelSelector` object matches the labels of `object`. An empty one matches all.
pub(super) fn selects(selector: &Value, object: &Value) -> bool {
    let labels = texts(selector, "/matchLabels").all(|(key, value)| label(object, key) == Some(value));
    labels
        && list(selector, "/matchExpressions").iter().all(|expression| {
            let values = list(expression, "/values").iter();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            let test = match text(expression, "/operator") {
                "In" => Test::In(values),
                "NotIn" => Test::NotIn(values),
                "Exists" => Test::Exists,
                _ => Test::Absent,
            };
            let key = text(expression, "/key").to_owned();
            Requirement { key, test }.holds(object)
        })
}

fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get("labels")?.get(key)?.as_str()
}

impl Requirement {
    fn holds(&self, object: &Value) -> bool {
        let label = label(object, &self.key);
        let is_one_of =
            |values: &[String]| label.is_some_and(|label| values.iter().any(|value| value == label));
        match &self.test {
            Test::In(values) => is_one_of(values),
            Test::NotIn(values) => !is_one_of(values),
            Test::Exists => label.is_some(),
            Test::Absent => label.is_none(),
        }
    }
}

impl FieldRequirement {
    fn holds(&self, object: &Value) -> bool {
        let value = match self.field.as_str() {
            "spec.unschedulable" if flag(object, "/spec/unschedulable") => "true",
            "spec.unschedulable" => "false",
            field => text(object, &format!("/{}", field.replace('.', "/"))),
        };
        (value == self.value) == self.equal
    }
}

fn parse_labels(text: &str) -> Result<Vec<Requirement>, Failure> {
    let wrong = || Failure::bad_request(format!("unable to parse requirement: {text:?}"));
    let parts = split(text).into_iter().filter(|part| !part.is_empty());
    parts.map(|part| requirement(part).ok_or_else(wrong)).collect()
}

/// Splits at commas that are not in parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut begin, mut depth) = (0, 0_usize);
    for (index, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text[begin..index].trim());
                begin = index + 1;
            }
            _ => {}
        }
    }
    parts.push(text[begin..].trim());
    parts
}

fn requirement(part: &str) -> Option<Requirement> {
    let new = |key: &str, test| {
        let key = key.trim();
        let sound = !key.is_empty() && !key.contains(|character: char| "=!(), ".contains(character));
        sound.then(|| Requirement {
            key: key.to_owned(),
            test,
        })
    };
    let one = |value: &str| vec![value.trim().to_owned()];
    if let Some((key, values)) = part.split_once('(') {
        let values = values.strip_suffix(')')?.split(',');
        let values = values.map(|value| value.trim().to_owned()).collect();
        let (key, operator) = key.trim().rsplit_once(' ')?;
        return match operator {
            "in" => new(key, Test::In(values)),
            "notin" => new(key, Test::NotIn(values)),
            _ => None,
        };
    }
    if let Some((key, value)) = part.split_once("!=") {
        return new(key, Test::NotIn(one(value)));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return new(key, Test::In(one(value)));
    }
    match part.strip_prefix('!') {
        Some(key) => new(key, Test::Absent),
        None => new(part, Test::Exists),
    }
}

fn parse_fields(kind: Kind, text: &str) -> Result<Vec<FieldRequirement>, Failure> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let fields = parts.map(|part| {
        let (field, value, equal) = if let Some((field, value)) = part.split_once("!=") {
            (field, value, false)
        } else if let Some((field, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            (field, value, true)
        } else {
            return Err(Failure::bad_request(format!(
                "invalid selector: {text:?}; can't understand {part:?}"
            )));
        };
        let known = match (kind, field) {
            (_, "metadata.name" | "metadata.namespace") | (Kind::Node, "spec.unschedulable") => true,
            (Kind::Pod, field) => matches!(
                field,
                "spec.nodeName"
                    | "spec.restartPolicy"
                    | "spec.schedulerName"
                    | "spec.serviceAccountName"
                    | "status.phase"
                    | "status.podIP"
            ),
            _ => false,
        };
        if !known {
            return Err(Failure::bad_request(format!(
                "field label not supported: {field}"
            )));
        }
        Ok(FieldRequirement {
            field: field.to_owned(),
            value: value.to_owned(),
            equal,
        })
    });
    fields.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matches(labels: &str, fields: &str) -> bool {
        let pod = json!({
            "metadata": {"name": "one", "labels": {"app": "web", "tier": "front", "example.org/x": ""}},
            "spec": {"nodeName": "n1"},
        });
        let selection = Selection::parse(Kind::Pod, labels, fields);
        selection.map_err(|failure| failure.body()).unwrap().matches(&pod)
    }

    #[test]
    fn label_selectors() {
        for (selector, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web,tier!=back", true),
            ("app in (db, web), tier", true),
            ("app notin (db,web)", false),
            ("other notin (x)", true),
            ("!app", false),
            ("!other", true),
            ("example.org/x", true),
            ("example.org/x=", true),
            ("app=db", false),
        ] {
            assert_eq!(matches(selector, ""), expected, "{selector}");
        }
    }

    #[test]
    fn field_selectors() {
        assert!(matches("", "spec.nodeName=n1,metadata.name!=two"));
        assert!(!matches("", "spec.nodeName!=n1"));
        let cordoned = Selection::parse(Kind::Node, "", "spec.unschedulable=false").unwrap();
        assert!(cordoned.matches(&json!({"spec": {}})));
    }

    #[test]
    fn nonsense_is_refused() {
        for selector in ["a b", "app in web", "app like (x)", "=x", "a=b=(c"] {
            assert!(Selection::parse(Kind::Pod, selector, "").is_err(), "{selector}");
        }
        for selector in ["spec.color=red", "metadata.name"] {
            assert!(Selection::parse(Kind::Pod, "", selector).is_err(), "{selector}");
        }
        assert!(Selection::parse(Kind::Node, "", "spec.nodeName=x").is_err());
    }

    #[test]
    fn selectors_of_objects() {
        let pod = json!({"metadata": {"labels": {"app": "web"}}});
        assert!(selects(&json!({}), &pod));
        assert!(selects(&json!({"matchLabels": {"app": "web"}}), &pod));
        assert!(!selects(&json!({"matchLabels": {"app": "db"}}), &pod));
        let expression =
            json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]});
        assert!(!selects(&expression, &pod));
    }
}
