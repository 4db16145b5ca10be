//! Recordings of what programs print, kept true by their tests.

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use crate::mask::masked;

/// Writes what is new instead of comparing, if it is set.
const RECORD: &str = "RECORD";

/// What of a recording has to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// All lines, in their order.
    InOrder,
    /// All lines, in any order: several nodes report side by side.
    InAnyOrder,
    /// All lines, in any order, however often each is there: something is shown anew with each change, and several changes
    /// may come at once.
    Distinct,
}

/// Compares what `program` printed with the first block of code under its heading in `examples/README.md`, without what
/// differs each time: ports, times and the like. Lines with one of the texts in `incidental` may be there or not. With
/// the variable `RECORD` set, it writes the block instead.
///
/// # Panics
///
/// If they differ, or there is no such block.
#[track_caller]
pub fn assert_recorded(program: &str, printed: &str, order: Lines, incidental: &[&str]) {
    let path = page();
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (begin, end) = block(&text, program).unwrap_or_else(|| {
        panic!(
            "{} has no block of code under a heading {program}",
            path.display()
        )
    });
    if env::var_os(RECORD).is_some() {
        let text = format!("{}{}\n{}", &text[..begin], printed.trim_end(), &text[end..]);
        replace(&path, &text);
        return;
    }
    let (now, then) = (
        comparable(printed, order, incidental),
        comparable(&text[begin..end], order, incidental),
    );
    if let Some((now, then)) = difference(&now, &then) {
        panic!(
            "{program} prints something else than examples/README.md says:\n  now:  {now}\n  then: {then}\n\
             what it printed:\n{printed}"
        );
    }
}

/// Compares a file that a program made with the recorded one at `recorded`, or replaces that if `RECORD` is set.
///
/// # Panics
///
/// If they differ, or one of them cannot be read.
#[track_caller]
pub fn assert_recorded_file(made: &Path, recorded: &Path) {
    let read =
        |path: &Path| fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let made = read(made);
    if env::var_os(RECORD).is_some() {
        return replace(recorded, &made);
    }
    let lines = |text: &str| comparable(text, Lines::InOrder, &[]);
    if let Some((now, then)) = difference(&lines(&made), &lines(&read(recorded))) {
        panic!(
            "{} is not what the program makes now:\n  now:  {now}\n  then: {then}",
            recorded.display()
        );
    }
}

fn comparable(text: &str, order: Lines, incidental: &[&str]) -> Vec<String> {
    let certain = |line: &&str| !incidental.iter().any(|text| line.contains(text));
    let lines = text.lines().filter(certain).map(masked);
    let mut lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    if order != Lines::InOrder {
        lines.sort();
    }
    if order == Lines::Distinct {
        lines.dedup();
    }
    lines
}

/// The first lines that differ.
fn difference<'a>(now: &'a [String], then: &'a [String]) -> Option<(&'a str, &'a str)> {
    let line = |lines: &'a [String], index: usize| lines.get(index).map_or("(nothing)", String::as_str);
    let index = (0..now.len().max(then.len())).find(|index| now.get(*index) != then.get(*index))?;
    Some((line(now, index), line(then, index)))
}

/// The page with all recordings.
fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")
}

/// Where the inside of the first block of code under a heading begins and ends, without lines that show commands.
fn block(text: &str, heading: &str) -> Option<(usize, usize)> {
    let section = text.find(&format!("\n## {heading}\n"))? + 1;
    let rest = &text[section..];
    let length = rest[1..].find("\n## ").map_or(rest.len(), |at| at + 1);
    let section_end = section + length;
    let fence = section + text[section..section_end].find("\n```console\n")? + "\n```console\n".len();
    let end = fence + text[fence..section_end].find("\n```")? + 1;
    let mut begin = fence;
    while text[begin..end].starts_with("$ ") {
        begin += text[begin..end].find('\n')? + 1;
    }
    Some((begin, end))
}

/// Writes the file whole or not at all.
fn replace(path: &Path, text: &str) {
    let folder = path.parent().expect("a file is in a folder");
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        #[cfg(unix)]
        file.as_file()
            .set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        file.persist(path)?;
        Ok(())
    };
    write().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str =
        "# A\n\n## one\n\ntext\n\n```console\n$ cargo run\na\nb\n```\n\n## two\n\n```console\nc\n```\n";

    #[test]
    fn a_block_is_found_under_its_heading() {
        let inside = |heading| block(PAGE, heading).map(|(begin, end)| &PAGE[begin..end]);
        assert_eq!(inside("one"), Some("a\nb\n"));
        assert_eq!(inside("two"), Some("c\n"));
        assert_eq!(inside("three"), None);
        assert_eq!(
            block("## x\n\n\n## one\n\n## two\n\n```console\nc\n```\n", "one"),
            None
        );
    }

    #[test]
    fn the_first_difference_is_told() {
        let lines = |text: &str| comparable(text, Lines::InOrder, &[]);
        assert_eq!(difference(&lines("a\nb"), &lines("a\nb")), None);
        assert_eq!(difference(&lines("a\nb"), &lines("a\nc")), Some(("b", "c")));
        assert_eq!(difference(&lines("a"), &lines("a\nc")), Some(("(nothing)", "c")));
    }

    #[test]
    fn order_counts_unless_nodes_report_side_by_side() {
        let (one, other) = ("a 1.5 s\n\nb\n", "b\na 2.5 s\n");
        let compare = |order| comparable(one, order, &[]) == comparable(other, order, &[]);
        assert!(compare(Lines::InAnyOrder));
        assert!(!compare(Lines::InOrder));
    }

    #[test]
    fn how_often_something_is_shown_counts_unless_it_is_shown_anew() {
        let compare = |order| comparable("a\nb\na", order, &[]) == comparable("a\nb", order, &[]);
        assert!(compare(Lines::Distinct));
        assert!(!compare(Lines::InAnyOrder));
    }

    #[test]
    fn incidental_lines_do_not_count() {
        let text = "a\nwaiting for b\nc\n";
        assert_eq!(comparable(text, Lines::InOrder, &["waiting"]), ["a", "c"]);
    }
}
