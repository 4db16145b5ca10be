//! Maintainer tasks of the workspace, as a library so that each piece has unit tests.
//!
//! The binary (`cargo xtask`) only parses arguments and prints. Nothing here depends on the other crates of
//! the workspace: the generator has to run when they do not compile.

#![expect(
    clippy::missing_errors_doc,
    reason = "not an API: every error ends up on the terminal, with its context"
)]

pub mod bench;
pub mod book;
pub mod ci;
pub mod codegen;
pub mod coverage;
pub mod coverage_page;
pub mod descriptors;
pub mod faults;
pub mod footprint;
pub mod functions;
pub mod interop;
pub mod methods;
pub mod output;
pub mod protos;
pub mod resources;
pub mod workspace;
