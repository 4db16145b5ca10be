//! The layer that asks a [`RequestSigner`].

use std::error::Error as _;
use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{HeaderMap, Request, Response};
use pin_project_lite::pin_project;
use tonic::body::Body;
use tonic::{Code, Status};
use tower_layer::Layer;
use tower_service::Service;

use super::tape::Tape;
use super::{AfterRefusal, AnySigner, Refusal, RequestSigner, SignError, Unsigned};
use crate::body::ResponseBody;
use crate::call::AnsweredBy;
use crate::error::Error;

/// Puts [`SignService`] around a service.
#[derive(Debug, Clone, Default)]
pub struct SignLayer {
    signer: Option<AnySigner>,
}

/// Signs requests, see [`RequestSigner`].
///
/// Whatever changes metadata belongs outside of it, and so does whatever repeats requests. Without a signer requests
/// pass as they are.
#[derive(Debug, Clone)]
pub struct SignService<S> {
    inner: S,
    signer: Option<AnySigner>,
}

pin_project! {
    /// Future of [`SignService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct SignFuture<F> {
        #[pin]
        inner: Inner<F>,
    }
}

pin_project! {
    #[project = InnerProjected]
    enum Inner<F> {
        Plain {
            #[pin]
            inner: F,
        },
        Signed {
            inner: Pin<Box<dyn Future<Output = Outcome> + Send>>,
        },
    }
}

type Outcome = Result<Response<ResponseBody>, Status>;

impl SignLayer {
    /// Signs with this signer.
    pub fn new(signer: impl RequestSigner) -> Self {
        Self {
            signer: Some(AnySigner::new(signer)),
        }
    }

    pub(crate) fn from_option(signer: Option<AnySigner>) -> Self {
        Self { signer }
    }
}

impl<S> SignService<S> {
    /// The service inside.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S> Layer<S> for SignLayer {
    type Service = SignService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SignService {
            inner,
            signer: self.signer.clone(),
        }
    }
}

impl<S> Service<Request<Body>> for SignService<S>
where
    S: Service<Request<Body>, Response = Response<ResponseBody>, Error = Status> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<ResponseBody>;
    type Error = Status;
    type Future = SignFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some(signer) = self.signer.clone() else {
            let inner = self.inner.call(request);
            return SignFuture {
                inner: Inner::Plain { inner },
            };
        };
        // The one that was polled ready is the one to call.
        let unpolled = self.inner.clone();
        let ready = mem::replace(&mut self.inner, unpolled);
        let inner = Box::pin(send(signer, ready, request));
        SignFuture {
            inner: Inner::Signed { inner },
        }
    }
}

impl<F> Future for SignFuture<F>
where
    F: Future<Output = Outcome>,
{
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        match self.project().inner.project() {
            InnerProjected::Plain { inner } => inner.poll(cx),
            InnerProjected::Signed { inner } => inner.as_mut().poll(cx),
        }
    }
}

impl<F> fmt::Debug for SignFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignFuture")
    }
}

/// Signs and sends a request, and does so once more if the signer asks for it after a refusal.
async fn send<S>(signer: AnySigner, mut inner: S, request: Request<Body>) -> Outcome
where
    S: Service<Request<Body>, Response = Response<ResponseBody>, Error = Status>,
{
    let (parts, body) = request.into_parts();
    let headers = sign(&signer, &parts).await?;
    let (tape, body) = Tape::record(body);
    let status = match inner.call(with_headers(parts.clone(), &headers, body)).await {
        Err(status) if is_refusal(&status) => status,
        outcome => return outcome,
    };
    let refusal = Refusal {
        path: parts.uri.path(),
        headers: &headers,
        message: status.message(),
    };
    let failed = |source| Error::Signing(SignError::after_refusal(source, status.message()));
    let again = signer.0.on_unauthenticated(refusal).await.map_err(failed)?;
    if again == AfterRefusal::GiveUp {
        return Err(status);
    }
    let Some(body) = tape.rewind() else {
        return Err(status);
    };
    tracing::debug!(
        rpc.path = parts.uri.path(),
        "the signature was refused, signing once more"
    );
    let unsigned = Unsigned {
        path: parts.uri.path(),
        metadata: &parts.headers,
    };
    let headers = signer.0.sign(unsigned).await.map_err(failed)?;
    poll_fn(|cx| inner.poll_ready(cx)).await?;
    inner.call(with_headers(parts, &headers, body)).await
}

async fn sign(signer: &AnySigner, parts: &Parts) -> Result<HeaderMap, Error> {
    let unsigned = Unsigned {
        path: parts.uri.path(),
        metadata: &parts.headers,
    };
    let signed = signer.0.sign(unsigned).await;
    signed.map_err(|source| Error::Signing(SignError::before_sending(source)))
}

/// The request with these headers in place of those of the same names.
fn with_headers(mut parts: Parts, headers: &HeaderMap, body: Body) -> Request<Body> {
    for name in headers.keys() {
        parts.headers.remove(name);
        for value in headers.get_all(name) {
            parts.headers.append(name, value.clone());
        }
    }
    Request::from_parts(parts, body)
}

/// Whether a server, and not something on the way to it, says that it does not know the caller.
fn is_refusal(status: &Status) -> bool {
    status.code() == Code::Unauthenticated && status.source().is_some_and(|source| source.is::<AnsweredBy>())
}

#[cfg(test)]
mod tests;
