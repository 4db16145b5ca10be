//! Replies that wrap one message per node.

#[cfg(feature = "machine")]
use std::collections::HashMap;

use talos_proto::common::Metadata;
#[cfg(feature = "machine")]
use talos_transport::NodeName;

use super::CallInfo;
use crate::error::{Code, Detail, Error, Origin, Result};
#[cfg(feature = "machine")]
use crate::fanout::NodeMap;

/// A reply with a message for each node that answered. One node was asked, so there is exactly one.
pub(crate) trait Reply {
    type Message: FromNode;

    fn into_messages(self) -> Vec<Self::Message>;
}

/// A message into which an endpoint that merges the answers of several nodes puts the name of one, or its
/// error: the elements of replies, and the items of streams.
pub(crate) trait FromNode {
    fn metadata(&self) -> Option<&Metadata>;
}

macro_rules! replies {
    ($feature:literal, $package:ident: $($reply:ident => $message:ident),+ $(,)?) => {
        #[cfg(feature = $feature)]
        const _: () = {
            use talos_proto::$package;

            $(
                impl Reply for $package::$reply {
                    type Message = $package::$message;

                    fn into_messages(self) -> Vec<Self::Message> {
                        self.messages
                    }
                }
            )+

            from_node!($($package::$message),+);
        };
    };
}

macro_rules! from_node {
    ($($message:path),+ $(,)?) => {$(
        impl FromNode for $message {
            fn metadata(&self) -> Option<&Metadata> {
                self.metadata.as_ref()
            }
        }
    )+};
}

replies! {
    "machine", machine:
    ApplyConfigurationResponse => ApplyConfiguration,
    BootstrapResponse => Bootstrap,
    CpuFreqStatsResponse => CpUsFreqStats,
    CpuInfoResponse => CpUsInfo,
    ContainersResponse => Container,
    DiskStatsResponse => DiskStats,
    EtcdAlarmDisarmResponse => EtcdAlarmDisarm,
    EtcdAlarmListResponse => EtcdAlarm,
    EtcdDefragmentResponse => EtcdDefragment,
    EtcdDowngradeCancelResponse => EtcdDowngradeCancel,
    EtcdDowngradeEnableResponse => EtcdDowngradeEnable,
    EtcdDowngradeValidateResponse => EtcdDowngradeValidate,
    EtcdForfeitLeadershipResponse => EtcdForfeitLeadership,
    EtcdLeaveClusterResponse => EtcdLeaveCluster,
    EtcdMemberListResponse => EtcdMembers,
    EtcdRecoverResponse => EtcdRecover,
    EtcdRemoveMemberByIdResponse => EtcdRemoveMemberById,
    EtcdStatusResponse => EtcdStatus,
    GenerateClientConfigurationResponse => GenerateClientConfiguration,
    HostnameResponse => Hostname,
    ImagePullResponse => ImagePull,
    LoadAvgResponse => LoadAvg,
    LogsContainersResponse => LogsContainer,
    MemoryResponse => Memory,
    MetaDeleteResponse => MetaDelete,
    MetaWriteResponse => MetaWrite,
    MountsResponse => Mounts,
    NetstatResponse => Netstat,
    NetworkDeviceStatsResponse => NetworkDeviceStats,
    ProcessesResponse => Process,
    RebootResponse => Reboot,
    ResetResponse => Reset,
    RestartResponse => Restart,
    RollbackResponse => Rollback,
    ServiceListResponse => ServiceList,
    ServiceRestartResponse => ServiceRestart,
    ServiceStartResponse => ServiceStart,
    ServiceStopResponse => ServiceStop,
    ShutdownResponse => Shutdown,
    StatsResponse => Stats,
    SystemStatResponse => SystemStat,
    UpgradeResponse => Upgrade,
    VersionResponse => Version,
}

replies! {
    "storage", storage:
    BlockDeviceWipeResponse => BlockDeviceWipe,
    DisksResponse => Disks,
}

replies! {
    "time", time:
    TimeResponse => Time,
}

replies! {
    "inspect", inspect:
    ControllerRuntimeDependenciesResponse => ControllerRuntimeDependency,
}

#[cfg(feature = "machine")]
from_node!(
    talos_proto::common::Data,
    talos_proto::machine::DiskUsageInfo,
    talos_proto::machine::Event,
    talos_proto::machine::FileInfo,
    talos_proto::machine::ImageListResponse,
);

#[cfg(feature = "cluster")]
from_node!(talos_proto::cluster::HealthCheckProgress);

/// The one message of a reply, or the error that stands in its place.
pub(crate) fn single<R: Reply>((reply, call): (R, CallInfo)) -> Result<R::Message> {
    let mut messages = reply.into_messages().into_iter();
    match (messages.next(), messages.next()) {
        (Some(message), None) => match call.node_error(message.metadata()) {
            Some(error) => Err(error),
            None => Ok(message),
        },
        (None, _) => Err(call.malformed("the reply has no message")),
        (Some(_), Some(_)) => {
            Err(call.malformed("the reply has more than one message, but one node was asked"))
        }
    }
}

/// The messages of a reply by node, one for each of these.
#[cfg(feature = "machine")]
#[expect(deprecated, reason = "the name of the node stands there until Talos 2.0")]
pub(crate) fn split<R: Reply>(
    (reply, call): (R, CallInfo),
    nodes: &[NodeName],
) -> NodeMap<Result<R::Message>> {
    let mut by_node: HashMap<String, Result<R::Message>> = HashMap::new();
    for message in reply.into_messages() {
        let metadata = message.metadata();
        let hostname = metadata
            .map(|metadata| metadata.hostname.clone())
            .unwrap_or_default();
        // A worker that is asked about itself alone answers as if it had been asked by `node`.
        let node = match nodes {
            [only] if hostname.is_empty() => only.as_str().to_owned(),
            _ => hostname,
        };
        let error = call.node_error(metadata);
        by_node.insert(node, error.map_or(Ok(message), Err));
    }
    let entries = nodes.iter().map(|node| {
        let result = by_node.remove(node.as_str()).unwrap_or_else(|| {
            let missing = call.malformed("the reply has no message of this node");
            Err(missing.with_node(Some(node.clone())))
        });
        (node.clone(), result)
    });
    NodeMap::new(entries.collect())
}

impl CallInfo {
    /// The error that a node put into a message of an otherwise successful call, if any.
    ///
    /// Talos does so where one call was answered by several nodes, and nodes older than v1.14 in some byte
    /// streams. Deprecated upstream, but silence would turn a dead node into an empty answer.
    #[expect(deprecated, reason = "nodes send it until Talos 2.0")]
    pub(crate) fn node_error(&self, metadata: Option<&Metadata>) -> Option<Error> {
        let metadata = metadata.filter(|metadata| !metadata.error.is_empty() || metadata.status.is_some())?;
        let (code, message) = match &metadata.status {
            Some(status) => (Code::from_wire(status.code), status.message.as_str()),
            None => (Code::Unknown, metadata.error.as_str()),
        };
        if code == Code::Ok {
            return None;
        }
        let mut error = self
            .error(code.kind(), Origin::of_status(code, message))
            .with_code(code)
            .with_message(message);
        if let Some(status) = &metadata.status {
            error = error.with_details(status.details.iter().cloned().map(Detail::from).collect());
        }
        if let Ok(node) = metadata.hostname.parse() {
            error = error.with_node(Some(node));
        }
        Some(error)
    }
}

#[cfg(all(test, feature = "machine"))]
#[expect(deprecated, reason = "the metadata under test is, until Talos 2.0")]
mod tests {
    use talos_proto::{google::rpc::Status, machine, methods::machine::machine_service::HOSTNAME};

    use super::*;
    use crate::ErrorKind;

    fn reply(messages: Vec<machine::Hostname>) -> Result<machine::Hostname> {
        single((
            machine::HostnameResponse { messages },
            CallInfo::for_tests(&HOSTNAME),
        ))
    }

    fn failed(error: &str, status: Option<Status>) -> machine::Hostname {
        let metadata = Metadata {
            hostname: "10.5.0.9".to_owned(),
            error: error.to_owned(),
            status,
        };
        machine::Hostname {
            metadata: Some(metadata),
            hostname: String::new(),
        }
    }

    #[test]
    fn exactly_one_message_is_an_answer() {
        let message = machine::Hostname {
            metadata: None,
            hostname: "cp-1".to_owned(),
        };
        assert_eq!(reply(vec![message.clone()]).expect("one").hostname, "cp-1");
        for messages in [vec![], vec![message.clone(), message]] {
            assert_eq!(reply(messages).expect_err("not one").kind(), ErrorKind::Malformed);
        }
    }

    #[test]
    fn an_aggregate_is_split_by_node_and_what_is_missing_is_said() {
        let nodes: Vec<NodeName> = ["10.5.0.9", "10.5.0.2", "10.5.0.3"]
            .into_iter()
            .map(|node| node.parse().expect("a name"))
            .collect();
        let answered = machine::Hostname {
            metadata: Some(Metadata {
                hostname: "10.5.0.2".to_owned(),
                ..Default::default()
            }),
            hostname: "cp-1".to_owned(),
        };
        let messages = vec![answered, failed("down", None)];
        let reply = machine::HostnameResponse { messages };
        let replies = split((reply, CallInfo::for_tests(&HOSTNAME)), &nodes);
        let of = |node| replies.get(node).expect("each node has an entry").as_ref();
        assert_eq!(of("10.5.0.2").expect("answered").hostname, "cp-1");
        for (node, kind) in [
            ("10.5.0.9", ErrorKind::Unknown),
            ("10.5.0.3", ErrorKind::Malformed),
        ] {
            let error = of(node).expect_err("no answer");
            assert_eq!(
                (error.kind(), error.node().map(|node| node.as_str())),
                (kind, Some(node))
            );
        }
        assert_eq!(
            replies.nodes().collect::<Vec<_>>(),
            nodes.iter().collect::<Vec<_>>()
        );

        let alone = machine::Hostname {
            metadata: None,
            hostname: "worker".to_owned(),
        };
        let reply = machine::HostnameResponse {
            messages: vec![alone],
        };
        let replies = split((reply, CallInfo::for_tests(&HOSTNAME)), &nodes[..1]);
        assert!(replies.is_success());
    }

    #[test]
    fn a_node_error_inside_the_reply_is_an_error_with_the_nodes_name() {
        let text = "connection error: desc = \"transport: Error while dialing\"";
        let status = Status {
            code: 14,
            message: text.to_owned(),
            details: Vec::new(),
        };
        let error = reply(vec![failed("rpc error: …", Some(status))]).expect_err("the node is dead");
        assert_eq!(
            (error.kind(), error.origin()),
            (ErrorKind::Unavailable, Origin::Endpoint)
        );
        assert_eq!(
            (error.message(), error.code()),
            (Some(text), Some(Code::Unavailable))
        );
        assert_eq!(error.node().map(|node| node.as_str()), Some("10.5.0.9"));
        assert_eq!(error.method(), Some("/machine.MachineService/Hostname"));

        let error = reply(vec![failed("no status, only words", None)]).expect_err("words");
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::Unknown, Some("no status, only words"))
        );
    }
}
