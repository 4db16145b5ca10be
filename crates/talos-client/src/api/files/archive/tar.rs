//! The entries of a tar as it comes.

use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};

use super::{
    gunzip::Gunzip,
    header::{BLOCK, Block, Header, HeaderError, Special},
    pax::Overrides,
};
use crate::error::{Error, Result};

/// A `.tar.gz` that is being received.
#[derive(Debug)]
pub(super) struct Tar {
    input: Gunzip,
    /// Of the entry at hand: contents that were not read, and what fills up its last block.
    contents: u64,
    padding: u64,
    /// Data about the next entry, while they are read.
    special: Option<(Special, BytesMut)>,
    overrides: Overrides,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Entries,
    /// The end of the archive was seen; the rest is read for the status after it.
    Draining,
    Over,
}

impl Tar {
    pub(super) fn new(input: Gunzip) -> Self {
        Self {
            input,
            contents: 0,
            padding: 0,
            special: None,
            overrides: Overrides::default(),
            state: State::Entries,
        }
    }

    pub(super) fn input(&self) -> &Gunzip {
        &self.input
    }

    pub(super) fn input_mut(&mut self) -> &mut Gunzip {
        &mut self.input
    }

    /// The next entry; what was not read of the one before is left out.
    pub(super) fn poll_entry(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Header>>> {
        if self.state == State::Over {
            return Poll::Ready(Ok(None));
        }
        let entry = ready!(self.poll_entry_inner(cx));
        if !matches!(entry, Ok(Some(_))) {
            self.state = State::Over;
        }
        Poll::Ready(entry)
    }

    fn poll_entry_inner(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Header>>> {
        loop {
            if self.state == State::Draining {
                self.input.output().clear();
                if ready!(self.input.poll_more(cx))? {
                    continue;
                }
                return Poll::Ready(Ok(None));
            }
            // What is left of the entry before, or of special data.
            if self.special.is_some() {
                if !ready!(self.poll_special(cx))? {
                    return self.cut_off();
                }
                self.read_special().map_err(|error| self.bad_header(error))?;
            }
            while self.contents > 0 || self.padding > 0 {
                if !ready!(self.poll_skip(cx))? {
                    return self.cut_off();
                }
            }
            while self.input.output().len() < BLOCK {
                if !ready!(self.input.poll_more(cx))? {
                    return self.cut_off();
                }
            }
            let block = self.input.output().split_to(BLOCK);
            let block = block.first_chunk().map_or(Ok(Block::End), Block::parse);
            match block.map_err(|error| self.bad_header(error))? {
                Block::End => self.state = State::Draining,
                Block::Special(special, size) => {
                    if size > MAX_SPECIAL {
                        return Poll::Ready(Err(self.bad_header(HeaderError::TooLong)));
                    }
                    self.special = Some((special, BytesMut::new()));
                    self.expect(size);
                }
                Block::Entry(mut header) => {
                    std::mem::take(&mut self.overrides).apply(&mut header);
                    self.expect(header.contents());
                    return Poll::Ready(Ok(Some(header)));
                }
            }
        }
    }

    /// More of the contents of the entry at hand; `None` at its end.
    pub(super) fn poll_contents(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<Result<Option<Bytes>>> {
        if self.contents == 0 {
            return Poll::Ready(Ok(None));
        }
        if self.input.output().is_empty() {
            let more = ready!(self.input.poll_more(cx));
            if !matches!(more, Ok(true)) {
                self.state = State::Over;
                let cut_off = |_| Err(self.input.malformed(CUT_OFF));
                return Poll::Ready(more.and_then(cut_off));
            }
        }
        let wanted = usize::try_from(self.contents).unwrap_or(usize::MAX).min(room);
        let output = self.input.output();
        let piece = output.split_to(wanted.min(output.len())).freeze();
        self.contents -= piece.len() as u64;
        Poll::Ready(Ok(Some(piece)))
    }

    fn expect(&mut self, size: u64) {
        self.contents = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
    }

    /// Skips something; false at the end of the input.
    fn poll_skip(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool>> {
        if self.input.output().is_empty() && !ready!(self.input.poll_more(cx))? {
            return Poll::Ready(Ok(false));
        }
        let count = if self.contents > 0 {
            &mut self.contents
        } else {
            &mut self.padding
        };
        let output = self.input.output();
        let skipped = usize::try_from(*count).unwrap_or(usize::MAX).min(output.len());
        output.advance(skipped);
        *count -= skipped as u64;
        Poll::Ready(Ok(true))
    }

    /// Reads special data to their end; false at the end of the input.
    fn poll_special(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool>> {
        while self.contents > 0 {
            if self.input.output().is_empty() && !ready!(self.input.poll_more(cx))? {
                return Poll::Ready(Ok(false));
            }
            let wanted = usize::try_from(self.contents).unwrap_or(usize::MAX);
            let output = self.input.output();
            let piece = output.split_to(wanted.min(output.len()));
            self.contents -= piece.len() as u64;
            if let Some((_, data)) = &mut self.special {
                data.extend_from_slice(&piece);
            }
        }
        Poll::Ready(Ok(true))
    }

    fn read_special(&mut self) -> Result<(), HeaderError> {
        let Some((special, data)) = self.special.take() else {
            return Ok(());
        };
        // GNU ends names by a zero.
        let name = || {
            let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
            data[..end].to_vec()
        };
        match special {
            Special::Pax => self.overrides.read_pax(&data)?,
            Special::PaxGlobal => {}
            Special::LongPath => self.overrides.path = Some(name()),
            Special::LongLink => self.overrides.link = Some(name()),
        }
        Ok(())
    }

    /// The input ended where an entry should have been. If the node says why, that is the end of what it could
    /// read.
    fn cut_off(&self) -> Poll<Result<Option<Header>>> {
        Poll::Ready(match self.input.trailing() {
            Some(_) => Ok(None),
            None => Err(self.input.malformed(CUT_OFF)),
        })
    }

    fn bad_header(&self, error: HeaderError) -> Error {
        self.input
            .malformed("the archive has an entry that is none")
            .with_source(error)
    }
}

const CUT_OFF: &str = "the archive stops in the middle";
/// Names and attributes are shorter.
const MAX_SPECIAL: u64 = 1024 * 1024;
