//! Types by name or alias.

use talos_client::{
    ErrorKind,
    resource::{Object, WatchEvent, block::Disk, value::Value},
};

use super::samples;
use crate::support::Sim;

#[tokio::test]
async fn a_type_is_found_by_its_alias_and_printed_as_talosctl_does() {
    let sim = Sim::start().await;
    sim.cluster
        .node(0)
        .resources()
        .put(samples::of("Disks.block.talos.dev"));
    let node = sim.node(0);
    let disks = node.resources().dynamic("DISK").await.expect("an alias");
    assert_eq!(
        disks.definition().definition().resource_type,
        "Disks.block.talos.dev"
    );
    let titles = [
        "Size",
        "Read Only",
        "Transport",
        "Rotational",
        "WWID",
        "Model",
        "Serial",
    ];
    assert_eq!(disks.definition().titles(), titles);
    let disk = disks.get("sample").await.expect("it is there");
    let cells = disks.definition().cells(&disk);
    assert_eq!(
        cells,
        [
            "pretty_size",
            "true",
            "transport",
            "true",
            "wwid",
            "model",
            "serial"
        ]
    );
    let value = disk.value().expect("YAML");
    assert_eq!(value.get("io_size").and_then(Value::as_u64), Some(7));
    let typed: Object<Disk> = disk.decode().expect("a disk");
    assert_eq!(typed.spec.io_size, 7);
    let listed = disks.list().ids_matching("^sample$").await.expect("listed");
    assert_eq!(listed.len(), 1);

    let types = node.resources().dynamic("mt").await.expect("an alias");
    let found = types.get("machine-type").await.expect("it is there");
    assert_eq!(types.definition().cells(&found), ["controlplane"]);
}

#[tokio::test]
async fn names_that_are_unknown_or_ambiguous_are_errors_and_no_empty_lists() {
    let sim = Sim::start().await;
    let node = sim.node(0);
    let definitions = node.resources().definitions().await.expect("definitions");
    let error = definitions.resolve("nonsense").expect_err("no such type");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.message(), Some("resource \"nonsense\" is not registered"));
    let error = definitions.resolve("ss").expect_err("several are called so");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let text = error.message().unwrap_or_default();
    assert!(text.contains("SwapStatuses.block.talos.dev"), "{text}");
    // Another spelling of the full name is understood, and asks for the canonical one.
    let members = definitions.resolve("MEMBERS.cluster.TALOS.dev").expect("known");
    let listed = node.resources().of(members).list().await.expect("listed");
    assert_eq!(listed.len(), 4);
}

// covers: cosi.resource.State/Watch
#[tokio::test]
async fn dynamic_types_are_watched_in_any_namespace() {
    let sim = Sim::start().await;
    let raw = samples::of("AddressSpecs.net.talos.dev").in_namespace("network-config");
    sim.cluster.node(0).resources().put(raw);
    let node = sim.node(0);
    let specs = node
        .resources()
        .dynamic("addressspec")
        .await
        .expect("an alias")
        .in_namespace("network-config");
    let mut watch = specs.watch().start();
    let first = watch.next_event().await.expect("no end").expect("no error");
    let WatchEvent::Created(object) = first else {
        panic!("{first:?}");
    };
    assert_eq!(object.metadata.namespace, "network-config");
    let shown = format!("{object:?}");
    assert!(!shown.contains("link_name"), "the spec is not printed: {shown}");
}
