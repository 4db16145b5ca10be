//! Staggered racing, as "happy eyeballs" does it: for the addresses of a name, and for the endpoints of a cluster.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long an attempt has the field to itself before the next one starts beside it; RFC 8305's recommendation.
pub(crate) const DELAY: Duration = Duration::from_millis(250);

/// Starts one attempt per item, in order: the next one `delay` after the previous or as soon as one fails. The first
/// success wins and ends all others; if all fail, every item comes back with its error, in the order they failed.
///
/// # Cancel safety
///
/// Dropping the future ends all attempts.
pub(crate) async fn staggered<I, T, E, F>(
    items: impl IntoIterator<Item = I>,
    delay: Duration,
    mut attempt: impl FnMut(I) -> F,
) -> Result<T, Vec<(I, E)>>
where
    I: Clone + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let mut items = items.into_iter().peekable();
    let mut failures = Vec::new();
    let mut running = JoinSet::new();
    loop {
        if let Some(item) = items.next() {
            let attempt = attempt(item.clone());
            if running.is_empty() && items.peek().is_none() {
                // Nobody to race against: no task needed.
                match attempt.await {
                    Ok(won) => return Ok(won),
                    Err(error) => failures.push((item, error)),
                }
            } else {
                running.spawn(async move { (item, attempt.await) });
            }
        }
        let finished = if items.peek().is_some() {
            match timeout(delay, running.join_next()).await {
                Ok(finished) => finished,
                Err(_elapsed) => continue,
            }
        } else {
            running.join_next().await
        };
        match finished {
            Some(Ok((_, Ok(won)))) => return Ok(won),
            Some(Ok((item, Err(error)))) => failures.push((item, error)),
            Some(Err(join)) => {
                if let Ok(panic) = join.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
            None if items.peek().is_none() => return Err(failures),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::time::{Instant, sleep};

    use super::*;

    /// Each item is (name, time until its result, whether it succeeds). Returns the result, when each attempt was
    /// started, and the time all of it took; all in milliseconds.
    async fn race(
        items: Vec<(&'static str, u64, bool)>,
    ) -> (
        Result<&'static str, Vec<&'static str>>,
        Vec<(&'static str, u128)>,
        u128,
    ) {
        let begin = Instant::now();
        let started = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&started);
        let result = staggered(items, DELAY, move |(name, millis, succeeds)| {
            log.lock().unwrap().push((name, begin.elapsed().as_millis()));
            async move {
                sleep(Duration::from_millis(millis)).await;
                if succeeds { Ok(name) } else { Err(()) }
            }
        })
        .await
        .map_err(|failures| failures.into_iter().map(|((name, _, _), ())| name).collect());
        let started = started.lock().unwrap().clone();
        (result, started, begin.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_first_attempt_is_the_only_one() {
        let (result, started, took) = race(vec![("a", 100, true), ("b", 0, true)]).await;
        assert_eq!((result, started, took), (Ok("a"), vec![("a", 0)], 100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_attempt_is_joined_after_the_delay_and_can_still_win() {
        let (result, started, took) = race(vec![("a", 300, true), ("b", 1000, true)]).await;
        assert_eq!(
            (result, started, took),
            (Ok("a"), vec![("a", 0), ("b", 250)], 300)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_starts_the_next_attempt_at_once() {
        let (result, started, took) = race(vec![("a", 10, false), ("b", 10, false), ("c", 10, true)]).await;
        assert_eq!(
            (result, started, took),
            (Ok("c"), vec![("a", 0), ("b", 10), ("c", 20)], 30)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_black_hole_costs_one_delay() {
        let (result, started, took) = race(vec![("hole", 3_600_000, false), ("b", 20, true)]).await;
        assert_eq!(
            (result, started, took),
            (Ok("b"), vec![("hole", 0), ("b", 250)], 270)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn all_failures_come_back_in_the_order_they_happened() {
        let (result, _, took) = race(vec![("slow", 900, false), ("b", 10, false), ("c", 10, false)]).await;
        assert_eq!((result, took), (Err(vec!["b", "c", "slow"]), 900));
    }

    #[tokio::test(start_paused = true)]
    async fn losing_attempts_are_dropped() {
        let guard = Arc::new(());
        let held = Arc::clone(&guard);
        let result: Result<&str, Vec<(&str, ())>> = staggered(["loser", "winner"], DELAY, move |name| {
            let held = Arc::clone(&held);
            async move {
                let _held = held;
                if name == "loser" {
                    std::future::pending::<()>().await;
                }
                Ok(name)
            }
        })
        .await;
        assert_eq!(result, Ok("winner"));
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&guard), 1);
    }
}
