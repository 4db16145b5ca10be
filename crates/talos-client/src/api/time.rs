//! `time.TimeService`: the clock of a node.

use std::time::{Duration, SystemTime};

use talos_proto::{
    methods::time::time_service as methods, time as proto, time::time_service_client::TimeServiceClient,
};
use talos_transport::{Channel, MAX_MESSAGE_SIZE};

use crate::{
    Node,
    api::wire::wraps,
    call::{Target, system_time},
    error::Result,
};

wraps! {
    /// The clock of a node, compared with the one of a time server.
    pub struct TimeComparison(proto::Time);
}

/// How far a clock is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Offset {
    /// It shows a later time than the server's.
    Ahead(Duration),
    /// It shows an earlier time than the server's, or the same.
    Behind(Duration),
}

impl Offset {
    /// How far it is off, in whichever direction.
    pub fn abs(self) -> Duration {
        match self {
            Self::Ahead(by) | Self::Behind(by) => by,
        }
    }
}

impl TimeComparison {
    /// The time server that was asked.
    pub fn server(&self) -> &str {
        &self.raw.server
    }

    /// What the node's clock showed.
    pub fn local(&self) -> Option<SystemTime> {
        system_time(self.raw.localtime)
    }

    /// What the server's clock showed.
    pub fn remote(&self) -> Option<SystemTime> {
        system_time(self.raw.remotetime)
    }

    /// How far the node's clock is off; `None` where one of the times is missing.
    pub fn offset(&self) -> Option<Offset> {
        let (local, remote) = (self.local()?, self.remote()?);
        Some(match local.duration_since(remote) {
            Ok(by) if by.is_zero() => Offset::Behind(by),
            Ok(by) => Offset::Ahead(by),
            Err(error) => Offset::Behind(error.duration()),
        })
    }
}

impl Target {
    fn time(&self) -> TimeServiceClient<Channel> {
        TimeServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_SIZE)
    }
}

impl Node {
    /// The node's clock, compared with the first time server of its configuration.
    ///
    /// # Errors
    ///
    /// `Unknown` where the time server does not answer the node, and every [`ErrorKind`](crate::ErrorKind) of a
    /// call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `time.TimeService/Time` · talosctl time · since Talos 1.7 or older · role os:reader · read-only
    pub async fn time(&self) -> Result<TimeComparison> {
        let target = self.target();
        let message = target
            .single(&methods::TIME, (), |request| async {
                target.time().time(request).await
            })
            .await?;
        Ok(message.into())
    }

    /// The node's clock, compared with this time server.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty name; nothing is sent then. As for [`Node::time`] otherwise.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `time.TimeService/TimeCheck` · talosctl time --check · since Talos 1.7 or older · role os:reader ·
    /// read-only
    pub async fn time_check(&self, server: impl Into<String>) -> Result<TimeComparison> {
        let (target, method, server) = (self.target(), &methods::TIME_CHECK, server.into());
        target.require(method, "time server", &server)?;
        let message = target
            .single(method, proto::TimeRequest { server }, |request| async {
                target.time().time_check(request).await
            })
            .await?;
        Ok(message.into())
    }
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::*;

    #[test]
    fn offsets_have_a_direction() {
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let offset = |local, remote| {
            TimeComparison::from(proto::Time {
                localtime: at(local),
                remotetime: at(remote),
                ..Default::default()
            })
            .offset()
        };
        let second = Duration::from_secs(1);
        assert_eq!(offset(10, 8), Some(Offset::Ahead(2 * second)));
        assert_eq!(offset(7, 10), Some(Offset::Behind(3 * second)));
        assert_eq!(offset(7, 7), Some(Offset::Behind(Duration::ZERO)));
        assert_eq!(TimeComparison::from(proto::Time::default()).offset(), None);
    }
}
