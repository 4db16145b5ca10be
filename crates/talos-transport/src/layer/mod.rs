//! The layers a call passes, one file each; [`Channel`](crate::Channel) puts them together.

mod attempt;
mod deadline;
mod metadata;
mod retry;
mod trace;
mod user;

pub(crate) use self::deadline::write_timeout;
pub use self::deadline::{DeadlineFuture, DeadlineLayer, DeadlineService};
pub use self::metadata::{MetadataLayer, MetadataService};
pub(crate) use self::metadata::{NODE, NODES, PROXY_FROM};
pub use self::retry::{RetryFuture, RetryLayer, RetryService};
pub use self::trace::{TraceFuture, TraceLayer, TraceService};
pub use self::user::Next;
pub(crate) use self::user::{Layered, UserLayers};
