//! `apid`: decides where a call goes and relays it, without decoding messages.

pub(crate) mod body;
pub(crate) mod director;
pub(crate) mod frame;
pub(crate) mod listener;

mod edge;
mod fanout;
mod maintenance;
mod reply;
mod splice;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use tonic::Status;
use tonic::body::Body;

use crate::call_log::CallLine;
use crate::fault::{CallSite, Place};
use crate::network::link::Link;
use crate::network::{Machine, Network};
use crate::node::{MachineRole, Node};
use crate::profile::Profile;
use crate::record::CallEntry;
use crate::roles::Roles;
use body::{OnEnd, abort_on, with_first_message};
use director::{Forwarder, Route, decide};

const PROXY_FROM: HeaderName = HeaderName::from_static("proxyfrom");

/// What a connection says about the rights of its calls, and where they may go.
#[derive(Debug, Clone)]
pub(crate) enum Access {
    /// Mutual TLS: the roles of the client's certificate.
    Certificate(Roles),
    /// A machine without a configuration: the roles that everybody from there has. There is no routing.
    Maintenance(Roles),
    /// The socket of `machined` on the machine: roles come from metadata, and there is no routing.
    Local,
}

impl Access {
    /// The roles of the connection itself.
    pub(crate) fn own_roles(&self) -> Roles {
        match self {
            Self::Certificate(roles) | Self::Maintenance(roles) => roles.clone(),
            Self::Local => Roles::default(),
        }
    }

    /// The roles of a call with `metadata`.
    pub(crate) fn roles(&self, metadata: &HeaderMap) -> Roles {
        match self {
            Self::Certificate(roles) => Roles::effective(roles, metadata),
            Self::Maintenance(roles) => roles.clone(),
            Self::Local => Roles::from_metadata(metadata),
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) access: Access,
    /// The connection, where faults can get at it.
    pub(crate) link: Option<Arc<Link>>,
    pub(crate) connection: u64,
    pub(crate) peer: SocketAddr,
}

/// The `apid` of one machine.
#[derive(Debug, Clone)]
pub(crate) struct Apid {
    pub(crate) network: Arc<Network>,
    pub(crate) machine: Arc<Machine>,
}

impl Apid {
    /// Serves a call of a peer with `access`.
    pub(crate) fn serve(
        self,
        access: Access,
        call: CallEntry,
        request: Request<Body>,
    ) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
        // Boxed because one `apid` calls another.
        Box::pin(async move {
            let line = CallLine::begin_relayed(&request);
            let node = Arc::clone(self.machine.node());
            let roles = access.roles(request.headers());
            if matches!(access, Access::Local) {
                return self.local(&roles, &call, request).await;
            }
            let end = OnEnd::new(move |status| node.logs.append("apid", &line.finish(&status)));
            let route = match access {
                Access::Maintenance(_) => Ok(Route::Local),
                _ => decide(&**self.machine.node(), request.uri().path(), request.headers()),
            };
            let response = match route {
                Err(status) => status.into_http(),
                Ok(Route::Local) => self.local(&roles, &call, request).await,
                Ok(Route::One(target)) => self.remote(&target, &call, leaving(request, &roles)).await,
                Ok(Route::Many(targets)) => self.many(targets, &call, leaving(request, &roles)).await,
            };
            end.observe(with_first_message(response).await)
        })
    }

    /// Hands the call to the `machined` of this machine.
    async fn local(&self, roles: &Roles, call: &CallEntry, mut request: Request<Body>) -> Response<Body> {
        roles.write_to(request.headers_mut());
        let path = request.uri().path().to_owned();
        let plan = self.network.faults.call(CallSite {
            place: Place::Node,
            node: self.machine.index,
            from: None,
            path: &path,
        });
        call.handled_by(&self.machine.identity.address.to_string());
        let served = self.machine.machined().call(request);
        match plan {
            None => served.await,
            Some(plan) => plan.relay(served).await,
        }
    }

    /// Hands the call to the `apid` of `target`, for as long as that machine lives.
    async fn remote(&self, target: &str, call: &CallEntry, mut request: Request<Body>) -> Response<Body> {
        call.forwarded_to(target);
        let peer = match self.network.dial(&self.machine, target).await {
            Ok(peer) => peer,
            Err(status) => return status.into_http(),
        };
        *request.uri_mut() = uri_of(target, request.uri());
        let apid = Self {
            network: Arc::clone(&self.network),
            machine: peer.machine,
        };
        let lost = Box::pin(async move {
            peer.life.cancelled_owned().await;
            Status::unavailable("error reading from server: EOF")
        });
        let plan = self.network.faults.call(CallSite {
            place: Place::Hop,
            node: apid.machine.index,
            from: Some(self.machine.index),
            path: request.uri().path(),
        });
        let served = apid.serve(Access::Certificate(Roles::impersonator()), call.clone(), request);
        let served = abort_on(served, lost);
        match plan {
            None => served.await,
            Some(plan) => plan.relay(served).await,
        }
    }
}

/// The call with its metadata as they leave towards other `apid`s.
fn leaving(mut request: Request<Body>, roles: &Roles) -> Request<Body> {
    let from = request.uri().authority().map_or("unknown", Authority::as_str);
    let from = HeaderValue::from_str(from).unwrap_or(HeaderValue::from_static("unknown"));
    let metadata = request.headers_mut();
    metadata.remove("nodes");
    metadata.remove("node");
    roles.write_to(metadata);
    metadata.insert(PROXY_FROM, from);
    request
}

/// The same path at the `apid` of `target`.
fn uri_of(target: &str, uri: &Uri) -> Uri {
    let host = if target.contains(':') && !target.starts_with('[') {
        format!("[{target}]:50000")
    } else {
        format!("{target}:50000")
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let moved = Uri::builder()
        .scheme("https")
        .authority(host)
        .path_and_query(path)
        .build();
    moved.unwrap_or_else(|_| uri.clone())
}

impl Forwarder for Node {
    fn can_forward(&self) -> bool {
        self.machine_role() == Some(MachineRole::ControlPlane)
    }

    fn profile(&self) -> Profile {
        Profile::of(&self.version.lock().tag)
    }

    fn is_self(&self, target: &str) -> bool {
        self.identity.is_called(target) || self.current_identity().is_called(target)
    }
}
