//! Cutting a byte stream into lines, without I/O.

use bytes::{Buf, Bytes, BytesMut};

/// Collects chunks that end anywhere and gives back lines.
#[derive(Debug)]
pub(crate) struct LineSplitter {
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line end.
    searched: usize,
    max_line: usize,
}

impl LineSplitter {
    /// Lines longer than `max_line` bytes come out in pieces of that size.
    pub(crate) fn new(max_line: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            searched: 0,
            max_line: max_line.max(1),
        }
    }

    /// Adds a chunk.
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next complete line, without its `\n`.
    pub(crate) fn next_line(&mut self) -> Option<Bytes> {
        let window = self.buffer.len().min(self.max_line + 1);
        let found = self.buffer[self.searched.min(window)..window]
            .iter()
            .position(|byte| *byte == b'\n');
        if let Some(offset) = found {
            let line = self.buffer.split_to(self.searched + offset).freeze();
            self.buffer.advance(1);
            self.searched = 0;
            return Some(line);
        }
        if self.buffer.len() > self.max_line {
            self.searched = 0;
            return Some(self.buffer.split_to(self.max_line).freeze());
        }
        self.searched = self.buffer.len();
        None
    }

    /// What is left at the end of the stream: a last line without `\n`.
    pub(crate) fn finish(&mut self) -> Option<Bytes> {
        self.searched = 0;
        (!self.buffer.is_empty()).then(|| self.buffer.split().freeze())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[&[u8]], max_line: usize) -> Vec<Bytes> {
        let mut splitter = LineSplitter::new(max_line);
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.push(chunk);
            lines.extend(std::iter::from_fn(|| splitter.next_line()));
        }
        lines.extend(splitter.finish());
        lines
    }

    #[test]
    fn lines_come_out_whole_wherever_chunks_end() {
        let cases: [(&[&[u8]], &[&str]); 7] = [
            (&[], &[]),
            (&[b"one\ntwo\n"], &["one", "two"]),
            (&[b"o", b"ne", b"\n", b"two"], &["one", "two"]),
            (&[b"one\n\nthree\n"], &["one", "", "three"]),
            (&[b"\n"], &[""]),
            (&[b"tail only"], &["tail only"]),
            (&[b"carriage\r\n"], &["carriage\r"]),
        ];
        for (chunks, expected) in cases {
            assert_eq!(split(chunks, 100), expected, "{chunks:?}");
        }
    }

    #[test]
    fn a_line_without_end_does_not_grow_without_bound() {
        assert_eq!(split(&[b"abcdefgh\nx"], 3), ["abc", "def", "gh", "x"]);
        assert_eq!(split(&[b"abc\ndef\n"], 3), ["abc", "def"]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_chunk_borders_do_not_matter(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            cuts in proptest::collection::vec(0_usize..200, 0..10),
        ) {
            let mut borders: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            borders.extend([0, text.len()]);
            borders.sort_unstable();
            let chunks: Vec<_> = borders.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            let expected: Vec<_> = {
                let body = text.strip_suffix(b"\n").unwrap_or(&text);
                if text.is_empty() { Vec::new() } else { body.split(|byte| *byte == b'\n').collect() }
            };
            prop_assert_eq!(split(&chunks, 1000), expected);
        }
    }
}
