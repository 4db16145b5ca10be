//! Streams that a node sends: bytes, and lines of text.
//!
//! Every stream is a named type that implements [`Stream`](futures_core::Stream), holds no more than one
//! message and one line in memory, and cancels its call when dropped.

#[cfg(feature = "machine")]
mod bytes;
#[cfg(any(feature = "debug", feature = "image", feature = "machine"))]
mod cancel;
#[cfg(feature = "machine")]
mod coalesce;
#[cfg(feature = "machine")]
mod file;
mod frames;
#[cfg(feature = "machine")]
mod lines;
mod messages;
mod open;
#[cfg(feature = "machine")]
mod reader;
#[cfg(feature = "machine")]
mod split;
#[cfg(any(feature = "image", feature = "machine"))]
mod upload;

#[cfg(feature = "debug")]
pub(crate) use self::cancel::CancelOnDrop;
pub(crate) use self::messages::Messages;
#[cfg(any(feature = "image", feature = "machine"))]
pub(crate) use self::upload::{Progress, Source};
#[cfg(feature = "machine")]
pub use self::{bytes::ByteStream, coalesce::ChunkStream, lines::LineStream, reader::ByteReader};
#[cfg(feature = "machine")]
pub(crate) use self::{file::PartFile, split::LineSplitter};
