//! A resource server by itself, without a Talos node around it.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use talos_proto::cosi::resource::state_server::StateServer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::body::Body;
use tower_service::Service as _;

use super::server::Server;
use crate::error::SimError;
use crate::node::resources::ResourceStore;
use crate::node::resources::handle::{HasResources, SimResources};
use crate::pki::{CertificateAuthority, ClientCertSpec, ONE_DAY, PkiError, ValidityWindow};
use crate::rng::SimRng;
use crate::talosconfig::Talosconfig;
use crate::tls;

/// Largest message, as for Talos.
const MAX_MESSAGE: usize = 32 << 20;

/// A COSI state server with the plain semantics of the reference implementation: any type in any namespace,
/// reads and writes, owners, phases, versions and finalizers, no rights and no routing.
///
/// Dropping it closes its socket and cuts its connections.
///
/// ```
/// use talos_testkit::{SimResource, SimState};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), talos_testkit::SimError> {
/// let state = SimState::builder().start().await?;
/// state.resources().put(SimResource::new("Widgets.example.org", "one"));
/// assert_eq!(state.resources().list("default", "Widgets.example.org").len(), 1);
/// # Ok(())
/// # }
/// ```
pub struct SimState {
    held: Arc<Held>,
    endpoint: String,
    authority: Option<CertificateAuthority>,
    /// Ends the listener and all connections.
    _life: DropGuard,
}

/// Describes a [`SimState`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct SimStateBuilder {
    transport: Transport,
    without_teardown: bool,
}

#[derive(Debug, Clone, Default)]
enum Transport {
    #[default]
    Tls,
    Plain,
    Unix(PathBuf),
}

/// What the server and the handle share.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) resources: ResourceStore,
    pub(super) without_teardown: bool,
}

impl HasResources for Held {
    fn resources(&self) -> &ResourceStore {
        &self.resources
    }
}

impl SimState {
    /// Describes a server; on a free loopback port with TLS unless told otherwise.
    pub fn builder() -> SimStateBuilder {
        SimStateBuilder::default()
    }

    /// `127.0.0.1:port`, or `unix:///path`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What the server holds, to look at it and to change it behind the back of its clients.
    #[must_use]
    pub fn resources(&self) -> SimResources {
        SimResources::new(vec![Arc::clone(&self.held) as Arc<dyn HasResources>])
    }

    /// Forgets all resources and refuses all bookmarks, as if the process had been started again. Open
    /// watches stay and see nothing more.
    pub fn restart(&self) {
        let cookie = SimRng::new(self.held.resources.cookie()).next_u64();
        self.held.resources.restart(cookie);
    }

    /// A talosconfig for this server, if it has TLS.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers for the key.
    pub fn talosconfig(&self) -> Result<Option<String>, PkiError> {
        let Some(authority) = &self.authority else {
            return Ok(None);
        };
        let client = authority.issue_client(&ClientCertSpec::new(["os:admin"]))?;
        let config = Talosconfig {
            context: "state",
            endpoints: std::slice::from_ref(&self.endpoint),
            nodes: &[],
            ca_pem: &authority.certificate_pem(),
            client: &client,
        };
        Ok(Some(config.render()))
    }
}

impl SimStateBuilder {
    /// Without TLS: HTTP/2 with prior knowledge on a free loopback port.
    pub fn plain(mut self) -> Self {
        self.transport = Transport::Plain;
        self
    }

    /// On a unix socket at this path, which must not exist; without TLS.
    pub fn unix_socket(mut self, path: impl AsRef<Path>) -> Self {
        self.transport = Transport::Unix(path.as_ref().to_owned());
        self
    }

    /// Like servers from before Talos 1.14: `Teardown` and `TeardownAndDestroy` are unknown methods.
    pub fn without_teardown(mut self) -> Self {
        self.without_teardown = true;
        self
    }

    /// Starts the server; it answers when this returns.
    ///
    /// Must be called within a Tokio runtime, which runs the server until it is dropped.
    ///
    /// # Errors
    ///
    /// [`SimError`] when the socket cannot be opened, or no key can be made.
    pub async fn start(self) -> Result<SimState, SimError> {
        let held = Arc::new(Held {
            resources: ResourceStore::empty(SimRng::new(1).next_u64()),
            without_teardown: self.without_teardown,
        });
        let life = CancellationToken::new();
        let (endpoint, authority) = match self.transport {
            Transport::Plain => (listen(&held, &life, None).await?, None),
            Transport::Tls => {
                let authority = CertificateAuthority::new_talos()?;
                let local = vec![Ipv4Addr::LOCALHOST.into()];
                let names = vec!["localhost".to_owned()];
                let validity = ValidityWindow::For(ONE_DAY);
                let identity = authority.issue_server("state", names, local, validity)?;
                let acceptor = tls::acceptor(&authority, identity)?;
                (listen(&held, &life, Some(acceptor)).await?, Some(authority))
            }
            Transport::Unix(path) => (listen_unix(&held, &life, &path)?, None),
        };
        Ok(SimState {
            held,
            endpoint,
            authority,
            _life: life.drop_guard(),
        })
    }
}

/// Serves on a free port of the loopback interface.
async fn listen(
    held: &Arc<Held>,
    life: &CancellationToken,
    tls: Option<TlsAcceptor>,
) -> Result<String, SimError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let failed = |source| SimError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let endpoint = listener.local_addr().map_err(failed)?.to_string();
    let server = Server(Arc::clone(held));
    let ended = life.clone();
    tokio::spawn(life.clone().run_until_cancelled_owned(async move {
        loop {
            let Ok((socket, _)) = listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            // A latency hint only.
            let _ = socket.set_nodelay(true);
            let (server, tls) = (server.clone(), tls.clone());
            tokio::spawn(ended.clone().run_until_cancelled_owned(async move {
                match tls {
                    None => serve(server, socket).await,
                    Some(tls) => match tls.accept(socket).await {
                        Ok(stream) => serve(server, stream).await,
                        Err(error) => tracing::debug!(%error, "TLS handshake failed"),
                    },
                }
            }));
        }
    }));
    Ok(endpoint)
}

#[cfg(unix)]
fn listen_unix(held: &Arc<Held>, life: &CancellationToken, path: &Path) -> Result<String, SimError> {
    let failed = |source| SimError::Socket {
        path: path.to_owned(),
        source,
    };
    let listener = tokio::net::UnixListener::bind(path).map_err(failed)?;
    let server = Server(Arc::clone(held));
    let ended = life.clone();
    tokio::spawn(life.clone().run_until_cancelled_owned(async move {
        loop {
            let Ok((socket, _)) = listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            let served = serve(server.clone(), socket);
            tokio::spawn(ended.clone().run_until_cancelled_owned(served));
        }
    }));
    Ok(format!("unix://{}", path.display()))
}

#[cfg(not(unix))]
fn listen_unix(_: &Arc<Held>, _: &CancellationToken, path: &Path) -> Result<String, SimError> {
    Err(SimError::Socket {
        path: path.to_owned(),
        source: std::io::ErrorKind::Unsupported.into(),
    })
}

async fn serve(server: Server, socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let service = StateServer::new(server).max_decoding_message_size(MAX_MESSAGE);
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        service.clone().call(request.map(Body::new))
    });
    let connection =
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "connection ended");
    }
}

impl fmt::Debug for SimState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimState")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
