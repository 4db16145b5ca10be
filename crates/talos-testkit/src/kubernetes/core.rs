//! What the parts of the server share.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, MutexGuard, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::auth::Authenticator;
use super::fault::Faults;
use super::machine::MachineView;
use super::record::Requests;
use super::server;
use super::state::State;
use crate::error::SimError;
use crate::network::Network;
use crate::network::addressing::Listen;
use crate::network::endpoint::Endpoint;
use crate::node::Node;
use crate::pki::ValidityWindow;
use crate::rng::SimRng;
use crate::sync::Guarded;

/// How long the server's certificate is valid.
const YEAR: Duration = Duration::from_secs(8_760 * 3_600);

/// What those wait for that follow the objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Signal {
    /// Grows with every change.
    pub(super) changes: u64,
    /// Grows when watches are to send a bookmark.
    pub(super) bookmarks: u64,
    /// Grows when watches are to end.
    pub(super) ends: u64,
}

/// The Kubernetes of one cluster.
pub(crate) struct Kubernetes {
    network: Weak<Network>,
    pub(super) endpoint: Endpoint,
    pub(super) url: String,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) acceptor: TlsAcceptor,
    pub(super) faults: Faults,
    pub(super) requests: Requests,
    state: Guarded<State>,
    /// Held while machines are looked at, so that the latest look wins.
    gate: Guarded<()>,
    signals: watch::Sender<Signal>,
    due: watch::Sender<Option<Instant>>,
    /// The lives of API servers that run, by the index of their machine.
    serving: Guarded<BTreeMap<usize, CancellationToken>>,
    turn: Guarded<usize>,
    pub(super) end: CancellationToken,
}

/// A socket that the server will listen on, and the URL in kubeconfigs.
#[derive(Debug)]
pub(crate) struct Door {
    endpoint: Endpoint,
    address: SocketAddr,
    pub(crate) url: String,
}

impl Door {
    /// Opens the socket that the API servers of the cluster share.
    pub(crate) fn open(listen: Listen) -> Result<Self, SimError> {
        let ip = match listen {
            Listen::Ip(ip) => ip,
            _ => Ipv4Addr::LOCALHOST.into(),
        };
        let endpoint = Endpoint::new(SocketAddr::new(ip, 0));
        let address = endpoint.open()?.address;
        // Nobody answers before it is clear that somebody may.
        endpoint.take_down();
        let host = if ip.is_unspecified() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            ip
        };
        let url = format!("https://{}", SocketAddr::new(host, address.port()));
        Ok(Self {
            endpoint,
            address,
            url,
        })
    }
}

impl Kubernetes {
    /// Lets the cluster have a Kubernetes from now on.
    pub(crate) fn start(
        network: &Arc<Network>,
        door: Door,
        extra_names: &[String],
        rng: SimRng,
    ) -> Result<(), SimError> {
        let authority = &network.facts.secrets.kubernetes;
        let mut names: Vec<String> = [
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
        ]
        .map(str::to_owned)
        .into();
        let mut addresses: Vec<IpAddr> = vec![
            Ipv4Addr::LOCALHOST.into(),
            Ipv4Addr::new(10, 96, 0, 1).into(),
            door.address.ip(),
        ];
        addresses.extend(network.machines().iter().map(|machine| machine.identity.address));
        addresses.retain(|address| !address.is_unspecified());
        for extra in extra_names {
            match extra.parse() {
                Ok(address) => addresses.push(address),
                Err(_) => names.push(extra.clone()),
            }
        }
        let validity = ValidityWindow::For(YEAR);
        let identity = authority.issue_server("kube-apiserver", names, addresses, validity)?;
        let authenticator = Arc::new(Authenticator::new(authority)?);
        let kubernetes = Arc::new(Self {
            network: Arc::downgrade(network),
            endpoint: door.endpoint,
            url: door.url,
            acceptor: authenticator.acceptor(identity)?,
            authenticator,
            faults: Faults::default(),
            requests: Requests::new(network.recorder.is_enabled()),
            state: Guarded::new(State::new(rng)),
            gate: Guarded::default(),
            signals: watch::Sender::default(),
            due: watch::Sender::default(),
            serving: Guarded::default(),
            turn: Guarded::default(),
            end: CancellationToken::new(),
        });
        network.facts.set_kubernetes(Arc::clone(&kubernetes));
        kubernetes.sync();
        for node in network.facts.nodes() {
            kubernetes.spawn(Arc::clone(&kubernetes).follow(node));
        }
        kubernetes.spawn(Arc::clone(&kubernetes).keep_time());
        kubernetes.spawn(server::accept(Arc::clone(&kubernetes)));
        Ok(())
    }

    /// Runs a task until the cluster ends.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(network) = self.network.upgrade() {
            let end = self.end.clone();
            let task = async move {
                end.run_until_cancelled_owned(task).await;
            };
            network.tasks.spawn_on(task, &network.runtime);
        }
    }

    /// Ends the server for good.
    pub(crate) fn end(&self) {
        self.endpoint.close();
        self.end.cancel();
    }

    pub(super) fn network(&self) -> Option<Arc<Network>> {
        self.network.upgrade()
    }

    /// Looks at a machine again whenever something happens there.
    async fn follow(self: Arc<Self>, node: Arc<Node>) {
        let mut changes = node.events.changes();
        while changes.changed().await.is_ok() {
            self.sync();
        }
    }

    /// Lets the controllers work when it is time.
    async fn keep_time(self: Arc<Self>) {
        let mut due = self.due.subscribe();
        loop {
            let next = *due.borrow_and_update();
            let time = async move {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = due.changed() => if changed.is_err() { return },
                () = time => self.sync(),
            }
        }
    }

    /// Brings objects and sockets in line with the machines.
    pub(crate) fn sync(&self) {
        let Some(network) = self.network.upgrade() else {
            return;
        };
        let gate = self.gate.lock();
        let nodes = network
            .machines()
            .iter()
            .map(|machine| (machine.index, machine.node()));
        let machines: Vec<MachineView> = nodes.map(|(index, node)| MachineView::of(index, node)).collect();
        self.open_doors(&machines);
        self.with(|state| state.reconcile(machines, Instant::now()));
        drop(gate);
    }

    /// Lets connections begin and end as API servers do.
    fn open_doors(&self, machines: &[MachineView]) {
        let mut serving = self.serving.lock();
        for machine in machines {
            if machine.serves {
                serving.entry(machine.index).or_default();
            } else if let Some(life) = serving.remove(&machine.index) {
                life.cancel();
            }
        }
        if serving.is_empty() {
            self.endpoint.take_down();
        } else if let Err(error) = self.endpoint.bring_up()
            && !matches!(error, SimError::Stopped)
        {
            tracing::warn!(%error, "the Kubernetes API cannot be opened");
        }
    }

    /// An API server that runs, each in turn; and its life.
    pub(super) fn server(&self) -> Option<(usize, CancellationToken)> {
        let serving = self.serving.lock();
        let mut turn = self.turn.lock();
        *turn = turn.wrapping_add(1);
        let nth = turn.checked_rem(serving.len())?;
        serving
            .iter()
            .nth(nth)
            .map(|(index, life)| (*index, life.clone()))
    }

    /// The name of a machine.
    pub(super) fn machine_name(&self, index: usize) -> String {
        let network = self.network.upgrade();
        let name = network.map(|network| network.machines()[index].identity.address.to_string());
        name.unwrap_or_default()
    }

    /// The objects as they are now.
    pub(super) fn look(&self) -> MutexGuard<'_, State> {
        self.sync();
        self.state()
    }

    /// The objects as they were when somebody last looked.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Changes objects, and lets the controllers react.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        self.sync();
        let changed = self.with(change);
        self.sync();
        changed
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let before = state.store.version();
        let changed = change(&mut state);
        let (grown, due) = (state.store.version() != before, state.due());
        drop(state);
        self.due
            .send_if_modified(|old| std::mem::replace(old, due) != due);
        if grown {
            self.signal(|signal| signal.changes = signal.changes.wrapping_add(1));
        }
        changed
    }

    pub(super) fn signal(&self, change: impl FnOnce(&mut Signal)) {
        self.signals.send_modify(change);
    }

    pub(super) fn signals(&self) -> watch::Receiver<Signal> {
        self.signals.subscribe()
    }
}

impl fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubernetes")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}
