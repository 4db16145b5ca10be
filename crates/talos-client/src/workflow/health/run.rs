//! Making the checks one after the other.

use std::{fmt, time::Duration};

use talos_transport::RetryConfig;
use tokio::time::{sleep, timeout_at};

use super::{
    Check, ConditionStatus, HealthError, HealthProgress,
    look::{Found, Scope, look},
};
use crate::{
    CallOptions, Client, MemberRole, Node,
    error::{Error, ErrorKind, Origin},
    workflow::{Reporter, Run, deadline, leaves_time},
};

/// What to check, and for how long.
#[derive(Clone, Debug)]
#[must_use = "nothing is checked before `start`"]
pub struct ClusterHealth {
    client: Client,
    nodes: Option<(Vec<Node>, Vec<Node>)>,
    timeout: Duration,
    interval: Duration,
    #[cfg(feature = "kube")]
    kubernetes: Option<crate::workflow::kubernetes::Kubernetes>,
}

/// What became of the checks, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthReport {
    /// Each check that was made, and what came of it.
    pub checks: Vec<(Check, Verdict)>,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It holds.
    Passed,
    /// It was not made.
    Skipped(SkipReason),
}

/// Why a check was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// Only the Kubernetes API could tell, and nobody said that it may be asked.
    NeedsKubernetes,
    /// The cluster does not have what is to be checked.
    NotConfigured,
    /// The nodes are containers, for which it means nothing.
    Container,
    /// The role does not allow to ask, or the release has nothing to ask for.
    NotAllowed,
}

impl ClusterHealth {
    /// How long talosctl waits for a cluster: 20 minutes.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20 * 60);

    /// All nodes of the cluster, as [`Client::discover`] finds them.
    pub fn of(client: &Client) -> Self {
        Self {
            client: client.clone(),
            nodes: None,
            timeout: Self::DEFAULT_TIMEOUT,
            interval: Duration::from_secs(5),
            #[cfg(feature = "kube")]
            kubernetes: None,
        }
    }

    /// These nodes instead of those that discovery finds. Talos compares addresses, so the nodes should be named by them.
    pub fn nodes(
        mut self,
        control_planes: impl IntoIterator<Item = Node>,
        workers: impl IntoIterator<Item = Node>,
    ) -> Self {
        self.nodes = Some((
            control_planes.into_iter().collect(),
            workers.into_iter().collect(),
        ));
        self
    }

    /// Limits the time for all checks together. Default: [`ClusterHealth::DEFAULT_TIMEOUT`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the time between two tries of a check, which is also what a try may take at least 5 s of. Default: 5 s.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(Duration::from_millis(1));
        self
    }

    /// Makes the six checks that ask the Kubernetes API as well. They are skipped for
    /// [`NotConfigured`](SkipReason::NotConfigured) if the cluster has no Kubernetes. Default: they are not made.
    #[cfg(feature = "kube")]
    pub fn kubernetes(mut self, kubernetes: &crate::workflow::kubernetes::Kubernetes) -> Self {
        self.kubernetes = Some(kubernetes.clone());
        self
    }

    /// Makes the checks, each until it holds.
    ///
    /// Progress is in the words of `talosctl health`. A check that does not hold is tried again until the time is over, and
    /// those after it are not made.
    ///
    /// # Errors
    ///
    /// [`HealthError`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: checks change nothing.
    pub fn start(self) -> Run<HealthProgress, HealthReport, HealthError> {
        Run::new(move |reporter| self.run(reporter))
    }

    async fn run(self, reporter: Reporter<HealthProgress>) -> Result<HealthReport, HealthError> {
        let deadline = deadline(self.timeout);
        let scope = match timeout_at(deadline, self.scope(&reporter)).await {
            Ok(scope) => scope?,
            Err(_) => {
                let error = Error::new(ErrorKind::Timeout, Origin::Local);
                return Err(HealthError::Discover(Box::new(error)));
            }
        };
        if scope.control_planes.is_empty() {
            return Err(HealthError::NoControlPlane);
        }
        let mut report = HealthReport::default();
        for check in Check::ALL {
            let tell = |status| {
                let name = check.name().to_owned();
                reporter.report(HealthProgress::Condition { name, status });
            };
            tell(ConditionStatus::Checking);
            let mut last = String::new();
            let verdict = loop {
                let least = if check == Check::KubernetesNodes {
                    FIRST_OF_KUBERNETES
                } else {
                    LEAST_ATTEMPT
                };
                let attempt = self::deadline(self.interval.max(least));
                let found = timeout_at(attempt.min(deadline), look(check, &scope)).await;
                let reason = match found {
                    Ok(Found::Met) => break Verdict::Passed,
                    Ok(Found::Skip(reason)) => break Verdict::Skipped(reason),
                    Ok(Found::Refused(error)) => {
                        let source = Box::new(error);
                        return Err(HealthError::Refused {
                            check,
                            source,
                            report,
                        });
                    }
                    Ok(Found::NotMet(reason)) => reason,
                    Err(_) if last.is_empty() => "no answer in time".to_owned(),
                    // The reason from before says more.
                    Err(_) => last.clone(),
                };
                if reason != last {
                    tell(ConditionStatus::NotMet(reason.clone()));
                    last = reason;
                }
                if !leaves_time(self.interval, deadline) {
                    let timeout = self.timeout;
                    let reason = last;
                    return Err(HealthError::NotMet {
                        check,
                        reason,
                        timeout,
                        report,
                    });
                }
                sleep(self.interval).await;
            };
            tell(match verdict {
                Verdict::Passed => ConditionStatus::Met,
                Verdict::Skipped(_) => ConditionStatus::Skipped,
            });
            report.checks.push((check, verdict));
        }
        Ok(report)
    }

    /// The nodes to check.
    async fn scope(&self, reporter: &Reporter<HealthProgress>) -> Result<Scope, HealthError> {
        // What fails is tried again by the loop around it, which tells the reason.
        let attempt = self.interval.max(LEAST_ATTEMPT);
        let options = CallOptions::new().retry(RetryConfig::off()).timeout(attempt);
        let nodes = |nodes: Vec<Node>| -> Vec<Node> {
            let node = |node: Node| node.with_options(options.clone());
            nodes.into_iter().map(node).collect()
        };
        if let Some((control_planes, workers)) = self.nodes.clone() {
            return Ok(Scope {
                control_planes: nodes(control_planes),
                workers: nodes(workers),
                #[cfg(feature = "kube")]
                kubernetes: self.kubernetes.clone(),
            });
        }
        let members = loop {
            match self.client.discover().await {
                Ok((members, _)) => break members,
                Err(error) if error.is_retriable() => {
                    tracing::debug!(%error, "looking for the nodes again");
                    sleep(self.interval).await;
                }
                Err(error) => return Err(HealthError::Discover(Box::new(error))),
            }
        };
        let names: Vec<String> = members
            .iter()
            .map(|member| format!("{:?}", member.node.name().as_str()))
            .collect();
        reporter.report(HealthProgress::Discovered(format!("[{}]", names.join(" "))));
        let (control_planes, workers): (Vec<_>, Vec<_>) = members
            .into_iter()
            .partition(|member| member.role == MemberRole::ControlPlane);
        let handles = |members: Vec<crate::Member>| members.into_iter().map(|member| member.node).collect();
        Ok(Scope {
            control_planes: nodes(handles(control_planes)),
            workers: nodes(handles(workers)),
            #[cfg(feature = "kube")]
            kubernetes: self.kubernetes.clone(),
        })
    }
}

impl HealthReport {
    /// The checks that hold.
    pub fn passed(&self) -> impl Iterator<Item = Check> + '_ {
        let passed = self.checks.iter();
        passed.filter_map(|(check, verdict)| (*verdict == Verdict::Passed).then_some(*check))
    }

    /// The checks that were not made, and why.
    pub fn skipped(&self) -> impl Iterator<Item = (Check, SkipReason)> + '_ {
        self.checks.iter().filter_map(|(check, verdict)| match verdict {
            Verdict::Skipped(reason) => Some((*check, *reason)),
            Verdict::Passed => None,
        })
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeedsKubernetes => "only the Kubernetes API could tell",
            Self::NotConfigured => "the cluster does not have it",
            Self::Container => "the nodes are containers",
            Self::NotAllowed => "the nodes do not say",
        })
    }
}

/// A try has at least this long.
const LEAST_ATTEMPT: Duration = Duration::from_secs(5);

/// The first one that asks Kubernetes also fetches the kubeconfig, and waits for connections.
const FIRST_OF_KUBERNETES: Duration = Duration::from_secs(30);
