//! The innermost service: gets a connection and sends the request on it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::CONTENT_TYPE;
use http::{Request, Response};
use hyper::body::Incoming;
use tonic::Status;
use tonic::body::Body;
use tower_service::Service;

use crate::body::ResponseBody;
use crate::call::{AnsweredBy, Deadline, GiveBack};
use crate::connect::Establish;
use crate::connection::{Connection, Peer};
use crate::error::Error;
use crate::layer::write_timeout;
use crate::pool::Pool;
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
    pub(crate) fn new(pool: Pool<Establish>) -> Self {
        Self { pool: Arc::new(pool) }
    }

    pub(crate) fn pool(&self) -> &Pool<Establish> {
        &self.pool
    }
}

impl Service<Request<Body>> for Dispatch {
    type Response = Response<ResponseBody>;
    type Error = Status;
    type Future = DispatchFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let pool = Arc::clone(&self.pool);
        DispatchFuture(Box::pin(async move { send(&pool, request).await }))
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

/// Sends a request, and once more on a fresh connection if the first one turned out to be dead before anything of the
/// request was sent.
async fn send(pool: &Pool<Establish>, request: Request<Body>) -> Result<Response<ResponseBody>, Status> {
    let give_back = request.extensions().get::<GiveBack>().cloned();
    let returned = |request, error: Error| {
        if let Some(give_back) = give_back {
            give_back.put(request);
        }
        Err(error.into())
    };
    let mut connection = match pool.connection().await {
        Ok(connection) => connection,
        Err(error) => return returned(request, error.into()),
    };
    let failure = match attempt(&mut connection, request).await {
        Ok(response) => return accept(response, connection.peer()),
        Err(failure) => failure,
    };
    let Some(request) = failure.request else {
        return Err(failure.error.into());
    };
    tracing::debug!(server.address = %connection.peer().endpoint, "connection lost before sending, trying again");
    let mut connection = match pool.connection().await {
        Ok(connection) => connection,
        Err(error) => return returned(request, error.into()),
    };
    match attempt(&mut connection, request).await {
        Ok(response) => accept(response, connection.peer()),
        Err(failure) => match failure.request {
            Some(request) => returned(request, failure.error),
            None => Err(failure.error.into()),
        },
    }
}

async fn attempt(
    connection: &mut Connection,
    mut request: Request<Body>,
) -> Result<Response<Incoming>, crate::connection::SendFailure> {
    if let Some(Deadline { told, progress }) = request.extensions().get().cloned() {
        progress.sending();
        if let Some(at) = told {
            write_timeout(request.headers_mut(), at);
        }
    }
    connection.send(request).await
}

/// Makes a response of ours out of the HTTP library's, or an error if it is none of gRPC or carries one.
fn accept(response: Response<Incoming>, peer: &Arc<Peer>) -> Result<Response<ResponseBody>, Status> {
    let answered_by = AnsweredBy::new(peer.endpoint.clone());
    let headers = response.headers();
    if let Some(status) = status::failure(headers, || answered_by.clone()) {
        return Err(status);
    }
    let content_type = headers
        .get(CONTENT_TYPE)
        .map(|value| String::from_utf8_lossy(value.as_bytes()));
    if !content_type
        .as_ref()
        .is_some_and(|content_type| content_type.starts_with("application/grpc"))
    {
        return Err(Status::from(Error::NotGrpc {
            endpoint: peer.endpoint.clone(),
            status: response.status().as_u16(),
            content_type: content_type.map(|content_type| content_type.into_owned()),
        }));
    }
    let mut response = response.map(|incoming| ResponseBody::remote(incoming, Arc::clone(peer)));
    response.extensions_mut().insert(answered_by);
    Ok(response)
}
