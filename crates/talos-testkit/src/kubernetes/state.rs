//! The objects, and the controllers that keep them in line with the machines and with each other.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::json::text;
use super::kind::{Key, Kind};
use super::machine::MachineView;
use super::objects::workload::{Place, Workload};
use super::objects::{budget, node, pod};
use super::spec::{KubePod, PodOwner, Termination, Tolerates};
use super::store::Store;
use crate::rng::SimRng;

/// Kind, namespace and name of an owner.
pub(super) type WorkloadId = (PodOwner, String, String);

/// What the server knows of a pod beyond the object.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) key: Key,
    pub(super) workload: Option<WorkloadId>,
    pub(super) spec: KubePod,
    /// When the kubelet starts it, unless it has.
    pub(super) starts: Option<Instant>,
    /// When it ends, if it was evicted or deleted.
    pub(super) ends: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) store: Store,
    /// Boot and name of the machines that have registered a node, by index.
    registered: BTreeMap<usize, (String, String)>,
    pub(super) workloads: BTreeMap<WorkloadId, Workload>,
    /// By the uid of the pod.
    pub(super) pods: HashMap<String, Keeper>,
    pub(super) machines: Vec<MachineView>,
    /// Whether something has changed that no machine knows of.
    dirty: bool,
    due: Option<Instant>,
}

impl State {
    pub(super) fn new(rng: SimRng) -> Self {
        Self {
            store: Store::new(rng),
            registered: BTreeMap::new(),
            workloads: BTreeMap::new(),
            pods: HashMap::new(),
            machines: Vec::new(),
            dirty: true,
            due: None,
        }
    }

    /// Lets the controllers look again.
    pub(super) const fn touch(&mut self) {
        self.dirty = true;
    }

    /// When the controllers have something to do, if nothing happens before.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Brings everything in line with the machines. Without an API server nothing moves.
    pub(super) fn reconcile(&mut self, machines: Vec<MachineView>, now: Instant) {
        let idle = !self.dirty && machines == self.machines && self.due.is_none_or(|due| due > now);
        if idle {
            return;
        }
        self.machines = machines;
        self.dirty = !self.machines.iter().any(|machine| machine.serves);
        if self.dirty {
            self.due = None;
            return;
        }
        self.bring_system();
        self.register();
        self.follow_nodes();
        self.static_pods();
        self.end_pods(now);
        self.fill_workloads(now);
        self.place_pods(now);
        self.follow_pods();
        self.show_workloads();
        self.follow_budgets();
        let deadlines = self.pods.values().flat_map(|keeper| [keeper.starts, keeper.ends]);
        self.due = deadlines.flatten().filter(|deadline| *deadline > now).min();
    }

    /// The machine whose node is called `name`.
    pub(super) fn machine(&self, name: &str) -> Option<&MachineView> {
        self.machines.iter().find(|machine| machine.name == name)
    }

    /// Kubelets that have come up register their nodes.
    fn register(&mut self) {
        for index in 0..self.machines.len() {
            let machine = &self.machines[index];
            let boot = (machine.boot_id.clone(), machine.name.clone());
            if !machine.kubelet || self.registered.get(&machine.index) == Some(&boot) {
                continue;
            }
            let key = Key::node(&machine.name);
            let (machine_index, object) = (machine.index, node::registered(machine, machine.index));
            if self.store.get(&key).is_none() {
                self.store.put(key, object);
            }
            self.registered.insert(machine_index, boot);
        }
    }

    fn follow_nodes(&mut self) {
        let keys: Vec<Key> = self.store.of(Kind::Node).map(|(key, _)| key.clone()).collect();
        for key in keys {
            let machine = self.machines.iter().find(|machine| machine.name == key.name);
            self.store.update(&key, |object| node::follow(object, machine));
        }
    }

    /// Ends pods whose time has come, and those of nodes that are gone.
    fn end_pods(&mut self, now: Instant) {
        let mut ended = Vec::new();
        for (uid, keeper) in &self.pods {
            let Some(object) = self.store.get(&keeper.key) else {
                ended.push(uid.clone());
                continue;
            };
            let on = text(object, "/spec/nodeName");
            let orphan = !on.is_empty() && self.store.get(&Key::node(on)).is_none();
            // Only the kubelet of its node knows that a pod has ended.
            let known = on.is_empty() || self.machine(on).is_some_and(|machine| machine.kubelet);
            if orphan || known && keeper.ends.is_some_and(|end| end <= now) {
                ended.push(uid.clone());
            }
        }
        // The order of a map is another one each time.
        ended.sort_by_cached_key(|uid| self.pods.get(uid).map(|keeper| keeper.key.clone()));
        for uid in ended {
            if let Some(keeper) = self.pods.remove(&uid)
                && self.uid_of(&keeper.key) == uid
            {
                self.store.remove(&keeper.key);
            }
        }
    }

    pub(super) fn uid_of(&self, key: &Key) -> &str {
        self.store
            .get(key)
            .map_or("", |object| text(object, "/metadata/uid"))
    }

    /// Puts pods that no node has yet on one, and lets kubelets start theirs.
    fn place_pods(&mut self, now: Instant) {
        let mut waiting: Vec<(Key, String)> = Vec::new();
        for (uid, keeper) in &self.pods {
            if keeper.starts.is_some() {
                waiting.push((keeper.key.clone(), uid.clone()));
            }
        }
        waiting.sort();
        for (key, uid) in waiting {
            self.bind(&key, &uid);
            let (Some(keeper), Some(object)) = (self.pods.get(&uid), self.store.get(&key)) else {
                continue;
            };
            let machine = self.machine(text(object, "/spec/nodeName"));
            let due = keeper.starts.is_some_and(|starts| starts <= now) && keeper.ends.is_none();
            let Some(machine) = machine.filter(|machine| due && machine.ready) else {
                continue;
            };
            let (address, finished) = (machine.address.clone(), keeper.spec.finished);
            self.store
                .update(&key, |object| pod::start(object, &address, finished));
            if let Some(keeper) = self.pods.get_mut(&uid) {
                keeper.starts = None;
            }
        }
    }

    /// Puts a pod on a node that takes it, unless it has one.
    fn bind(&mut self, key: &Key, uid: &str) {
        let (Some(keeper), Some(object)) = (self.pods.get(uid), self.store.get(key)) else {
            return;
        };
        if !text(object, "/spec/nodeName").is_empty() {
            return;
        }
        let (on, nodes) = (self.choose(keeper), self.store.of(Kind::Node).count());
        let id = keeper.workload.clone();
        self.store.update(key, |object| match &on {
            Some(on) => pod::bind(object, on),
            None => pod::unschedulable(object, nodes),
        });
        let workload = id.and_then(|id| self.workloads.get_mut(&id));
        // A DaemonSet is at home there from then on.
        if let (Some(on), Some(Place::Nodes(nodes))) = (on, workload.map(|found| &mut found.place)) {
            nodes.insert(on);
        }
    }

    /// The node for a pod: that with the fewest pods of the same owner, then with the fewest pods.
    fn choose(&self, keeper: &Keeper) -> Option<String> {
        let mut load: HashMap<&str, (usize, usize)> = HashMap::new();
        for other in self.pods.values() {
            let Some(object) = self.store.get(&other.key) else {
                continue;
            };
            let counts = load.entry(text(object, "/spec/nodeName")).or_default();
            counts.0 += usize::from(other.workload == keeper.workload && !pod::is_terminating(object));
            counts.1 += 1;
        }
        let takes = |node: &Value| match keeper.spec.tolerates {
            Tolerates::Nothing => node::takes_pods(node, false),
            Tolerates::ControlPlane => node::takes_pods(node, true),
            Tolerates::Everything => true,
        };
        let nodes = self.store.of(Kind::Node).filter(|(_, object)| takes(object));
        let best = nodes.min_by_key(|(key, _)| load.get(key.name.as_str()).copied().unwrap_or_default());
        best.map(|(key, _)| key.name.clone())
    }

    /// Pods are as ready as their nodes.
    fn follow_pods(&mut self) {
        let keys: Vec<Key> = self.store.of(Kind::Pod).map(|(key, _)| key.clone()).collect();
        for key in keys {
            let Some(object) = self.store.get(&key) else {
                continue;
            };
            if text(object, "/status/phase") == "Pending" {
                continue;
            }
            let keeper = self.pods.get(text(object, "/metadata/uid"));
            let ready = keeper.is_none_or(|keeper| keeper.spec.ready)
                && self
                    .machine(text(object, "/spec/nodeName"))
                    .is_some_and(|machine| machine.ready);
            self.store.update(&key, |object| pod::set_ready(object, ready));
        }
    }

    fn follow_budgets(&mut self) {
        let keys: Vec<Key> = self.store.of(Kind::Budget).map(|(key, _)| key.clone()).collect();
        for key in keys {
            if let Some(standing) = self.standing(&key) {
                self.store.update(&key, |object| budget::follow(object, standing));
            }
        }
    }

    /// How the budget called `key` stands right now.
    pub(super) fn standing(&self, key: &Key) -> Option<budget::Standing> {
        let object = self.store.get(key)?;
        let covered = |(pod_key, pod): &(&Key, &std::sync::Arc<Value>)| {
            pod_key.namespace == key.namespace && budget::covers(object, pod) && !pod::is_finished(pod)
        };
        let covered: Vec<_> = self.store.of(Kind::Pod).filter(covered).collect();
        let nodes = self.store.of(Kind::Node).count();
        let mut alone = 0;
        let mut owners: BTreeMap<&WorkloadId, usize> = BTreeMap::new();
        for (_, pod) in &covered {
            let keeper = self.pods.get(text(pod, "/metadata/uid"));
            match keeper.and_then(|keeper| keeper.workload.as_ref()) {
                Some(id) => {
                    let wanted = self
                        .workloads
                        .get(id)
                        .map_or(0, |workload| workload.wanted(nodes));
                    owners.insert(id, wanted);
                }
                None => alone += 1,
            }
        }
        let pods: Vec<&Value> = covered.iter().map(|(_, pod)| &***pod).collect();
        let expected = alone + owners.values().sum::<usize>();
        Some(budget::standing(object, &pods, expected))
    }

    /// Adds a pod of a test, running already if its node runs.
    pub(super) fn add(&mut self, spec: KubePod, now: Instant) -> Key {
        let key = Key::pod(&spec.namespace, &spec.name);
        self.ensure_namespace(&spec.namespace);
        let id = spec
            .owner
            .as_ref()
            .map(|(owner, name)| (*owner, spec.namespace.clone(), name.clone()));
        if let Some(id) = &id {
            let uid = self.store.uid();
            let workload = self.workloads.entry(id.clone()).or_insert_with(|| Workload {
                owner: id.0,
                uid,
                name: id.2.clone(),
                template: spec.clone(),
                place: match id.0 {
                    PodOwner::DaemonSet => Place::Nodes(Default::default()),
                    PodOwner::StatefulSet => Place::Named(Default::default()),
                    PodOwner::ReplicaSet | PodOwner::Job => Place::Anywhere(0),
                },
                deployment: None,
            });
            // What is odd about one pod is not odd about its successors.
            workload.template.termination = Termination::default();
            workload.template.ready = true;
            workload.template.finished = false;
            workload.template.node = None;
            match &mut workload.place {
                Place::Anywhere(count) => *count += usize::from(!spec.finished),
                Place::Named(names) => {
                    names.insert(spec.name.clone());
                }
                Place::Nodes(nodes) => nodes.extend(spec.node.clone()),
                Place::EveryNode => {}
            }
        }
        self.create(key.clone(), id, spec, now);
        self.touch();
        key
    }

    /// Makes the object of a pod, and its keeper.
    pub(super) fn create(&mut self, key: Key, id: Option<WorkloadId>, spec: KubePod, starts: Instant) {
        let owner = id
            .as_ref()
            .and_then(|id| self.workloads.get(id))
            .map(Workload::owner_ref);
        let mut object = pod::new(&spec, owner.as_ref());
        // An older pod of the same name is another one.
        self.store.remove(&key);
        if let Some(on) = &spec.node {
            pod::bind(&mut object, on);
        }
        let object = self.store.put(key.clone(), object);
        let keeper = Keeper {
            key,
            workload: id,
            spec,
            starts: Some(starts),
            ends: None,
        };
        self.pods
            .insert(text(&object, "/metadata/uid").to_owned(), keeper);
    }

    /// Lets a pod begin to end, with the seconds of grace that were asked for, and returns it as it is then.
    pub(super) fn terminate(&mut self, key: &Key, seconds: Option<u64>, now: Instant, grace: Duration) {
        let uid = self.uid_of(key).to_owned();
        let Some(keeper) = self.pods.get_mut(&uid) else {
            // The kubelet makes static pods anew.
            self.store.remove(key);
            self.touch();
            return;
        };
        if seconds == Some(0) {
            self.pods.remove(&uid);
            self.store.remove(key);
        } else if keeper.ends.is_none() {
            let waits = match keeper.spec.termination {
                Termination::Graceful => Some(grace),
                Termination::After(duration) => Some(duration),
                Termination::Never => None,
            };
            // A pod that never ends has no end that could come; it is terminating all the same.
            keeper.ends = waits.map(|waits| now + waits);
            if !self
                .store
                .get(key)
                .is_some_and(|object| pod::is_terminating(object))
            {
                self.store
                    .update(key, |object| pod::terminate(object, seconds.unwrap_or(30)));
            }
        }
        self.touch();
    }

    /// Lets a pod end that would never do so.
    pub(super) fn let_go(&mut self, key: &Key, now: Instant) {
        let uid = self.uid_of(key).to_owned();
        let terminating = self
            .store
            .get(key)
            .is_some_and(|object| pod::is_terminating(object));
        if let Some(keeper) = self.pods.get_mut(&uid) {
            keeper.spec.termination = Termination::Graceful;
            if terminating {
                keeper.ends = Some(now);
            }
        }
        self.touch();
    }
}
