//! Which RPCs have a typed method and which are tested, found by markers in the sources.
//!
//! A typed method is a `pub fn` of talos-client with a doc line such as
//! ``Upstream: `machine.MachineService/Version` · since Talos 1.7 or older · role os:reader · read-only``, which has to agree with
//! the table of RPCs. A test names what it covers in a comment, above it or
//! inside: `// covers: machine.MachineService/Version, machine.MachineService/Hostname`. Tests that are
//! ignored do not count, nor do those of other crates, which call the raw stubs. A marker that names no RPC, or that belongs to no function, is an error. A case of a suite (see
//! `suites.rs`) is a test, too.

mod facts_line;
mod suites;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use self::suites::Suites;
use crate::functions::{Function, functions};
use crate::methods::Methods;
use crate::workspace::files_below;

/// The crate with the typed methods and their tests.
const CLIENT: &str = "crates/talos-client/";

/// Sources with the typed methods.
const CLIENT_SOURCES: &str = "crates/talos-client/src";

/// Sources with the typed resources: each is an `impl Resource` with a constant `TYPE`.
const RESOURCE_SOURCES: &str = "crates/talos-client/src/resource";

/// Number of resource types that Talos v1.14 registers.
pub const RESOURCE_TYPES: usize = 194;

/// What the sources say.
#[derive(Debug, Default)]
pub struct Coverage {
    /// Names of the typed methods by full name of the RPC.
    pub typed: BTreeMap<String, BTreeSet<String>>,
    /// Full names of the RPCs that tests of talos-client cover.
    pub tested: BTreeSet<String>,
    /// Resource types that are tied to a Rust type.
    pub resources: BTreeSet<String>,
}

impl Coverage {
    /// Reads all sources below `root`.
    pub fn collect(root: &Path, methods: &Methods) -> Result<Self> {
        let mut sources = Vec::new();
        let mut suites = Suites::default();
        for path in files_below(root, "crates".as_ref())? {
            let Some(name) = path.to_str().filter(|name| name.ends_with(".rs")) else {
                continue;
            };
            // Among generated code, only resources are of interest.
            let generated = name.contains("/generated/") && !name.starts_with(RESOURCE_SOURCES);
            let relevant = name
                .split('/')
                .nth(2)
                .is_some_and(|folder| matches!(folder, "src" | "tests"));
            if generated || !relevant {
                continue;
            }
            let source =
                std::fs::read_to_string(root.join(&path)).with_context(|| format!("reading {name}"))?;
            suites.add(&path, &source).with_context(|| format!("in {name}"))?;
            sources.push((name.to_owned(), source));
        }
        let mut coverage = Self::default();
        for (name, source) in &sources {
            suites
                .in_file(name.as_ref(), source)
                .and_then(|cases| coverage.add(name, source, &cases, methods))
                .with_context(|| format!("in {name}"))?;
        }
        Ok(coverage)
    }

    /// Adds what the `source` of file `name` says, where the functions named in `cases` are tests, too.
    pub fn add(
        &mut self,
        name: &str,
        source: &str,
        cases: &BTreeSet<String>,
        methods: &Methods,
    ) -> Result<()> {
        let functions = functions(source)?;
        if name.starts_with(CLIENT_SOURCES) {
            for function in functions.iter().filter(|function| function.public) {
                let Some(line) = facts_line::of(function) else {
                    continue;
                };
                for rpc in typed_rpcs(&line) {
                    let name = &function.name;
                    let method = methods.all.iter().find(|method| method.to_string() == rpc);
                    let method = method
                        .with_context(|| format!("fn {name}: Upstream names {rpc}, which is no RPC"))?;
                    if let Some(problem) = facts_line::problem(&line, method) {
                        bail!("fn {name}: Upstream {problem}");
                    }
                    self.typed.entry(rpc).or_default().insert(function.name.clone());
                }
            }
        }
        if name.starts_with(RESOURCE_SOURCES) {
            let file = syn::parse_file(source).context("parsing")?;
            resource_types(&file.items, &mut self.resources);
        }
        for rpc in tested_rpcs(source, &functions, cases)? {
            ensure!(
                methods.contains(&rpc),
                "a covers marker names {rpc}, which is no RPC"
            );
            if name.starts_with(CLIENT) {
                self.tested.insert(rpc);
            }
        }
        Ok(())
    }

    /// The two summary lines.
    pub fn summary(&self, methods: &Methods) -> String {
        let rpcs = methods.all.len();
        format!(
            "rpcs: typed {} of {rpcs}, tested {} of {rpcs}\nresources: typed {} of {RESOURCE_TYPES}",
            self.typed.len(),
            self.tested.len(),
            self.resources.len()
        )
    }
}

/// The RPCs that the facts line of a typed method names: everything in backticks before the first `·`.
fn typed_rpcs(line: &str) -> Vec<String> {
    let rpcs = line.split('·').next().unwrap_or(line);
    rpcs.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The RPCs in the markers of tests that run.
fn tested_rpcs(source: &str, functions: &[Function], cases: &BTreeSet<String>) -> Result<BTreeSet<String>> {
    let lines: Vec<&str> = source.lines().collect();
    let mut found = BTreeSet::new();
    for (index, line) in lines.iter().enumerate() {
        let comment = line
            .trim_start()
            .strip_prefix("//")
            .map(|rest| rest.trim_start_matches(['/', '!']).trim_start());
        let Some(marker) = comment.and_then(|comment| comment.strip_prefix("covers:")) else {
            continue;
        };
        let number = index + 1;
        // A comment above the attributes is not part of the function: follow the comments down to it.
        let below = lines[index..]
            .iter()
            .position(|line| !line.trim_start().starts_with("//"));
        let anchor = number + below.unwrap_or_default();
        let around =
            |line: usize| move |function: &&Function| function.lines.0 <= line && line <= function.lines.1;
        let owner = functions
            .iter()
            .filter(|function| function.is_test() || cases.contains(&function.name));
        let owner = owner
            .clone()
            .find(around(number))
            .or_else(|| owner.clone().find(|test| test.lines.0 == anchor));
        let Some(test) = owner else {
            bail!("line {number}: the covers marker belongs to no test function");
        };
        if !test.is_ignored() {
            found.extend(marker.split(',').map(|rpc| rpc.trim().to_owned()));
        }
    }
    Ok(found)
}

/// The `TYPE` constants of `impl Resource for ..` outside test modules.
fn resource_types(items: &[syn::Item], found: &mut BTreeSet<String>) {
    for item in items {
        match item {
            syn::Item::Mod(module) if !is_test_only(&module.attrs) => {
                if let Some((_, items)) = &module.content {
                    resource_types(items, found);
                }
            }
            syn::Item::Impl(implementation) if implements_resource(implementation) => {
                let types = implementation.items.iter().filter_map(type_constant);
                // The types about types belong to the API, not to Talos.
                found.extend(types.filter(|name| !name.ends_with(".meta.cosi.dev")));
            }
            _ => {}
        }
    }
}

fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    let is_test = |attribute: &syn::Attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Ident>()
                .is_ok_and(|condition| condition == "test")
    };
    attributes.iter().any(is_test)
}

fn implements_resource(implementation: &syn::ItemImpl) -> bool {
    let path = implementation.trait_.as_ref().map(|(_, path, _)| path);
    path.and_then(|path| path.segments.last())
        .is_some_and(|last| last.ident == "Resource")
}

fn type_constant(item: &syn::ImplItem) -> Option<String> {
    match item {
        syn::ImplItem::Const(constant) if constant.ident == "TYPE" => match &constant.expr {
            syn::Expr::Lit(syn::ExprLit {
                lit: syn::Lit::Str(text),
                ..
            }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::tests::sample;

    const API: &str = "crates/talos-client/src/api.rs";
    const TEST: &str = "crates/talos-client/tests/a.rs";

    fn coverage(name: &str, source: &str) -> Result<Coverage> {
        let mut coverage = Coverage::default();
        coverage.add(name, source, &BTreeSet::new(), &sample())?;
        Ok(coverage)
    }

    #[test]
    fn a_case_of_a_suite_is_a_test_and_its_neighbour_is_none() {
        let source = "// covers: time.TimeService/Get\npub(super) async fn a() {}\n\n\
                      // covers: time.TimeService/Put\npub(super) async fn b() {}\n";
        let with = |cases: &[&str]| {
            let cases = cases.iter().map(|case| (*case).to_owned()).collect();
            let mut coverage = Coverage::default();
            coverage.add(
                "crates/talos-client/tests/suite/calls.rs",
                source,
                &cases,
                &sample(),
            )?;
            Ok::<_, anyhow::Error>(coverage.tested.len())
        };
        assert_eq!(with(&["a", "b"]).unwrap(), 2);
        assert_eq!(
            with(&["a"]).unwrap_err().to_string(),
            "line 4: the covers marker belongs to no test function"
        );
    }

    #[test]
    fn a_public_function_with_an_upstream_line_is_typed() {
        let source = "/// Text.\n///\n/// Upstream: `time.TimeService/Get`, `time.TimeService/Put` · since Talos 1.7 or older ·\n\
                      /// role os:reader, os:admin to put · read-only, unsafe\npub fn a() {}\n\
                      /// Upstream: `time.TimeService/Old`\nfn private() {}";
        let found = coverage(API, source).unwrap();
        assert_eq!(
            found.typed.keys().collect::<Vec<_>>(),
            ["time.TimeService/Get", "time.TimeService/Put"]
        );
        assert_eq!(
            found.summary(&sample()),
            "rpcs: typed 2 of 3, tested 0 of 3\nresources: typed 0 of 194"
        );
        assert!(
            coverage("crates/talos-testkit/src/a.rs", source)
                .unwrap()
                .typed
                .is_empty()
        );
    }

    #[test]
    fn an_upstream_line_that_names_no_rpc_is_refused() {
        let error = coverage(API, "/// Upstream: `time.TimeService/Gte`\npub fn a() {}").unwrap_err();
        assert_eq!(
            error.to_string(),
            "fn a: Upstream names time.TimeService/Gte, which is no RPC"
        );
    }

    #[test]
    fn a_marker_above_or_inside_a_test_counts() {
        let source = "// covers: time.TimeService/Get\n// More.\n#[test]\nfn a() {}\n\
                      #[tokio::test]\n/// covers: time.TimeService/Put\nasync fn b() {}\n\
                      #[test]\nfn c() {\n    // covers: time.TimeService/Old, time.TimeService/Get\n}\n";
        let found = coverage(TEST, source).unwrap();
        assert_eq!(found.tested.len(), 3);
        let elsewhere = coverage("crates/talos-testkit/tests/a.rs", source).unwrap();
        assert!(elsewhere.tested.is_empty(), "raw stubs are not the client");
    }

    #[test]
    fn an_ignored_test_does_not_count() {
        let source = "// covers: time.TimeService/Get\n#[test]\n#[ignore = \"needs a cluster\"]\nfn a() {}\n";
        assert!(coverage(TEST, source).unwrap().tested.is_empty());
    }

    #[test]
    fn a_marker_without_a_test_or_with_an_unknown_rpc_is_refused() {
        for (source, text) in [
            (
                "// covers: time.TimeService/Get\nfn a() {}\n",
                "line 1: the covers marker belongs to no test function",
            ),
            (
                "// covers: time.TimeService/Get\n\n#[test]\nfn a() {}\n",
                "line 1: the covers marker belongs to no test function",
            ),
            (
                "// covers: time.TimeService/Gte\n#[test]\nfn a() {}\n",
                "a covers marker names time.TimeService/Gte, which is no RPC",
            ),
        ] {
            assert_eq!(coverage(TEST, source).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn resources_are_counted_outside_tests() {
        let source = "impl Resource for A { const TYPE: &'static str = \"As.talos.dev\"; }\n\
                      mod inner { impl super::Resource for B { const TYPE: &'static str = \"Bs.talos.dev\"; } }\n\
                      #[cfg(test)] mod tests { impl Resource for C { const TYPE: &'static str = \"Cs.talos.dev\"; } }\n\
                      impl Resource for E { const TYPE: &'static str = \"Es.meta.cosi.dev\"; }\n\
                      impl Other for D { const TYPE: &'static str = \"Ds.talos.dev\"; }";
        let found = coverage("crates/talos-client/src/resource/a.rs", source).unwrap();
        assert_eq!(
            found.resources.iter().collect::<Vec<_>>(),
            ["As.talos.dev", "Bs.talos.dev"]
        );
    }
}
