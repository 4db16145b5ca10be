//! What users of the client see, against files and against a simulated cluster over real TLS.

mod credentials;
mod default;
mod failures;
mod machine;
mod resilience;
#[cfg(feature = "def-runtime")]
mod resources;
mod routing;
mod streams;
mod support;
mod talosconfig;
