//! HTTP/2 frames in a stream of bytes, without their payloads.

/// What the header of a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

pub(super) const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
pub(super) const RST_STREAM: u8 = 0x3;
pub(super) const PING: u8 = 0x6;

/// On DATA and HEADERS: the sender says no more on this stream.
pub(super) const END_STREAM: u8 = 0x1;
/// On PING: an answer.
pub(super) const ACK: u8 = 0x1;

const HEAD: usize = 9;

/// Finds frames in the bytes of one direction.
#[derive(Debug)]
pub(super) struct FrameScanner {
    head: Vec<u8>,
    /// Bytes to skip: the rest of the preface or of a payload.
    skip: u64,
    /// The frame whose payload is passing.
    current: Option<FrameHead>,
}

impl FrameScanner {
    /// A scanner that skips `preface` bytes first.
    pub(super) fn new(preface: u64) -> Self {
        Self {
            head: Vec::with_capacity(HEAD),
            skip: preface,
            current: None,
        }
    }

    /// Whether the bytes so far end with the end of a frame.
    pub(super) fn at_boundary(&self) -> bool {
        self.skip == 0 && self.head.is_empty()
    }

    /// Takes `bytes` in. `visit` sees the head of each frame as soon as it is complete, and for each piece of
    /// a payload the head again with the length of the piece.
    pub(super) fn scan(&mut self, mut bytes: &[u8], mut visit: impl FnMut(FrameHead, Seen)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let length = (bytes.len() as u64).min(self.skip);
                self.skip -= length;
                if let Some(head) = self.current {
                    visit(head, Seen::Payload(length));
                }
                bytes = &bytes[usize::try_from(length).unwrap_or(bytes.len())..];
                continue;
            }
            let taken = (HEAD - self.head.len()).min(bytes.len());
            self.head.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if let &[a, b, c, kind, flags, d, e, f, g] = self.head.as_slice() {
                let head = FrameHead {
                    length: u32::from_be_bytes([0, a, b, c]),
                    kind,
                    flags,
                    stream: u32::from_be_bytes([d, e, f, g]) & 0x7fff_ffff,
                };
                self.head.clear();
                self.skip = u64::from(head.length);
                self.current = Some(head);
                visit(head, Seen::Head);
            }
        }
    }
}

/// Which part of a frame was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Head,
    Payload(u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let mut wire = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        wire.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        wire.extend([0, 0, 8, PING, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        wire.extend([0, 0, 2, DATA, END_STREAM, 0x80, 0, 0, 5, 9, 9]);
        for size in [1, 2, 7, 24, wire.len()] {
            let mut scanner = FrameScanner::new(24);
            let mut heads = Vec::new();
            let mut payload = 0;
            for piece in wire.chunks(size) {
                scanner.scan(piece, |head, seen| match seen {
                    Seen::Head => heads.push((head.kind, head.flags, head.stream, head.length)),
                    Seen::Payload(length) => payload += length,
                });
            }
            assert_eq!(
                heads,
                [(4, 0, 0, 0), (PING, 0, 0, 8), (DATA, END_STREAM, 5, 2)],
                "{size}"
            );
            assert_eq!(payload, 10);
            assert!(scanner.at_boundary());
            scanner.scan(&[0], |_, _| {});
            assert!(!scanner.at_boundary());
        }
    }
}
