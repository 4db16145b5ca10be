//! What a node is doing: its name, memory and load.

use talos_proto::{machine as proto, methods::machine::machine_service as methods};

use crate::{Node, error::Result};

/// The memory of a node, in bytes.
///
/// The kernel reports KiB; every accessor here multiplies, so that there is one unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    raw: proto::MemInfo,
}

impl Memory {
    /// Usable memory, in bytes.
    pub fn total(&self) -> u64 {
        bytes(self.raw.memtotal)
    }

    /// What programs can still get without swapping, in bytes; an estimate of the kernel.
    pub fn available(&self) -> u64 {
        bytes(self.raw.memavailable)
    }

    /// What is used and cannot be had: total less available, in bytes.
    pub fn used(&self) -> u64 {
        self.total().saturating_sub(self.available())
    }

    /// Memory that holds nothing at all, in bytes. A low value is normal; see [`Memory::available`].
    pub fn free(&self) -> u64 {
        bytes(self.raw.memfree)
    }

    /// Memory of the kernel's file buffers, in bytes.
    pub fn buffers(&self) -> u64 {
        bytes(self.raw.buffers)
    }

    /// Memory of the page cache, in bytes.
    pub fn cached(&self) -> u64 {
        bytes(self.raw.cached)
    }

    /// All counters as they came; those with a unit are in KiB.
    pub fn into_inner(self) -> proto::MemInfo {
        self.raw
    }
}

fn bytes(kib: u64) -> u64 {
    kib.saturating_mul(1024)
}

/// How many processes were running or waiting, on average.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LoadAverage {
    /// Over the last minute.
    pub one: f64,
    /// Over the last five minutes.
    pub five: f64,
    /// Over the last fifteen minutes.
    pub fifteen: f64,
}

impl Node {
    /// The node's host name, as its kernel has it.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `machine.MachineService/Hostname` · since Talos 1.7 or older · role os:reader · read-only
    pub async fn hostname(&self) -> Result<String> {
        let target = self.target();
        let method = &methods::HOSTNAME;
        let message = target
            .single(method, (), |request| async {
                target.machine().hostname(request).await
            })
            .await?;
        Ok(message.hostname)
    }

    /// The node's memory.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call; `Malformed` where the node sends no counters.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `machine.MachineService/Memory` · talosctl memory · since Talos 1.7 or older · role
    /// os:reader · read-only
    pub async fn memory(&self) -> Result<Memory> {
        let target = self.target();
        let method = &methods::MEMORY;
        let (message, call) = target
            .single_of(method, (), |request| async {
                target.machine().memory(request).await
            })
            .await?;
        let raw = message
            .meminfo
            .ok_or_else(|| call.malformed("the reply has no counters"))?;
        Ok(Memory { raw })
    }

    /// The node's load.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `machine.MachineService/LoadAvg` · since Talos 1.7 or older · role os:reader · read-only
    pub async fn load_average(&self) -> Result<LoadAverage> {
        let target = self.target();
        let method = &methods::LOAD_AVG;
        let message = target
            .single(method, (), |request| async {
                target.machine().load_avg(request).await
            })
            .await?;
        Ok(LoadAverage {
            one: message.load1,
            five: message.load5,
            fifteen: message.load15,
        })
    }
}
