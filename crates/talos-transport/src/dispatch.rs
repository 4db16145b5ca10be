//! The innermost service: gets a connection and sends the request on it.

use std::fmt;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tower_service::Service;

use crate::body::ResponseBody;
use crate::call::{AnsweredBy, Avoid, Deadline};
use crate::connect::Establish;
use crate::connection::{Observer, Peer, SendFailure};
use crate::error::Error;
use crate::examine::attended;
use crate::layer::write_timeout;
use crate::pool::{Flight, Picked, Pool};
use crate::status;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Dispatch {
    pool: Arc<Pool<Establish>>,
}

/// Future of [`Dispatch`].
pub(crate) struct DispatchFuture(
    Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Status>> + Send>>,
);

impl Dispatch {
    pub(crate) fn new(pool: Arc<Pool<Establish>>) -> Self {
        Self { pool }
    }
}

impl Service<Request<Body>> for Dispatch {
    type Response = Response<ResponseBody>;
    type Error = Status;
    type Future = DispatchFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let pool = Arc::clone(&self.pool);
        DispatchFuture(Box::pin(async move { send(&pool, &mut request).await }))
    }
}

impl Future for DispatchFuture {
    type Output = Result<Response<ResponseBody>, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for DispatchFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DispatchFuture")
    }
}

/// Sends a request, and once more on another connection if the first one turned out to be dead before anything of the
/// request was sent.
///
/// The request stays where it is until it is sent, as does all that is large: each function that it were handed to would have
/// room for it of its own, and a call's future would be three times as large.
async fn send(pool: &Pool<Establish>, request: &mut Request<Body>) -> Result<Response<ResponseBody>, Status> {
    let Avoid(avoid) = request.extensions().get().cloned().unwrap_or_default();
    let mut last = false;
    loop {
        let picked = pool.pick(&avoid).await.map_err(Error::from)?;
        match attempt(picked, pool.dial(), request).await {
            Ok(response) => return response,
            Err(SendFailure {
                error,
                returned: true,
            }) if !last => {
                tracing::debug!(
                    error = crate::error::chain(&error),
                    "connection lost before sending, trying again"
                );
                last = true;
            }
            Err(SendFailure { error, .. }) => return Err(error.into()),
        }
    }
}

/// Takes the request out of its place and sends it; if nothing was sent, it is put back.
async fn attempt(
    picked: Picked<Establish>,
    dial: &Arc<Establish>,
    request: &mut Request<Body>,
) -> Result<Result<Response<ResponseBody>, Status>, SendFailure> {
    let Picked {
        mut connection,
        alternatives,
        flight,
    } = picked;
    if let Some(Deadline { told, progress }) = request.extensions().get().cloned() {
        progress.sending();
        if let Some(at) = told {
            write_timeout(request.headers_mut(), at);
        }
    }
    let peer = Arc::clone(connection.peer());
    let watch = Watch::new(&peer.observer, &flight);
    let mut sending = pin!(connection.send(mem::take(request)));
    let sent = if alternatives {
        attended(sending, dial, &peer, &flight).await
    } else {
        sending.as_mut().await
    };
    watch.over();
    match sent {
        Ok(response) => Ok(accept(response, peer, flight)),
        Err(failure) => {
            let failure = peer.failure(failure, request);
            flight.failed(&failure.error);
            Err(failure)
        }
    }
}

/// Makes a response of ours out of the HTTP library's, or an error if it is none of gRPC or carries one.
fn accept(
    response: Response<Incoming>,
    peer: Arc<Peer>,
    flight: Flight<Establish>,
) -> Result<Response<ResponseBody>, Status> {
    let answered_by = AnsweredBy::new(peer.endpoint.clone());
    let headers = response.headers();
    if let Some(status) = status::failure(headers, || answered_by.clone()) {
        flight.answered();
        return Err(status);
    }
    let content_type = headers
        .get(CONTENT_TYPE)
        .map(|value| String::from_utf8_lossy(value.as_bytes()));
    if !content_type
        .as_ref()
        .is_some_and(|content_type| content_type.starts_with("application/grpc"))
    {
        let error = Error::NotGrpc {
            endpoint: peer.endpoint.clone(),
            status: response.status().as_u16(),
            content_type: content_type.map(|content_type| content_type.into_owned()),
        };
        flight.failed(&error);
        return Err(error.into());
    }
    flight.answered();
    let mut response = response.map(|incoming| ResponseBody::remote(incoming, peer, flight));
    response.extensions_mut().insert(answered_by);
    Ok(response)
}

/// Watches for connections that are half-open: the other side is gone, and nobody has said so.
///
/// A call that is given up before its response begins, after it has waited for [`SUSPICIOUS`] in which nothing at all
/// came from the server, leaves the connection suspect. It finishes what runs on it, and the next call makes a new one.
/// TCP itself finds out too, but takes longer.
struct Watch<'a> {
    observer: &'a Observer,
    flight: &'a Flight<Establish>,
    since: Instant,
    heard: u64,
    over: bool,
}

impl<'a> Watch<'a> {
    fn new(observer: &'a Observer, flight: &'a Flight<Establish>) -> Self {
        Self {
            observer,
            flight,
            since: Instant::now(),
            heard: observer.heard(),
            over: false,
        }
    }

    /// The call was not given up.
    fn over(mut self) {
        self.over = true;
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if !self.over && self.since.elapsed() >= SUSPICIOUS && self.observer.heard() == self.heard {
            self.flight.silent();
        }
    }
}

/// How long a connection may be silent while a call that is then given up waits for its response.
pub(crate) const SUSPICIOUS: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// How much room the future of such a function takes.
    fn room<'a, F: Future>(_: impl FnOnce(&'a Pool<Establish>, &'a mut Request<Body>) -> F) -> usize {
        size_of::<F>()
    }

    /// Allocators are slower above about 1 KiB. Another copy of the request, or of its response's future, is 240 bytes.
    #[test]
    fn a_call_has_room_for_one_request() {
        let boxed = room(send) + size_of::<Request<Body>>() + size_of::<Arc<Pool<Establish>>>();
        assert!(boxed <= 1_200, "{boxed} bytes");
    }
}
