//! What users of the client see, against files and against a simulated cluster over real TLS.

mod credentials;
mod failures;
mod machine;
mod resilience;
mod resources;
mod routing;
mod streams;
mod support;
mod talosconfig;
