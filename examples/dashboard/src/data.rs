//! What is known about the nodes, and how it is asked for.

use std::{collections::VecDeque, time::Duration};

use futures_util::future::join_all;
use talos_client::{
    Node, Result,
    api::machine::{CpuTimes, Memory, ServiceInfo},
    resource::runtime::MachineStatus,
};

/// How many looks back the histories go.
const HISTORY: usize = 120;
/// How many lines of the log are kept.
const LINES: u32 = 3;

/// A node as it was seen last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    /// What it is called by clients.
    pub(crate) name: String,
    /// What was seen, unless it has never answered.
    pub(crate) seen: Option<Seen>,
    /// Why it did not answer the last time.
    pub(crate) problem: Option<String>,
    /// How busy the CPUs were between two looks, in percent; the last look is at the end.
    pub(crate) cpu: VecDeque<u64>,
    /// How much memory is in use, in percent, in the same order.
    pub(crate) memory: VecDeque<u64>,
    /// The CPUs' times at the last look.
    times: Option<CpuTimes>,
}

/// What a node said of itself.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) hostname: String,
    pub(crate) version: String,
    pub(crate) stage: String,
    pub(crate) ready: bool,
    pub(crate) services: usize,
    /// The services that should be up and are not.
    pub(crate) down: Vec<String>,
    /// The last lines of a log, the newest at the end.
    pub(crate) log: Vec<String>,
}

/// Looks at nodes again and again.
#[derive(Debug)]
pub(crate) struct Observer {
    nodes: Vec<Node>,
    machines: Vec<Machine>,
    service: String,
}

impl Observer {
    /// Looks at these nodes, and at this service's log on each.
    pub(crate) fn of(nodes: Vec<Node>, service: String) -> Self {
        let machine = |node: &Node| Machine {
            name: node.name().to_string(),
            ..Machine::default()
        };
        Self {
            machines: nodes.iter().map(machine).collect(),
            nodes,
            service,
        }
    }

    /// All nodes in their order.
    pub(crate) fn machines(&self) -> &[Machine] {
        &self.machines
    }

    /// Asks all nodes at once. One that does not answer stays as it was seen last.
    pub(crate) async fn look(&mut self) {
        let answers = join_all(self.nodes.iter().map(|node| ask(node, &self.service))).await;
        for (machine, answer) in self.machines.iter_mut().zip(answers) {
            match answer {
                Ok((seen, memory, times)) => machine.take(seen, &memory, times),
                Err(error) => machine.problem = Some(format!("{error:#}")),
            }
        }
    }
}

impl Machine {
    fn take(&mut self, seen: Seen, memory: &Memory, times: CpuTimes) {
        let used = u128::from(memory.used()) * 100;
        push(&mut self.memory, percent(used, u128::from(memory.total())));
        let before = self.times.replace(times);
        // Nothing is known of no time, and after a boot times begin anew.
        if let Some(before) = before
            && let Some(total @ 1..) = passed(before.total(), times.total())
        {
            let busy = passed(before.busy(), times.busy()).unwrap_or(0);
            push(&mut self.cpu, percent(busy * 100, total));
        }
        self.seen = Some(seen);
        self.problem = None;
    }
}

/// In microseconds; `None` if time ran backwards.
fn passed(before: Duration, after: Duration) -> Option<u128> {
    after.checked_sub(before).map(|time| time.as_micros())
}

fn percent(part: u128, whole: u128) -> u64 {
    let percent = part.checked_div(whole).unwrap_or(0);
    u64::try_from(percent.min(100)).unwrap_or(100)
}

fn push(history: &mut VecDeque<u64>, value: u64) {
    if history.len() == HISTORY {
        history.pop_front();
    }
    history.push_back(value);
}

async fn ask(node: &Node, service: &str) -> Result<(Seen, Memory, CpuTimes)> {
    let resources = node.resources();
    let (hostname, version, status, services, memory, stat, log) = tokio::try_join!(
        node.hostname(),
        node.version(),
        resources.get::<MachineStatus>(),
        node.services(),
        node.memory(),
        node.system_stat(),
        last_lines(node, service),
    )?;
    let down = services.iter().filter(|service| is_down(service));
    let seen = Seen {
        hostname,
        version: version.tag().to_owned(),
        stage: status.spec.stage.to_string(),
        ready: status.spec.ready,
        services: services.len(),
        down: down.map(|service| service.id.clone()).collect(),
        log,
    };
    Ok((seen, memory, stat.cpu_total()))
}

/// Services that have done what they are for, or have nothing to do, are fine.
fn is_down(service: &ServiceInfo) -> bool {
    use talos_client::api::machine::ServiceState::{Finished, Skipped};
    !service.is_up() && !matches!(service.state, Finished | Skipped)
}

async fn last_lines(node: &Node, service: &str) -> Result<Vec<String>> {
    let mut stream = node.logs(service).tail_lines(LINES).send().await?.lines();
    let mut lines = Vec::new();
    while let Some(line) = stream.next_line().await {
        lines.push(line?);
    }
    Ok(lines)
}
