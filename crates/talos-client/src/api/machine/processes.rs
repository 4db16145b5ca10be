//! Processes of a node.

use std::time::Duration;

use talos_proto::{machine as proto, methods::machine::machine_service as methods};

use super::seconds;
use crate::{Node, api::wire::wraps, error::Result};

wraps! {
    /// A process of a node, whether of the host or of a container.
    pub struct Process(proto::ProcessInfo);
}

/// What a process is doing, by the letter of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProcessState {
    /// `R`: runs, or waits for a CPU.
    Running,
    /// `S`: waits for something.
    Sleeping,
    /// `D`: waits for a device, and cannot be interrupted.
    DiskSleep,
    /// `Z`: has ended, and its parent has not looked.
    Zombie,
    /// `T` or `t`: was stopped by a signal or a debugger.
    Stopped,
    /// `I`: a thread of the kernel that has nothing to do.
    Idle,
    /// Another letter.
    Other(char),
    /// None at all.
    Unknown,
}

impl Process {
    /// Its id in the host's namespace.
    pub fn pid(&self) -> i32 {
        self.raw.pid
    }

    /// The id of its parent; `None` for the roots.
    pub fn parent_pid(&self) -> Option<i32> {
        Some(self.raw.ppid).filter(|ppid| *ppid != 0)
    }

    /// What it is doing.
    pub fn state(&self) -> ProcessState {
        match self.raw.state.chars().next() {
            None => ProcessState::Unknown,
            Some('R') => ProcessState::Running,
            Some('S') => ProcessState::Sleeping,
            Some('D') => ProcessState::DiskSleep,
            Some('Z') => ProcessState::Zombie,
            Some('T' | 't') => ProcessState::Stopped,
            Some('I') => ProcessState::Idle,
            Some(other) => ProcessState::Other(other),
        }
    }

    /// How many threads it has.
    pub fn threads(&self) -> i32 {
        self.raw.threads
    }

    /// CPU time that it has used, in user space and in the kernel.
    pub fn cpu_time(&self) -> Duration {
        seconds(self.raw.cpu_time)
    }

    /// The size of its address space, in bytes.
    pub fn virtual_memory(&self) -> u64 {
        self.raw.virtual_memory
    }

    /// Memory that it occupies, in bytes.
    pub fn resident_memory(&self) -> u64 {
        self.raw.resident_memory
    }

    /// Its short name, cut to 15 characters by the kernel.
    pub fn command(&self) -> &str {
        &self.raw.command
    }

    /// The path of its program; empty for threads of the kernel.
    pub fn executable(&self) -> &str {
        &self.raw.executable
    }

    /// Its command line, the arguments joined by spaces.
    pub fn args(&self) -> &str {
        &self.raw.args
    }

    /// Its SELinux label, where the node reports one; since Talos 1.8.
    pub fn label(&self) -> Option<&str> {
        Some(self.raw.label.as_str()).filter(|label| !label.is_empty())
    }
}

impl Node {
    /// Every process of the node, those of containers included, sorted by id.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `machine.MachineService/Processes` · talosctl processes · since Talos 1.7 or older · role
    /// os:reader · read-only
    pub async fn processes(&self) -> Result<Vec<Process>> {
        let target = self.target();
        let message = target
            .single(&methods::PROCESSES, (), |request| async {
                target.machine().processes(request).await
            })
            .await?;
        let mut processes: Vec<Process> = message.processes.into_iter().map(Process::from).collect();
        processes.sort_by_key(Process::pid);
        Ok(processes)
    }
}
