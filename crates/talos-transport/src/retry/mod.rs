//! Which failed calls are made again, how often, and after what wait. The layer is
//! [`RetryLayer`](crate::layer::RetryLayer).

mod attempts;
mod backoff;
mod classify;
mod policy;

use std::time::Duration;

pub use self::attempts::{Attempt, Attempts};
pub(crate) use self::policy::{RetryPolicy, class};

/// Request extension: what may be done about a call that failed.
///
/// Whatever the class, a failed attempt is followed by another one only if its failure may pass: see
/// `docs/resilience.md` in the repository for the complete table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum RetryClass {
    /// For requests that are streams: made again only if no message of the request was taken for sending, since messages
    /// are not kept.
    RequestStream,
    /// For calls that must not take effect twice: made again only if it is certain that no server acted on them, because
    /// they were never sent or a server said that it did not look at them.
    #[default]
    Unprocessed,
    /// For calls that may be repeated whatever became of them, and whose reply is a stream: made again until the first
    /// message of the reply is there.
    ///
    /// Response headers are handed on together with that message. Talos sends both together anyway.
    Repeatable,
    /// For calls that may be repeated whatever became of them, and whose reply is a single message: made again until the
    /// reply is complete, or larger than 64 KiB.
    RepeatableUnary,
}

/// Request extension: how many attempts this call has at most, over what the channel is set to. 0 counts as 1, which
/// switches retries off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxAttempts(pub u32);

/// How often failed calls are made again, and when.
///
/// For a whole channel by [`ChannelBuilder::retry`](crate::ChannelBuilder::retry), and for a single call as a request
/// extension. What is made again at all depends on the [`RetryClass`] of the call. One request that is sent again on a new
/// connection, because the old one turned out to be dead before anything was sent, does not count as a retry.
///
/// | Setting | Default |
/// |---|---|
/// | [`max_attempts`](Self::max_attempts) | 3 |
/// | [`delays`](Self::delays) | 75 ms before the first retry, doubled each time, at most 2 s |
/// | [`jitter`](Self::jitter) | up to 50 % on top of each delay |
/// | [`unreachable_window`](Self::unreachable_window) | 5 s |
/// | [`budget`](Self::budget) | 10 retries per second, and one for every 5 calls |
///
/// ```
/// use std::time::Duration;
/// use talos_transport::RetryConfig;
///
/// let patient = RetryConfig::new()
///     .max_attempts(6)
///     .delays(Duration::from_millis(200), Duration::from_secs(5));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use]
pub struct RetryConfig {
    pub(crate) max_attempts: u32,
    pub(crate) first_delay: Duration,
    pub(crate) max_delay: Duration,
    pub(crate) jitter: f64,
    pub(crate) window: Duration,
    pub(crate) budget: Option<(u32, f32)>,
}

impl RetryConfig {
    /// The defaults.
    pub const fn new() -> Self {
        Self {
            max_attempts: 3,
            first_delay: Duration::from_millis(75),
            max_delay: Duration::from_secs(2),
            jitter: 0.5,
            window: Duration::from_secs(5),
            budget: Some((10, 0.2)),
        }
    }

    /// No retries at all.
    pub const fn off() -> Self {
        Self::new().max_attempts(1)
    }

    /// The number of attempts a call has, the first one included. 0 counts as 1.
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// The wait before the first retry, which doubles with each further one, and its upper limit. A limit below the first
    /// wait counts as equal to it.
    ///
    /// There is no wait before the first retry if the failure was the end of a connection: another endpoint, or the same
    /// one after a restart, may be there already.
    pub const fn delays(mut self, first: Duration, max: Duration) -> Self {
        self.first_delay = first;
        self.max_delay = max;
        self
    }

    /// A random part on top of each wait, as a share of it: 0.5 makes 100 ms a wait between 100 and 150 ms. Values outside
    /// 0 to 1 count as the nearer of the two. It does not lead beyond the upper limit of the wait.
    pub const fn jitter(mut self, share: f64) -> Self {
        self.jitter = share;
        self
    }

    /// How long after its beginning a call is still made again because something *cannot be reached*: no endpoint by us, or
    /// the node by the endpoint.
    ///
    /// A refused connection is known within milliseconds and worth another try. A machine that is gone shows only after 10
    /// or 20 seconds; trying three times would take a minute to say the same.
    pub const fn unreachable_window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Limits retries over all calls of a channel, so that many callers do not overrun a server that is in trouble:
    /// `per_second` in any case, on average over 10 seconds, and `share` for each call on top of it.
    ///
    /// Charged are retries of what a server answered, reset or left unanswered. Moving away from a lost connection is not:
    /// that fails all calls on it at once, and each moves only once for each connection lost.
    ///
    /// Belongs to the channel; it has no effect in the extension of a single call. `share` is limited to 0 to 1.
    pub const fn budget(mut self, per_second: u32, share: f32) -> Self {
        self.budget = Some((per_second, share));
        self
    }

    /// Lets the number of attempts per call be the only limit.
    pub const fn without_budget(mut self) -> Self {
        self.budget = None;
        self
    }
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl RetryClass {
    /// Whether a call may be made again although a server may have acted on it.
    pub(crate) fn is_repeatable(self) -> bool {
        matches!(self, Self::Repeatable | Self::RepeatableUnary)
    }

    /// How much of the request is kept for another attempt, in bytes.
    pub(crate) fn replay_limit(self) -> usize {
        match self {
            Self::RequestStream => 0,
            Self::Unprocessed | Self::Repeatable | Self::RepeatableUnary => REPLAY_LIMIT,
        }
    }
}

/// Requests up to this size can be sent again; larger ones only if nothing of them was taken for sending. Talos requests
/// other than machine configurations have less than 1 KiB.
const REPLAY_LIMIT: usize = 1024 * 1024;
