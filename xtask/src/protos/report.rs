//! Shows differences to people and to programs.

use std::fmt::Write as _;

use clap::ValueEnum;
use serde::Serialize;

/// One difference. The old side is ours, the new side upstream's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What differs.
    pub class: Class,
    /// Whether programs that speak the old form misunderstand the new one or no longer compile.
    pub breaking: bool,
    /// What the item is: `service`, `rpc`, `message`, `field`, `enum`, `value` or `extension`.
    pub kind: &'static str,
    /// Full name of the item.
    pub name: String,
    /// The rest of the sentence; may be empty.
    pub detail: String,
}

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Upstream has it, we do not.
    Added,
    /// We have it, upstream no longer does.
    Removed,
    /// The number of a field or value.
    Number,
    /// A number that had another meaning, or was reserved.
    NumberReused,
    /// The type of a field, or the kind of a definition.
    Type,
    /// `repeated`, `optional` or neither.
    Label,
    /// Membership in a oneof.
    Oneof,
    /// The explicit `packed` option.
    Packed,
    /// Which sides of an RPC stream.
    Streaming,
    /// The request message of an RPC.
    Request,
    /// The response message of an RPC.
    Response,
    /// The `deprecated` mark.
    Deprecated,
    /// The release in which a deprecated item goes away.
    RemovalAnnounced,
    /// Reserved numbers and names.
    Reserved,
    /// Any other option.
    Option,
}

/// How to print differences.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One line each, breaking ones first
    #[default]
    Text,
    /// One JSON document: {"breaking": N, "changes": [..], "notes": [..]}
    Json,
}

/// All differences, and remarks that are not differences on the wire.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Number of breaking changes.
    pub breaking: usize,
    /// The differences, breaking ones first.
    pub changes: Vec<Change>,
    /// Remarks.
    pub notes: Vec<String>,
}

impl Report {
    /// Puts differences and remarks together.
    pub fn new(changes: Vec<Change>, notes: Vec<String>) -> Self {
        let breaking = changes.iter().filter(|change| change.breaking).count();
        Self {
            breaking,
            changes,
            notes,
        }
    }

    /// The report as `format` asks, with a newline at its end.
    pub fn render(&self, format: Format) -> serde_json::Result<String> {
        match format {
            Format::Text => Ok(self.text()),
            Format::Json => Ok(serde_json::to_string_pretty(self)? + "\n"),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for change in &self.changes {
            let Change {
                kind, name, detail, ..
            } = change;
            let separator = if detail.is_empty() { "" } else { ": " };
            let (shout, class) = (if change.breaking { "BREAKING" } else { "" }, change.label());
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{shout:<8} {class:<10} {kind} {name}{separator}{detail}");
        }
        for note in &self.notes {
            let _ = writeln!(text, "{:<8} {:<10} {note}", "", "note");
        }
        let _ = match (self.changes.len(), self.breaking) {
            (0, _) => writeln!(text, "no difference on the wire"),
            (1, 0) => writeln!(text, "1 difference on the wire, not breaking"),
            (1, _) => writeln!(text, "1 difference on the wire, BREAKING"),
            (all, 0) => writeln!(text, "{all} differences on the wire, none breaking"),
            (all, breaking) => writeln!(text, "{all} differences on the wire, {breaking} BREAKING"),
        };
        text
    }
}

impl Change {
    fn label(&self) -> &'static str {
        match self.class {
            Class::Added => "added",
            Class::Removed => "removed",
            Class::Deprecated => "deprecated",
            Class::RemovalAnnounced => "removal",
            _ => "changed",
        }
    }
}
