//! The definitions that talos-testkit serves.

use anyhow::{Result, ensure};

use super::Resources;
use crate::output::Outputs;

const FILE: &str = "crates/talos-testkit/src/node/resources/types.tsv";

/// Adds the table: a line for each type, columns separated by tabs.
pub fn render(resources: &Resources, outputs: &mut Outputs) -> Result<()> {
    let mut table = String::new();
    for (kind, row) in &sorted(resources) {
        let columns: Vec<_> = row
            .columns
            .iter()
            .map(|column| format!("{}={}", column.title, column.path))
            .collect();
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        let cells = [
            (*kind).clone(),
            row.display.clone(),
            row.namespace.clone(),
            if row.sensitive { "sensitive" } else { "public" }.to_owned(),
            or_dash(row.since.map(|since| since.to_string()).unwrap_or_default()),
            if row.automatic_aliases {
                "automatic"
            } else {
                "declared"
            }
            .to_owned(),
            or_dash(row.aliases.join(",")),
            or_dash(columns.join("|")),
        ];
        ensure!(
            cells.iter().all(|cell| !cell.contains(['\t', '\n'])),
            "a cell of {kind} has a tab or a line break"
        );
        table.push_str(&cells.join("\t"));
        table.push('\n');
    }
    outputs.insert(FILE, table);
    Ok(())
}

/// Rows in the order of their ids, which are lower-case.
pub fn sorted(resources: &Resources) -> Vec<(&String, &super::Row)> {
    let mut rows: Vec<_> = resources.rows.iter().collect();
    rows.sort_by_key(|(kind, _)| kind.to_lowercase());
    rows
}
