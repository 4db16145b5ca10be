//! Finds out whether a connection that has gone silent still leads somewhere.
//!
//! A machine that vanishes says nothing, and TCP needs half a minute to notice. HTTP/2 pings would tell, but Talos hangs up on
//! clients that ping. So the endpoint is connected to once more, next to the silent connection: if that works, the silence is
//! that of a server with nothing to say yet. If it does not, the connection is given up, and with it all calls on it, which go
//! elsewhere as far as they may.
//!
//! Only where there are other endpoints: without any, there is nothing to gain.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::connect::{ConnectReason, ConnectStage, Establish};
use crate::connection::Peer;
use crate::error::{CloseReason, Delivery, Error};
use crate::pool::{Dial as _, Flight};

/// The examinations of one connection: one at a time, for all calls that wait on it.
#[derive(Debug, Default)]
pub(crate) struct Examination {
    /// When the endpoint was last found alive.
    alive: Mutex<Option<Instant>>,
}

/// Waits for what a call on this connection comes to, and sees to it that it does not wait for one that is gone.
pub(crate) async fn attended<T>(
    mut waiting: Pin<&mut impl Future<Output = T>>,
    dial: &Arc<Establish>,
    peer: &Arc<Peer>,
    flight: &Flight<Establish>,
) -> T {
    let patience = patience(dial.timeout);
    let mut heard = peer.observer.heard();
    let mut since = Instant::now();
    loop {
        if let Ok(result) = timeout(patience, waiting.as_mut()).await {
            return result;
        }
        let now = peer.observer.heard();
        if now == heard {
            break;
        }
        (heard, since) = (now, Instant::now());
    }
    // Rare and large, so not part of every call.
    let mut examining: Option<Pin<Box<_>>> = Some(Box::pin(examine(dial, peer, flight, heard, since)));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(result) = waiting.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        if let Some(running) = &mut examining
            && running.as_mut().poll(cx).is_ready()
        {
            examining = None;
            // What was given up ends now.
            return waiting.as_mut().poll(cx);
        }
        Poll::Pending
    })
    .await
}

/// Connects to the endpoint anew, and gives the connection up if that does not work and it is still silent.
async fn examine(
    dial: &Arc<Establish>,
    peer: &Arc<Peer>,
    flight: &Flight<Establish>,
    heard: u64,
    since: Instant,
) {
    let mut alive = peer.examination.alive.lock().await;
    let looked_at = alive.is_some_and(|alive| alive >= since) || peer.observer.reason().is_some();
    if looked_at || peer.observer.heard() != heard {
        return;
    }
    let endpoint = &peer.endpoint;
    tracing::debug!(server.address = %endpoint, "the connection is silent, looking whether the endpoint is there");
    let limit = dial.timeout.min(LONGEST * 2) / 2;
    let reason = match timeout(limit, dial.dial(endpoint)).await {
        Ok(Ok(_connection)) => {
            *alive = Some(Instant::now());
            return;
        }
        Ok(Err(reason)) => reason,
        Err(_elapsed) => ConnectReason::TimedOut {
            after: limit,
            stage: ConnectStage::Dial,
        },
    };
    // Somebody answers, if only to refuse us: not the one who is missed, or with other credentials than the connection.
    if reason.is_lasting() || peer.observer.heard() != heard {
        *alive = Some(Instant::now());
        return;
    }
    tracing::warn!(
        server.address = %endpoint, error = crate::error::chain(&reason),
        "the connection is silent and the endpoint cannot be connected to; giving it up"
    );
    let reason = CloseReason::Silent(Arc::new(reason));
    // The pool first, or it would take the end of the connection for that of any, and dial the endpoint again.
    flight.failed(&Error::Closed {
        endpoint: endpoint.clone(),
        delivery: Delivery::Unknown,
        reason: reason.clone(),
    });
    peer.give_up(reason);
}

/// How long nothing at all comes from a server before that is suspicious.
fn patience(connect_timeout: Duration) -> Duration {
    (connect_timeout / 5).min(PATIENCE)
}

pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// The longest look, whatever the connect timeout.
pub(crate) const LONGEST: Duration = Duration::from_secs(5);
