//! A watch over connections that come and go.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use talos_proto::{cosi::resource as proto, methods::cosi::resource::state as methods};
use tokio::time::{Instant, Sleep};
use tonic::Streaming;

use super::{
    WatchEvent,
    core::{Core, Told},
    pace::Pace,
};
use crate::{
    call::{CallInfo, Target},
    error::{Error, ErrorKind, Origin, Result},
    resource::Item,
};

type Opened = Result<(Streaming<proto::WatchResponse>, CallInfo)>;

/// Events of resources; made by [`WatchRequest::start`](super::WatchRequest::start).
///
/// It goes on until it is dropped: a connection that is lost, and a node that reboots, are waited for and then the
/// watch is resumed. An error of kind `Malformed` about one resource is an item like others. Any other error is the
/// last item: the first attempt has failed for a reason that stays, such as `PermissionDenied`; the time of
/// [`WatchRequest::give_up_after`](super::WatchRequest::give_up_after) is over; or the server does not keep to
/// the protocol.
///
/// Dropping it cancels the call and leaves no task behind.
#[must_use = "streams do nothing unless polled"]
pub struct Watch<T> {
    target: Target,
    core: Core,
    pace: Pace,
    state: State,
    queue: VecDeque<Result<WatchEvent<T>>>,
    /// Whether the node has ever acknowledged the watch.
    established: bool,
}

enum State {
    Idle,
    Opening(Pin<Box<dyn Future<Output = Opened> + Send>>),
    Open(Box<Streaming<proto::WatchResponse>>, CallInfo),
    Waiting(Pin<Box<Sleep>>),
    Ended,
}

impl<T: Item> Watch<T> {
    pub(super) fn new(target: Target, core: Core, pace: Pace) -> Self {
        Self {
            target,
            core,
            pace,
            state: State::Idle,
            queue: VecDeque::new(),
            established: false,
        }
    }

    /// The next event; `None` after an error that ended the watch.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is lost.
    pub async fn next_event(&mut self) -> Option<Result<WatchEvent<T>>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The last event, for [`WatchRequest::resume`](super::WatchRequest::resume) in another process.
    ///
    /// It is of use on the same node only, until its next boot, and while no more than some changes have
    /// happened since; between four and a thousand of the same type. `None` before
    /// [`WatchEvent::Bootstrapped`].
    pub fn bookmark(&self) -> Option<&Bytes> {
        self.core.bookmark()
    }

    /// Whether one resource is watched.
    pub(crate) const fn is_single(&self) -> bool {
        self.core.is_single()
    }

    fn open(&mut self) {
        let target = self.target.clone();
        let request = self.core.request();
        // A watch that once was established has the right spelling.
        let unknown = (!self.established).then(|| self.core.place().clone());
        self.state = State::Opening(Box::pin(async move {
            if let Some(place) = unknown {
                target.check_spelling(&place).await?;
            }
            target
                .call(&methods::WATCH, request, |request| async {
                    target.state().watch(request).await
                })
                .await
        }));
    }

    fn end(&mut self, error: Error) {
        self.queue.push_back(Err(error));
        self.state = State::Ended;
    }

    /// The watch, or an attempt at it, is lost.
    fn lost(&mut self, error: Error) {
        if error.kind() == ErrorKind::FailedPrecondition && self.core.has_bookmark() {
            // Routine after a reboot: begin anew, at once.
            self.core.refused();
            self.state = State::Idle;
            return;
        }
        let stays = matches!(error.kind(), ErrorKind::InvalidArgument | ErrorKind::InvalidInput)
            || !self.established && !error.is_retriable();
        if stays {
            return self.end(error);
        }
        match self.pace.next(Instant::now()) {
            None => self.end(error),
            Some(delay) => {
                self.queue.push_back(Ok(WatchEvent::Interrupted(error)));
                self.state = State::Waiting(Box::pin(tokio::time::sleep(delay)));
            }
        }
    }

    fn message(&mut self, message: proto::WatchResponse, call: &CallInfo) {
        let queue = &mut self.queue;
        let mut end = None;
        self.core.message(message, |told| match told {
            Told::Event(event) => queue.push_back(Ok(event)),
            Told::Broken(broken) => queue.push_back(Err(call.broken(broken))),
            Told::Overrun(text) => end = Some((false, text)),
            Told::Nonsense(text) => end = Some((true, text.to_owned())),
        });
        if self.core.is_subscribed() {
            self.established = true;
            self.pace.settled();
        }
        match end {
            None => {}
            Some((true, text)) => self.end(call.malformed(text)),
            Some((false, text)) => {
                let error = call
                    .error(ErrorKind::Unavailable, Origin::Node)
                    .with_message(text);
                self.queue.push_back(Ok(WatchEvent::Interrupted(error)));
                // The bookmark is gone as well, so this begins anew.
                self.state = State::Idle;
            }
        }
    }
}

impl<T: Item> Stream for Watch<T> {
    type Item = Result<WatchEvent<T>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(event) = this.queue.pop_front() {
                return Poll::Ready(Some(event));
            }
            match &mut this.state {
                State::Ended => return Poll::Ready(None),
                State::Idle => this.open(),
                State::Waiting(sleep) => {
                    std::task::ready!(sleep.as_mut().poll(cx));
                    this.state = State::Idle;
                }
                State::Opening(opening) => match std::task::ready!(opening.as_mut().poll(cx)) {
                    Ok((stream, call)) => this.state = State::Open(Box::new(stream), call),
                    Err(error) => this.lost(error),
                },
                State::Open(stream, call) => {
                    let next = std::task::ready!(Pin::new(stream.as_mut()).poll_next(cx));
                    let call = call.clone();
                    match next {
                        Some(Ok(message)) => this.message(message, &call),
                        Some(Err(status)) => this.lost(call.fail(status)),
                        None => {
                            let error = call.error(ErrorKind::Unavailable, Origin::Node);
                            this.lost(error.with_message("the node has ended the watch"));
                        }
                    }
                }
            }
        }
    }
}

impl<T> fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("core", &self.core)
            .finish_non_exhaustive()
    }
}
