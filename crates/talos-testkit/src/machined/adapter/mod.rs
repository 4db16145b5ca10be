//! From the generated server traits to plain functions: one line per RPC, one file per RPC service.

mod cluster;
mod debug;
mod image;
mod inspect;
mod lifecycle;
mod lvm;
mod machine;
mod md;
mod state;
mod storage;
mod time;

use std::sync::Arc;

use tonic::Request;

use super::Caller;
use super::rpc::Call;
use crate::node::Node;

/// Implements the generated traits for one node.
#[derive(Debug)]
pub(super) struct Handlers {
    pub(super) node: Arc<Node>,
}

impl Handlers {
    fn call<T>(&self, request: &mut Request<T>) -> Call {
        let caller = request.extensions_mut().remove::<Caller>();
        // `Machined` inserts it in front of every call; without it, nothing would be allowed.
        let caller = caller.unwrap_or_default();
        Call {
            node: Arc::clone(&self.node),
            caller,
        }
    }
}

/// One method of a generated trait, answered by a function of `machined::rpc`. This is what `async_trait`
/// makes of an `async fn`, which it cannot see inside a macro.
macro_rules! rpc {
    (unary $name:ident($request:ty) -> $reply:ty = $handler:path) => {
        rpc! { @method $name(tonic::Request<$request>) -> $reply = $handler }
    };
    (client $name:ident($request:ty) -> $reply:ty = $handler:path) => {
        rpc! { @method $name(tonic::Request<tonic::Streaming<$request>>) -> $reply = $handler }
    };
    (server $name:ident($request:ty) -> $stream:ident: $item:ty = $handler:path) => {
        type $stream = $crate::machined::rpc::Items<$item>;

        rpc! { @method $name(tonic::Request<$request>) -> Self::$stream = $handler }
    };
    (bidi $name:ident($request:ty) -> $stream:ident: $item:ty = $handler:path) => {
        type $stream = $crate::machined::rpc::Items<$item>;

        rpc! { @method $name(tonic::Request<tonic::Streaming<$request>>) -> Self::$stream = $handler }
    };
    (@method $name:ident($request:ty) -> $reply:ty = $handler:path) => {
        fn $name<'life0, 'async_trait>(
            &'life0 self,
            mut request: $request,
        ) -> std::pin::Pin<
            Box<dyn Future<Output = Result<tonic::Response<$reply>, tonic::Status>> + Send + 'async_trait>,
        >
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            let call = self.call(&mut request);
            Box::pin(async move {
                $handler(call, request.into_inner())
                    .await
                    .map(tonic::Response::new)
            })
        }
    };
}
use rpc;
