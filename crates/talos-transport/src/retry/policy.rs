//! The policy behind the retry layer.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tokio::time::Sleep;
use tonic::Status;
use tower::retry::Policy;
use tower::retry::backoff::Backoff as _;
use tower::retry::budget::{Budget as _, TpsBudget};

use super::backoff::{Backoff, SharedRng, backoff};
use super::classify::{Transient, transient};
use super::{Attempts, MaxAttempts, RetryClass, RetryConfig};
use crate::body::{ReplayBody, ResponseBody};
use crate::call::Avoid;

/// Decides about another attempt. Clones share the budget; the waits are those of one call.
#[derive(Clone)]
pub(crate) struct RetryPolicy {
    shared: Arc<Shared>,
    waits: Option<Backoff>,
}

struct Shared {
    config: RetryConfig,
    budget: Option<TpsBudget>,
    rng: SharedRng,
}

/// The wait before the next attempt.
pub(crate) struct Wait(Option<Pin<Box<Sleep>>>);

impl RetryPolicy {
    pub(crate) fn new(config: RetryConfig) -> Self {
        let budget = config.budget.map(|(per_second, share)| {
            let share = if share.is_nan() {
                0.0
            } else {
                share.clamp(0.0, 1.0)
            };
            // The crate panics at more than this.
            TpsBudget::new(BUDGET_PERIOD, per_second.min(MAX_PER_SECOND), share)
        });
        Self {
            shared: Arc::new(Shared {
                config,
                budget,
                rng: SharedRng::new(),
            }),
            waits: None,
        }
    }

    /// Counts a call, which adds to the budget.
    pub(crate) fn deposit(&self) {
        if let Some(budget) = &self.shared.budget {
            budget.deposit();
        }
    }

    fn config<B>(&self, request: &Request<B>) -> RetryConfig {
        let extensions = request.extensions();
        let config = extensions.get::<RetryConfig>().unwrap_or(&self.shared.config);
        match extensions.get() {
            Some(MaxAttempts(attempts)) => config.max_attempts(*attempts),
            None => *config,
        }
    }

    /// Whether the call may be made again after this failure, and if not, why.
    fn permit(
        &self,
        config: &RetryConfig,
        attempts: &Attempts,
        failure: &Transient<'_>,
        request: &mut Request<ReplayBody>,
    ) -> Result<(), &'static str> {
        let class = class(request);
        if !failure.unprocessed && !class.is_repeatable() {
            return Err("it may have taken effect");
        }
        if attempts.count() >= config.max_attempts {
            return Err("it has had all its attempts");
        }
        if failure.cause.is_unreachable() && attempts.begun().elapsed() > config.window {
            return Err("too much time has passed for something that cannot be reached");
        }
        if !request.body_mut().take_over() {
            return Err("the request is not kept");
        }
        match &self.shared.budget {
            Some(budget) if failure.cause.is_charged() && !budget.withdraw() => {
                Err("the retry budget is used up")
            }
            _ => Ok(()),
        }
    }

    fn wait(&mut self, config: &RetryConfig, attempts: &Attempts, failure: &Transient<'_>) -> Wait {
        if attempts.count() == 1 && failure.cause.retry_at_once() {
            return Wait(None);
        }
        let shared = &self.shared;
        let waits = self.waits.get_or_insert_with(|| backoff(config, &shared.rng));
        Wait(Some(Box::pin(waits.next_backoff())))
    }
}

impl Policy<Request<ReplayBody>, Response<ResponseBody>, Status> for RetryPolicy {
    type Future = Wait;

    fn retry(
        &mut self,
        request: &mut Request<ReplayBody>,
        result: &mut Result<Response<ResponseBody>, Status>,
    ) -> Option<Wait> {
        let Err(status) = result else {
            return None;
        };
        let failure = transient(status)?;
        let attempts = request.extensions().get::<Attempts>()?.clone();
        let config = self.config(request);
        let attempt = attempts.count();
        let cause = failure.cause.as_str();
        if let Err(reason) = self.permit(&config, &attempts, &failure, request) {
            tracing::debug!(attempt, cause, reason, "the call is not made again");
            return None;
        }
        if let Some(endpoint) = failure.endpoint {
            let mut avoid = request.extensions_mut().remove::<Avoid>().unwrap_or_default();
            if !avoid.0.contains(endpoint) {
                avoid.0.push(endpoint.clone());
            }
            request.extensions_mut().insert(avoid);
        }
        attempts.failed(status);
        tracing::debug!(attempt, cause, "the call is made again");
        #[cfg(feature = "metrics")]
        crate::metrics::retried(cause);
        Some(self.wait(&config, &attempts, &failure))
    }

    fn clone_request(&mut self, request: &Request<ReplayBody>) -> Option<Request<ReplayBody>> {
        (self.config(request).max_attempts > 1).then(|| request.clone())
    }
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Ready(()),
        }
    }
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

pub(crate) fn class<B>(request: &Request<B>) -> RetryClass {
    request.extensions().get().copied().unwrap_or_default()
}

/// Over which the retries per second are averaged.
const BUDGET_PERIOD: Duration = Duration::from_secs(10);
/// As good as no limit, and far from overflowing in the budget's arithmetic.
const MAX_PER_SECOND: u32 = 1_000_000;
