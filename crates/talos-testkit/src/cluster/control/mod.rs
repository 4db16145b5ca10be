//! What tests can set on a node, an area a file.

mod config;
mod etcd;
mod files;
mod hardware;
mod images;
mod operations;

pub use files::SimFile;
