//! Facts as they appear in reports.

use super::schema::{Field, Label, Method, Reserved};

/// A change of `what`.
pub fn from_to(what: &str, was: impl std::fmt::Display, is: impl std::fmt::Display) -> String {
    format!("{what} {was} -> {is}")
}

/// Name of a label.
pub fn label(label: Label) -> &'static str {
    match label {
        Label::Singular => "singular",
        Label::Optional => "optional",
        Label::Repeated => "repeated",
    }
}

/// Which sides of an RPC stream.
pub fn streaming(method: &Method) -> &'static str {
    match (method.client_streaming, method.server_streaming) {
        (false, false) => "unary",
        (true, false) => "client stream",
        (false, true) => "server stream",
        (true, true) => "both ways",
    }
}

/// An RPC as it is declared, without its name.
pub fn signature(method: &Method) -> String {
    let stream = |on: bool| if on { "stream " } else { "" };
    format!(
        "({}{}) returns ({}{})",
        stream(method.client_streaming),
        method.request,
        stream(method.server_streaming),
        method.response
    )
}

/// A field as it is declared, without its options.
pub fn declaration(field: &Field) -> String {
    let label = match field.label {
        Label::Singular => "",
        Label::Optional => "optional ",
        Label::Repeated => "repeated ",
    };
    format!("{label}{} {} = {}", field.ty, field.name, field.number)
}

/// Reserved numbers and names as they are declared.
pub fn reservation(reserved: &Reserved) -> String {
    let ranges = reserved.ranges.iter().map(|(first, last)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first} to {last}")
        }
    });
    let shown: Vec<_> = ranges
        .chain(reserved.names.iter().map(|name| format!("\"{name}\"")))
        .collect();
    if shown.is_empty() {
        "nothing".to_owned()
    } else {
        shown.join(", ")
    }
}
