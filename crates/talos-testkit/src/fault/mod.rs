//! Faults: what goes wrong, where, and how often.
//!
//! A fault is a rule that stays until it is removed. [`CallFault`] is about calls, [`ConnectionFault`] about
//! the connections that carry them; both say *where* first, then *when*, then *what*:
//!
//! ```
//! use std::time::Duration;
//! use talos_testkit::fault::{CallFault, ConnectionFault};
//! use talos_testkit::{Code, SimCluster};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), talos_testkit::SimError> {
//! let cluster = SimCluster::builder().control_planes(3).seed(7).start().await?;
//!
//! // The second and third time that 10.5.0.3 is asked for its version, it fails.
//! let flaky = cluster.inject(
//!     CallFault::on_node("10.5.0.3").method("Version").calls(2..=3).status(Code::Unavailable, "flaky"),
//! )?;
//! // One of ten calls that arrive at any endpoint is late and loses its connection after one message.
//! cluster.inject(
//!     CallFault::on_endpoints()
//!         .probability(0.1)
//!         .delay(Duration::from_millis(50))
//!         .disconnect()
//!         .after_messages(1),
//! )?;
//! // One endpoint swallows everything.
//! let hole = cluster.inject(ConnectionFault::to("10.5.0.2").black_hole())?;
//!
//! // … the test …
//! assert_eq!(flaky.hits(), 0);
//! hole.remove();
//! # Ok(())
//! # }
//! ```
//!
//! # Which fault applies
//!
//! For each call, or connection, the rules that match are asked in the order they were injected. Delays add up.
//! The first rule that ends it settles the matter; later ones do not see it, and do not count it. Rules with a
//! [probability](CallFault::probability) draw from the seed of the cluster, so that a run can be repeated.

mod book;
mod call;
mod connection;
mod ending;
mod filter;
mod handle;
mod relay;

pub(crate) use book::{CallSite, FaultBook, LinkEnd, LinkVerdict};
pub use call::CallFault;
pub(crate) use call::Place;
pub use connection::{Certificate, ConnectionFault};
pub(crate) use ending::Abrupt;
pub use handle::FaultHandle;

/// A fault of either kind, ready to be injected: see [`SimCluster::inject`](crate::SimCluster::inject).
#[derive(Debug, Clone)]
pub struct Fault(pub(crate) Kind);

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Call(CallFault),
    Connection(ConnectionFault),
}

impl From<CallFault> for Fault {
    fn from(fault: CallFault) -> Self {
        Self(Kind::Call(fault))
    }
}

impl From<ConnectionFault> for Fault {
    fn from(fault: ConnectionFault) -> Self {
        Self(Kind::Connection(fault))
    }
}
