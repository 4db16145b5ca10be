//! The containerd instances of a node.

use talos_proto::common::{ContainerDriver, ContainerdInstance, ContainerdNamespace};

/// One of the stores that images of a node are in.
///
/// Talos wants a driver and a namespace, of which not every pair means something, and unset means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Containerd {
    /// Images of Kubernetes' pods; on disk.
    Cri,
    /// Images of Talos' own, such as installers; on disk.
    System,
    /// Images of services that run from memory, and of debug containers. Gone after a reboot.
    InMemory,
}

impl Containerd {
    pub(crate) fn instance(self) -> ContainerdInstance {
        let (driver, namespace) = match self {
            Self::Cri => (ContainerDriver::Cri, ContainerdNamespace::NsCri),
            Self::System => (ContainerDriver::Cri, ContainerdNamespace::NsSystem),
            Self::InMemory => (ContainerDriver::Containerd, ContainerdNamespace::NsSystem),
        };
        ContainerdInstance {
            driver: driver.into(),
            namespace: namespace.into(),
        }
    }
}

/// What is wrong with the reference of an image, if that can be said without asking.
pub(crate) fn image_problem(reference: &str) -> Option<&'static str> {
    if reference.is_empty() {
        Some("the image is empty")
    } else if reference
        .chars()
        .any(|character| character.is_whitespace() || character.is_control())
    {
        Some("the image has blanks or control characters in it")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instance_is_one_that_nodes_take() {
        for (containerd, expected) in [
            (Containerd::Cri, (1, 2)),
            (Containerd::System, (1, 1)),
            (Containerd::InMemory, (0, 1)),
        ] {
            let instance = containerd.instance();
            assert_eq!((instance.driver, instance.namespace), expected, "{containerd:?}");
        }
    }

    #[test]
    fn blanks_are_no_image() {
        assert_eq!(image_problem("ghcr.io/a/b:v1@sha256:0"), None);
        for reference in ["", " ", "a b", "a\n", "a\0"] {
            assert!(image_problem(reference).is_some(), "{reference:?}");
        }
    }
}
