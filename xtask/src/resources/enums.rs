//! Enumerations of resource specs.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::Result;
use heck::ToUpperCamelCase as _;
use prost_reflect::EnumDescriptor;

/// Parts in front of names that only say where upstream declares the enum.
const ORIGINS: [&str; 7] = [
    "Nethelpers",
    "Runtime",
    "Block",
    "Storage",
    "Cri",
    "Kubespan",
    "Network",
];

/// Values whose name would be none in Rust, or would clash with the one for numbers that are not known.
const RENAMED: [(&str, &str); 3] = [
    ("VLAN_PROTOCOL8021_Q", "Ieee8021Q"),
    ("VLAN_PROTOCOL8021_AD", "Ieee8021Ad"),
    ("OTHER", "OtherPort"),
];

/// Texts that do not follow from the name.
const TEXTS: [(&str, &str); 2] = [
    ("MACHINE_STAGE_SHUTTING_DOWN", "shutting down"),
    ("TYPE_CONTROL_PLANE", "controlplane"),
];

/// The name of the Rust type.
pub fn name(kind: &EnumDescriptor) -> String {
    let name = kind.name();
    let short = ORIGINS.iter().find_map(|origin| name.strip_prefix(origin));
    short.unwrap_or(name).to_upper_camel_case()
}

/// Renders the type, which exists with any of `features`.
pub fn render(kind: &EnumDescriptor, features: &BTreeSet<String>, docs: &str) -> Result<String> {
    let name = name(kind);
    let variants = variants(kind);
    let mut code = String::new();
    let any: Vec<_> = features
        .iter()
        .map(|feature| format!("feature = \"{feature}\""))
        .collect();
    let cfg = match any.as_slice() {
        [one] => format!("#[cfg({one})]\n"),
        several => format!("#[cfg(any({}))]\n", several.join(", ")),
    };
    write!(
        code,
        "{docs}{cfg}#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]\n#[non_exhaustive]\npub enum {name} {{"
    )?;
    for (_, variant, text) in &variants {
        writeln!(code, "/// `{text}`.\n{variant},")?;
    }
    writeln!(code, "/// One that this library does not know.\nOther(i32),\n}}")?;
    write!(
        code,
        "{cfg}impl {name} {{/// The number on the wire.\n#[must_use]\npub const fn number(self) -> i32 {{ match self {{"
    )?;
    for (number, variant, _) in &variants {
        write!(code, "Self::{variant} => {number},")?;
    }
    write!(code, "Self::Other(number) => number }} }} }}")?;
    write!(
        code,
        "{cfg}impl From<i32> for {name} {{ fn from(number: i32) -> Self {{ match number {{"
    )?;
    let mut seen = BTreeSet::new();
    for (number, variant, _) in &variants {
        if seen.insert(*number) {
            write!(code, "{number} => Self::{variant},")?;
        }
    }
    write!(code, "_ => Self::Other(number) }} }} }}")?;
    write!(
        code,
        "{cfg}impl Default for {name} {{ fn default() -> Self {{ Self::from(0) }} }}"
    )?;
    write!(
        code,
        "{cfg}impl std::fmt::Display for {name} {{ fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{ f.pad(match self {{"
    )?;
    for (_, variant, text) in &variants {
        write!(code, "Self::{variant} => {text:?},")?;
    }
    write!(
        code,
        "Self::Other(number) => return f.pad(&number.to_string()) }}) }} }}"
    )?;
    Ok(code)
}

/// The text of one value.
pub fn text_of(kind: &EnumDescriptor, number: i32) -> String {
    let found = variants(kind).into_iter().find(|(known, ..)| *known == number);
    found.map_or_else(|| number.to_string(), |(_, _, text)| text)
}

/// Number, Rust name and text of each value, without aliases.
fn variants(kind: &EnumDescriptor) -> Vec<(i32, String, String)> {
    let values: Vec<_> = kind.values().collect();
    let unspecified = |name: &str| name.ends_with("_UNSPECIFIED");
    let words: Vec<Vec<&str>> = values
        .iter()
        .filter(|value| !unspecified(value.name()))
        .map(|value| value.name().split('_').collect())
        .collect();
    let shortest = words
        .iter()
        .map(|words| words.len() - 1)
        .min()
        .unwrap_or_default();
    let common = (0..shortest)
        .take_while(|&index| words.iter().all(|other| other[index] == words[0][index]))
        .count();
    let mut numbers = BTreeSet::new();
    let mut found = Vec::new();
    for value in &values {
        if !numbers.insert(value.number()) {
            continue;
        }
        let full = value.name();
        let rest: Vec<_> = if unspecified(full) {
            vec!["UNSPECIFIED"]
        } else {
            full.split('_').skip(common).collect()
        };
        let renamed = RENAMED.iter().find(|(name, _)| *name == full);
        let name = match renamed {
            Some((_, name)) => (*name).to_owned(),
            None => {
                let name = rest.join("_").to_upper_camel_case();
                if name.starts_with(|first: char| first.is_ascii_digit()) {
                    full.to_upper_camel_case()
                } else {
                    name
                }
            }
        };
        let text = TEXTS.iter().find(|(name, _)| *name == full);
        let text = text.map_or_else(|| rest.join("-").to_lowercase(), |(_, text)| (*text).to_owned());
        found.push((value.number(), name, text));
    }
    found
}
