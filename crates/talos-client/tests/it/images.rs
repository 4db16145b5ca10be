//! Images: lists, pulls, imports, removals, rules, and nodes that have only the older calls.

use talos_client::{
    ErrorKind, Node, Origin,
    api::{
        containerd::Containerd,
        images::{Image, LayerStatus, RegistryCredentials},
    },
    proto::{
        common::{ContainerDriver, ContainerdInstance, ContainerdNamespace},
        machine as proto,
    },
};
use talos_testkit::{ImageNamespace, ImageRule, ImageRuleAction, PullFailure, SimCluster, SimImage};

use crate::support::{Sim, message};

const LIST: &str = "/machine.ImageService/List";
const PULL: &str = "/machine.ImageService/Pull";
const REMOVE: &str = "/machine.ImageService/Remove";
const VERIFY: &str = "/machine.ImageService/Verify";
const OLD_LIST: &str = "/machine.MachineService/ImageList";
const OLD_PULL: &str = "/machine.MachineService/ImagePull";

async fn list(node: &Node, store: Containerd) -> Vec<Image> {
    let mut stream = node.images().of(store).list().await.expect("opened");
    let mut images = Vec::new();
    while let Some(image) = stream.next_image().await {
        images.push(image.expect("an image"));
    }
    images
}

fn instance(driver: ContainerDriver, namespace: ContainerdNamespace) -> ContainerdInstance {
    ContainerdInstance {
        driver: driver.into(),
        namespace: namespace.into(),
    }
}

// covers: machine.ImageService/List
#[tokio::test]
async fn each_store_has_its_own_images() {
    let sim = Sim::start().await;
    let node = sim.node(0);
    let system = list(&node, Containerd::System).await;
    let cri = list(&node, Containerd::Cri).await;
    for (images, part) in [
        (&system, "registry.k8s.io/etcd:"),
        (&cri, "registry.k8s.io/pause:"),
    ] {
        let found = images.iter().find(|image| image.name.starts_with(part));
        let found = found.unwrap_or_else(|| panic!("{part} is not in {images:#?}"));
        assert!(
            found.digest.starts_with("sha256:") && found.size.is_some_and(|size| size > 0),
            "{found:?}"
        );
        assert!(found.created_at.is_some(), "{found:?}");
    }
    let calls = sim.cluster.requests().of(LIST);
    let stores: Vec<_> = calls
        .iter()
        .map(|call| message::<proto::ImageServiceListRequest>(call).containerd)
        .collect();
    assert_eq!(
        stores,
        [
            Some(instance(ContainerDriver::Cri, ContainerdNamespace::NsSystem)),
            Some(instance(ContainerDriver::Cri, ContainerdNamespace::NsCri)),
        ]
    );
}

// covers: machine.ImageService/Pull
#[tokio::test]
async fn a_pull_tells_how_far_it_is_and_ends_with_the_pinned_name() {
    let sim = Sim::start().await;
    let (node, simulated) = (sim.node(0), sim.cluster.node(0));
    simulated.serve_image("ghcr.io/org/app:v1", SimImage::with_layers([1000, 2000]));
    let images = node.images().of(Containerd::System);
    let mut pull = images.pull("ghcr.io/org/app:v1").send().await.expect("begun");
    let request: proto::ImageServicePullRequest = sim.received_by(0, PULL);
    assert_eq!(request.image_ref, "ghcr.io/org/app:v1");
    let mut steps = Vec::new();
    while let Some(step) = pull.next_progress().await {
        assert_eq!(pull.name(), None, "not there yet");
        steps.push(step.expect("a step"));
    }
    assert_eq!(
        steps.first().map(|step| step.status),
        Some(LayerStatus::Downloading)
    );
    let complete = steps
        .iter()
        .filter(|step| step.status == LayerStatus::ExtractComplete);
    assert_eq!(complete.count(), 2, "{steps:?}");
    assert!(
        steps.iter().any(|step| step.total == Some(2000)),
        "bytes are told: {steps:?}"
    );
    let pinned = pull.name().expect("it is there").to_owned();
    assert!(pinned.starts_with("ghcr.io/org/app@sha256:"), "{pinned}");
    assert!(simulated.image_names(ImageNamespace::System).contains(&pinned));

    simulated.serve_image("a/none", SimImage::failing(PullFailure::NotFound));
    let pull = async |image: &str| images.pull(image).send().await?.finish().await;
    let error = pull("a/none").await.expect_err("not there");
    assert_eq!(
        (error.kind(), error.origin()),
        (ErrorKind::NotFound, Origin::Node),
        "{error:#}"
    );
    let sent = sim.cluster.requests().of(PULL).len();
    assert_eq!(
        pull("").await.expect_err("no image").kind(),
        ErrorKind::InvalidInput
    );
    assert_eq!(sim.cluster.requests().of(PULL).len(), sent, "nothing was sent");
}

// covers: machine.ImageService/Remove
#[tokio::test]
async fn an_image_is_removed_once() {
    let sim = Sim::start().await;
    let images = sim.node(1).images();
    let name = "docker.io/library/alpine:3";
    let pull = images.pull(name).send().await.expect("begun");
    pull.finish().await.expect("there");
    images.remove(name).await.expect("removed");
    let request: proto::ImageServiceRemoveRequest = sim.received_by(1, REMOVE);
    assert_eq!(
        (request.image_ref.as_str(), request.containerd),
        (
            name,
            Some(instance(ContainerDriver::Cri, ContainerdNamespace::NsCri))
        )
    );
    assert!(
        !sim.cluster
            .node(1)
            .image_names(ImageNamespace::Cri)
            .contains(&name.to_owned())
    );
    let error = images.remove(name).await.expect_err("gone");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:#}");
    let error = images.remove(" ").await.expect_err("no image");
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::InvalidInput, 0),
        "{error:#}"
    );
}

// covers: machine.ImageService/Verify
#[tokio::test]
async fn rules_of_the_node_decide_about_an_image() {
    let sim = Sim::start().await;
    let verifier = sim.client_with_roles(&["os:image:verifier"]);
    let images = verifier
        .node(sim.cluster.node(0).name())
        .expect("a name")
        .images();
    let unknown = images.verify("alpine").send().await.expect("answered");
    assert_eq!(
        (unknown.verified(), unknown.message()),
        (false, "no matched rule")
    );
    let request: proto::ImageServiceVerifyRequest = sim.received_by(0, VERIFY);
    assert_eq!(
        (request.image_ref.as_str(), request.credentials),
        ("alpine", None)
    );
    sim.cluster.node(0).set_image_rules([
        ImageRule::new("0000", "ghcr.io/good/*", ImageRuleAction::Signed),
        ImageRule::new("0001", "**", ImageRuleAction::Deny),
    ]);
    let credentials = RegistryCredentials::new("ghcr.io", "me", "hunter2");
    let request = images.verify("ghcr.io/good/app:1").credentials(credentials);
    assert!(!format!("{request:?}").contains("hunter2"), "{request:?}");
    let good = request.send().await.expect("answered");
    assert!(good.verified(), "{good:?}");
    let pinned = good.pinned().expect("a digest");
    assert!(pinned.starts_with("ghcr.io/good/app@sha256:"), "{pinned}");
    let last = sim.cluster.requests().of(VERIFY).pop().expect("a call");
    let credentials = message::<proto::ImageServiceVerifyRequest>(&last)
        .credentials
        .expect("sent");
    assert_eq!(
        (
            credentials.host.as_str(),
            credentials.username.as_str(),
            credentials.password.as_str()
        ),
        ("ghcr.io", "me", "hunter2")
    );
    let error = images.verify("quay.io/x/y").send().await.expect_err("denied");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:#}");
    assert!(error.to_string().contains("matched rule (0001)"), "{error:#}");
}

// covers: machine.MachineService/ImageList
// covers: machine.MachineService/ImagePull
#[tokio::test]
async fn the_older_calls_are_sent_as_nodes_want_them() {
    let sim = Sim::start().await;
    let node = sim.node(0);
    let images = node.images();
    images
        .pull_by_machine_service("ghcr.io/org/old:1")
        .await
        .expect("there");
    let request: proto::ImagePullRequest = sim.received_by(0, OLD_PULL);
    assert_eq!(
        (request.namespace(), request.reference.as_str()),
        (ContainerdNamespace::NsCri, "ghcr.io/org/old:1")
    );
    let mut stream = images.list_by_machine_service().await.expect("opened");
    let mut names = Vec::new();
    while let Some(image) = stream.next_image().await {
        names.push(image.expect("an image").name);
    }
    assert!(names.contains(&"ghcr.io/org/old:1".to_owned()), "{names:?}");
    let request: proto::ImageListRequest = sim.received_by(0, OLD_LIST);
    assert_eq!(request.namespace(), ContainerdNamespace::NsCri);

    let in_memory = node.images().of(Containerd::InMemory);
    for error in [
        in_memory
            .pull_by_machine_service("a")
            .await
            .expect_err("not known"),
        in_memory.list_by_machine_service().await.expect_err("not known"),
        images.pull_by_machine_service("").await.expect_err("no image"),
    ] {
        assert_eq!(
            (error.kind(), error.attempts()),
            (ErrorKind::InvalidInput, 0),
            "{error:#}"
        );
    }
    sim.cluster
        .node(0)
        .serve_image("a/none", SimImage::failing(PullFailure::NotFound));
    let error = images.pull_by_machine_service("a/none").await;
    assert_eq!(error.expect_err("not there").kind(), ErrorKind::NotFound);
}

/// How often each call was received: the list, the pull, and both in their older form.
fn counts(sim: &Sim) -> [usize; 4] {
    [LIST, PULL, OLD_LIST, OLD_PULL].map(|method| sim.cluster.requests().of(method).len())
}

// covers: machine.MachineService/ImageList, machine.MachineService/ImagePull
// covers: machine.ImageService/List, machine.ImageService/Pull
#[tokio::test]
async fn nodes_of_every_release_list_and_pull_and_old_ones_are_tried_in_vain_once() {
    for (tag, old) in [
        ("v1.8.4", true),
        ("v1.9.6", true),
        ("v1.10.9", true),
        ("v1.11.6", true),
        ("v1.12.9", true),
        ("v1.13.2", false),
        ("v1.14.0", false),
    ] {
        let sim = Sim::of(SimCluster::builder().talos_version(tag)).await;
        let node = sim.node(0);
        for round in 1..=2 {
            let image = format!("ghcr.io/org/app:v{round}");
            let pull = node.images().pull(&image).send().await;
            let name = pull
                .unwrap_or_else(|error| panic!("{tag}: {error:#}"))
                .finish()
                .await;
            let name = name.unwrap_or_else(|error| panic!("{tag}: {error:#}"));
            if old {
                assert_eq!(name, image, "{tag}");
            } else {
                assert!(name.starts_with("ghcr.io/org/app@sha256:"), "{tag}: {name}");
            }
            let images = list(&node, Containerd::Cri).await;
            assert!(images.iter().any(|found| found.name == image), "{tag}");
        }
        let expected = if old { [1, 1, 2, 2] } else { [2, 2, 0, 0] };
        assert_eq!(counts(&sim), expected, "{tag}");
    }
}

#[tokio::test]
async fn a_node_whose_release_is_known_is_not_tried_in_vain_at_all() {
    let sim = Sim::of(SimCluster::builder().talos_version("v1.12.9")).await;
    let node = sim.node(0);
    node.capabilities().await.expect("answered");
    list(&node, Containerd::Cri).await;
    assert_eq!(counts(&sim), [0, 0, 1, 0]);
    // What the older call does not know is not asked of it.
    let error = node.images().of(Containerd::InMemory).list().await;
    let error = error.expect_err("too old");
    assert!(error.is_unknown_method(), "{error:#}");
    assert_eq!(counts(&sim), [1, 0, 1, 0]);
}
