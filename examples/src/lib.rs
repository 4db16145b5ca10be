//! What the example programs share. The programs are in the folders beside this one.

mod cluster;
mod pages;

use std::{error::Error, process::ExitCode};

pub use cluster::{ClusterArguments, Opened};

/// What a program ends with: it says why it failed, if it did.
#[expect(clippy::print_stderr, reason = "a program reports its failure on stderr")]
pub fn exit(result: Result<(), Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

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
