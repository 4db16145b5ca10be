//! Images in the stores of containerd.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use talos_proto::common::{ContainerDriver, ContainerdInstance, ContainerdNamespace};
use talos_proto::machine::image_service_import_request::Request as ImportPart;
use talos_proto::machine::image_service_pull_layer_progress::Status as LayerStatus;
use talos_proto::machine::image_service_pull_response::Response as PullPart;
use talos_proto::machine::{
    ImageListRequest, ImageListResponse, ImagePull, ImagePullRequest, ImagePullResponse,
    ImageServiceImportRequest, ImageServiceImportResponse, ImageServiceListRequest, ImageServiceListResponse,
    ImageServicePullLayerProgress, ImageServicePullProgress, ImageServicePullRequest,
    ImageServicePullResponse, ImageServiceRemoveRequest, ImageServiceVerifyRequest,
    ImageServiceVerifyResponse,
};
use tokio::time::Instant;
use tonic::{Status, Streaming};

use super::{Call, Items};
use crate::clock::Moment;
use crate::node::Node;
use crate::node::images::import::{ImportError, Importer};
use crate::node::images::reference::Reference;
use crate::node::images::verify::ImageRuleAction;
use crate::node::images::{Image, ImageNamespace, Layer, PullError, PullFailure, PullPlan};
use crate::node::services::ServiceState;

/// The store that a request of the new services means.
pub(super) fn store(instance: Option<ContainerdInstance>) -> Result<ImageNamespace, Status> {
    let instance = instance.unwrap_or_default();
    let Ok(driver) = ContainerDriver::try_from(instance.driver) else {
        return Err(Status::invalid_argument(format!(
            "invalid containerd driver {}",
            instance.driver
        )));
    };
    match (ContainerdNamespace::try_from(instance.namespace), driver) {
        (Ok(ContainerdNamespace::NsSystem), _) => Ok(ImageNamespace::System),
        (Ok(ContainerdNamespace::NsCri), ContainerDriver::Cri) => Ok(ImageNamespace::Cri),
        (Ok(ContainerdNamespace::NsCri), ContainerDriver::Containerd) => Err(Status::invalid_argument(
            "cannot use CRI namespace with containerd driver",
        )),
        (namespace, _) => Err(Status::invalid_argument(format!(
            "invalid containerd namespace {}",
            namespace_name(namespace, instance.namespace)
        ))),
    }
}

/// The store that a request of the old RPCs means.
fn old_store(namespace: i32) -> Result<ImageNamespace, Status> {
    match ContainerdNamespace::try_from(namespace) {
        Ok(ContainerdNamespace::NsSystem) => Ok(ImageNamespace::System),
        Ok(ContainerdNamespace::NsCri) => Ok(ImageNamespace::Cri),
        other => Err(Status::invalid_argument(format!(
            "invalid namespace {}",
            namespace_name(other, namespace)
        ))),
    }
}

/// An enum's value as Go prints it: a number if it has no name.
fn namespace_name<E>(namespace: Result<ContainerdNamespace, E>, number: i32) -> String {
    namespace.map_or_else(
        |_| number.to_string(),
        |namespace| namespace.as_str_name().to_owned(),
    )
}

/// Fails unless the service that keeps the store runs.
pub(super) fn connect(node: &Node, namespace: ImageNamespace) -> Result<(), Status> {
    let (service, socket) = match namespace {
        ImageNamespace::System => ("containerd", "/system/run/containerd/containerd.sock"),
        ImageNamespace::Cri => ("cri", "/run/containerd/containerd.sock"),
    };
    if node.services.state(service) == Some(ServiceState::Running) {
        return Ok(());
    }
    Err(Status::unavailable(format!(
        "error connecting to containerd: failed to dial \"{socket}\": context deadline exceeded: connection error: desc = \
         \"transport: error while dialing: dial unix {socket}: connect: connection refused\""
    )))
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

pub(in crate::machined) async fn image_list(
    call: Call,
    request: ImageListRequest,
) -> Result<Items<ImageListResponse>, Status> {
    let namespace = old_store(request.namespace)?;
    connect(&call.node, namespace)?;
    let images = call.node.images(namespace);
    let items = images.into_iter().map(|(name, image)| {
        Ok(ImageListResponse {
            metadata: None,
            name,
            digest: image.digest,
            size: signed(image.size),
            created_at: Some(image.created.to_proto()),
        })
    });
    Ok(stream::iter(items).boxed())
}

pub(in crate::machined) async fn list(
    call: Call,
    request: ImageServiceListRequest,
) -> Result<Items<ImageServiceListResponse>, Status> {
    let namespace = store(request.containerd)?;
    connect(&call.node, namespace)?;
    let images = call.node.images(namespace);
    let items = images.into_iter().map(|(name, image)| {
        Ok(ImageServiceListResponse {
            name,
            digest: image.digest,
            size: signed(image.size),
            created_at: Some(image.created.to_proto()),
            labels: image.labels.into_iter().collect(),
        })
    });
    Ok(stream::iter(items).boxed())
}

pub(in crate::machined) async fn image_pull(
    call: Call,
    request: ImagePullRequest,
) -> Result<ImagePullResponse, Status> {
    let namespace = old_store(request.namespace)?;
    let plan = plan(&call.node, namespace, &request.reference)?;
    let messages = progress(&plan).len();
    for _ in 0..messages {
        pause(&call.node).await;
    }
    if let Some(error) = &plan.broken {
        return Err(Status::unknown(error));
    }
    call.node.finish_pull(namespace, plan);
    Ok(ImagePullResponse {
        messages: vec![ImagePull::default()],
    })
}

fn plan(node: &Node, namespace: ImageNamespace, reference: &str) -> Result<PullPlan, Status> {
    connect(node, namespace)?;
    node.plan_pull(namespace, reference).map_err(|error| match error {
        PullError::Reference(error) => {
            let quoted = crate::text::go_quoted(reference);
            Status::unknown(format!("failed to parse image reference {quoted}: {error}"))
        }
        PullError::NotFound(error) => Status::not_found(format!("error pulling image: {error}")),
        PullError::Other(error) => Status::unknown(error),
    })
}

/// Waits as long as tests let pulls wait.
async fn pause(node: &Node) {
    let pace = *node.image_store.pace.lock();
    if !pace.is_zero() {
        tokio::time::sleep(pace).await;
    }
    let mut held = node.image_store.held.subscribe();
    // The sender lives as long as the node.
    let _held = held.wait_for(|held| !held).await;
}

/// What is said about the layers, in order.
fn progress(plan: &PullPlan) -> Vec<(String, LayerStatus, u64, u64)> {
    if plan.present {
        return Vec::new();
    }
    let steps = plan.layers.iter().flat_map(
        |Layer {
             digest,
             size,
             present,
         }| {
            let steps = if *present {
                vec![(LayerStatus::AlreadyExists, *size)]
            } else {
                vec![
                    (LayerStatus::Downloading, 0),
                    (LayerStatus::Downloading, size / 2),
                    (LayerStatus::DownloadComplete, *size),
                    (LayerStatus::Extracting, 0),
                    (LayerStatus::ExtractComplete, *size),
                ]
            };
            steps
                .into_iter()
                .map(|(status, offset)| (digest.clone(), status, offset, *size))
        },
    );
    steps.collect()
}

/// A pull under way.
struct Pull {
    node: Arc<Node>,
    namespace: ImageNamespace,
    plan: PullPlan,
    steps: std::vec::IntoIter<(String, LayerStatus, u64, u64)>,
    started: Instant,
    sent: usize,
}

pub(in crate::machined) async fn pull(
    call: Call,
    request: ImageServicePullRequest,
) -> Result<Items<ImageServicePullResponse>, Status> {
    let namespace = store(request.containerd)?;
    let plan = plan(&call.node, namespace, &request.image_ref)?;
    let pull = Pull {
        steps: progress(&plan).into_iter(),
        node: call.node,
        namespace,
        plan,
        started: Instant::now(),
        sent: 0,
    };
    let messages = stream::unfold(Some(pull), |pull| async move {
        let mut pull = pull?;
        if pull.sent > 0 {
            pause(&pull.node).await;
            if let Some(error) = &pull.plan.broken {
                return Some((Err(Status::unknown(error)), None));
            }
        }
        pull.sent += 1;
        let Some((layer_id, status, offset, total)) = pull.steps.next() else {
            let name = pull.plan.name.clone();
            pull.node.finish_pull(pull.namespace, pull.plan);
            return Some((Ok(part(PullPart::Name(name))), None));
        };
        let progress = ImageServicePullLayerProgress {
            status: status.into(),
            elapsed: Some(elapsed(pull.started.elapsed())),
            offset: signed(offset),
            total: signed(total),
        };
        let message = part(PullPart::PullProgress(ImageServicePullProgress {
            layer_id,
            progress: Some(progress),
        }));
        Some((Ok(message), Some(pull)))
    });
    Ok(messages.boxed())
}

fn part(response: PullPart) -> ImageServicePullResponse {
    ImageServicePullResponse {
        response: Some(response),
    }
}

fn elapsed(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

pub(in crate::machined) async fn import(
    call: Call,
    mut request: Streaming<ImageServiceImportRequest>,
) -> Result<ImageServiceImportResponse, Status> {
    let first = request.message().await?.and_then(|message| message.request);
    let Some(ImportPart::Containerd(instance)) = first else {
        return Err(Status::invalid_argument("containerd instance is required"));
    };
    let namespace = store(Some(instance))?;
    connect(&call.node, namespace)?;
    let mut importer = Importer::new();
    while let Some(message) = request.message().await? {
        let Some(ImportPart::ImageChunk(chunk)) = message.request else {
            return Err(Status::invalid_argument("no image chunk"));
        };
        importer.push(&chunk.bytes).map_err(import_failed)?;
    }
    let images = importer.finish().map_err(import_failed)?;
    let mut first = None;
    for found in images {
        let reference =
            Reference::parse(&found.name).map_err(|error| import_failed(ImportError::Format(error)))?;
        let image = Image {
            layers: vec![found.digest.clone()],
            digest: found.digest,
            size: found.size,
            created: Moment::now(),
            labels: Default::default(),
        };
        call.node.store_image(namespace, &reference, image);
        first.get_or_insert_with(|| reference.to_string());
    }
    Ok(ImageServiceImportResponse {
        name: first.unwrap_or_default(),
    })
}

fn import_failed(error: ImportError) -> Status {
    match error {
        ImportError::Format(error) => Status::internal(format!("failed to import image: {error}")),
        ImportError::Empty => Status::invalid_argument("no images imported from archive"),
        ImportError::Unpack { name, error } => {
            Status::internal(format!("failed to unpack image {name}: {error}"))
        }
    }
}

pub(in crate::machined) async fn remove(
    call: Call,
    request: ImageServiceRemoveRequest,
) -> Result<(), Status> {
    let namespace = store(request.containerd)?;
    connect(&call.node, namespace)?;
    if call.node.remove_image(namespace, &request.image_ref) {
        Ok(())
    } else {
        Err(Status::not_found(format!(
            "image {} not found",
            request.image_ref
        )))
    }
}

pub(in crate::machined) async fn verify(
    call: Call,
    request: ImageServiceVerifyRequest,
) -> Result<ImageServiceVerifyResponse, Status> {
    let reference = Reference::parse(&request.image_ref)
        .map_err(|error| Status::invalid_argument(format!("image reference is invalid: {error}")))?;
    let mut rules = call.node.image_store.rules.lock().clone();
    rules.sort_by(|one, other| one.id.cmp(&other.id));
    let full = reference.to_string();
    let unverified = |message: String| {
        Ok(ImageServiceVerifyResponse {
            verified: false,
            message,
            digested_image_ref: String::new(),
        })
    };
    let Some(rule) = rules.into_iter().find(|rule| rule.matches(&full)) else {
        return unverified("no matched rule".to_owned());
    };
    let id = &rule.id;
    match rule.action {
        ImageRuleAction::Skip => unverified(format!("verification skipped by matched rule ({id})")),
        ImageRuleAction::Deny => Err(Status::permission_denied(format!(
            "verification denied by matched rule ({id})"
        ))),
        ImageRuleAction::BadSignature(error) => Err(Status::permission_denied(format!(
            "image verification failed: {error}"
        ))),
        ImageRuleAction::Signed => {
            let upstream = call.node.image_store.upstream(&reference);
            if upstream.failure == Some(PullFailure::NotFound) {
                return Err(Status::not_found(format!(
                    "image reference not found during resolution: {full}: not found"
                )));
            }
            let digested = call.node.pinned(&reference);
            Ok(ImageServiceVerifyResponse {
                verified: true,
                message: format!("verified by matched rule ({id})"),
                digested_image_ref: digested,
            })
        }
    }
}
