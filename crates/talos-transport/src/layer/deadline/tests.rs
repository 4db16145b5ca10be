//! The layer alone, with a paused clock.

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
