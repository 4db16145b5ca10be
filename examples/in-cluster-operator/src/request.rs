//! What the annotations of nodes ask for, and what comes next.

use k8s_openapi::api::core::v1::Node;

/// Asks for a reboot with the value `requested`; the operator puts the other [`State`]s here.
pub(crate) const REBOOT: &str = "talos.example/reboot";
/// Why a reboot failed, or what is done.
pub(crate) const MESSAGE: &str = "talos.example/reboot-message";
/// Which boot of the machine is to end. Another operator can see by it whether the machine has been rebooted already.
pub(crate) const BOOT: &str = "talos.example/reboot-boot-id";

/// Whether the node was cordoned before: then it stays so.
pub(crate) const CORDONED: &str = "talos.example/reboot-cordoned";

/// How far a reboot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Somebody wants it.
    Requested,
    /// An operator is, or was, about it.
    InProgress,
    /// The machine was told to reboot, or is about to be.
    Rebooting,
    Done,
    Failed,
}

impl State {
    const ALL: [Self; 5] = [
        Self::Requested,
        Self::InProgress,
        Self::Rebooting,
        Self::Done,
        Self::Failed,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::InProgress => "in-progress",
            Self::Rebooting => "rebooting",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// `None` if nobody asks for anything, or for something that is not known.
    pub(crate) fn of(node: &Node) -> Option<Self> {
        let value = annotation(node, REBOOT)?;
        Self::ALL.into_iter().find(|state| state.as_str() == value)
    }

    /// Whether there is something left to do.
    const fn is_open(self) -> bool {
        matches!(self, Self::Requested) || self.is_begun()
    }

    const fn is_begun(self) -> bool {
        matches!(self, Self::InProgress | Self::Rebooting)
    }
}

/// A node to reboot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Task {
    /// What Kubernetes calls it.
    pub(crate) name: String,
    /// What Talos knows it by. Without one, there is nothing to call.
    pub(crate) address: Option<String>,
    /// The boot that is to end, if an operator has been about it.
    pub(crate) boot: Option<String>,
    /// Whether that operator may have told the machine to reboot.
    pub(crate) told: bool,
    /// Whether somebody else has cordoned the node.
    pub(crate) cordoned: bool,
}

/// Whether a change of this node is a reason to look for a task.
pub(crate) fn is_open(node: &Node) -> bool {
    State::of(node).is_some_and(State::is_open)
}

/// What to do next: what has been begun, before what was asked for, and of that the first by name. So there is never more
/// than one node in progress, whoever restarts in between.
pub(crate) fn next(nodes: &[Node]) -> Option<Task> {
    let mut open: Vec<(bool, &str, &Node)> = nodes
        .iter()
        .filter(|node| is_open(node))
        .filter_map(|node| {
            let begun = State::of(node).is_some_and(State::is_begun);
            Some((!begun, node.metadata.name.as_deref()?, node))
        })
        .collect();
    open.sort_by_key(|(asked, name, _)| (*asked, *name));
    let (asked, name, node) = open.first()?;
    // What is left of an earlier reboot says nothing about this one.
    let noted = |name| annotation(node, name).filter(|_| !asked);
    let unschedulable = node.spec.as_ref().and_then(|spec| spec.unschedulable);
    Some(Task {
        name: (*name).to_owned(),
        address: internal_address(node),
        boot: noted(BOOT).map(str::to_owned),
        told: State::of(node) == Some(State::Rebooting),
        cordoned: match noted(CORDONED) {
            Some(noted) => noted == "true",
            None => unschedulable == Some(true),
        },
    })
}

fn annotation<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    node.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

fn internal_address(node: &Node) -> Option<String> {
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    let internal = addresses.iter().find(|address| address.type_ == "InternalIP")?;
    Some(internal.address.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, annotations: &[(&str, &str)]) -> Node {
        let annotations: std::collections::BTreeMap<_, _> = annotations.iter().copied().collect();
        let node = json!({
            "metadata": {"name": name, "annotations": annotations},
            "status": {"addresses": [
                {"type": "Hostname", "address": name},
                {"type": "InternalIP", "address": "10.5.0.9"},
            ]},
        });
        serde_json::from_value(node).expect("a node")
    }

    fn next_name(nodes: &[Node]) -> Option<String> {
        next(nodes).map(|task| task.name)
    }

    #[test]
    fn only_known_requests_that_are_not_finished_count() {
        assert_eq!(next(&[]), None);
        for value in ["done", "failed", "Requested", "yes", ""] {
            assert_eq!(next(&[node("a", &[(REBOOT, value)])]), None, "{value}");
        }
        assert_eq!(next(&[node("a", &[])]), None);
        let task = next(&[node("a", &[(REBOOT, "requested")])]).expect("a task");
        assert_eq!(task.address.as_deref(), Some("10.5.0.9"));
    }

    #[test]
    fn what_has_been_begun_goes_first_and_then_by_name() {
        let (a, b) = (
            node("a", &[(REBOOT, "requested")]),
            node("b", &[(REBOOT, "requested")]),
        );
        let begun = node("c", &[(REBOOT, "in-progress"), (BOOT, "1-2")]);
        assert_eq!(next_name(&[b.clone(), a.clone()]).as_deref(), Some("a"));
        let task = next(&[b, a, begun]).expect("a task");
        assert_eq!((task.name.as_str(), task.boot.as_deref()), ("c", Some("1-2")));
        assert!(!task.told);
        let told = node("d", &[(REBOOT, "rebooting"), (BOOT, "1-2")]);
        assert!(next(&[told]).expect("a task").told);
    }

    #[test]
    fn a_cordon_is_somebody_elses_unless_it_was_noted_otherwise() {
        let cordoned = |annotations: &[(&str, &str)]| {
            let mut node = node("a", annotations);
            node.spec.get_or_insert_default().unschedulable = Some(true);
            next(&[node]).expect("a task").cordoned
        };
        assert!(cordoned(&[(REBOOT, "requested")]));
        assert!(
            cordoned(&[(REBOOT, "requested"), (CORDONED, "false")]),
            "of an earlier reboot"
        );
        assert!(!cordoned(&[(REBOOT, "in-progress"), (CORDONED, "false")]));
        assert!(cordoned(&[(REBOOT, "in-progress"), (CORDONED, "true")]));
    }

    #[test]
    fn the_boot_of_an_earlier_reboot_does_not_count() {
        let again = node("a", &[(REBOOT, "requested"), (BOOT, "1-2")]);
        assert_eq!(next(&[again]).expect("a task").boot, None);
    }
}
