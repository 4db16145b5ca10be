//! The contents of a gzip as it comes.

use std::{
    io::{self, Write as _},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BufMut as _, Bytes, BytesMut, buf::Writer};
use flate2::write::GzDecoder;
use futures_core::Stream;

use crate::{
    error::{Error, Result},
    stream::ByteStream,
};

/// A gzip that is being received, and a status after it.
#[derive(Debug)]
pub(super) struct Gunzip {
    stream: ByteStream,
    /// Received and not unpacked.
    input: Bytes,
    /// `None` once the end of the gzip was seen. What is unpacked is in the writer.
    decoder: Option<GzDecoder<Writer<BytesMut>>>,
    /// What is left of the output after the end.
    rest: BytesMut,
    /// The stream has ended.
    over: bool,
    /// The status that came after a complete gzip.
    trailing: Option<Error>,
}

impl Gunzip {
    pub(super) fn new(stream: ByteStream) -> Self {
        Self {
            stream,
            input: Bytes::new(),
            decoder: Some(GzDecoder::new(BytesMut::new().writer())),
            rest: BytesMut::new(),
            over: false,
            trailing: None,
        }
    }

    /// What is unpacked, for the reader to take.
    pub(super) fn output(&mut self) -> &mut BytesMut {
        match &mut self.decoder {
            Some(decoder) => decoder.get_mut().get_mut(),
            None => &mut self.rest,
        }
    }

    /// The status that came after a complete gzip, once the stream is at its end.
    pub(super) fn trailing(&self) -> Option<&Error> {
        self.trailing.as_ref()
    }

    pub(super) fn take_trailing(&mut self) -> Option<Error> {
        self.trailing.take()
    }

    /// An error about the contents.
    pub(super) fn malformed(&self, message: &'static str) -> Error {
        self.stream.call().malformed(message)
    }

    /// Unpacks a little more, or says that there is no more. To be asked only when the output is nearly empty.
    pub(super) fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool>> {
        let before = self.output().len();
        loop {
            if !self.input.is_empty() {
                self.unpack()?;
                if self.output().len() > before {
                    return Poll::Ready(Ok(true));
                }
                continue;
            }
            if self.over {
                return Poll::Ready(Ok(false));
            }
            let next = ready!(Pin::new(&mut self.stream).poll_next(cx));
            match next {
                Some(Ok(chunk)) => {
                    self.input = chunk;
                    continue;
                }
                Some(Err(error)) => {
                    self.over = true;
                    // After the whole of it, the error is about what is not in it.
                    if self.finish().is_err() {
                        return Poll::Ready(Err(error));
                    }
                    self.trailing = Some(error);
                }
                None => {
                    self.over = true;
                    self.finish().map_err(|error| {
                        self.malformed("the archive is cut off or damaged")
                            .with_source(error)
                    })?;
                }
            }
            if self.output().len() > before {
                return Poll::Ready(Ok(true));
            }
        }
    }

    /// Takes some of the input; a call makes no more output than the decoder's own buffer of 32 KiB.
    fn unpack(&mut self) -> Result<()> {
        let Some(decoder) = &mut self.decoder else {
            // After the end nothing has a meaning.
            self.input.clear();
            return Ok(());
        };
        let taken = match decoder.write(&self.input) {
            Ok(0) => self.finish(),
            Ok(taken) => {
                self.input.advance(taken);
                Ok(())
            }
            Err(error) => Err(error),
        };
        taken.map_err(|error| {
            self.malformed("the archive is cut off or damaged")
                .with_source(error)
        })
    }

    /// The end of the gzip: checks its sum, and keeps what is not taken.
    fn finish(&mut self) -> io::Result<()> {
        if let Some(mut decoder) = self.decoder.take() {
            let finished = decoder.try_finish();
            self.rest = std::mem::take(decoder.get_mut().get_mut());
            finished?;
        }
        Ok(())
    }
}
