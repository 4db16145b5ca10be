//! Cordon, evict, wait.

use std::{collections::HashSet, time::Duration};

use futures_util::{StreamExt as _, stream};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    DrainError, DrainOptions, DrainProgress, DrainReport, PodLeft, PodName, PodProblem,
    pods::{Leaving, Sorted, uid},
};
use crate::{
    Node,
    workflow::{
        Reporter, deadline,
        kubernetes::{
            Kubernetes, KubernetesError,
            node::{Cordon, chain, name_of, persist},
            objects::Pod,
        },
        leaves_time,
    },
};

/// So many evictions are under way at the same time.
const CONCURRENCY: usize = 8;

/// A pod, and what is known of it.
struct Going {
    leaving: Leaving,
    /// `None` until the API was asked.
    problem: Option<PodProblem>,
    /// When to ask (again).
    due: Instant,
}

struct Drain {
    kubernetes: Kubernetes,
    options: DrainOptions,
    reporter: Reporter<DrainProgress>,
    name: String,
    deadline: Instant,
}

/// What came of asking for an eviction.
enum Answer {
    Accepted,
    Gone,
    /// Not now; ask again after this time.
    Blocked(String, Duration),
    NotAsked(String),
    Refused(KubernetesError),
}

pub(super) async fn drain(
    kubernetes: Kubernetes,
    node: Node,
    options: DrainOptions,
    mark: bool,
    reporter: Reporter<DrainProgress>,
) -> Result<DrainReport, DrainError> {
    let deadline = deadline(options.timeout);
    let Some(name) = name_of(&node).await? else {
        reporter.report(DrainProgress::NotRegistered);
        return Ok(DrainReport {
            name: None,
            was_cordoned: false,
            evicted: Vec::new(),
            staying: Vec::new(),
        });
    };
    let drain = Drain {
        kubernetes,
        options,
        reporter,
        name,
        deadline,
    };
    drain.run(mark).await
}

impl Drain {
    async fn run(self, mark: bool) -> Result<DrainReport, DrainError> {
        if !(self.options.unmanaged && self.options.empty_dir_data) {
            // So that nothing is begun that is not to be finished.
            self.sorted().await?;
        }
        let cordon = self
            .again(|| self.kubernetes.keep_pods_away(&self.name, mark))
            .await?;
        self.reporter.report(DrainProgress::Cordoned {
            name: self.name.clone(),
            before: cordon != Cordon::Done,
        });
        let sorted = self.sorted().await?;
        for skip in &sorted.staying {
            self.reporter.report(DrainProgress::Staying(skip.clone()));
        }
        let evicted = sorted.leaving.iter().map(|leaving| leaving.pod.clone()).collect();
        self.evict(sorted.leaving).await?;
        Ok(DrainReport {
            was_cordoned: cordon == Cordon::Foreign,
            evicted,
            staying: sorted.staying,
            name: Some(self.name),
        })
    }

    /// What fails in a way that passes is tried again until the time is over.
    async fn again<T, Fut>(&self, call: impl Fn() -> Fut) -> Result<T, KubernetesError>
    where
        Fut: Future<Output = Result<T, KubernetesError>>,
    {
        let tell = |reason| self.reporter.report(DrainProgress::Again { reason });
        persist(self.deadline, self.options.interval, tell, call).await
    }

    async fn sorted(&self) -> Result<Sorted, DrainError> {
        let pods = self.again(|| self.pods()).await?;
        let sorted = Sorted::of(&pods, &self.options);
        if sorted.refused.is_empty() {
            return Ok(sorted);
        }
        Err(DrainError::NotAllowed {
            name: self.name.clone(),
            pods: sorted.refused,
        })
    }

    async fn pods(&self) -> Result<Vec<Pod>, KubernetesError> {
        let pods = Api::all(self.kubernetes.client().await?);
        let params = ListParams::default().fields(&format!("spec.nodeName={}", self.name));
        let what = format!("pods of node {}", self.name);
        self.kubernetes.list(&what, &pods, &params).await
    }

    async fn evict(&self, leaving: Vec<Leaving>) -> Result<(), DrainError> {
        let now = Instant::now();
        let mut going: Vec<Going> = leaving
            .into_iter()
            .map(|leaving| Going {
                problem: leaving.ending.then_some(PodProblem::Ending),
                leaving,
                due: now,
            })
            .collect();
        while !going.is_empty() {
            let round = timeout_at(self.deadline, self.round(&mut going)).await;
            if let Ok(done) = round {
                done?;
            }
            if going.is_empty() {
                break;
            }
            if !leaves_time(self.options.interval, self.deadline) {
                return Err(self.timed_out(going));
            }
            sleep(self.options.interval).await;
        }
        Ok(())
    }

    /// Asks for the evictions that are due, and looks which pods are gone.
    async fn round(&self, going: &mut Vec<Going>) -> Result<(), DrainError> {
        let now = Instant::now();
        let due = |going: &Going| going.problem != Some(PodProblem::Ending) && going.due <= now;
        let mut asked = Vec::new();
        for (index, going) in going.iter().enumerate().filter(|(_, going)| due(going)) {
            let leaving = going.leaving.clone();
            asked.push(async move { (index, self.ask(&leaving).await) });
        }
        let mut answers = stream::iter(asked).buffer_unordered(CONCURRENCY);
        while let Some((index, answer)) = answers.next().await {
            self.note(&mut going[index], answer)?;
        }
        let pods = match self.pods().await {
            Ok(pods) => pods,
            Err(error) if error.is_retriable() => {
                let reason = chain(&error);
                self.reporter.report(DrainProgress::Again { reason });
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let there: HashSet<&str> = pods.iter().map(uid).collect();
        let mut left = going.len();
        going.retain(|going| {
            let is_there = there.contains(going.leaving.uid.as_str());
            if !is_there {
                left -= 1;
                let pod = going.leaving.pod.clone();
                self.reporter.report(DrainProgress::Gone { pod, left });
            }
            is_there
        });
        Ok(())
    }

    fn note(&self, going: &mut Going, answer: Answer) -> Result<(), DrainError> {
        let pod = going.leaving.pod.clone();
        let problem = match answer {
            Answer::Accepted | Answer::Gone => {
                self.reporter.report(DrainProgress::Evicting(pod));
                PodProblem::Ending
            }
            Answer::Blocked(reason, pause) => {
                going.due = deadline(pause);
                let problem = PodProblem::Blocked {
                    reason: reason.clone(),
                };
                if going.problem.as_ref() != Some(&problem) {
                    self.reporter.report(DrainProgress::Blocked { pod, reason });
                }
                problem
            }
            Answer::NotAsked(reason) => PodProblem::NotAsked { reason },
            Answer::Refused(source) => {
                let name = self.name.clone();
                let source = Box::new(source);
                return Err(DrainError::Refused { name, pod, source });
            }
        };
        going.problem = Some(problem);
        Ok(())
    }

    async fn ask(&self, leaving: &Leaving) -> Answer {
        let asked = self.eviction(&leaving.pod, &leaving.uid).await;
        let Err(error) = asked else {
            return Answer::Accepted;
        };
        let pause = self.options.interval.saturating_mul(5);
        match &error {
            KubernetesError::Refused { code: 404, .. } => Answer::Gone,
            KubernetesError::Refused {
                code: 429, message, ..
            } => Answer::Blocked(message.clone(), pause),
            // Its namespace is going, and it with it; or the pod has changed just now.
            KubernetesError::Refused {
                code: 403, message, ..
            } if message.contains("being terminated") => Answer::Blocked(message.clone(), pause),
            error if error.is_retriable() => Answer::NotAsked(chain(error)),
            _ => Answer::Refused(error),
        }
    }

    async fn eviction(&self, pod: &PodName, uid: &str) -> Result<(), KubernetesError> {
        let pods: Api<Pod> = Api::namespaced(self.kubernetes.client().await?, &pod.namespace);
        // A pod of a StatefulSet may be there again under the same name, elsewhere.
        let mut options = json!({"preconditions": {"uid": uid}});
        if let Some(grace) = self.options.grace_period {
            options["gracePeriodSeconds"] = json!(grace.as_secs());
        }
        let eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": pod.namespace},
            "deleteOptions": options,
        });
        let params = PostParams::default();
        let answer = pods.create_subresource::<_, Value>("eviction", &pod.name, &params, &eviction);
        self.kubernetes.ask(&format!("pod {pod}"), answer).await.map(drop)
    }

    fn timed_out(&self, going: Vec<Going>) -> DrainError {
        let left = |going: Going| PodLeft {
            pod: going.leaving.pod,
            problem: going.problem.unwrap_or_else(|| PodProblem::NotAsked {
                reason: "the time was over before".to_owned(),
            }),
        };
        DrainError::TimedOut {
            name: self.name.clone(),
            after: self.options.timeout,
            pods: going.into_iter().map(left).collect(),
        }
    }
}
