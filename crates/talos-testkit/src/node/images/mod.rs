//! The images of a node, and the registries they come from.

pub(crate) mod import;
pub(crate) mod reference;
pub(crate) mod verify;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;

use super::{MachineRole, Node};
use crate::clock::Moment;
use crate::node::containers::{K8S, SYSTEM};
use crate::node::installation::release_of;
use crate::rng::SimRng;
use crate::sync::Guarded;
use reference::Reference;
use verify::ImageRule;

/// Which of the two sets of images of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ImageNamespace {
    /// Those of Talos's own services, and of installers.
    System,
    /// Those of Kubernetes.
    Cri,
}

/// An image as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) digest: String,
    pub(crate) size: u64,
    pub(crate) created: Moment,
    pub(crate) labels: BTreeMap<String, String>,
    /// Digests of the layers.
    pub(crate) layers: Vec<String>,
}

/// An image that a registry has. See [`SimNode::serve_image`](crate::SimNode::serve_image).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimImage {
    /// Sizes of the layers in bytes.
    pub layers: Vec<u64>,
    /// Labels that the store gives the image.
    pub labels: BTreeMap<String, String>,
    /// Why it cannot be pulled; `None` if it can.
    pub failure: Option<PullFailure>,
}

/// Why an image cannot be pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PullFailure {
    /// The registry has no such image.
    NotFound,
    /// Something else, such as `dial tcp: lookup …: no such host`.
    Other(String),
    /// The connection breaks after the first progress message, with this text.
    Broken(String),
}

impl SimImage {
    /// An image with layers of these sizes in bytes.
    #[must_use]
    pub fn with_layers(layers: impl IntoIterator<Item = u64>) -> Self {
        Self {
            layers: layers.into_iter().collect(),
            labels: BTreeMap::new(),
            failure: None,
        }
    }

    /// An image that cannot be pulled.
    #[must_use]
    pub fn failing(failure: PullFailure) -> Self {
        Self {
            failure: Some(failure),
            ..Self::with_layers([])
        }
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }
}

/// A layer on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) digest: String,
    pub(crate) size: u64,
    /// Some image of the node has it already.
    pub(crate) present: bool,
}

/// What a pull has to do.
#[derive(Debug, Clone)]
pub(crate) struct PullPlan {
    reference: Reference,
    pub(crate) name: String,
    pub(crate) layers: Vec<Layer>,
    /// Nothing to do: the image is there.
    pub(crate) present: bool,
    /// Why it breaks off after it began.
    pub(crate) broken: Option<String>,
    image: Image,
}

/// Why a pull does not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PullError {
    Reference(String),
    NotFound(String),
    Other(String),
}

type Images = BTreeMap<String, Image>;

/// The image stores of a node, and how it pulls.
#[derive(Debug, Default)]
pub(crate) struct ImageStore {
    /// `None` while a store has what its containers need.
    system: Guarded<Option<Images>>,
    cri: Guarded<Option<Images>>,
    /// What registries serve under references, completed.
    served: Guarded<BTreeMap<String, SimImage>>,
    /// Time between two messages about progress.
    pub(crate) pace: Guarded<Duration>,
    /// Whether pulls wait after their first message.
    pub(crate) held: watch::Sender<bool>,
    pub(crate) rules: Guarded<Vec<ImageRule>>,
}

impl ImageStore {
    fn of(&self, namespace: ImageNamespace) -> &Guarded<Option<Images>> {
        match namespace {
            ImageNamespace::System => &self.system,
            ImageNamespace::Cri => &self.cri,
        }
    }

    pub(crate) fn serve(&self, reference: &Reference, image: SimImage) {
        self.served.lock().insert(reference.to_string(), image);
    }

    /// What the registry has under a reference. It has everything but what tests have taken away.
    pub(crate) fn upstream(&self, reference: &Reference) -> SimImage {
        let served = self.served.lock().get(&reference.to_string()).cloned();
        served.unwrap_or_else(|| {
            let mut rng = SimRng::new(1).fork(&reference.repository);
            let layers = (0..1 + rng.one_to(3)).map(|_| 1_000_000 + rng.next_u64() % 30_000_000);
            SimImage::with_layers(layers.collect::<Vec<_>>())
        })
    }
}

impl Node {
    /// The images of a namespace by name.
    pub(crate) fn images(&self, namespace: ImageNamespace) -> Images {
        let stored = self.image_store.of(namespace).lock().clone();
        stored.unwrap_or_else(|| self.default_images(namespace))
    }

    fn default_images(&self, namespace: ImageNamespace) -> Images {
        let mut names = match namespace {
            ImageNamespace::System => vec!["ghcr.io/siderolabs/kubelet:v1.36.0".to_owned()],
            ImageNamespace::Cri => {
                let containers = self.containers(K8S).into_iter();
                containers.map(|container| container.image).collect()
            }
        };
        if namespace == ImageNamespace::System && self.machine_role() == Some(MachineRole::ControlPlane) {
            let services = self.containers(SYSTEM).into_iter();
            names.extend(
                services
                    .map(|service| service.image)
                    .filter(|image| image.contains(':')),
            );
        }
        let mut images = Images::new();
        for reference in names.iter().filter_map(|name| Reference::parse(name).ok()) {
            let image = make(
                &reference,
                &self.image_store.upstream(&reference),
                self.boot_time(),
            );
            insert(&mut images, &reference, image);
        }
        images
    }

    /// Whether the image called `name`, by tag or by digest, is there.
    pub(crate) fn has_image(&self, namespace: ImageNamespace, name: &str) -> bool {
        let images = self.images(namespace);
        let full = Reference::parse(name).map(|reference| reference.to_string());
        images.contains_key(name) || full.is_ok_and(|full| images.contains_key(&full))
    }

    /// The Talos release that the installer image called `name` brings: the one in its tag, or in that of an
    /// image in a store with the same digest.
    pub(crate) fn release_of_installer(&self, name: &str) -> Option<String> {
        release_of(name).or_else(|| {
            let reference = Reference::parse(name).ok()?;
            let stores = [ImageNamespace::System, ImageNamespace::Cri];
            let images = stores.into_iter().flat_map(|namespace| self.images(namespace));
            images
                .filter(|(_, image)| image.digest == reference.digest)
                .find_map(|(name, _)| release_of(&name))
        })
    }

    /// Finds out what is to be done to have the image `name`.
    pub(crate) fn plan_pull(&self, namespace: ImageNamespace, name: &str) -> Result<PullPlan, PullError> {
        let reference = Reference::parse(name).map_err(PullError::Reference)?;
        let upstream = self.image_store.upstream(&reference);
        let broken = match upstream.failure.clone() {
            Some(PullFailure::NotFound) => {
                return Err(PullError::NotFound(format!("{reference}: not found")));
            }
            Some(PullFailure::Other(error)) => return Err(PullError::Other(error)),
            Some(PullFailure::Broken(error)) => Some(error),
            None => None,
        };
        let images = self.images(namespace);
        let image = make(&reference, &upstream, Moment::now());
        let stored = images
            .values()
            .flat_map(|image| &image.layers)
            .collect::<Vec<_>>();
        let layers = image
            .layers
            .iter()
            .zip(&upstream.layers)
            .map(|(digest, size)| Layer {
                present: stored.contains(&digest),
                digest: digest.clone(),
                size: *size,
            });
        Ok(PullPlan {
            name: reference.pinned(&image.digest),
            layers: layers.collect(),
            present: images
                .get(&reference.to_string())
                .is_some_and(|stored| stored.digest == image.digest),
            broken,
            reference,
            image,
        })
    }

    /// What `reference` is when the registry has said which digest it has.
    pub(crate) fn pinned(&self, reference: &Reference) -> String {
        let upstream = self.image_store.upstream(reference);
        reference.pinned(&make(reference, &upstream, Moment::now()).digest)
    }

    /// Stores what `plan` is about.
    pub(crate) fn finish_pull(&self, namespace: ImageNamespace, plan: PullPlan) {
        self.store_image(namespace, &plan.reference, plan.image);
    }

    /// Stores an image under its name and under its digest.
    pub(crate) fn store_image(&self, namespace: ImageNamespace, reference: &Reference, image: Image) {
        let mut images = self.images(namespace);
        insert(&mut images, reference, image);
        *self.image_store.of(namespace).lock() = Some(images);
    }

    /// Removes the image called `name`; says whether it was there.
    pub(crate) fn remove_image(&self, namespace: ImageNamespace, name: &str) -> bool {
        let mut images = self.images(namespace);
        let full = Reference::parse(name).map(|reference| reference.to_string());
        let removed = images
            .remove(name)
            .or_else(|| images.remove(&full.ok()?))
            .is_some();
        *self.image_store.of(namespace).lock() = Some(images);
        removed
    }
}

fn insert(images: &mut Images, reference: &Reference, image: Image) {
    images.insert(reference.pinned(&image.digest), image.clone());
    if reference.digest.is_empty() {
        images.insert(reference.to_string(), image);
    }
}

/// What `upstream` is like when it is stored: digests follow from the reference and the layers.
fn make(reference: &Reference, upstream: &SimImage, created: Moment) -> Image {
    let rng = SimRng::new(upstream.layers.iter().sum()).fork(&reference.repository);
    let digest = |rng: SimRng| format!("sha256:{}", { rng }.hex(64));
    let layers = upstream.layers.iter().enumerate();
    Image {
        digest: if reference.digest.is_empty() {
            digest(rng.fork(&reference.tag))
        } else {
            reference.digest.clone()
        },
        size: upstream.layers.iter().sum::<u64>() + 1_500,
        created,
        labels: upstream.labels.clone(),
        layers: layers
            .map(|(index, size)| digest(rng.fork(&format!("{index} {size}"))))
            .collect(),
    }
}
