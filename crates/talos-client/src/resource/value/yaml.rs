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

    /// Writes it as one YAML document. Texts that a reader of an older YAML could take for something else, such
    /// as `yes` and `0644`, are quoted.
    ///
    /// # Errors
    ///
    /// Where the YAML writer refuses a value; not known to happen.
    #[cfg(feature = "workflows")]
    pub(crate) fn to_yaml(&self) -> Result<zeroize::Zeroizing<String>, WriteError> {
        // Long texts stay on one line: they are keys and certificates.
        let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
        let written = serde_saphyr::to_string_with_options(self, options);
        written.map(zeroize::Zeroizing::new).map_err(|_| WriteError)
    }
}

/// A value cannot be written as YAML.
#[cfg(feature = "workflows")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value cannot be written as YAML")]
pub(crate) struct WriteError;

impl serde::Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(answer) => serializer.serialize_bool(*answer),
            Self::Int(number) => serializer.serialize_i64(*number),
            Self::UInt(number) => serializer.serialize_u64(*number),
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::String(text) => serializer.serialize_str(text),
            Self::List(items) => serializer.collect_seq(items),
            Self::Mapping(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, value))),
        }
    }
}

/// Reads all documents of a text.
#[cfg(any(test, feature = "def-config", feature = "workflows"))]
pub(crate) fn all(text: &str) -> Result<Vec<Value>, YamlError> {
    documents(text).collect()
}

fn documents(text: &str) -> impl Iterator<Item = Result<Value, YamlError>> {
    let mut bytes = text.as_bytes();
    // Snippets would quote lines of the text. Go's YAML library takes `yes` and `on` for texts.
    // And it takes `0644` for an octal number.
    let options = serde_saphyr::options! {
        with_snippet: false, strict_booleans: true, legacy_octal_numbers: true,
    };
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

    #[cfg(feature = "workflows")]
    mod writing {
        use proptest::prelude::*;

        use super::*;

        fn values() -> impl Strategy<Value = Value> {
            let leaf = prop_oneof![
                Just(Value::Null),
                any::<bool>().prop_map(Value::Bool),
                any::<i64>().prop_map(Value::Int),
                "[ -~\n\t\u{e9}\u{1f980}]{0,30}".prop_map(Value::String),
                prop_oneof![
                    Just("yes"),
                    Just("0644"),
                    Just("0o17"),
                    Just("1_000"),
                    Just("~"),
                    Just("null"),
                    Just("1e3"),
                    Just("2020-01-01"),
                    Just("12:30:00"),
                    Just("- a"),
                    Just("a: b"),
                    Just("a #b"),
                    Just(" a "),
                    Just("|"),
                    Just(">"),
                    Just("%a"),
                    Just("---"),
                    Just("..."),
                    Just("a\n"),
                    Just("\n"),
                    Just("a\n\n"),
                    Just("  a\nb"),
                    Just("\ta\nb"),
                    Just("a\r\nb"),
                ]
                .prop_map(|text| Value::String(text.to_owned())),
            ];
            leaf.prop_recursive(4, 30, 5, |inner| {
                prop_oneof![
                    prop::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
                    prop::collection::btree_map("[ -~]{0,10}", inner, 0..5)
                        .prop_map(|entries| Value::Mapping(entries.into_iter().collect())),
                ]
            })
        }

        proptest! {
            #[test]
            fn what_is_written_is_read_again(value in values()) {
                let text = value.to_yaml().expect("written");
                prop_assert_eq!(Value::from_yaml(&text), Ok(value), "{}", *text);
            }
        }
    }

    #[test]
    fn numbers_with_a_leading_zero_are_octal() {
        let value = Value::from_yaml("a: 0644\nb: 0o644\nc: \"0644\"\n").expect("YAML");
        assert_eq!(value.get("a"), Some(&Value::Int(0o644)));
        assert_eq!(value.get("b"), Some(&Value::Int(0o644)));
        assert_eq!(value.get("c"), Some(&Value::String("0644".to_owned())));
    }

    #[test]
    fn errors_show_a_place_and_nothing_else() {
        let error = Value::from_yaml("token: hunter2\nb: [\n").expect_err("no YAML");
        let text = format!("{error} {error:?}");
        assert!(!text.contains("hunter2") && text.contains("line"), "{text}");
    }
}
