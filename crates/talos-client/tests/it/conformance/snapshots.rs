//! What a node says about itself.

use std::time::{Duration, SystemTime};

use talos_client::api::machine::{Protocol, SocketFilter, SocketState};

use super::Subject;

// covers: machine.MachineService/Memory
// covers: machine.MachineService/LoadAvg
pub(super) async fn memory_and_load_are_possible(subject: &Subject) {
    for node in &subject.nodes {
        let memory = node.memory().await.expect("answered");
        assert!(memory.total() > 256 << 20, "{memory:?}");
        assert!(
            memory.available() <= memory.total() && memory.used() < memory.total(),
            "{memory:?}"
        );
        let load = node.load_average().await.expect("answered");
        for value in [load.one, load.five, load.fifteen] {
            assert!((0.0..100_000.0).contains(&value), "{load:?}");
        }
    }
}

// covers: machine.MachineService/Processes
pub(super) async fn processes_have_a_first_one(subject: &Subject) {
    let processes = subject.control_plane().processes().await.expect("answered");
    let first = &processes[0];
    assert_eq!((first.pid(), first.parent_pid()), (1, None), "{first:?}");
    assert!(first.resident_memory() > 0 && first.virtual_memory() >= first.resident_memory());
    assert!(processes.iter().map(|process| process.pid()).is_sorted());
    assert!(
        processes
            .iter()
            .any(|process| process.cpu_time() > Duration::ZERO)
    );
}

// covers: machine.MachineService/Mounts
pub(super) async fn mounts_have_one_for_data(subject: &Subject) {
    let mounts = subject.control_plane().mounts().await.expect("answered");
    let var = mounts
        .iter()
        .find(|mount| mount.mounted_on() == "/var")
        .expect("/var is mounted");
    assert!(var.size() > 0 && var.available() <= var.size(), "{var:?}");
}

// covers: machine.MachineService/SystemStat
// covers: machine.MachineService/CPUInfo
// covers: machine.MachineService/CPUFreqStats
pub(super) async fn cpus_are_counted_alike(subject: &Subject) {
    let node = subject.control_plane();
    let stat = node.system_stat().await.expect("answered");
    let info = node.cpu_info().await.expect("answered");
    assert!(!info.is_empty());
    assert_eq!(stat.cpus().len(), info.len());
    assert!(stat.boot_time().expect("a time") < SystemTime::now());
    assert!(stat.cpu_total().total() > Duration::ZERO && stat.context_switches() > 0);
    let clocks = node.cpu_freq_stats().await.expect("answered");
    for clock in clocks.iter().flatten() {
        assert!(
            clock.minimum_hz <= clock.maximum_hz && clock.current_hz > 1_000_000,
            "{clock:?}"
        );
    }
}

// covers: machine.MachineService/NetworkDeviceStats
pub(super) async fn interfaces_have_a_loopback(subject: &Subject) {
    let stats = subject
        .control_plane()
        .network_device_stats()
        .await
        .expect("answered");
    assert!(
        stats.devices.iter().any(|device| device.name == "lo"),
        "{stats:?}"
    );
    let sum: u64 = stats.devices.iter().map(|device| device.received.bytes).sum();
    assert_eq!(stats.total.received.bytes, sum);
}

// covers: machine.MachineService/DiskStats
pub(super) async fn disks_count_what_they_did(subject: &Subject) {
    let stats = subject.control_plane().disk_stats().await.expect("answered");
    assert!(
        stats.devices.iter().all(|device| !device.name().is_empty()),
        "{stats:?}"
    );
    let sum: u64 = stats.devices.iter().map(|device| device.read_bytes()).sum();
    assert_eq!(stats.total.read_bytes(), sum);
}

// covers: machine.MachineService/Netstat
pub(super) async fn the_api_listens(subject: &Subject) {
    let listeners = subject
        .control_plane()
        .netstat()
        .filter(SocketFilter::Listening)
        .protocols([Protocol::Tcp])
        .processes(true)
        .send()
        .await
        .expect("answered");
    let apid = listeners
        .iter()
        .find(|socket| socket.local_port() == 50000)
        .expect("the API listens");
    assert_eq!(apid.state(), SocketState::Listen);
    assert_eq!((apid.remote_address(), apid.remote_port()), (None, None));
    assert!(apid.process().is_some(), "{apid:?}");
}

// covers: storage.StorageService/Disks
pub(super) async fn disks_are_block_devices(subject: &Subject) {
    for disk in subject.control_plane().disks().await.expect("answered") {
        assert_eq!(disk.path(), format!("/dev/{}", disk.id()));
        assert!(disk.size() > 0 || disk.is_read_only(), "{disk:?}");
    }
}
