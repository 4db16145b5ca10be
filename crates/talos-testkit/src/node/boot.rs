//! What a machine that has booted some time ago has written: logs, kernel messages, files.

use std::time::Duration;

use super::Node;
use super::files::LiveFile;
use super::kernel::KernelPriority;
use super::stats::KERNEL;
use crate::clock::Moment;

/// How long a machine has been up when the cluster starts.
pub(super) const UPTIME: Duration = Duration::from_secs(600);

pub(super) fn write_logs(node: &Node, boot: Moment) {
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
    for (second, (id, service)) in node.services.all().iter().enumerate() {
        let stamp = at(second as u64 + 1);
        for (step, event) in service.events.iter().enumerate() {
            let line = match id.as_str() {
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
    }
}

pub(super) fn write_files(node: &Node) {
    let identity = &node.identity;
    let files = [
        ("/etc/hostname", format!("{}\n", identity.hostname)),
        (
            "/etc/hosts",
            format!("127.0.0.1 localhost\n{} {}\n", identity.address, identity.fqdn()),
        ),
        (
            "/proc/version",
            format!("Linux version {KERNEL} (talos@simulator) #1 SMP\n"),
        ),
        (
            "/proc/cmdline",
            "talos.platform=metal console=ttyS0 init_on_alloc=1 slab_nomerge pti=on\n".to_owned(),
        ),
        ("/proc/sys/kernel/hostname", format!("{}\n", identity.hostname)),
        ("/proc/sys/kernel/osrelease", format!("{KERNEL}\n")),
    ];
    for (path, contents) in files {
        node.files.write(path, contents);
    }
    let live = [
        ("/etc/os-release", LiveFile::OsRelease),
        ("/proc/loadavg", LiveFile::LoadAvg),
        ("/proc/meminfo", LiveFile::MemInfo),
        ("/proc/sys/kernel/random/boot_id", LiveFile::BootId),
    ];
    for (path, file) in live {
        node.files.write_live(path, file);
    }
}
