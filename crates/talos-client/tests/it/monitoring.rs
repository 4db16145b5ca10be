//! Snapshots of what a node is doing: processes, mounts, CPUs, disks, interfaces, sockets.

use std::time::{Duration, SystemTime};

use talos_client::{
    ErrorKind,
    api::machine::{ProcessState, Protocol, SocketFilter, SocketState},
    proto::machine as proto,
};
use talos_testkit::{
    LinkKind, SimInterface, SimMount, SimProcess, SimProcessors, SimSocket, SocketProtocol,
    SocketState as SimSocketState,
};

use crate::support::Sim;

// covers: machine.MachineService/Processes
#[tokio::test]
async fn processes_are_sorted_and_have_times_and_sizes() {
    let sim = Sim::start().await;
    let mut zombie = SimProcess::new(300, "/sbin/b");
    zombie.state = "Z".to_owned();
    let mut first = SimProcess::new(7, "/usr/bin/a");
    first.ppid = 0;
    first.cpu_time = 1.25;
    first.resident_memory = 4096;
    first.label = "system_u:system_r:a_t".to_owned();
    sim.cluster.node(0).set_processes([zombie, first]);

    let processes = sim.node(0).processes().await.expect("answered");
    let pids: Vec<_> = processes.iter().map(|process| process.pid()).collect();
    assert_eq!(pids, [7, 300]);
    let first = &processes[0];
    assert_eq!(
        (first.parent_pid(), first.state()),
        (None, ProcessState::Sleeping)
    );
    assert_eq!(first.cpu_time(), Duration::from_millis(1250));
    assert_eq!(first.resident_memory(), 4096);
    assert_eq!((first.command(), first.executable()), ("a", "/usr/bin/a"));
    assert_eq!(first.label(), Some("system_u:system_r:a_t"));
    assert_eq!(processes[1].state(), ProcessState::Zombie);
    assert_eq!(processes[1].parent_pid(), Some(1));
    assert_eq!(processes[1].as_inner().state, "Z");
    let () = sim.received_by(0, "/machine.MachineService/Processes");
}

// covers: machine.MachineService/Mounts
#[tokio::test]
async fn mounts_say_what_is_free_and_used() {
    let sim = Sim::start().await;
    sim.cluster.node(3).set_mounts([
        SimMount::new("/dev/vda6", "/var", "xfs", 1000, 400),
        SimMount::new("proc", "/proc", "proc", 0, 0),
    ]);
    let mounts = sim.node(3).mounts().await.expect("answered");
    assert_eq!(mounts.len(), 2);
    let var = &mounts[0];
    assert_eq!((var.source(), var.mounted_on()), ("/dev/vda6", "/var"));
    assert_eq!((var.size(), var.available(), var.used()), (1000, 400, 600));
    assert_eq!(mounts[1].used(), 0);
    let () = sim.received_by(3, "/machine.MachineService/Mounts");
}

// covers: machine.MachineService/SystemStat
#[tokio::test]
async fn the_times_of_all_cpus_add_up() {
    let sim = Sim::start().await;
    sim.cluster.node(0).set_processors(SimProcessors::new(3));
    let stat = sim.node(0).system_stat().await.expect("answered");
    assert_eq!(stat.cpus().len(), 3);
    let sum: Duration = stat.cpus().map(|cpu| cpu.total()).sum();
    let difference = sum.abs_diff(stat.cpu_total().total());
    assert!(difference < Duration::from_millis(1), "{difference:?}");
    assert!(stat.cpu_total().busy() < stat.cpu_total().total());
    let boot = stat.boot_time().expect("a time");
    assert!(boot < SystemTime::now());
    assert_eq!(stat.interrupts(), stat.as_inner().irq.iter().sum::<u64>());
    assert!(stat.processes_created() > 0 && stat.context_switches() > 0);
    assert_eq!(stat.processes_blocked(), 0);
    let () = sim.received_by(0, "/machine.MachineService/SystemStat");
}

// covers: machine.MachineService/CPUInfo
// covers: machine.MachineService/CPUFreqStats
#[tokio::test]
async fn clocks_are_in_hertz_and_absent_without_frequency_scaling() {
    let sim = Sim::start().await;
    let mut processors = SimProcessors::new(2);
    processors.frequency_khz = 3_000_000;
    sim.cluster.node(0).set_processors(processors.clone());
    let info = sim.node(0).cpu_info().await.expect("answered");
    let numbers: Vec<_> = info.iter().map(|cpu| cpu.number()).collect();
    assert_eq!(numbers, [0, 1]);
    assert_eq!(info[0].mhz(), 3000.0);
    assert_eq!((info[0].core(), info[1].core()), (("0", "0"), ("0", "1")));
    assert!(info[0].has_flag("avx2") && !info[0].has_flag("avx"));
    assert_eq!(info[0].model_name(), processors.model);

    let clocks = sim.node(0).cpu_freq_stats().await.expect("answered");
    let clock = clocks[0].as_ref().expect("has one");
    assert_eq!(clocks.len(), 2);
    assert_eq!(
        (clock.minimum_hz, clock.current_hz, clock.maximum_hz),
        (1_500_000_000, 3_000_000_000, 6_000_000_000)
    );
    assert_eq!(clock.governor, "performance");

    processors.frequency_khz = 0;
    sim.cluster.node(1).set_processors(processors);
    let clocks = sim.node(1).cpu_freq_stats().await.expect("answered");
    assert_eq!(clocks, [None, None]);
    let () = sim.received_by(0, "/machine.MachineService/CPUInfo");
    assert_eq!(
        sim.cluster
            .requests()
            .of("/machine.MachineService/CPUFreqStats")
            .len(),
        2
    );
}

// covers: machine.MachineService/DiskStats
#[tokio::test]
async fn sectors_are_512_bytes() {
    let sim = Sim::start().await;
    let stats = sim.node(0).disk_stats().await.expect("answered");
    let disk = stats
        .devices
        .iter()
        .find(|device| device.name() == "vda")
        .expect("the system disk");
    assert!(disk.written_bytes() > 0, "{disk:?}");
    assert_eq!(disk.written_bytes(), disk.as_inner().write_sectors * 512);
    assert_eq!(disk.read_bytes(), disk.as_inner().read_sectors * 512);
    assert_eq!(
        disk.busy_time(),
        Duration::from_millis(disk.as_inner().io_time_ms)
    );
    let written: u64 = stats.devices.iter().map(|device| device.written_bytes()).sum();
    assert_eq!(stats.total.written_bytes(), written);
    let () = sim.received_by(0, "/machine.MachineService/DiskStats");
}

// covers: machine.MachineService/NetworkDeviceStats
#[tokio::test]
async fn interfaces_are_sorted_and_count_in_both_directions() {
    let sim = Sim::start().await;
    sim.cluster.node(3).set_interfaces([
        SimInterface::new("lo", LinkKind::Loopback).traffic((5, 1), (5, 1)),
        SimInterface::new("eth0", LinkKind::Ether).traffic((1000, 10), (200, 2)),
    ]);
    let stats = sim.node(3).network_device_stats().await.expect("answered");
    let names: Vec<_> = stats.devices.iter().map(|device| device.name.as_str()).collect();
    assert_eq!(names, ["eth0", "lo"]);
    let eth0 = &stats.devices[0];
    assert_eq!((eth0.received.bytes, eth0.received.packets), (1000, 10));
    assert_eq!((eth0.sent.bytes, eth0.sent.packets), (200, 2));
    assert_eq!((stats.total.received.bytes, stats.total.sent.bytes), (1005, 205));
    let () = sim.received_by(3, "/machine.MachineService/NetworkDeviceStats");
}

const NETSTAT: &str = "/machine.MachineService/Netstat";

fn sockets() -> [SimSocket; 4] {
    use SocketProtocol::{Tcp, Tcp6, Udp};

    let none = (0, "");
    let any = ("0.0.0.0", 0);
    [
        SimSocket::new(Tcp, ("0.0.0.0", 50000), any, SimSocketState::Listen, (42, "apid")),
        SimSocket::new(
            Tcp,
            ("10.5.0.2", 50000),
            ("10.5.0.1", 40000),
            SimSocketState::Established,
            (42, "apid"),
        ),
        SimSocket::new(Udp, ("0.0.0.0", 68), any, SimSocketState::Close, none),
        SimSocket::new(Tcp6, ("::", 8080), ("::", 0), SimSocketState::Listen, none).in_netns("cni-1234"),
    ]
}

// covers: machine.MachineService/Netstat
#[tokio::test]
async fn sockets_of_the_host_are_listed_unless_something_else_is_asked_for() {
    let sim = Sim::start().await;
    sim.cluster.node(0).set_sockets(sockets());
    let listed = sim.node(0).netstat().send().await.expect("answered");
    let tables: Vec<_> = listed
        .iter()
        .map(|socket| (socket.table(), socket.local_port()))
        .collect();
    assert_eq!(tables, [("tcp", 50000), ("tcp", 50000), ("udp", 68)]);
    assert_eq!(
        (listed[0].state(), listed[0].remote_address()),
        (SocketState::Listen, None)
    );
    assert_eq!(listed[0].process(), None);
    assert_eq!(listed[1].state(), SocketState::Established);
    assert_eq!(
        listed[1].remote_address(),
        Some("10.5.0.1".parse().expect("an address"))
    );
    assert_eq!(listed[1].remote_port(), Some(40000));
    assert_eq!(listed[0].network_namespace(), None);

    let request: proto::NetstatRequest = sim.received_by(0, NETSTAT);
    let protocols = request.l4proto.expect("set");
    assert!(protocols.tcp && protocols.tcp6 && protocols.udp && protocols.udp6);
    assert!(!protocols.raw && !protocols.udplite);
    assert!(request.netns.expect("set").hostnetwork);
    assert_eq!(request.filter, 0);
}

// covers: machine.MachineService/Netstat
#[tokio::test]
async fn filters_protocols_namespaces_and_processes_arrive() {
    let sim = Sim::start().await;
    sim.cluster.node(0).set_sockets(sockets());
    let node = sim.node(0);
    let connected = node
        .netstat()
        .filter(SocketFilter::Connected)
        .processes(true)
        .send()
        .await
        .expect("answered");
    assert_eq!(connected.len(), 1);
    assert_eq!(connected[0].process(), Some((42, "apid")));

    let in_pod = node
        .netstat()
        .filter(SocketFilter::Listening)
        .protocols([Protocol::Tcp])
        .host(false)
        .network_namespaces(["cni-1234"])
        .send()
        .await
        .expect("answered");
    assert_eq!(in_pod.len(), 1);
    assert_eq!(in_pod[0].network_namespace(), Some("cni-1234"));
    assert_eq!(in_pod[0].local_port(), 8080);
    let calls = sim.cluster.requests().of(NETSTAT);
    let request: proto::NetstatRequest = crate::support::message(&calls[1]);
    assert_eq!(request.filter, 2);
    assert!(!request.l4proto.expect("set").udp);
    let namespaces = request.netns.expect("set");
    assert!(!namespaces.hostnetwork && !namespaces.allnetns);
    assert_eq!(namespaces.netns, ["cni-1234"]);

    let all = node.netstat().all_pods(true).send().await.expect("answered");
    assert_eq!(all.len(), 4);
    let nowhere = node
        .netstat()
        .host(false)
        .send()
        .await
        .expect_err("nothing to list");
    assert_eq!(nowhere.kind(), ErrorKind::InvalidInput, "{nowhere:#}");
    assert_eq!(sim.cluster.requests().of(NETSTAT).len(), 3);
}
