//! Connections through proxies: what the proxy is asked, what the server gets, and every way in which it fails.

mod http;
mod route;
mod servers;
mod socks;
mod tls;

use std::time::Duration;

use talos_transport::proxy::{ProxyError, ProxyFailure, ProxyPolicy};
use talos_transport::{Channel, ConnectReason, Delivery};
use tonic::{Code, Status};

use self::servers::{Answer, Socks};
use crate::client::{self, connect_reason, echo, everything_printed, transport_error};
use crate::pki::{Ca, Pair};
use crate::server::{PATIENCE, Server, ServerTls};

/// Nothing resolves it: the domain `invalid` is reserved for that.
const NAME: &str = "cp-1.cluster.invalid";

/// A server that is known by names which only a proxy can resolve.
struct Remote {
    ca: Ca,
    client: Pair,
    server: Server,
}

impl Remote {
    async fn start() -> Self {
        let ca = Ca::new();
        let client = ca.client();
        let names = [NAME, "127.0.0.1", "fd00::1", "10.5.0.2"];
        let server = Server::start(ServerTls::new(ca.server(&names), &ca.pem)).await;
        Self { ca, client, server }
    }

    /// An answer that opens a tunnel to the server for those who have this in the head of their request.
    fn tunnel(&self, needed: &'static str) -> Answer {
        Answer::Tunnel(self.server.address(), needed)
    }

    fn socks(&self) -> Socks {
        Socks {
            target: self.server.address(),
            login: None,
            reply: 0,
        }
    }

    fn channel(&self, endpoint: &str, policy: impl Into<ProxyPolicy>) -> Channel {
        self.within(PATIENCE, endpoint, policy)
    }

    fn within(&self, timeout: Duration, endpoint: &str, policy: impl Into<ProxyPolicy>) -> Channel {
        Channel::builder([endpoint.parse().unwrap()])
            .tls(client::tls(&self.ca, &self.client))
            .connect_timeout(timeout)
            .proxy(policy)
            .build()
            .unwrap()
    }

    /// The status of a call that does not get past the proxy.
    async fn failure(&self, proxy: impl Into<ProxyPolicy>) -> Status {
        failure(&self.channel(NAME, proxy)).await
    }
}

async fn failure(channel: &Channel) -> Status {
    let status = echo(channel).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(transport_error(&status).delivery(), Delivery::NotSent);
    let printed = everything_printed(&status);
    assert!(
        !printed.contains("SECRET") && !printed.contains("U0VDUkVU"),
        "{printed}"
    );
    status
}

fn proxy_error(status: &Status) -> &ProxyError {
    match connect_reason(status) {
        ConnectReason::Proxy(error) => error,
        other => panic!("not the proxy's failure: {other:?}"),
    }
}

/// A status, or the failure of a proxy in it.
fn proxy_failure(status: &Status) -> &ProxyFailure {
    proxy_error(status).failure()
}
