//! Renders a talosconfig as `talosctl` writes it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::pki::ClientCert;

/// The contents of a talosconfig with one context.
#[derive(Debug)]
pub(crate) struct Talosconfig<'a> {
    pub(crate) context: &'a str,
    pub(crate) endpoints: &'a [String],
    pub(crate) nodes: &'a [String],
    pub(crate) ca_pem: &'a str,
    pub(crate) client: &'a ClientCert,
}

impl Talosconfig<'_> {
    /// YAML with four spaces of indentation and `nodes` only when there are some.
    pub(crate) fn render(&self) -> String {
        let name = scalar(self.context);
        let mut text = format!("context: {name}\ncontexts:\n    {name}:\n");
        list(&mut text, "endpoints", self.endpoints);
        if !self.nodes.is_empty() {
            list(&mut text, "nodes", self.nodes);
        }
        let secrets = [
            ("ca", self.ca_pem),
            ("crt", &self.client.certificate_pem),
            ("key", &self.client.key_pem),
        ];
        for (key, pem) in secrets {
            text.push_str(&format!("        {key}: {}\n", STANDARD.encode(pem)));
        }
        text
    }
}

fn list(text: &mut String, key: &str, items: &[String]) {
    if items.is_empty() {
        text.push_str(&format!("        {key}: []\n"));
        return;
    }
    text.push_str(&format!("        {key}:\n"));
    for item in items {
        text.push_str(&format!("            - {}\n", scalar(item)));
    }
}

/// A plain YAML scalar where that is safe, else a double-quoted one.
pub(crate) fn scalar(text: &str) -> String {
    let plain_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:/@".contains(&byte);
    let looks_like_a_string = text
        .bytes()
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        || text.bytes().filter(|byte| *byte == b'.').count() > 1;
    let keyword = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        .contains(&text.to_ascii_lowercase().as_str());
    if looks_like_a_string && !keyword && !text.ends_with(':') && text.bytes().all(plain_byte) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            other if other.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(other))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{CertificateAuthority, ClientCertSpec};

    #[test]
    fn scalars_are_quoted_only_where_yaml_needs_it() {
        let cases = [
            ("sim", "sim"),
            ("10.5.0.2", "10.5.0.2"),
            ("127.0.0.2:50000", "127.0.0.2:50000"),
            ("1.5", "\"1.5\""),
            ("true", "\"true\""),
            ("a b", "\"a b\""),
            ("", "\"\""),
            ("q\"\\\n", "\"q\\\"\\\\\\n\""),
            ("fd00::2", "fd00::2"),
            ("*all", "\"*all\""),
        ];
        for (text, expected) in cases {
            assert_eq!(scalar(text), expected, "{text}");
        }
    }

    #[test]
    fn the_layout_is_talosctls() {
        let authority = CertificateAuthority::new_talos().unwrap();
        let client = authority
            .issue_client(&ClientCertSpec::new(["os:admin"]))
            .unwrap();
        let ca_pem = authority.certificate_pem();
        let endpoints = ["127.0.0.2:1".to_owned(), "127.0.0.3:2".to_owned()];
        let mut config = Talosconfig {
            context: "sim",
            endpoints: &endpoints,
            nodes: &[],
            ca_pem: &ca_pem,
            client: &client,
        };
        let text = config.render();
        let head = "context: sim\ncontexts:\n    sim:\n        endpoints:\n            - 127.0.0.2:1\n            \
                    - 127.0.0.3:2\n        ca: LS0t";
        assert!(text.starts_with(head), "{text}");
        assert!(!text.contains("nodes:"), "{text}");
        let nodes = ["10.5.0.2".to_owned()];
        config.nodes = &nodes;
        assert!(
            config
                .render()
                .contains("        nodes:\n            - 10.5.0.2\n        ca: ")
        );
    }
}
