//! What the example programs share. The programs are in the folders beside this one.

mod cluster;
mod pages;

use std::error::Error;

pub use cluster::{ClusterArguments, Opened};

/// An error with its causes, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(reason) = source {
        text += &format!(": {reason}");
        source = reason.source();
    }
    text
}
