//! Calls with one reply.

use std::future::Future;

use talos_proto::methods::MethodInfo;

use super::{
    CallInfo, Target,
    reply::{Reply, single},
};
use crate::error::Result;

impl Target {
    /// Makes a call whose reply wraps one message per node, and takes out the only one.
    pub(crate) async fn single<M, R, F>(
        &self,
        method: &'static MethodInfo,
        message: M,
        send: impl FnOnce(tonic::Request<M>) -> F,
    ) -> Result<R::Message>
    where
        R: Reply,
        F: Future<Output = Result<tonic::Response<R>, tonic::Status>>,
    {
        single(self.call(method, message, send).await?)
    }

    /// The same, with what is known about the call, for errors about the contents of the message.
    pub(crate) async fn single_of<M, R, F>(
        &self,
        method: &'static MethodInfo,
        message: M,
        send: impl FnOnce(tonic::Request<M>) -> F,
    ) -> Result<(R::Message, CallInfo)>
    where
        R: Reply,
        F: Future<Output = Result<tonic::Response<R>, tonic::Status>>,
    {
        let (reply, call) = self.call(method, message, send).await?;
        let message = single((reply, call.clone()))?;
        Ok((message, call))
    }

    /// Makes a call that is only acknowledged: the message of the reply says nothing more than that it came.
    pub(crate) async fn ack<M, R, F>(
        &self,
        method: &'static MethodInfo,
        message: M,
        send: impl FnOnce(tonic::Request<M>) -> F,
    ) -> Result<()>
    where
        R: Reply,
        F: Future<Output = Result<tonic::Response<R>, tonic::Status>>,
    {
        self.single(method, message, send).await.map(drop)
    }
}
