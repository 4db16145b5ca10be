//! Lists of resources.

use std::{
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use talos_proto::{
    cosi::resource::{ListOptions, ListRequest as Message, ListResponse},
    methods::cosi::resource::state as methods,
};
use tonic::Streaming;

use super::{Item, Labels, Place, object, query::Query};
use crate::{
    CallOptions,
    call::{CallInfo, Target},
    error::Result,
};

/// Which resources to list; made by [`Resources::list`](super::Resources::list). Await it for all of them at
/// once, or [`stream`](Self::stream) them.
#[derive(Clone)]
#[must_use = "nothing is asked for before it is awaited"]
pub struct ListRequest<T> {
    target: Target,
    place: Place,
    query: Query,
    items: PhantomData<fn() -> T>,
}

impl<T: Item> ListRequest<T> {
    pub(crate) fn new(target: Target, place: Place) -> Self {
        Self {
            target,
            place,
            query: Query::default(),
            items: PhantomData,
        }
    }

    /// In another namespace than the type's default.
    pub fn in_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.place.namespace = namespace.into();
        self
    }

    /// Only those with such labels. Given several times, a resource needs to meet one of them.
    pub fn labels(mut self, labels: Labels) -> Self {
        self.query.labels(labels);
        self
    }

    /// Only those whose id has a match for this expression, in the syntax of RE2; anywhere, unless anchored
    /// by `^` and `$`.
    pub fn ids_matching(mut self, regexp: impl Into<String>) -> Self {
        self.query.ids_matching(regexp.into());
        self
    }

    /// With these options for this call. What they leave open is as for the handle.
    pub fn with_options(mut self, options: CallOptions) -> Self {
        self.target = self.target.with_options(options);
        self
    }

    /// The resources one by one, sorted by id, in constant memory.
    ///
    /// Nodes answer only together with the first resource, or when they know that there is none.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` for a sensitive type without `os:admin`, and for a type or namespace that the node
    /// does not have; `InvalidArgument` for an expression that is none; `InvalidInput` for a type of your own whose name is in
    /// another case than on the node; and every
    /// [`ErrorKind`](crate::ErrorKind) of a call. Later ones arrive in the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future or the stream cancels the call.
    ///
    /// Upstream: `cosi.resource.State/List` · talosctl get TYPE · since Talos 1.7 or older · role os:reader,
    /// os:admin for sensitive types · read-only
    pub async fn stream(self) -> Result<ListStream<T>> {
        let Self {
            target, place, query, ..
        } = self;
        target.check_spelling(&place).await?;
        let message = Message {
            namespace: place.namespace,
            r#type: place.kind,
            options: Some(ListOptions {
                label_query: query.labels,
                id_query: query.ids,
            }),
        };
        let (stream, call) = target
            .call(&methods::LIST, message, |request| async {
                target.state().list(request).await
            })
            .await?;
        Ok(ListStream {
            stream: Some(stream),
            call,
            items: PhantomData,
        })
    }
}

/// All of them, sorted by id. The first that does not decode fails the whole: stream them to have the others.
impl<T: Item> IntoFuture for ListRequest<T> {
    type Output = Result<Vec<T>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let mut stream = self.stream().await?;
            let mut items = Vec::new();
            while let Some(item) = stream.next_item().await {
                items.push(item?);
            }
            Ok(items)
        })
    }
}

impl<T> fmt::Debug for ListRequest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListRequest")
            .field("place", &self.place)
            .field("query", &self.query)
            .finish_non_exhaustive()
    }
}

/// Resources as they come; made by [`ListRequest::stream`].
///
/// A resource whose spec does not decode is an error of kind `Malformed` that names it, and the stream goes
/// on. Any other error is the last item.
#[must_use = "streams do nothing unless polled"]
pub struct ListStream<T> {
    stream: Option<Streaming<ListResponse>>,
    call: CallInfo,
    items: PhantomData<fn() -> T>,
}

impl<T: Item> ListStream<T> {
    /// The next resource; `None` after the last.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is lost.
    pub async fn next_item(&mut self) -> Option<Result<T>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<T: Item> Stream for ListStream<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(stream) = &mut this.stream else {
            return Poll::Ready(None);
        };
        let next = std::task::ready!(Pin::new(stream).poll_next(cx));
        Poll::Ready(match next {
            None => {
                this.stream = None;
                None
            }
            Some(Err(status)) => {
                this.stream = None;
                Some(Err(this.call.fail(status)))
            }
            Some(Ok(reply)) => Some(object::read(reply.resource).map_err(|broken| this.call.broken(broken))),
        })
    }
}

impl<T> fmt::Debug for ListStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListStream").finish_non_exhaustive()
    }
}
