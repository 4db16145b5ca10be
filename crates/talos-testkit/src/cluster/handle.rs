//! Control over one node of a running cluster.

use std::error::Error as _;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::error::SimError;
use crate::network::{Machine, Network};
use crate::node::kernel::KernelPriority;
use crate::node::power::{ApiMode, PowerState};
use crate::node::resources::handle::{HasResources, SimResources};
use crate::node::resources::specs::MachineStage;
use crate::node::services::ServiceState;
use crate::node::stats::{LoadAverages, MemoryInfo};
use crate::node::{Identity, MachineRole, Node};

/// One node of a [`SimCluster`](super::SimCluster): look at it, change its state, switch it off and on.
///
/// A handle is cheap to clone. It does not keep the cluster alive.
#[derive(Clone)]
pub struct SimNode {
    pub(super) network: Arc<Network>,
    pub(super) index: usize,
}

impl SimNode {
    /// The address clients name the node by in `node` metadata, such as `10.5.0.2`.
    #[must_use]
    pub fn name(&self) -> String {
        self.identity().address.to_string()
    }

    /// Hostname, such as `sim-controlplane-1`.
    #[must_use]
    pub fn hostname(&self) -> String {
        self.identity().hostname.clone()
    }

    /// Hostname with the domain, if the cluster has one.
    #[must_use]
    pub fn fqdn(&self) -> String {
        self.identity().fqdn()
    }

    /// Role in the cluster.
    #[must_use]
    pub fn role(&self) -> MachineRole {
        self.identity().role
    }

    pub(super) fn is_control_plane(&self) -> bool {
        self.role() == MachineRole::ControlPlane
    }

    /// `127.0.0.x:port` that the node's own API listens on. Workers have one as well.
    ///
    /// # Panics
    ///
    /// As [`Self::socket_addr`].
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.socket_addr().to_string()
    }

    /// [`Self::endpoint`] as an address.
    ///
    /// # Panics
    ///
    /// As [`Self::try_socket_addr`] fails, which is where a thousand workers meet a limit of open files.
    #[must_use]
    pub fn socket_addr(&self) -> SocketAddr {
        match self.try_socket_addr() {
            Ok(address) => address,
            Err(error) => panic!(
                "{error}: {}",
                error.source().map_or_else(String::new, ToString::to_string)
            ),
        }
    }

    /// [`Self::endpoint`] as an address. The socket of a worker is opened when it is first asked for.
    ///
    /// # Errors
    ///
    /// [`SimError::Listen`] if the system has no socket or port left, [`SimError::Stopped`] if the cluster is
    /// gone and the address was never asked for.
    pub fn try_socket_addr(&self) -> Result<SocketAddr, SimError> {
        self.network.open(self.machine())
    }

    /// Boot id of the current life.
    #[must_use]
    pub fn boot_id(&self) -> String {
        self.node().boot_id.lock().clone()
    }

    /// Whether the node is up.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.node().life().is_some()
    }

    /// Takes the node down at once, as if its power was cut: the listener closes, connections break, calls
    /// through other nodes fail with `connection refused`. Its state stays as it is, except that a sequence
    /// it was in the middle of is over. Does nothing if the node is down.
    pub fn kill(&self) {
        self.node().cut_power();
        self.close_api();
    }

    /// Lets a killed node answer again, at the same address. A node that was shut down, or killed in the
    /// middle of a sequence, boots instead, in the background and with a new boot id. Does nothing if the
    /// node is up or on its way up.
    ///
    /// # Errors
    ///
    /// [`SimError::Listen`] if the address is taken; on Unix systems it is kept while the node is down.
    /// [`SimError::Stopped`] if the cluster has been shut down or dropped.
    pub fn revive(&self) -> Result<(), SimError> {
        let node = self.node();
        let state = *node.power_state.lock();
        match state {
            PowerState::On => {}
            PowerState::Off => node.start_boot(),
            PowerState::Suspended => {
                self.open_api(node.api())?;
                *node.power_state.lock() = PowerState::On;
                node.go_on();
            }
        }
        Ok(())
    }

    /// Closes the API: the listener goes, connections break.
    pub(super) fn close_api(&self) {
        self.machine().endpoint.take_down();
        self.machine().trustd.take_down();
        self.node().power_off();
    }

    /// Closes the API in good order: no new calls, and those under way get `grace` to end.
    pub(super) async fn drain_api(&self, grace: Duration) {
        self.machine().endpoint.take_down();
        self.machine().trustd.take_down();
        self.go_away();
        let gone = self.network.links.until_none(self.index);
        // What is still there then is cut.
        let _ = tokio::time::timeout(grace, gone).await;
        self.node().power_off();
    }

    /// Opens the API, unless it is open.
    pub(super) fn open_api(&self, api: ApiMode) -> Result<(), SimError> {
        *self.node().api.lock() = api;
        if api == ApiMode::Maintenance {
            // The authority of such a certificate does not outlive a boot.
            self.renew_certificate();
        }
        self.network.switch_on(self.machine())
    }

    /// Tells the clients that are connected to the node's endpoint to take their calls elsewhere (`GOAWAY`).
    /// Calls under way go on; each connection closes with the last of them.
    pub fn go_away(&self) {
        for link in self.network.links.of(self.index) {
            link.go_away();
        }
    }

    /// Breaks the connections that clients have to the node's endpoint, without taking the node down.
    pub fn disconnect_clients(&self) {
        for link in self.network.links.of(self.index) {
            link.cut();
        }
    }

    /// Gives the node a new server certificate with a new key, as Talos does every 12 hours. Connections that
    /// there are go on, new ones see it.
    pub fn renew_certificate(&self) {
        self.machine().tls.renew();
    }

    /// The address of the node's `trustd`, which signs server certificates for whoever knows
    /// [`SimCluster::machine_token`](super::SimCluster::machine_token); `None` for workers. Real nodes have it
    /// at port 50001; here it is a free port, opened when it is first asked for.
    ///
    /// # Errors
    ///
    /// [`SimError::Listen`] if the system has no socket or port left.
    pub fn trustd_addr(&self) -> Result<Option<SocketAddr>, SimError> {
        self.network.open_trustd(self.machine())
    }

    /// The server certificate that the node presents to new connections, in DER.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers for a key.
    pub fn server_certificate(&self) -> Result<Vec<u8>, SimError> {
        let machine = self.machine();
        let api = machine.node().api();
        machine.tls.certificate(&self.network.tls, &machine.identity, api)
    }

    /// Appends `text` to the log of `service`, ending the line if the text does not. A log that does not
    /// exist yet is created.
    pub fn append_log(&self, service: &str, text: &str) {
        self.node().logs.append(service, text);
    }

    /// Appends bytes to the log of `service` as they are, without ending the line.
    pub fn append_log_bytes(&self, service: &str, bytes: &[u8]) {
        self.node().logs.append_raw(service, bytes);
    }

    /// Adds a message to the kernel log, of facility `kern` and with the current time.
    pub fn append_kernel_message(&self, priority: KernelPriority, text: &str) {
        self.node().kernel.append("kern", priority, Moment::now(), text);
    }

    /// Lets the machine status say that the machine is in `stage`. The stage changes nothing else.
    pub fn set_stage(&self, stage: MachineStage) {
        self.node().enter(stage);
    }

    /// Moves a service to `state`, with an event that says `message`. A service that does not exist is
    /// added. A service that leaves `Running` becomes unhealthy, one that starts has unknown health.
    pub fn set_service_state(&self, service: &str, state: ServiceState, message: &str) {
        self.node().service_moves(service, state, message);
    }

    /// Lets the health check of a running service succeed or fail, with an event.
    ///
    /// # Panics
    ///
    /// If the node has no such service, or if the service has no health check or does not run.
    pub fn set_service_health(&self, service: &str, healthy: bool, message: &str) {
        let node = self.node();
        let set = node.service_checked(service, healthy, message);
        assert!(
            set.is_some(),
            "{service} is not a running service with a health check"
        );
    }

    /// Sets what `Memory` and `/proc/meminfo` say.
    pub fn set_memory(&self, memory: MemoryInfo) {
        *self.node().memory.lock() = memory;
    }

    /// Sets what `LoadAvg` and `/proc/loadavg` say: averages over 1, 5 and 15 minutes.
    pub fn set_load(&self, averages: [f64; 3]) {
        *self.node().load.lock() = LoadAverages(averages);
    }

    /// Sets the Talos release of this node, with the leading `v`. An older one knows fewer RPCs.
    pub fn set_talos_version(&self, tag: impl Into<String>) {
        let tag = tag.into();
        let node = self.node();
        node.installation.lock().runs(&tag);
        node.version.lock().tag = tag;
        node.publish_version();
    }

    /// The resources of this node, to change them.
    #[must_use]
    pub fn resources(&self) -> SimResources {
        SimResources::new(vec![self.holder()])
    }

    /// Lets the node forget its resources and fill them in anew, as a reboot does: versions begin at 1, what
    /// a test has put is gone, and every bookmark from before is refused. Connections stay; watches that
    /// are open see nothing more. Nothing else of the machine changes.
    pub fn restart_resources(&self) {
        self.node().restart_resources();
    }

    pub(super) fn holder(&self) -> Arc<dyn HasResources> {
        Arc::clone(self.machine().node()) as Arc<dyn HasResources>
    }

    pub(super) fn node(&self) -> &Arc<Node> {
        self.machine().node()
    }

    fn identity(&self) -> &Identity {
        &self.machine().identity
    }

    pub(super) fn machine(&self) -> &Arc<Machine> {
        &self.network.machines()[self.index]
    }
}

impl fmt::Debug for SimNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimNode")
            .field("name", &self.name())
            .field("hostname", &self.hostname())
            .finish_non_exhaustive()
    }
}
