#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod apid;
mod call_log;
mod clock;
mod cluster;
mod cosi;
mod error;
pub mod fault;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
mod machine_config;
mod machined;
mod network;
mod node;
pub mod omni;
pub mod pki;
mod profile;
#[cfg(feature = "real")]
pub mod real;
mod record;
mod rng;
mod roles;
#[cfg(feature = "scenario")]
pub mod scenario;
mod secrets;
mod sync;
mod talosconfig;
mod text;
mod tls;
mod trustd;
mod yaml;

pub use cluster::SimEvent;
pub use cluster::{Listen, SimCluster, SimClusterBuilder, SimFile, SimNode, TalosconfigBuilder};
pub use cosi::state::{SimState, SimStateBuilder};
pub use error::SimError;
pub use node::MachineRole;
pub use node::capture::PacketCapture;
pub use node::containers::{ContainerState, SimContainer, SimPod};
pub use node::debug::{DebugContainer, DebugContainerState};
pub use node::disks::{DiskTransport, SimDisk, SimPartition};
pub use node::etcd::EtcdAlarm;
pub use node::hardware::{
    LinkKind, SimInterface, SimMount, SimProcessors, SimSocket, SocketProtocol, SocketState,
};
pub use node::images::verify::{ImageRule, ImageRuleAction};
pub use node::images::{ImageNamespace, PullFailure, SimImage};
pub use node::kernel::KernelPriority;
pub use node::lvm::{SimArray, SimVolumeGroup};
pub use node::platform::PlatformMode;
pub use node::power::Timings;
pub use node::processes::SimProcess;
pub use node::resources::handle::{SimResource, SimResources};
pub use node::resources::specs::MachineStage;
pub use node::services::ServiceState;
pub use node::stats::MemoryInfo;
pub use node::status::ReadyCondition;
pub use record::{RecordedCall, RecordedConnection, Recorder};
pub use tonic::Code;
