//! Maintainer tasks of the workspace, as a library so that each piece has unit tests.
//!
//! The binary (`cargo xtask`) only parses arguments and prints. Nothing here depends on the other crates of
//! the workspace: the generator has to run when they do not compile.

pub mod codegen;
pub mod descriptors;
pub mod output;
pub mod workspace;
