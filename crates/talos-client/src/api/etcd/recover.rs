//! Bringing saved data back.

use bytes::Bytes;
use futures_core::Stream;
use talos_proto::{common::Data, machine as proto, methods::machine::machine_service as methods};
use tokio::io::AsyncRead;

use super::Etcd;
use crate::{
    CallOptions,
    call::{Target, single},
    error::Result,
    stream::{Progress, Source},
};

/// A snapshot to be uploaded; made by [`Etcd::recover`] and [`Etcd::recover_stream`].
#[must_use = "nothing is sent before `send`"]
pub struct EtcdRecoverRequest {
    target: Target,
    source: Source,
    progress: Option<Progress>,
}

impl EtcdRecoverRequest {
    /// Is told now and then how many bytes were handed to the connection.
    pub fn on_progress(mut self, progress: impl FnMut(u64) + Send + 'static) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// With these options for this call. What they leave open is as for the handle.
    pub fn with_options(mut self, options: CallOptions) -> Self {
        self.target = self.target.with_options(options);
        self
    }

    /// Uploads the snapshot. The source is read as fast as the node takes it, and little is held in memory.
    ///
    /// # Errors
    ///
    /// `Io` if the source fails or is empty; the call is given up then, and the node discards what it has.
    /// `FailedPrecondition` while the node is not ready for it, `Unimplemented` on worker nodes, `Timeout` if nothing could be sent for
    /// [`Timeouts::slow`](crate::Timeouts::slow), and every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call, and the node discards what it has. The call is never repeated.
    pub async fn send(self) -> Result<()> {
        let Self {
            target,
            source,
            progress,
        } = self;
        let wrap = |bytes: Bytes| Data {
            bytes,
            ..Data::default()
        };
        let reply = target
            .upload::<_, proto::EtcdRecoverResponse, _>(
                &methods::ETCD_RECOVER,
                source,
                progress,
                None,
                wrap,
                |request| async { target.machine().etcd_recover(request).await },
            )
            .await?;
        single(reply).map(drop)
    }
}

impl std::fmt::Debug for EtcdRecoverRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdRecoverRequest")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl Etcd {
    /// Uploads a snapshot to this node, from which a bootstrap with `recover_etcd` then makes a new cluster.
    ///
    /// **What the cluster knows since the snapshot was taken is lost with that bootstrap**, not with this upload:
    /// it only replaces an earlier upload. Do both on the same node.
    ///
    /// Anything that can be read will do, such as a [`tokio::fs::File`].
    ///
    /// Upstream: `machine.MachineService/EtcdRecover` · talosctl bootstrap --recover-from · since Talos 1.7 or
    /// older · role os:admin · unsafe
    pub fn recover(&self, snapshot: impl AsyncRead + Send + 'static) -> EtcdRecoverRequest {
        self.recover_from(Source::reader(snapshot))
    }

    /// The same as [`Etcd::recover`], from a stream of bytes.
    pub fn recover_stream<S, E>(&self, snapshot: S) -> EtcdRecoverRequest
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.recover_from(Source::stream(snapshot))
    }

    fn recover_from(&self, source: Source) -> EtcdRecoverRequest {
        EtcdRecoverRequest {
            target: self.target.clone(),
            source,
            progress: None,
        }
    }
}
