//! Values of no fixed form.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value of no fixed form: the spec of a [`DynamicObject`](crate::resource::DynamicObject), or the part of a spec that
/// holds somebody else's configuration.
///
/// `Display` prints it as one line, as the columns of `talosctl get` do.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number that is too large for [`Value::Int`].
    UInt(u64),
    /// Any other number.
    Float(f64),
    /// A text.
    String(String),
    /// Values in a row.
    List(Vec<Self>),
    /// Values by key, in the order of the document.
    Mapping(Vec<(String, Self)>),
}

impl Value {
    /// The value under `key`; `None` where there is none, and for everything that is no mapping.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Mapping(entries) => entries
                .iter()
                .find(|(found, _)| found == key)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// The value below these keys, one inside the other.
    #[must_use]
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |value, key| value.get(key))
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The answer, if it is yes or no.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(answer) => Some(*answer),
            _ => None,
        }
    }

    /// The number, if it is a whole one that fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::UInt(number) => i64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// The number, if it is a whole one that is not negative.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Int(number) => u64::try_from(*number).ok(),
            Self::UInt(number) => Some(*number),
            _ => None,
        }
    }

    /// The items, if it is a list; empty otherwise.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The entries, if it is a mapping; empty otherwise.
    #[must_use]
    pub fn entries(&self) -> &[(String, Self)] {
        match self {
            Self::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// Whether it is nothing.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// Texts bare, the rest as JSON.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::String(text) => f.write_str(text),
            other => other.json(f),
        }
    }
}

impl Value {
    fn json(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(answer) => write!(f, "{answer}"),
            Self::Int(number) => write!(f, "{number}"),
            Self::UInt(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number}"),
            Self::String(text) => quoted(f, text),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { "," })?;
                    item.json(f)?;
                }
                f.write_str("]")
            }
            Self::Mapping(entries) => {
                f.write_str("{")?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { "," })?;
                    quoted(f, key)?;
                    f.write_str(":")?;
                    value.json(f)?;
                }
                f.write_str("}")
            }
        }
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for character in text.chars() {
        match character {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            control if u32::from(control) < 0x20 => write!(f, "\\u{:04x}", u32::from(control))?,
            other => write!(f, "{other}")?,
        }
    }
    f.write_str("\"")
}

impl From<prost_types::Struct> for Value {
    fn from(raw: prost_types::Struct) -> Self {
        let entries = raw.fields.into_iter();
        Self::Mapping(entries.map(|(key, value)| (key, value.into())).collect())
    }
}

impl From<prost_types::Value> for Value {
    fn from(raw: prost_types::Value) -> Self {
        use prost_types::value::Kind;

        match raw.kind {
            None | Some(Kind::NullValue(_)) => Self::Null,
            Some(Kind::BoolValue(answer)) => Self::Bool(answer),
            Some(Kind::NumberValue(number)) => number_of(number),
            Some(Kind::StringValue(text)) => Self::String(text),
            Some(Kind::ListValue(list)) => Self::List(list.values.into_iter().map(Into::into).collect()),
            Some(Kind::StructValue(inner)) => inner.into(),
        }
    }
}

/// Protobuf has floating-point numbers only here; whole ones were whole before.
fn number_of(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        return Value::Int(number as i64);
    }
    Value::Float(number)
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, answer: bool) -> Result<Value, E> {
        Ok(Value::Bool(answer))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::UInt(number), Value::Int))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut mapping: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = mapping.next_entry::<Value, Value>()? {
            entries.push((key.to_string(), value));
        }
        Ok(Value::Mapping(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protobuf_structs_keep_whole_numbers_whole() {
        let number = |number| prost_types::Value {
            kind: Some(prost_types::value::Kind::NumberValue(number)),
        };
        let raw = prost_types::Struct {
            fields: [("a".to_owned(), number(3.0)), ("b".to_owned(), number(0.5))].into(),
        };
        let value = Value::from(raw);
        assert_eq!(value.get("a").and_then(Value::as_u64), Some(3));
        assert_eq!(value.get("b"), Some(&Value::Float(0.5)));
    }

    #[test]
    fn values_print_as_columns_do() {
        let list = Value::List(vec![Value::String("a\"b".to_owned()), Value::Int(1)]);
        let value = Value::Mapping(vec![("k".to_owned(), list), ("n".to_owned(), Value::Null)]);
        assert_eq!(value.to_string(), r#"{"k":["a\"b",1],"n":null}"#);
        assert_eq!(Value::String("a b".to_owned()).to_string(), "a b");
        assert_eq!(Value::Null.to_string(), "");
    }
}
