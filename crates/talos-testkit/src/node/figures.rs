//! What a node measures: derived from its hardware, its services and the time it has been up.

use super::Node;
use super::containers::{self, Container};
use super::disks::SimDisk;
use super::hardware::{
    LinkKind, SimInterface, SimMount, SimProcessors, SimSocket, SocketProtocol, SocketState,
};
use super::services::ServiceState;
use crate::rng::SimRng;

/// Counters of a disk, as in `/proc/diskstats`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DiskCounters {
    pub(crate) reads: u64,
    pub(crate) sectors_read: u64,
    pub(crate) writes: u64,
    pub(crate) sectors_written: u64,
    pub(crate) busy_ms: u64,
}

/// Share of processor time in seconds: user, system, idle, waiting for disks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProcessorTime(pub(crate) [f64; 4]);

impl Node {
    pub(crate) fn processors(&self) -> SimProcessors {
        self.hardware.processors.lock().clone().unwrap_or_default()
    }

    /// The mounted file systems: pseudo ones, and those on the system disk.
    pub(crate) fn mounts(&self) -> Vec<SimMount> {
        if let Some(mounts) = self.hardware.mounts.lock().clone() {
            return mounts;
        }
        let tmpfs = self.memory.lock().total_kib * 1024 / 2;
        let disks = self.disks();
        let system = disks.iter().filter(|disk| disk.system_disk);
        let volumes = system.flat_map(|disk| &disk.partitions);
        let mut mounts = vec![
            SimMount::new("devtmpfs", "/dev", "devtmpfs", tmpfs, tmpfs),
            SimMount::new("tmpfs", "/run", "tmpfs", tmpfs, tmpfs / 16 * 15),
            SimMount::new("tmpfs", "/system", "tmpfs", tmpfs, tmpfs / 16 * 14),
            SimMount::new("tmpfs", "/tmp", "tmpfs", tmpfs / 8, tmpfs / 8),
            SimMount::new("/dev/loop0", "/", "squashfs", 78_643_200, 0),
        ];
        mounts.extend(volumes.filter_map(|partition| {
            let target = match partition.volume.as_str() {
                "STATE" => "/system/state",
                "EPHEMERAL" => "/var",
                _ => return None,
            };
            let source = format!("/dev/{}", partition.id);
            Some(SimMount::new(
                source,
                target,
                &partition.filesystem,
                partition.size,
                partition.size / 5 * 4,
            ))
        }));
        mounts
    }

    /// `/proc/mounts`.
    pub(crate) fn proc_mounts(&self) -> String {
        let lines = self.mounts().into_iter().map(|mount| {
            let SimMount {
                source, target, kind, ..
            } = mount;
            format!("{source} {target} {kind} rw,relatime 0 0\n")
        });
        lines.collect()
    }

    pub(crate) fn interfaces(&self) -> Vec<SimInterface> {
        if let Some(interfaces) = self.hardware.interfaces.lock().clone() {
            return interfaces;
        }
        let seconds = self.uptime().as_secs();
        let traffic = |factor: u64| (factor * 1_400 * seconds, factor * 10 * seconds);
        let interface = SimInterface::new;
        vec![
            interface("cni0", LinkKind::Ether).traffic(traffic(3), traffic(2)),
            interface("eth0", LinkKind::Ether).traffic(traffic(20), traffic(12)),
            interface("flannel.1", LinkKind::Ether).traffic(traffic(2), traffic(2)),
            interface("lo", LinkKind::Loopback).traffic(traffic(30), traffic(30)),
        ]
    }

    /// Counters of a disk or partition: a made-up rate since boot.
    pub(crate) fn disk_counters(&self, name: &str) -> DiskCounters {
        let rate = 1 + SimRng::new(0).fork(name).next_u64() % 5;
        let seconds = self.uptime().as_secs();
        DiskCounters {
            reads: rate * seconds + 1_000,
            sectors_read: 16 * (rate * seconds + 1_000),
            writes: 2 * rate * seconds,
            sectors_written: 48 * rate * seconds,
            busy_ms: 3 * rate * seconds,
        }
    }

    /// What each processor has done since boot.
    pub(crate) fn processor_times(&self) -> Vec<ProcessorTime> {
        let seconds = self.uptime().as_secs_f64();
        let times = (0..self.processors().count).map(|index| {
            let busy = 0.08 + f64::from(index % 4) * 0.01;
            ProcessorTime([busy, busy / 2.0, 0.98 - 1.5 * busy, 0.02].map(|share| share * seconds))
        });
        times.collect()
    }

    /// The sockets of the node: those its services listen on, and connections of the kubelet to the API server.
    pub(crate) fn sockets(&self) -> Vec<SimSocket> {
        if let Some(sockets) = self.hardware.sockets.lock().clone() {
            return sockets;
        }
        let containers = self.containers(containers::SYSTEM);
        let pid_of = |service: &str| {
            let of_service = |container: &&Container| container.id == service;
            containers
                .iter()
                .find(of_service)
                .map_or(1, |container| container.pid)
        };
        let mut sockets = Vec::new();
        for (service, port) in [
            ("apid", 50_000),
            ("etcd", 2379),
            ("etcd", 2380),
            ("kubelet", 10_250),
            ("trustd", 50_001),
        ] {
            if self.services.state(service) == Some(ServiceState::Running) {
                let owner = (pid_of(service), service);
                let socket = SimSocket::new(
                    SocketProtocol::Tcp6,
                    ("::", port),
                    ("::", 0),
                    SocketState::Listen,
                    owner,
                );
                sockets.push(socket);
            }
        }
        let address = self.identity.address.to_string();
        let kubelet = (pid_of("kubelet"), "kubelet");
        let connected = SocketState::Established;
        sockets.push(SimSocket::new(
            SocketProtocol::Tcp,
            (&address, 40_000),
            (&address, 6443),
            connected,
            kubelet,
        ));
        let local = ("127.0.0.1", 36_000);
        sockets.push(SimSocket::new(
            SocketProtocol::Tcp,
            local,
            ("127.0.0.1", 7445),
            connected,
            kubelet,
        ));
        let machined = (1, "init");
        let udp = ("127.0.0.53", 53);
        sockets.push(SimSocket::new(
            SocketProtocol::Udp,
            udp,
            ("0.0.0.0", 0),
            SocketState::Close,
            machined,
        ));
        for container in self.containers(containers::K8S) {
            if container.name == "coredns" {
                let owner = (container.pid, "coredns");
                let socket = SimSocket::new(
                    SocketProtocol::Tcp6,
                    ("::", 53),
                    ("::", 0),
                    SocketState::Listen,
                    owner,
                );
                sockets.push(socket.in_netns(container.network_namespace));
            }
        }
        sockets
    }

    /// Names of all disks and their partitions, in the order of `/proc/diskstats`.
    pub(crate) fn block_devices(&self) -> Vec<String> {
        let name = |disk: SimDisk| {
            let partitions = disk.partitions.into_iter().map(|partition| partition.id);
            std::iter::once(disk.id).chain(partitions).collect::<Vec<_>>()
        };
        self.disks().into_iter().flat_map(name).collect()
    }
}
