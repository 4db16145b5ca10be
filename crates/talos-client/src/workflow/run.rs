//! A workflow under way.

use std::{
    collections::VecDeque,
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures_core::Stream;

use crate::error::Error;

/// A workflow under way: a future of `T`, and a stream of its progress.
///
/// Wait for the end with [`Run::finish`] or `.await`. To see progress, read items until there is no more with
/// [`Run::next_progress`], or as a [`Stream`], and take the result then.
///
/// ```no_run
/// # async fn example<P: std::fmt::Display, T>(mut run: talos_client::workflow::Run<P, T>) -> talos_client::Result<T> {
/// while let Some(progress) = run.next_progress().await {
///     println!("{progress}");
/// }
/// run.finish().await
/// # }
/// ```
///
/// It runs in the task that polls it: while nobody asks for progress or for the end, it stands still, and what has a limit
/// on time may fail for it. Items that nobody has asked for yet are kept, those that [`Run::finish`] passes are not.
///
/// # Cancel safety
///
/// Waiting for the next item may be cancelled at any time, nothing is lost. Dropping the run ends the calls under way and
/// everything that was to come; what was done by then is done, and the workflow may be run again.
#[must_use = "a workflow does nothing unless polled"]
pub struct Run<P, T, E = Error> {
    state: State<T, E>,
    queue: Arc<Mutex<Queue<P>>>,
}

enum State<T, E> {
    Working(Working<T, E>),
    Done(Result<T, E>),
}

type Working<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Items that nobody has taken yet.
#[derive(Debug)]
struct Queue<P> {
    items: VecDeque<P>,
    /// Nobody will ask for them.
    muted: bool,
}

/// Where a workflow says how far it is.
pub(crate) struct Reporter<P> {
    queue: Arc<Mutex<Queue<P>>>,
}

impl<P, T, E> Run<P, T, E> {
    /// A workflow that reports to what `make` is given.
    pub(crate) fn new<F, Fut>(make: F) -> Self
    where
        F: FnOnce(Reporter<P>) -> Fut,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let queue = Arc::new(Mutex::new(Queue {
            items: VecDeque::new(),
            muted: false,
        }));
        let reporter = Reporter {
            queue: Arc::clone(&queue),
        };
        Self {
            state: State::Working(Box::pin(make(reporter))),
            queue,
        }
    }

    /// The next item; `None` when the workflow is over, whatever came of it.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn next_progress(&mut self) -> Option<P> {
        std::future::poll_fn(|cx| self.poll_progress(cx)).await
    }

    /// Waits for the end, and returns what came of it.
    ///
    /// # Errors
    ///
    /// Those of the workflow.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the run.
    pub async fn finish(self) -> Result<T, E> {
        lock(&self.queue).mute();
        match self.state {
            State::Working(work) => work.await,
            State::Done(result) => result,
        }
    }

    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<Option<P>> {
        if let Some(item) = lock(&self.queue).items.pop_front() {
            return Poll::Ready(Some(item));
        }
        let State::Working(work) = &mut self.state else {
            return Poll::Ready(None);
        };
        let over = match work.as_mut().poll(cx) {
            Poll::Ready(result) => {
                self.state = State::Done(result);
                true
            }
            Poll::Pending => false,
        };
        match lock(&self.queue).items.pop_front() {
            Some(item) => Poll::Ready(Some(item)),
            None if over => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl<P, T, E> Stream for Run<P, T, E>
where
    T: Unpin,
    E: Unpin,
{
    type Item = P;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<P>> {
        self.get_mut().poll_progress(cx)
    }
}

impl<P, T, E> IntoFuture for Run<P, T, E>
where
    P: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    type Output = Result<T, E>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.finish())
    }
}

impl<P, T, E> fmt::Debug for Run<P, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("over", &matches!(self.state, State::Done(_)))
            .finish_non_exhaustive()
    }
}

impl<P> Queue<P> {
    fn mute(&mut self) {
        self.muted = true;
        self.items.clear();
    }
}

impl<P> Reporter<P> {
    /// Hands an item out.
    pub(crate) fn report(&self, item: P) {
        let mut queue = lock(&self.queue);
        if !queue.muted {
            queue.items.push_back(item);
        }
    }

    /// Runs another workflow to its end as a part of this one, with its items as `item` makes them.
    pub(crate) async fn follow<Q, T, E>(
        &self,
        mut part: Run<Q, T, E>,
        mut item: impl FnMut(Q) -> P,
    ) -> Result<T, E> {
        while let Some(progress) = part.next_progress().await {
            self.report(item(progress));
        }
        part.finish().await
    }
}

impl<P> Clone for Reporter<P> {
    fn clone(&self) -> Self {
        Self {
            queue: Arc::clone(&self.queue),
        }
    }
}

impl<P> fmt::Debug for Reporter<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").finish_non_exhaustive()
    }
}

/// Items are whole whatever happened to who held the lock.
fn lock<P>(queue: &Mutex<Queue<P>>) -> std::sync::MutexGuard<'_, Queue<P>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting() -> Run<u32, &'static str, &'static str> {
        Run::new(|reporter| async move {
            for number in 0..3 {
                reporter.report(number);
                if number > 0 {
                    tokio::task::yield_now().await;
                }
            }
            Ok("done")
        })
    }

    #[tokio::test]
    async fn progress_comes_in_order_and_the_result_after_it() {
        let mut run = counting();
        let mut seen = Vec::new();
        while let Some(number) = run.next_progress().await {
            seen.push(number);
        }
        assert_eq!(seen, [0, 1, 2]);
        assert_eq!(run.next_progress().await, None);
        assert_eq!(run.finish().await, Ok("done"));
    }

    #[tokio::test]
    async fn nobody_has_to_look_at_progress() {
        assert_eq!(counting().await, Ok("done"));
        let mut run = counting();
        assert_eq!(run.next_progress().await, Some(0));
        assert_eq!(run.finish().await, Ok("done"));
    }

    #[tokio::test]
    async fn a_part_reports_through_the_whole() {
        let mut run: Run<String, u32, &'static str> = Run::new(|reporter| async move {
            let part = Run::<u32, u32, &'static str>::new(|inner| async move {
                inner.report(7);
                Err("broken")
            });
            let failure = reporter.follow(part, |number| format!("part {number}")).await;
            assert_eq!(failure, Err("broken"));
            Ok(1)
        });
        assert_eq!(run.next_progress().await.as_deref(), Some("part 7"));
        assert_eq!(run.next_progress().await, None);
        assert_eq!(run.await, Ok(1));
    }
}
