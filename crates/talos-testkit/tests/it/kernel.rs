//! What the kernel of a node counts.

use talos_proto::machine::connect_record::State;
use talos_proto::machine::netstat_request::{Feature, Filter, L4proto, NetNs};
use talos_proto::machine::{ConnectRecord, NetstatRequest};
use talos_testkit::{
    LinkKind, ServiceState, SimDisk, SimInterface, SimMount, SimProcessors, SimSocket, SocketProtocol,
    SocketState,
};
use tonic::Code;

use crate::single;
use crate::wire::{Wire, failure};

// covers: machine.MachineService/Processes
#[tokio::test]
async fn processes_follow_services() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::with_roles(&cluster, &node, &["os:reader"]).await;
    let commands = async || {
        let reply = wire.machine().processes(()).await.unwrap().into_inner();
        let processes = reply.messages.into_iter().next().unwrap().processes;
        assert!(processes.is_sorted_by_key(|process| process.pid));
        assert_eq!((processes[0].pid, processes[0].ppid), (1, 0));
        processes
            .into_iter()
            .map(|process| process.command)
            .collect::<Vec<_>>()
    };
    let before = commands().await;
    for expected in [
        "init",
        "kthreadd",
        "etcd",
        "kubelet",
        "kube-apiserver",
        "containerd",
    ] {
        assert!(before.contains(&expected.to_owned()), "{expected}");
    }
    node.set_service_state("etcd", ServiceState::Finished, "stopped");
    assert!(!commands().await.contains(&"etcd".to_owned()));
}

// covers: machine.MachineService/Mounts
#[tokio::test]
async fn mounts_follow_the_disks_until_they_are_set() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let mounts = async || {
        wire.machine().mounts(()).await.unwrap().into_inner().messages[0]
            .stats
            .clone()
    };
    let var = mounts()
        .await
        .into_iter()
        .find(|mount| mount.mounted_on == "/var")
        .unwrap();
    assert_eq!((var.filesystem.as_str(), var.size), ("/dev/vda6", 8 << 30));
    node.set_mounts([SimMount::new("/dev/sda9", "/data", "ext4", 100, 10)]);
    let set = mounts().await;
    assert_eq!((set.len(), set[0].size, set[0].available), (1, 100, 10));
    assert_eq!(set[0].filesystem, "/dev/sda9");
}

// covers: machine.MachineService/CPUInfo
// covers: machine.MachineService/CPUFreqStats
// covers: machine.MachineService/SystemStat
#[tokio::test]
async fn each_processor_is_described_and_counted() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let mut processors = SimProcessors::new(6);
    processors.frequency_khz = 3_000_000;
    node.set_processors(processors);
    let info = wire.machine().cpu_info(()).await.unwrap().into_inner();
    let info = &info.messages[0].cpu_info;
    assert_eq!((info.len(), info[5].processor, info[5].cpu_mhz), (6, 5, 3000.0));
    let frequencies = wire.machine().cpu_freq_stats(()).await.unwrap().into_inner();
    let frequencies = &frequencies.messages[0].cpu_freq_stats;
    assert_eq!(
        (frequencies.len(), frequencies[0].current_frequency),
        (6, 3_000_000)
    );
    let stat = wire.machine().system_stat(()).await.unwrap().into_inner();
    let stat = &stat.messages[0];
    assert_eq!(stat.cpu.len(), 6);
    let sum: f64 = stat.cpu.iter().map(|cpu| cpu.user).sum();
    assert!((stat.cpu_total.unwrap().user - sum).abs() < 1e-6 && sum > 0.0);
    assert_eq!(stat.irq_total, stat.irq.iter().sum::<u64>());
    assert!(stat.boot_time > 1_700_000_000, "{}", stat.boot_time);
}

// covers: machine.MachineService/DiskStats
// covers: machine.MachineService/NetworkDeviceStats
#[tokio::test]
async fn disks_and_interfaces_are_counted_one_by_one_and_together() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    node.set_disks([SimDisk::new("nvme0n1", 1 << 30).partition("data", 1 << 20, "xfs", "")]);
    let disks = wire.machine().disk_stats(()).await.unwrap().into_inner();
    let disks = &disks.messages[0];
    let names: Vec<_> = disks.devices.iter().map(|disk| disk.name.as_str()).collect();
    assert_eq!(names, ["nvme0n1", "nvme0n1p1"]);
    let sum: u64 = disks.devices.iter().map(|disk| disk.read_sectors).sum();
    assert_eq!(disks.total.as_ref().unwrap().read_sectors, sum);
    node.set_interfaces([
        SimInterface::new("eth9", LinkKind::Ether).traffic((100, 10), (50, 5)),
        SimInterface::new("lo", LinkKind::Loopback).traffic((1, 1), (1, 1)),
    ]);
    let devices = wire
        .machine()
        .network_device_stats(())
        .await
        .unwrap()
        .into_inner();
    let devices = &devices.messages[0];
    assert_eq!(
        (devices.devices[0].name.as_str(), devices.devices[0].tx_packets),
        ("eth9", 5)
    );
    let total = devices.total.as_ref().unwrap();
    assert_eq!((total.rx_bytes, total.tx_bytes), (101, 51));
}

async fn sockets(wire: &Wire, request: NetstatRequest) -> Vec<ConnectRecord> {
    let reply = wire.machine().netstat(request).await.unwrap().into_inner();
    reply.messages.into_iter().next().unwrap().connectrecord
}

// covers: machine.MachineService/Netstat
#[tokio::test]
async fn sockets_are_filtered_by_state_protocol_and_namespace() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::with_roles(&cluster, &node, &["os:reader"]).await;
    let listen = SimSocket::new(
        SocketProtocol::Tcp6,
        ("::", 80),
        ("::", 0),
        SocketState::Listen,
        (9, "web"),
    );
    let connected = SimSocket::new(
        SocketProtocol::Tcp,
        ("10.5.0.2", 40_000),
        ("10.5.0.3", 443),
        SocketState::Established,
        (8, "client"),
    );
    let udp = SimSocket::new(
        SocketProtocol::Udp,
        ("0.0.0.0", 53),
        ("0.0.0.0", 0),
        SocketState::Close,
        (7, "dns"),
    );
    let pod = listen.clone().in_netns("cni-1");
    node.set_sockets([listen, connected, udp, pod]);
    let everything = NetstatRequest {
        filter: Filter::All.into(),
        feature: None,
        l4proto: Some(L4proto {
            tcp: true,
            tcp6: true,
            udp: true,
            ..L4proto::default()
        }),
        netns: Some(NetNs {
            allnetns: true,
            ..NetNs::default()
        }),
    };
    let all = sockets(&wire, everything.clone()).await;
    assert_eq!(all.len(), 4);
    assert!(
        all.iter().all(|socket| socket.process.is_none()),
        "only when asked for"
    );
    let on_host = NetstatRequest {
        netns: Some(NetNs {
            hostnetwork: true,
            ..NetNs::default()
        }),
        feature: Some(Feature { pid: true }),
        ..everything.clone()
    };
    let host = sockets(&wire, on_host.clone()).await;
    assert_eq!(host.len(), 3);
    assert_eq!(host[0].process.as_ref().unwrap().name, "web");
    let named = NetstatRequest {
        netns: Some(NetNs {
            netns: vec!["cni-1".to_owned()],
            ..NetNs::default()
        }),
        ..everything.clone()
    };
    assert_eq!(sockets(&wire, named).await[0].netns, "cni-1");
    let ports = async |filter: Filter| {
        let request = NetstatRequest {
            filter: filter.into(),
            ..on_host.clone()
        };
        sockets(&wire, request)
            .await
            .iter()
            .map(|socket| socket.localport)
            .collect::<Vec<_>>()
    };
    assert_eq!(ports(Filter::Connected).await, [40_000]);
    assert_eq!(ports(Filter::Listening).await, [80, 53]);
    let udp_only = NetstatRequest {
        l4proto: Some(L4proto {
            udp: true,
            ..L4proto::default()
        }),
        ..everything
    };
    let udp = sockets(&wire, udp_only).await;
    assert_eq!((udp.len(), udp[0].state()), (1, State::Close));
    let wrong = NetstatRequest {
        filter: 9,
        ..NetstatRequest::default()
    };
    let found = failure(wire.machine().netstat(wrong).await);
    assert_eq!(found, (Code::InvalidArgument, "invalid filter: 9".to_owned()));
}

// covers: machine.MachineService/Netstat
#[tokio::test]
async fn services_listen_where_they_should() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let request = NetstatRequest {
        filter: Filter::Listening.into(),
        feature: Some(Feature { pid: true }),
        l4proto: Some(L4proto {
            tcp6: true,
            ..L4proto::default()
        }),
        netns: Some(NetNs {
            hostnetwork: true,
            ..NetNs::default()
        }),
    };
    let found = sockets(&wire, request).await;
    let owner = |port| {
        found
            .iter()
            .find(|socket| socket.localport == port)
            .unwrap()
            .process
            .clone()
            .unwrap()
    };
    assert_eq!(
        (owner(50_000).name.as_str(), owner(2379).name.as_str()),
        ("apid", "etcd")
    );
}
