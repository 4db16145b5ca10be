//! Calls that are fed with bytes.

use std::{
    fmt, future, io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use talos_proto::methods::MethodInfo;
use tokio::{io::AsyncRead, sync::oneshot, time::sleep};
use tokio_util::io::poll_read_buf;

use super::cancel::CancelOnDrop;
use crate::{
    call::{CallInfo, Kind, Target},
    error::{Error, ErrorKind, Origin, Result},
};

/// Bytes to be sent, as they come.
pub(crate) struct Source(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>);

/// Is told how many bytes were handed to the connection.
pub(crate) type Progress = Box<dyn FnMut(u64) + Send>;

/// What of the source has been taken, for the limit on silence.
#[derive(Debug, Default)]
struct Taken(AtomicU64);

/// The request of a call: a first message if there is one, and then the bytes.
struct Uploading<M> {
    source: Source,
    first: Option<M>,
    wrap: fn(Bytes) -> M,
    /// Of a chunk that was too large for one message.
    rest: Bytes,
    taken: Arc<Taken>,
    progress: Option<Progress>,
    failed: Option<oneshot::Sender<io::Error>>,
}

impl Source {
    /// What a reader reads.
    pub(crate) fn reader(reader: impl AsyncRead + Send + 'static) -> Self {
        Self(Box::pin(Reader {
            reader: Box::pin(reader),
            buffer: BytesMut::new(),
        }))
    }

    /// What a stream yields.
    pub(crate) fn stream<E>(stream: impl Stream<Item = Result<Bytes, E>> + Send + 'static) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Self(Box::pin(Other {
            stream: Box::pin(stream),
        }))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

impl Target {
    /// Makes a call whose request is a stream: `first` if there is one, then the source in messages of at most
    /// [`CHUNK`] bytes.
    ///
    /// The source is read when the connection has room for more. If it fails, the call is given up, so that
    /// the node does not take half of it for the whole. A call that makes no progress for as long as slow
    /// calls may take fails; there is no limit on the whole unless one was asked for. It is never made again.
    pub(crate) async fn upload<M, R, F>(
        &self,
        method: &'static MethodInfo,
        source: Source,
        progress: Option<Progress>,
        first: Option<M>,
        wrap: fn(Bytes) -> M,
        send: impl FnOnce(tonic::Request<UploadStream<M>>) -> F,
    ) -> Result<(R, CallInfo)>
    where
        M: Send + 'static,
        F: Future<Output = Result<tonic::Response<R>, tonic::Status>>,
    {
        let (failed, mut failure) = oneshot::channel();
        let taken = Arc::new(Taken::default());
        let request = UploadStream(Uploading {
            source,
            first,
            wrap,
            rest: Bytes::new(),
            taken: Arc::clone(&taken),
            progress,
            failed: Some(failed),
        });
        let idle = self.options.silence(self.timeouts.slow);
        let cancel = CancelOnDrop::default();
        let slot = cancel.slot();
        let mut call = pin!(self.call_as(Kind::Upload, method, request, |request| send(slot.watch(request))));
        let mut failure = Some(&mut failure);
        let mut sleeping = pin!(idle.map(sleep_for));
        let mut seen = taken.get();
        future::poll_fn(|cx| {
            match failure.as_deref_mut().map(|failure| Pin::new(failure).poll(cx)) {
                Some(Poll::Ready(Ok(error))) => return Poll::Ready(Err(self.source_failed(method, error))),
                // All of it was read.
                Some(Poll::Ready(Err(_))) => failure = None,
                Some(Poll::Pending) | None => {}
            }
            if let Poll::Ready(result) = call.as_mut().poll(cx) {
                return Poll::Ready(result);
            }
            while let (Some(mut sleep), Some(after)) = (sleeping.as_mut().as_pin_mut(), idle) {
                ready!(sleep.as_mut().poll(cx));
                let now = taken.get();
                if now == seen {
                    return Poll::Ready(Err(self.silent(method, after)));
                }
                seen = now;
                sleep.set(sleep_for(after));
            }
            Poll::Pending
        })
        .await
    }

    fn source_failed(&self, method: &'static MethodInfo, error: io::Error) -> Error {
        Error::new(ErrorKind::Io, Origin::Local)
            .with_method(method.path)
            .with_node(self.route.node().cloned())
            .with_message("what was to be sent cannot be read, and the call was given up")
            .with_source(error)
    }

    fn silent(&self, method: &'static MethodInfo, after: Duration) -> Error {
        Error::new(ErrorKind::Timeout, Origin::Local)
            .with_method(method.path)
            .with_node(self.route.node().cloned())
            .with_message(format!("no progress for {after:?}"))
    }
}

fn sleep_for(after: Duration) -> tokio::time::Sleep {
    sleep(after)
}

impl<M> Uploading<M> {
    fn fail(&mut self, error: io::Error) -> Poll<Option<M>> {
        if let Some(failed) = self.failed.take() {
            // Nobody is there to hear it if the call is over.
            let _ = failed.send(error);
        }
        Poll::Pending
    }
}

impl Taken {
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The request of a call that is fed with bytes.
pub(crate) struct UploadStream<M>(Uploading<M>);

impl<M: Unpin> Stream for UploadStream<M> {
    type Item = M;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<M>> {
        let this = &mut self.0;
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(first));
        }
        if this.failed.is_none() {
            // The call is being given up; ending here would tell the node that this was everything.
            return Poll::Pending;
        }
        while this.rest.is_empty() {
            match ready!(this.source.0.as_mut().poll_next(cx)) {
                Some(Ok(bytes)) => this.rest = bytes,
                Some(Err(error)) => return this.fail(error),
                None if this.taken.get() == 0 => {
                    return this.fail(io::Error::new(io::ErrorKind::UnexpectedEof, "it is empty"));
                }
                None => return Poll::Ready(None),
            }
        }
        let length = this.rest.len().min(CHUNK);
        let chunk = this.rest.split_to(length);
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        let total = this.taken.0.fetch_add(length, Ordering::Relaxed) + length;
        if let Some(progress) = &mut this.progress {
            progress(total);
        }
        Poll::Ready(Some((this.wrap)(chunk)))
    }
}

struct Reader {
    reader: Pin<Box<dyn AsyncRead + Send>>,
    buffer: BytesMut,
}

impl Stream for Reader {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.buffer.capacity() == 0 {
            this.buffer.reserve(CHUNK);
        }
        let read = ready!(poll_read_buf(this.reader.as_mut(), cx, &mut this.buffer))?;
        Poll::Ready((read > 0).then(|| Ok(this.buffer.split().freeze())))
    }
}

struct Other<S> {
    stream: Pin<Box<S>>,
}

impl<S, E> Stream for Other<S>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream
            .as_mut()
            .poll_next(cx)
            .map(|item| item.map(|item| item.map_err(io::Error::other)))
    }
}

/// Most bytes in one message: what talosctl uses for images.
pub(crate) const CHUNK: usize = 32 * 1024;
