//! Service logs: one bounded buffer per service, readable from any line and followable.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;
use tokio::sync::watch;

use crate::rng::SimRng;
use crate::sync::Guarded;

/// Most bytes kept per log; older ones are overwritten.
pub(crate) const LOG_CAPACITY: usize = 1024 * 1024;

/// Most bytes in one message of a byte stream.
pub(crate) const CHUNK: usize = 1024;

/// The logs of one node, by service.
#[derive(Debug, Default)]
pub(crate) struct LogStore {
    buffers: Guarded<BTreeMap<String, Arc<LogBuffer>>>,
}

impl LogStore {
    /// The log of `service`; `None` if nothing was ever registered under that name.
    pub(crate) fn get(&self, service: &str) -> Option<Arc<LogBuffer>> {
        self.buffers.lock().get(service).cloned()
    }

    /// Forgets all logs, as a reboot does. Readers that are open see no more of them.
    pub(crate) fn clear(&self) {
        self.buffers.lock().clear();
    }

    /// The names of all logs.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.buffers.lock().keys().cloned().collect()
    }

    /// Appends `text`, ending it with a newline if it does not; registers the log if it is new.
    pub(crate) fn append(&self, service: &str, text: &str) {
        let buffer = Arc::clone(self.buffers.lock().entry(service.to_owned()).or_default());
        buffer.append(text.as_bytes());
        if !text.ends_with('\n') {
            buffer.append(b"\n");
        }
    }

    /// Appends `bytes` as they are; registers the log if it is new.
    pub(crate) fn append_raw(&self, service: &str, bytes: &[u8]) {
        Arc::clone(self.buffers.lock().entry(service.to_owned()).or_default()).append(bytes);
    }
}

/// What of a log to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogQuery {
    /// How many last lines: 0 for none, negative for all.
    pub(crate) tail_lines: i32,
    /// Whether to wait for more at the end.
    pub(crate) follow: bool,
}

/// A log that forgets its beginning beyond [`LOG_CAPACITY`].
#[derive(Debug, Default)]
pub(crate) struct LogBuffer {
    contents: Guarded<Contents>,
    /// Number of bytes ever written.
    written: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Contents {
    bytes: Vec<u8>,
    /// Position of the first kept byte among all bytes ever written.
    start: u64,
}

impl LogBuffer {
    fn append(&self, bytes: &[u8]) {
        let end = {
            let mut contents = self.contents.lock();
            contents.bytes.extend_from_slice(bytes);
            // Cutting in large steps keeps appending cheap.
            if contents.bytes.len() > 2 * LOG_CAPACITY {
                let excess = contents.bytes.len() - LOG_CAPACITY;
                contents.bytes.drain(..excess);
                contents.start += excess as u64;
            }
            contents.start + contents.bytes.len() as u64
        };
        self.written.send_replace(end);
    }

    /// The log in pieces of at most [`CHUNK`] bytes. The first piece has a length drawn from `rng`, so that
    /// the cuts fall anywhere in lines and characters, as they do on a busy node.
    pub(crate) fn read(
        self: Arc<Self>,
        query: LogQuery,
        mut rng: SimRng,
    ) -> impl Stream<Item = Bytes> + Send + use<> {
        let position = self.position_of_tail(query.tail_lines);
        // Without `follow` the end is where it was when the call came in.
        let end = if query.follow {
            u64::MAX
        } else {
            *self.written.borrow()
        };
        let first = rng.one_to(CHUNK);
        let changes = self.written.subscribe();
        let state = (self, changes, position, first);
        futures_util::stream::unfold(state, move |(buffer, mut changes, position, limit)| async move {
            loop {
                changes.mark_unchanged();
                let piece = buffer.piece(position, limit, end);
                if let Some((piece, next)) = piece {
                    return Some((piece, (buffer, changes, next, CHUNK)));
                }
                if !query.follow || changes.changed().await.is_err() {
                    return None;
                }
            }
        })
    }

    /// At most `limit` bytes from `position`, or from the oldest kept byte if that is later.
    fn piece(&self, position: u64, limit: usize, end: u64) -> Option<(Bytes, u64)> {
        let contents = self.contents.lock();
        let position = position.max(contents.start);
        let skip = usize::try_from(position - contents.start).ok()?;
        let rest = contents
            .bytes
            .get(skip..)
            .filter(|rest| !rest.is_empty() && position < end)?;
        let within = usize::try_from(end - position).unwrap_or(usize::MAX);
        let piece = Bytes::copy_from_slice(&rest[..rest.len().min(limit).min(within)]);
        let next = position + piece.len() as u64;
        Some((piece, next))
    }

    fn position_of_tail(&self, tail_lines: i32) -> u64 {
        let contents = self.contents.lock();
        let Ok(lines) = usize::try_from(tail_lines) else {
            return contents.start;
        };
        let bytes = &contents.bytes;
        let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let newlines = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
        let offset = match lines {
            0 => bytes.len(),
            lines => newlines
                .map(|(index, _)| index + 1)
                .nth(lines - 1)
                .unwrap_or_default(),
        };
        contents.start + offset as u64
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};

    use super::*;

    fn filled(lines: &[&str]) -> Arc<LogBuffer> {
        let store = LogStore::default();
        store.append_raw("s", b"");
        lines.iter().for_each(|line| store.append("s", line));
        store.get("s").unwrap()
    }

    async fn text(buffer: &Arc<LogBuffer>, tail_lines: i32) -> String {
        let query = LogQuery {
            tail_lines,
            follow: false,
        };
        let pieces: Vec<Bytes> = Arc::clone(buffer).read(query, SimRng::new(1)).collect().await;
        assert!(pieces.iter().all(|piece| (1..=CHUNK).contains(&piece.len())));
        String::from_utf8(pieces.concat()).unwrap()
    }

    #[tokio::test]
    async fn tail_counts_lines_zero_is_none_and_negative_is_all() {
        let buffer = filled(&["one", "two", "three"]);
        assert_eq!(text(&buffer, 0).await, "");
        assert_eq!(text(&buffer, 1).await, "three\n");
        assert_eq!(text(&buffer, 2).await, "two\nthree\n");
        assert_eq!(text(&buffer, 3).await, "one\ntwo\nthree\n");
        assert_eq!(text(&buffer, 9).await, "one\ntwo\nthree\n");
        assert_eq!(text(&buffer, -1).await, "one\ntwo\nthree\n");
        assert_eq!(text(&filled(&[]), 5).await, "");
    }

    #[tokio::test]
    async fn an_unfinished_last_line_is_a_line() {
        let store = LogStore::default();
        store.append("s", "whole");
        store.append_raw("s", b"half");
        assert_eq!(text(&store.get("s").unwrap(), 1).await, "half");
    }

    #[tokio::test]
    async fn cuts_fall_inside_lines() {
        let line = "x".repeat(3000);
        let buffer = filled(&[&line]);
        let query = LogQuery {
            tail_lines: -1,
            follow: false,
        };
        let sizes = |seed| {
            let pieces = Arc::clone(&buffer).read(query, SimRng::new(seed));
            pieces.map(|piece| piece.len()).collect::<Vec<_>>()
        };
        let first = sizes(1).await;
        assert_eq!(first.iter().sum::<usize>(), 3001);
        assert_eq!(first, sizes(1).await, "a seed gives the same cuts");
        assert_ne!(first, sizes(2).await);
    }

    #[tokio::test]
    async fn a_follower_waits_for_what_comes_later() {
        let store = LogStore::default();
        store.append("s", "old");
        let query = LogQuery {
            tail_lines: 0,
            follow: true,
        };
        let mut pieces = Box::pin(store.get("s").unwrap().read(query, SimRng::new(1)));
        assert!(pieces.next().now_or_never().is_none());
        store.append_raw("s", b"n");
        assert_eq!(pieces.next().await.unwrap(), "n");
        assert!(pieces.next().now_or_never().is_none());
    }

    #[tokio::test]
    async fn the_beginning_is_forgotten_beyond_the_capacity() {
        let store = LogStore::default();
        let line = "y".repeat(1023);
        (0..2200).for_each(|_| store.append("s", &line));
        let query = LogQuery {
            tail_lines: -1,
            follow: false,
        };
        let pieces: Vec<_> = store
            .get("s")
            .unwrap()
            .read(query, SimRng::new(1))
            .collect()
            .await;
        let total: usize = pieces.iter().map(Bytes::len).sum();
        assert!((LOG_CAPACITY..=2 * LOG_CAPACITY).contains(&total), "{total}");
    }
}
