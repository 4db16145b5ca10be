//! One call that an endpoint makes to several nodes, by the metadata `nodes`: what Talos clients did before they asked each
//! node themselves.
//!
//! Deprecated by Talos since v1.14, whose endpoints trace a warning, and gone in v2.0; use
//! [`Client::nodes`](crate::Client::nodes). This is for comparing, and for where calls are counted or limited.
//!
//! Only RPCs whose replies are lists can be asked so. Nothing here changes a node.

use std::{future::Future, sync::Arc};

use talos_proto::{
    machine::{self as proto, machine_service_client::MachineServiceClient},
    methods::{MethodInfo, machine::machine_service as methods},
};
use talos_transport::{Channel, MAX_MESSAGE_SIZE, NodeName};

use super::NodeMap;
use crate::{
    call::{Reply, Target, split},
    error::Result,
};

/// Several nodes that one endpoint is to ask; made by [`Client::aggregate`](crate::Client::aggregate).
///
/// Replies are the messages as they came, by node. An outer error means that nobody was asked, or that the reply as a whole
/// was lost. Errors of single nodes, which Talos puts into a reply that is otherwise `OK`, are in the map, as other errors
/// are: with kind, code and the node's name. A node that the reply says nothing about is an error of kind
/// [`Malformed`](crate::ErrorKind::Malformed).
///
/// ```no_run
/// # async fn example(client: talos_client::Client) -> talos_client::Result<()> {
/// for (node, version) in client.aggregate(["10.5.0.2", "10.5.0.3"])?.version().await? {
///     println!("{node}: {:?}", version?.version);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is asked before a method is called"]
pub struct Aggregate {
    target: Target,
    nodes: Arc<[NodeName]>,
}

/// What each node answered.
type Replies<T> = Result<NodeMap<Result<T>>>;

impl Aggregate {
    pub(crate) fn new(target: Target, nodes: Arc<[NodeName]>) -> Self {
        Self { target, nodes }
    }

    /// The nodes that are asked, each once.
    pub fn nodes(&self) -> &[NodeName] {
        &self.nodes
    }

    async fn call<R, F>(
        &self,
        method: &'static MethodInfo,
        send: impl FnOnce(MachineServiceClient<Channel>, tonic::Request<()>) -> F,
    ) -> Replies<R::Message>
    where
        R: Reply,
        F: Future<Output = Result<tonic::Response<R>, tonic::Status>>,
    {
        let stub = MachineServiceClient::new(self.target.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_SIZE);
        let reply = self
            .target
            .call(method, (), |request| send(stub, request))
            .await?;
        Ok(split(reply, &self.nodes))
    }

    /// The Talos release of each node (`machine.MachineService/Version`, any role).
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn version(&self) -> Replies<proto::Version> {
        let send = |mut stub: MachineServiceClient<_>, request| async move { stub.version(request).await };
        self.call(&methods::VERSION, send).await
    }

    /// The host name of each node (`machine.MachineService/Hostname`, role os:reader).
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn hostname(&self) -> Replies<proto::Hostname> {
        let send = |mut stub: MachineServiceClient<_>, request| async move { stub.hostname(request).await };
        self.call(&methods::HOSTNAME, send).await
    }

    /// The memory of each node, in KiB (`machine.MachineService/Memory`, role os:reader).
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn memory(&self) -> Replies<proto::Memory> {
        let send = |mut stub: MachineServiceClient<_>, request| async move { stub.memory(request).await };
        self.call(&methods::MEMORY, send).await
    }

    /// The load of each node (`machine.MachineService/LoadAvg`, role os:reader).
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn load_average(&self) -> Replies<proto::LoadAvg> {
        let send = |mut stub: MachineServiceClient<_>, request| async move { stub.load_avg(request).await };
        self.call(&methods::LOAD_AVG, send).await
    }

    /// The services of each node (`machine.MachineService/ServiceList`, role os:reader).
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn services(&self) -> Replies<proto::ServiceList> {
        let send =
            |mut stub: MachineServiceClient<_>, request| async move { stub.service_list(request).await };
        self.call(&methods::SERVICE_LIST, send).await
    }
}
