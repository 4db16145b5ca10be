//! When a certificate's time is over, and saying so in time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::CertificateFacts;
use super::time::rfc3339;

/// Where a point in time lies in the life of a certificate, see [`CertificateFacts::validity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Validity {
    /// Before its beginning; or the clock is behind.
    NotYetValid,
    /// It is valid and will be for a while.
    Valid,
    /// It is valid, but not for long: see [`CertificateFacts::expires_soon_from`].
    ExpiresSoon,
    /// After its end; or the clock is ahead.
    Expired,
}

/// A certificate counts as expiring soon in the last tenth of its life, …
pub(crate) const LAST_PART: u32 = 10;

/// … which counts as no longer than this, however long the certificate lives.
pub(crate) const LONGEST_NOTICE: Duration = Duration::from_secs(30 * 86_400);

impl CertificateFacts {
    /// When it is time to renew: a tenth of the certificate's life before its end, but at most 30 days before.
    ///
    /// For the year that a talosconfig lasts this is a month, for a certificate of 24 hours about two hours and a half.
    pub fn expires_soon_from(&self) -> SystemTime {
        let life = self
            .not_after()
            .duration_since(self.not_before())
            .unwrap_or_default();
        let notice = (life / LAST_PART).min(LONGEST_NOTICE);
        self.not_after()
            .checked_sub(notice)
            .unwrap_or_else(|| self.not_after())
    }

    /// Whether the certificate is valid at this time, and whether it still is for a while.
    pub fn validity(&self, now: SystemTime) -> Validity {
        if now > self.not_after() {
            Validity::Expired
        } else if now < self.not_before() {
            Validity::NotYetValid
        } else if now >= self.expires_soon_from() {
            Validity::ExpiresSoon
        } else {
            Validity::Valid
        }
    }
}

/// Remembers what was said about the end of one certificate, so that it is said once.
#[derive(Debug, Default)]
pub(crate) struct ExpiryNotice {
    /// From when on there is something new to say, in seconds since 1970. The future holds nothing new at the maximum.
    due: AtomicU64,
}

impl ExpiryNotice {
    /// Traces a warning if the certificate has come close to its end since the last look, an error if it has passed it.
    ///
    /// Cheap enough for every call: nearly always one comparison.
    pub(crate) fn check(&self, facts: &CertificateFacts, now: SystemTime) {
        let due = self.due.load(Ordering::Relaxed);
        if seconds(now) < due {
            return;
        }
        let validity = facts.validity(now);
        let next = match validity {
            Validity::NotYetValid => seconds(facts.not_before()),
            Validity::Valid => seconds(facts.expires_soon_from()),
            // The last second of a certificate still is a valid one.
            Validity::ExpiresSoon => seconds(facts.not_after()).saturating_add(1),
            Validity::Expired => NEVER,
        };
        // Of several callers that get here at once, one speaks.
        let mine = self
            .due
            .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
        if mine.is_ok() {
            say(validity, facts);
        }
    }
}

fn say(validity: Validity, facts: &CertificateFacts) {
    let organizations = facts.organizations().join(",");
    match validity {
        Validity::Valid => {}
        Validity::NotYetValid => tracing::warn!(
            certificate.not_before = rfc3339(facts.not_before()),
            certificate.organizations = organizations,
            "the client certificate is not valid yet, or the local clock is behind",
        ),
        Validity::ExpiresSoon => tracing::warn!(
            certificate.not_after = rfc3339(facts.not_after()),
            certificate.organizations = organizations,
            "the client certificate expires soon; renew it while it is valid",
        ),
        Validity::Expired => tracing::error!(
            certificate.not_after = rfc3339(facts.not_after()),
            certificate.organizations = organizations,
            "the client certificate has expired; servers refuse new connections with it",
        ),
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

const NEVER: u64 = u64::MAX;
