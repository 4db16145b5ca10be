//! Every RPC needs a row in `proto/methods.toml`; a refresh names those that lack one.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::schema::{Item, Schema};

/// Name of the table in the folder of the protos.
const FILE: &str = "methods.toml";

/// Fails if an RPC of `schema` has no row in the table in `proto`, or a row no RPC.
pub fn check(proto: &Path, schema: &Schema) -> Result<()> {
    match complaint(&rows(&table(proto)?), &rpcs(schema)) {
        Some(complaint) => bail!("{complaint}"),
        None => Ok(()),
    }
}

/// The release in the table in `proto` if `rev` is a version of another one.
pub fn other_release(proto: &Path, rev: Option<&str>) -> Result<Option<String>> {
    let table = table(proto)?;
    let release = table.get("talos-release").and_then(toml::Value::as_str);
    Ok(release
        .filter(|release| rev.is_some_and(|rev| is_other(rev, release)))
        .map(str::to_owned))
}

fn table(proto: &Path) -> Result<toml::Table> {
    let path = proto.join(FILE);
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    text.parse()
        .with_context(|| format!("reading {}", path.display()))
}

fn is_other(rev: &str, release: &str) -> bool {
    let version = rev
        .strip_prefix('v')
        .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    version && rev != release && !rev.starts_with(&format!("{release}."))
}

/// Service and method of each row.
fn rows(table: &toml::Table) -> BTreeSet<(String, String)> {
    let services = table
        .iter()
        .filter_map(|(service, rows)| Some((service, rows.as_table()?)));
    services
        .flat_map(|(service, rows)| rows.keys().map(|method| (service.clone(), method.clone())))
        .collect()
}

fn rpcs(schema: &Schema) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for (name, item) in &schema.items {
        if let Item::Service(service) = item {
            found.extend(
                service
                    .methods
                    .iter()
                    .map(|method| (name.clone(), method.name.clone())),
            );
        }
    }
    found
}

fn complaint(rows: &BTreeSet<(String, String)>, rpcs: &BTreeSet<(String, String)>) -> Option<String> {
    let mut text = String::new();
    let mut open = "";
    // Writing to a String cannot fail.
    for (service, method) in rpcs.difference(rows) {
        if text.is_empty() {
            let _ = writeln!(text, "RPCs without a row in proto/{FILE}; add one for each:");
        }
        if open != service {
            let _ = writeln!(text, "  [\"{service}\"]");
            open = service;
        }
        let _ = writeln!(
            text,
            "  {method} = {{ safety = .., roles = [..], maintenance = .., aggregatable = .., since = .. }}"
        );
    }
    if !text.is_empty() {
        let _ = writeln!(
            text,
            "The comment at the top of proto/{FILE} says what each key means."
        );
    }
    for (index, (service, method)) in rows.difference(rpcs).enumerate() {
        if index == 0 {
            let _ = writeln!(text, "Rows of proto/{FILE} whose RPC is gone; remove them:");
        }
        let _ = writeln!(text, "  {service}/{method}");
    }
    (!text.is_empty()).then(|| text + "No file was changed; then run the same command again.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(of: &[(&str, &str)]) -> BTreeSet<(String, String)> {
        of.iter()
            .map(|(service, method)| ((*service).to_owned(), (*method).to_owned()))
            .collect()
    }

    #[test]
    fn rows_are_read_by_service() {
        let text =
            "talos-release = \"v1.14\"\n[\"a.B\"]\nGet = { safety = \"read-only\" }\n[\"c.D\"]\nPut = {}\n";
        assert_eq!(
            rows(&text.parse().unwrap()),
            pairs(&[("a.B", "Get"), ("c.D", "Put")])
        );
    }

    #[test]
    fn only_versions_of_another_release_are_told_apart() {
        for same in [
            "v1.14",
            "v1.14.0",
            "v1.14.0-alpha.1",
            "main",
            "vendor-fix",
            "1a2b3c",
        ] {
            assert!(!is_other(same, "v1.14"), "{same}");
        }
        assert!(is_other("v1.15.0", "v1.14"));
        assert!(is_other("v1.1", "v1.14"));
    }

    #[test]
    fn missing_and_stale_rows_are_named() {
        let text = complaint(
            &pairs(&[("a.B", "Get"), ("a.B", "Old")]),
            &pairs(&[("a.B", "Get"), ("a.B", "New")]),
        )
        .unwrap();
        assert!(text.contains("[\"a.B\"]\n  New = {"), "{text}");
        assert!(text.contains("a.B/Old"), "{text}");
        assert!(!text.contains("Get"), "{text}");
        assert_eq!(
            complaint(&pairs(&[("a.B", "Get")]), &pairs(&[("a.B", "Get")])),
            None
        );
    }
}
