//! What users of the client see, against files and against a simulated cluster.

#[cfg(all(feature = "siderov1", feature = "machine", feature = "ring"))]
mod siderov1;
#[cfg(all(feature = "siderov1", feature = "machine", feature = "ring"))]
mod siderov1_keys;
#[cfg(all(feature = "siderov1", feature = "machine", feature = "ring"))]
mod siderov1_login;
#[cfg(all(feature = "siderov1", feature = "machine", feature = "ring"))]
mod siderov1_openpgp;
#[cfg(all(feature = "siderov1", feature = "machine", feature = "ring"))]
mod siderov1_server;
mod talosconfig;
