//! Request signing as Omni wants it: every call carries a signature made with an OpenPGP key.
//!
//! A client signs if the talosconfig's context has `auth.siderov1` and TLS was not set up by hand with
//! [`ClientBuilder::tls`]. What it signs with is, in this order:
//!
//! 1. a service account key: [`SideroV1Config::service_account_key`], then `SIDERO_SERVICE_ACCOUNT_KEY`, then
//!    `OMNI_SERVICE_ACCOUNT_KEY`;
//! 2. the key of the user that the context names, in a file called `<context>-<identity>.pgp`, see
//!    [`SideroV1Config::keys_dir`]. talosctl makes and renews it when it is used; it is good for hours.
//!
//! Where there is no usable user key, or the server does not accept it, a [`LoginHandler`] can have a new one
//! confirmed; without one the call fails with [`SideroV1Error`] or with what the server said. This library never
//! opens a browser.
//!
//! ```no_run
//! use talos_client::{Client, config::Talosconfig, siderov1::SideroV1Config};
//!
//! # fn example(key: String) -> talos_client::Result<()> {
//! // Without `siderov1` the key comes from the environment or from the user's files.
//! let client = Client::builder()
//!     .talosconfig(Talosconfig::load("omni.yaml")?)
//!     .siderov1(SideroV1Config::from_env().service_account_key(key))
//!     .build()?;
//! # Ok(())
//! # }
//! ```
//!
//! Every attempt of a call has a signature of its own with the time of the attempt. Servers tolerate clocks that
//! are five minutes apart. Keys are never printed and never part of an error.
//!
//! [`ClientBuilder::tls`]: crate::ClientBuilder::tls

mod config;
mod error;
mod files;
mod key;
mod login;
mod payload;
mod service_account;
mod signer;
mod user;

pub use config::SideroV1Config;
pub use error::{KeyError, LoginError, ServiceAccountOrigin, ServiceAccountProblem, SideroV1Error};
pub use login::{LoginHandler, LoginRequest};
pub(crate) use signer::{Signer, Subject};
