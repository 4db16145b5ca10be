//! What a Markdown page links to, and what can be linked to on it.

use std::collections::{BTreeMap, BTreeSet};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Links and headings of a page.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// The number of the line, and the destination as written.
    pub(super) links: Vec<(usize, String)>,
    /// The fragments that its headings have.
    pub(super) anchors: BTreeSet<String>,
}

impl Page {
    pub(super) fn read(text: &str) -> Self {
        let mut page = Self::default();
        let mut heading: Option<String> = None;
        let mut seen = BTreeMap::new();
        for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    let line = text[..range.start].matches('\n').count() + 1;
                    page.links.push((line, dest_url.into_string()));
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(words) | Event::Code(words) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&words);
                    }
                }
                Event::End(TagEnd::Heading(_)) => {
                    let slug = slug(&heading.take().unwrap_or_default());
                    let times = seen
                        .entry(slug.clone())
                        .and_modify(|times| *times += 1)
                        .or_insert(0);
                    page.anchors.insert(match times {
                        0 => slug,
                        times => format!("{slug}-{times}"),
                    });
                }
                _ => {}
            }
        }
        page
    }
}

/// The fragment of a heading, as GitHub and mdBook make it.
fn slug(heading: &str) -> String {
    let letters = heading.trim().chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        letter if letter.is_alphanumeric() => Some(letter),
        _ => None,
    });
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_with_their_line_and_not_in_code() {
        let page = Page::read(
            "one [a](a.md)\n\n```\n[b](b.md)\n```\n\n| x |\n|---|\n| [c] |\n\n`[d](d.md)`\n\n[c]: c.md#e\n",
        );
        assert_eq!(page.links, [(1, "a.md".to_owned()), (9, "c.md#e".to_owned())]);
    }

    #[test]
    fn headings_have_the_fragments_that_readers_see() {
        let page = Page::read("# What `apid` does, and *why*\n## Again\n## Again\n");
        let anchors: Vec<_> = page.anchors.iter().map(String::as_str).collect();
        assert_eq!(anchors, ["again", "again-1", "what-apid-does-and-why"]);
    }
}
