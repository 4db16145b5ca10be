//! The list of checks.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};
use toml::{Table, Value};

use super::command::{Command, Tool};

/// `cargo hack`: one check per set of features.
pub(super) const HACK: Tool = Tool {
    name: "cargo-hack",
    version: "0.6.46",
};
/// `cargo deny`: licences, sources and who may depend on what.
pub(super) const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
};
/// `cargo nextest`: runs tests side by side. Used if it is there, and not asked for: building it takes longer than it saves.
pub(super) const NEXTEST: Tool = Tool {
    name: "cargo-nextest",
    version: "0.9.151",
};

/// mdBook: makes a book of the guides. A program, and not a subcommand of cargo; [`crate::book`] starts it.
pub(super) const MDBOOK: Tool = Tool {
    name: "mdbook",
    version: "0.5.4",
};

/// The crates that users can get; the others are never published.
const PUBLISHED: &str = "-p talos-proto -p talos-transport -p talos-client -p talos-testkit";
/// Where the published crates are copied to, to be built with the oldest dependencies they allow. Like all folders
/// here it is below the target folder.
const OLDEST: &str = "ci/oldest";
/// Where they are packed. As far as cargo is concerned a packed crate comes from a registry, where nothing
/// changes without a new version: in the same folder, it would go on with the sources of an earlier package. So
/// each run has a folder of its own.
const PACKAGES: &str = "ci/package";

/// The oldest release that k8s-openapi knows in the version that we use.
const OLDEST_KUBERNETES: &str = "1.33";

/// The features of talos-client whose code looks at other features.
const CROSSING: &str = "machine,cosi,image,archive,talosconfig,proxy,siderov1";

/// One check.
#[derive(Debug)]
pub(super) struct Step {
    /// Name for `--only`.
    pub(super) name: &'static str,
    /// What it makes sure of.
    pub(super) about: &'static str,
    /// Tools it cannot do without.
    pub(super) tools: &'static [Tool],
    /// What it does, in this order, up to the first that fails.
    pub(super) actions: Vec<Action>,
}

/// Part of a step.
#[derive(Debug)]
pub(super) enum Action {
    /// Runs a program.
    Run(Command),
    /// Copies the published crates, see [`super::oldest`].
    CopyCrates {
        /// Folder below the target folder.
        to: &'static str,
    },
    /// Removes a folder with everything in it, if it is there.
    Remove {
        /// Folder below the target folder.
        folder: &'static str,
    },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(command) => command.fmt(f),
            Self::CopyCrates { to } => write!(f, "(copy the published crates to target/{to})"),
            Self::Remove { folder } => write!(f, "(remove target/{folder})"),
        }
    }
}

/// All checks, quick ones first.
pub(super) fn all(root: &Path, nextest: bool) -> Result<Vec<Step>> {
    let definitions = definition_features(root)?;
    let tests = if nextest {
        "nextest run --workspace --all-features"
    } else {
        "test --workspace --all-features --lib --bins --tests --examples"
    };
    Ok(vec![
        step("fmt", "code is formatted", [Command::cargo("fmt --all --check")]),
        step(
            "codegen",
            "generated code is up to date",
            [Command::xtask("codegen --check")],
        ),
        step(
            "protos",
            "the protos are in canonical form",
            [Command::xtask("protos fmt --check")],
        ),
        step(
            "coverage",
            "docs/api-coverage.md is up to date",
            [Command::xtask("coverage --check")],
        ),
        Step {
            tools: &[DENY],
            ..step(
                "deny",
                "licences, sources and who may depend on what",
                [Command::cargo(
                    "deny check --allow unused-wrapper bans licenses sources",
                )],
            )
        },
        step(
            "clippy",
            "no lints, with all features and with none",
            [
                Command::cargo("clippy --workspace --all-targets --all-features -- -D warnings"),
                Command::cargo("clippy --workspace --all-targets --no-default-features -- -D warnings"),
            ],
        ),
        step(
            "examples",
            "the example programs build",
            // Before the tests, which run them: with `--examples`, cargo builds only the tests inside examples.
            [Command::cargo(
                "build --package examples --package dashboard --package etcd-backup --package in-cluster-operator \
                 --package maintenance-install --package omni --package rolling-upgrade --all-targets",
            )],
        ),
        step("test", "tests with all features", [Command::cargo(tests)]),
        step(
            "doctest",
            "examples in the documentation",
            [Command::cargo("test --workspace --all-features --doc")],
        ),
        step(
            "downstream",
            "a project that is not part of the workspace can use the crates in its tests",
            // By itself it would make a target folder among the sources.
            [
                Command::cargo("test --manifest-path examples/downstream-ci/Cargo.toml")
                    .own_target("ci/downstream"),
            ],
        ),
        step(
            "docs",
            "documentation builds as on docs.rs, without warnings",
            // docs.rs uses a nightly compiler; the variable makes ours accept what it takes for that. Build
            // scripts watch it, hence the target folder of its own.
            [
                Command::cargo(format!("doc --no-deps --all-features {PUBLISHED}"))
                    .with("RUSTDOCFLAGS", "--cfg docsrs -D warnings")
                    .with("RUSTC_BOOTSTRAP", "1")
                    .own_target("ci/docs"),
            ],
        ),
        Step {
            tools: &[MDBOOK],
            ..step(
                "book",
                "the guides are a book, and all links lead somewhere",
                [Command::xtask("book")],
            )
        },
        Step {
            tools: &[HACK],
            ..step(
                "features",
                "every feature builds, alone and with others",
                features(&definitions),
            )
        },
        Step {
            actions: vec![
                Action::CopyCrates { to: OLDEST },
                Action::Run(
                    Command::cargo("-Z direct-minimal-versions generate-lockfile --quiet")
                        .with("RUSTC_BOOTSTRAP", "1")
                        .inside(OLDEST),
                ),
                Action::Run(Command::cargo("check --locked --workspace --all-features").inside(OLDEST)),
            ],
            ..step(
                "oldest",
                "the published crates build with the oldest dependencies they allow",
                [],
            )
        },
        Step {
            actions: vec![
                Action::Remove { folder: PACKAGES },
                Action::Run(
                    Command::cargo(format!("package --allow-dirty {PUBLISHED}"))
                        .own_target(format!("{PACKAGES}/{}", seconds_since_1970())),
                ),
            ],
            ..step(
                "package",
                "the published crates pack, and build from their packages",
                [],
            )
        },
        step(
            "footprint",
            "crate counts stay in their limits",
            [Command::xtask("footprint")],
        ),
    ])
}

fn step<const N: usize>(name: &'static str, about: &'static str, commands: [Command; N]) -> Step {
    Step {
        name,
        about,
        tools: &[],
        actions: commands.into_iter().map(Action::Run).collect(),
    }
}

fn seconds_since_1970() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

/// The sets of features to check; the reasons are in `docs/decisions/feature-checks.md`.
fn features(definitions: &[String]) -> [Command; 6] {
    let definitions = definitions.join(",");
    let not_features = "default,full,_docs";
    [
        Command::cargo(format!(
            "hack clippy -p talos-proto --feature-powerset --depth 2 --exclude-features {not_features},{definitions} \
             -- -D warnings"
        )),
        Command::cargo(format!(
            "hack clippy -p talos-proto --each-feature --include-features {definitions} -- -D warnings"
        )),
        Command::cargo(format!(
            "hack clippy -p talos-transport -p talos-testkit --feature-powerset --depth 2 \
             --exclude-features {not_features} -- -D warnings"
        )),
        Command::cargo(format!(
            "hack clippy -p talos-client --each-feature --exclude-features {not_features},kube -- -D warnings"
        )),
        // By itself it leaves open for which release of Kubernetes k8s-openapi builds.
        Command::cargo("clippy -p talos-client --no-default-features --features kube,ring -- -D warnings")
            .with("K8S_OPENAPI_ENABLED_VERSION", OLDEST_KUBERNETES),
        Command::cargo(format!(
            "hack clippy -p talos-client --feature-powerset --depth 2 --include-features {CROSSING} -- -D warnings"
        )),
    ]
}

/// The features of talos-proto that stand for one group of resource definitions each.
fn definition_features(root: &Path) -> Result<Vec<String>> {
    let path = root.join("crates/talos-proto/Cargo.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let manifest: Table = toml::from_str(&text).with_context(|| format!("parsing {}", path.display()))?;
    let features = manifest.get("features").and_then(Value::as_table);
    let features = features.with_context(|| format!("no [features] in {}", path.display()))?;
    Ok(features
        .keys()
        .filter(|name| name.starts_with("def-"))
        .cloned()
        .collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn steps(nextest: bool) -> Vec<Step> {
        all(&crate::workspace::root(), nextest).unwrap()
    }

    fn lines(steps: &[Step]) -> Vec<String> {
        steps
            .iter()
            .flat_map(|step| &step.actions)
            .map(Action::to_string)
            .collect()
    }

    #[test]
    fn every_step_has_a_name_of_its_own_and_something_to_do() {
        let steps = steps(true);
        let names: BTreeSet<_> = steps.iter().map(|step| step.name).collect();
        assert_eq!(names.len(), steps.len());
        assert!(
            steps
                .iter()
                .all(|step| !step.actions.is_empty() && !step.about.is_empty())
        );
    }

    #[test]
    fn steps_declare_the_tools_they_start() {
        for tool in [HACK, DENY, MDBOOK] {
            let start = match tool.subcommand() {
                Some(subcommand) => format!("cargo {subcommand} "),
                None => "cargo xtask book".to_owned(),
            };
            for step in steps(true) {
                let starts = step
                    .actions
                    .iter()
                    .any(|action| action.to_string().contains(&start));
                assert_eq!(starts, step.tools.contains(&tool), "{} and {tool}", step.name);
            }
        }
    }

    #[test]
    fn tests_run_with_or_without_nextest() {
        assert!(lines(&steps(true)).contains(&"cargo nextest run --workspace --all-features".to_owned()));
        let without = lines(&steps(false));
        assert!(!without.iter().any(|line| line.contains("nextest")));
        assert!(
            without
                .iter()
                .any(|line| line.starts_with("cargo test --workspace --all-features --lib"))
        );
    }

    #[test]
    fn definition_groups_are_checked_one_by_one_and_left_out_of_the_powerset() {
        let definitions = definition_features(&crate::workspace::root()).unwrap();
        assert!(definitions.contains(&"def-network".to_owned()));
        let [services, groups, ..] = features(&definitions).map(|command| command.to_string());
        for name in &definitions {
            assert!(
                services.split([',', ' ']).any(|word| word == name),
                "{name} is not excluded: {services}"
            );
            assert!(
                groups.split([',', ' ']).any(|word| word == name),
                "{name} is not included: {groups}"
            );
        }
    }
}
