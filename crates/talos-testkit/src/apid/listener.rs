//! Connections of an endpoint: accepting, TLS, HTTP/2.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::reply::Sent;
use super::{Access, Apid, Client, maintenance};
use crate::fault::{Abrupt, LinkEnd};
use crate::network::link::{Line, Link, Tap};
use crate::node::power::ApiMode;
use crate::pki::LeafFacts;
use crate::record::ConnectionEntry;
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

impl OwnedTasks {
    fn new(apid: &Apid, life: &CancellationToken) -> Self {
        Self {
            tasks: apid.network.tasks.clone(),
            life: life.clone(),
        }
    }
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

/// Accepts connections until `life` ends, which also ends the connections.
pub(crate) async fn accept(apid: Apid, life: CancellationToken) {
    let executor = OwnedTasks::new(&apid, &life);
    let accepting = async move {
        loop {
            match poll_fn(|cx| apid.machine.endpoint.poll_accept(cx)).await {
                Ok(socket) => {
                    executor.execute(serve(apid.clone(), socket, executor.clone()));
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

/// Serves one connection, with the faults that it has.
async fn serve(apid: Apid, socket: TcpStream, executor: OwnedTasks) {
    // A latency hint only.
    let _ = socket.set_nodelay(true);
    let peer = socket
        .peer_addr()
        .unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
    let (network, machine) = (&apid.network, &apid.machine);
    let link = Arc::new(Link::new());
    let registered = network.links.add(machine.index, Arc::clone(&link));
    let entry = network
        .recorder
        .connected(registered.number, &machine.identity.address.to_string(), peer);
    let verdict = network.faults.accepted(machine.index);
    link.silence(network.faults.silences(machine.index));
    if let Some(count) = verdict.cut_after {
        link.cut_after(count);
    }
    if let Some(delay) = verdict.delay {
        tokio::time::sleep(delay).await;
    }
    let certificate = match verdict.end {
        None => None,
        Some(LinkEnd::Certificate(certificate)) => Some(certificate),
        Some(LinkEnd::Refuse | LinkEnd::Reset) => {
            // Closing without lingering resets.
            let _ = socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO));
            return;
        }
        Some(LinkEnd::BlackHole) => {
            if !network.faults.silences(machine.index) {
                return swallow(socket).await;
            }
            // Silent for as long as the fault is there.
            None
        }
    };
    let api = machine.node().api();
    let acceptor = match machine
        .tls
        .acceptor(&network.tls, &machine.identity, api, certificate)
    {
        Ok(acceptor) => acceptor,
        Err(error) => {
            tracing::error!(%error, "no TLS configuration");
            return;
        }
    };
    let stream = match acceptor.accept(Line::new(socket, Arc::clone(&link))).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "TLS handshake failed");
            entry.handshake_failed(&error);
            return;
        }
    };
    let access = if api == ApiMode::Maintenance {
        Access::Maintenance(match *machine.node().siderolink.lock() {
            true => maintenance::siderolink_roles(),
            false => maintenance::roles_of(peer.ip()),
        })
    } else {
        let (_, session) = stream.get_ref();
        let leaf = session
            .peer_certificates()
            .and_then(|chain| LeafFacts::parse(chain.first()?));
        Access::Certificate(Roles::new(
            leaf.map(|leaf| leaf.organizations).unwrap_or_default(),
        ))
    };
    entry.handshake_done(&access.own_roles());
    let client = Client {
        access,
        link: Some(Arc::clone(&link)),
        connection: registered.number,
        peer,
    };
    http2(
        apid.clone(),
        Tap::new(stream, Arc::clone(&link)),
        client,
        executor,
        &entry,
    )
    .await;
}

/// HTTP/2 on a connection whose client is known.
async fn http2(
    apid: Apid,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    client: Client,
    executor: OwnedTasks,
    entry: &ConnectionEntry,
) {
    let link = client.link.clone();
    let client = Arc::new(client);
    let service = service_fn(move |request| {
        let client = Arc::clone(&client);
        let response = apid.clone().handle(Client::clone(&client), request);
        async move {
            let response = response.await;
            match response.extensions().get::<Abrupt>() {
                None => Ok(response.map(|body| Sent::new(body, client.link.clone()))),
                Some(Abrupt::Reset(code)) => Err(h2::Error::from(h2::Reason::from(*code))),
                Some(Abrupt::Disconnect) => {
                    client.link.iter().for_each(|link| link.cut());
                    std::future::pending().await
                }
            }
        }
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
    let mut connection = pin!(connection);
    let told_to_go = async {
        match &link {
            Some(link) => link.told_to_go().await,
            None => std::future::pending().await,
        }
    };
    let mut told_to_go = pin!(told_to_go);
    let mut going = false;
    let ended = loop {
        tokio::select! {
            ended = &mut connection => break ended,
            () = &mut told_to_go, if !going => {
                going = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
        entry.broken(&error.to_string());
    }
}

/// Serves the API of `machined` to programs on the machine, until `life` ends.
#[cfg(unix)]
pub(crate) async fn accept_local(apid: Apid, listener: tokio::net::UnixListener, life: CancellationToken) {
    let executor = OwnedTasks::new(&apid, &life);
    let accepting = async move {
        loop {
            let Ok((socket, _)) = listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            let (apid, tasks) = (apid.clone(), executor.clone());
            executor.execute(async move {
                let peer = SocketAddr::from(([0, 0, 0, 0], 0));
                let endpoint = apid.machine.identity.address.to_string();
                let entry = apid.network.recorder.connected(0, &endpoint, peer);
                let client = Client {
                    access: Access::Local,
                    link: None,
                    connection: 0,
                    peer,
                };
                http2(apid, socket, client, tasks, &entry).await;
            });
        }
    };
    life.run_until_cancelled_owned(accepting).await;
}

/// Takes whatever comes, for as long as it comes, and answers nothing.
async fn swallow(mut socket: TcpStream) {
    let _ = tokio::io::copy(&mut socket, &mut tokio::io::sink()).await;
}
