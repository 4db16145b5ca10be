//! Logs across lost connections and reboots.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_core::Stream;
use talos_proto::{
    machine as proto,
    methods::machine::machine_service::{DMESG, LOGS},
};
use tokio::time::{sleep, timeout};

use super::dedup::{Dedup, Verdict};
use crate::{
    call::{Kind, Reattach, Target},
    error::{Error, Result},
    stream::{ByteStream, LineSplitter, LineStream},
};

/// A log for as long as it is wanted; made by [`LogsRequest::reattach`](super::LogsRequest::reattach) and
/// [`DmesgRequest::reattach`](super::DmesgRequest::reattach).
///
/// When a call ends, be it that the connection breaks or that the node shuts down, the log is read once more, and
/// lines that came already are left out by the times in them. Where lines are missing, or may be, there is a
/// [`LogItem::Gap`]:
///
/// - Services and the kernel keep nothing across a reboot, which the [boot id](crate::Node::boot_id) tells. After one,
///   everything that they said since comes.
/// - Where the log begins later than where it was left, the lines in between are lost.
/// - A log whose lines have no time goes on with new lines only, so what came in between is missing.
///
/// Bytes that are not UTF-8 become `U+FFFD`, and lines longer than [`LineStream::MAX_LINE`] come in pieces. A line
/// that was cut off by the end of a call comes as a whole from the next one.
///
/// A node that cannot be reached is waited for, at the beginning, too. Attempts are 0.5 s apart at first and 15 s in
/// the end, and up to half of that more.
///
/// # Errors
///
/// An item is an error, and the last one, when a call fails in a way that does not pass, such as `PermissionDenied`
/// or a log that does not exist, and after [`LogFeed::give_up_after`].
///
/// # Cancel safety
///
/// Waiting for the next item may be cancelled at any time, nothing is lost.
#[must_use = "streams do nothing unless polled"]
pub struct LogFeed {
    target: Target,
    log: Log,
    reattach: Reattach,
    state: State,
    splitter: LineSplitter,
    dedup: Dedup,
    boot: Option<String>,
    /// Something was attached before.
    again: bool,
    ready: VecDeque<LogItem>,
}

/// What a [`LogFeed`] yields.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogItem {
    /// A line, without its end.
    Line(String),
    /// Lines are missing here, or may be.
    Gap(LogGap),
}

/// A place in a log where lines are missing, or may be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogGap {
    /// When the last line before it was written, if that is known.
    pub after: Option<SystemTime>,
    /// Why.
    pub reason: LogGapReason,
}

/// Why lines are missing, or may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LogGapReason {
    /// The node rebooted, and kept nothing of the time before.
    Rebooted,
    /// The log begins later than where it was left.
    HistoryLost,
    /// The lines have no times by which the place could be found again.
    NoTimes,
}

impl fmt::Display for LogGapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rebooted => "the node rebooted",
            Self::HistoryLost => "the log begins later than where it was left",
            Self::NoTimes => "the lines of the log have no times",
        })
    }
}

/// Which log, and where it begins.
#[derive(Clone, Debug)]
pub(super) enum Log {
    Logs(proto::LogsRequest),
    Dmesg(proto::DmesgRequest),
}

/// What of it to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    AsAsked,
    All,
    OnlyNew,
}

enum State {
    Attaching(Attaching),
    Attached(Box<ByteStream>),
    /// A last line that has no end, and the error after it.
    Ending(Option<Error>),
    Over,
}

type Attaching = Pin<Box<dyn Future<Output = Result<Attached>> + Send>>;

struct Attached {
    stream: ByteStream,
    boot: Option<String>,
}

impl Log {
    async fn open(self, target: &Target, extent: Extent) -> Result<ByteStream> {
        match self {
            Self::Logs(mut request) => {
                request.follow = true;
                match extent {
                    Extent::AsAsked => {}
                    Extent::All => request.tail_lines = -1,
                    Extent::OnlyNew => request.tail_lines = 0,
                }
                target.open_bytes(Kind::Follow, &LOGS, request).await
            }
            Self::Dmesg(mut request) => {
                request.follow = true;
                match extent {
                    Extent::AsAsked => {}
                    Extent::All => request.tail = false,
                    Extent::OnlyNew => request.tail = true,
                }
                target.open_bytes(Kind::Follow, &DMESG, request).await
            }
        }
    }

    /// Whether the node forgets it when it reboots. Logs of containers are files.
    fn ends_with_boot(&self) -> bool {
        match self {
            Self::Logs(request) => request.namespace == super::request::SYSTEM,
            Self::Dmesg(_) => true,
        }
    }
}

impl LogFeed {
    pub(super) fn new(target: Target, log: Log) -> Self {
        let attaching = attach(target.clone(), log.clone(), Extent::AsAsked, Duration::ZERO);
        Self {
            target,
            log,
            reattach: Reattach::new(),
            state: State::Attaching(attaching),
            splitter: LineSplitter::new(LineStream::MAX_LINE),
            dedup: Dedup::new(),
            boot: None,
            again: false,
            ready: VecDeque::new(),
        }
    }

    /// Ends the feed with the last failure if it could not be attached again for this long. Default: never.
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.reattach.set_give_up_after(time);
        self
    }

    /// The next item, or `None` after an error.
    ///
    /// # Errors
    ///
    /// As for the items of the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn next_item(&mut self) -> Option<Result<LogItem>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    fn attached(&mut self, attached: Attached) {
        let Attached { stream, boot } = attached;
        self.reattach.attached();
        // The beginning of a line that comes as a whole now.
        self.splitter = LineSplitter::new(LineStream::MAX_LINE);
        let rebooted = match (&self.boot, &boot) {
            (Some(before), Some(now)) => before != now,
            _ => false,
        };
        self.boot = boot.or_else(|| self.boot.take());
        if self.again {
            if rebooted && self.log.ends_with_boot() {
                self.dedup.pass();
                self.gap(LogGapReason::Rebooted);
            } else if self.dedup.last().is_none() {
                self.gap(LogGapReason::NoTimes);
            } else {
                self.dedup.rewind();
            }
        }
        self.again = true;
        self.state = State::Attached(Box::new(stream));
    }

    /// After a call that ended or failed: waits and makes the next one, unless the failure is final.
    fn lost(&mut self, failure: Option<Error>) {
        self.state = match self.reattach.next_wait(failure.as_ref()) {
            Some(wait) => {
                let extent = match (self.again, self.dedup.last()) {
                    (false, _) => Extent::AsAsked,
                    (true, Some(_)) => Extent::All,
                    (true, None) => Extent::OnlyNew,
                };
                State::Attaching(attach(self.target.clone(), self.log.clone(), extent, wait))
            }
            None => State::Ending(failure),
        };
    }

    fn gap(&mut self, reason: LogGapReason) {
        let after = self.dedup.last().and_then(super::stamp::Stamp::system_time);
        self.ready.push_back(LogItem::Gap(LogGap { after, reason }));
    }

    fn accept(&mut self, line: &Bytes) {
        let line = String::from_utf8_lossy(line);
        let after = self.dedup.last();
        match self.dedup.judge(&line) {
            Verdict::Drop => return,
            Verdict::Take => {}
            Verdict::TakeAfterGap => {
                let after = after.and_then(super::stamp::Stamp::system_time);
                let reason = LogGapReason::HistoryLost;
                self.ready.push_back(LogItem::Gap(LogGap { after, reason }));
            }
        }
        self.ready.push_back(LogItem::Line(line.into_owned()));
    }
}

/// Waits, finds out which boot it is, and opens the log.
fn attach(target: Target, log: Log, extent: Extent, wait: Duration) -> Attaching {
    Box::pin(async move {
        sleep(wait).await;
        // Older nodes tell it to administrators only.
        let boot = timeout(BOOT_ID_TIME, target.boot_id()).await;
        let boot = boot.ok().and_then(Result::ok);
        let stream = log.open(&target, extent).await?;
        Ok(Attached { stream, boot })
    })
}

impl Stream for LogFeed {
    type Item = Result<LogItem>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(item) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(item)));
            }
            if let Some(line) = this.splitter.next_line() {
                this.accept(&line);
                continue;
            }
            match &mut this.state {
                State::Attaching(attaching) => match ready!(attaching.as_mut().poll(cx)) {
                    Ok(attached) => this.attached(attached),
                    Err(error) => this.lost(Some(error)),
                },
                State::Attached(stream) => match ready!(Pin::new(stream.as_mut()).poll_next(cx)) {
                    Some(Ok(chunk)) => this.splitter.push(&chunk),
                    Some(Err(error)) => this.lost(Some(error)),
                    None => this.lost(None),
                },
                State::Ending(error) => {
                    let error = error.take();
                    if let Some(line) = this.splitter.finish() {
                        this.state = State::Ending(error);
                        this.accept(&line);
                        continue;
                    }
                    this.state = State::Over;
                    return Poll::Ready(error.map(Err));
                }
                State::Over => return Poll::Ready(None),
            }
        }
    }
}

impl fmt::Debug for LogFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogFeed")
            .field("log", &self.log)
            .field("boot", &self.boot)
            .finish_non_exhaustive()
    }
}

/// Longest time that finding out the boot id may take.
const BOOT_ID_TIME: Duration = Duration::from_secs(10);
