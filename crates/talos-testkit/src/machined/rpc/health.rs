//! Whether the cluster is healthy, as a control plane node sees it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use talos_proto::cluster::{HealthCheckProgress, HealthCheckRequest};
use tokio::time::Instant;
use tonic::Status;

use super::{Call, Items};
use crate::node::ClusterFacts;
use crate::node::health::{CHECKS, Checked, Verdict, View};
use crate::text::go_quoted;

/// Time between two tries of a check.
const PERIOD: Duration = Duration::from_secs(5);

pub(in crate::machined) async fn health_check(
    call: Call,
    request: HealthCheckRequest,
) -> Result<Items<HealthCheckProgress>, Status> {
    call.control_plane_only("cluster health check")?;
    let timeout = request
        .wait_timeout
        .and_then(|timeout| Duration::try_from(timeout).ok());
    let given = request
        .cluster_info
        .filter(|info| !info.control_plane_nodes.is_empty() || !info.worker_nodes.is_empty());
    let mut first = None;
    let checked = match given {
        Some(info) => Checked {
            control_planes: info.control_plane_nodes,
            workers: info.worker_nodes,
        },
        None => {
            let checked = Checked::discover(&call.node.cluster);
            let names: Vec<_> = checked.all().iter().map(|name| go_quoted(name)).collect();
            first = Some(format!("discovered nodes: [{}]", names.join(" ")));
            checked
        }
    };
    let run = Run {
        cluster: Arc::clone(&call.node.cluster),
        checked,
        deadline: Instant::now() + timeout.unwrap_or_default(),
        first,
        check: 0,
        step: Step::Announce,
        last: String::new(),
    };
    let lines = stream::unfold(Some(run), |run| async move {
        let mut run = run?;
        match run.next_line().await {
            Ok(Some(message)) => {
                let progress = HealthCheckProgress {
                    metadata: None,
                    message,
                };
                Some((Ok(progress), Some(run)))
            }
            Ok(None) => None,
            Err(status) => Some((Err(status), None)),
        }
    });
    Ok(lines.boxed())
}

/// A health check under way.
struct Run {
    cluster: Arc<ClusterFacts>,
    checked: Checked,
    deadline: Instant,
    first: Option<String>,
    /// Number of the check that is being made.
    check: usize,
    step: Step,
    /// The last line, which is not repeated.
    last: String,
}

#[derive(Clone, Copy)]
enum Step {
    Announce,
    Try,
    Wait,
}

impl Run {
    /// The next line; `None` when all checks have passed.
    async fn next_line(&mut self) -> Result<Option<String>, Status> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        loop {
            if Instant::now() >= self.deadline {
                return Err(Status::deadline_exceeded("context deadline exceeded"));
            }
            let Some((name, check)) = CHECKS.get(self.check) else {
                return Ok(None);
            };
            let outcome = match self.step {
                Step::Announce => {
                    self.step = Step::Try;
                    "...".to_owned()
                }
                Step::Try => match check(&View::new(&self.cluster, &self.checked)) {
                    Verdict::Waiting(reason) => {
                        self.step = Step::Wait;
                        reason
                    }
                    passed => {
                        self.check += 1;
                        self.step = Step::Announce;
                        if passed == Verdict::Skip { "SKIP" } else { "OK" }.to_owned()
                    }
                },
                Step::Wait => {
                    let next = Instant::now() + PERIOD;
                    tokio::time::sleep_until(next.min(self.deadline)).await;
                    self.step = Step::Try;
                    continue;
                }
            };
            let line = format!("waiting for {name}: {outcome}");
            if line != self.last {
                self.last.clone_from(&line);
                return Ok(Some(line));
            }
        }
    }
}
