//! What a machine runs on.

/// What kind of place a machine runs in. It decides which actions there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PlatformMode {
    /// A virtual machine of a cloud.
    Cloud,
    /// A container of the `docker` provisioner: no reboot, shutdown, rollback, upgrade, no META.
    Container,
    /// A physical or virtual machine.
    #[default]
    Metal,
    /// A machine in agent mode: no configuration, upgrade, reset or installation.
    MetalAgent,
}

impl PlatformMode {
    /// The mode as `Version` says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cloud => "cloud",
            Self::Container => "container",
            Self::Metal => "metal",
            Self::MetalAgent => "metal-agent",
        }
    }

    /// The platform that such a machine reports.
    pub(crate) const fn platform(self) -> &'static str {
        match self {
            Self::Cloud => "nocloud",
            Self::Container => "container",
            Self::Metal | Self::MetalAgent => "metal",
        }
    }

    pub(crate) const fn is_container(self) -> bool {
        matches!(self, Self::Container)
    }

    pub(crate) const fn is_agent(self) -> bool {
        matches!(self, Self::MetalAgent)
    }
}
