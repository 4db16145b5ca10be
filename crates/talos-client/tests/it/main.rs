//! What users of the client see, against files and against a simulated cluster over real TLS.

mod actions;
mod capabilities;
mod cluster_checks;
mod config_commands;
mod configuration;
mod conformance;
mod containers;
mod credentials;
mod default;
mod discovery;
mod docs;
mod etcd;
mod events;
mod failures;
mod fanout;
mod faults;
#[cfg(all(feature = "debug", feature = "image", feature = "lifecycle"))]
mod hostile;
#[cfg(all(feature = "debug", feature = "image", feature = "lifecycle"))]
mod hostile_archives;
#[cfg(feature = "image")]
mod images;
#[cfg(all(feature = "image", feature = "lifecycle"))]
mod lifecycle;
mod machine;
mod maintenance;
mod monitoring;
#[cfg(feature = "proxy")]
mod proxies;
#[cfg(feature = "proxy")]
mod proxy;
#[cfg(all(unix, feature = "proxy"))]
mod proxy_maintenance;
mod renewal;
mod resilience;
#[cfg(feature = "definitions")]
mod resource;
mod routing;
#[cfg(feature = "image")]
mod scripted;
#[cfg(feature = "siderov1")]
mod siderov1;
#[cfg(feature = "siderov1")]
mod siderov1_keys;
#[cfg(feature = "siderov1")]
mod siderov1_login;
#[cfg(feature = "siderov1")]
mod siderov1_server;
#[cfg(feature = "siderov1")]
mod siderov1_simulated;
#[cfg(unix)]
mod signer;
#[cfg(unix)]
mod single_machine;
mod storage;
mod streams;
mod support;
mod talosconfig;
mod trustd;
#[cfg(feature = "image")]
mod uploads;
mod usage;
mod watch;
#[cfg(feature = "workflows")]
mod workflow;
