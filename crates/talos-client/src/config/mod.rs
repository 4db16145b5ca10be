//! The talosconfig: the file with endpoints and credentials that talosctl uses.
//!
//! [`Talosconfig`] is the file, [`Context`] one cluster in it, [`Lookup`] the places where it is looked for.
//! Reading is as forgiving as talosctl where that is harmless (unknown keys, folded base64, the legacy
//! `target`), and stricter where talosctl would crash, create files or connect in another way than the file
//! says. Secrets are wiped from memory when dropped and never printed.
//!
//! A client can follow a file whose credentials are renewed: [`ClientBuilder::watch_talosconfig`] and
//! [`Client::reload`], with [`Reloads`] to observe how that goes.
//!
//! [`Client::reload`]: crate::Client::reload
//! [`ClientBuilder::watch_talosconfig`]: crate::ClientBuilder::watch_talosconfig
//!
//! You need this module to pick a context by hand, to add contexts, or to write a talosconfig;
//! [`Client::try_default`](crate::Client::try_default) does the rest.

mod commands;
mod context;
mod error;
mod lookup;
mod reload;
mod save;
mod talosconfig;
mod watch;

#[cfg(any(feature = "siderov1", feature = "kube"))]
pub(crate) use context::decode_base64;
pub(crate) use reload::{Given, Reloader, Source};
#[cfg(any(all(feature = "archive", feature = "machine"), feature = "siderov1"))]
pub(crate) use save::write_secret_file;

#[cfg(feature = "workflows")]
pub(crate) use {save::create_private_folder, talosconfig::blank_quotes};

pub use context::{Auth, Context};
pub use error::{Base64Problem, ConfigError, Origin};
pub use lookup::Lookup;
pub use talosconfig::{Rename, Talosconfig};
pub use watch::{ReloadError, ReloadStatus, Reloaded, Reloads};
