//! Processes of a node: the kernel's, Talos's, those of services and containers, and those that tests add.

use std::time::Duration;

use bytes::Bytes;

use super::Node;
use super::boot::UPTIME;
use super::containers::{self, ContainerState};
use super::files::entry::{Contents, Entry};
use super::services::ServiceState;
use crate::clock::Moment;
use crate::rng::SimRng;

/// A process. See [`SimNode::set_processes`](crate::SimNode::set_processes).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SimProcess {
    /// Process id.
    pub pid: u32,
    /// Process id of the parent. Default: 1.
    pub ppid: u32,
    /// One letter, such as `R` for running. Default: `S`, sleeping.
    pub state: String,
    /// Number of threads. Default: 1.
    pub threads: u32,
    /// Processor time used, in seconds.
    pub cpu_time: f64,
    /// Virtual memory in bytes.
    pub virtual_memory: u64,
    /// Resident memory in bytes.
    pub resident_memory: u64,
    /// Name of the program, as the kernel keeps it.
    pub command: String,
    /// Path of the program; empty for threads of the kernel.
    pub executable: String,
    /// Command line.
    pub args: String,
    /// SELinux label.
    pub label: String,
}

impl SimProcess {
    /// A sleeping process that runs the program at `executable`.
    #[must_use]
    pub fn new(pid: u32, executable: impl Into<String>) -> Self {
        let executable = executable.into();
        let command = executable.rsplit('/').next().unwrap_or_default().to_owned();
        let mut rng = SimRng::new(u64::from(pid));
        let resident_memory = 4096 * (1_000 + rng.next_u64() % 20_000);
        Self {
            pid,
            ppid: 1,
            state: "S".to_owned(),
            threads: 1,
            cpu_time: (rng.next_u64() % 10_000) as f64 / 100.0,
            virtual_memory: 20 * resident_memory,
            resident_memory,
            args: executable.clone(),
            command,
            executable,
            label: "system_u:system_r:sys_containerd_t:s0".to_owned(),
        }
    }
}

/// Threads of the kernel.
const KERNEL: [(u32, &str); 5] = [
    (2, "kthreadd"),
    (3, "pool_workqueue_release"),
    (15, "ksoftirqd/0"),
    (16, "rcu_preempt"),
    (17, "migration/0"),
];

impl Node {
    /// All processes in the order of their ids.
    pub(crate) fn processes(&self) -> Vec<SimProcess> {
        let mut processes = self
            .own_processes
            .lock()
            .clone()
            .unwrap_or_else(|| self.default_processes());
        processes.sort_by_key(|process| process.pid);
        processes.dedup_by_key(|process| process.pid);
        processes
    }

    fn default_processes(&self) -> Vec<SimProcess> {
        let mut processes = vec![SimProcess {
            ppid: 0,
            threads: 14,
            label: "system_u:system_r:init_t:s0".to_owned(),
            args: "/sbin/init".to_owned(),
            command: "init".to_owned(),
            ..SimProcess::new(1, "/usr/sbin/init")
        }];
        processes.extend(KERNEL.map(|(pid, command)| SimProcess {
            ppid: if pid == 2 { 0 } else { 2 },
            command: command.to_owned(),
            executable: String::new(),
            args: String::new(),
            virtual_memory: 0,
            resident_memory: 0,
            label: "system_u:system_r:kernel_t:s0".to_owned(),
            ..SimProcess::new(pid, command)
        }));
        for (id, program) in [
            ("containerd", "/usr/bin/containerd"),
            ("cri", "/usr/bin/containerd"),
            ("dashboard", "/sbin/dashboard"),
            ("udevd", "/usr/bin/udevd"),
        ] {
            if self.services.state(id) == Some(ServiceState::Running) {
                processes.push(SimProcess::new(self.service_pid(id), program));
            }
        }
        for namespace in [containers::SYSTEM, containers::K8S] {
            let running = self.containers(namespace).into_iter();
            for container in running.filter(|container| container.state == ContainerState::Running) {
                processes.push(SimProcess {
                    threads: 9,
                    args: format!("{} --config=/etc/{}.yaml", container.command, container.name),
                    ..SimProcess::new(container.pid, format!("/usr/local/bin/{}", container.command))
                });
            }
        }
        processes
    }

    /// Brings `/proc/<pid>` in line with the processes there are.
    pub(crate) fn refresh_proc(&self) {
        let processes = self.processes();
        let mut shown = self.shown_processes.lock();
        if *shown == processes {
            return;
        }
        for process in shown.drain(..) {
            self.files.remove(&format!("/proc/{}", process.pid));
        }
        for process in &processes {
            self.show(process);
        }
        *shown = processes;
    }

    fn show(&self, process: &SimProcess) {
        let directory = format!("/proc/{}", process.pid);
        let pages = process.resident_memory / 4096;
        let SimProcess {
            pid,
            ppid,
            command,
            state,
            threads,
            virtual_memory,
            ..
        } = process;
        let ticks = (process.cpu_time * 100.0) as u64;
        let texts = [
            ("comm", format!("{command}\n")),
            ("cmdline", format!("{}\0", process.args.replace(' ', "\0"))),
            (
                "stat",
                format!(
                    "{pid} ({command}) {state} {ppid} {pid} {pid} 0 -1 4194560 0 0 0 0 {ticks} 0 0 0 20 0 {threads} 0 \
                     100 {virtual_memory} {pages} 18446744073709551615\n"
                ),
            ),
            (
                "status",
                format!(
                    "Name:\t{command}\nState:\t{state} (sleeping)\nTgid:\t{pid}\nPid:\t{pid}\nPPid:\t{ppid}\n\
                     VmSize:\t{:>8} kB\nVmRSS:\t{:>8} kB\nThreads:\t{threads}\n",
                    virtual_memory / 1024,
                    process.resident_memory / 1024
                ),
            ),
            ("cgroup", "0::/system\n".to_owned()),
            ("mounts", self.proc_mounts()),
        ];
        for (name, text) in texts {
            let contents = Contents::Fixed(Bytes::from(text));
            self.files.put(
                &format!("{directory}/{name}"),
                Entry::regular(contents).with_mode(0o444),
            );
        }
        if !process.executable.is_empty() {
            self.files
                .put(&format!("{directory}/exe"), Entry::symlink(&process.executable));
        }
    }

    /// Moment of the last boot.
    pub(crate) fn boot_time(&self) -> Moment {
        *self.started.lock()
    }

    /// Time since the last boot.
    pub(crate) fn uptime(&self) -> Duration {
        let seconds = Moment::now().unix_seconds() - self.boot_time().unix_seconds();
        u64::try_from(seconds).map_or(UPTIME, Duration::from_secs)
    }
}
