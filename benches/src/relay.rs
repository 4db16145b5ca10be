//! A TCP relay in front of an endpoint that can turn into a black hole: everything stays open, nothing gets through.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A running relay; it ends when dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    swallow: watch::Sender<bool>,
    _accepting: JoinSet<()>,
}

impl Relay {
    pub async fn start(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (swallow, swallowing) = watch::channel(false);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(relay(stream, to, swallowing.clone()));
            }
        });
        Ok(Self {
            address,
            swallow,
            _accepting: accepting,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing gets through, on old connections and on new ones, which are still accepted.
    pub fn swallow(&self) {
        self.swallow.send_replace(true);
    }
}

async fn relay(mut from: TcpStream, to: SocketAddr, mut swallowing: watch::Receiver<bool>) {
    let Ok(mut to) = TcpStream::connect(to).await else {
        return;
    };
    let _ = (from.set_nodelay(true), to.set_nodelay(true));
    tokio::select! {
        biased;
        swallow = async { swallowing.wait_for(|swallow| *swallow).await.is_ok() } => {
            if swallow {
                // Both ends stay open until the relay ends.
                std::future::pending::<()>().await;
            }
        }
        _ = tokio::io::copy_bidirectional(&mut from, &mut to) => {}
    }
}
