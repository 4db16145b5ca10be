//! One try of a check.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use super::{Check, SkipReason};
use crate::{
    Node,
    api::{
        etcd::EtcdMember,
        machine::{ServiceHealth, ServiceState},
    },
    error::{Error, Result},
    resource::{
        Resource,
        block::VolumeStatus,
        k8s::{ApiServerConfig, ControllerManagerConfig, SchedulerConfig, StaticPodStatus},
        runtime::{Diagnostic, MachineStage, MachineStatus},
    },
};

/// The nodes that are checked.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) control_planes: Vec<Node>,
    pub(super) workers: Vec<Node>,
    #[cfg(feature = "kube")]
    pub(super) kubernetes: Option<crate::workflow::kubernetes::Kubernetes>,
}

/// What a try has found.
#[derive(Debug)]
pub(super) enum Found {
    Met,
    /// There is nothing to check.
    Skip(SkipReason),
    /// Not yet, for this reason.
    NotMet(String),
    /// It will not be known by asking again.
    Refused(Error),
}

/// What one node says to a check.
enum Said {
    Fine,
    Problem(String),
    /// It does not apply to this node.
    Nothing(SkipReason),
}

const MIB: u64 = 1 << 20;
/// What virtual machines of 2 and 1 GiB have, less what firmware takes.
const CONTROL_PLANE_MEMORY: u64 = (1848 - 150) * MIB;
const WORKER_MEMORY: u64 = (1024 - 150) * MIB;
/// A disk of 6 GiB less the partitions EFI, which is 2200 MiB at most, STATE and META, and 10 MiB for alignment.
const EPHEMERAL: u64 = (6 * 1024 - 2200 - 100 - 1 - 10) * MIB;

pub(super) async fn look(check: Check, scope: &Scope) -> Found {
    let control_planes = || scope.control_planes.iter();
    let all = || control_planes().chain(&scope.workers);
    match check {
        Check::EtcdHealthy => each(control_planes(), |node| service(node, "etcd")).await,
        Check::EtcdConsistent => {
            let lists = join_all(control_planes().map(members_at)).await;
            consistent(&scope.control_planes, lists)
        }
        Check::EtcdMembersAreControlPlanes => {
            let lists = join_all(control_planes().map(members_at)).await;
            are_control_planes(&scope.control_planes, lists)
        }
        Check::ApidReady => each(all(), answers).await,
        Check::MemorySizes => {
            let control_planes = each(control_planes(), |node| memory(node, CONTROL_PLANE_MEMORY)).await;
            match control_planes {
                Found::Met => match each(scope.workers.iter(), |node| memory(node, WORKER_MEMORY)).await {
                    Found::Skip(_) => Found::Met,
                    other => other,
                },
                other => other,
            }
        }
        Check::DiskSizes => each(all(), disk).await,
        Check::NoDiagnostics => each(all(), diagnostics).await,
        Check::KubeletHealthy => each(control_planes(), |node| service(node, "kubelet")).await,
        Check::BootFinished => each(all(), stage).await,
        Check::StaticPods => each(control_planes(), static_pods).await,
        Check::KubernetesNodes
        | Check::ControlPlaneComponents
        | Check::KubernetesNodesReady
        | Check::KubeProxy
        | Check::CoreDns
        | Check::Schedulable => kubernetes(check, scope).await,
    }
}

#[cfg(feature = "kube")]
async fn kubernetes(check: Check, scope: &Scope) -> Found {
    match &scope.kubernetes {
        Some(kubernetes) => super::kubernetes::look(check, scope, kubernetes).await,
        None => Found::Skip(SkipReason::NeedsKubernetes),
    }
}

#[cfg(not(feature = "kube"))]
async fn kubernetes(_: Check, _: &Scope) -> Found {
    Found::Skip(SkipReason::NeedsKubernetes)
}

/// Asks all of them, and finds the first problem in their order. It applies if it does to any.
async fn each<'a, Fut>(nodes: impl Iterator<Item = &'a Node>, ask: impl Fn(&'a Node) -> Fut) -> Found
where
    Fut: Future<Output = Result<Said>>,
{
    let nodes: Vec<&Node> = nodes.collect();
    let answers = join_all(nodes.iter().copied().map(ask)).await;
    let mut skip = None;
    let mut applies = nodes.is_empty();
    for (node, answer) in nodes.iter().zip(answers) {
        match answer {
            Ok(Said::Fine) => applies = true,
            Ok(Said::Problem(problem)) => return Found::NotMet(format!("{}: {problem}", node.name())),
            Ok(Said::Nothing(reason)) => skip = Some(reason),
            Err(error) => return of_error(error),
        }
    }
    match skip {
        Some(reason) if !applies => Found::Skip(reason),
        _ => Found::Met,
    }
}

/// Another certificate or role is not found by waiting.
pub(super) fn of_error(error: Error) -> Found {
    if error.is_denied() && !error.is_not_forwarded() || error.is_invalid_input() {
        Found::Refused(error)
    } else {
        Found::NotMet(format!("{error:#}"))
    }
}

async fn service(node: &Node, id: &str) -> Result<Said> {
    let Some(found) = node.service(id).await? else {
        // Until the machine runs, not all of its services are there.
        let running = stage_of(node).await? == MachineStage::Running;
        return Ok(if running {
            Said::Nothing(SkipReason::NotConfigured)
        } else {
            Said::Problem(format!("there is no service {id} yet"))
        });
    };
    let last = found.events.last().map_or(&found.state, |event| &event.state);
    if *last != ServiceState::Running {
        return Ok(Said::Problem(format!("service {id} is {}", last.as_str())));
    }
    Ok(match found.health {
        ServiceHealth::Healthy => Said::Fine,
        _ => Said::Problem(format!("service {id} is not healthy: {}", found.health_message)),
    })
}

/// What a node knows about the members of etcd; `None` if it has no etcd at all.
async fn members_at(node: &Node) -> Result<Option<Vec<EtcdMember>>> {
    if node.service("etcd").await?.is_none() {
        return Ok(None);
    }
    node.etcd().members().query_local(true).send().await.map(Some)
}

/// The lists of all nodes that have etcd, or what to answer.
fn lists_of(
    nodes: &[Node],
    lists: Vec<Result<Option<Vec<EtcdMember>>>>,
) -> Result<Vec<(&Node, Vec<EtcdMember>)>, Found> {
    let mut found = Vec::new();
    for (node, list) in nodes.iter().zip(lists) {
        match list {
            Ok(Some(members)) => found.push((node, members)),
            Ok(None) => {}
            Err(error) => return Err(of_error(error)),
        }
    }
    if found.is_empty() {
        return Err(Found::Skip(SkipReason::NotConfigured));
    }
    Ok(found)
}

fn consistent(nodes: &[Node], lists: Vec<Result<Option<Vec<EtcdMember>>>>) -> Found {
    let lists = match lists_of(nodes, lists) {
        Ok(lists) => lists,
        Err(found) => return found,
    };
    let facts = |members: &[EtcdMember]| -> BTreeSet<(u64, String, bool)> {
        let fact = |member: &EtcdMember| {
            (
                member.id().get(),
                member.hostname().to_owned(),
                member.is_learner(),
            )
        };
        members.iter().map(fact).collect()
    };
    let Some((first, expected)) = lists.first() else {
        return Found::Skip(SkipReason::NotConfigured);
    };
    let expected = facts(expected);
    let other = lists.iter().find(|(_, members)| facts(members) != expected);
    match other {
        Some((node, _)) => Found::NotMet(format!(
            "{} lists other members of etcd than {}",
            node.name(),
            first.name()
        )),
        None => Found::Met,
    }
}

fn are_control_planes(nodes: &[Node], lists: Vec<Result<Option<Vec<EtcdMember>>>>) -> Found {
    let lists = match lists_of(nodes, lists) {
        Ok(lists) => lists,
        Err(found) => return found,
    };
    let names: BTreeSet<&str> = nodes.iter().map(|node| node.name().as_str()).collect();
    for (node, members) in &lists {
        for member in members {
            let known = |url: &String| host_of(url).is_some_and(|host| names.contains(host));
            if !member.peer_urls().iter().any(known) {
                return Found::NotMet(format!(
                    "{}: the member {} of etcd ({}) is no control plane node",
                    node.name(),
                    member.hostname(),
                    member.peer_urls().join(", ")
                ));
            }
        }
    }
    Found::Met
}

/// The host in `https://10.5.0.2:2380`.
fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next(),
        None => authority.split(':').next(),
    }
}

async fn answers(node: &Node) -> Result<Said> {
    node.version().await?;
    Ok(Said::Fine)
}

/// Containers share what their host has.
async fn is_container(node: &Node) -> Result<bool> {
    Ok(node.version().await?.mode() == Some("container"))
}

async fn memory(node: &Node, wanted: u64) -> Result<Said> {
    if is_container(node).await? {
        return Ok(Said::Nothing(SkipReason::Container));
    }
    let total = node.memory().await?.total();
    Ok(if total < wanted {
        Said::Problem(format!(
            "{} MiB of memory, less than {} MiB",
            total / MIB,
            wanted / MIB
        ))
    } else {
        Said::Fine
    })
}

async fn disk(node: &Node) -> Result<Said> {
    if is_container(node).await? {
        return Ok(Said::Nothing(SkipReason::Container));
    }
    let volume = match node.resources().get_by_id::<VolumeStatus>("EPHEMERAL").await {
        Ok(volume) => volume.spec,
        // Releases before 1.8 do not have the type.
        Err(error) if error.is_denied() => return Ok(Said::Nothing(SkipReason::NotAllowed)),
        Err(error) if error.is_not_found() => {
            return Ok(Said::Problem("there is no volume EPHEMERAL yet".to_owned()));
        }
        Err(error) => return Err(error),
    };
    Ok(if volume.size < EPHEMERAL {
        Said::Problem(format!(
            "the volume EPHEMERAL has {} MiB, less than {} MiB",
            volume.size / MIB,
            EPHEMERAL / MIB
        ))
    } else {
        Said::Fine
    })
}

async fn diagnostics(node: &Node) -> Result<Said> {
    let found = match node.resources().list::<Diagnostic>().await {
        Ok(found) => found,
        Err(error) if error.is_denied() => return Ok(Said::Nothing(SkipReason::NotAllowed)),
        Err(error) => return Err(error),
    };
    Ok(match found.first() {
        Some(first) => Said::Problem(format!("{}: {}", first.metadata.id, first.spec.message)),
        None => Said::Fine,
    })
}

async fn stage_of(node: &Node) -> Result<MachineStage> {
    Ok(node.resources().get::<MachineStatus>().await?.spec.stage)
}

async fn stage(node: &Node) -> Result<Said> {
    let stage = stage_of(node).await?;
    Ok(if stage == MachineStage::Running {
        Said::Fine
    } else {
        Said::Problem(format!("the machine is {stage}"))
    })
}

async fn is_configured<R: Resource>(node: &Node) -> Result<bool> {
    match node.resources().get::<R>().await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        // A sensitive type, for administrators only. Control planes have it as a rule.
        Err(error) if error.is_denied() && !error.is_not_forwarded() => Ok(true),
        Err(error) => Err(error),
    }
}

/// A status for each component that is configured.
async fn static_pods(node: &Node) -> Result<Said> {
    let mut wanted = Vec::new();
    for (name, configured) in [
        ("kube-apiserver", is_configured::<ApiServerConfig>(node).await?),
        (
            "kube-controller-manager",
            is_configured::<ControllerManagerConfig>(node).await?,
        ),
        ("kube-scheduler", is_configured::<SchedulerConfig>(node).await?),
    ] {
        if configured {
            wanted.push(name);
        }
    }
    if wanted.is_empty() {
        return Ok(Said::Nothing(SkipReason::NotConfigured));
    }
    let pods = node.resources().list::<StaticPodStatus>().await?;
    let is_of = |id: &str, name: &str| id.rsplit('/').next().is_some_and(|pod| pod.starts_with(name));
    let missing: Vec<&str> = wanted
        .into_iter()
        .filter(|name| !pods.iter().any(|pod| is_of(&pod.metadata.id, name)))
        .collect();
    Ok(if missing.is_empty() {
        Said::Fine
    } else {
        Said::Problem(format!("no static pod of {}", missing.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_come_out_of_peer_urls() {
        assert_eq!(host_of("https://10.5.0.2:2380"), Some("10.5.0.2"));
        assert_eq!(host_of("https://[fd00::1]:2380"), Some("fd00::1"));
        assert_eq!(host_of("https://cp-1"), Some("cp-1"));
        assert_eq!(host_of("10.5.0.2"), None);
    }
}
