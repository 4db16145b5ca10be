//! The container images of a node.
//!
//! ```no_run
//! # async fn example(node: talos_client::Node) -> talos_client::Result<()> {
//! use talos_client::api::containerd::Containerd;
//!
//! let images = node.images().of(Containerd::System);
//! let pinned = images.pull("ghcr.io/siderolabs/installer:v1.14.0").send().await?.finish().await?;
//! println!("{pinned}");
//! # Ok(())
//! # }
//! ```

mod import;
mod list;
mod pull;
mod remove;
mod verify;

use talos_proto::machine::image_service_client::ImageServiceClient;
use talos_transport::{Channel, MAX_MESSAGE_SIZE};

pub use self::{
    import::ImportRequest,
    list::{Image, ImageStream},
    pull::{ImagePull, LayerStatus, PullProgress, PullRequest},
    verify::{ImageVerification, RegistryCredentials, VerifyRequest},
};
use super::containerd::Containerd;
use crate::{Node, call::Target};

/// The images in one of the stores of a node; made by [`Node::images`].
#[derive(Clone, Debug)]
pub struct Images {
    target: Target,
    containerd: Containerd,
}

impl Node {
    /// The images of this node: those of Kubernetes' pods, unless [`Images::of`] says otherwise. Nothing is sent.
    pub fn images(&self) -> Images {
        Images {
            target: self.target().clone(),
            containerd: Containerd::Cri,
        }
    }
}

impl Images {
    /// Those in another store.
    #[must_use]
    pub fn of(mut self, containerd: Containerd) -> Self {
        self.containerd = containerd;
        self
    }

    /// The namespace by which nodes before Talos 1.13 know the store, if they do.
    #[cfg(feature = "machine")]
    fn old_namespace(&self) -> Option<i32> {
        use talos_proto::common::ContainerdNamespace;

        match self.containerd {
            Containerd::Cri => Some(ContainerdNamespace::NsCri.into()),
            Containerd::System => Some(ContainerdNamespace::NsSystem.into()),
            Containerd::InMemory => None,
        }
    }
}

impl Target {
    fn image_service(&self) -> ImageServiceClient<Channel> {
        ImageServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_SIZE)
    }
}
