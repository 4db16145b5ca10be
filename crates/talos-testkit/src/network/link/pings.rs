//! How many pings a client may send before grpc-go's default policy loses patience.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

/// Least time between pings while calls run.
const WITH_CALLS: Duration = Duration::from_secs(5 * 60);
/// Least time between pings while none runs.
const WITHOUT_CALLS: Duration = Duration::from_secs(2 * 3600);
/// Pings that may come too early before the connection is closed.
const MAX_STRIKES: u32 = 2;

/// What is remembered of the pings of one connection.
#[derive(Debug, Default)]
pub(super) struct PingPolicy {
    last: Option<Instant>,
    strikes: u32,
    /// Whether the server has sent headers or data since the last ping.
    spoken: bool,
    calls: HashSet<u32>,
    last_call: u32,
}

impl PingPolicy {
    pub(super) fn call_begins(&mut self, stream: u32) {
        if stream > self.last_call {
            self.last_call = stream;
            self.calls.insert(stream);
        }
    }

    pub(super) fn call_ends(&mut self, stream: u32) {
        self.calls.remove(&stream);
    }

    /// The last call that the client has begun.
    pub(super) const fn last_call(&self) -> u32 {
        self.last_call
    }

    /// The server sends headers or data, which forgives earlier pings.
    pub(super) const fn server_speaks(&mut self) {
        self.spoken = true;
    }

    /// A ping arrives; says whether it was one too many.
    pub(super) fn ping(&mut self, now: Instant) -> bool {
        let last = self.last.replace(now);
        if std::mem::take(&mut self.spoken) {
            self.strikes = 0;
            return false;
        }
        let wait = if self.calls.is_empty() {
            WITHOUT_CALLS
        } else {
            WITH_CALLS
        };
        if last.is_some_and(|last| now < last + wait) {
            self.strikes += 1;
        }
        self.strikes > MAX_STRIKES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of the first ping, sent `every` so often, that is too many; `None` if 20 are fine.
    fn patience(policy: &mut PingPolicy, every: Duration) -> Option<usize> {
        let start = Instant::now();
        (0..20_u32)
            .position(|number| policy.ping(start + every * number))
            .map(|index| index + 1)
    }

    #[test]
    fn pings_without_calls_may_come_every_two_hours() {
        assert_eq!(
            patience(&mut PingPolicy::default(), Duration::from_secs(1)),
            Some(4)
        );
        assert_eq!(
            patience(&mut PingPolicy::default(), Duration::from_secs(301)),
            Some(4)
        );
        assert_eq!(patience(&mut PingPolicy::default(), WITHOUT_CALLS), None);
    }

    #[test]
    fn pings_with_calls_may_come_every_five_minutes() {
        let mut policy = PingPolicy::default();
        policy.call_begins(1);
        assert_eq!(patience(&mut policy, Duration::from_secs(299)), Some(4));
        let mut policy = PingPolicy::default();
        policy.call_begins(1);
        assert_eq!(patience(&mut policy, WITH_CALLS), None);
        let mut policy = PingPolicy::default();
        policy.call_begins(1);
        policy.call_ends(1);
        policy.call_begins(1);
        assert_eq!(
            patience(&mut policy, WITH_CALLS),
            Some(4),
            "trailers begin no call"
        );
        assert_eq!(policy.last_call(), 1);
    }

    #[test]
    fn what_the_server_sends_forgives() {
        let mut policy = PingPolicy::default();
        let now = Instant::now();
        for _ in 0..50 {
            assert!(!policy.ping(now));
            policy.server_speaks();
        }
    }
}
