//! Counters of disks and network interfaces.

use std::time::Duration;

use talos_proto::{machine as proto, methods::machine::machine_service as methods};

use crate::{Node, api::wire::wraps, error::Result};

/// The unit of the kernel's counters, whatever the disk's own.
const SECTOR: u64 = 512;

/// What disks and their partitions have been doing since boot.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DiskStats {
    /// The sum over all devices; a disk and its partitions both count.
    pub total: DiskCounters,
    /// Each device.
    pub devices: Vec<DiskCounters>,
}

wraps! {
    /// What a disk or partition has been doing since boot.
    ///
    /// Times of parallel requests add up, so they can grow faster than the clock.
    pub struct DiskCounters(proto::DiskStat);
}

impl DiskCounters {
    /// The kernel's name without `/dev/`, such as `sda1`.
    pub fn name(&self) -> &str {
        &self.raw.name
    }

    /// What was read, in bytes.
    pub fn read_bytes(&self) -> u64 {
        self.raw.read_sectors.saturating_mul(SECTOR)
    }

    /// What was written, in bytes.
    pub fn written_bytes(&self) -> u64 {
        self.raw.write_sectors.saturating_mul(SECTOR)
    }

    /// What was discarded, in bytes.
    pub fn discarded_bytes(&self) -> u64 {
        self.raw.discard_sectors.saturating_mul(SECTOR)
    }

    /// Reads that are done.
    pub fn reads(&self) -> u64 {
        self.raw.read_completed
    }

    /// Writes that are done.
    pub fn writes(&self) -> u64 {
        self.raw.write_completed
    }

    /// Time of all reads.
    pub fn read_time(&self) -> Duration {
        Duration::from_millis(self.raw.read_time_ms)
    }

    /// Time of all writes.
    pub fn write_time(&self) -> Duration {
        Duration::from_millis(self.raw.write_time_ms)
    }

    /// Time in which there was something to do; its growth is the device's utilisation.
    pub fn busy_time(&self) -> Duration {
        Duration::from_millis(self.raw.io_time_ms)
    }

    /// Requests under way at this moment.
    pub fn in_progress(&self) -> u64 {
        self.raw.io_in_progress
    }
}

/// What network interfaces have been doing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct NetworkDeviceStats {
    /// The sum over all interfaces. Loopback is in it, and what goes through bridges, bonds and tunnels counts
    /// more than once.
    pub total: NetworkCounters,
    /// Each interface of the host's own network, sorted by name.
    pub devices: Vec<NetworkCounters>,
}

/// What a network interface has been doing since it was created.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkCounters {
    /// Its name; in a sum, the names of all interfaces.
    pub name: String,
    /// What came in.
    pub received: Traffic,
    /// What went out.
    pub sent: Traffic,
    /// The rest of the kernel's counters, as they came.
    pub raw: proto::NetDev,
}

/// Traffic in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it")]
pub struct Traffic {
    pub bytes: u64,
    pub packets: u64,
    pub errors: u64,
    pub dropped: u64,
}

impl From<proto::NetDev> for NetworkCounters {
    fn from(raw: proto::NetDev) -> Self {
        Self {
            name: raw.name.clone(),
            received: Traffic {
                bytes: raw.rx_bytes,
                packets: raw.rx_packets,
                errors: raw.rx_errors,
                dropped: raw.rx_dropped,
            },
            sent: Traffic {
                bytes: raw.tx_bytes,
                packets: raw.tx_packets,
                errors: raw.tx_errors,
                dropped: raw.tx_dropped,
            },
            raw,
        }
    }
}

impl Node {
    /// What disks and partitions have been doing since boot.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `machine.MachineService/DiskStats` · talosctl dashboard · since Talos 1.7 or older · role os:reader ·
    /// read-only
    pub async fn disk_stats(&self) -> Result<DiskStats> {
        let target = self.target();
        let message = target
            .single(&methods::DISK_STATS, (), |request| async {
                target.machine().disk_stats(request).await
            })
            .await?;
        Ok(DiskStats {
            total: message.total.unwrap_or_default().into(),
            devices: message.devices.into_iter().map(DiskCounters::from).collect(),
        })
    }

    /// What network interfaces have been doing since they were created.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `machine.MachineService/NetworkDeviceStats` · talosctl dashboard · since Talos 1.7 or older · role
    /// os:reader · read-only
    pub async fn network_device_stats(&self) -> Result<NetworkDeviceStats> {
        let target = self.target();
        let message = target
            .single(&methods::NETWORK_DEVICE_STATS, (), |request| async {
                target.machine().network_device_stats(request).await
            })
            .await?;
        let mut devices: Vec<NetworkCounters> = message.devices.into_iter().map(Into::into).collect();
        devices.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(NetworkDeviceStats {
            total: message.total.unwrap_or_default().into(),
            devices,
        })
    }
}
