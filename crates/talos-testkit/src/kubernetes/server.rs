//! Connections to the Kubernetes API: accepting, TLS, HTTP, and the way of a request.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::api::{self, Reply, Request};
use super::auth::{self, User};
use super::core::Kubernetes;
use super::failure::Failure;
use super::fault::KubeEnding;
use super::query::Query;
use super::record::KubeRequest;
use super::route::Target;

/// Most bytes in the body of a request, as Kubernetes has it.
const MAX_BODY: usize = 3 * 1024 * 1024;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Who is at the other end of a connection, and which API server at this one.
#[derive(Debug)]
struct Peer {
    user: Result<User, Failure>,
    node: String,
    cut: CancellationToken,
}

/// Accepts connections until the task is dropped.
pub(super) async fn accept(kubernetes: Arc<Kubernetes>) {
    loop {
        let Ok(socket) = poll_fn(|cx| kubernetes.endpoint.poll_accept(cx)).await else {
            // Running out of file descriptors passes; let others run meanwhile.
            tokio::task::yield_now().await;
            continue;
        };
        // The balancer does not know yet what the machines do.
        kubernetes.sync();
        if let Some((index, life)) = kubernetes.server() {
            let served = serve(Arc::clone(&kubernetes), socket, kubernetes.machine_name(index));
            kubernetes.spawn(async move {
                life.run_until_cancelled_owned(served).await;
            });
        }
    }
}

async fn serve(kubernetes: Arc<Kubernetes>, socket: TcpStream, node: String) {
    // A latency hint only.
    let _ = socket.set_nodelay(true);
    let stream = match kubernetes.acceptor.accept(socket).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "TLS handshake with the Kubernetes API failed");
            return;
        }
    };
    let (_, session) = stream.get_ref();
    let over_http2 = session.alpn_protocol() == Some(b"h2");
    let peer = Arc::new(Peer {
        user: kubernetes.authenticator.user(session.peer_certificates()),
        node,
        cut: CancellationToken::new(),
    });
    let cut = peer.cut.clone();
    let service = service_fn(move |request| {
        let (kubernetes, peer) = (Arc::clone(&kubernetes), Arc::clone(&peer));
        async move { Ok::<_, Infallible>(handle(&kubernetes, &peer, request).await) }
    });
    let io = TokioIo::new(stream);
    let connection = async {
        if over_http2 {
            http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .serve_connection(io, service)
                .await
        } else {
            http1::Builder::new()
                .timer(TokioTimer::new())
                // The time to wait for the head of a request passes on a clock that tests may stop.
                .header_read_timeout(None)
                .serve_connection(io, service)
                .await
        }
    };
    if let Some(Err(error)) = cut.run_until_cancelled(connection).await {
        tracing::debug!(%error, "connection to the Kubernetes API ended");
    }
}

async fn handle(
    kubernetes: &Arc<Kubernetes>,
    peer: &Peer,
    request: http::Request<Incoming>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY)
        .collect()
        .await
        .map(|body| body.to_bytes());
    let content_type = head
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let user = match &peer.user {
        Ok(user) => Ok(user.clone()),
        Err(failure) => {
            let bearer = kubernetes.authenticator.bearer(&head.headers);
            bearer.unwrap_or_else(|| Err(failure.clone()))
        }
    };
    let (name, groups) = match &user {
        Ok(user) => (user.name.clone(), user.groups.clone()),
        Err(_) => Default::default(),
    };
    let path = head.uri.path();
    let query = head.uri.query().unwrap_or_default();
    let number = kubernetes.requests.arrived(KubeRequest {
        node: peer.node.clone(),
        method: head.method.to_string(),
        path: path.to_owned(),
        query: query.to_owned(),
        user: name,
        groups,
        content_type: content_type.clone(),
        body: body.as_ref().cloned().unwrap_or_default(),
        ..KubeRequest::default()
    });
    let (delay, ending) = kubernetes.faults.verdict(head.method.as_str(), path);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let injected = match ending {
        None => Ok(()),
        Some(KubeEnding::Status(code)) => Err(Failure::injected(code)),
        Some(KubeEnding::Disconnect) => {
            peer.cut.cancel();
            std::future::pending().await
        }
        Some(KubeEnding::Hang) => std::future::pending().await,
    };
    let answered = injected.and_then(|()| {
        let body = body.map_err(|_| {
            Failure::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLarge",
                format!("limit is {MAX_BODY}"),
            )
        })?;
        let (target, query) = (Target::parse(path), Query::parse(query));
        let user = user?;
        let named = matches!(&target, Target::Object(object) if object.name.is_some());
        let verb = auth::verb(&head.method, named, query.is_set("watch"))?;
        user.authorize(verb, &target)?;
        let request = Request {
            method: &head.method,
            query: &query,
            content_type: &content_type,
            body: &body,
        };
        api::answer(kubernetes, &target, &request)
    });
    let response = respond(kubernetes, answered);
    kubernetes.requests.answered(number, response.status().as_u16());
    response
}

fn respond(kubernetes: &Arc<Kubernetes>, answered: Result<Reply, Failure>) -> Response<Body> {
    let json = HeaderValue::from_static("application/json");
    let (status, content_type, body) = match answered {
        Ok(Reply::Object(status, object)) => (status, json, whole(object.to_string())),
        Ok(Reply::Text(text)) => (
            StatusCode::OK,
            HeaderValue::from_static("text/plain; charset=utf-8"),
            whole(text),
        ),
        Ok(Reply::Watch(watch)) => {
            let begin = (watch, Arc::clone(kubernetes));
            let lines = stream::unfold(begin, |(mut watch, kubernetes)| async move {
                let line = watch.next(&kubernetes).await?;
                Some((Ok(Frame::data(line)), (watch, kubernetes)))
            });
            (StatusCode::OK, json, StreamBody::new(lines).boxed_unsync())
        }
        Err(failure) => (failure.code, json, whole(failure.body().to_string())),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    if status == StatusCode::UNAUTHORIZED {
        let realm = HeaderValue::from_static("Basic realm=\"kubernetes-master\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, realm);
    }
    response
}

fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}
