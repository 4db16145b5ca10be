//! Doc comments: kept by full name, wrapped, and never lost without a word.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use super::schema::{Enum, Item, Message, Schema, join};

/// Starts the comment of an item that nobody has described yet.
pub const UNDOCUMENTED: &str = "UNDOCUMENTED:";

/// Comment lines end before this column.
const WIDTH: usize = 100;

/// Comments by key: the full name of an item (`machine.Reboot.actor_id`, `machine.RebootRequest.Mode.FORCE`),
/// or one of [`syntax_key`] and [`package_key`].
pub type Docs = BTreeMap<String, Comment>;

/// What stands above an item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comment {
    /// Comment blocks with an empty line after them, such as a heading over several items.
    pub detached: Vec<Vec<String>>,
    /// The lines that belong to the item, without `//` and the space after it.
    pub lines: Vec<String>,
}

/// Key of the comment at the top of a file.
pub fn syntax_key(file: &str) -> String {
    format!("{file}#syntax")
}

/// Key of the comment above the package statement of a file.
pub fn package_key(file: &str) -> String {
    format!("{file}#package")
}

impl Comment {
    /// The marker for a new item.
    pub fn undocumented(name: &str) -> Self {
        Self {
            detached: Vec::new(),
            lines: vec![format!("{UNDOCUMENTED} describe `{name}`.")],
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.detached.is_empty() && self.lines.is_empty()
    }

    /// The words of each block, for comparing without regard to where lines break.
    pub fn words(&self) -> Vec<Vec<&str>> {
        let blocks = self.detached.iter().chain([&self.lines]);
        blocks
            .map(|block| block.iter().flat_map(|line| line.split_whitespace()).collect())
            .collect()
    }

    /// All lines, detached ones included.
    pub fn all_lines(&self) -> impl Iterator<Item = &str> {
        self.detached
            .iter()
            .flatten()
            .chain(&self.lines)
            .map(String::as_str)
    }
}

/// Splits the text of a comment as the compiler gives it into lines without the space after `//`, and without
/// empty lines around them.
pub fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<_> = text
        .split('\n')
        .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end())
        .collect();
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines
        .into_iter()
        .skip_while(|line| line.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Breaks lines that are too long when indented by `indent`; all others stay as their author broke them.
pub fn wrap(lines: &[String], indent: usize) -> Vec<String> {
    let room = WIDTH - indent - "// ".len();
    let mut wrapped = Vec::with_capacity(lines.len());
    let mut fenced = false;
    for line in lines {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced || line.starts_with('|') {
            wrapped.push(line.clone());
        } else {
            wrap_line(line, room, &mut wrapped);
        }
    }
    wrapped
}

fn wrap_line(line: &str, room: usize, wrapped: &mut Vec<String>) {
    let text = line.trim_start();
    let mut indent = line.len() - text.len();
    let hanging = if text.starts_with("- ") || text.starts_with("* ") {
        indent + 2
    } else {
        indent
    };
    let mut current = String::new();
    for word in text.split(' ') {
        if !current.is_empty() && indent + current.chars().count() + 1 + word.chars().count() > room {
            wrapped.push(format!("{:indent$}{current}", ""));
            current.clear();
            indent = hanging;
        }
        if !current.is_empty() {
            current.push(' ');
        }
        current.push_str(word);
    }
    wrapped.push(format!("{:indent$}{current}", "").trim_end().to_owned());
}

/// Fails if a comment of `source` is not among the `kept` lines, since rewriting the file would lose it.
///
/// Comments are kept above services, RPCs, messages, fields, oneofs, enums, values, extensions, `syntax` and
/// `package`, and behind them on the same line. Elsewhere (above an import, at the end of a file) they have no
/// item to be kept with.
pub fn ensure_kept<'a>(file: &str, source: &str, kept: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut unmatched = BTreeMap::<&str, usize>::new();
    for line in kept {
        *unmatched.entry(bare(line)).or_default() += 1;
    }
    for (number, line) in comment_lines(source) {
        let line = bare(line);
        if line.is_empty() {
            continue;
        }
        let found = unmatched.get_mut(line).filter(|count| **count > 0);
        ensure!(
            found.is_some(),
            "{file}:{number}: this comment belongs to no item and would be lost: `{line}`; move it above the item it describes"
        );
        found.into_iter().for_each(|count| *count -= 1);
    }
    Ok(())
}

fn bare(line: &str) -> &str {
    line.trim().trim_start_matches('*').trim()
}

/// Every line of every comment in `source`, with its line number.
fn comment_lines(source: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut block = false;
    for (index, mut rest) in source.lines().enumerate() {
        let number = index + 1;
        loop {
            if block {
                let Some((comment, after)) = rest.split_once("*/") else {
                    found.push((number, rest));
                    break;
                };
                found.push((number, comment));
                block = false;
                rest = after;
            }
            let Some(start) = rest.find(['"', '\'', '/']) else {
                break;
            };
            let tail = &rest[start..];
            if let Some(comment) = tail.strip_prefix("//") {
                found.push((number, comment));
                break;
            } else if let Some(comment) = tail.strip_prefix("/*") {
                block = true;
                rest = comment;
            } else {
                rest = tail.strip_prefix('/').unwrap_or_else(|| after_string(tail));
            }
        }
    }
    found
}

/// What follows the string literal at the start of `text`.
fn after_string(text: &str) -> &str {
    let mut characters = text.char_indices();
    let quote = characters.next().map(|(_, quote)| quote);
    while let Some((index, character)) = characters.next() {
        if character == '\\' {
            characters.next();
        } else if Some(character) == quote {
            return &text[index + 1..];
        }
    }
    ""
}

/// Full names of everything in `schema` that can have a doc comment.
pub fn keys(schema: &Schema) -> Vec<String> {
    let mut keys: Vec<String> = schema.extensions.keys().cloned().collect();
    for (name, item) in &schema.items {
        match item {
            Item::Service(service) => {
                keys.push(name.clone());
                keys.extend(service.methods.iter().map(|method| join(name, &method.name)));
            }
            Item::Message(message) => message_keys(name, message, &mut keys),
            Item::Enum(item) => enum_keys(name, item, &mut keys),
        }
    }
    keys
}

fn message_keys(name: &str, message: &Message, keys: &mut Vec<String>) {
    keys.push(name.to_owned());
    keys.extend(message.fields.iter().map(|field| join(name, &field.name)));
    keys.extend(message.oneofs.iter().map(|oneof| join(name, oneof)));
    for nested in &message.enums {
        enum_keys(&join(name, &nested.name), nested, keys);
    }
    for nested in &message.messages {
        message_keys(&join(name, &nested.name), nested, keys);
    }
}

fn enum_keys(name: &str, item: &Enum, keys: &mut Vec<String>) {
    keys.push(name.to_owned());
    keys.extend(item.values.iter().map(|value| join(name, &value.name)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn short_lines_stay_as_they_are() {
        let text = strings(&["One.", "", "- two", "  three", "    code  with   gaps"]);
        assert_eq!(wrap(&text, 2), text);
    }

    #[test]
    fn long_lines_break_at_column_100_and_keep_the_indent_of_a_list() {
        let long = format!("- {}", "word ".repeat(30).trim_end());
        let wrapped = wrap(&[long], 2);
        assert_eq!(wrapped.len(), 2);
        assert!(
            wrapped[0].starts_with("- word") && wrapped[1].starts_with("  word"),
            "{wrapped:?}"
        );
        assert!(wrapped.iter().all(|line| line.len() <= 95), "{wrapped:?}");
        assert_eq!(wrap(&wrapped, 2), wrapped);
    }

    #[test]
    fn tables_code_and_unbreakable_words_are_not_broken() {
        let long = "x".repeat(120);
        let row = format!("| {} |", "cell ".repeat(40));
        let code = "a ".repeat(80).trim_end().to_owned();
        let text = vec![long, row, "```text".to_owned(), code, "```".to_owned()];
        assert_eq!(wrap(&text, 0), text);
    }

    #[test]
    fn comments_are_found_outside_strings() {
        let source =
            "// one\nstring a = 1 [x = \"// no \\\" /* no\"]; // two\n/* three\n * four */ b /* five */ / c";
        let found: Vec<_> = comment_lines(source)
            .into_iter()
            .map(|(number, line)| (number, bare(line)))
            .collect();
        assert_eq!(
            found,
            [(1, "one"), (2, "two"), (3, "three"), (4, "four"), (4, "five")]
        );
    }

    #[test]
    fn a_comment_that_would_be_lost_is_named_with_its_line() {
        let source = "// kept\nmessage A {}\n// lost\n";
        let error = ensure_kept("a.proto", source, ["kept"].into_iter())
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("a.proto:3:") && error.contains("`lost`"),
            "{error}"
        );
        ensure_kept("a.proto", source, ["lost", "kept"].into_iter()).unwrap();
    }
}
