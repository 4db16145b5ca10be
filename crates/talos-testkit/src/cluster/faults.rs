//! Injecting faults.

use std::sync::Arc;

use super::{SimCluster, SimNode};
use crate::error::SimError;
use crate::fault::{Fault, FaultHandle};
use crate::network::Network;

impl SimCluster {
    /// Lets something go wrong from now on: a [`CallFault`](crate::fault::CallFault) or a
    /// [`ConnectionFault`](crate::fault::ConnectionFault). See [`fault`](crate::fault) for how they combine.
    ///
    /// # Errors
    ///
    /// [`SimError::UnknownNode`] if the fault names a node that the cluster does not have.
    pub fn inject(&self, fault: impl Into<Fault>) -> Result<FaultHandle, SimError> {
        inject(&self.network, fault.into())
    }

    /// Takes all faults away.
    pub fn clear_faults(&self) {
        self.network.faults.clear();
        self.network.apply_faults();
    }
}

impl SimNode {
    /// As [`SimCluster::inject`], for those who hold a node. The fault may be about another one.
    ///
    /// # Errors
    ///
    /// [`SimError::UnknownNode`] if the fault names a node that the cluster does not have.
    pub fn inject(&self, fault: impl Into<Fault>) -> Result<FaultHandle, SimError> {
        inject(&self.network, fault.into())
    }
}

fn inject(network: &Arc<Network>, Fault(kind): Fault) -> Result<FaultHandle, SimError> {
    let find = |name: Option<&str>| match name {
        None => Ok(None),
        Some(name) => match network.find(name) {
            Some(index) => Ok(Some(index)),
            None => Err(SimError::UnknownNode {
                name: name.to_owned(),
            }),
        },
    };
    let (node, from) = kind.names();
    let (node, from) = (find(node)?, find(from)?);
    let rule = network.faults.add(kind, node, from);
    network.apply_faults();
    Ok(FaultHandle {
        network: Arc::clone(network),
        rule,
    })
}
