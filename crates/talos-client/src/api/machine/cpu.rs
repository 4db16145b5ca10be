//! Processors of a node, and what they have been doing.

use std::time::{Duration, SystemTime};

use talos_proto::{machine as proto, methods::machine::machine_service as methods};

use super::seconds;
use crate::{Node, api::wire::wraps, error::Result};

wraps! {
    /// What the kernel of a node has been doing since it was booted.
    ///
    /// Most values only grow, so a rate takes two of these.
    pub struct SystemStat(proto::SystemStat);
}

/// How a CPU has spent its time since boot, in steps of 10 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CpuTimes {
    /// In programs, guests included.
    pub user: Duration,
    /// In programs of lowered priority, guests included.
    pub nice: Duration,
    /// In the kernel.
    pub system: Duration,
    /// With nothing to do.
    pub idle: Duration,
    /// With nothing to do but wait for devices.
    pub iowait: Duration,
    /// In interrupts of devices.
    pub irq: Duration,
    /// In soft interrupts.
    pub soft_irq: Duration,
    /// Taken by other virtual machines.
    pub steal: Duration,
    /// Running guests; part of `user`.
    pub guest: Duration,
    /// Running guests of lowered priority; part of `nice`.
    pub guest_nice: Duration,
}

impl CpuTimes {
    /// All of it. Guests are not counted twice.
    pub fn total(&self) -> Duration {
        self.busy() + self.idle + self.iowait
    }

    /// All but idling and waiting for devices.
    pub fn busy(&self) -> Duration {
        self.user + self.nice + self.system + self.irq + self.soft_irq + self.steal
    }
}

impl From<proto::CpuStat> for CpuTimes {
    fn from(raw: proto::CpuStat) -> Self {
        Self {
            user: seconds(raw.user),
            nice: seconds(raw.nice),
            system: seconds(raw.system),
            idle: seconds(raw.idle),
            iowait: seconds(raw.iowait),
            irq: seconds(raw.irq),
            soft_irq: seconds(raw.soft_irq),
            steal: seconds(raw.steal),
            guest: seconds(raw.guest),
            guest_nice: seconds(raw.guest_nice),
        }
    }
}

impl SystemStat {
    /// When the node was booted, to the second.
    pub fn boot_time(&self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(self.raw.boot_time))
    }

    /// The times of all CPUs together.
    pub fn cpu_total(&self) -> CpuTimes {
        self.raw.cpu_total.map(CpuTimes::from).unwrap_or_default()
    }

    /// The times of each CPU, by its number. A CPU that is offline has none, which shows as zero.
    pub fn cpus(&self) -> impl ExactSizeIterator<Item = CpuTimes> {
        self.raw.cpu.iter().copied().map(CpuTimes::from)
    }

    /// Switches from one task to another.
    pub fn context_switches(&self) -> u64 {
        self.raw.context_switches
    }

    /// Processes and threads that were created.
    pub fn processes_created(&self) -> u64 {
        self.raw.process_created
    }

    /// Tasks that run or wait for a CPU at this moment.
    pub fn processes_running(&self) -> u64 {
        self.raw.process_running
    }

    /// Tasks that wait for devices at this moment.
    pub fn processes_blocked(&self) -> u64 {
        self.raw.process_blocked
    }

    /// Interrupts of all kinds.
    pub fn interrupts(&self) -> u64 {
        self.raw.irq_total
    }

    /// Soft interrupts of all kinds.
    pub fn soft_interrupts(&self) -> u64 {
        self.raw.soft_irq_total
    }
}

wraps! {
    /// A logical CPU, that is a hardware thread; what is not on this architecture is empty.
    pub struct CpuInfo(proto::CpuInfo);
}

impl CpuInfo {
    /// Its number, from 0.
    pub fn number(&self) -> u32 {
        self.raw.processor
    }

    /// Maker and model in the maker's words.
    pub fn model_name(&self) -> &str {
        &self.raw.model_name
    }

    /// The clock when it was read, in MHz; 0 where the kernel does not say.
    pub fn mhz(&self) -> f64 {
        self.raw.cpu_mhz
    }

    /// Number of the socket, and of the core within it. Threads of one core share both; count distinct ones to
    /// know how many cores there are.
    pub fn core(&self) -> (&str, &str) {
        (&self.raw.physical_id, &self.raw.core_id)
    }

    /// Whether it has a feature, such as `avx2`.
    pub fn has_flag(&self, flag: &str) -> bool {
        self.raw.flags.iter().any(|known| known == flag)
    }
}

/// The clock of a CPU, and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CpuFrequency {
    /// At this moment, in Hz.
    pub current_hz: u64,
    /// The lowest that the hardware can do, in Hz.
    pub minimum_hz: u64,
    /// The highest that the hardware can do, in Hz.
    pub maximum_hz: u64,
    /// The policy of the kernel, such as `performance`.
    pub governor: String,
}

impl CpuFrequency {
    /// The message is all zero where the driver has no frequencies.
    fn from_wire(raw: proto::CpuFreqStats) -> Option<Self> {
        // The kernel counts in kHz.
        let hz = |khz: u64| khz.saturating_mul(1000);
        let known = raw.current_frequency | raw.minimum_frequency | raw.maximum_frequency != 0;
        known.then(|| Self {
            current_hz: hz(raw.current_frequency),
            minimum_hz: hz(raw.minimum_frequency),
            maximum_hz: hz(raw.maximum_frequency),
            governor: raw.governor,
        })
    }
}

impl Node {
    /// What the kernel has been doing since boot: times of the CPUs, interrupts, switches, processes.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `machine.MachineService/SystemStat` · talosctl dashboard · since Talos 1.7 or older · role
    /// os:reader · read-only
    pub async fn system_stat(&self) -> Result<SystemStat> {
        let target = self.target();
        let message = target
            .single(&methods::SYSTEM_STAT, (), |request| async {
                target.machine().system_stat(request).await
            })
            .await?;
        Ok(message.into())
    }

    /// Every logical CPU of the node.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `machine.MachineService/CPUInfo` · talosctl dashboard · since Talos 1.7 or older · role os:reader ·
    /// read-only
    pub async fn cpu_info(&self) -> Result<Vec<CpuInfo>> {
        let target = self.target();
        let message = target
            .single(&methods::CPU_INFO, (), |request| async {
                target.machine().cpu_info(request).await
            })
            .await?;
        Ok(message.cpu_info.into_iter().map(CpuInfo::from).collect())
    }

    /// The clock of every CPU; `None` for each whose driver has none, as is common in virtual machines.
    ///
    /// # Errors
    ///
    /// `Unimplemented` on nodes before Talos 1.9, and every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `machine.MachineService/CPUFreqStats` · talosctl dashboard · since Talos 1.9 · role os:reader ·
    /// read-only
    pub async fn cpu_freq_stats(&self) -> Result<Vec<Option<CpuFrequency>>> {
        let target = self.target();
        let message = target
            .single(&methods::CPU_FREQ_STATS, (), |request| async {
                target.machine().cpu_freq_stats(request).await
            })
            .await?;
        Ok(message
            .cpu_freq_stats
            .into_iter()
            .map(CpuFrequency::from_wire)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_not_counted_twice() {
        let times = CpuTimes::from(proto::CpuStat {
            user: 3.0,
            guest: 2.0,
            idle: 4.0,
            iowait: 0.5,
            ..Default::default()
        });
        assert_eq!(times.busy(), Duration::from_secs(3));
        assert_eq!(times.total(), Duration::from_millis(7500));
    }

    #[test]
    fn impossible_times_are_no_time() {
        for user in [-1.0, f64::NAN, f64::INFINITY] {
            let raw = proto::CpuStat {
                user,
                ..Default::default()
            };
            assert_eq!(CpuTimes::from(raw).user, Duration::ZERO, "{user}");
        }
    }
}
