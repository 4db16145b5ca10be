//! Files whose contents follow the state of the node.

use super::Node;
use super::figures::ProcessorTime;
use super::files::entry::LiveFile;
use super::stats::LoadAverages;

impl Node {
    /// The contents that `file` has right now.
    pub(super) fn render(&self, file: LiveFile) -> String {
        match file {
            LiveFile::BootId => format!("{}\n", self.boot_id.lock()),
            LiveFile::MemInfo => self.memory.lock().proc_meminfo(),
            LiveFile::LoadAvg => {
                let LoadAverages([one, five, fifteen]) = *self.load.lock();
                format!("{one:.2} {five:.2} {fifteen:.2} 1/200 2000\n")
            }
            LiveFile::OsRelease => {
                let tag = self.version.lock().tag.clone();
                format!("NAME=\"Talos\"\nID=talos\nVERSION_ID={tag}\nPRETTY_NAME=\"Talos ({tag})\"\n")
            }
            LiveFile::Uptime => {
                let seconds = self.uptime().as_secs_f64();
                format!("{seconds:.2} {:.2}\n", seconds * 0.9)
            }
            LiveFile::Stat => self.proc_stat(),
            LiveFile::CpuInfo => self.proc_cpuinfo(),
            LiveFile::NetDev => self.proc_net_dev(),
            LiveFile::DiskStats => self.proc_diskstats(),
        }
    }

    fn proc_stat(&self) -> String {
        let line = |name: &str, ProcessorTime([user, system, idle, iowait]): ProcessorTime| {
            let ticks = |seconds: f64| (seconds * 100.0) as u64;
            let (user, system, idle, iowait) = (ticks(user), ticks(system), ticks(idle), ticks(iowait));
            format!("{name} {user} 0 {system} {idle} {iowait} 0 0 0 0 0\n")
        };
        let times = self.processor_times();
        let total = times.iter().fold([0.0; 4], |mut total, time| {
            total.iter_mut().zip(time.0).for_each(|(sum, part)| *sum += part);
            total
        });
        let mut text = line("cpu ", ProcessorTime(total));
        for (index, time) in times.into_iter().enumerate() {
            text.push_str(&line(&format!("cpu{index}"), time));
        }
        text.push_str(&format!("btime {}\n", self.boot_time().unix_seconds()));
        text
    }

    fn proc_cpuinfo(&self) -> String {
        let processors = self.processors();
        let mhz = processors.frequency_khz as f64 / 1000.0;
        let blocks = (0..processors.count).map(|index| {
            format!(
                "processor\t: {index}\nvendor_id\t: {}\nmodel name\t: {}\ncpu MHz\t\t: {mhz:.3}\n\n",
                processors.vendor, processors.model
            )
        });
        blocks.collect()
    }

    fn proc_net_dev(&self) -> String {
        let mut text = "Inter-|   Receive                                                |  Transmit\n face |bytes    \
                        packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls \
                        carrier compressed\n"
            .to_owned();
        for interface in self.interfaces() {
            text.push_str(&format!(
                "{:>6}: {} {} 0 0 0 0 0 0 {} {} 0 0 0 0 0 0\n",
                interface.name,
                interface.received_bytes,
                interface.received_packets,
                interface.sent_bytes,
                interface.sent_packets
            ));
        }
        text
    }

    fn proc_diskstats(&self) -> String {
        let lines = self.block_devices().into_iter().enumerate().map(|(minor, name)| {
            let counters = self.disk_counters(&name);
            format!(
                " 253 {minor:>7} {name} {} 0 {} 0 {} 0 {} 0 0 {} 0 0 0 0 0\n",
                counters.reads,
                counters.sectors_read,
                counters.writes,
                counters.sectors_written,
                counters.busy_ms
            )
        });
        lines.collect()
    }
}
