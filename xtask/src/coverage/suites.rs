//! Cases of the conformance suite, which are tests although they have no test attribute.
//!
//! A case is a function of a subject. The macro `suite!` makes tests of it, and lists its cases by module and name:
//!
//! ```text
//! suite! {
//!     looks { calls::every_node_answers, }
//!     changes { changes::kubelet_is_restarted, }
//! }
//! ```
//!
//! Each one is run against the simulated cluster by a plain `cargo test`. A function that is not in the list is never
//! run, so a marker there is an error, as it is in any function that is no test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, ensure};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::functions::functions;

/// Names of the cases by the file that they are in.
#[derive(Debug, Default)]
pub(super) struct Suites {
    cases: BTreeMap<PathBuf, BTreeSet<String>>,
}

impl Suites {
    /// Adds the cases that the `source` of the file `name` lists; modules are files beside it.
    pub(super) fn add(&mut self, name: &Path, source: &str) -> Result<()> {
        // Reading every file as tokens twice would double the time.
        if !source.contains("suite! {") {
            return Ok(());
        }
        let tokens = source
            .parse()
            .map_err(|error| anyhow!("not Rust code: {error}"))?;
        let mut cases = Vec::new();
        invocations(tokens, &mut cases);
        let folder = name.parent().unwrap_or_else(|| Path::new(""));
        for (module, case) in cases {
            let file = folder.join(format!("{module}.rs"));
            self.cases.entry(file).or_default().insert(case);
        }
        Ok(())
    }

    /// The cases in the file `name`.
    ///
    /// # Errors
    ///
    /// A case that the list names is no function of the file.
    pub(super) fn in_file(&self, name: &Path, source: &str) -> Result<BTreeSet<String>> {
        let Some(cases) = self.cases.get(name) else {
            return Ok(BTreeSet::new());
        };
        let there: BTreeSet<String> = functions(source)?
            .into_iter()
            .map(|function| function.name)
            .collect();
        let missing: Vec<_> = cases.difference(&there).cloned().collect();
        ensure!(
            missing.is_empty(),
            "a suite lists {}, which is no function here",
            missing.join(", ")
        );
        Ok(cases.clone())
    }
}

/// Collects `module::case` from the invocations `suite! { .. }`; its definition, `macro_rules! suite`, is none.
fn invocations(tokens: TokenStream, cases: &mut Vec<(String, String)>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        let before = index.checked_sub(2).map(|start| &tokens[start..index]);
        let called = matches!(
            before,
            Some([TokenTree::Ident(name), TokenTree::Punct(bang)]) if name == "suite" && bang.as_char() == '!'
        );
        if called && group.delimiter() == Delimiter::Brace {
            listed(group.stream(), cases);
        } else {
            invocations(group.stream(), cases);
        }
    }
}

/// Collects `module::case` from all groups in `tokens`.
fn listed(tokens: TokenStream, cases: &mut Vec<(String, String)>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for token in &tokens {
        if let TokenTree::Group(group) = token {
            listed(group.stream(), cases);
        }
    }
    for window in tokens.windows(4) {
        if let [
            TokenTree::Ident(module),
            TokenTree::Punct(first),
            TokenTree::Punct(second),
            TokenTree::Ident(case),
        ] = window
            && first.as_char() == ':'
            && second.as_char() == ':'
        {
            cases.push((module.to_string(), case.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "macro_rules! suite { (looks { $($a:ident::$c:ident,)+ }) => { super::$a::$c(); } }\n\
                        suite! {\n    looks { calls::one, calls::two, }\n    changes { others::three, }\n}\n\
                        mod x { fn f() { other! { calls::four, } } }";

    fn suites() -> Suites {
        let mut suites = Suites::default();
        suites.add(Path::new("tests/suite/mod.rs"), LIST).unwrap();
        suites
    }

    #[test]
    fn cases_are_by_the_file_beside_the_list() {
        let suites = suites();
        let cases = suites
            .in_file(
                Path::new("tests/suite/calls.rs"),
                "fn one() {} fn two() {} fn four() {}",
            )
            .unwrap();
        assert_eq!(cases.into_iter().collect::<Vec<_>>(), ["one", "two"]);
        let cases = suites.in_file(Path::new("tests/suite/others.rs"), "fn three() {}");
        assert_eq!(cases.unwrap().into_iter().collect::<Vec<_>>(), ["three"]);
        let elsewhere = suites
            .in_file(Path::new("tests/calls.rs"), "fn one() {}")
            .unwrap();
        assert!(elsewhere.is_empty(), "{elsewhere:?}");
    }

    #[test]
    fn a_listed_case_that_is_no_function_is_refused() {
        let error = suites()
            .in_file(Path::new("tests/suite/calls.rs"), "fn two() {} // one")
            .unwrap_err();
        assert_eq!(error.to_string(), "a suite lists one, which is no function here");
    }
}
