//! Events across lost connections and reboots.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use tokio::time::{sleep, timeout};

use super::{
    Event, EventId, EventStream,
    request::{Position, Subscription, open},
};
use crate::{
    call::{Reattach, Target},
    error::{Error, Result},
};

/// Events of a node for as long as they are wanted; made by
/// [`EventsRequest::reattach`](super::EventsRequest::reattach).
///
/// When a call ends, be it that the connection breaks, that the node shuts down or that the reader was too slow,
/// the next one goes on after the last event that came: none comes twice, and where the node no longer has all
/// that came in between, there is an [`EventItem::Gap`]. After a reboot, which the
/// [boot id](crate::Node::boot_id) tells, there always is one, since nodes keep no events across it; then come
/// all events of the new boot.
///
/// A node that cannot be reached is waited for, at the beginning, too. Attempts are 0.5 s apart at first and 15 s in
/// the end, and up to half of that more.
///
/// # Errors
///
/// An item is an error, and the last one, when a call fails in a way that does not pass, such as
/// `PermissionDenied`, and after [`EventFeed::give_up_after`].
///
/// # Cancel safety
///
/// Waiting for the next item may be cancelled at any time, nothing is lost.
#[must_use = "streams do nothing unless polled"]
pub struct EventFeed {
    target: Target,
    subscription: Subscription,
    reattach: Reattach,
    state: State,
    place: Place,
    ready: VecDeque<EventItem>,
}

/// What an [`EventFeed`] yields.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EventItem {
    /// An event.
    Event(Event),
    /// Events may be missing here.
    Gap(EventGap),
}

/// A place in a feed where events may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventGap {
    /// The last event before it, if there was one.
    pub after: Option<EventId>,
    /// Why.
    pub reason: EventGapReason,
}

/// Why events may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventGapReason {
    /// The node rebooted, and kept nothing of the time before.
    Rebooted,
    /// More happened in between than the node keeps, or it rebooted and its boot id cannot be read.
    HistoryLost,
}

/// How far the feed is.
#[derive(Clone, Debug, Default)]
struct Place {
    /// Where the first stream began.
    began: Option<EventId>,
    /// The last event, and the one before it.
    last: Option<EventId>,
    previous: Option<EventId>,
    boot: Option<String>,
}

enum State {
    /// A call is being made.
    Attaching(Attaching),
    Attached {
        stream: Box<EventStream>,
        check: Check,
    },
    Over,
}

type Attaching = Pin<Box<dyn Future<Output = Result<Attached>> + Send>>;

struct Attached {
    stream: EventStream,
    /// What the boot is now, if it can be read.
    boot: Option<String>,
    check: Check,
}

/// What the first event of a stream tells about those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// Nothing.
    Nothing,
    /// If it is this one, which came already, nothing is missing.
    Overlap(EventId),
    /// If it is not later than this, nothing is missing. What is not later is left out.
    OldestNotAfter(EventId),
    /// Nothing is missing; what is not later than this is left out.
    NotAfter(EventId),
}

impl EventFeed {
    pub(super) fn new(target: Target, subscription: Subscription) -> Self {
        let attaching = attach(
            target.clone(),
            subscription.clone(),
            Place::default(),
            Duration::ZERO,
        );
        Self {
            target,
            subscription,
            reattach: Reattach::new(),
            state: State::Attaching(attaching),
            place: Place::default(),
            ready: VecDeque::new(),
        }
    }

    /// Ends the feed with the last failure if it could not be attached again for this long. Default: never.
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.reattach.set_give_up_after(time);
        self
    }

    /// Waits until the first call has begun: what happens from then on is in the feed. Nodes that cannot be reached are
    /// waited for.
    ///
    /// # Errors
    ///
    /// A failure that does not pass, which is the end of the feed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn attached(&mut self) -> Result<()> {
        std::future::poll_fn(|cx| {
            while let State::Attaching(attaching) = &mut self.state {
                match ready!(attaching.as_mut().poll(cx)) {
                    Ok(attached) => self.resume(attached),
                    Err(error) => {
                        if let Some(error) = self.lost(Some(error)) {
                            return Poll::Ready(Err(error));
                        }
                    }
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
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
    pub async fn next_item(&mut self) -> Option<Result<EventItem>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// After a call that ended or failed: waits and makes the next one, unless the failure is final.
    fn lost(&mut self, failure: Option<Error>) -> Option<Error> {
        let Some(wait) = self.reattach.next_wait(failure.as_ref()) else {
            self.state = State::Over;
            return failure;
        };
        self.state = State::Attaching(attach(
            self.target.clone(),
            self.subscription.clone(),
            self.place.clone(),
            wait,
        ));
        None
    }

    fn resume(&mut self, attached: Attached) {
        let Attached { stream, boot, check } = attached;
        self.reattach.attached();
        if self.place.began.is_none() {
            self.place.began = stream.began_at();
        }
        if let Some(boot) = boot {
            let rebooted = self.place.boot.as_ref().is_some_and(|before| *before != boot);
            self.place.boot = Some(boot);
            if rebooted {
                self.gap(EventGapReason::Rebooted);
                self.place.previous = None;
            }
        }
        self.state = State::Attached {
            stream: Box::new(stream),
            check,
        };
    }

    fn gap(&mut self, reason: EventGapReason) {
        let after = self.place.last;
        self.ready.push_back(EventItem::Gap(EventGap { after, reason }));
    }

    fn accept(&mut self, event: Event, gap: bool) {
        if gap {
            self.gap(EventGapReason::HistoryLost);
        }
        if let Some(id) = event.id() {
            self.place.previous = self.place.last.replace(id);
        }
        self.ready.push_back(EventItem::Event(event));
    }
}

impl Check {
    /// What to do with an event: nothing if it came already, else whether a gap comes before it. And what to
    /// check next.
    fn judge(self, id: Option<EventId>) -> (Option<bool>, Self) {
        match self {
            Self::Nothing => (Some(false), Self::Nothing),
            Self::Overlap(last) if id == Some(last) => (None, Self::Nothing),
            Self::Overlap(_) => (Some(true), Self::Nothing),
            Self::OldestNotAfter(began) | Self::NotAfter(began) if id.is_some_and(|id| id <= began) => {
                (None, Self::NotAfter(began))
            }
            Self::OldestNotAfter(_) => (Some(true), Self::Nothing),
            Self::NotAfter(_) => (Some(false), Self::Nothing),
        }
    }
}

/// Waits, finds out which boot it is, and opens a stream that goes on from this place.
fn attach(target: Target, mut subscription: Subscription, place: Place, wait: Duration) -> Attaching {
    Box::pin(async move {
        sleep(wait).await;
        // Older nodes tell it to administrators only.
        let boot = timeout(BOOT_ID_TIME, target.boot_id()).await;
        let boot = boot.ok().and_then(Result::ok);
        let rebooted = place.boot.is_some() && boot.is_some() && place.boot != boot;
        let mut check = Check::Nothing;
        match (place.began, place.last) {
            (None, _) => {}
            _ if rebooted => subscription.position = Position::All,
            // The last event once more, which shows that nothing is missing.
            (Some(began), Some(last)) => {
                subscription.position = Position::After(place.previous.unwrap_or(began));
                check = Check::Overlap(last);
            }
            // Events that are sorted out would look as if they were missing.
            (Some(began), None) if subscription.actor.is_some() => {
                subscription.position = Position::After(began);
            }
            (Some(began), None) => {
                subscription.position = Position::All;
                check = Check::OldestNotAfter(began);
            }
        }
        let stream = open(&target, subscription).await?;
        Ok(Attached { stream, boot, check })
    })
}

impl Stream for EventFeed {
    type Item = Result<EventItem>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(item) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(item)));
            }
            let failure = match &mut this.state {
                State::Attaching(attaching) => match ready!(attaching.as_mut().poll(cx)) {
                    Ok(attached) => {
                        this.resume(attached);
                        continue;
                    }
                    Err(error) => Some(error),
                },
                State::Attached { stream, check } => match ready!(Pin::new(stream.as_mut()).poll_next(cx)) {
                    Some(Ok(event)) => {
                        let (verdict, next) = check.judge(event.id());
                        *check = next;
                        if let Some(gap) = verdict {
                            this.accept(event, gap);
                        }
                        continue;
                    }
                    Some(Err(error)) => Some(error),
                    None => None,
                },
                State::Over => return Poll::Ready(None),
            };
            if let Some(error) = this.lost(failure) {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

impl fmt::Debug for EventFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventFeed")
            .field("subscription", &self.subscription)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// Longest time that finding out the boot id may take.
const BOOT_ID_TIME: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of events of these numbers: left out, taken, or taken after a gap.
    fn judged(mut check: Check, numbers: &[u8]) -> Vec<Option<bool>> {
        let judge = |number: &u8| {
            let (verdict, next) = check.judge(Some(id(*number)));
            check = next;
            verdict
        };
        numbers.iter().map(judge).collect()
    }

    fn id(number: u8) -> EventId {
        format!("9m4e2mr0ui3e8a21{number:03}g").parse().expect("an id")
    }

    #[test]
    fn no_event_comes_twice_and_missing_ones_are_told() {
        const NEW: Option<bool> = Some(false);
        const AFTER_GAP: Option<bool> = Some(true);
        let overlap = Check::Overlap(id(5));
        assert_eq!(judged(overlap, &[5, 6, 7]), [None, NEW, NEW]);
        assert_eq!(judged(overlap, &[8, 9]), [AFTER_GAP, NEW]);
        let oldest = Check::OldestNotAfter(id(5));
        assert_eq!(judged(oldest, &[3, 4, 5, 6, 7]), [None, None, None, NEW, NEW]);
        assert_eq!(judged(oldest, &[6, 7]), [AFTER_GAP, NEW]);
        assert_eq!(judged(Check::Nothing, &[1, 1]), [NEW, NEW]);
    }
}
