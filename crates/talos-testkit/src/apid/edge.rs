//! The outermost part of an endpoint: what HTTP/2 brings in, checked as grpc-go checks it.

use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use talos_proto::methods;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;

use super::body::{Abort, OnEnd, RequestRelay, abort_on, compressed};
use super::frame::Encoding;
use super::{Apid, Client};
use crate::fault::{CallSite, Place};
use crate::record::Arrival;

impl Apid {
    /// Serves one HTTP/2 request of `client`, with the faults that it has at this endpoint.
    pub(crate) async fn handle(self, client: Client, request: Request<Incoming>) -> Response<Body> {
        if let Some(refusal) = not_grpc(&request) {
            return refusal;
        }
        let (mut parts, body) = request.into_parts();
        let roles = client.access.roles(&parts.headers);
        let path = parts.uri.path().to_owned();
        let arrival = Arrival {
            endpoint: &self.machine.identity.address.to_string(),
            method: &path,
            authority: parts.uri.authority().map(|authority| authority.as_str()),
            connection: client.connection,
            peer: client.peer,
        };
        let call = self.network.recorder.begin(arrival, &parts.headers, &roles);
        let end = OnEnd::new({
            let (call, began) = (call.clone(), Instant::now());
            let (path, node) = (path.clone(), value_of("node", &parts.headers));
            let endpoint = self.machine.identity.address;
            let roles = roles.iter().collect::<Vec<_>>().join(",");
            move |status| {
                call.ended(status.code(), status.message());
                tracing::debug!(
                    target: "talos_testkit::calls",
                    %endpoint, node, roles,
                    code = crate::text::code_name(status.code()),
                    message = status.message(),
                    took = ?began.elapsed(),
                    "{path}"
                );
            }
        });
        let encoding = match Encoding::of(&parts.headers) {
            _ if path.trim_start_matches('/').rsplit_once('/').is_none() => {
                let message = format!("malformed method name: {}", crate::text::go_quoted(&path));
                return end.observe(Status::unimplemented(message).into_http());
            }
            Ok(encoding) => encoding,
            Err(status) => return end.observe(status.into_http()),
        };
        let deadline = timeout(&parts.headers).map(|timeout| Instant::now() + timeout);
        parts.headers.remove("grpc-encoding");
        parts.headers.remove("grpc-accept-encoding");
        let on_message = {
            let call = call.clone();
            move |message: &bytes::Bytes| call.message(message)
        };
        let mut body = RequestRelay::new(body, encoding, on_message);
        let streams = methods::by_path(&path).is_none_or(|method| method.streaming.client_streams());
        let plan = self.network.faults.call(CallSite {
            place: Place::Endpoint,
            node: self.machine.index,
            from: None,
            path: &path,
        });
        let (access, link) = (client.access, client.link);
        let served = {
            let call = call.clone();
            async move {
                if !streams {
                    body.prefetch().await;
                }
                self.serve(access, call, Request::from_parts(parts, Body::new(body)))
                    .await
            }
        };
        let served = async move {
            let response = match deadline {
                None => served.await,
                Some(deadline) => abort_on(served, expiry(deadline)).await,
            };
            let response = end.observe(response);
            if encoding == Encoding::Gzip {
                compressed(response)
            } else {
                response
            }
        };
        match plan {
            None => served.await,
            Some(plan) => {
                let notice = move |status: &Status| call.ended(status.code(), status.message());
                plan.run(served, link, Box::new(notice)).await
            }
        }
    }
}

/// The first value of `key`, for logs.
fn value_of(key: &str, headers: &HeaderMap) -> String {
    let value = headers
        .get(key)
        .map(|value| String::from_utf8_lossy(value.as_bytes()));
    value.unwrap_or_default().into_owned()
}

/// What grpc-go answers to requests that are no gRPC calls.
fn not_grpc(request: &Request<Incoming>) -> Option<Response<Body>> {
    let content_type = request.headers().get(http::header::CONTENT_TYPE);
    let status = if request.method() != Method::POST {
        StatusCode::METHOD_NOT_ALLOWED
    } else if !content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    } else {
        return None;
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    Some(response)
}

fn expiry(deadline: Instant) -> Abort {
    Box::pin(async move {
        tokio::time::sleep_until(deadline).await;
        Status::deadline_exceeded("context deadline exceeded")
    })
}

/// Reads `grpc-timeout`: up to eight digits and a unit.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let value: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn timeouts_have_units() {
        let cases = [
            ("1H", Some(Duration::from_secs(3600))),
            ("20S", Some(Duration::from_secs(20))),
            ("100m", Some(Duration::from_millis(100))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("5", None),
            ("S", None),
            ("", None),
            ("123456789S", None),
            ("1x", None),
        ];
        for (text, expected) in cases {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-timeout"),
                HeaderValue::from_static(text),
            )]);
            assert_eq!(timeout(&headers), expected, "{text}");
        }
    }
}
