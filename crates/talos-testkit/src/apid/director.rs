//! Where a call goes: `apid`'s decision table, first match wins.

use http::HeaderMap;
use tonic::Status;

use crate::profile::Profile;

/// Where one call is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// By the `machined` of the node that was dialled.
    Local,
    /// By one named node, bytes passed on unchanged.
    One(String),
    /// By several named nodes, replies spliced into one.
    Many(Vec<String>),
}

/// The node that decides, as far as the decision needs it.
pub(crate) trait Forwarder {
    /// Whether the node has a client certificate for other nodes; workers do not.
    fn can_forward(&self) -> bool;
    /// The release whose rules it follows.
    fn profile(&self) -> Profile;
    /// Whether `target` is spelled as one of the node's addresses or names.
    fn is_self(&self, target: &str) -> bool;
}

pub(crate) fn decide(node: &impl Forwarder, method: &str, metadata: &HeaderMap) -> Result<Route, Status> {
    let values = |key: &str| -> Option<Vec<String>> {
        metadata.contains_key(key).then(|| {
            let values = metadata.get_all(key).iter();
            values
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect()
        })
    };
    if metadata.contains_key("proxyfrom") {
        return Ok(Route::Local);
    }
    let mut many = values("nodes");
    let mut one = match values("node") {
        Some(values) => {
            let [value] = <[String; 1]>::try_from(values)
                .map_err(|_| Status::invalid_argument("node metadata must be single-valued"))?;
            Some(value)
        }
        None => None,
    };
    if !node.can_forward() {
        one = one.filter(|target| !node.is_self(target));
        many = many.filter(|targets| !matches!(targets.as_slice(), [only] if node.is_self(only)));
    }
    let refused = || Status::permission_denied("no request forwarding");
    if let (Some(_), Some(refusal)) = (&many, node.profile().refuses_nodes_for(method)) {
        return Err(Status::invalid_argument(refusal));
    }
    match (many, one) {
        (Some(_), _) | (None, Some(_)) if !node.can_forward() => Err(refused()),
        (Some(targets), _) => {
            targets.iter().try_for_each(|target| check(target))?;
            Ok(Route::Many(targets))
        }
        (None, Some(target)) => {
            check(&target)?;
            Ok(Route::One(target))
        }
        (None, None) => Ok(Route::Local),
    }
}

/// A target is a bare host: not empty, no port.
fn check(target: &str) -> Result<(), Status> {
    let has_port = || match target.rsplit_once(':') {
        None => false,
        Some((host, _)) => {
            let bracketed = host.starts_with('[') && host.ends_with(']');
            bracketed || !host.contains(':') && !host.contains(['[', ']'])
        }
    };
    if target.is_empty() || has_port() {
        return Err(Status::internal(format!(
            "invalid target {}",
            crate::text::go_quoted(target)
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use tonic::Code;

    use super::*;

    struct Node {
        forwards: bool,
    }

    impl Forwarder for Node {
        fn can_forward(&self) -> bool {
            self.forwards
        }

        fn profile(&self) -> Profile {
            Profile::of("v1.14.0")
        }

        fn is_self(&self, target: &str) -> bool {
            ["10.5.0.4", "w1", "w1.example.org"].contains(&target)
        }
    }

    const CONTROL_PLANE: Node = Node { forwards: true };
    const WORKER: Node = Node { forwards: false };
    const VERSION: &str = "/machine.MachineService/Version";
    const GET: &str = "/cosi.resource.State/Get";

    fn route(
        node: &Node,
        method: &str,
        pairs: &[(&'static str, &'static str)],
    ) -> Result<Route, (Code, String)> {
        let metadata = pairs
            .iter()
            .map(|(key, value)| (HeaderName::from_static(key), HeaderValue::from_static(value)))
            .collect();
        decide(node, method, &metadata).map_err(|status| (status.code(), status.message().to_owned()))
    }

    fn one(target: &str) -> Result<Route, (Code, String)> {
        Ok(Route::One(target.to_owned()))
    }

    fn many(targets: &[&str]) -> Result<Route, (Code, String)> {
        Ok(Route::Many(
            targets.iter().map(|target| (*target).to_owned()).collect(),
        ))
    }

    fn refused(code: Code, message: &str) -> Result<Route, (Code, String)> {
        Err((code, message.to_owned()))
    }

    #[test]
    fn a_control_plane_node_forwards() {
        let node = &CONTROL_PLANE;
        assert_eq!(route(node, VERSION, &[]), Ok(Route::Local));
        assert_eq!(route(node, VERSION, &[("runtime", "Talos")]), Ok(Route::Local));
        assert_eq!(route(node, VERSION, &[("node", "10.5.0.3")]), one("10.5.0.3"));
        assert_eq!(route(node, GET, &[("node", "10.5.0.3")]), one("10.5.0.3"));
        assert_eq!(
            route(node, VERSION, &[("nodes", "a"), ("nodes", "b"), ("nodes", "a")]),
            many(&["a", "b", "a"])
        );
        assert_eq!(
            route(node, VERSION, &[("nodes", "a,b")]),
            many(&["a,b"]),
            "commas are not split"
        );
        assert_eq!(
            route(node, VERSION, &[("nodes", "a"), ("node", "b")]),
            many(&["a"]),
            "nodes wins"
        );
        assert_eq!(
            route(node, VERSION, &[("node", "10.5.0.4")]),
            one("10.5.0.4"),
            "no shortcut to itself"
        );
    }

    #[test]
    fn a_second_hop_is_always_local() {
        for node in [&CONTROL_PLANE, &WORKER] {
            let pairs = [("proxyfrom", "x"), ("node", "a"), ("node", "b"), ("nodes", "c")];
            assert_eq!(route(node, GET, &pairs), Ok(Route::Local));
        }
    }

    #[test]
    fn node_must_be_single_valued_even_next_to_nodes() {
        let expected = refused(Code::InvalidArgument, "node metadata must be single-valued");
        assert_eq!(
            route(&CONTROL_PLANE, VERSION, &[("node", "a"), ("node", "b")]),
            expected
        );
        assert_eq!(
            route(&WORKER, VERSION, &[("node", "a"), ("node", "a"), ("nodes", "c")]),
            expected
        );
    }

    #[test]
    fn a_worker_serves_only_itself() {
        let expected = refused(Code::PermissionDenied, "no request forwarding");
        for name in ["10.5.0.4", "w1", "w1.example.org"] {
            assert_eq!(
                route(&WORKER, VERSION, &[("node", name)]),
                Ok(Route::Local),
                "{name}"
            );
            assert_eq!(
                route(&WORKER, VERSION, &[("nodes", name)]),
                Ok(Route::Local),
                "{name}"
            );
        }
        assert_eq!(route(&WORKER, VERSION, &[("node", "10.5.0.3")]), expected);
        assert_eq!(
            route(&WORKER, VERSION, &[("nodes", "w1"), ("nodes", "w1")]),
            expected
        );
        assert_eq!(
            route(&WORKER, VERSION, &[("node", "10.5.0.3"), ("nodes", "w1")]),
            expected
        );
        let not_supported = format!("one-2-many proxying is not supported for method {GET}");
        assert_eq!(
            route(&WORKER, GET, &[("nodes", "x")]),
            refused(Code::InvalidArgument, &not_supported)
        );
        assert_eq!(
            route(&WORKER, GET, &[("nodes", "w1")]),
            Ok(Route::Local),
            "itself comes first"
        );
    }

    #[test]
    fn only_services_with_metadata_in_replies_take_nodes() {
        for method in [
            GET,
            "/machine.ImageService/List",
            "/machine.LifecycleService/Upgrade",
            "/x.Y/Z",
        ] {
            let expected = format!("one-2-many proxying is not supported for method {method}");
            assert_eq!(
                route(&CONTROL_PLANE, method, &[("nodes", "a")]),
                refused(Code::InvalidArgument, &expected)
            );
        }
        for method in [
            "/storage.StorageService/Disks",
            "/time.TimeService/Time",
            "/machine.MachineService/New",
        ] {
            assert_eq!(route(&CONTROL_PLANE, method, &[("nodes", "a")]), many(&["a"]));
        }
    }

    #[test]
    fn targets_are_bare_hosts() {
        for target in ["", "10.5.0.2:50000", "host:1", "[fd00::1]:50000"] {
            let expected = refused(Code::Internal, &format!("invalid target \"{target}\""));
            let target: &'static str = target;
            assert_eq!(route(&CONTROL_PLANE, VERSION, &[("node", target)]), expected);
            assert_eq!(
                route(&CONTROL_PLANE, VERSION, &[("nodes", "a"), ("nodes", target)]),
                expected
            );
        }
        for target in ["fd00::1", "[fd00::1]", "host", "host.example.org"] {
            assert_eq!(route(&CONTROL_PLANE, VERSION, &[("node", target)]), one(target));
        }
    }
}
