//! A simulated cluster and a client for it.

use std::error::Error as _;

use talos_client::{Client, ClientBuilder, Error, Node, config::Talosconfig};
use talos_testkit::{RecordedCall, SimCluster, SimClusterBuilder};

pub(crate) struct Sim {
    pub(crate) cluster: SimCluster,
    pub(crate) client: Client,
}

impl Sim {
    /// Three control plane nodes and one worker, and an administrator's client.
    pub(crate) async fn start() -> Self {
        Self::of(SimCluster::builder().control_planes(3).workers(1)).await
    }

    pub(crate) async fn of(builder: SimClusterBuilder) -> Self {
        let cluster = builder
            .seed(7)
            .start()
            .await
            .expect("the simulated cluster starts");
        let client = builder_for(&cluster).build().expect("a client");
        Self { cluster, client }
    }

    /// The node at this index of the cluster.
    pub(crate) fn node(&self, index: usize) -> Node {
        self.client
            .node(self.cluster.node(index).name())
            .expect("a node name")
    }

    /// A client with other roles than the administrator's.
    pub(crate) fn client_with_roles(&self, roles: &[&str]) -> Client {
        let text = self.cluster.talosconfig_for_roles(roles.iter().copied());
        let talosconfig = Talosconfig::parse(text).expect("a talosconfig");
        Client::builder()
            .talosconfig(talosconfig)
            .build()
            .expect("a client")
    }

    /// The request message of the only call of this RPC, which was for the node at this index.
    pub(crate) fn received_by<M: prost::Message + Default>(&self, index: usize, method: &str) -> M {
        let call = self.received(method);
        assert_eq!(call.handled_by, [self.cluster.node(index).name()], "{call:#?}");
        message(&call)
    }

    /// The only call of this RPC that the cluster received.
    pub(crate) fn received(&self, method: &str) -> RecordedCall {
        let mut calls = self.cluster.requests().of(method);
        assert_eq!(calls.len(), 1, "{calls:#?}");
        calls.remove(0)
    }
}

/// A builder with the administrator's credentials for this cluster.
pub(crate) fn builder_for(cluster: &SimCluster) -> ClientBuilder {
    let talosconfig = Talosconfig::parse(cluster.talosconfig()).expect("a talosconfig");
    Client::builder().talosconfig(talosconfig)
}

/// Everything an error shows, its sources included.
pub(crate) fn shown(error: &Error) -> String {
    let mut text = format!("{error}\n{error:#}\n{error:?}\n{error:#?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("\n{error}\n{error:?}"));
        cause = error.source();
    }
    text
}

/// The values of a metadata key, as the endpoint received them.
pub(crate) fn metadata<'a>(call: &'a RecordedCall, key: &'a str) -> Vec<&'a str> {
    call.metadata_values(key).collect()
}

/// The request message of a call, as it was received.
pub(crate) fn message<M: prost::Message + Default>(call: &RecordedCall) -> M {
    assert_eq!(call.messages.len(), 1, "{call:#?}");
    M::decode(call.messages[0].clone()).expect("a message of this type")
}
