//! What a simulated machine is and knows, without any gRPC.

pub(crate) mod bpf;
pub(crate) mod capture;
pub(crate) mod containers;
pub(crate) mod debug;
pub(crate) mod disks;
pub(crate) mod etcd;
pub(crate) mod events;
pub(crate) mod figures;
pub(crate) mod files;
pub(crate) mod hardware;
pub(crate) mod health;
pub(crate) mod images;
pub(crate) mod installation;
pub(crate) mod installer;
pub(crate) mod kernel;
pub(crate) mod logs;
pub(crate) mod lvm;
pub(crate) mod meta;
pub(crate) mod platform;
pub(crate) mod power;
pub(crate) mod processes;
pub(crate) mod resources;
pub(crate) mod sequence;
pub(crate) mod services;
pub(crate) mod shell;
pub(crate) mod stats;
pub(crate) mod status;
pub(crate) mod time;
pub(crate) mod volumes;

pub(crate) mod boot;
pub(crate) mod config;
pub(crate) mod facts;
mod live;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use talos_proto::methods::Release;
use tokio_util::sync::CancellationToken;

use crate::clock::Moment;
use crate::network::machine::Blueprint;
use crate::rng::SimRng;
use crate::sync::Guarded;
use capture::Captures;
use config::Configuration;
use containers::PodTable;
use debug::DebugContainers;
use disks::DiskTable;
use events::EventBus;
pub(crate) use facts::ClusterFacts;
use files::FileTree;
use files::entry::Contents;
use files::source::Source;
use hardware::Hardware;
use images::ImageStore;
use installation::Installation;
use installer::Installer;
use kernel::KernelLog;
use logs::LogStore;
use lvm::LogicalVolumes;
use meta::Meta;
use platform::PlatformMode;
use power::{ApiMode, Host, PowerState, Timings};
use processes::SimProcess;
use resources::ResourceStore;
use resources::handle::HasResources;
use resources::special;
use resources::specs::{self, MachineStage};
use sequence::Sequencer;
use services::ServiceTable;
use stats::{LoadAverages, MemoryInfo, TalosVersion};
use status::{MachineStatus, Unmet};
use time::Clock;
use volumes::Volumes;

/// Role of a machine in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

/// What a machine is made of, besides its identity.
#[derive(Debug, Clone)]
pub(crate) struct Making {
    /// The Talos release.
    pub(crate) tag: String,
    pub(crate) platform: PlatformMode,
    pub(crate) timings: Timings,
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
    pub(crate) pods: PodTable,
    /// Logs of the containers of pods, by the containers' ids.
    pub(crate) container_logs: LogStore,
    pub(crate) hardware: Hardware,
    pub(crate) image_store: ImageStore,
    pub(crate) debug_containers: DebugContainers,
    pub(crate) captures: Captures,
    pub(crate) logical_volumes: LogicalVolumes,
    pub(crate) clock: Clock,
    disk_table: DiskTable,
    /// Processes that tests have set.
    pub(crate) own_processes: Guarded<Option<Vec<SimProcess>>>,
    /// The processes that `/proc` shows.
    shown_processes: Guarded<Vec<SimProcess>>,
    /// Moment of the last boot.
    pub(crate) started: Guarded<Moment>,
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
    pub(crate) configuration: Configuration,
    pub(crate) meta: Meta,
    pub(crate) volumes: Guarded<Volumes>,
    /// Whether the configuration of a control plane node has etcd in it.
    pub(crate) etcd_configured: Guarded<bool>,
    pub(crate) platform: PlatformMode,
    pub(crate) timings: Guarded<Timings>,
    pub(crate) power_state: Guarded<PowerState>,
    unmet: Guarded<Unmet>,
    /// Whether the machine has reached all that comes after its boot.
    settled: Guarded<bool>,
    /// The latest machine status on the event bus.
    published_status: Guarded<Option<MachineStatus>>,
    /// Which API the machine offers while it is up.
    pub(crate) api: Guarded<ApiMode>,
    /// Whether clients count as coming through SideroLink.
    pub(crate) siderolink: Guarded<bool>,
    host: OnceLock<Box<dyn Host>>,
    /// Whether the machine has cordoned its own Kubernetes node in this boot.
    #[cfg(feature = "kubernetes")]
    pub(crate) cordoned: Guarded<bool>,
    /// Cancelled when the machine goes down; `None` while it is down.
    power: Guarded<Option<CancellationToken>>,
    rng: SimRng,
    draws: AtomicU64,
}

impl Node {
    /// A machine that has booted and runs; or, in a cluster that is not bootstrapped, waits for that; or waits
    /// for its configuration.
    pub(crate) fn booted(identity: Arc<Identity>, blueprint: &Blueprint) -> Self {
        let Blueprint {
            boot,
            making,
            maintenance,
            ..
        } = blueprint;
        let (boot, maintenance) = (*boot, *maintenance);
        let cluster = Arc::clone(&blueprint.facts);
        let rng = blueprint.rng.clone();
        let control_plane = identity.role == MachineRole::ControlPlane;
        let container = making.platform.is_container();
        let wanted = if maintenance {
            services::early(container)
        } else {
            services::wanted(control_plane, container)
        };
        let bootstrapped = *cluster.bootstrapped.borrow();
        let services = if bootstrapped || maintenance {
            ServiceTable::booted(&wanted, boot)
        } else {
            ServiceTable::not_bootstrapped(&wanted, boot)
        };
        let tag = making.tag.as_str();
        let node = Self {
            services,
            logs: LogStore::default(),
            kernel: Arc::default(),
            files: FileTree::default(),
            pods: PodTable::default(),
            container_logs: LogStore::default(),
            hardware: Hardware::default(),
            image_store: ImageStore::default(),
            debug_containers: DebugContainers::default(),
            captures: Captures::default(),
            logical_volumes: LogicalVolumes::default(),
            clock: Clock::default(),
            disk_table: DiskTable::default(),
            own_processes: Guarded::default(),
            shown_processes: Guarded::default(),
            started: Guarded::new(boot),
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
            installation: Guarded::new(Installation::new(tag, !container && !maintenance)),
            installer: Guarded::default(),
            configuration: Configuration::new((!maintenance).then(|| cluster.generated(identity.role))),
            meta: Meta::default(),
            volumes: Guarded::new(volumes::of_the_system_disk()),
            etcd_configured: Guarded::new(true),
            platform: making.platform,
            timings: Guarded::new(making.timings),
            power_state: Guarded::default(),
            unmet: Guarded::default(),
            settled: Guarded::new(true),
            published_status: Guarded::default(),
            api: Guarded::new(if maintenance {
                ApiMode::Maintenance
            } else {
                ApiMode::Secure
            }),
            siderolink: Guarded::default(),
            host: OnceLock::new(),
            #[cfg(feature = "kubernetes")]
            cordoned: Guarded::default(),
            power: Guarded::default(),
            identity,
            cluster,
            rng,
            draws: AtomicU64::new(0),
        };
        boot::write_kernel_log(&node, boot);
        boot::write_logs(&node, boot);
        boot::write_files(&node);
        if maintenance {
            node.lacks_configuration();
            if !container {
                node.wipe_installation();
            }
        } else if !bootstrapped {
            node.lacks_kubernetes();
        }
        boot::write_events(&node);
        etcd::write_files(&node);
        node.publish_all();
        node
    }

    /// Puts every resource that follows from what the machine is and does. After
    /// [`ResourceStore::restart`] this is what a booted machine has.
    pub(crate) fn publish_all(&self) {
        let identity = self.current_identity();
        self.resources.put(specs::hostname_status(&identity));
        self.resources.put(specs::boot_id(&self.boot_id.lock()));
        special::put(&self.resources, &identity);
        self.resources.put(special::time_status(self.is_time_in_sync()));
        self.publish_config();
        self.publish_disks();
        self.publish_meta();
        self.publish_image_rules();
        self.publish_etcd_member();
        self.publish_version();
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
        let mut wanted = services::wanted(control_plane, self.platform.is_container());
        wanted.retain(|id| *id != "etcd" || self.runs_etcd());
        wanted
    }

    /// Whether etcd is among them.
    pub(crate) fn runs_etcd(&self) -> bool {
        self.machine_role() == Some(MachineRole::ControlPlane)
            && self.configuration.has_etcd()
            && *self.etcd_configured.lock()
    }

    /// Lets the resources say which Talos the machine runs.
    pub(crate) fn publish_version(&self) {
        let tag = self.version.lock().tag.clone();
        self.resources.put(specs::version(&tag));
        if !self.in_maintenance() {
            self.resources.put(specs::member(&self.current_identity(), &tag));
        }
    }

    /// Whether the node runs a Talos before `release`.
    pub(crate) fn is_older_than(&self, release: Release) -> bool {
        // A tag that is no release number is a build newer than all of them.
        let own = self
            .version
            .lock()
            .tag
            .parse()
            .unwrap_or(Release::new(u16::MAX, 0));
        own < release
    }

    /// The contents that a regular file has right now.
    pub(crate) fn open(&self, contents: &Contents) -> Source {
        match contents {
            Contents::Fixed(bytes) => Source::Bytes(bytes.clone()),
            Contents::Live(live) => Source::Bytes(self.render(*live).into()),
            Contents::Seeded { seed, size } => Source::Seeded {
                seed: *seed,
                size: *size,
            },
            Contents::Database(image) => Source::Database(*image),
        }
    }

    /// Begins a life of the machine and returns the token that ends with it; `None` if it is up already.
    pub(crate) fn power_on(&self) -> Option<CancellationToken> {
        let mut power = self.power.lock();
        let life = power
            .is_none()
            .then(|| power.insert(CancellationToken::new()).clone());
        drop(power);
        self.events.wake();
        life
    }

    /// Ends the machine's life: everything that holds its token stops.
    pub(crate) fn power_off(&self) {
        if let Some(life) = self.power.lock().take() {
            life.cancel();
            self.events.wake();
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
