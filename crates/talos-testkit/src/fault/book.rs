//! All faults of a cluster, and which of them apply.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::call::Place;
use super::connection::{LinkFault, Origin};
use super::filter::Counter;
use super::relay::CallPlan;
use super::{CallFault, Certificate, ConnectionFault, Kind};
use crate::rng::SimRng;
use crate::sync::Guarded;

/// A rule with the nodes it names found.
#[derive(Debug)]
pub(crate) struct Rule {
    kind: Kind,
    node: Option<usize>,
    from: Option<usize>,
    counter: Guarded<Counter>,
}

/// A call at one of the places where faults are looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallSite<'a> {
    pub(crate) place: Place,
    pub(crate) node: usize,
    /// The node that forwards, on hops.
    pub(crate) from: Option<usize>,
    pub(crate) path: &'a str,
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LinkVerdict {
    pub(crate) delay: Option<Duration>,
    pub(crate) cut_after: Option<u64>,
    pub(crate) end: Option<LinkEnd>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkEnd {
    Refuse,
    Reset,
    BlackHole,
    Certificate(Certificate),
}

/// The faults of a cluster.
#[derive(Debug)]
pub(crate) struct FaultBook {
    rules: Guarded<Vec<Arc<Rule>>>,
    injected: Guarded<u64>,
    rng: SimRng,
    /// Counts matches, for those who wait for them.
    pub(super) matches: watch::Sender<u64>,
}

impl FaultBook {
    pub(crate) fn new(rng: SimRng) -> Self {
        Self {
            rules: Guarded::default(),
            injected: Guarded::default(),
            rng,
            matches: watch::Sender::default(),
        }
    }

    /// Adds a rule whose names have been looked up.
    pub(crate) fn add(&self, kind: Kind, node: Option<usize>, from: Option<usize>) -> Arc<Rule> {
        let number = {
            let mut injected = self.injected.lock();
            *injected += 1;
            *injected
        };
        let filter = match &kind {
            Kind::Call(fault) => fault.filter.clone(),
            Kind::Connection(fault) => fault.filter.clone(),
        };
        let rule = Arc::new(Rule {
            kind,
            node,
            from,
            counter: Guarded::new(Counter::new(filter, self.rng.fork(&format!("fault {number}")))),
        });
        self.rules.lock().push(Arc::clone(&rule));
        rule
    }

    pub(crate) fn remove(&self, rule: &Arc<Rule>) {
        self.rules.lock().retain(|kept| !Arc::ptr_eq(kept, rule));
    }

    pub(crate) fn clear(&self) {
        self.rules.lock().clear();
    }

    /// What is to happen to a call; `None` if no rule applies.
    pub(crate) fn call(&self, site: CallSite<'_>) -> Option<CallPlan> {
        let rules = self.rules.lock().clone();
        let mut plan: Option<CallPlan> = None;
        for rule in rules {
            let Kind::Call(fault) = &rule.kind else { continue };
            let matches = fault.place == site.place
                && rule.node.is_none_or(|node| node == site.node)
                && rule.from.is_none_or(|from| site.from == Some(from))
                && fault.filter.matches(site.path);
            if matches && self.strikes(&rule) && plan.get_or_insert_default().add(fault) {
                break;
            }
        }
        plan
    }

    /// What is to happen to a client's connection to `node`.
    pub(crate) fn accepted(&self, node: usize) -> LinkVerdict {
        self.link(|rule, fault| {
            fault.origin != Origin::Nodes
                && rule.node.is_none_or(|wanted| wanted == node)
                // Those close the listener, or are about connections of another kind.
                && !(fault.fault == Some(LinkFault::Refuse) && fault.filter.is_unconditional())
        })
    }

    /// What is to happen to a connection between nodes.
    pub(crate) fn hop(&self, from: usize, to: usize) -> LinkVerdict {
        self.link(|rule, fault| {
            fault.origin != Origin::Clients
                && rule.node.is_none_or(|node| node == to)
                && rule.from.is_none_or(|node| node == from)
        })
    }

    /// Whether clients are to find the port of `node` closed.
    pub(crate) fn refuses(&self, node: usize) -> bool {
        self.has_standing(node, LinkFault::Refuse)
    }

    /// Whether clients' connections to `node` are to be silent.
    pub(crate) fn silences(&self, node: usize) -> bool {
        self.has_standing(node, LinkFault::BlackHole)
    }

    fn has_standing(&self, node: usize, wanted: LinkFault) -> bool {
        self.rules.lock().iter().any(|rule| match &rule.kind {
            Kind::Connection(fault) => {
                fault.fault == Some(wanted)
                    && fault.origin != Origin::Nodes
                    && rule.node.is_none_or(|meant| meant == node)
                    && fault.filter.is_unconditional()
            }
            Kind::Call(_) => false,
        })
    }

    fn link(&self, matches: impl Fn(&Rule, &ConnectionFault) -> bool) -> LinkVerdict {
        let rules = self.rules.lock().clone();
        let mut verdict = LinkVerdict::default();
        for rule in rules {
            let Kind::Connection(fault) = &rule.kind else {
                continue;
            };
            if !matches(&rule, fault) || !self.strikes(&rule) {
                continue;
            }
            if !fault.delay.is_zero() {
                *verdict.delay.get_or_insert_default() += fault.delay;
            }
            verdict.cut_after = verdict.cut_after.or(fault.cut_after);
            verdict.end = fault.fault.map(|fault| match fault {
                LinkFault::Refuse => LinkEnd::Refuse,
                LinkFault::Reset => LinkEnd::Reset,
                LinkFault::BlackHole => LinkEnd::BlackHole,
                LinkFault::Certificate(certificate) => LinkEnd::Certificate(certificate),
            });
            if verdict.end.is_some() {
                break;
            }
        }
        verdict
    }

    fn strikes(&self, rule: &Rule) -> bool {
        let strikes = rule.counter.lock().strikes();
        self.matches.send_modify(|count| *count = count.wrapping_add(1));
        strikes
    }
}

impl Rule {
    pub(super) fn seen(&self) -> u64 {
        self.counter.lock().seen
    }

    pub(super) fn hits(&self) -> u64 {
        self.counter.lock().hits
    }
}

impl Kind {
    /// The names of nodes in the fault: the one it is about, and the one that calls it.
    pub(crate) fn names(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Call(CallFault { node, from, .. })
            | Self::Connection(ConnectionFault { node, from, .. }) => (node.as_deref(), from.as_deref()),
        }
    }
}
