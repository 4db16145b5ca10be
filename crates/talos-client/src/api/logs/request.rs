//! Asking for logs.

use talos_proto::{common::ContainerDriver, machine as proto, methods::machine::machine_service as methods};

use super::feed::{Log, LogFeed};
use crate::{
    Node,
    call::{Kind, request},
    stream::ByteStream,
};

/// Namespace of Talos' own services.
pub(super) const SYSTEM: &str = "system";
/// Namespace of Kubernetes' containers.
const KUBERNETES: &str = "k8s.io";

request! {
    /// What of a log to send; made by [`Node::logs`] and [`Node::container_logs`].
    pub struct LogsRequest(proto::LogsRequest) {
        /// Only the last `lines` lines, before following if asked to. 0 means none, which is of use only with
        /// [`LogsRequest::follow`]. Default: everything that is kept.
        fn tail_lines(message, lines: u32) {
            // Negative means everything on the wire, so a count that does not fit means the same.
            message.tail_lines = lines.try_into().unwrap_or(-1);
        }

        /// Goes on with new lines as they come, until the stream is dropped or the node shuts down. Default:
        /// false, the stream ends with the last line that is kept.
        fn follow(message, follow: bool) {
            message.follow = follow;
        }
    }

    /// Opens the log. [`ByteStream::lines`] turns it into lines.
    ///
    /// Nodes answer only together with the first bytes: with [`LogsRequest::follow`] on a quiet log this
    /// future stays pending until something is logged, unless
    /// [`CallOptions::first_message_timeout`](crate::CallOptions::first_message_timeout) says otherwise.
    ///
    /// # Errors
    ///
    /// `Unknown` with `log "…" was not registered` for a service that does not exist, `Unknown` with
    /// `container "…" not found` for a container, and every [`ErrorKind`](crate::ErrorKind) of a call; later
    /// ones arrive in the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future or the stream cancels the call.
    send(target, message) -> ByteStream {
        let kind = Kind::of_log(message.follow);
        target.open_bytes(kind, &methods::LOGS, message).await
    }
}

impl LogsRequest {
    /// The log for as long as it is wanted: when the connection is lost or the node reboots, it is opened again where
    /// it was left. It is followed, whatever [`LogsRequest::follow`] says. See [`LogFeed`].
    pub fn reattach(self) -> LogFeed {
        LogFeed::new(self.target, Log::Logs(self.message))
    }
}

impl DmesgRequest {
    /// The kernel's log for as long as it is wanted: when the connection is lost or the node reboots, it is opened
    /// again where it was left. It is followed, whatever [`DmesgRequest::follow`] says. See [`LogFeed`].
    pub fn reattach(self) -> LogFeed {
        LogFeed::new(self.target, Log::Dmesg(self.message))
    }
}

request! {
    /// What of the kernel's messages to send; made by [`Node::dmesg`].
    pub struct DmesgRequest(proto::DmesgRequest) {
        /// Goes on with new messages as they come, until the stream is dropped or the node shuts down.
        /// Default: false.
        fn follow(message, follow: bool) {
            message.follow = follow;
        }

        /// Leaves out what the kernel had said before the call; of use only with [`DmesgRequest::follow`].
        /// Default: false.
        fn only_new(message, only_new: bool) {
            message.tail = only_new;
        }
    }

    /// Opens the kernel's log. [`ByteStream::lines`] turns it into lines of the form
    /// `kern:    info: [2026-01-02T03:04:05.678901Z]: text`.
    ///
    /// Nodes answer only together with the first message: with [`DmesgRequest::only_new`] this future stays
    /// pending until the kernel says something.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call; later ones arrive in the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future or the stream cancels the call.
    send(target, message) -> ByteStream {
        let kind = Kind::of_log(message.follow);
        target.open_bytes(kind, &methods::DMESG, message).await
    }
}

impl Node {
    /// The log of a Talos service, such as `kubelet`, `etcd` or `machined`.
    ///
    /// ```no_run
    /// # async fn example(node: talos_client::Node) -> talos_client::Result<()> {
    /// let mut lines = node.logs("kubelet").tail_lines(100).follow(true).send().await?.lines();
    /// while let Some(line) = lines.next_line().await {
    ///     println!("{}", line?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Upstream: `machine.MachineService/Logs` · talosctl logs · since Talos 1.7 or older · role os:reader ·
    /// read-only
    pub fn logs(&self, service: impl Into<String>) -> LogsRequest {
        self.logs_of(SYSTEM, ContainerDriver::Containerd, service.into())
    }

    /// The log of a container of Kubernetes, in the CRI's format.
    ///
    /// The id is what Talos' container list shows: `namespace/pod:container:` and the first twelve
    /// characters of the container's id.
    ///
    /// Upstream: `machine.MachineService/Logs` · talosctl logs -k · since Talos 1.7 or older · role os:reader ·
    /// read-only
    pub fn container_logs(&self, id: impl Into<String>) -> LogsRequest {
        self.logs_of(KUBERNETES, ContainerDriver::Cri, id.into())
    }

    fn logs_of(&self, namespace: &str, driver: ContainerDriver, id: String) -> LogsRequest {
        let message = proto::LogsRequest {
            namespace: namespace.to_owned(),
            id,
            driver: driver.into(),
            follow: false,
            // 0, the default of protobuf, would mean no lines at all.
            tail_lines: -1,
        };
        LogsRequest::new(self.target(), message)
    }

    /// The messages of the node's kernel.
    ///
    /// Upstream: `machine.MachineService/Dmesg` · talosctl dmesg · since Talos 1.7 or older · role os:reader ·
    /// read-only
    pub fn dmesg(&self) -> DmesgRequest {
        DmesgRequest::new(self.target(), proto::DmesgRequest::default())
    }
}
