//! Which pods of a node go, and which stay.

use std::fmt;

use super::{DrainOptions, PodLeft, PodProblem, PodSkip};
use crate::workflow::kubernetes::objects::Pod;

/// What a pod is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its name in the namespace.
    pub name: String,
}

/// Why a pod is not moved away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PodSkipReason {
    /// A DaemonSet would bring it back to the same node.
    DaemonSet,
    /// It only mirrors what the machine runs by itself, such as the control plane.
    Mirror,
}

/// A pod that has to go.
#[derive(Clone, Debug)]
pub(super) struct Leaving {
    pub(super) pod: PodName,
    pub(super) uid: String,
    /// It is ending already.
    pub(super) ending: bool,
}

/// The pods of a node, sorted out.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    pub(super) leaving: Vec<Leaving>,
    pub(super) staying: Vec<PodSkip>,
    /// Those that the options do not allow to evict.
    pub(super) refused: Vec<PodLeft>,
}

impl Sorted {
    pub(super) fn of(pods: &[Pod], options: &DrainOptions) -> Self {
        let mut sorted = Self::default();
        for pod in pods {
            sorted.add(pod, options);
        }
        sorted
    }

    fn add(&mut self, pod: &Pod, options: &DrainOptions) {
        let name = PodName::of(pod);
        if let Some(reason) = stays(pod) {
            return self.staying.push(PodSkip { pod: name, reason });
        }
        let refuse = |problem| PodLeft {
            pod: name.clone(),
            problem,
        };
        let (finished, ending) = (pod.is_finished(), pod.metadata.deletion_timestamp.is_some());
        if !finished && !ending {
            if !options.unmanaged && pod.controller().is_none() {
                return self.refused.push(refuse(PodProblem::Unmanaged));
            }
            if !options.empty_dir_data && pod.has_empty_dir() {
                return self.refused.push(refuse(PodProblem::EmptyDirData));
            }
        }
        self.leaving.push(Leaving {
            pod: name,
            uid: uid(pod).to_owned(),
            ending,
        });
    }
}

impl PodName {
    pub(super) fn of(pod: &Pod) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Self {
            namespace: text(&pod.metadata.namespace),
            name: text(&pod.metadata.name),
        }
    }
}

pub(super) fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

fn stays(pod: &Pod) -> Option<PodSkipReason> {
    if pod.has_annotation("kubernetes.io/config.mirror") {
        return Some(PodSkipReason::Mirror);
    }
    // One that is over is not brought back by being left there.
    let by_daemon_set = pod.controller() == Some("DaemonSet") && !pod.is_finished();
    by_daemon_set.then_some(PodSkipReason::DaemonSet)
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Display for PodSkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DaemonSet => "belongs to a DaemonSet",
            Self::Mirror => "is run by the machine itself",
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, more: Value) -> Pod {
        let mut pod = json!({"metadata": {"namespace": "default", "name": name, "uid": name}});
        for (path, value) in more.as_object().expect("a map") {
            pod[path] = match (&pod[path], value) {
                (Value::Object(old), Value::Object(new)) => {
                    let all = old
                        .iter()
                        .chain(new)
                        .map(|(key, value)| (key.clone(), value.clone()));
                    Value::Object(all.collect())
                }
                _ => value.clone(),
            };
        }
        serde_json::from_value(pod).expect("a pod")
    }

    fn owned(kind: &str) -> Value {
        let owner =
            json!({"apiVersion": "apps/v1", "kind": kind, "name": "x", "uid": "x", "controller": true});
        json!({"ownerReferences": [owner]})
    }

    #[test]
    fn what_would_come_back_at_once_stays() {
        let mirror = json!({"annotations": {"kubernetes.io/config.mirror": "hash"}});
        let done = json!({"phase": "Succeeded"});
        let pods = [
            pod("mirror", json!({"metadata": mirror})),
            pod("daemon", json!({"metadata": owned("DaemonSet")})),
            pod(
                "daemon-over",
                json!({"metadata": owned("DaemonSet"), "status": done}),
            ),
            pod("web", json!({"metadata": owned("ReplicaSet")})),
            pod("alone", json!({})),
            pod(
                "ending",
                json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
            ),
        ];
        let sorted = Sorted::of(&pods, &DrainOptions::new());
        let leaving: Vec<_> = sorted
            .leaving
            .iter()
            .map(|leaving| (leaving.uid.as_str(), leaving.ending))
            .collect();
        assert_eq!(
            leaving,
            [
                ("daemon-over", false),
                ("web", false),
                ("alone", false),
                ("ending", true)
            ]
        );
        let staying: Vec<_> = sorted.staying.iter().map(ToString::to_string).collect();
        assert_eq!(
            staying,
            [
                "default/mirror is run by the machine itself",
                "default/daemon belongs to a DaemonSet",
            ]
        );
        assert!(sorted.refused.is_empty());
    }

    #[test]
    fn what_would_be_lost_is_refused_where_that_is_wanted() {
        let volumes = json!({"containers": [], "volumes": [{"name": "scratch", "emptyDir": {}}]});
        let pods = [
            pod("alone", json!({})),
            pod("alone-over", json!({"status": {"phase": "Failed"}})),
            pod(
                "scratch",
                json!({"metadata": owned("ReplicaSet"), "spec": volumes}),
            ),
            pod("web", json!({"metadata": owned("ReplicaSet")})),
        ];
        let strict = DrainOptions::new().unmanaged(false).empty_dir_data(false);
        let sorted = Sorted::of(&pods, &strict);
        let refused: Vec<_> = sorted
            .refused
            .iter()
            .map(|left| (left.pod.name.as_str(), &left.problem))
            .collect();
        assert_eq!(
            refused,
            [
                ("alone", &PodProblem::Unmanaged),
                ("scratch", &PodProblem::EmptyDirData)
            ]
        );
        assert_eq!(sorted.leaving.len(), 2);
    }
}
