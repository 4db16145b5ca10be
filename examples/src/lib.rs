//! What the example programs share. The programs are in the folders beside this one.

mod cluster;
mod pages;

pub use cluster::{ClusterArguments, Opened};
