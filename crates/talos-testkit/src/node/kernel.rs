//! The kernel's message buffer.

use bytes::Bytes;
use futures_core::Stream;
use std::sync::Arc;
use tokio::sync::watch;

use crate::clock::Moment;
use crate::sync::Guarded;

/// Priority of a kernel message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KernelPriority {
    /// `emerg`
    Emergency,
    /// `alert`
    Alert,
    /// `crit`
    Critical,
    /// `err`
    Error,
    /// `warning`
    Warning,
    /// `notice`
    Notice,
    /// `info`
    Info,
    /// `debug`
    Debug,
}

impl KernelPriority {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Emergency => "emerg",
            Self::Alert => "alert",
            Self::Critical => "crit",
            Self::Error => "err",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// The messages since boot, each formatted as Talos prints it.
#[derive(Debug, Default)]
pub(crate) struct KernelLog {
    lines: Guarded<Vec<Bytes>>,
    count: watch::Sender<usize>,
}

impl KernelLog {
    /// Appends one message: facility, priority, time, text.
    pub(crate) fn append(&self, facility: &str, priority: KernelPriority, at: Moment, text: &str) {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let line = format!(
            "{facility}: {:>7}: [{}]: {text}\n",
            priority.as_str(),
            at.rfc3339_nanos()
        );
        let count = {
            let mut lines = self.lines.lock();
            lines.push(line.into());
            lines.len()
        };
        self.count.send_replace(count);
    }

    /// Forgets all messages, as a reboot does.
    pub(crate) fn clear(&self) {
        self.lines.lock().clear();
        self.count.send_replace(0);
    }

    /// The messages from the first one on, or only later ones with `tail`; waits for more with `follow`.
    pub(crate) fn read(
        self: Arc<Self>,
        follow: bool,
        tail: bool,
    ) -> impl Stream<Item = Bytes> + Send + use<> {
        let changes = self.count.subscribe();
        let position = if tail { *self.count.borrow() } else { 0 };
        futures_util::stream::unfold(
            (self, changes, position),
            move |(log, mut changes, position)| async move {
                loop {
                    changes.mark_unchanged();
                    let line = log.lines.lock().get(position).cloned();
                    if let Some(line) = line {
                        return Some((line, (log, changes, position + 1)));
                    }
                    if !follow || changes.changed().await.is_err() {
                        return None;
                    }
                }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};

    use super::*;

    fn two_messages() -> Arc<KernelLog> {
        let log = Arc::new(KernelLog::default());
        let at = Moment::from_unix(1_767_323_045, 678_901_000);
        log.append("kern", KernelPriority::Info, at, "Linux version 6");
        log.append("user", KernelPriority::Warning, at, "[talos] hello\n");
        log
    }

    #[tokio::test]
    async fn every_message_is_one_formatted_line() {
        let lines: Vec<_> = two_messages().read(false, false).collect().await;
        assert_eq!(
            lines[0],
            "kern:    info: [2026-01-02T03:04:05.678901Z]: Linux version 6\n"
        );
        assert_eq!(
            lines[1],
            "user: warning: [2026-01-02T03:04:05.678901Z]: [talos] hello\n"
        );
        assert_eq!(lines.len(), 2);
    }

    #[tokio::test]
    async fn tail_leaves_the_past_out() {
        let log = two_messages();
        assert_eq!(Arc::clone(&log).read(false, true).count().await, 0);
        let mut lines = Box::pin(Arc::clone(&log).read(true, true));
        assert!(lines.next().now_or_never().is_none());
        log.append("kern", KernelPriority::Error, Moment::from_unix(0, 0), "new");
        assert_eq!(
            lines.next().await.unwrap(),
            "kern:     err: [1970-01-01T00:00:00Z]: new\n"
        );
    }
}
