//! Renders `docs/api-coverage.md`.

use std::fmt::Write as _;

use anyhow::Result;

use crate::coverage::{Coverage, RESOURCE_TYPES};
use crate::methods::{Method, Methods, ServedBy};

/// Path of the page relative to the repository root.
pub const PAGE: &str = "docs/api-coverage.md";

const HEAD: &str = "\
# API coverage

<!-- Rendered by `cargo xtask coverage`. Do not edit. -->

Every RPC of the Talos API, with the `talos-proto` feature that brings in its messages and stubs. RPCs without
a typed method can be called through the raw stubs.

- **Safety**: *read-only* and *idempotent* calls may be repeated when their outcome is unknown, *unsafe* ones
  are never sent twice.
- **Roles**: any one of them is enough; the names lack the prefix `os:`. *CP* marks what only control plane
  nodes serve.
- **Since**: the Talos release that introduced it; empty if every release since v1.7 has it.
";

/// Renders the page.
pub fn render(methods: &Methods, coverage: &Coverage) -> Result<String> {
    let mut page = String::from(HEAD);
    writeln!(
        page,
        "\nTalos {}: {} of {} RPCs have a typed method, {} are tested; {} of {RESOURCE_TYPES} resource types are typed.",
        methods.release,
        coverage.typed.len(),
        methods.all.len(),
        coverage.tested.len(),
        coverage.resources.len()
    )?;
    let mut service = String::new();
    for method in &methods.all {
        if method.service_full_name() != service {
            service = method.service_full_name();
            writeln!(
                page,
                "\n## `{service}`\n\nFeature `{}`.{}\n",
                method.feature,
                served_by(method)
            )?;
            page.push_str(
                "| RPC | typed method | tested | streaming | safety | roles | since | deprecated |\n",
            );
            page.push_str("|---|---|---|---|---|---|---|---|\n");
        }
        row(&mut page, method, coverage)?;
    }
    if !coverage.resources.is_empty() {
        page.push_str("\n## Typed resources\n\n");
        for resource in &coverage.resources {
            writeln!(page, "- `{resource}`")?;
        }
    }
    Ok(page)
}

fn served_by(method: &Method) -> &'static str {
    match method.facts.served_by {
        ServedBy::Apid => "",
        ServedBy::Trustd => " Served by trustd on control plane nodes, port 50001, not by apid.",
        ServedBy::Imager => " Belongs to the image builder; no node serves it.",
    }
}

fn row(page: &mut String, method: &Method, coverage: &Coverage) -> Result<()> {
    let name = method.to_string();
    let typed = coverage.typed.get(&name).map_or_else(
        || "not yet".to_owned(),
        |names| {
            names
                .iter()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        },
    );
    let tested = if coverage.tested.contains(&name) {
        "yes"
    } else {
        "no"
    };
    let mut roles: Vec<_> = method.facts.roles.iter().map(ToString::to_string).collect();
    if method.facts.control_plane {
        roles.push("CP".to_owned());
    }
    let since = method
        .facts
        .since
        .map(|since| since.to_string())
        .unwrap_or_default();
    writeln!(
        page,
        "| {} | {typed} | {tested} | {} | {} | {} | {since} | {} |",
        method.name,
        method.streaming(),
        method.facts.safety,
        roles.join(", "),
        deprecation(method)
    )?;
    Ok(())
}

fn deprecation(method: &Method) -> String {
    if !method.deprecated {
        return String::new();
    }
    let replacement: Vec<_> = method
        .facts
        .replacement
        .iter()
        .map(|name| format!("`{name}`"))
        .collect();
    match method.removed_in {
        Some(release) => format!("removed in {release}, use {}", replacement.join(", ")),
        None => format!("use {}", replacement.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::tests::sample;

    #[test]
    fn every_rpc_has_a_row_that_tells_its_state() {
        let mut coverage = Coverage::default();
        coverage
            .typed
            .entry("time.TimeService/Get".to_owned())
            .or_default()
            .insert("get".to_owned());
        coverage.tested.insert("time.TimeService/Get".to_owned());
        let page = render(&sample(), &coverage).unwrap();
        assert!(
            page.contains("| Get | `get` | yes | server | read-only | admin, reader |  |  |\n"),
            "{page}"
        );
        assert!(
            page.contains("| Old | not yet | no | unary | unsafe | admin, CP | v1.13 | removed in v1.18, use `time.TimeService/Get` |\n"),
            "{page}"
        );
        assert!(
            page.contains("| Put | not yet | no | client | unsafe | admin |  |  |\n"),
            "{page}"
        );
    }
}
