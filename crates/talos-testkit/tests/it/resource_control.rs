//! Resources that a test puts onto a node, and those that every node has.

use prost::Message as _;
use talos_proto::cosi::resource::meta::ResourceDefinitionSpec;
use talos_proto::cosi::resource::{EventType, IdQuery, LabelQuery, LabelTerm, ListRequest, WatchOptions};
use talos_proto::definitions::runtime::VersionSpec;
use talos_testkit::{SimResource, SimResources};
use tonic::{Code, Status};

use crate::resources::{get, list, metadata, next, spec, summary, watch};
use crate::single;
use crate::wire::Wire;

const DEFINITION: &str = "ResourceDefinitions.meta.cosi.dev";
const SYMLINK: &str = "BlockSymlinks.block.talos.dev";

fn put_symlinks(resources: &SimResources) {
    for (id, rack) in [("sda", "7"), ("sdb", "10"), ("vda", "9")] {
        let disk = SimResource::new(SYMLINK, id)
            .yaml(format!("dev_path: /dev/{id}\n"))
            .label("rack", rack)
            .owner("block.SymlinksController");
        resources.put(disk);
    }
}

// covers: cosi.resource.State/List
#[tokio::test]
async fn every_type_of_the_release_is_defined_and_listed() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let definitions = list(&wire, "meta", DEFINITION).await.unwrap();
    assert_eq!(definitions.len(), 196);
    assert_eq!(metadata(&definitions[0]).owner, "meta");
    for definition in &definitions {
        let found = ResourceDefinitionSpec::decode(spec(definition).proto_spec.clone()).unwrap();
        assert_eq!(metadata(definition).id, found.resource_type.to_lowercase());
        list(&wire, &found.default_namespace, &found.resource_type)
            .await
            .unwrap();
    }
    cluster.node(0).set_talos_version("v1.13.2");
    let older = list(&wire, "meta", DEFINITION).await.unwrap();
    assert!(
        older
            .iter()
            .all(|row| metadata(row).id != "bootids.runtime.talos.dev"),
        "v1.14 brought it"
    );
    let status = list(&wire, "runtime", "BootIDs.runtime.talos.dev")
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (
            Code::PermissionDenied,
            "resource type \"BootIDs.runtime.talos.dev\" is not supported"
        )
    );
    let namespaces = list(&wire, "meta", "Namespaces.meta.cosi.dev").await.unwrap();
    assert_eq!(namespaces.len(), 19);
}

// covers: cosi.resource.State/Get
#[tokio::test]
async fn every_node_has_what_clients_count_on() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let expected = [
        (
            "config",
            "MachineTypes.config.talos.dev",
            "machine-type",
            "controlplane\n",
        ),
        (
            "runtime",
            "PlatformMetadatas.talos.dev",
            "platformmetadata",
            "platform: metal\nhostname: sim-controlplane-1\n",
        ),
        (
            "network",
            "NodeAddresses.net.talos.dev",
            "default",
            "addresses:\n    - 10.5.0.2/32\nsortAlgorithm: v1\n",
        ),
        (
            "cluster",
            "Infos.cluster.talos.dev",
            "current",
            "clusterName: sim\n",
        ),
        (
            "runtime",
            "VolumeStatuses.block.talos.dev",
            "EPHEMERAL",
            "phase: ready\ntype: partition\n",
        ),
        (
            "runtime",
            "SecurityStates.talos.dev",
            "securitystate",
            "secureBoot: false\n",
        ),
        (
            "runtime",
            "TimeStatuses.v1alpha1.talos.dev",
            "node",
            "synced: true\n",
        ),
    ];
    for (namespace, kind, id, yaml) in expected {
        let found = get(&wire, namespace, kind, id).await.unwrap();
        assert!(spec(&found).yaml_spec.contains(yaml), "{found:?}");
        assert!(!spec(&found).proto_spec.is_empty(), "{kind} {found:?}");
    }
}

// covers: cosi.resource.State/Watch
#[tokio::test]
async fn watches_see_what_a_test_does() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let resources = node.resources();
    let mut stream = watch(&wire, "runtime", SYMLINK, None, WatchOptions::default())
        .await
        .unwrap();
    resources.put(SimResource::new(SYMLINK, "sda").finalizer("mine"));
    assert!(resources.tear_down("runtime", SYMLINK, "sda"));
    assert!(resources.remove_finalizer("runtime", SYMLINK, "sda", "mine"));
    assert!(!resources.tear_down("runtime", SYMLINK, "sdb"));
    let stored = resources.get("runtime", SYMLINK, "sda").unwrap();
    assert_eq!((stored.phase(), stored.version()), ("tearingDown", "3"));
    assert!(stored.finalizers().is_empty());
    resources.destroy("runtime", SYMLINK, "sda");
    for expected in [
        (EventType::Created, "sda", "1"),
        (EventType::Updated, "sda", "2"),
        (EventType::Updated, "sda", "3"),
        (EventType::Destroyed, "sda", "3"),
    ] {
        assert_eq!(summary(&next(&mut stream).await), expected);
    }
    resources.overrun("runtime", SYMLINK);
    let overrun = next(&mut stream).await;
    assert_eq!(overrun.event_type(), EventType::Errored);
    assert!(
        overrun.error.unwrap().starts_with("buffer overrun: "),
        "one that a slow watcher gets"
    );
    // A new watch starts well.
    let mut stream = watch(&wire, "runtime", SYMLINK, None, WatchOptions::default())
        .await
        .unwrap();
    resources.put(SimResource::new(SYMLINK, "sdc"));
    assert_eq!(
        summary(&next(&mut stream).await),
        (EventType::Created, "sdc", "1")
    );
}

async fn ids(wire: &Wire, label: Option<LabelTerm>, regexp: &str) -> Result<Vec<String>, Status> {
    let options = talos_proto::cosi::resource::ListOptions {
        label_query: label
            .map(|term| LabelQuery { terms: vec![term] })
            .into_iter()
            .collect(),
        id_query: Some(IdQuery {
            regexp: regexp.to_owned(),
        }),
    };
    let request = ListRequest {
        namespace: "runtime".to_owned(),
        r#type: SYMLINK.to_owned(),
        options: Some(options),
    };
    let mut stream = wire.state().list(request).await?.into_inner();
    let mut found = Vec::new();
    while let Some(reply) = stream.message().await? {
        found.push(metadata(&reply.resource.unwrap()).id.clone());
    }
    Ok(found)
}

// covers: cosi.resource.State/List
#[tokio::test]
async fn lists_are_filtered_by_labels_and_ids() {
    let cluster = single().await;
    cluster.resources().put(SimResource::new(SYMLINK, "plain"));
    put_symlinks(&cluster.node(0).resources());
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    // LT_NUMERIC
    let below_ten = LabelTerm {
        key: "rack".to_owned(),
        value: vec!["10".to_owned()],
        op: 6,
        invert: false,
    };
    assert_eq!(
        ids(&wire, Some(below_ten.clone()), "").await.unwrap(),
        ["sda", "vda"]
    );
    assert_eq!(ids(&wire, Some(below_ten), "^s").await.unwrap(), ["sda"]);
    assert_eq!(ids(&wire, None, "d[ab]").await.unwrap(), ["sda", "sdb", "vda"]);
    let status = ids(&wire, None, "(").await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

// covers: cosi.resource.State/Teardown
#[tokio::test]
async fn tearing_down_what_is_torn_down_is_no_write() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    node.resources().put(SimResource::new(SYMLINK, "sda"));
    let request = talos_proto::cosi::resource::TeardownRequest {
        namespace: "runtime".to_owned(),
        r#type: SYMLINK.to_owned(),
        id: "sda".to_owned(),
        options: None,
    };
    let status = wire.state().teardown(request.clone()).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::PermissionDenied, "write access is not allowed")
    );
    node.resources().tear_down("runtime", SYMLINK, "sda");
    let reply = wire.state().teardown(request).await.unwrap();
    assert!(reply.into_inner().destroy_ready);
}

#[tokio::test]
async fn what_a_test_puts_is_served_in_both_forms() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let version = VersionSpec {
        version: "v9".to_owned(),
        name: "Talos".to_owned(),
    };
    let resource = SimResource::new("Versions.runtime.talos.dev", "other")
        .proto(&version)
        .yaml("version: v9\n")
        .annotation("a", "b");
    cluster.resources().put(resource);
    let found = get(&wire, "runtime", "Versions.runtime.talos.dev", "other")
        .await
        .unwrap();
    assert_eq!(
        VersionSpec::decode(spec(&found).proto_spec.clone()).unwrap(),
        version
    );
    assert_eq!(spec(&found).yaml_spec, "version: v9\n");
    assert_eq!(metadata(&found).annotations["a"], "b");
}

#[tokio::test]
async fn a_restart_begins_anew_and_refuses_bookmarks() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    put_symlinks(&node.resources());
    let mut stream = watch(
        &wire,
        "runtime",
        SYMLINK,
        None,
        WatchOptions {
            bootstrap_bookmark: true,
            ..WatchOptions::default()
        },
    )
    .await
    .unwrap();
    let bookmark = next(&mut stream).await.bookmark;
    node.restart_resources();
    assert_eq!(list(&wire, "runtime", SYMLINK).await.unwrap(), []);
    get(&wire, "config", "MachineTypes.config.talos.dev", "machine-type")
        .await
        .unwrap();
    let resume = WatchOptions {
        start_from_bookmark: bookmark,
        ..WatchOptions::default()
    };
    let status = watch(&wire, "runtime", SYMLINK, None, resume).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::FailedPrecondition, "invalid watch bookmark")
    );
}
