//! Following a node through an action.

use std::pin::pin;

use futures_util::future::{Either, select};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::{
    Action, Goal, Seen, TrackError, TrackOptions, TrackProgress, TrackStep, Tracked,
    evidence::{Evidence, Told},
};
use crate::{
    Node,
    api::{
        events::{EventFeed, EventItem, MachineStage, UnmetCondition},
        machine::Accepted,
    },
    error::{Error, ErrorKind, Origin, Result},
    maintenance::Maintenance,
    resource::runtime::MachineStatus,
    workflow::{Reporter, deadline},
};

/// Subscribes, acts, and follows the node until the action is over.
pub(crate) async fn follow<Fut>(
    node: Node,
    action: Action,
    goal: Goal,
    options: TrackOptions,
    act: Fut,
    reporter: Reporter<TrackProgress>,
) -> Result<Tracked, TrackError>
where
    Fut: Future<Output = Result<Accepted>> + Send + 'static,
{
    let begin = Instant::now();
    let limit = options.timeout;
    let deadline = deadline(limit);
    let mut tracker = Tracker {
        evidence: Evidence::new(action, goal),
        maintenance: None,
        in_maintenance: false,
        node,
        action,
        options,
        reporter,
    };
    match timeout_at(deadline, tracker.run(act)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(error),
        Err(_) => {
            return Err(TrackError::Timeout {
                node: tracker.node.name().clone(),
                action,
                timeout: limit,
                seen: Box::new(tracker.into_seen()),
            });
        }
    }
    tracker.report_at(TrackStep::Done, 100);
    Ok(Tracked {
        node: tracker.node.name().clone(),
        actor: tracker.evidence.actor,
        rebooted: tracker.evidence.seen.rebooted,
        boot_id: tracker
            .evidence
            .boot_now
            .filter(|_| tracker.evidence.seen.reachable),
        in_maintenance: tracker.in_maintenance,
        took: begin.elapsed(),
    })
}

struct Tracker {
    evidence: Evidence,
    /// The machine without its configuration, once it may be so.
    maintenance: Option<Node>,
    in_maintenance: bool,
    node: Node,
    action: Action,
    options: TrackOptions,
    reporter: Reporter<TrackProgress>,
}

impl Tracker {
    async fn run<Fut>(&mut self, act: Fut) -> Result<(), TrackError>
    where
        Fut: Future<Output = Result<Accepted>>,
    {
        let boot = self.node.boot_id().await;
        self.evidence.boot_before = may_be_hidden(boot).map_err(|error| self.not_begun(error))?;
        let mut feed = self.node.events().reattach();
        feed.attached().await.map_err(|error| self.not_begun(error))?;
        self.report(TrackStep::Subscribed);
        let mut doubt = None;
        match act.await {
            Ok(accepted) => {
                let actor = accepted.actor_id;
                self.evidence.accepted(actor.clone());
                self.report(TrackStep::Accepted { actor });
            }
            Err(error) if may_have_begun(&error) => {
                doubt = Some(error);
                self.report(TrackStep::InDoubt);
            }
            Err(error) => return Err(self.not_begun(error)),
        }
        let mut feed = Some(feed);
        let mut next_look = deadline(self.options.interval);
        loop {
            if self.wait(&mut feed, next_look).await? {
                if self.look().await {
                    return Ok(());
                }
                next_look = deadline(self.options.interval);
            }
            if self.evidence.shows_nothing()
                && let Some(error) = doubt.take()
            {
                return Err(self.not_begun(error));
            }
        }
    }

    /// Waits for the next event, or until it is time to look. Says whether it is.
    async fn wait(&mut self, feed: &mut Option<EventFeed>, next_look: Instant) -> Result<bool, TrackError> {
        let Some(events) = feed else {
            sleep_until(next_look).await;
            return Ok(true);
        };
        let item = match select(pin!(events.next_item()), pin!(sleep_until(next_look))).await {
            Either::Left((item, _)) => item,
            Either::Right(_) => return Ok(true),
        };
        let event = match item {
            Some(Ok(EventItem::Event(event))) => event,
            // There was another boot, or more than anybody could read: see what is.
            Some(Ok(EventItem::Gap(_))) => return Ok(true),
            Some(Err(error)) => {
                tracing::debug!(node = %self.node.name(), %error, "going on without events");
                *feed = None;
                return Ok(false);
            }
            None => {
                *feed = None;
                return Ok(false);
            }
        };
        let mut steps = Vec::new();
        let told = self.evidence.event(&event, &mut |step| steps.push(step));
        self.report_all(steps);
        let node = self.node.name().clone();
        let action = self.action;
        match told {
            Told::Nothing => Ok(false),
            Told::Look => Ok(true),
            Told::Busy(message) => Err(TrackError::Busy {
                node,
                action,
                message,
            }),
            Told::Failed(kind, message) => Err(TrackError::Failed {
                node,
                action,
                kind,
                message,
            }),
        }
    }

    /// Looks at the node; whether the action is over.
    async fn look(&mut self) -> bool {
        let limit = self.options.call_timeout;
        let mut steps = Vec::new();
        let mut report = |step| steps.push(step);
        let found = match timeout(limit, look_at(&self.node)).await {
            Ok(found) => found,
            Err(_) => Err(Error::new(ErrorKind::Timeout, Origin::Local)
                .with_node(Some(self.node.name().clone()))
                .with_message("the node did not answer")),
        };
        match found {
            Ok((boot, status)) => {
                self.evidence.reached(boot, &mut report);
                if let Some((stage, ready, unmet)) = status {
                    self.evidence.status(stage, ready, &unmet, &mut report);
                }
            }
            Err(error) => self.evidence.missed(error, &mut report),
        }
        self.report_all(steps);
        self.evidence.is_over() || self.waits_for_configuration().await
    }

    /// Whether the node has lost its configuration and answers without it.
    async fn waits_for_configuration(&mut self) -> bool {
        if !self.evidence.may_be_in_maintenance() {
            return false;
        }
        if self.maintenance.is_none() {
            let name = self.node.name().as_str();
            let endpoint = self.options.maintenance.as_deref().unwrap_or(name);
            // Nothing is sent but the wish to know the version.
            let machine = Maintenance::at(endpoint).dangerous().skip_verification();
            self.maintenance = machine.build().ok();
        }
        let Some(machine) = &self.maintenance else {
            return false;
        };
        let answer = timeout(self.options.call_timeout, machine.version()).await;
        self.in_maintenance = matches!(answer, Ok(Ok(_)));
        self.in_maintenance
    }

    fn not_begun(&self, error: Error) -> TrackError {
        TrackError::NotBegun {
            node: self.node.name().clone(),
            action: self.action,
            source: Box::new(error),
        }
    }

    fn into_seen(self) -> Seen {
        self.evidence.seen
    }

    fn report_all(&mut self, steps: Vec<TrackStep>) {
        for step in steps {
            self.report(step);
        }
    }

    fn report(&mut self, step: TrackStep) {
        let percent = self.evidence.percent();
        self.report_at(step, percent);
    }

    fn report_at(&self, step: TrackStep, percent: u8) {
        self.reporter.report(TrackProgress {
            node: self.node.name().clone(),
            step,
            stage: self.evidence.seen.stage,
            percent,
        });
    }
}

type Look = (Option<String>, Option<(MachineStage, bool, Vec<UnmetCondition>)>);

/// Which boot it is, and how the machine does. The status is not there right after a boot.
async fn look_at(node: &Node) -> Result<Look> {
    let boot = may_be_hidden(node.boot_id().await)?;
    let status = match node.resources().get::<MachineStatus>().await {
        Ok(status) => status.spec,
        Err(error) if error.is_unreachable() || error.is_timeout() => return Err(error),
        Err(_) => return Ok((boot, None)),
    };
    let unmet = status.unmet_conditions.into_iter();
    let unmet = unmet.map(|condition| UnmetCondition {
        name: condition.name,
        reason: condition.reason,
    });
    let stage = MachineStage::from(status.stage.number());
    Ok((boot, Some((stage, status.ready, unmet.collect()))))
}

/// A boot id that the role may not read is none.
fn may_be_hidden(boot: Result<String>) -> Result<Option<String>> {
    match boot {
        Ok(boot) => Ok(Some(boot)),
        Err(error) if error.kind() == ErrorKind::PermissionDenied && !error.is_not_forwarded() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the call may have had its effect although it failed.
fn may_have_begun(error: &Error) -> bool {
    let lost = matches!(
        error.kind(),
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Cancelled
    );
    // What an endpoint could not pass on has not arrived.
    lost && error.origin() != Origin::Endpoint
}
