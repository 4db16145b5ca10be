//! The commands of `talosctl config`.

use talos_client::config::{ConfigError, Context, Talosconfig};
use talos_testkit::SimCluster;

fn config(text: &str) -> Talosconfig {
    Talosconfig::parse(text).expect("a talosconfig")
}

fn names(config: &Talosconfig) -> Vec<&str> {
    config.contexts.keys().map(String::as_str).collect()
}

#[test]
fn the_first_context_becomes_the_current_one_and_names_are_unique() {
    let mut config = Talosconfig::new();
    config.add("lab", Context::new(["10.5.0.2"])).expect("free");
    config.add("prod", Context::new(["10.6.0.2"])).expect("free");
    assert_eq!(
        (config.context.as_str(), names(&config)),
        ("lab", vec!["lab", "prod"])
    );

    let error = config.add("lab", Context::default()).expect_err("taken");
    assert!(
        matches!(&error, ConfigError::ContextExists { context, .. } if context == "lab"),
        "{error}"
    );
    let error = config.add("", Context::default()).expect_err("empty");
    assert!(matches!(error, ConfigError::EmptyName), "{error}");
    assert_eq!(config.contexts["lab"].endpoints, ["10.5.0.2"], "untouched");
}

#[test]
fn another_context_is_used_only_if_it_exists() {
    let mut config = config("context: a\ncontexts: {a: {}, b: {}}\n");
    config.use_context("b").expect("exists");
    assert_eq!(config.context, "b");
    let error = config.use_context("c").expect_err("does not exist");
    assert!(
        matches!(&error, ConfigError::ContextNotFound { known, .. } if known == &["a", "b"]),
        "{error}"
    );
    assert_eq!(config.context, "b");
}

#[test]
fn the_current_context_keeps_being_it_under_its_new_name() {
    let mut config = config("context: a\ncontexts: {a: {endpoints: [x]}, b: {}}\n");
    config.rename("a", "c").expect("free");
    assert_eq!((config.context.as_str(), names(&config)), ("c", vec!["b", "c"]));
    assert_eq!(config.contexts["c"].endpoints, ["x"]);
    config.rename("b", "d").expect("free");
    assert_eq!(config.context, "c");
    for (from, to) in [("c", "d"), ("c", "c"), ("nothing", "e"), ("c", "")] {
        config.rename(from, to).expect_err(to);
    }
    assert_eq!((config.context.as_str(), names(&config)), ("c", vec!["c", "d"]));
}

#[test]
fn removal_goes_by_pattern_and_spares_the_current_context() {
    let mut config = config("context: lab-1\ncontexts: {lab: {}, lab-1: {}, lab-2: {}, prod: {}}\n");
    assert_eq!(config.remove("lab-?"), ["lab-2"]);
    assert_eq!(names(&config), ["lab", "lab-1", "prod"]);
    assert!(config.remove("nothing*").is_empty());
    assert_eq!(config.remove("*"), ["lab", "prod"]);
    assert_eq!(names(&config), ["lab-1"]);
}

#[tokio::test]
async fn roles_and_validity_of_a_context_can_be_looked_at() {
    let cluster = SimCluster::builder().start().await.expect("started");
    let config = config(&cluster.talosconfig());
    let facts = config.certificate(None).expect("usable").expect("has one");
    assert_eq!(facts.organizations(), ["os:admin"]);
    assert!(facts.not_after() > facts.not_before());

    let without = Talosconfig::parse("context: a\ncontexts: {a: {}}\n").expect("valid");
    assert_eq!(without.certificate(None).expect("no certificate"), None);
    let broken = Talosconfig::parse("context: a\ncontexts: {a: {crt: '*', key: a2V5}}\n").expect("valid");
    assert!(matches!(
        broken.certificate(Some("a")),
        Err(ConfigError::Base64 { field: "crt", .. })
    ));
    let broken = Talosconfig::parse("context: a\ncontexts: {a: {crt: Y3J0, key: a2V5}}\n").expect("valid");
    assert!(matches!(
        broken.certificate(None),
        Err(ConfigError::Credentials { .. })
    ));
}
