#![doc = include_str!("../README.md")]
#![cfg_attr(feature = "_docs", doc = "# Features\n")]
#![cfg_attr(feature = "_docs", doc = document_features::document_features!())]
#![cfg_attr(docsrs, feature(doc_cfg))]

// Generated code follows the generators' taste, not ours: this is the one place where lints are relaxed.
#[rustfmt::skip]
#[allow(deprecated, missing_docs, unreachable_pub, unused_qualifications, reason = "generated code")]
#[allow(clippy::all, clippy::use_self, clippy::or_fun_call, clippy::missing_errors_doc, reason = "generated code")]
#[allow(rustdoc::all, reason = "comments of generated code")]
mod generated;

pub mod methods;

#[allow(
    unused_imports,
    unreachable_pub,
    reason = "nothing is left of it when all features are off"
)]
pub use generated::*;
