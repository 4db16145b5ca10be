//! How long calls may take, and how often they are made again: defaults by kind of call, and what a caller
//! says instead.

use std::time::Duration;

use talos_proto::methods::{MethodInfo, Safety};
use tokio::time::Instant;

use talos_transport::{
    AttemptTimeout, BuildError, CallTimeout, FirstResponseTimeout, IdleTimeout, RetryClass, RetryConfig,
};

/// Limits on time by kind of call; for a whole client by [`ClientBuilder::timeouts`](crate::ClientBuilder::timeouts).
///
/// `None` is no limit. Calls of one reply are limited as a whole, retries included, and the node is told.
/// Streams are limited by silence, since nobody knows how long they have to be.
///
/// | Field | Calls | Default |
/// |---|---|---|
/// | [`quick`](Self::quick) | one reply: everything that reads, and everything that is only acknowledged (reboot, shutdown, reset, service start, …) | 30 s |
/// | [`slow`](Self::slow) | one reply, after work on the node: `ApplyConfiguration`, `Bootstrap`, `Rollback`, legacy `Upgrade` and `ImagePull` (both fetch the image first), `EtcdLeaveCluster` and other changes of etcd, wiping, image removal and verification, removal of volumes | 10 min |
/// | [`slow`](Self::slow), as the longest time without progress | uploads: image import, etcd recovery | 10 min |
/// | [`transfer_idle`](Self::transfer_idle) | streams of data that is there: files, archives, etcd snapshot, kubeconfig, resource lists, logs that are not followed | 60 s |
/// | [`work_idle`](Self::work_idle) | streams that report on work or search for what they send: image pull, install, upgrade, folder lists, disk usage, image lists | 10 min |
/// | none | streams that go on as long as they are wanted: followed logs, events, watches, packet capture, health check, containers | none |
///
/// A field that is set to zero is refused by [`ClientBuilder::build`](crate::ClientBuilder::build).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// Whole calls that need no more than a look or an acknowledgement. Talos waits up to 20 seconds for a
    /// connection to another node; less than that turns the reason of a dead node into a mere timeout.
    pub quick: Option<Duration>,
    /// Whole calls that are answered when their work is done.
    pub slow: Option<Duration>,
    /// The longest silence of a stream of data.
    pub transfer_idle: Option<Duration>,
    /// The longest silence of a stream about work.
    pub work_idle: Option<Duration>,
}

/// Limits and retries for some calls; see [`Node::with_options`](crate::Node::with_options). What is not set
/// is as for the client.
///
/// A time of zero is no mistake here: it may be what is left of a larger limit. The call then fails with
/// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) at once, and nothing is sent.
///
/// ```no_run
/// use std::time::Duration;
/// use talos_client::{CallOptions, transport::RetryConfig};
///
/// # async fn example(node: talos_client::Node) -> talos_client::Result<()> {
/// let hurried = CallOptions::new()
///     .timeout(Duration::from_secs(2))
///     .retry(RetryConfig::off());
/// node.with_options(hurried).version().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct CallOptions {
    timeout: Option<Option<Duration>>,
    deadline: Option<Instant>,
    idle_timeout: Option<Option<Duration>>,
    first_message_timeout: Option<Duration>,
    attempt_timeout: Option<Duration>,
    retry: Option<RetryConfig>,
}

/// What limits a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One reply, without delay.
    Quick,
    /// One reply, after work.
    Slow,
    /// One reply, after a stream of requests that is as long as it is; limits itself.
    Upload,
    /// A stream of data that is there.
    Transfer,
    /// A stream about work.
    Work,
    /// A stream that may be silent.
    Follow,
}

impl Timeouts {
    /// The field that is zero, if any.
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let fields = [
            ("quick", self.quick),
            ("slow", self.slow),
            ("transfer_idle", self.transfer_idle),
            ("work_idle", self.work_idle),
        ];
        match fields
            .into_iter()
            .find(|(_, limit)| *limit == Some(Duration::ZERO))
        {
            Some((setting, _)) => Err(BuildError::ZeroTimeout { setting }),
            None => Ok(()),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        Self {
            quick: Some(crate::Client::DEFAULT_TIMEOUT),
            slow: Some(Duration::from_secs(10 * MINUTE)),
            transfer_idle: Some(Duration::from_secs(MINUTE)),
            work_idle: Some(Duration::from_secs(10 * MINUTE)),
        }
    }
}

impl CallOptions {
    /// Nothing set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits each call as a whole, retries included. Streams too: use it for those that must be over by then.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = Some(timeout.into());
        self
    }

    /// Limits each call as a whole by a point in time, retries included, whatever [`CallOptions::timeout`] is;
    /// of the two, the earlier one counts. Streams too.
    ///
    /// A call that is made later than this fails with [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) at once,
    /// and nothing is sent.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Limits the silence of streams, whatever their kind: until the first message, and between messages.
    /// `None` is no limit. For uploads, the longest time in which nothing more is sent. No effect on other calls
    /// of one reply.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = Some(timeout.into());
        self
    }

    /// Limits the wait for the first message of streams, in place of the limit on silence. Nodes send
    /// nothing before it, so the stream of a quiet log begins with the next line. No effect on calls of one
    /// reply.
    pub fn first_message_timeout(mut self, timeout: Duration) -> Self {
        self.first_message_timeout = Some(timeout);
        self
    }

    /// Limits each attempt of a call, until its reply, or the first message of a stream, is there. Default:
    /// none, an attempt may take as long as the call.
    ///
    /// A call that may be repeated is then made again. Others fail.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// How often a failed call is made again, and when. The budget stays that of the client.
    pub fn retry(mut self, retry: RetryConfig) -> Self {
        self.retry = Some(retry);
        self
    }

    /// These options, and where they leave something open, the other ones.
    pub(crate) fn or(self, other: &Self) -> Self {
        Self {
            timeout: self.timeout.or(other.timeout),
            deadline: self.deadline.or(other.deadline),
            idle_timeout: self.idle_timeout.or(other.idle_timeout),
            first_message_timeout: self.first_message_timeout.or(other.first_message_timeout),
            attempt_timeout: self.attempt_timeout.or(other.attempt_timeout),
            retry: self.retry.or(other.retry),
        }
    }

    /// The limit on silence, for calls that watch it themselves.
    pub(crate) fn silence(&self, default: Option<Duration>) -> Option<Duration> {
        self.idle_timeout.unwrap_or(default)
    }

    /// Tells the channel.
    pub(crate) fn apply(
        &self,
        defaults: &Timeouts,
        kind: Kind,
        method: &MethodInfo,
        extensions: &mut tonic::Extensions,
    ) {
        extensions.insert(retry_class(method));
        let (whole, idle) = match kind {
            Kind::Quick => (defaults.quick, None),
            Kind::Slow => (defaults.slow, None),
            Kind::Transfer => (None, defaults.transfer_idle),
            Kind::Work => (None, defaults.work_idle),
            Kind::Upload | Kind::Follow => (None, None),
        };
        let timeout = self.timeout.unwrap_or(whole);
        let remaining = self
            .deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if let Some(timeout) = timeout.into_iter().chain(remaining).min() {
            extensions.insert(CallTimeout(timeout));
        }
        if matches!(kind, Kind::Transfer | Kind::Work | Kind::Follow) {
            if let Some(timeout) = self.idle_timeout.unwrap_or(idle) {
                extensions.insert(IdleTimeout(timeout));
            }
            if let Some(timeout) = self.first_message_timeout {
                extensions.insert(FirstResponseTimeout(timeout));
            }
        }
        if let Some(timeout) = self.attempt_timeout {
            extensions.insert(AttemptTimeout(timeout));
        }
        if let Some(retry) = self.retry {
            extensions.insert(retry);
        }
    }
}

impl Kind {
    /// The kind of calls of this RPC; logs and kernel messages count as followed, since that depends on the
    /// request.
    pub(crate) fn of(method: &MethodInfo) -> Self {
        match (method.service, method.name) {
            (
                "machine.MachineService",
                "ApplyConfiguration"
                | "Bootstrap"
                | "Rollback"
                | "Upgrade"
                | "ImagePull"
                | "EtcdAlarmDisarm"
                | "EtcdDefragment"
                | "EtcdDowngradeCancel"
                | "EtcdDowngradeEnable"
                | "EtcdForfeitLeadership"
                | "EtcdLeaveCluster"
                | "EtcdRemoveMemberByID",
            )
            | ("machine.ImageService", "Remove" | "Verify")
            | ("storage.StorageService", "BlockDeviceWipe")
            | ("machine.LVMService" | "machine.MDService", _) => Self::Slow,
            ("machine.MachineService", "EtcdRecover") | ("machine.ImageService", "Import") => Self::Upload,
            ("machine.MachineService", "Copy" | "EtcdSnapshot" | "Kubeconfig" | "Read")
            | ("cosi.resource.State", "List") => Self::Transfer,
            ("machine.MachineService", "DiskUsage" | "ImageList" | "List")
            | ("machine.ImageService", "List" | "Pull")
            | ("machine.LifecycleService", "Install" | "Upgrade") => Self::Work,
            _ if method.streaming.server_streams() => Self::Follow,
            _ => Self::Quick,
        }
    }

    /// The kind of a log.
    #[cfg(feature = "machine")]
    pub(crate) fn of_log(follow: bool) -> Self {
        if follow { Self::Follow } else { Self::Transfer }
    }
}

/// What the channel may do about a call that failed.
fn retry_class(method: &MethodInfo) -> RetryClass {
    if method.streaming.client_streams() {
        return RetryClass::RequestStream;
    }
    match method.safety {
        Safety::ReadOnly | Safety::Idempotent if method.streaming.server_streams() => RetryClass::Repeatable,
        Safety::ReadOnly | Safety::Idempotent => RetryClass::RepeatableUnary,
        _ => RetryClass::Unprocessed,
    }
}

#[cfg(test)]
mod tests {
    use talos_proto::methods::{METHODS, by_path};

    use super::*;

    fn method(path: &str) -> &'static MethodInfo {
        by_path(path).expect("a method of the table")
    }

    fn applied(options: &CallOptions, kind: Kind, path: &str) -> tonic::Extensions {
        let mut extensions = tonic::Extensions::new();
        options.apply(&Timeouts::default(), kind, method(path), &mut extensions);
        extensions
    }

    #[test]
    fn no_unsafe_rpc_is_repeatable_and_no_stream_of_requests_either() {
        for method in METHODS {
            let class = retry_class(method);
            let repeatable = matches!(class, RetryClass::Repeatable | RetryClass::RepeatableUnary);
            let may = method.safety != Safety::Unsafe && !method.streaming.client_streams();
            assert_eq!(repeatable, may, "{method}: {class:?}");
            let streams = matches!(class, RetryClass::Repeatable);
            assert!(!streams || method.streaming.server_streams(), "{method}");
        }
    }

    #[test]
    fn every_rpc_is_of_a_kind_that_fits_how_it_streams() {
        for method in METHODS {
            let one_reply = matches!(Kind::of(method), Kind::Quick | Kind::Slow | Kind::Upload);
            assert_eq!(one_reply, !method.streaming.server_streams(), "{method}");
        }
        for (path, expected) in [
            ("/machine.MachineService/Version", Kind::Quick),
            ("/machine.MachineService/Reboot", Kind::Quick),
            ("/machine.MachineService/EtcdLeaveCluster", Kind::Slow),
            ("/machine.MachineService/Upgrade", Kind::Slow),
            ("/machine.MachineService/EtcdSnapshot", Kind::Transfer),
            ("/machine.MachineService/DiskUsage", Kind::Work),
            ("/machine.MachineService/Events", Kind::Follow),
            ("/cosi.resource.State/Watch", Kind::Follow),
        ] {
            assert_eq!(Kind::of(method(path)), expected, "{path}");
        }
    }

    #[test]
    fn names_of_the_table_exist() {
        // A name that is spelled wrong above would silently be of another kind.
        let count = |kind| METHODS.iter().filter(|method| Kind::of(method) == kind).count();
        assert_eq!(
            (
                count(Kind::Slow),
                count(Kind::Upload),
                count(Kind::Transfer),
                count(Kind::Work)
            ),
            (12 + 2 + 1 + 4, 2, 5, 7)
        );
    }

    #[test]
    fn what_is_set_goes_before_the_defaults_and_streams_have_no_limit_as_a_whole() {
        let second = Duration::from_secs(1);
        const VERSION: &str = "/machine.MachineService/Version";
        const READ: &str = "/machine.MachineService/Read";
        let none = CallOptions::new();
        let set = CallOptions::new()
            .timeout(second)
            .idle_timeout(2 * second)
            .first_message_timeout(3 * second)
            .attempt_timeout(4 * second);

        let unary = applied(&none, Kind::Quick, VERSION);
        assert_eq!(unary.get(), Some(&CallTimeout(30 * second)));
        assert_eq!(unary.get::<IdleTimeout>(), None);
        let stream = applied(&none, Kind::Transfer, READ);
        assert_eq!(stream.get::<CallTimeout>(), None);
        assert_eq!(stream.get(), Some(&IdleTimeout(60 * second)));
        let follow = applied(&none, Kind::Follow, READ);
        assert_eq!(
            (follow.get::<CallTimeout>(), follow.get::<IdleTimeout>()),
            (None, None)
        );

        let unary = applied(&set, Kind::Slow, VERSION);
        assert_eq!(unary.get(), Some(&CallTimeout(second)));
        assert_eq!(unary.get::<IdleTimeout>(), None);
        let stream = applied(&set, Kind::Follow, READ);
        assert_eq!(stream.get(), Some(&CallTimeout(second)));
        assert_eq!(stream.get(), Some(&IdleTimeout(2 * second)));
        assert_eq!(stream.get(), Some(&FirstResponseTimeout(3 * second)));
        assert_eq!(stream.get(), Some(&AttemptTimeout(4 * second)));
        let endless = CallOptions::new().timeout(None).idle_timeout(None).or(&set);
        let stream = applied(&endless, Kind::Transfer, READ);
        assert_eq!(
            (stream.get::<CallTimeout>(), stream.get::<IdleTimeout>()),
            (None, None)
        );
        assert_eq!(stream.get(), Some(&FirstResponseTimeout(3 * second)));
    }

    #[tokio::test(start_paused = true)]
    async fn of_time_and_deadline_the_earlier_one_counts() {
        let second = Duration::from_secs(1);
        const VERSION: &str = "/machine.MachineService/Version";
        let limit = |options: &CallOptions, kind| applied(options, kind, VERSION).get().copied();

        let soon = CallOptions::new().deadline(Instant::now() + 5 * second);
        assert_eq!(limit(&soon, Kind::Quick), Some(CallTimeout(5 * second)));
        assert_eq!(limit(&soon, Kind::Follow), Some(CallTimeout(5 * second)));
        let sooner = soon.clone().timeout(2 * second);
        assert_eq!(limit(&sooner, Kind::Quick), Some(CallTimeout(2 * second)));
        let late = CallOptions::new().deadline(Instant::now() + 50 * second);
        assert_eq!(limit(&late, Kind::Quick), Some(CallTimeout(30 * second)));

        tokio::time::advance(20 * second).await;
        assert_eq!(
            limit(&soon, Kind::Quick),
            Some(CallTimeout(Duration::ZERO)),
            "over"
        );
        assert_eq!(limit(&late, Kind::Follow), Some(CallTimeout(30 * second)));
    }
}
