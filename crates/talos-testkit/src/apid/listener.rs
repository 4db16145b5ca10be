//! Sockets of an endpoint: accepting, TLS, HTTP/2.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Apid;
use crate::pki::LeafFacts;
use crate::roles::Roles;

/// Flow control windows of grpc-go servers in Talos.
const STREAM_WINDOW: u32 = 65_535 * 32;
const CONNECTION_WINDOW: u32 = 65_535 * 16;

/// Most bytes of metadata in one call.
const MAX_HEADERS: u32 = 16 * 1024 * 1024;

/// Spawns tasks that end with the life of the machine, and that a shutdown can wait for.
#[derive(Debug, Clone)]
struct OwnedTasks {
    tasks: TaskTracker,
    life: CancellationToken,
}

impl<F> Executor<F> for OwnedTasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        let life = self.life.clone();
        self.tasks
            .spawn(async move { life.run_until_cancelled_owned(task).await.map(drop) });
    }
}

/// A source of connections.
pub(crate) trait Accept {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<TcpStream>>;
}

/// Accepts connections until `life` ends, which also ends the connections.
pub(crate) async fn accept(
    apid: Apid,
    source: impl Accept,
    tls: TlsAcceptor,
    life: CancellationToken,
    tasks: TaskTracker,
) {
    let executor = OwnedTasks {
        tasks,
        life: life.clone(),
    };
    let accepting = async move {
        loop {
            match std::future::poll_fn(|cx| source.poll_accept(cx)).await {
                Ok(socket) => {
                    executor.execute(serve(apid.clone(), socket, tls.clone(), executor.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    // Running out of file descriptors passes; let others run meanwhile.
                    tokio::task::yield_now().await;
                }
            }
        }
    };
    life.run_until_cancelled_owned(accepting).await;
}

async fn serve(apid: Apid, socket: TcpStream, tls: TlsAcceptor, executor: OwnedTasks) {
    // A latency hint only.
    let _ = socket.set_nodelay(true);
    let stream = match tls.accept(socket).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "TLS handshake failed");
            return;
        }
    };
    let (_, session) = stream.get_ref();
    let leaf = session
        .peer_certificates()
        .and_then(|chain| LeafFacts::parse(chain.first()?));
    let roles = Arc::new(Roles::new(
        leaf.map(|leaf| leaf.organizations).unwrap_or_default(),
    ));
    let service = service_fn(move |request| {
        let response = apid.clone().handle(Roles::clone(&roles), request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    let connection = http2::Builder::new(executor)
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(None)
        .max_header_list_size(MAX_HEADERS)
        // grpc-go does not count streams that clients give up.
        .max_pending_accept_reset_streams(usize::MAX)
        .max_local_error_reset_streams(None)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "connection ended");
    }
}
