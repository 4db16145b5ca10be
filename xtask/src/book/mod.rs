//! `cargo xtask book`: the guides in `docs/` as a book, and links between pages that lead somewhere.
//!
//! mdBook makes the book; it does not look where links lead, which is done here, for the pages outside the book as well.

mod links;
mod pages;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;

use self::pages::Pages;

/// Arguments of `cargo xtask book`.
#[derive(Debug, Args)]
pub struct Book {
    /// Check the links only, which does not take mdBook
    #[arg(long)]
    links_only: bool,
}

/// Checks the pages and makes the book. False if there are problems, which are reported to `output`.
pub fn run(root: &Path, arguments: &Book, output: &mut dyn Write) -> Result<bool> {
    let pages = Pages::load(root)?;
    let problems = pages.problems();
    for problem in &problems {
        writeln!(output, "{problem}")?;
    }
    writeln!(
        output,
        "{} pages, {} links, {} problems",
        pages.len(),
        pages.links(),
        problems.len()
    )?;
    if arguments.links_only || !problems.is_empty() {
        return Ok(problems.is_empty());
    }
    let warnings = build(root)?;
    for warning in &warnings {
        writeln!(output, "mdbook: {warning}")?;
    }
    if warnings.is_empty() {
        writeln!(output, "the book is in target/book")?;
    }
    Ok(warnings.is_empty())
}

/// Lets mdBook make the book, and returns what it warns of.
fn build(root: &Path) -> Result<Vec<String>> {
    let made = Command::new("mdbook")
        .arg("build")
        .current_dir(root)
        .stdin(Stdio::null())
        .output()
        .context("starting mdbook, which `cargo install --locked mdbook` installs")?;
    let said = String::from_utf8_lossy(&made.stderr);
    ensure!(made.status.success(), "mdbook build: {}\n{said}", made.status);
    Ok(warnings(&said))
}

/// The lines of mdBook's log that are more than information.
fn warnings(log: &str) -> Vec<String> {
    let serious = |line: &&str| {
        ["WARN", "ERROR"].iter().any(|level| {
            line.split_whitespace()
                .take(4)
                .any(|word| word.trim_matches(['[', ']']) == *level)
        })
    };
    log.lines().filter(serious).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_told_from_information() {
        let log = "2026-01-01 12:00:00 [INFO] (mdbook): Book building has started\n \
                   WARN mdbook: unknown field\n[ERROR] no such file\n INFO a word of WARNING is none\n";
        assert_eq!(
            warnings(log),
            [" WARN mdbook: unknown field", "[ERROR] no such file"]
        );
    }

    #[test]
    fn links_of_this_repository_lead_somewhere() {
        let pages = Pages::load(&crate::workspace::root()).unwrap();
        assert!(pages.len() > 20);
        assert!(pages.links() > 100);
        assert_eq!(pages.problems(), Vec::<String>::new());
    }
}
