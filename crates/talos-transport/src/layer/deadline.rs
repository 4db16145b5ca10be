//! Limits the time of a call, see [`CallTimeout`], [`FirstResponseTimeout`] and [`IdleTimeout`].

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tokio::time::{Instant, sleep_until};
use tonic::Status;
use tower_layer::Layer;
use tower_service::Service;

use crate::body::{Idle, Limit, ResponseBody};
use crate::call::{CallTimeout, Deadline, FirstResponseTimeout, IdleTimeout, Progress};
use crate::error::TimeLimit;
use crate::retry::Attempts;

/// Puts [`DeadlineService`] around a service.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct DeadlineLayer {}

/// Ends calls whose time is over with `DEADLINE_EXCEEDED`. A call that has no time at all is not even begun.
#[derive(Debug, Clone)]
pub struct DeadlineService<S> {
    inner: S,
}

pin_project! {
    /// Future of [`DeadlineService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct DeadlineFuture<F> {
        // None if there was no time to begin the call.
        #[pin]
        inner: Option<F>,
        limit: Option<CallLimit>,
    }
}

struct CallLimit {
    /// What is watched now.
    limit: Limit,
    /// What is watched once the response has begun.
    whole: Option<(Instant, Duration)>,
    idle: Option<Duration>,
    progress: Progress,
    attempts: Attempts,
}

impl DeadlineLayer {
    /// The layer; what it does is decided by each call.
    pub const fn new() -> Self {
        Self {}
    }
}

impl<S> DeadlineService<S> {
    /// The service inside.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService { inner }
    }
}

impl<S, B> Service<Request<B>> for DeadlineService<S>
where
    S: Service<Request<B>, Response = Response<ResponseBody>, Error = Status>,
{
    type Response = Response<ResponseBody>;
    type Error = Status;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let limit = CallLimit::of(&mut request);
        if let Some(limit) = &limit {
            let told = limit.whole.map(|(at, _)| at);
            request.extensions_mut().insert(Deadline {
                told,
                progress: limit.progress.clone(),
            });
        }
        let has_time = limit.as_ref().is_none_or(|limit| !limit.limit.after.is_zero());
        DeadlineFuture {
            inner: has_time.then(|| self.inner.call(request)),
            limit,
        }
    }
}

impl CallLimit {
    fn of<B>(request: &mut Request<B>) -> Option<Self> {
        let asked = request.extensions().get().map(|CallTimeout(after)| *after);
        let header = request.headers().get(GRPC_TIMEOUT).and_then(parse_timeout);
        let first = request
            .extensions()
            .get()
            .map(|FirstResponseTimeout(after)| *after);
        let idle = request.extensions().get().map(|IdleTimeout(after)| *after);
        let now = Instant::now();
        let at = |after| (now.checked_add(after).unwrap_or(now + FAR_FUTURE), after);
        let whole = asked.into_iter().chain(header).min().map(at);
        let beginning = match (first, idle) {
            (Some(first), _) => Some((TimeLimit::FirstResponse, at(first))),
            (None, idle) => idle.map(|idle| (TimeLimit::Idle, at(idle))),
        };
        let all = whole
            .map(|whole| (TimeLimit::Call, whole))
            .into_iter()
            .chain(beginning);
        let (kind, (until, after)) = all.min_by_key(|(_, (until, _))| *until)?;
        let limit = Limit {
            sleep: Box::pin(sleep_until(until)),
            kind,
            after,
        };
        Some(Self {
            limit,
            whole,
            idle,
            progress: Progress::default(),
            attempts: Attempts::of(request),
        })
    }

    /// Goes on watching while the body is read.
    fn watch(self, body: &mut ResponseBody) {
        let Self { mut limit, whole, .. } = self;
        if let Some(idle) = self.idle {
            body.set_idle(Idle::new(idle));
        }
        if let Some((at, after)) = whole {
            limit.sleep.as_mut().reset(at);
            body.set_limit(Limit {
                kind: TimeLimit::Call,
                after,
                ..limit
            });
        }
    }
}

impl<F> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response<ResponseBody>, Status>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(inner) = this.inner.as_pin_mut()
            && let Poll::Ready(result) = inner.poll(cx)
        {
            return Poll::Ready(result.map(|mut response| {
                if let Some(limit) = this.limit.take() {
                    limit.watch(response.body_mut());
                }
                response
            }));
        }
        let Some(call) = this.limit else {
            return Poll::Pending;
        };
        ready!(call.limit.sleep.as_mut().poll(cx));
        let error = call
            .limit
            .error(call.progress.delivery(), call.attempts.previous());
        Poll::Ready(Err(error.into()))
    }
}

impl<F> std::fmt::Debug for DeadlineFuture<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadlineFuture")
            .field("after", &self.limit.as_ref().map(|limit| limit.limit.after))
            .finish_non_exhaustive()
    }
}

/// Tells the server how much time is left, rounded up to what eight digits can express.
pub(crate) fn write_timeout(headers: &mut HeaderMap, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    let (nanos, limit) = (left.as_nanos(), 99_999_999);
    let (unit, name) = UNITS
        .into_iter()
        .find(|(unit, _)| nanos.div_ceil(*unit) <= limit)
        .unwrap_or(UNITS[UNITS.len() - 1]);
    let text = format!("{}{name}", nanos.div_ceil(unit).min(limit));
    let value = HeaderValue::try_from(text).expect("digits and a letter are a header value");
    headers.insert(GRPC_TIMEOUT, value);
}

/// Reads a `grpc-timeout` value; nonsense is left to the server to complain about.
fn parse_timeout(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (digits, name) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (unit, _) = UNITS.into_iter().find(|(_, known)| *known == name)?;
    let nanos = digits.parse::<u128>().ok()? * unit;
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, (nanos % 1_000_000_000) as u32))
}

const GRPC_TIMEOUT: &str = "grpc-timeout";

/// Units of `grpc-timeout` in nanoseconds, finest first.
const UNITS: [(u128, &str); 6] = [
    (1, "n"),
    (1_000, "u"),
    (1_000_000, "m"),
    (1_000_000_000, "S"),
    (60_000_000_000, "M"),
    (3_600_000_000_000, "H"),
];

/// Stands in for limits beyond what the clock can express.
const FAR_FUTURE: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;
    use http_body_util::BodyExt as _;
    use tokio::time::sleep;

    use super::*;
    use crate::error::{Delivery, Error};

    /// Responds and ends the body after these times; keeps what it was asked.
    #[derive(Clone, Default)]
    struct Slow {
        headers: Duration,
        body: Duration,
        seen: Arc<Mutex<Option<Deadline>>>,
    }

    impl Service<Request<()>> for Slow {
        type Response = Response<ResponseBody>;
        type Error = Status;
        type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>>>>;

        fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<()>) -> Self::Future {
            *self.seen.lock().unwrap() = request.extensions().get().cloned();
            let Self { headers, body, .. } = self.clone();
            Box::pin(async move {
                sleep(headers).await;
                Ok(Response::new(ResponseBody::new(SlowBody(Box::pin(sleep(body))))))
            })
        }
    }

    struct SlowBody(Pin<Box<tokio::time::Sleep>>);

    impl http_body::Body for SlowBody {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
            self.0.as_mut().poll(cx).map(|()| None)
        }
    }

    /// Makes the call; returns how long it took and whether it timed out, as (milliseconds, limit in milliseconds).
    async fn call(slow: (u64, u64), request: Request<()>) -> (u128, Option<u128>, Option<Deadline>) {
        let (headers, body) = (Duration::from_millis(slow.0), Duration::from_millis(slow.1));
        let slow = Slow {
            headers,
            body,
            ..Slow::default()
        };
        let begin = Instant::now();
        let result = match DeadlineLayer::new().layer(slow.clone()).call(request).await {
            Ok(response) => response.into_body().collect().await.map(drop),
            Err(status) => Err(status),
        };
        let limit = result.err().map(|status| {
            assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
            match std::error::Error::source(&status).unwrap().downcast_ref() {
                Some(Error::Timeout { after, .. }) => after.as_millis(),
                other => panic!("{other:?}"),
            }
        });
        let seen = slow.seen.lock().unwrap().clone();
        (begin.elapsed().as_millis(), limit, seen)
    }

    fn request(call: Option<u64>, first: Option<u64>, header: Option<&str>) -> Request<()> {
        let mut request = Request::new(());
        if let Some(millis) = call {
            request
                .extensions_mut()
                .insert(CallTimeout(Duration::from_millis(millis)));
        }
        if let Some(millis) = first {
            request
                .extensions_mut()
                .insert(FirstResponseTimeout(Duration::from_millis(millis)));
        }
        if let Some(value) = header {
            request.headers_mut().insert(GRPC_TIMEOUT, value.parse().unwrap());
        }
        request
    }

    #[tokio::test(start_paused = true)]
    async fn each_limit_ends_what_it_is_for() {
        // Time to the headers, time of the body; the three limits; what it takes, and which limit ended it.
        for (slow, limits, expected) in [
            ((10, 1_000_000), (None, None, None), (1_000_010, None)),
            ((10, 20), (Some(31), None, None), (30, None)),
            ((10, 1000), (Some(30), None, None), (30, Some(30))),
            ((1000, 0), (Some(30), None, None), (30, Some(30))),
            ((1000, 0), (None, Some(30), None), (30, Some(30))),
            ((10, 1000), (None, Some(30), None), (1010, None)),
            ((10, 1000), (None, None, Some("30m")), (30, Some(30))),
            ((10, 1000), (Some(50), None, Some("30m")), (30, Some(30))),
            ((10, 1000), (Some(30), None, Some("50m")), (30, Some(30))),
            ((1000, 0), (Some(50), Some(30), None), (30, Some(30))),
            ((10, 1000), (Some(50), Some(30), None), (50, Some(50))),
            ((10, 1000), (Some(30), Some(50), None), (30, Some(30))),
        ] {
            let (call_limit, first, header) = limits;
            let (took, ended_by, _) = call(slow, request(call_limit, first, header)).await;
            assert_eq!((took, ended_by), expected, "{slow:?} {limits:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_limit_of_the_whole_call_is_for_the_server() {
        let told = |seen: Option<Deadline>| seen.and_then(|deadline| deadline.told);
        let at = |millis| Some(Instant::now() + Duration::from_millis(millis));
        let before = Instant::now();
        assert_eq!(told(call((0, 0), request(Some(30), None, None)).await.2), at(30));
        assert_eq!(
            told(call((0, 0), request(Some(30), Some(10), None)).await.2),
            at(30)
        );
        assert_eq!(told(call((0, 0), request(None, Some(10), None)).await.2), None);
        assert!(call((0, 0), request(None, None, None)).await.2.is_none());
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn limits_beyond_the_clock_are_no_limits() {
        let mut endless = Request::new(());
        endless.extensions_mut().insert(CallTimeout(Duration::MAX));
        assert_eq!(call((10, 10), endless).await.1, None);
    }

    #[test]
    fn progress_tells_whether_anything_can_have_been_sent() {
        let progress = Progress::default();
        assert_eq!(progress.delivery(), Delivery::NotSent);
        progress.clone().sending();
        assert_eq!(progress.delivery(), Delivery::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn timeouts_are_written_in_the_finest_unit_that_fits_and_never_too_short() {
        for (left, text) in [
            (Duration::ZERO, "0n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_millis(100), "100000u"),
            (Duration::from_secs(5), "5000000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(3_600), "3600000m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::from_secs(100_000_000), "1666667M"),
            (Duration::from_secs(6_000_000_000), "1666667H"),
        ] {
            let mut headers = HeaderMap::new();
            let Some(at) = Instant::now().checked_add(left) else {
                continue;
            };
            write_timeout(&mut headers, at);
            assert_eq!(headers[GRPC_TIMEOUT], text);
            let read = parse_timeout(&headers[GRPC_TIMEOUT]).unwrap();
            assert!(read >= left, "{text}");
        }
    }

    #[test]
    fn unreadable_timeouts_are_ignored() {
        for text in ["", "n", "5", "5x", "-5S", "123456789n", "5 S", "S5"] {
            assert_eq!(
                parse_timeout(&HeaderValue::from_str(text).unwrap()),
                None,
                "{text}"
            );
        }
        assert_eq!(
            parse_timeout(&HeaderValue::from_static("2H")),
            Some(Duration::from_secs(7200))
        );
    }
}
