//! Images: lists, pulls, imports, removals, rules.

use futures_util::stream;
use talos_proto::common::{ContainerDriver, ContainerdInstance, ContainerdNamespace, Data};
use talos_proto::machine::image_service_import_request::Request as ImportPart;
use talos_proto::machine::image_service_pull_layer_progress::Status as Layer;
use talos_proto::machine::image_service_pull_response::Response;
use talos_proto::machine::*;
use talos_testkit::{
    ImageNamespace, ImageRule, ImageRuleAction, PullFailure, ServiceState, SimImage, SimNode,
};
use tonic::{Code, Status};

use crate::single;
use crate::wire::{Wire, all, failure};

const SYSTEM: ContainerdInstance = instance(ContainerDriver::Containerd, ContainerdNamespace::NsSystem);
const CRI: ContainerdInstance = instance(ContainerDriver::Cri, ContainerdNamespace::NsCri);

const fn instance(driver: ContainerDriver, namespace: ContainerdNamespace) -> ContainerdInstance {
    ContainerdInstance {
        driver: driver as i32,
        namespace: namespace as i32,
    }
}

async fn pull(wire: &Wire, image_ref: &str) -> Result<Vec<Response>, Status> {
    let request = ImageServicePullRequest {
        containerd: Some(SYSTEM),
        image_ref: image_ref.to_owned(),
    };
    let messages = all(wire.images().pull(request).await?.into_inner()).await?;
    Ok(messages
        .into_iter()
        .filter_map(|message| message.response)
        .collect())
}

/// Layer and state of each progress message.
fn steps(messages: &[Response]) -> Vec<(&str, Layer)> {
    let progress = messages.iter().filter_map(|message| match message {
        Response::PullProgress(progress) => Some((
            progress.layer_id.as_str(),
            progress.progress.as_ref().unwrap().status(),
        )),
        Response::Name(_) => None,
    });
    progress.collect()
}

fn name(messages: &[Response]) -> &str {
    match messages.last() {
        Some(Response::Name(name)) => name,
        other => panic!("{other:?}"),
    }
}

// covers: machine.ImageService/List
#[tokio::test]
async fn stores_hold_what_their_containers_run() {
    let cluster = single().await;
    let wire = Wire::with_roles(&cluster, &cluster.node(0), &["os:reader"]).await;
    let list = async |containerd| {
        let request = ImageServiceListRequest { containerd };
        all(wire.images().list(request).await?.into_inner()).await
    };
    let system = list(Some(SYSTEM)).await.unwrap();
    assert!(
        system
            .iter()
            .any(|image| image.name.starts_with("registry.k8s.io/etcd:")),
        "{system:?}"
    );
    assert!(
        system
            .iter()
            .all(|image| image.digest.starts_with("sha256:") && image.size > 0)
    );
    let pinned = system.iter().filter(|image| image.name.contains('@')).count();
    assert_eq!(pinned * 2, system.len(), "each by tag and by digest");
    let cri = list(Some(CRI)).await.unwrap();
    assert!(
        cri.iter()
            .any(|image| image.name.starts_with("registry.k8s.io/pause:"))
    );
    let both = ContainerdInstance {
        driver: ContainerDriver::Cri.into(),
        ..SYSTEM
    };
    assert_eq!(list(Some(both)).await.unwrap().len(), system.len());
    let wrong = [
        (None, "invalid containerd namespace NS_UNKNOWN"),
        (
            Some(ContainerdInstance {
                driver: ContainerDriver::Containerd.into(),
                ..CRI
            }),
            "cannot use CRI namespace with containerd driver",
        ),
        (
            Some(ContainerdInstance { driver: 8, ..SYSTEM }),
            "invalid containerd driver 8",
        ),
    ];
    for (containerd, message) in wrong {
        assert_eq!(
            failure(list(containerd).await),
            (Code::InvalidArgument, message.to_owned())
        );
    }
}

// covers: machine.ImageService/Pull
#[tokio::test]
async fn a_pull_tells_of_its_layers_and_ends_with_the_pinned_name() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let image = SimImage::with_layers([1000, 2000]);
    node.serve_image("ghcr.io/org/app:v1", image.clone());
    let messages = pull(&wire, "ghcr.io/org/app:v1").await.unwrap();
    let found = steps(&messages);
    let of_layer = [
        Layer::Downloading,
        Layer::Downloading,
        Layer::DownloadComplete,
        Layer::Extracting,
        Layer::ExtractComplete,
    ];
    assert_eq!(
        found.iter().map(|(_, step)| *step).collect::<Vec<_>>(),
        [of_layer, of_layer].concat()
    );
    let pinned = name(&messages).to_owned();
    assert!(pinned.starts_with("ghcr.io/org/app@sha256:"), "{pinned}");
    let stored = node.image_names(ImageNamespace::System);
    assert!(stored.contains(&pinned) && stored.contains(&"ghcr.io/org/app:v1".to_owned()));
    assert_eq!(
        pull(&wire, "ghcr.io/org/app:v1").await.unwrap(),
        [Response::Name(pinned.clone())]
    );
    assert_eq!(
        pull(&wire, &pinned).await.unwrap().last(),
        Some(&Response::Name(pinned))
    );
    node.serve_image("ghcr.io/org/app:v2", image);
    let again = pull(&wire, "ghcr.io/org/app:v2").await.unwrap();
    let states: Vec<_> = steps(&again).iter().map(|(_, step)| *step).collect();
    assert_eq!(
        states,
        [Layer::AlreadyExists, Layer::AlreadyExists],
        "the layers are there"
    );
    assert_ne!(name(&again), name(&messages));
}

// covers: machine.ImageService/Pull
#[tokio::test]
async fn pulls_fail_before_they_begin_or_on_the_way() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    node.serve_image("a/none", SimImage::failing(PullFailure::NotFound));
    node.serve_image(
        "a/down",
        SimImage::failing(PullFailure::Other("dial tcp: no such host".to_owned())),
    );
    let mut broken = SimImage::with_layers([5000]);
    broken.failure = Some(PullFailure::Broken("unexpected EOF".to_owned()));
    node.serve_image("a/broken", broken);
    let cases = [
        (
            "a/none",
            Code::NotFound,
            "error pulling image: docker.io/a/none:latest: not found",
        ),
        ("a/down", Code::Unknown, "dial tcp: no such host"),
        ("a/broken", Code::Unknown, "unexpected EOF"),
        (
            "A b",
            Code::Unknown,
            "failed to parse image reference \"A b\": invalid reference format: repository name (library/A b) must be \
             lowercase",
        ),
    ];
    for (reference, code, message) in cases {
        assert_eq!(
            failure(pull(&wire, reference).await),
            (code, message.to_owned()),
            "{reference}"
        );
    }
    let request = ImageServicePullRequest {
        containerd: Some(SYSTEM),
        image_ref: "a/broken".to_owned(),
    };
    let mut stream = wire.images().pull(request).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some(), "it begins");
    assert_eq!(stream.message().await.unwrap_err().message(), "unexpected EOF");
    assert!(
        !node
            .image_names(ImageNamespace::System)
            .iter()
            .any(|name| name.contains("broken"))
    );
}

// covers: machine.ImageService/Pull
#[tokio::test]
async fn a_pull_that_is_held_goes_on_when_it_is_let_go() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    node.hold_pulls(true);
    let request = ImageServicePullRequest {
        containerd: Some(SYSTEM),
        image_ref: "ghcr.io/org/slow:1".to_owned(),
    };
    let mut stream = wire.images().pull(request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    let stored = |node: &SimNode| {
        node.image_names(ImageNamespace::System)
            .iter()
            .any(|name| name.contains("slow"))
    };
    assert!(!stored(&node));
    node.hold_pulls(false);
    let rest = all(stream).await.unwrap();
    assert!(matches!(rest.last().unwrap().response, Some(Response::Name(_))));
    assert!(stored(&node));
}

// covers: machine.ImageService/Remove
#[tokio::test]
async fn an_image_is_removed_once() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let remove = async |image_ref: &str| {
        let request = ImageServiceRemoveRequest {
            containerd: Some(SYSTEM),
            image_ref: image_ref.to_owned(),
        };
        wire.images().remove(request).await
    };
    pull(&wire, "alpine:3").await.unwrap();
    remove("docker.io/library/alpine:3").await.unwrap();
    let again = failure(remove("docker.io/library/alpine:3").await);
    assert_eq!(
        again,
        (
            Code::NotFound,
            "image docker.io/library/alpine:3 not found".to_owned()
        )
    );
}

/// A tar of files, made by a few lines of its own.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, contents) in files {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", contents.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        tar.extend_from_slice(&header);
        tar.extend_from_slice(contents);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

async fn import(wire: &Wire, archive: &[u8]) -> Result<String, Status> {
    let first = ImageServiceImportRequest {
        request: Some(ImportPart::Containerd(CRI)),
    };
    let chunks = archive.chunks(700).map(|chunk| ImageServiceImportRequest {
        request: Some(ImportPart::ImageChunk(Data {
            metadata: None,
            bytes: chunk.to_vec().into(),
        })),
    });
    let messages: Vec<_> = std::iter::once(first).chain(chunks).collect();
    Ok(wire
        .images()
        .import(stream::iter(messages))
        .await?
        .into_inner()
        .name)
}

// covers: machine.ImageService/Import
#[tokio::test]
async fn archives_of_both_layouts_are_imported() {
    use std::io::Write as _;

    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let manifest =
        br#"[{"Config":"c.json","RepoTags":["registry.k8s.io/pause:mine"],"Layers":["l/layer.tar"]}]"#;
    let docker = tar(&[
        ("l/layer.tar", &[7; 3000]),
        ("c.json", b"{}"),
        ("manifest.json", manifest),
    ]);
    assert_eq!(
        import(&wire, &docker).await.unwrap(),
        "registry.k8s.io/pause:mine"
    );
    let digest = "ab".repeat(32);
    let index = format!(
        r#"{{"manifests":[{{"digest":"sha256:{digest}","annotations":{{"io.containerd.image.name":"ghcr.io/a/b:1"}}}}]}}"#
    );
    let blob = format!("blobs/sha256/{digest}");
    let oci = tar(&[
        ("oci-layout", b"{}"),
        ("index.json", index.as_bytes()),
        (&blob, b"{}"),
    ]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&oci).unwrap();
    assert_eq!(
        import(&wire, &gzip.finish().unwrap()).await.unwrap(),
        "ghcr.io/a/b:1"
    );
    let stored = node.image_names(ImageNamespace::Cri);
    for name in [
        "registry.k8s.io/pause:mine".to_owned(),
        format!("ghcr.io/a/b@sha256:{digest}"),
    ] {
        assert!(stored.contains(&name), "{name}");
    }
    let without_blob = tar(&[("oci-layout", b"{}"), ("index.json", index.as_bytes())]);
    let cases = [
        (
            tar(&[("manifest.json", b"[]")]),
            Code::InvalidArgument,
            "no images imported from archive",
        ),
        (
            docker[..2000].to_vec(),
            Code::Internal,
            "failed to import image: unexpected EOF",
        ),
        (
            tar(&[("a", b"b")]),
            Code::Internal,
            "failed to import image: unrecognized image format",
        ),
        (
            vec![9; 4096],
            Code::Internal,
            "failed to import image: archive/tar: invalid tar header",
        ),
    ];
    for (archive, code, message) in cases {
        assert_eq!(failure(import(&wire, &archive).await), (code, message.to_owned()));
    }
    let (code, message) = failure(import(&wire, &without_blob).await);
    assert_eq!(code, Code::Internal);
    assert!(
        message.starts_with("failed to unpack image ghcr.io/a/b:1: sha256:abab"),
        "{message}"
    );
}

// covers: machine.ImageService/Import
#[tokio::test]
async fn an_import_says_first_where_to() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let send = async |parts: Vec<Option<ImportPart>>| {
        let messages = parts
            .into_iter()
            .map(|request| ImageServiceImportRequest { request });
        let messages: Vec<_> = messages.collect();
        wire.images().import(stream::iter(messages)).await
    };
    let chunk = Some(ImportPart::ImageChunk(Data::default()));
    let required = (
        Code::InvalidArgument,
        "containerd instance is required".to_owned(),
    );
    assert_eq!(failure(send(vec![chunk]).await), required);
    assert_eq!(failure(send(vec![]).await), required);
    let twice = vec![Some(ImportPart::Containerd(CRI)); 2];
    assert_eq!(
        failure(send(twice).await),
        (Code::InvalidArgument, "no image chunk".to_owned())
    );
}

// covers: machine.ImageService/Verify
#[tokio::test]
async fn the_first_rule_that_matches_decides() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::with_roles(&cluster, &node, &["os:image:verifier"]).await;
    let verify = async |image_ref: &str| {
        let request = ImageServiceVerifyRequest {
            image_ref: image_ref.to_owned(),
            credentials: None,
        };
        wire.images()
            .verify(request)
            .await
            .map(tonic::Response::into_inner)
    };
    let reply = verify("alpine").await.unwrap();
    assert_eq!(
        (reply.verified, reply.message.as_str()),
        (false, "no matched rule")
    );
    node.set_image_rules([
        ImageRule::new("0002", "**", ImageRuleAction::Deny),
        ImageRule::new("0000", "docker.io/library/*", ImageRuleAction::Skip),
        ImageRule::new("0001", "ghcr.io/good/*", ImageRuleAction::Signed),
        ImageRule::new(
            "0001a",
            "ghcr.io/bad/*",
            ImageRuleAction::BadSignature("no signatures found".to_owned()),
        ),
    ]);
    let rules = node
        .resources()
        .list("security", "ImageVerificationRules.security.talos.dev");
    let ids: Vec<_> = rules.iter().map(talos_testkit::SimResource::id).collect();
    assert_eq!(ids, ["0000", "0001", "0001a", "0002"]);
    let skips = "imagePattern: \"docker.io/library/*\"\nskip: true\ndeny: false\n";
    assert_eq!(rules[0].yaml_spec(), skips);
    let reply = verify("alpine").await.unwrap();
    assert_eq!(
        (reply.verified, reply.message.as_str()),
        (false, "verification skipped by matched rule (0000)")
    );
    let reply = verify("ghcr.io/good/app:1").await.unwrap();
    assert!(
        reply.verified && reply.digested_image_ref.starts_with("ghcr.io/good/app@sha256:"),
        "{reply:?}"
    );
    node.serve_image("ghcr.io/good/none:1", SimImage::failing(PullFailure::NotFound));
    let cases = [
        (
            "ghcr.io/bad/app:1",
            Code::PermissionDenied,
            "image verification failed: no signatures found",
        ),
        (
            "quay.io/x/y",
            Code::PermissionDenied,
            "verification denied by matched rule (0002)",
        ),
        (
            "a@b",
            Code::InvalidArgument,
            "image reference is invalid: invalid reference format",
        ),
        (
            "ghcr.io/good/none:1",
            Code::NotFound,
            "image reference not found during resolution: ghcr.io/good/none:1: not found",
        ),
    ];
    for (reference, code, message) in cases {
        assert_eq!(failure(verify(reference).await), (code, message.to_owned()));
    }
}

// covers: machine.MachineService/ImageList
// covers: machine.MachineService/ImagePull
#[expect(deprecated, reason = "they are served until Talos 1.18")]
#[tokio::test]
async fn the_old_rpcs_see_the_same_stores() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let pull = async |namespace: i32, reference: &str| {
        let request = ImagePullRequest {
            namespace,
            reference: reference.to_owned(),
        };
        wire.machine().image_pull(request).await
    };
    let cri = ContainerdNamespace::NsCri.into();
    pull(cri, "ghcr.io/org/old:1").await.unwrap();
    let list = async |namespace: i32| {
        let request = ImageListRequest { namespace };
        all(wire.machine().image_list(request).await?.into_inner()).await
    };
    let images = list(cri).await.unwrap();
    assert!(
        images
            .iter()
            .any(|image| image.name == "ghcr.io/org/old:1" && image.created_at.is_some())
    );
    assert_eq!(images.len(), node.image_names(ImageNamespace::Cri).len());
    let unknown = (Code::InvalidArgument, "invalid namespace NS_UNKNOWN".to_owned());
    assert_eq!(failure(list(0).await), unknown);
    assert_eq!(failure(pull(0, "a").await), unknown);
    node.serve_image("a/none", SimImage::failing(PullFailure::NotFound));
    assert_eq!(
        failure(pull(cri, "a/none").await),
        (
            Code::NotFound,
            "error pulling image: docker.io/a/none:latest: not found".to_owned()
        )
    );
}

// covers: machine.ImageService/List
// covers: machine.MachineService/ImageList
#[tokio::test]
async fn without_the_container_runtime_there_are_no_stores() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    node.set_service_state("cri", ServiceState::Failed, "exit status 1");
    let request = ImageServiceListRequest {
        containerd: Some(CRI),
    };
    let (code, message) = failure(wire.images().list(request).await);
    assert_eq!(code, Code::Unavailable);
    assert!(
        message.starts_with("error connecting to containerd: "),
        "{message}"
    );
    let request = ImageServiceListRequest {
        containerd: Some(SYSTEM),
    };
    wire.images().list(request).await.unwrap();
}
