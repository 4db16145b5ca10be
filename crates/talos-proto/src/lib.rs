#![doc = include_str!("../README.md")]
#![cfg_attr(feature = "_docs", doc = "\n# Features\n")]
#![cfg_attr(feature = "_docs", doc = document_features::document_features!())]
#![cfg_attr(docsrs, feature(doc_cfg))]

// Where things are: `generated/mod.rs` holds the tree of the protobuf packages, and each package is split into
// a file per set of features that reaches its items (`machine/image.rs`: only feature `image`). A new RPC goes
// into `proto/`, gets a row in `proto/methods.toml`, and `cargo xtask codegen` does the rest; a new service also
// needs a feature, see `xtask/src/codegen/features.rs` and the manifest of this crate.

pub mod methods;

// The one place where lints are relaxed: generated code follows the taste of its generators.
#[rustfmt::skip]
#[allow(deprecated, missing_docs, unreachable_pub, reason = "generated code")]
#[allow(clippy::all, clippy::missing_errors_doc, clippy::or_fun_call, clippy::use_self, reason = "generated code")]
#[allow(rustdoc::all, reason = "the comments come from the protos")]
mod generated;

#[allow(
    unused_imports,
    unreachable_pub,
    reason = "nothing is left of it without features"
)]
pub use generated::*;
