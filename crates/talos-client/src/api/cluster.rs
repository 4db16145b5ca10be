//! `cluster.ClusterService`: the health check that a node makes of its cluster.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use talos_proto::{
    cluster::{self as proto, cluster_service_client::ClusterServiceClient},
    methods::cluster::cluster_service as methods,
};
use talos_transport::{Channel, MAX_MESSAGE_SIZE, NodeName};
use tonic::Streaming;

use crate::{
    Node,
    call::{CallInfo, Target, request},
    error::Result,
};

/// One line of a health check.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HealthProgress {
    /// The nodes that are checked, in the node's words; comes first where none were given.
    Discovered(String),
    /// How a condition is doing. It comes again whenever that changes.
    Condition {
        /// The condition, such as `etcd to be healthy`.
        name: String,
        /// How it is doing.
        status: ConditionStatus,
    },
    /// Something else that the node says.
    Other(String),
}

/// How a condition of a health check is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConditionStatus {
    /// It is being looked at for the first time.
    Checking,
    /// It is not met, for this reason; the node tries again until the time is over.
    NotMet(String),
    /// It is met.
    Met,
    /// It does not apply to this cluster.
    Skipped,
}

impl HealthProgress {
    fn parse(line: String) -> Self {
        if let Some(nodes) = line.strip_prefix("discovered nodes: ") {
            return Self::Discovered(nodes.to_owned());
        }
        let condition = line
            .strip_prefix("waiting for ")
            .and_then(|rest| rest.split_once(": "));
        let Some((name, status)) = condition else {
            return Self::Other(line);
        };
        Self::Condition {
            name: name.to_owned(),
            status: match status {
                "..." => ConditionStatus::Checking,
                "OK" => ConditionStatus::Met,
                "SKIP" => ConditionStatus::Skipped,
                reason => ConditionStatus::NotMet(reason.to_owned()),
            },
        }
    }
}

/// In the node's words.
impl fmt::Display for HealthProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discovered(nodes) => write!(f, "discovered nodes: {nodes}"),
            Self::Condition { name, status } => write!(f, "waiting for {name}: {status}"),
            Self::Other(line) => f.write_str(line),
        }
    }
}

impl fmt::Display for ConditionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Checking => "...",
            Self::NotMet(reason) => reason,
            Self::Met => "OK",
            Self::Skipped => "SKIP",
        })
    }
}

/// What to check and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    wait: Duration,
    control_planes: Vec<NodeName>,
    workers: Vec<NodeName>,
    force_endpoint: String,
}

request! {
    /// What to check; made by [`Node::health_check`].
    pub struct HealthCheckRequest(Check) {
        /// How long the node waits for the cluster to become healthy. Zero is refused: nodes would give up before
        /// they have looked. Default: [`HealthCheckRequest::DEFAULT_WAIT`].
        fn wait_timeout(message, wait: Duration) {
            message.wait = wait;
        }

        /// The control plane nodes that there should be. Default: what the node finds out by itself.
        fn control_planes(message, nodes: impl IntoIterator<Item = NodeName>) {
            message.control_planes = nodes.into_iter().collect();
        }

        /// The worker nodes that there should be. Default: what the node finds out by itself.
        fn workers(message, nodes: impl IntoIterator<Item = NodeName>) {
            message.workers = nodes.into_iter().collect();
        }

        /// The address of the Kubernetes API to use in place of the configured one.
        fn force_endpoint(message, endpoint: impl Into<String>) {
            message.force_endpoint = endpoint.into();
        }
    }

    /// Begins the check.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a wait of zero; nothing is sent then. `Unimplemented` on worker nodes, and every
    /// [`ErrorKind`](crate::ErrorKind) of a call; that the cluster is not healthy shows at the end of the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future or the stream ends the check.
    send(target, message) -> HealthCheckStream {
        target.health_check(message).await
    }
}

impl HealthCheckRequest {
    /// How long nodes wait where nothing else is said: 20 minutes, as with talosctl.
    pub const DEFAULT_WAIT: Duration = Duration::from_secs(20 * 60);

    /// Checks, and returns when the cluster is healthy. What the node says on the way is lost.
    ///
    /// # Errors
    ///
    /// As for [`HealthCheckRequest::send`] and [`HealthCheckStream`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future ends the check.
    pub async fn until_healthy(self) -> Result<()> {
        let mut progress = self.send().await?;
        while let Some(line) = progress.next_progress().await {
            line?;
        }
        Ok(())
    }
}

/// What a node says while it checks its cluster.
///
/// **Read it to its end**: the end without an error means that the cluster is healthy. An error says that it is not
/// (`Timeout` when the time to wait is over), or that the call broke; nothing comes after it. Dropping the stream
/// ends the check.
///
/// # Cancel safety
///
/// Waiting for the next line may be cancelled at any time, nothing is lost.
#[must_use = "streams do nothing unless polled"]
#[derive(Debug)]
pub struct HealthCheckStream {
    inner: Option<Streaming<proto::HealthCheckProgress>>,
    call: CallInfo,
}

impl HealthCheckStream {
    /// The next line, or `None` when the cluster is healthy.
    ///
    /// # Errors
    ///
    /// As for the items of the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn next_progress(&mut self) -> Option<Result<HealthProgress>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for HealthCheckStream {
    type Item = Result<HealthProgress>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(stream) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let item = match ready!(Pin::new(stream).poll_next(cx)) {
            None => None,
            Some(Err(status)) => Some(Err(self.call.fail(status))),
            Some(Ok(progress)) => Some(match self.call.node_error(progress.metadata.as_ref()) {
                Some(error) => Err(error),
                None => Ok(HealthProgress::parse(progress.message)),
            }),
        };
        if !matches!(item, Some(Ok(_))) {
            self.inner = None;
        }
        Poll::Ready(item)
    }
}

impl Target {
    fn cluster(&self) -> ClusterServiceClient<Channel> {
        ClusterServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_SIZE)
    }

    async fn health_check(&self, check: Check) -> Result<HealthCheckStream> {
        let method = &methods::HEALTH_CHECK;
        let wait_timeout = Some(self.positive(method, "the time to wait", check.wait)?);
        let names = |nodes: Vec<NodeName>| nodes.iter().map(ToString::to_string).collect();
        let request = proto::HealthCheckRequest {
            wait_timeout,
            cluster_info: Some(proto::ClusterInfo {
                control_plane_nodes: names(check.control_planes),
                worker_nodes: names(check.workers),
                force_endpoint: check.force_endpoint,
            }),
        };
        let (stream, call) = self
            .call(method, request, |request| async {
                self.cluster().health_check(request).await
            })
            .await?;
        Ok(HealthCheckStream {
            inner: Some(stream),
            call,
        })
    }
}

impl Node {
    /// Lets this node check that the whole cluster is healthy; control plane nodes only.
    ///
    /// ```
    /// # use talos_client::{Client, config::Talosconfig};
    /// #
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = talos_testkit::SimCluster::builder().start().await?;
    /// # let client = Client::builder().talosconfig(Talosconfig::parse(cluster.talosconfig())?).build()?;
    /// # let node = client.node(cluster.node(0).name())?;
    /// let mut check = node.health_check().send().await?;
    /// while let Some(progress) = check.next_progress().await {
    ///     println!("{}", progress?);
    /// }
    /// println!("the cluster is healthy");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Upstream: `cluster.ClusterService/HealthCheck` · talosctl health · since Talos 1.7 or older · role os:reader ·
    /// read-only
    pub fn health_check(&self) -> HealthCheckRequest {
        let check = Check {
            wait: HealthCheckRequest::DEFAULT_WAIT,
            control_planes: Vec::new(),
            workers: Vec::new(),
            force_endpoint: String::new(),
        };
        HealthCheckRequest::new(self.target(), check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood_and_print_as_they_came() {
        let condition = |status| HealthProgress::Condition {
            name: "etcd to be healthy".to_owned(),
            status,
        };
        let cases = [
            (
                r#"discovered nodes: ["10.5.0.2" "10.5.0.3"]"#,
                HealthProgress::Discovered(r#"["10.5.0.2" "10.5.0.3"]"#.to_owned()),
            ),
            (
                "waiting for etcd to be healthy: ...",
                condition(ConditionStatus::Checking),
            ),
            (
                "waiting for etcd to be healthy: OK",
                condition(ConditionStatus::Met),
            ),
            (
                "waiting for etcd to be healthy: SKIP",
                condition(ConditionStatus::Skipped),
            ),
            (
                "waiting for etcd to be healthy: 1 error occurred: x",
                condition(ConditionStatus::NotMet("1 error occurred: x".to_owned())),
            ),
            ("something new", HealthProgress::Other("something new".to_owned())),
        ];
        for (line, expected) in cases {
            let progress = HealthProgress::parse(line.to_owned());
            assert_eq!(progress, expected);
            assert_eq!(progress.to_string(), line);
        }
    }
}
