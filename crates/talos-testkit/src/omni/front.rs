//! Connections of the endpoint, and where its calls go.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;

use super::{Front, RefusedCall};
use crate::apid::body::abort_on;
use crate::apid::{Access, Apid, Client};
use crate::fault::Abrupt;
use crate::network::Machine;
use crate::node::MachineRole;
use crate::node::power::ApiMode;
use crate::roles::Roles;

/// Accepts connections for as long as it is polled; they end with it.
pub(super) async fn accept(front: Arc<Front>, listener: TcpListener, acceptor: TlsAcceptor) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => {
                    connections.spawn(serve(Arc::clone(&front), socket, peer, acceptor.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    // Running out of file descriptors passes; let others run meanwhile.
                    tokio::task::yield_now().await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(front: Arc<Front>, socket: TcpStream, peer: SocketAddr, acceptor: TlsAcceptor) {
    // A latency hint only.
    let _ = socket.set_nodelay(true);
    let stream = match acceptor.accept(socket).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "TLS handshake failed");
            return;
        }
    };
    let service = service_fn(move |request| {
        let front = Arc::clone(&front);
        async move { Ok::<_, Infallible>(front.answer(peer, request).await) }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(None)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "connection ended");
    }
}

impl Front {
    /// Hands the call on if its signature is good.
    async fn answer(&self, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
        let method = request.uri().path().to_owned();
        let roles = {
            let known = self.known.lock();
            let verified = known
                .verifier
                .verify(&method, request.headers(), SystemTime::now());
            verified.map(|identity| {
                let roles = known.roles.iter().find(|(name, _)| name == identity);
                Roles::new(roles.map(|(_, roles)| roles.as_slice()).unwrap_or_default())
            })
        };
        let roles = match roles {
            Ok(roles) => roles,
            Err(problem) => {
                tracing::debug!(%problem, "refusing {method}");
                self.refused.lock().push(RefusedCall { method, problem });
                return Status::unauthenticated("invalid signature").into_http();
            }
        };
        let Some((machine, life)) = self.way_in() else {
            return Status::unavailable("no control plane node of the cluster can be reached").into_http();
        };
        let apid = Apid {
            network: Arc::clone(&self.network),
            machine,
        };
        let client = Client {
            access: Access::Certificate(roles),
            link: None,
            connection: 0,
            peer,
        };
        let broken = || Status::unavailable("error reading from server: EOF");
        let lost = Box::pin(async move {
            life.cancelled_owned().await;
            broken()
        });
        let response = abort_on(apid.handle(client, request), lost).await;
        // A fault of the node's endpoint, which has this program as its client.
        if response.extensions().get::<Abrupt>().is_some() {
            return broken().into_http();
        }
        response
    }

    /// The first control plane node that is up and part of the cluster, until it goes down.
    fn way_in(&self) -> Option<(Arc<Machine>, CancellationToken)> {
        let machines = self.network.machines().iter();
        machines
            .filter(|machine| machine.identity.role == MachineRole::ControlPlane)
            .filter(|machine| machine.node().api() == ApiMode::Secure)
            .find_map(|machine| Some((Arc::clone(machine), machine.life()?)))
    }
}
