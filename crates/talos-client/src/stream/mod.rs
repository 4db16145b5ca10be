//! Streams that a node sends: bytes, and lines of text.
//!
//! Every stream is a named type that implements [`Stream`](futures_core::Stream), holds no more than one
//! message and one line in memory, and cancels its call when dropped.

mod bytes;
mod lines;
mod split;

pub use bytes::{ByteReader, ByteStream};
pub use lines::LineStream;
