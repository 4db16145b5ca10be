//! All Markdown pages of the repository, and what is wrong with their links.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use super::links::Page;
use crate::workspace::files_below;

/// Where the book's pages are.
const BOOK: &str = "docs";
/// The book's table of contents.
const SUMMARY: &str = "docs/SUMMARY.md";
/// Folders with other pages.
const FOLDERS: [&str; 6] = [".github", "crates", "examples", "interop", "proto", "scripts"];

/// Pages by path relative to the root.
#[derive(Debug)]
pub(super) struct Pages {
    root: PathBuf,
    pages: BTreeMap<PathBuf, Page>,
}

impl Pages {
    pub(super) fn load(root: &Path) -> Result<Self> {
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(root).context("reading the root folder")? {
            paths.push(PathBuf::from(
                entry.context("reading the root folder")?.file_name(),
            ));
        }
        for folder in FOLDERS.into_iter().chain([BOOK]) {
            paths.extend(files_below(root, Path::new(folder))?);
        }
        let is_page = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
        // A project inside may have a target folder of its own.
        let is_ours = |path: &PathBuf| !path.components().any(|part| part.as_os_str() == "target");
        let mut pages = BTreeMap::new();
        for path in paths.into_iter().filter(is_page).filter(is_ours) {
            let text = std::fs::read_to_string(root.join(&path))
                .with_context(|| format!("reading {}", path.display()))?;
            pages.insert(path, Page::read(&text));
        }
        Ok(Self {
            root: root.to_path_buf(),
            pages,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.pages.len()
    }

    pub(super) fn links(&self) -> usize {
        self.pages.values().map(|page| page.links.len()).sum()
    }

    /// What is wrong, a line each.
    pub(super) fn problems(&self) -> Vec<String> {
        let contents = self.contents();
        let mut problems = Vec::new();
        for (path, page) in &self.pages {
            for (line, link) in &page.links {
                if let Some(problem) = self.problem(path, link, &contents) {
                    problems.push(format!("{}:{line}: {link}: {problem}", path.display()));
                }
            }
        }
        let in_book = |path: &&PathBuf| path.starts_with(BOOK) && *path != Path::new(SUMMARY);
        for path in self.pages.keys().filter(in_book) {
            if !contents.contains(path) {
                problems.push(format!("{}: not in {SUMMARY}", path.display()));
            }
        }
        problems
    }

    /// The pages that the book has.
    fn contents(&self) -> BTreeSet<PathBuf> {
        let summary = self.pages.get(Path::new(SUMMARY));
        let links = summary.iter().flat_map(|page| &page.links);
        links
            .filter_map(|(_, link)| resolve(Path::new(SUMMARY), link))
            .collect()
    }

    fn problem(&self, page: &Path, link: &str, contents: &BTreeSet<PathBuf>) -> Option<String> {
        // Elsewhere, or an item of rustdoc.
        if link.contains("://") || link.starts_with("mailto:") || link.contains("::") {
            return None;
        }
        let (file, anchor) = link
            .split_once('#')
            .map_or((link, None), |(file, anchor)| (file, Some(anchor)));
        let Some(target) = (if file.is_empty() {
            Some(page.to_path_buf())
        } else {
            resolve(page, file)
        }) else {
            return Some("leads out of the repository".to_owned());
        };
        let Some(found) = self.pages.get(&target) else {
            if !self.root.join(&target).exists() {
                return Some("there is no such file".to_owned());
            }
            return page
                .starts_with(BOOK)
                .then(|| "the book does not have this file".to_owned());
        };
        if contents.contains(page) && !contents.contains(&target) {
            return Some("the book does not have this page".to_owned());
        }
        match anchor {
            Some(anchor) if !found.anchors.contains(anchor) => Some("there is no such heading".to_owned()),
            _ => None,
        }
    }
}

/// The path relative to the root that a link of `page` means; `None` if it leads out.
fn resolve(page: &Path, link: &str) -> Option<PathBuf> {
    let link = link.split('#').next().unwrap_or_default();
    let mut path = page.parent().unwrap_or_else(|| Path::new("")).to_path_buf();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The problems of a repository with these files.
    fn problems(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Pages::load(folder.path()).unwrap().problems()
    }

    #[test]
    fn links_to_pages_headings_files_and_elsewhere_are_fine() {
        let found = problems(&[
            (
                "README.md",
                "[a](docs/a.md#a-heading) [b](LICENSE) [c](https://example.org) [d](#here)\n# Here\n",
            ),
            ("LICENSE", ""),
            ("docs/SUMMARY.md", "- [A](a.md)\n- [B](sub/b.md)\n"),
            (
                "docs/a.md",
                "# A heading\n[b](sub/b.md) [item](talos_client::Client)",
            ),
            ("docs/sub/b.md", "[a](../a.md)"),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn every_way_to_be_wrong_is_named_with_its_place() {
        let found = problems(&[
            (
                "README.md",
                "\n[a](docs/none.md) [b](docs/a.md#none) [c](../out.md)",
            ),
            ("LICENSE", ""),
            ("docs/SUMMARY.md", "- [A](a.md)\n"),
            ("docs/a.md", "[l](../LICENSE) [r](../README.md)"),
            ("docs/forgotten.md", ""),
        ]);
        assert_eq!(
            found,
            [
                "README.md:2: docs/none.md: there is no such file",
                "README.md:2: docs/a.md#none: there is no such heading",
                "README.md:2: ../out.md: leads out of the repository",
                "docs/a.md:1: ../LICENSE: the book does not have this file",
                "docs/a.md:1: ../README.md: the book does not have this page",
                "docs/forgotten.md: not in docs/SUMMARY.md",
            ]
        );
    }
}
