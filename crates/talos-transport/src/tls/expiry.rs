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
        if let Some(validity) = self.news(facts, now) {
            say(validity, facts);
        }
    }

    /// What has to be said now and was not said before.
    fn news(&self, facts: &CertificateFacts, now: SystemTime) -> Option<Validity> {
        let due = self.due.load(Ordering::Relaxed);
        if seconds(now) < due {
            return None;
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
        (mine.is_ok() && validity != Validity::Valid).then_some(validity)
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

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(86_400);

    /// The facts of a certificate that begins now and lives as long as told, and its beginning.
    fn living(life: Duration) -> (CertificateFacts, SystemTime) {
        let begin = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.not_before = begin.into();
        params.not_after = (begin + life).into();
        let certificate = params.self_signed(&key).unwrap();
        (CertificateFacts::parse(certificate.der()).unwrap(), begin)
    }

    #[test]
    fn notice_is_a_tenth_of_the_life_but_no_more_than_a_month() {
        for (life, notice) in [
            (DAY, DAY / 10),
            (100 * DAY, 10 * DAY),
            (365 * DAY, 30 * DAY),
            (3650 * DAY, 30 * DAY),
            (Duration::ZERO, Duration::ZERO),
        ] {
            let (facts, begin) = living(life);
            assert_eq!(facts.expires_soon_from(), begin + life - notice, "{life:?}");
        }
    }

    #[test]
    fn the_first_and_the_last_second_of_a_certificate_are_valid() {
        let (facts, begin) = living(100 * DAY);
        let second = Duration::from_secs(1);
        for (now, validity) in [
            (begin - second, Validity::NotYetValid),
            (begin, Validity::Valid),
            (begin + 90 * DAY - second, Validity::Valid),
            (begin + 90 * DAY, Validity::ExpiresSoon),
            (begin + 100 * DAY, Validity::ExpiresSoon),
            (begin + 100 * DAY + second, Validity::Expired),
        ] {
            assert_eq!(facts.validity(now), validity, "{now:?}");
        }
    }

    #[test]
    fn every_news_is_told_once() {
        let (facts, begin) = living(100 * DAY);
        let notice = ExpiryNotice::default();
        let mut told = Vec::new();
        for hours in 0..200 * 24 {
            let now = begin - 50 * DAY + hours * HOUR;
            told.extend(notice.news(&facts, now).map(|validity| (hours / 24, validity)));
        }
        assert_eq!(
            told,
            [
                (0, Validity::NotYetValid),
                (140, Validity::ExpiresSoon),
                (150, Validity::Expired)
            ]
        );
        // A clock that is set back is no news.
        assert_eq!(notice.news(&facts, begin - DAY), None);
    }

    #[test]
    fn a_certificate_found_expired_is_told_at_once_and_a_good_one_not_at_all() {
        let (facts, begin) = living(DAY);
        let notice = ExpiryNotice::default();
        assert_eq!(notice.news(&facts, begin + 9 * DAY), Some(Validity::Expired));
        assert_eq!(notice.news(&facts, begin + 10 * DAY), None);
        let notice = ExpiryNotice::default();
        assert_eq!(notice.news(&facts, begin + HOUR), None);
        assert_eq!(notice.news(&facts, begin + 2 * HOUR), None);
    }
}
