//! The event bus of a machine: a ring that readers follow at their own pace.

pub(crate) mod payload;
pub(crate) mod xid;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::Moment;
use crate::rng::SimRng;
use crate::sync::Guarded;
use payload::Payload;
use xid::{Xid, XidSource};

/// Events the ring holds.
pub(crate) const CAPACITY: usize = 1000;
/// Events at the old end that are about to be overwritten and no longer replayed.
pub(crate) const GAP: u64 = 10;

/// One event on the bus.
#[derive(Debug)]
pub(crate) struct BusEvent {
    pub(crate) id: Xid,
    /// The action that the event belongs to; empty for those of no action.
    pub(crate) actor: String,
    pub(crate) payload: Payload,
    /// When it happened on the clock of the runtime, which tests may pause and move.
    at: Instant,
    /// How long before `at` it really happened, for events from before the simulation began.
    earlier: Duration,
}

impl BusEvent {
    fn age(&self) -> Duration {
        self.at.elapsed() + self.earlier
    }
}

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// What comes from now on.
    Now,
    /// The last so many events.
    Last(u64),
    /// Everything that is kept.
    Oldest,
    /// What came after the event with this id.
    After(Xid),
    /// What is younger than this.
    Younger(Duration),
}

/// All events of the current boot, as far as they are kept.
#[derive(Debug)]
pub(crate) struct EventBus {
    ring: Guarded<Ring>,
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Ring {
    events: VecDeque<Arc<BusEvent>>,
    written: u64,
    ids: XidSource,
    /// Counts reboots.
    boot: u64,
    /// Counts how often all readers were sent away, and where the ring was the last time.
    era: u64,
    era_begins: u64,
}

impl Ring {
    /// The oldest position that may still be replayed.
    fn oldest(&self) -> u64 {
        (self.written + GAP).saturating_sub(CAPACITY as u64)
    }

    fn at(&self, position: u64) -> Option<&Arc<BusEvent>> {
        let first = self.written - self.events.len() as u64;
        let index = usize::try_from(position.checked_sub(first)?).ok()?;
        self.events.get(index)
    }

    fn position_of(&self, start: Start) -> u64 {
        let oldest = self.oldest();
        let first_where = |wanted: &dyn Fn(&BusEvent) -> bool| {
            (oldest..self.written)
                .find(|position| self.at(*position).is_some_and(|event| wanted(event)))
                .unwrap_or(self.written)
        };
        match start {
            Start::Now => self.written,
            Start::Last(count) => self.written.saturating_sub(count).max(oldest),
            Start::Oldest => oldest,
            Start::After(id) => first_where(&|event| event.id > id),
            Start::Younger(age) => first_where(&|event| event.age() < age),
        }
    }
}

impl EventBus {
    pub(crate) fn new(rng: SimRng) -> Self {
        let ring = Ring {
            events: VecDeque::new(),
            written: 0,
            ids: XidSource::new(rng),
            boot: 0,
            era: 0,
            era_begins: 0,
        };
        Self {
            ring: Guarded::new(ring),
            changes: watch::Sender::new(0),
        }
    }

    /// Adds an event that happens now.
    pub(crate) fn publish(&self, actor: &str, payload: Payload) {
        self.add(actor, payload, Duration::ZERO);
    }

    /// Adds an event that happened `earlier`.
    pub(crate) fn publish_past(&self, payload: Payload, earlier: Duration) {
        self.add("", payload, earlier);
    }

    fn add(&self, actor: &str, payload: Payload, earlier: Duration) {
        let moment = Moment::now().shifted(earlier, true);
        let mut ring = self.ring.lock();
        let event = BusEvent {
            id: ring.ids.next(moment),
            actor: actor.to_owned(),
            payload,
            at: Instant::now(),
            earlier,
        };
        if ring.events.len() == CAPACITY {
            ring.events.pop_front();
        }
        ring.events.push_back(Arc::new(event));
        ring.written += 1;
        drop(ring);
        self.wake();
    }

    /// Forgets everything, as a reboot does, and sends all readers away.
    pub(crate) fn restart(&self) {
        let mut ring = self.ring.lock();
        ring.events.clear();
        ring.written = 0;
        ring.boot += 1;
        drop(ring);
        self.wake();
    }

    /// Sends all readers away once they have read what there is: their streams end without an error.
    pub(crate) fn end_readers(&self) {
        let mut ring = self.ring.lock();
        ring.era += 1;
        ring.era_begins = ring.written;
        drop(ring);
        self.wake();
    }

    /// Wakes those who wait for a change that is no event.
    pub(crate) fn wake(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Changes with every event, reboot and call of [`Self::wake`].
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// An id as the next event would get it; that one will get a later id.
    pub(crate) fn fresh_id(&self) -> Xid {
        self.ring.lock().ids.next(Moment::now())
    }

    /// Everything that is kept, the oldest first.
    pub(crate) fn kept(&self) -> Vec<Arc<BusEvent>> {
        self.ring.lock().events.iter().cloned().collect()
    }

    pub(crate) fn read(self: &Arc<Self>, start: Start) -> Reader {
        let changes = self.changes.subscribe();
        let ring = self.ring.lock();
        Reader {
            bus: Arc::clone(self),
            changes,
            position: ring.position_of(start),
            boot: ring.boot,
            era: ring.era,
        }
    }
}

/// One reader of the bus.
#[derive(Debug)]
pub(crate) struct Reader {
    bus: Arc<EventBus>,
    changes: watch::Receiver<u64>,
    position: u64,
    boot: u64,
    era: u64,
}

impl Reader {
    /// The next event, when there is one; `None` when the reader was too slow or was sent away.
    pub(crate) async fn next(&mut self) -> Option<Arc<BusEvent>> {
        loop {
            self.changes.mark_unchanged();
            {
                let ring = self.bus.ring.lock();
                let sent_away = ring.era != self.era && self.position >= ring.era_begins;
                if ring.boot != self.boot || sent_away {
                    return None;
                }
                if self.position < ring.written {
                    // An event that is gone already means that the ring has overrun the reader.
                    let event = ring.at(self.position).cloned();
                    self.position += 1;
                    return event;
                }
            }
            self.changes.changed().await.ok()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::payload::Edge;
    use super::*;

    fn bus() -> Arc<EventBus> {
        Arc::new(EventBus::new(SimRng::new(1)))
    }

    fn add(bus: &EventBus, count: usize) {
        (0..count).for_each(|n| bus.publish("", Payload::task(&n.to_string(), Edge::Start)));
    }

    fn rest(mut reader: Reader) -> Vec<Arc<BusEvent>> {
        std::iter::from_fn(|| reader.next().now_or_never().flatten()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn readers_begin_where_they_ask_to() {
        let bus = bus();
        add(&bus, 3);
        tokio::time::advance(Duration::from_secs(10)).await;
        add(&bus, 2);
        let all = rest(bus.read(Start::Oldest));
        assert_eq!(all.len(), 5);
        let count = |start| rest(bus.read(start)).len();
        assert_eq!(count(Start::Now), 0);
        assert_eq!(count(Start::Last(2)), 2);
        assert_eq!(count(Start::Last(99)), 5);
        assert_eq!(count(Start::After(all[1].id)), 3);
        assert_eq!(count(Start::After(all[4].id)), 0);
        assert_eq!(count(Start::Younger(Duration::from_secs(5))), 2);
        assert_eq!(count(Start::Younger(Duration::from_secs(11))), 5);
        bus.publish_past(Payload::restart(0), Duration::from_secs(600));
        assert_eq!(
            count(Start::Younger(Duration::from_secs(5))),
            3,
            "from the first on"
        );
    }

    #[tokio::test]
    async fn the_ring_replays_990_events_and_ends_overrun_readers() {
        let bus = bus();
        let mut slow = bus.read(Start::Now);
        let mut lucky = bus.read(Start::Now);
        add(&bus, 1000);
        assert!(lucky.next().await.is_some());
        add(&bus, 1);
        assert!(lucky.next().await.is_some());
        assert!(slow.next().await.is_none());
        assert_eq!(rest(bus.read(Start::Oldest)).len(), 990);
        let oldest = bus.kept()[0].id;
        assert_eq!(rest(bus.read(Start::After(oldest))).len(), 990);
    }

    #[tokio::test]
    async fn readers_wait_and_can_be_sent_away() {
        let bus = bus();
        let mut reader = bus.read(Start::Now);
        assert!(reader.next().now_or_never().is_none());
        add(&bus, 2);
        assert!(reader.next().await.is_some());
        bus.end_readers();
        add(&bus, 1);
        assert!(reader.next().await.is_some(), "what came before the end");
        assert!(reader.next().await.is_none());
        let mut reader = bus.read(Start::Oldest);
        bus.restart();
        assert!(reader.next().await.is_none());
        assert_eq!(rest(bus.read(Start::Oldest)).len(), 0);
    }
}
