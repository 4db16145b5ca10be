//! `machine.MachineService`: what a node is, runs, logs and stores.

mod boot;
mod bootstrap;
mod capabilities;
mod client_configuration;
mod configuration;
mod cpu;
mod devices;
#[cfg(feature = "archive")]
mod kubeconfig;
mod legacy_upgrade;
mod meta;
mod monitoring;
mod mounts;
mod netstat;
mod power;
mod processes;
mod reset;
mod services;
mod version;

use std::time::Duration;

use talos_proto::machine::machine_service_client::MachineServiceClient;
use talos_transport::{Channel, MAX_MESSAGE_SIZE};

use crate::call::Target;

pub use bootstrap::{BootstrapRequest, SnapshotHash};
pub use capabilities::Capabilities;
pub use client_configuration::{ClientConfiguration, GenerateClientConfigurationRequest};
pub use configuration::{AppliedConfiguration, AppliedMode, ApplyConfigurationRequest, ApplyMode};
pub use cpu::{CpuFrequency, CpuInfo, CpuTimes, SystemStat};
pub use devices::{DiskCounters, DiskStats, NetworkCounters, NetworkDeviceStats, Traffic};
#[cfg(feature = "archive")]
pub use kubeconfig::Kubeconfig;
pub use legacy_upgrade::LegacyUpgradeRequest;
pub use meta::MetaKey;
pub use monitoring::{LoadAverage, Memory};
pub use mounts::Mount;
pub use netstat::{NetstatRequest, Protocol, Socket, SocketFilter, SocketState, SocketTimer};
pub use power::{Accepted, ActorId, RebootMode, RebootRequest, ShutdownRequest};
pub use processes::{Process, ProcessState};
pub use reset::{ResetRequest, SystemWipe, Wipe};
pub use services::{ServiceEvent, ServiceHealth, ServiceInfo, ServiceState};
pub use version::Version;

impl Target {
    pub(crate) fn machine(&self) -> MachineServiceClient<Channel> {
        MachineServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_SIZE)
    }
}

/// Seconds as nodes count them; what is no length of time counts as none.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
