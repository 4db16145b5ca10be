//! Every type, against a node that has one of each.

use std::{collections::BTreeSet, future::Future, pin::Pin};

use talos_client::{
    ErrorKind, Node,
    resource::{self, Object, Resource, Visitor, WatchEvent},
};
use talos_testkit::SimResource;

use super::samples::{self, Known};
use crate::support::Sim;

/// What is done with each type.
type Check = Box<dyn FnOnce(Node) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

#[derive(Default)]
struct Checks(Vec<Check>);

impl Visitor for Checks {
    fn visit<R: Resource>(&mut self) {
        self.0.push(Box::new(|node| Box::pin(check::<R>(node))));
    }
}

/// Gets, lists and watches the sample of a type.
async fn check<R: Resource>(node: Node) {
    let resources = node.resources();
    let listed = resources
        .list::<R>()
        .await
        .unwrap_or_else(|error| panic!("{}: {error:#}", R::TYPE));
    let sample =
        |object: &&Object<R>| object.metadata.labels.contains_key("sample") || R::NAMESPACE == "meta";
    let listed = listed.iter().find(sample);
    let listed = listed.unwrap_or_else(|| panic!("{} is not in the list", R::TYPE));
    assert_eq!(listed.metadata.r#type, R::TYPE);
    assert_eq!(listed.metadata.namespace, R::NAMESPACE);
    let id = listed.metadata.id.clone();
    if let Some(default) = R::DEFAULT_ID {
        assert_eq!(id, default, "{}", R::TYPE);
        resources.get::<R>().await.expect("the default one");
    }
    let got = resources.get_by_id::<R>(&id).await.expect("it is there");
    assert_eq!(got.metadata, listed.metadata);

    let mut watch = resources.watch::<R>().start();
    let mut seen = BTreeSet::new();
    loop {
        match watch.next_event().await.expect("no end").expect("no error") {
            WatchEvent::Created(object) => assert!(seen.insert(object.metadata.id), "{}", R::TYPE),
            WatchEvent::Bootstrapped => break,
            other => panic!("{}: {:?}", R::TYPE, std::mem::discriminant(&other)),
        }
    }
    assert!(seen.contains(&id), "{}", R::TYPE);
    let mut one = resources.watch_one::<R>(&id).start();
    let first = one.next_event().await.expect("no end").expect("no error");
    assert!(matches!(first, WatchEvent::Created(object) if object.metadata.id == id));
}

// covers: cosi.resource.State/Get, cosi.resource.State/List, cosi.resource.State/Watch
#[tokio::test]
async fn every_type_is_read_listed_and_watched() {
    let sim = Sim::start().await;
    for sample in samples::all() {
        if sample.namespace() != "meta" {
            sim.cluster.node(0).resources().put(sample);
        }
    }
    let mut checks = Checks::default();
    resource::visit_all(&mut checks);
    assert_eq!(checks.0.len(), 196, "194 types of Talos and 2 about types");
    for check in checks.0 {
        check(sim.node(0)).await;
    }
}

#[tokio::test]
async fn the_node_defines_the_types_that_the_client_knows() {
    let sim = Sim::start().await;
    let definitions = sim.node(0).resources().definitions().await.expect("definitions");
    let defined: BTreeSet<_> = definitions
        .all()
        .iter()
        .map(|found| found.definition().resource_type.clone())
        .collect();
    let mut known = Known::default();
    resource::visit_all(&mut known);
    let known: BTreeSet<_> = known.0.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(known, defined);
}

// covers: cosi.resource.State/Get
#[tokio::test]
async fn fields_have_the_types_that_they_stand_for() {
    use resource::{block, config, enums, k8s, network, runtime, secrets, time};

    let sim = Sim::start().await;
    for sample in samples::all() {
        sim.cluster.node(0).resources().put(sample);
    }
    let node = sim.node(0);
    let resources = node.resources();

    let address = resources
        .get_by_id::<network::AddressStatus>("sample")
        .await
        .expect("decoded")
        .spec;
    assert_eq!(address.address, Some("10.5.0.2/24".parse().expect("a prefix")));
    assert_eq!(address.broadcast, Some([10, 5, 0, 2].into()));
    assert_eq!(address.family, enums::Family::Inet6);

    let link = resources
        .get_by_id::<network::LinkStatus>("sample")
        .await
        .expect("decoded")
        .spec;
    assert_eq!(link.hardware_addr.to_string(), "02:42:0a:05:00:02");

    let clock = resources
        .get::<time::AdjtimeStatus>()
        .await
        .expect("decoded")
        .spec;
    assert_eq!(clock.max_error, std::time::Duration::from_secs(90));

    let volume = resources
        .get_by_id::<block::VolumeStatus>("sample")
        .await
        .expect("decoded")
        .spec;
    assert_eq!(volume.phase, enums::VolumePhase::Closed);

    let kubelet = resources.get::<k8s::KubeletConfig>().await.expect("decoded").spec;
    assert_eq!(kubelet.extra_args["key"], ["values"]);
    assert_eq!(
        kubelet
            .extra_config
            .get("name")
            .and_then(resource::value::Value::as_str),
        Some("text")
    );

    let root = resources
        .get::<secrets::OsRootSecret>()
        .await
        .expect("decoded")
        .spec;
    let issuing = root.issuing_ca.clone().expect("a certificate");
    assert!(issuing.key.expose().starts_with("-----BEGIN PRIVATE KEY"));
    let printed = format!("{root:?} {root:#?}");
    assert!(
        !printed.contains("PRIVATE KEY") && printed.contains("CERTIFICATE"),
        "{printed}"
    );

    let machine = resources
        .get::<config::MachineType>()
        .await
        .expect("decoded")
        .spec;
    assert_eq!(machine.machine_type, enums::MachineType::Worker);
    let config = resources
        .get::<config::MachineConfig>()
        .await
        .expect("decoded")
        .spec;
    assert_eq!(config.documents.len(), 2);
    assert!(config.document(Some("HostnameConfig")).is_some());

    let upstream = resources
        .get_by_id::<network::DnsUpstream>("sample")
        .await
        .expect("decoded")
        .spec;
    assert_eq!(
        (upstream.healthy, upstream.address.as_str()),
        (true, "10.5.0.1:53")
    );
    let device = resources
        .get_by_id::<network::DeviceConfigSpec>("sample")
        .await
        .expect("decoded")
        .spec;
    assert_eq!(
        device.device.get("mtu").and_then(resource::value::Value::as_u64),
        Some(9000)
    );
    let boot = resources.get::<runtime::BootId>().await.expect("decoded").spec;
    assert_eq!(boot.boot_id, "boot_id");
}

#[tokio::test]
async fn numbers_that_are_not_known_are_kept() {
    use resource::enums::VolumePhase;

    let sim = Sim::start().await;
    // Field 1, the phase, is 99.
    let future = SimResource::new("VolumeStatuses.block.talos.dev", "x").proto_bytes(vec![0x08, 99]);
    sim.cluster.node(0).resources().put(future);
    let found = sim
        .node(0)
        .resources()
        .get_by_id::<resource::block::VolumeStatus>("x")
        .await
        .expect("decoded");
    assert_eq!(found.spec.phase, VolumePhase::Other(99));
    assert_eq!(found.spec.phase.number(), 99);
}

// covers: cosi.resource.State/List
#[tokio::test]
async fn a_spec_that_does_not_decode_is_named_and_the_others_come() {
    use resource::block::Disk;

    let sim = Sim::start().await;
    let resources = sim.cluster.node(0).resources();
    let good = samples::of(Disk::TYPE);
    resources.put(good.clone());
    resources.put(SimResource::new(Disk::TYPE, "broken").proto_bytes(vec![0xff]));
    let node = sim.node(0);
    let request = || node.resources().list::<Disk>().ids_matching("^(broken|sample)$");
    let mut stream = request().stream().await.expect("begun");
    let error = stream
        .next_item()
        .await
        .expect("an item")
        .expect_err("it is broken");
    assert_eq!(error.kind(), ErrorKind::Malformed);
    let text = format!("{error:#}");
    assert!(text.contains("Disks.block.talos.dev(runtime/broken)"), "{text}");
    let fine = stream.next_item().await.expect("an item").expect("it is fine");
    assert_eq!(fine.metadata.id, "sample");
    assert!(stream.next_item().await.is_none());
    let error = request().await.expect_err("all or nothing");
    assert_eq!(error.kind(), ErrorKind::Malformed);
}

// covers: cosi.resource.State/List
#[tokio::test]
async fn lists_are_narrowed_by_labels_and_ids() {
    use resource::{Labels, block::Disk};

    let sim = Sim::start().await;
    let resources = sim.cluster.node(0).resources();
    for (id, rack) in [("nvme0", "7"), ("nvme1", "10"), ("nvme2", "9")] {
        resources.put(SimResource::new(Disk::TYPE, id).label("rack", rack));
    }
    let node = sim.node(0);
    let ids = async |labels: &[Labels], regexp: &str| {
        let mut request = node.resources().list::<Disk>().ids_matching(regexp);
        for labels in labels {
            request = request.labels(labels.clone());
        }
        let found = request.await.expect("listed");
        found.into_iter().map(|disk| disk.metadata.id).collect::<Vec<_>>()
    };
    let below_ten = Labels::new().less_than_number("rack", 10);
    assert_eq!(
        ids(std::slice::from_ref(&below_ten), "nvme").await,
        ["nvme0", "nvme2"]
    );
    assert_eq!(
        ids(&[below_ten.clone().not_equal("rack", "7")], "nvme").await,
        ["nvme2"]
    );
    assert_eq!(
        ids(&[Labels::new().equal("rack", "10"), below_ten], "nvme")
            .await
            .len(),
        3,
        "alternatives"
    );
    assert_eq!(ids(&[], "^nvme1$").await, ["nvme1"]);
    assert_eq!(
        ids(&[Labels::new().one_of("rack", ["9", "10"])], "").await,
        ["nvme1", "nvme2"]
    );
    let error = node
        .resources()
        .list::<Disk>()
        .ids_matching("(")
        .await
        .expect_err("no expression");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

// covers: cosi.resource.State/List
#[tokio::test]
async fn sensitive_types_and_types_of_newer_releases_are_denied() {
    use resource::{config::MachineConfig, runtime::BootId};

    let sim = Sim::start().await;
    let reader = sim.client_with_roles(&["os:reader"]);
    let node = reader.node(sim.cluster.node(0).name()).expect("a name");
    const { assert!(MachineConfig::SENSITIVE) };
    let error = node
        .resources()
        .list::<MachineConfig>()
        .await
        .expect_err("sensitive");
    assert!(error.is_denied(), "{error:#}");
    sim.cluster.node(0).set_talos_version("v1.13.0");
    assert_eq!(
        BootId::SINCE.map(|since| since.to_string()).as_deref(),
        Some("v1.14")
    );
    let error = node.resources().get::<BootId>().await.expect_err("too old");
    assert_eq!(
        error.message(),
        Some("resource type \"BootIDs.runtime.talos.dev\" is not supported")
    );
}
