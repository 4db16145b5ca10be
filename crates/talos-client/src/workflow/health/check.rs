//! The checks, in order.

use std::fmt;

/// A check of a cluster's health. The order is that in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Check {
    /// The service `etcd` runs and is healthy on every control plane node.
    EtcdHealthy,
    /// All control plane nodes list the same members of etcd.
    EtcdConsistent,
    /// The members of etcd are control plane nodes.
    EtcdMembersAreControlPlanes,
    /// Every node answers.
    ApidReady,
    /// Every node has enough memory: 1848 MiB less 150 MiB on control plane nodes, 1024 MiB less 150 MiB on workers.
    MemorySizes,
    /// Every node has a volume `EPHEMERAL` as large as on a disk of 6 GiB.
    DiskSizes,
    /// No node has found a problem by itself.
    NoDiagnostics,
    /// The service `kubelet` runs and is healthy on every control plane node.
    KubeletHealthy,
    /// Every machine is in the stage *running*.
    BootFinished,
    /// Kubernetes knows all nodes. Asks Kubernetes.
    KubernetesNodes,
    /// The static pods of the control plane run.
    StaticPods,
    /// A pod of each component of the control plane is ready on each node. Asks Kubernetes.
    ControlPlaneComponents,
    /// Kubernetes says of all nodes that they are ready. Asks Kubernetes.
    KubernetesNodesReady,
    /// The pods of kube-proxy are ready. Asks Kubernetes.
    KubeProxy,
    /// The pods of CoreDNS are ready. Asks Kubernetes.
    CoreDns,
    /// Kubernetes may place pods on all nodes. Asks Kubernetes.
    Schedulable,
}

impl Check {
    /// All of them, in order.
    pub const ALL: [Self; 16] = [
        Self::EtcdHealthy,
        Self::EtcdConsistent,
        Self::EtcdMembersAreControlPlanes,
        Self::ApidReady,
        Self::MemorySizes,
        Self::DiskSizes,
        Self::NoDiagnostics,
        Self::KubeletHealthy,
        Self::BootFinished,
        Self::KubernetesNodes,
        Self::StaticPods,
        Self::ControlPlaneComponents,
        Self::KubernetesNodesReady,
        Self::KubeProxy,
        Self::CoreDns,
        Self::Schedulable,
    ];

    /// What Talos calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EtcdHealthy => "etcd to be healthy",
            Self::EtcdConsistent => "etcd members to be consistent across nodes",
            Self::EtcdMembersAreControlPlanes => "etcd members to be control plane nodes",
            Self::ApidReady => "apid to be ready",
            Self::MemorySizes => "all nodes memory sizes",
            Self::DiskSizes => "all nodes disk sizes",
            Self::NoDiagnostics => "no diagnostics",
            Self::KubeletHealthy => "kubelet to be healthy",
            Self::BootFinished => "all nodes to finish boot sequence",
            Self::KubernetesNodes => "all k8s nodes to report",
            Self::StaticPods => "all control plane static pods to be running",
            Self::ControlPlaneComponents => "all control plane components to be ready",
            Self::KubernetesNodesReady => "all k8s nodes to report ready",
            Self::KubeProxy => "kube-proxy to report ready",
            Self::CoreDns => "coredns to report ready",
            Self::Schedulable => "all k8s nodes to report schedulable",
        }
    }

    /// Whether only the Kubernetes API can tell.
    pub const fn asks_kubernetes(self) -> bool {
        matches!(
            self,
            Self::KubernetesNodes
                | Self::ControlPlaneComponents
                | Self::KubernetesNodesReady
                | Self::KubeProxy
                | Self::CoreDns
                | Self::Schedulable
        )
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_sixteen_checks_in_the_order_of_their_declaration() {
        assert!(Check::ALL.is_sorted());
        assert_eq!(Check::ALL.len(), 16);
        assert_eq!(
            Check::ALL.iter().filter(|check| check.asks_kubernetes()).count(),
            6
        );
    }
}
