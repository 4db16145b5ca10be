//! Finds functions in Rust source text, also inside macro invocations, with their docs, attributes and lines.

use anyhow::{Result, anyhow};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// One `fn` with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Whether it is plainly `pub`; `pub(crate)` and the like do not count.
    pub public: bool,
    /// Its doc comment, one entry a line.
    pub docs: Vec<String>,
    /// Its attributes without the brackets, spaces removed: `tokio::test(start_paused=true)`.
    pub attributes: Vec<String>,
    /// First and last line, counted from 1: from the first attribute to the closing brace.
    pub lines: (usize, usize),
}

impl Function {
    /// Whether it has an attribute such as `#[test]` or `#[tokio::test(..)]`.
    pub fn is_test(&self) -> bool {
        self.attributes.iter().any(|attribute| {
            let path = attribute.split('(').next().unwrap_or(attribute);
            path == "test" || path.ends_with("::test")
        })
    }

    /// Whether a plain `cargo test` leaves it out.
    pub fn is_ignored(&self) -> bool {
        self.attributes
            .iter()
            .any(|attribute| attribute == "ignore" || attribute.starts_with("ignore="))
    }
}

/// Lists the functions in `source`, outer before inner.
pub fn functions(source: &str) -> Result<Vec<Function>> {
    let tokens: TokenStream = source
        .parse()
        .map_err(|error| anyhow!("not Rust code: {error}"))?;
    let mut found = Vec::new();
    scan(tokens, &mut found);
    Ok(found)
}

/// What stands before a `fn`.
#[derive(Debug, Default)]
struct Head {
    first_line: Option<usize>,
    public: bool,
    docs: Vec<String>,
    attributes: Vec<String>,
}

fn scan(tokens: TokenStream, found: &mut Vec<Function>) {
    let mut tokens = tokens.into_iter().peekable();
    let mut head = Head::default();
    while let Some(token) = tokens.next() {
        let line = token.span().start().line;
        match &token {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                if let Some(TokenTree::Group(group)) = tokens.peek()
                    && group.delimiter() == Delimiter::Bracket
                {
                    head.first_line.get_or_insert(line);
                    head.attribute(group);
                    tokens.next();
                    continue;
                }
            }
            TokenTree::Ident(ident) => match ident.to_string().as_str() {
                "pub" => {
                    head.first_line.get_or_insert(line);
                    head.public = true;
                    if let Some(TokenTree::Group(group)) = tokens.peek()
                        && group.delimiter() == Delimiter::Parenthesis
                    {
                        head.public = false;
                        tokens.next();
                    }
                    continue;
                }
                "async" | "const" | "unsafe" | "extern" => {
                    head.first_line.get_or_insert(line);
                    continue;
                }
                "fn" => {
                    if let Some(TokenTree::Ident(name)) = tokens.peek() {
                        let name = name.to_string();
                        let first_line = head.first_line.unwrap_or(line);
                        // The body is the next brace group; a declaration ends at a semicolon instead.
                        let body = tokens.by_ref().find_map(|token| match token {
                            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                                Some(Some(group))
                            }
                            TokenTree::Punct(punct) if punct.as_char() == ';' => Some(None),
                            _ => None,
                        });
                        if let Some(Some(body)) = body {
                            let Head {
                                public,
                                docs,
                                attributes,
                                ..
                            } = std::mem::take(&mut head);
                            let lines = (first_line, body.span_close().end().line);
                            found.push(Function {
                                name,
                                public,
                                docs,
                                attributes,
                                lines,
                            });
                            scan(body.stream(), found);
                        }
                    }
                }
                _ => {}
            },
            // The ABI of `extern "C" fn`.
            TokenTree::Literal(_) if head.first_line.is_some() => continue,
            TokenTree::Group(group) => scan(group.stream(), found),
            _ => {}
        }
        head = Head::default();
    }
}

impl Head {
    fn attribute(&mut self, group: &Group) {
        let mut tokens = group.stream().into_iter();
        let is_doc = matches!(tokens.next(), Some(TokenTree::Ident(ident)) if ident == "doc");
        match (is_doc, tokens.next(), tokens.next()) {
            (true, Some(TokenTree::Punct(_)), Some(TokenTree::Literal(literal))) => {
                if let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) {
                    self.docs
                        .extend(text.value().split('\n').map(|line| line.trim().to_owned()));
                }
            }
            _ => {
                let text = group.stream().to_string();
                self.attributes.push(
                    text.chars()
                        .filter(|character| !character.is_whitespace())
                        .collect(),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(source: &str) -> Function {
        let mut found = functions(source).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    #[test]
    fn reads_docs_visibility_attributes_and_lines() {
        let function = only(
            "impl Node {\n    /// First.\n    ///\n    /// Second.\n    #[must_use]\n    pub async fn version(&self) -> u8 {\n        1\n    }\n}\n",
        );
        assert_eq!(function.name, "version");
        assert!(function.public);
        assert_eq!(function.docs, ["First.", "", "Second."]);
        assert_eq!(function.attributes, ["must_use"]);
        assert_eq!(function.lines, (2, 8));
    }

    #[test]
    fn restricted_visibility_is_not_public() {
        assert!(!only("pub(crate) fn a() {}").public);
        assert!(!only("pub(in crate::x) const unsafe fn a() {}").public);
        assert!(!only("pub struct A; fn a() {}").public);
        assert!(only("pub const unsafe extern \"C\" fn a() {}").public);
    }

    #[test]
    fn sees_into_macros_and_bodies_but_not_declarations_and_types() {
        let source =
            "macro! { /// Doc.\n pub fn a() { fn b() {} } }\ntrait T { fn c(); }\ntype F = fn(u8) -> u8;";
        let names: Vec<_> = functions(source)
            .unwrap()
            .into_iter()
            .map(|function| function.name)
            .collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn tells_tests_and_ignored_tests() {
        let test = only("#[tokio::test(start_paused = true)]\nasync fn a() {}");
        assert!(test.is_test() && !test.is_ignored());
        assert!(only("#[test]\n#[ignore = \"needs a cluster\"]\nfn a() {}").is_ignored());
        assert!(!only("#[cfg(test)]\nfn a() {}").is_test());
    }

    #[test]
    fn refuses_what_is_not_rust() {
        assert!(functions("fn a( {").is_err());
    }
}
