//! `machine.MachineService`: what a node is, runs, logs and stores.

mod files;
#[cfg(feature = "archive")]
mod kubeconfig;
mod logs;
mod monitoring;
mod services;
mod version;

use talos_proto::machine::machine_service_client::MachineServiceClient;
use talos_transport::{Channel, MAX_MESSAGE_SIZE};

use crate::call::Target;

#[cfg(feature = "archive")]
pub use kubeconfig::Kubeconfig;
pub use logs::{DmesgRequest, LogsRequest};
pub use monitoring::{LoadAverage, Memory};
pub use services::{ServiceEvent, ServiceHealth, ServiceInfo, ServiceState};
pub use version::Version;

impl Target {
    fn machine(&self) -> MachineServiceClient<Channel> {
        MachineServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_SIZE)
    }
}
