//! One attempt of a call.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tokio::time::timeout;
use tonic::Status;
use tonic::body::Body;
use tower_service::Service;
use tracing::Instrument as _;

use super::trace::begun;
use crate::body::{ReplayBody, ResponseBody};
use crate::call::{AttemptTimeout, Deadline};
use crate::error::{Error, TimeLimit};
use crate::observe::Observed;
use crate::retry::{Attempts, RetryClass, class};

/// Counts an attempt, limits its time, and waits until its response can be handed on.
#[derive(Debug, Clone)]
pub(crate) struct AttemptService<S> {
    inner: S,
}

type AttemptFuture = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Status>> + Send>>;

impl<S> AttemptService<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner }
    }

    pub(super) fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S> Service<Request<ReplayBody>> for AttemptService<S>
where
    S: Service<Request<Body>, Response = Response<ResponseBody>, Error = Status>,
    S::Future: Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = Status;
    type Future = AttemptFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReplayBody>) -> Self::Future {
        let class = class(&request);
        let attempt = Attempts::of(&mut request).begin();
        request.extensions_mut().insert(attempt);
        let limit = AttemptLimit::of(&mut request);
        let observed = Observed::attempt(&request, attempt);
        #[cfg(feature = "metrics")]
        request.body_mut().count_sent(observed.meter());
        let span = observed.span().clone();
        let response = span.in_scope(|| self.inner.call(request.map(Body::new)));
        Box::pin(async move {
            // Pinned where it is made: it is large, and whatever it is handed to would have room for it as well.
            let attempt = pin!(
                async move {
                    let mut result = response.await;
                    if let Some((body, observed)) = begun(observed, &mut result) {
                        body.observe_attempt(observed);
                    }
                    if let Ok(response) = &mut result {
                        match class {
                            RetryClass::Repeatable => response.body_mut().hold_back(false).await?,
                            RetryClass::RepeatableUnary => response.body_mut().hold_back(true).await?,
                            RetryClass::RequestStream | RetryClass::Unprocessed => {}
                        }
                    }
                    result
                }
                .instrument(span)
            );
            match limit {
                None => attempt.await,
                Some(limit) => limit.watch(attempt).await,
            }
        })
    }
}

struct AttemptLimit {
    after: Duration,
    deadline: Deadline,
}

impl AttemptLimit {
    /// The limit of this attempt, which finds out by itself whether anything was sent.
    fn of<B>(request: &mut Request<B>) -> Option<Self> {
        let AttemptTimeout(after) = *request.extensions().get()?;
        let deadline = match request.extensions().get::<Deadline>() {
            Some(whole) => whole.of_attempt(),
            None => Deadline::default(),
        };
        request.extensions_mut().insert(deadline.clone());
        Some(Self { after, deadline })
    }

    async fn watch<R>(self, attempt: Pin<&mut impl Future<Output = Result<R, Status>>>) -> Result<R, Status> {
        match timeout(self.after, attempt).await {
            Ok(result) => result,
            Err(_) => Err(Status::from(Error::Timeout {
                limit: TimeLimit::Attempt,
                after: self.after,
                delivery: self.deadline.progress.delivery(),
                previous: None,
            })),
        }
    }
}
