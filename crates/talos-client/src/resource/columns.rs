//! Print columns: the part of JSONPath that resource definitions use.

use super::value::Value;

/// A step from a value to values inside it.
#[derive(Debug, PartialEq)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
    /// All items of a list, or all values of a mapping.
    All,
    /// Items that have this text below this key.
    Where(Vec<&'a str>, &'a str),
}

/// What the path finds, as text: nothing if there is no such thing, several things with spaces in between.
///
/// A path that this does not understand finds nothing.
pub(crate) fn evaluate(path: &str, value: &Value) -> String {
    let inner = path
        .trim()
        .strip_prefix('{')
        .and_then(|path| path.strip_suffix('}'));
    let Some(steps) = parse(inner.unwrap_or(path)) else {
        return String::new();
    };
    let mut found = vec![value];
    for step in &steps {
        found = found.into_iter().flat_map(|value| follow(step, value)).collect();
    }
    let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
    texts.join(" ")
}

fn follow<'v>(step: &Step<'_>, value: &'v Value) -> Vec<&'v Value> {
    match step {
        Step::Key(key) => value.get(key).into_iter().collect(),
        Step::Index(index) => value.items().get(*index).into_iter().collect(),
        Step::All => match value {
            Value::Mapping(entries) => entries.iter().map(|(_, value)| value).collect(),
            other => other.items().iter().collect(),
        },
        Step::Where(path, text) => {
            let matches = |item: &&Value| item.at(path).is_some_and(|found| found.to_string() == **text);
            value.items().iter().filter(matches).collect()
        }
    }
}

/// `.a.b[*].c`, `@`, `.list[?(@.type=="Ready")].status`.
fn parse(path: &str) -> Option<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    let mut rest = path.strip_prefix(['$', '@']).unwrap_or(path);
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix("[?(") {
            let (condition, after) = inside.split_once(")]")?;
            let (left, right) = condition.split_once("==")?;
            let keys = left.trim().strip_prefix("@.")?.split('.').collect();
            let text = right.trim().trim_matches(['"', '\'']);
            steps.push(Step::Where(keys, text));
            rest = after;
        } else if let Some(inside) = rest.strip_prefix('[') {
            let (index, after) = inside.split_once(']')?;
            let quoted = index
                .strip_prefix(['"', '\''])
                .and_then(|index| index.strip_suffix(['"', '\'']));
            steps.push(match (index, quoted) {
                ("*" | ":", _) => Step::All,
                (_, Some(key)) => Step::Key(key),
                (index, None) => Step::Index(index.parse().ok()?),
            });
            rest = after;
        } else {
            let key = rest.strip_prefix('.').unwrap_or(rest);
            let end = key.find(['.', '[']).unwrap_or(key.len());
            let (name, after) = key.split_at(end);
            match name {
                // A dot in front of a bracket.
                "" if after.starts_with('[') => {}
                "" => return None,
                "*" => steps.push(Step::All),
                name => steps.push(Step::Key(name)),
            }
            rest = after;
        }
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "stage: running\nstatus:\n    ready: true\naddresses: [a, b]\nendpoints:\n    - host: x\n      port: 1\n    - host: y\n      port: 2\nconditions:\n    - type: Ready\n      status: \"True\"\n    - type: Other\n      status: \"False\"\n";

    #[test]
    fn the_paths_of_all_definitions_are_understood() {
        let value = Value::from_yaml(YAML).expect("YAML");
        let cases = [
            ("{.stage}", "running"),
            ("{.status.ready}", "true"),
            ("{.addresses}", r#"["a","b"]"#),
            ("{.addresses[:]}", "a b"),
            ("{.addresses[1]}", "b"),
            ("{.endpoints[*].host}", "x y"),
            (r#"{.conditions[?(@.type=="Ready")].status}"#, "True"),
            ("{.nothing.here}", ""),
            ("{.stage.deeper}", ""),
            ("{.a[}", ""),
            ("{..a}", ""),
        ];
        for (path, expected) in cases {
            assert_eq!(evaluate(path, &value), expected, "{path}");
        }
        let scalar = Value::String("worker".to_owned());
        assert_eq!(evaluate("{@}", &scalar), "worker");
    }
}
