//! What a machine that has booted some time ago has written: logs, kernel messages, files.

use std::time::Duration;

use super::Node;
use super::events::payload::{Edge, Payload};
use super::files::entry::LiveFile;
use super::kernel::KernelPriority;
use super::resources::specs::MachineStage;
use super::sequence::plan::{self, Conditions, Sequence};
use super::services::{Service, ServiceEvent};
use super::stats::KERNEL;
use crate::clock::Moment;

/// How long a machine has been up when the cluster starts.
pub(crate) const UPTIME: Duration = Duration::from_secs(600);

pub(super) fn write_kernel_log(node: &Node, boot: Moment) {
    let identity = &node.identity;
    let at = |second: u64| boot.shifted(Duration::from_secs(second), false);
    let kernel = [
        format!("Linux version {KERNEL} (talos@simulator) #1 SMP"),
        "Command line: talos.platform=metal console=ttyS0 init_on_alloc=1 slab_nomerge pti=on".to_owned(),
        "x86/fpu: x87 FPU will use FXSAVE".to_owned(),
        format!("random: crng init done on {}", identity.hostname),
    ];
    for (second, text) in kernel.iter().enumerate() {
        node.kernel
            .append("kern", KernelPriority::Info, at(second as u64), text);
    }
    let user = [
        format!("[talos] setting hostname {}", identity.hostname),
        format!("[talos] assigned address {}/24 on eth0", identity.address),
        "[talos] boot sequence: done".to_owned(),
    ];
    for (second, text) in user.iter().enumerate() {
        node.kernel
            .append("user", KernelPriority::Warning, at(second as u64 + 10), text);
    }
}

pub(super) fn write_logs(node: &Node, boot: Moment) {
    for (second, (id, service)) in node.services.all().iter().enumerate() {
        let stamp = boot.shifted(Duration::from_secs(second as u64 + 1), false);
        for (step, event) in service.events.iter().enumerate() {
            write_log_line(node, id, event, stamp, step);
        }
    }
}

fn write_log_line(node: &Node, id: &str, event: &ServiceEvent, stamp: Moment, step: usize) {
    let line = match id {
        "machined" | "apid" => {
            format!("{} {id}: {}", event.at.go_log_prefix(), event.message)
        }
        _ => format!(
            "{{\"ts\":\"{}\",\"level\":\"info\",\"service\":\"{id}\",\"step\":{step},\"msg\":{}}}",
            stamp.rfc3339(),
            crate::text::go_quoted(&event.message)
        ),
    };
    node.logs.append(id, &line);
}

/// Lets the log of a service, and that of `machined`, say what happened to it.
pub(super) fn log_service_event(node: &Node, id: &str, event: &ServiceEvent) {
    write_log_line(node, id, event, event.at, 0);
    let line = format!(
        "{} [talos] service[{id}]({}): {}",
        event.at.go_log_prefix(),
        event.state,
        event.message
    );
    node.logs.append("machined", &line);
}

/// The events of the boot of a machine that has been up for [`UPTIME`]. One that is still booting waits in
/// its last phase.
pub(super) fn write_events(node: &Node) {
    let mut past = Past {
        node,
        earlier: UPTIME,
    };
    let conditions = Conditions {
        container: node.platform.is_container(),
        ..Conditions::default()
    };
    let services = node.services.all();
    for sequence in [Sequence::Initialize, Sequence::Install, Sequence::Boot] {
        past.add(Payload::sequence(sequence.as_str(), Edge::Start));
        if sequence != Sequence::Install {
            past.add(Payload::machine_status(MachineStage::Booting, &[]));
        }
        for phase in plan::phases(sequence, &conditions) {
            past.add(Payload::phase(phase.name, Edge::Start));
            for task in phase.tasks {
                past.add(Payload::task(task, Edge::Start));
            }
            if phase.name == "config" && node.in_maintenance() {
                past.add(Payload::task("runningMaintenance", Edge::Start));
                past.add(Payload::machine_status(MachineStage::Maintenance, &[]));
                return;
            }
            if phase.name == "startEverything" {
                past.services(&services);
                if node.stage() == MachineStage::Booting {
                    return;
                }
            }
            for task in phase.tasks {
                past.add(Payload::task(task, Edge::Stop));
            }
            past.add(Payload::phase(phase.name, Edge::Stop));
        }
        past.add(Payload::sequence(sequence.as_str(), Edge::Stop));
    }
}

/// Publishes events of the past, the oldest first, each a little later than the one before.
struct Past<'a> {
    node: &'a Node,
    earlier: Duration,
}

impl Past<'_> {
    fn add(&mut self, payload: Payload) {
        self.node.events.publish_past(payload, self.earlier);
        self.earlier = self.earlier.saturating_sub(Duration::from_millis(250));
    }

    fn services(&mut self, services: &[(String, Service)]) {
        for (id, service) in services {
            for event in &service.events {
                self.add(Payload::service(id, event.state, &event.message, &service.health));
            }
        }
    }
}

/// Writes the files that say what the machine is called.
pub(super) fn write_names(node: &Node) {
    let identity = node.current_identity();
    let hostname = format!("{}\n", identity.hostname);
    let hosts = format!("127.0.0.1 localhost\n{} {}\n", identity.address, identity.fqdn());
    node.files.write("/etc/hostname", hostname.clone());
    node.files.write("/etc/hosts", hosts);
    node.files.write("/proc/sys/kernel/hostname", hostname);
}

pub(super) fn write_files(node: &Node) {
    write_names(node);
    let files = [
        (
            "/proc/version",
            format!("Linux version {KERNEL} (talos@simulator) #1 SMP\n"),
        ),
        (
            "/proc/cmdline",
            "talos.platform=metal console=ttyS0 init_on_alloc=1 slab_nomerge pti=on\n".to_owned(),
        ),
        ("/proc/sys/kernel/osrelease", format!("{KERNEL}\n")),
    ];
    for (path, contents) in files {
        node.files.write(path, contents);
    }
    let live = [
        ("/etc/os-release", LiveFile::OsRelease),
        ("/proc/cpuinfo", LiveFile::CpuInfo),
        ("/proc/diskstats", LiveFile::DiskStats),
        ("/proc/loadavg", LiveFile::LoadAvg),
        ("/proc/meminfo", LiveFile::MemInfo),
        ("/proc/net/dev", LiveFile::NetDev),
        ("/proc/stat", LiveFile::Stat),
        ("/proc/sys/kernel/random/boot_id", LiveFile::BootId),
        ("/proc/uptime", LiveFile::Uptime),
    ];
    for (path, file) in live {
        node.files.write_live(path, file);
    }
}
