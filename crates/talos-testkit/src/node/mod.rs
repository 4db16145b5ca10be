//! What a simulated machine is and knows, without any gRPC.

pub(crate) mod bootstrap;
pub(crate) mod config;
pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod installation;
pub(crate) mod kernel;
pub(crate) mod logs;
pub(crate) mod meta;
pub(crate) mod platform;
pub(crate) mod power;
pub(crate) mod resources;
pub(crate) mod sequence;
pub(crate) mod services;
pub(crate) mod stats;
pub(crate) mod status;
pub(crate) mod volumes;

pub(crate) mod boot;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use talos_proto::methods::Release;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::network::machine::Blueprint;
use crate::rng::SimRng;
use crate::sync::Guarded;
use config::ConfigStore;
use config::document::MachineConfig;
use config::generate::{ConfigSecrets, config_of};
use events::EventBus;
use files::{Contents, FileTree, LiveFile};
use installation::{Installation, Installer};
use kernel::KernelLog;
use logs::LogStore;
use meta::Meta;
use platform::PlatformMode;
use power::{ApiMode, Host, PowerState, Timings};
use resources::ResourceStore;
use resources::collection::Collection;
use resources::handle::HasResources;
use resources::special;
use resources::specs::{self, MachineStage};
use sequence::Sequencer;
use services::ServiceTable;
use stats::{LoadAverages, MemoryInfo, TalosVersion};
use status::{MachineStatus, ReadyCondition, Unmet};
use volumes::Volumes;

/// Role of a machine in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineRole {
    /// Runs etcd and the Kubernetes control plane, may forward calls to other nodes.
    ControlPlane,
    /// Runs workloads only, answers for itself alone.
    Worker,
}

impl MachineRole {
    /// The name in machine configurations and resources.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ControlPlane => "controlplane",
            Self::Worker => "worker",
        }
    }
}

/// Names and addresses of a machine, fixed for its life.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) role: MachineRole,
    pub(crate) hostname: String,
    /// DNS domain, empty if there is none.
    pub(crate) domain: String,
    /// The address other nodes and clients name the node by.
    pub(crate) address: IpAddr,
    /// The address that its API really listens on.
    pub(crate) listen: IpAddr,
    /// Discovery id.
    pub(crate) node_id: String,
}

impl Identity {
    pub(crate) fn fqdn(&self) -> String {
        if self.domain.is_empty() {
            self.hostname.clone()
        } else {
            format!("{}.{}", self.hostname, self.domain)
        }
    }

    /// Whether `name` is one of the machine's addresses, its hostname or its FQDN.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        name == self.hostname
            || name == self.fqdn()
            || name
                .parse::<IpAddr>()
                .is_ok_and(|address| self.addresses().contains(&address))
    }

    /// The machine's own addresses: the one it is named by and, unless shared, the one it listens on.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        if self.listen == IpAddr::from([127, 0, 0, 1]) || self.listen == self.address {
            vec![self.address]
        } else {
            vec![self.address, self.listen]
        }
    }
}

/// What all machines of a cluster have in common.
#[derive(Debug)]
pub(crate) struct ClusterFacts {
    pub(crate) name: String,
    /// What `Kubeconfig` returns.
    pub(crate) kubeconfig: String,
    /// The `Members` resources, which all nodes agree about.
    pub(crate) members: Arc<Collection>,
    /// Whether etcd has a cluster to be part of.
    pub(crate) bootstrapped: watch::Sender<bool>,
    pub(crate) secrets: ConfigSecrets,
}

impl ClusterFacts {
    /// Waits until the cluster is bootstrapped.
    pub(crate) async fn until_bootstrapped(&self) {
        // The sender lives as long as `self`, so that waiting cannot fail.
        let _ = self.bootstrapped.subscribe().wait_for(|done| *done).await;
    }
}

/// What a machine is made of, besides its identity.
#[derive(Debug, Clone)]
pub(crate) struct Making {
    /// The Talos release.
    pub(crate) tag: String,
    pub(crate) platform: PlatformMode,
    pub(crate) timings: Timings,
    /// Whether machines have a configuration, and Talos on their disks, from the beginning.
    pub(crate) configured: bool,
    /// Whether machines boot when the cluster starts, instead of having booted long ago.
    pub(crate) boots: bool,
}

/// One simulated machine.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) identity: Arc<Identity>,
    pub(crate) cluster: Arc<ClusterFacts>,
    pub(crate) services: ServiceTable,
    pub(crate) logs: LogStore,
    pub(crate) kernel: Arc<KernelLog>,
    pub(crate) files: FileTree,
    pub(crate) memory: Guarded<MemoryInfo>,
    pub(crate) load: Guarded<LoadAverages>,
    pub(crate) version: Guarded<TalosVersion>,
    pub(crate) boot_id: Guarded<String>,
    pub(crate) stage: Guarded<MachineStage>,
    pub(crate) resources: ResourceStore,
    pub(crate) events: Arc<EventBus>,
    pub(crate) sequencer: Sequencer,
    pub(crate) installation: Guarded<Installation>,
    pub(crate) installer: Guarded<Installer>,
    pub(crate) volumes: Guarded<Volumes>,
    pub(crate) platform: PlatformMode,
    pub(crate) timings: Guarded<Timings>,
    pub(crate) power_state: Guarded<PowerState>,
    pub(crate) api: Guarded<ApiMode>,
    /// Whether peers count as those of SideroLink while the machine is in maintenance.
    pub(crate) siderolink: AtomicBool,
    pub(crate) config: Guarded<ConfigStore>,
    config_changes: watch::Sender<u64>,
    pub(crate) meta: Guarded<Meta>,
    etcd_data: AtomicBool,
    unmet: Guarded<Unmet>,
    /// The latest machine status on the event bus.
    published_status: Guarded<Option<MachineStatus>>,
    host: OnceLock<Box<dyn Host>>,
    /// Cancelled when the machine goes down; `None` while it is down.
    power: Guarded<Option<CancellationToken>>,
    rng: SimRng,
    draws: AtomicU64,
}

impl Node {
    /// A machine that has booted and runs.
    pub(crate) fn booted(identity: Arc<Identity>, blueprint: &Blueprint) -> Self {
        let Blueprint { boot, making, .. } = blueprint;
        let boot = *boot;
        let cluster = Arc::clone(&blueprint.facts);
        let rng = blueprint.rng.clone();
        let control_plane = identity.role == MachineRole::ControlPlane;
        let wanted = services::wanted(control_plane, making.platform.is_container());
        let tag = making.tag.as_str();
        let config = making.configured.then(|| config_of(&identity, &cluster));
        // What the simulator writes itself can be read.
        let config = config.and_then(|text| MachineConfig::parse(text.as_bytes()).ok());
        let installed = making.configured && !making.platform.is_container();
        let node = Self {
            services: ServiceTable::booted(&wanted, boot),
            logs: LogStore::default(),
            kernel: Arc::default(),
            files: FileTree::default(),
            memory: Guarded::default(),
            load: Guarded::default(),
            version: Guarded::new(TalosVersion {
                tag: tag.to_owned(),
                sha: rng.fork("sha").hex(8),
            }),
            boot_id: Guarded::new(rng.fork("boot id").uuid()),
            stage: Guarded::default(),
            resources: ResourceStore::new(rng.fork("cookie").next_u64(), Arc::clone(&cluster.members)),
            events: Arc::new(EventBus::new(rng.fork("events"))),
            sequencer: Sequencer::default(),
            installation: Guarded::new(Installation::new(tag, installed)),
            installer: Guarded::default(),
            volumes: Guarded::new(volumes::of_the_system_disk()),
            platform: making.platform,
            timings: Guarded::new(making.timings),
            power_state: Guarded::default(),
            api: Guarded::default(),
            siderolink: AtomicBool::new(false),
            config: Guarded::new(ConfigStore::settled(config)),
            config_changes: watch::Sender::new(0),
            meta: Guarded::default(),
            etcd_data: AtomicBool::new(control_plane && *cluster.bootstrapped.borrow()),
            unmet: Guarded::default(),
            published_status: Guarded::default(),
            host: OnceLock::new(),
            power: Guarded::default(),
            identity,
            cluster,
            rng,
            draws: AtomicU64::new(0),
        };
        boot::write_kernel_log(&node, boot);
        boot::write_logs(&node, boot);
        boot::write_files(&node);
        boot::write_events(&node);
        node.publish_all();
        node
    }

    /// Puts every resource that follows from what the machine is and does. After
    /// [`ResourceStore::restart`] this is what a booted machine has.
    pub(crate) fn publish_all(&self) {
        self.resources.put(specs::hostname_status(&self.identity));
        self.resources.put(specs::boot_id(&self.boot_id.lock()));
        special::put(&self.resources, &self.identity, &self.cluster.name);
        self.publish_config();
        self.publish_meta();
        self.publish_status();
    }

    /// Forgets all resources and begins with new ones, as the process that holds them does after a reboot.
    pub(crate) fn restart_resources(&self) {
        self.resources.restart(self.next_rng().next_u64());
        self.publish_all();
    }

    /// The services that a configured machine runs, in the order in which they start.
    pub(crate) fn wanted_services(&self) -> Vec<&'static str> {
        let control_plane = self.machine_role() == Some(MachineRole::ControlPlane);
        services::wanted(control_plane, self.platform.is_container())
    }

    /// Lets the resources say which Talos the machine runs.
    pub(crate) fn publish_version(&self) {
        let tag = self.version.lock().tag.clone();
        self.resources.put(specs::version(&tag));
        let role = self.machine_role();
        match role {
            Some(role) => self.resources.put(specs::member(&self.identity, role, &tag)),
            // Without a configuration the machine knows no discovery service.
            None => self.cluster.members.remove(&self.identity.hostname),
        }
    }

    /// Lets the resources say which role the machine has.
    pub(crate) fn publish_machine_type(&self) {
        self.resources.put(special::machine_type(self.machine_role()));
        self.publish_version();
    }

    /// The release that the machine runs; a tag that is no release number is a build newer than all of them.
    pub(crate) fn release(&self) -> Release {
        self.version
            .lock()
            .tag
            .parse()
            .unwrap_or(Release::new(u16::MAX, 0))
    }

    /// Whether the clock is synchronized.
    pub(crate) fn time_is_synced(&self) -> bool {
        !self.unmet.lock().contains_key(&ReadyCondition::Time)
    }

    /// Waits until `condition` holds, at most for `timeout`; says whether it does. Looks again with every
    /// event on the bus.
    pub(crate) async fn within(&self, timeout: Duration, condition: impl Fn() -> bool) -> bool {
        let mut changes = self.events.changes();
        let waiting = async { while !condition() && changes.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(timeout, waiting).await;
        condition()
    }

    /// The bytes a regular file has right now.
    pub(crate) fn file_contents(&self, contents: Contents) -> Bytes {
        let live = match contents {
            Contents::Fixed(bytes) => return bytes,
            Contents::Live(live) => live,
        };
        let text = match live {
            LiveFile::BootId => format!("{}\n", self.boot_id.lock()),
            LiveFile::MemInfo => self.memory.lock().proc_meminfo(),
            LiveFile::LoadAvg => {
                let LoadAverages([one, five, fifteen]) = *self.load.lock();
                format!("{one:.2} {five:.2} {fifteen:.2} 1/200 2000\n")
            }
            LiveFile::OsRelease => {
                let tag = self.version.lock().tag.clone();
                format!("NAME=\"Talos\"\nID=talos\nVERSION_ID={tag}\nPRETTY_NAME=\"Talos ({tag})\"\n")
            }
        };
        text.into()
    }

    /// Begins a life of the machine and returns the token that ends with it; `None` if it is up already.
    pub(crate) fn power_on(&self) -> Option<CancellationToken> {
        let mut power = self.power.lock();
        power
            .is_none()
            .then(|| power.insert(CancellationToken::new()).clone())
    }

    /// Ends the machine's life: everything that holds its token stops.
    pub(crate) fn power_off(&self) {
        if let Some(life) = self.power.lock().take() {
            life.cancel();
        }
    }

    /// The current life, unless the machine is down.
    pub(crate) fn life(&self) -> Option<CancellationToken> {
        self.power.lock().clone()
    }

    /// A fresh generator for one use; the sequence of uses is the only thing it depends on.
    pub(crate) fn next_rng(&self) -> SimRng {
        let draw = self.draws.fetch_add(1, Ordering::Relaxed);
        self.rng.fork(&format!("draw {draw}"))
    }
}

impl HasResources for Node {
    fn resources(&self) -> &ResourceStore {
        &self.resources
    }
}
