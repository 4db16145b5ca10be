//! What each RPC does, one file per area. Functions take the call's context and the request, and know
//! nothing of HTTP, routing or authorization.

pub(super) mod apply_config;
pub(super) mod bootstrap;
pub(super) mod capture;
pub(super) mod client_config;
pub(super) mod containers;
pub(super) mod debug;
pub(super) mod etcd;
pub(super) mod events;
pub(super) mod files;
pub(super) mod health;
pub(super) mod images;
pub(super) mod inspect;
pub(super) mod kernel;
pub(super) mod kubeconfig;
pub(super) mod lifecycle;
pub(super) mod logs;
pub(super) mod meta;
pub(super) mod power;
pub(super) mod reset;
pub(super) mod resources;
pub(super) mod service_control;
pub(super) mod services;
pub(super) mod storage;
pub(super) mod system;
pub(super) mod time;
pub(super) mod upgrade;

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt as _;
use talos_proto::common::Data;
use tonic::Status;

use super::Caller;
use crate::node::{MachineRole, Node};

/// The context of one call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) node: Arc<Node>,
    pub(super) caller: Caller,
}

impl Call {
    /// Turns calls of `api` away unless the node belongs to the control plane.
    fn control_plane_only(&self, api: &str) -> Result<(), Status> {
        match self.node.machine_role() {
            Some(MachineRole::ControlPlane) => Ok(()),
            None => Err(Status::unimplemented(format!(
                "machine type is not set, cannot use {api} API"
            ))),
            Some(MachineRole::Worker) => Err(Status::unimplemented(format!(
                "{api} is only available on control plane nodes"
            ))),
        }
    }
}

/// The items of a streamed reply.
pub(crate) type Items<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A byte stream as a reply.
fn data(pieces: impl Stream<Item = Bytes> + Send + 'static) -> Items<Data> {
    Box::pin(pieces.map(|bytes| {
        Ok(Data {
            metadata: None,
            bytes,
        })
    }))
}

/// The answer of an RPC that a Talos node has and the simulator does not.
pub(super) fn not_simulated(what: &str) -> Status {
    Status::unimplemented(format!("talos-testkit does not simulate {what} yet"))
}
