//! YAML documents as values.

use super::Value;

/// Why a text is no YAML. Shows a place, and nothing of the text, which may be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not YAML: line {line}, column {column}")]
pub struct YamlError {
    line: u64,
    column: u64,
}

impl YamlError {
    /// Counted from 1; 0 where it is not known.
    #[must_use]
    pub const fn line(&self) -> u64 {
        self.line
    }

    /// Counted from 1; 0 where it is not known.
    #[must_use]
    pub const fn column(&self) -> u64 {
        self.column
    }
}

impl Value {
    /// Reads the first document of a text; an empty text is [`Value::Null`].
    ///
    /// # Errors
    ///
    /// Says where the text stops being YAML.
    pub fn from_yaml(text: &str) -> Result<Self, YamlError> {
        documents(text).next().unwrap_or(Ok(Self::Null))
    }
}

/// Reads all documents of a text.
#[cfg(any(test, feature = "def-config"))]
pub(crate) fn all(text: &str) -> Result<Vec<Value>, YamlError> {
    documents(text).collect()
}

fn documents(text: &str) -> impl Iterator<Item = Result<Value, YamlError>> {
    let mut bytes = text.as_bytes();
    // Snippets would quote lines of the text. Go's YAML library takes `yes` and `on` for texts.
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let read: Vec<_> = serde_saphyr::read_with_options::<_, Value>(&mut bytes, options)
        .map(|document| {
            document.map_err(|error| {
                let at = error.location();
                let (line, column) = at.map_or((0, 0), |at| (at.line(), at.column()));
                YamlError { line, column }
            })
        })
        .collect();
    read.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_have_the_types_that_go_gives_them() {
        let text =
            "a: 1\nb: \"1\"\nc: yes\nd: true\ne: 1.5\nf:\ng: 1m30s\nh: 18446744073709551615\ni: [x, y]\n";
        let value = Value::from_yaml(text).expect("YAML");
        let expected = [
            ("a", Value::Int(1)),
            ("b", Value::String("1".to_owned())),
            ("c", Value::String("yes".to_owned())),
            ("d", Value::Bool(true)),
            ("e", Value::Float(1.5)),
            ("f", Value::Null),
            ("g", Value::String("1m30s".to_owned())),
            ("h", Value::UInt(u64::MAX)),
        ];
        for (key, expected) in expected {
            assert_eq!(value.get(key), Some(&expected), "{key}");
        }
        assert_eq!(value.get("i").map_or(0, |list| list.items().len()), 2);
        let keys: Vec<_> = value.entries().iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["a", "b", "c", "d", "e", "f", "g", "h", "i"]);
    }

    #[test]
    fn bare_scalars_and_several_documents_are_read() {
        assert_eq!(
            Value::from_yaml("controlplane\n"),
            Ok(Value::String("controlplane".to_owned()))
        );
        assert_eq!(Value::from_yaml(""), Ok(Value::Null));
        assert_eq!(all("a: 1\n---\nb: 2\n").expect("YAML").len(), 2);
    }

    #[test]
    fn errors_show_a_place_and_nothing_else() {
        let error = Value::from_yaml("token: hunter2\nb: [\n").expect_err("no YAML");
        let text = format!("{error} {error:?}");
        assert!(!text.contains("hunter2") && text.contains("line"), "{text}");
    }
}
