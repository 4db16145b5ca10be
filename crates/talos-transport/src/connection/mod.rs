//! One HTTP/2 connection that many calls share.

mod classify;
mod observe;

use std::sync::{Arc, Mutex, PoisonError};

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::{oneshot, watch};
use tonic::body::Body;

use self::classify::was_left_out;
pub(crate) use self::classify::{call_error, close_reason};
use self::observe::ObservedIo;
pub(crate) use self::observe::Observer;
use crate::Endpoint;
use crate::connect::{BoxedIo, ConnectReason};
use crate::error::{CloseReason, Delivery, Error};
use crate::examine::Examination;
use crate::pool::Pooled;

/// A handle to a connection. Clones share it; it ends when the last handle and the last call on it are gone.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    send: SendRequest<Body>,
    peer: Arc<Peer>,
    /// Fails when the connection has ended.
    ended: watch::Receiver<()>,
}

/// The other side of a connection, and what is known about its end.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) endpoint: Endpoint,
    pub(crate) observer: Observer,
    /// The generation of the TLS settings it was made with; `None` without TLS.
    pub(crate) generation: Option<u64>,
    pub(crate) examination: Examination,
    /// Ends the byte stream.
    end: Mutex<Option<oneshot::Sender<()>>>,
    scheme: Scheme,
    authority: Authority,
}

/// A request that failed.
pub(crate) struct SendFailure {
    pub(crate) error: Error,
    /// Nothing of it was sent, and it is back in its place.
    pub(crate) returned: bool,
}

impl Connection {
    /// Starts HTTP/2 on a byte stream and waits until the server has said hello.
    ///
    /// The server's first frame comes after it has checked our certificate, so a refusal of TLS 1.3, which has no
    /// place in the handshake itself, still ends up as a failure to connect and not as a failure of the first call.
    ///
    /// `generation` is that of the TLS settings the stream was made with; `None` if it is not encrypted.
    pub(crate) async fn open(
        io: BoxedIo,
        endpoint: &Endpoint,
        authority: &str,
        generation: Option<u64>,
    ) -> Result<Self, ConnectReason> {
        let authority = Authority::try_from(authority).expect("endpoints have valid authorities");
        let scheme = if generation.is_some() {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        };
        let observer = Observer::default();
        let (io, opened, end) = ObservedIo::new(io, observer.clone());
        let peer = Peer {
            endpoint: endpoint.clone(),
            observer: observer.clone(),
            generation,
            examination: Examination::default(),
            end: Mutex::new(Some(end)),
            scheme,
            authority,
        };
        let (send, connection) = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEADER_LIST_SIZE)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|_| observer.connect_reason())?;
        let (alive, ended) = watch::channel(());
        tokio::spawn(async move {
            let _alive = alive;
            if let Err(error) = connection.await
                && let Some(reason) = close_reason(&error)
            {
                observer.record(reason);
            }
        });
        opened.wait().await?;
        Ok(Self {
            send,
            peer: Arc::new(peer),
            ended,
        })
    }

    pub(crate) fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// Sends a request now; the future waits for the response headers. What a failure means, [`Peer::failure`] tells.
    ///
    /// The future is what the HTTP library makes, without another one around it, because each call has room for it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future resets the HTTP/2 stream; the connection stays usable.
    pub(crate) fn send(
        &mut self,
        mut request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Body>>>> + use<> {
        *request.uri_mut() = self.absolute(request.uri());
        self.send.try_send_request(request)
    }

    fn absolute(&self, uri: &Uri) -> Uri {
        let path = uri
            .path_and_query()
            .cloned()
            .unwrap_or_else(|| PathAndQuery::from_static("/"));
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.peer.scheme.clone());
        parts.authority = Some(self.peer.authority.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).expect("scheme, authority and path make a URI")
    }
}

impl Peer {
    /// What it means that a request could not be sent, or was not answered. One that was never sent is put into `place`.
    pub(crate) fn failure(
        &self,
        mut failure: TrySendError<Request<Body>>,
        place: &mut Request<Body>,
    ) -> SendFailure {
        let unsent = failure.take_message();
        let returned = unsent.map(|request| *place = request).is_some();
        let delivery = if returned {
            Delivery::NotSent
        } else if was_left_out(failure.error()) {
            Delivery::Refused
        } else {
            Delivery::Unknown
        };
        SendFailure {
            error: call_error(failure.error(), self, delivery),
            returned,
        }
    }

    /// Ends the connection and all calls on it, for this reason.
    pub(crate) fn give_up(&self, reason: CloseReason) {
        self.observer.record(reason);
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Without a receiver, it has ended already.
        let _ = end.map(|end| end.send(()));
    }
}

impl Pooled for Connection {
    fn is_closed(&self) -> bool {
        self.send.is_closed()
    }

    fn closed(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut ended = self.ended.clone();
        async move { while ended.changed().await.is_ok() {} }
    }
}

/// How much of one response may be under way, unread: what Talos's own client allows.
const STREAM_WINDOW: u32 = 65_535 * 32;

/// How much of all responses together may be under way, unread: everything HTTP/2 can express.
///
/// Talos's own client announces 1 MiB here but renews it as data arrives, read or not. Ours is renewed only as data is
/// read; with 1 MiB a single log stream nobody reads at the moment would block every other call on the connection.
/// Memory stays bounded by the window of each stream.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// Limit for the headers or trailers of a response, in bytes. Error texts travel in trailers, and machined's can be
/// long.
const MAX_HEADER_LIST_SIZE: u32 = 256 * 1024;
