//! Faults of the Kubernetes API.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;

use crate::sync::Guarded;

/// What goes wrong with requests to the Kubernetes API: which of them, how many, and what becomes of them. To
/// inject with [`SimKubernetes::inject`](super::SimKubernetes::inject).
///
/// ```
/// use std::time::Duration;
/// use talos_testkit::kubernetes::KubeFault;
///
/// // The next two evictions are late, and fail.
/// let fault = KubeFault::new()
///     .method("POST")
///     .path("/eviction")
///     .times(2)
///     .delay(Duration::from_millis(20))
///     .status(503);
/// # let _ = fault;
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a fault does nothing until it is injected"]
pub struct KubeFault {
    method: Option<String>,
    path: Option<String>,
    skip: u64,
    times: Option<u64>,
    delay: Duration,
    ending: Option<KubeEnding>,
}

/// How a request ends by a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KubeEnding {
    Status(StatusCode),
    Disconnect,
    Hang,
}

impl KubeFault {
    /// All requests, without doing anything to them but counting.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only requests with this method, such as `POST`. Default: all.
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.method = Some(method.into());
        self
    }

    /// Only requests whose path has this text in it, such as `/pods` or `/eviction`. Default: all.
    pub fn path(mut self, part: impl Into<String>) -> Self {
        self.path = Some(part.into());
        self
    }

    /// Lets the first `count` matching requests through. Default: 0.
    pub const fn skip(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }

    /// Hits no more than `count` requests. Default: all.
    pub const fn times(mut self, count: u64) -> Self {
        self.times = Some(count);
        self
    }

    /// Lets requests wait before anything happens. Adds to other delays.
    pub const fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Answers with this status of HTTP and a `Status` object, and does nothing of what was asked.
    ///
    /// # Panics
    ///
    /// If it is no status of HTTP, from 100 to 999.
    pub fn status(mut self, code: u16) -> Self {
        match StatusCode::from_u16(code) {
            Ok(code) => self.ending = Some(KubeEnding::Status(code)),
            Err(_) => panic!("{code} is no status of HTTP"),
        }
        self
    }

    /// Breaks the connection instead of an answer; nothing of what was asked is done.
    pub const fn disconnect(mut self) -> Self {
        self.ending = Some(KubeEnding::Disconnect);
        self
    }

    /// Never answers; nothing of what was asked is done.
    pub const fn hang(mut self) -> Self {
        self.ending = Some(KubeEnding::Hang);
        self
    }

    fn matches(&self, method: &str, path: &str) -> bool {
        self.method
            .as_deref()
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && self.path.as_deref().is_none_or(|wanted| path.contains(wanted))
    }
}

#[derive(Debug)]
struct Rule {
    fault: KubeFault,
    seen: AtomicU64,
    hits: AtomicU64,
}

/// The faults that there are, in the order they were injected.
#[derive(Debug, Default)]
pub(super) struct Faults {
    rules: Guarded<Vec<Arc<Rule>>>,
}

impl Faults {
    pub(super) fn add(&self, fault: KubeFault) -> KubeFaultHandle {
        let rule = Arc::new(Rule {
            fault,
            seen: AtomicU64::new(0),
            hits: AtomicU64::new(0),
        });
        self.rules.lock().push(Arc::clone(&rule));
        KubeFaultHandle { rule }
    }

    pub(super) fn remove(&self, handle: &KubeFaultHandle) {
        self.rules.lock().retain(|rule| !Arc::ptr_eq(rule, &handle.rule));
    }

    pub(super) fn clear(&self) {
        self.rules.lock().clear();
    }

    /// How long a request waits, and how it ends if a fault ends it.
    pub(super) fn verdict(&self, method: &str, path: &str) -> (Duration, Option<KubeEnding>) {
        let mut delay = Duration::ZERO;
        for rule in self
            .rules
            .lock()
            .iter()
            .filter(|rule| rule.fault.matches(method, path))
        {
            let fault = &rule.fault;
            let seen = rule.seen.fetch_add(1, Ordering::Relaxed);
            let within = seen >= fault.skip && fault.times.is_none_or(|times| seen - fault.skip < times);
            if !within {
                continue;
            }
            rule.hits.fetch_add(1, Ordering::Relaxed);
            delay += fault.delay;
            if fault.ending.is_some() {
                return (delay, fault.ending);
            }
        }
        (delay, None)
    }
}

/// A fault of the Kubernetes API that has been injected. Dropping the handle leaves the fault where it is.
#[derive(Debug, Clone)]
pub struct KubeFaultHandle {
    rule: Arc<Rule>,
}

impl KubeFaultHandle {
    /// How many requests the fault has hit.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.rule.hits.load(Ordering::Relaxed)
    }

    /// How many requests it is about have come, hit or not.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.rule.seen.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_hit_what_they_are_about_and_no_more() {
        let faults = Faults::default();
        let late = faults.add(KubeFault::new().path("/pods").delay(Duration::from_millis(1)));
        let wrong = faults.add(KubeFault::new().method("post").skip(1).times(1).status(503));
        assert_eq!(faults.verdict("GET", "/api/v1/nodes"), (Duration::ZERO, None));
        let late_only = (Duration::from_millis(1), None);
        assert_eq!(faults.verdict("POST", "/pods/x/eviction"), late_only);
        let ending = Some(KubeEnding::Status(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(faults.verdict("POST", "/pods").1, ending);
        assert_eq!(faults.verdict("POST", "/pods"), late_only);
        assert_eq!((late.hits(), wrong.hits(), wrong.seen()), (3, 1, 3));
        faults.remove(&late);
        assert_eq!(faults.verdict("GET", "/pods").0, Duration::ZERO);
    }
}
