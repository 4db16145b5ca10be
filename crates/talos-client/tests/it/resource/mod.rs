//! Resources: all types, lists, watches, stores, writes.

mod dynamic;
mod earlier;
mod go_server;
mod many;
mod read;
mod samples;
mod state;
mod store;
mod types;
mod watch;
