//! `cargo xtask protos` on a small invented API, through the program itself; see `tests/fixtures/protos`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod differences;
mod form;
mod refresh;
mod sources;
mod support;
