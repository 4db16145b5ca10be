//! Carrying faults out: around a call, and around the body of its reply.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::Frame;
use tokio::time::Sleep;
use tonic::Status;
use tonic::body::Body;

use super::CallFault;
use super::call::After;
use super::ending::{Abrupt, Ending};
use crate::apid::body::trailers;
use crate::apid::frame::frame;
use crate::network::link::Link;

/// What is to happen to one call.
#[derive(Debug, Default)]
pub(crate) struct CallPlan {
    delay: Duration,
    pace: Duration,
    messages: Vec<Bytes>,
    ending: Option<Ending>,
    after: After,
    go_away: bool,
}

/// Clients that do not read keep a fault from happening for this long at most.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Who hears of an ending that a fault causes.
pub(crate) type Notice = Box<dyn FnOnce(&Status) + Send>;

impl CallPlan {
    /// Adds what `fault` does; says whether it settles the matter.
    pub(super) fn add(&mut self, fault: &CallFault) -> bool {
        self.delay += fault.delay;
        self.pace += fault.pace;
        self.go_away |= fault.go_away;
        if fault.ending.is_none() && fault.messages.is_empty() {
            return false;
        }
        self.messages = fault.messages.clone();
        self.ending = fault.ending.clone();
        self.after = fault.after;
        true
    }

    /// Carries the plan out where nobody sees the connection: endings arrive as `apid` relays them.
    pub(crate) async fn relay(self, call: impl Future<Output = Response<Body>>) -> Response<Body> {
        let plan = Self {
            ending: self.ending.map(|ending| match ending.relayed() {
                Some(status) => Ending::Status(status),
                None => Ending::Hang,
            }),
            go_away: false,
            ..self
        };
        plan.run(call, None, Box::new(|_| {})).await
    }

    /// Carries the plan out on `link`. `notice` learns of an ending of the plan's own making.
    pub(crate) async fn run(
        self,
        call: impl Future<Output = Response<Body>>,
        link: Option<Arc<Link>>,
        notice: Notice,
    ) -> Response<Body> {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        if let Some(link) = link.as_ref().filter(|_| self.go_away) {
            link.go_away();
        }
        let (limit, ends_before) = match (self.after, &self.ending) {
            (After::Nothing, Some(_)) => (Limit::Bytes(0), true),
            // Without an ending, messages alone are added at the end.
            (After::Nothing, None) => (Limit::Never, false),
            (After::Messages(count), _) => (Limit::Messages(count), false),
            (After::Bytes(count), _) => (Limit::Bytes(count), false),
        };
        let response = if ends_before { None } else { Some(call.await) };
        if self.ending.is_none() && self.messages.is_empty() && self.pace.is_zero() {
            return response.unwrap_or_else(|| Response::new(Body::empty()));
        }
        let trailers_only = |response: &Response<Body>| response.headers().contains_key(Status::GRPC_STATUS);
        let (parts, inner) = match response {
            // Nothing of this call's own is to be seen.
            None => grpc_response().into_parts(),
            Some(response) if trailers_only(&response) && !limit.is_zero() => return response,
            Some(response) if trailers_only(&response) => grpc_response().into_parts(),
            Some(response) => response.into_parts(),
        };
        if limit.is_zero() && self.messages.is_empty() {
            match &self.ending {
                Some(Ending::Status(status)) => {
                    notice(status);
                    return status.clone().into_http();
                }
                Some(Ending::Reset(code)) => {
                    notice(&self_made(&Ending::Reset(*code)));
                    return abrupt(Abrupt::Reset(*code));
                }
                Some(Ending::Disconnect) => {
                    notice(&self_made(&Ending::Disconnect));
                    return abrupt(Abrupt::Disconnect);
                }
                // The reply's headers come with its first message.
                Some(Ending::Hang) => return std::future::pending().await,
                None => {}
            }
        }
        let body = FaultyBody {
            inner: (!limit.is_zero()).then_some(inner),
            limit,
            meter: Meter::default(),
            messages: self.messages.into_iter(),
            ending: self.ending,
            pace: self.pace,
            pacer: Meter::default(),
            pause: None,
            held: Bytes::new(),
            finished: false,
            flush: None,
            link,
            notice: Some(notice),
        };
        Response::from_parts(parts, Body::new(body))
    }
}

fn grpc_response() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, tonic::metadata::GRPC_CONTENT_TYPE);
    response
}

fn abrupt(ending: Abrupt) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(ending);
    response
}

/// The status that records show for an ending that clients see as no status.
fn self_made(ending: &Ending) -> Status {
    ending
        .relayed()
        .unwrap_or_else(|| Status::unknown("the call hangs"))
}

/// Where the reply is cut.
#[derive(Debug, Clone, Copy)]
enum Limit {
    Never,
    Messages(u64),
    Bytes(u64),
}

impl Limit {
    const fn is_zero(self) -> bool {
        matches!(self, Self::Messages(0) | Self::Bytes(0))
    }
}

/// Counts messages and bytes of a body of length-prefixed frames.
#[derive(Debug, Default)]
struct Meter {
    bytes: u64,
    messages: u64,
    header: Vec<u8>,
    /// Bytes of the current message that are still to come.
    missing: u64,
}

impl Meter {
    /// Takes `data` in up to `limit` and returns how much of it is within; `None` for all of it.
    fn admit(&mut self, data: &[u8], limit: Limit) -> Option<usize> {
        if let Limit::Bytes(limit) = limit {
            let room = usize::try_from(limit - self.bytes).unwrap_or(usize::MAX);
            self.bytes += room.min(data.len()) as u64;
            return (data.len() >= room).then_some(room);
        }
        let mut position = 0;
        while position < data.len() {
            if self.missing == 0 {
                let wanted = 5 - self.header.len();
                let taken = wanted.min(data.len() - position);
                self.header.extend_from_slice(&data[position..position + taken]);
                position += taken;
                let Some((_, length)) = self.header.split_first_chunk::<1>() else {
                    continue;
                };
                let Ok(length) = <[u8; 4]>::try_from(length) else {
                    continue;
                };
                self.header.clear();
                self.missing = u64::from(u32::from_be_bytes(length));
            } else {
                let rest = (data.len() - position) as u64;
                let taken = rest.min(self.missing);
                self.missing -= taken;
                position += usize::try_from(taken).unwrap_or(usize::MAX);
            }
            if self.missing == 0 && self.header.is_empty() {
                self.messages += 1;
                if matches!(limit, Limit::Messages(limit) if self.messages >= limit) {
                    return Some(position);
                }
            }
        }
        None
    }
}

/// The body of a reply with a fault in it.
struct FaultyBody {
    /// `None` once the limit is reached.
    inner: Option<Body>,
    limit: Limit,
    meter: Meter,
    messages: std::vec::IntoIter<Bytes>,
    ending: Option<Ending>,
    pace: Duration,
    pacer: Meter,
    pause: Option<Pin<Box<Sleep>>>,
    /// Data that waits for a pause to end.
    held: Bytes,
    /// Whether the trailers are out.
    finished: bool,
    /// How many bytes the connection has to have written before it may break, and how long to wait for it.
    flush: Option<(u64, Pin<Box<Sleep>>)>,
    link: Option<Arc<Link>>,
    notice: Option<Notice>,
}

impl FaultyBody {
    fn admitted(&mut self, data: Bytes) -> Bytes {
        match self.meter.admit(&data, self.limit) {
            None => data,
            Some(within) => {
                self.inner = None;
                data.slice(..within)
            }
        }
    }

    /// What is held, up to the end of its first message.
    fn next_held(&mut self) -> Bytes {
        let next = Limit::Messages(self.pacer.messages + 1);
        let end = self.pacer.admit(&self.held, next).unwrap_or(self.held.len());
        self.held.split_to(end)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.finished {
            return Poll::Ready(None);
        }
        if let Some(message) = self.messages.next() {
            return Poll::Ready(Some(Ok(Frame::data(frame(&message)))));
        }
        let ending = match &self.ending {
            // Messages were all there was to add.
            None => Ending::Status(Status::new(tonic::Code::Ok, "")),
            Some(ending) => ending.clone(),
        };
        if let (Ending::Reset(_) | Ending::Disconnect, Some(link)) = (&ending, &self.link) {
            // What came before the ending is not to be lost with it.
            let flush = || (link.queued(), Box::pin(tokio::time::sleep(FLUSH_TIMEOUT)));
            let (target, timeout) = self.flush.get_or_insert_with(flush);
            if timeout.as_mut().poll(cx).is_pending() {
                ready!(link.poll_written(cx, *target));
            }
        }
        if let (Some(notice), false) = (self.notice.take(), matches!(ending, Ending::Hang)) {
            notice(&self_made(&ending));
        }
        match ending {
            Ending::Status(status) => {
                self.finished = true;
                Poll::Ready(Some(Ok(Frame::trailers(trailers(&status)))))
            }
            Ending::Reset(code) => {
                self.finished = true;
                let mut status = Status::internal("stream reset by a fault");
                // hyper takes the code of the reset from there.
                status.set_source(Arc::new(h2::Error::from(h2::Reason::from(code))));
                Poll::Ready(Some(Err(status)))
            }
            Ending::Disconnect => {
                if let Some(link) = &self.link {
                    link.cut();
                }
                Poll::Pending
            }
            Ending::Hang => Poll::Pending,
        }
    }
}

impl http_body::Body for FaultyBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            if let Some(pause) = &mut this.pause {
                ready!(pause.as_mut().poll(cx));
                this.pause = None;
                return Poll::Ready(Some(Ok(Frame::data(this.next_held()))));
            }
            if !this.held.is_empty() {
                this.pause = Some(Box::pin(tokio::time::sleep(this.pace)));
                continue;
            }
            let Some(inner) = &mut this.inner else {
                return this.poll_end(cx);
            };
            let data = match ready!(Pin::new(inner).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.admitted(data),
                    // Messages that are to be added come before the end, whichever it is.
                    Err(_) if matches!(this.limit, Limit::Never) && this.messages.len() > 0 => {
                        this.inner = None;
                        continue;
                    }
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            };
            if data.is_empty() {
                continue;
            }
            if this.pace.is_zero() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            this.held = data;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lengths of what passes when `wire` comes in pieces of `size` bytes.
    fn passes(wire: &[u8], size: usize, limit: Limit) -> usize {
        let mut meter = Meter::default();
        let mut passed = 0;
        for piece in wire.chunks(size) {
            match meter.admit(piece, limit) {
                None => passed += piece.len(),
                Some(within) => return passed + within,
            }
        }
        passed
    }

    #[test]
    fn limits_fall_where_they_should_however_the_body_is_cut() {
        let wire = [frame(b"one"), frame(b""), frame(&[7; 300])].concat();
        for size in [1, 2, 3, 5, 8, 64, wire.len()] {
            assert_eq!(passes(&wire, size, Limit::Messages(1)), 8, "{size}");
            assert_eq!(passes(&wire, size, Limit::Messages(2)), 13, "{size}");
            assert_eq!(passes(&wire, size, Limit::Messages(3)), 318, "{size}");
            assert_eq!(passes(&wire, size, Limit::Messages(4)), 318, "{size}");
            assert_eq!(passes(&wire, size, Limit::Bytes(1)), 1, "{size}");
            assert_eq!(passes(&wire, size, Limit::Bytes(100)), 100, "{size}");
            assert_eq!(passes(&wire, size, Limit::Bytes(9_999)), 318, "{size}");
            assert_eq!(passes(&wire, size, Limit::Never), 318, "{size}");
        }
    }
}
