//! The text that is signed.

use http::HeaderMap;

use super::error::SideroV1Error;

/// The payload for a call of `method` with this metadata: what the server compares with what it received.
///
/// It travels as a header, so everything that is not ASCII is escaped. `timestamp` takes the place of the one in the
/// metadata, if there is any.
pub(super) fn payload(method: &str, metadata: &HeaderMap, timestamp: &str) -> Result<String, SideroV1Error> {
    let mut json = String::with_capacity(512);
    json.push_str(r#"{"headers":{"#);
    for (index, name) in SIGNED_HEADERS.into_iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        push_text(&mut json, name);
        json.push(':');
        if name == TIMESTAMP {
            push_list(&mut json, [timestamp]);
            continue;
        }
        let mut values = Vec::new();
        for value in metadata.get_all(name) {
            let text = std::str::from_utf8(value.as_bytes());
            values.push(text.map_err(|_| SideroV1Error::Metadata { name })?);
        }
        // An empty list is not the same to servers.
        if values.is_empty() {
            json.push_str("null");
        } else {
            push_list(&mut json, values);
        }
    }
    json.push_str(r#"},"method":"#);
    push_text(&mut json, method);
    json.push('}');
    Ok(json)
}

fn push_list<'a>(json: &mut String, values: impl IntoIterator<Item = &'a str>) {
    json.push('[');
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        push_text(json, value);
    }
    json.push(']');
}

fn push_text(json: &mut String, text: &str) {
    use std::fmt::Write as _;

    json.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => json.extend(['\\', char]),
            ' '..='~' => json.push(char),
            _ => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    write!(json, "\\u{unit:04x}").expect("a string takes any text");
                }
            }
        }
    }
    json.push('"');
}

/// Seconds since 1970.
pub(super) const TIMESTAMP: &str = "x-sidero-timestamp";

/// What a signature covers, in alphabetical order. `node` is not among it.
const SIGNED_HEADERS: [&str; 10] = [
    "authorization",
    "cluster",
    "context",
    "fieldSelectors",
    "namespace",
    "nodes",
    "runtime",
    "selectors",
    "uid",
    TIMESTAMP,
];

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn metadata(entries: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut metadata = HeaderMap::new();
        for (name, value) in entries {
            metadata.append(*name, HeaderValue::from_bytes(value).expect("a header value"));
        }
        metadata
    }

    fn headers(entries: &[(&'static str, &[u8])]) -> serde_json::Value {
        let text = payload("/s/M", &metadata(entries), "1").expect("signable");
        let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        json["headers"].take()
    }

    #[test]
    fn the_payload_of_a_usual_call_is_the_documented_one() {
        let metadata = metadata(&[("runtime", b"Talos"), ("context", b"prod"), ("node", b"10.5.0.3")]);
        let text = payload("/machine.MachineService/Version", &metadata, "1723650000").expect("signable");
        assert_eq!(
            text,
            concat!(
                r#"{"headers":{"authorization":null,"cluster":null,"context":["prod"],"fieldSelectors":null,"#,
                r#""namespace":null,"nodes":null,"runtime":["Talos"],"selectors":null,"uid":null,"#,
                r#""x-sidero-timestamp":["1723650000"]},"method":"/machine.MachineService/Version"}"#,
            )
        );
    }

    #[test]
    fn all_values_of_a_header_count_in_their_order() {
        let headers = headers(&[
            ("nodes", b"10.5.0.3"),
            ("nodes", b"10.5.0.2"),
            ("fieldselectors", b"a"),
        ]);
        assert_eq!(headers["nodes"], serde_json::json!(["10.5.0.3", "10.5.0.2"]));
        assert_eq!(headers["fieldSelectors"], serde_json::json!(["a"]));
        assert_eq!(headers["uid"], serde_json::Value::Null);
    }

    #[test]
    fn a_timestamp_in_the_metadata_is_not_the_one_signed() {
        let headers = headers(&[("x-sidero-timestamp", b"77")]);
        assert_eq!(headers["x-sidero-timestamp"], serde_json::json!(["1"]));
    }

    #[test]
    fn any_text_survives_and_the_payload_is_a_header_value() {
        for text in ["plain", "Prüfstand", "実験", "🦀 \"quoted\\ ", "tab\there", ""] {
            let metadata = metadata(&[("context", text.as_bytes())]);
            let payload = payload("/s/M", &metadata, "1").expect("signable");
            assert!(
                payload.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                "{payload}"
            );
            let json: serde_json::Value = serde_json::from_str(&payload).expect("JSON");
            assert_eq!(json["headers"]["context"], serde_json::json!([text]));
        }
    }

    #[test]
    fn what_is_not_text_cannot_be_signed() {
        let error = payload("/s/M", &metadata(&[("uid", b"\xff\xfe")]), "1").expect_err("not UTF-8");
        assert!(
            matches!(error, SideroV1Error::Metadata { name: "uid" }),
            "{error:?}"
        );
        // Metadata that is not covered does not matter.
        payload("/s/M", &metadata(&[("other", b"\xff\xfe")]), "1").expect("signable");
    }
}
