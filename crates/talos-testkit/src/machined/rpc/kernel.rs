//! What the kernel of a node counts: processes, processors, disks, interfaces, sockets.

use talos_proto::machine::connect_record::{Process as Owner, State};
use talos_proto::machine::netstat_request::Filter;
use talos_proto::machine::{
    ConnectRecord, CpUsFreqStats, CpUsInfo, CpuFreqStats, CpuFreqStatsResponse, CpuInfo, CpuInfoResponse,
    CpuStat, DiskStat, DiskStats, DiskStatsResponse, MountStat, Mounts, MountsResponse, NetDev, Netstat,
    NetstatRequest, NetstatResponse, NetworkDeviceStats, NetworkDeviceStatsResponse, Process, ProcessInfo,
    ProcessesResponse, SoftIrqStat, SystemStat, SystemStatResponse,
};
use tonic::Status;

use super::Call;
use crate::node::figures::ProcessorTime;
use crate::node::hardware::{SimInterface, SimSocket, SocketProtocol, SocketState};
use crate::node::processes::SimProcess;

pub(in crate::machined) async fn processes(call: Call, _: ()) -> Result<ProcessesResponse, Status> {
    let processes = call.node.processes().into_iter().map(|process| {
        let SimProcess {
            pid,
            ppid,
            state,
            threads,
            cpu_time,
            virtual_memory,
            resident_memory,
            command,
            executable,
            args,
            label,
        } = process;
        ProcessInfo {
            pid: narrow(pid),
            ppid: narrow(ppid),
            state,
            threads: narrow(threads),
            cpu_time,
            virtual_memory,
            resident_memory,
            command,
            executable,
            args,
            label,
        }
    });
    Ok(ProcessesResponse {
        messages: vec![Process {
            metadata: None,
            processes: processes.collect(),
        }],
    })
}

fn narrow(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

pub(in crate::machined) async fn mounts(call: Call, _: ()) -> Result<MountsResponse, Status> {
    let stats = call.node.mounts().into_iter().map(|mount| MountStat {
        filesystem: mount.source,
        size: mount.size,
        available: mount.available,
        mounted_on: mount.target,
    });
    Ok(MountsResponse {
        messages: vec![Mounts {
            metadata: None,
            stats: stats.collect(),
        }],
    })
}

pub(in crate::machined) async fn system_stat(call: Call, _: ()) -> Result<SystemStatResponse, Status> {
    let node = &call.node;
    let cpu: Vec<CpuStat> = node
        .processor_times()
        .into_iter()
        .map(|ProcessorTime([user, system, idle, iowait])| CpuStat {
            user,
            system,
            idle,
            iowait,
            ..CpuStat::default()
        })
        .collect();
    let sum = |of: fn(&CpuStat) -> f64| cpu.iter().map(of).sum();
    let cpu_total = CpuStat {
        user: sum(|stat| stat.user),
        system: sum(|stat| stat.system),
        idle: sum(|stat| stat.idle),
        iowait: sum(|stat| stat.iowait),
        ..CpuStat::default()
    };
    let seconds = node.uptime().as_secs();
    let irq: Vec<u64> = vec![9, 0, 0, 100 * seconds, 25 * seconds];
    let soft_irq = SoftIrqStat {
        timer: 50 * seconds,
        net_rx: 22 * seconds,
        net_tx: seconds,
        sched: 40 * seconds,
        rcu: 30 * seconds,
        ..SoftIrqStat::default()
    };
    let processes = node.processes();
    let message = SystemStat {
        metadata: None,
        boot_time: u64::try_from(node.boot_time().unix_seconds()).unwrap_or_default(),
        cpu_total: Some(cpu_total),
        cpu,
        irq_total: irq.iter().sum(),
        irq,
        context_switches: 900 * seconds,
        process_created: 4 * seconds + processes.len() as u64,
        process_running: 1 + processes.iter().filter(|process| process.state == "R").count() as u64,
        process_blocked: processes.iter().filter(|process| process.state == "D").count() as u64,
        soft_irq_total: soft_irq.timer + soft_irq.net_rx + soft_irq.net_tx + soft_irq.sched + soft_irq.rcu,
        soft_irq: Some(soft_irq),
    };
    Ok(SystemStatResponse {
        messages: vec![message],
    })
}

pub(in crate::machined) async fn cpu_info(call: Call, _: ()) -> Result<CpuInfoResponse, Status> {
    let processors = call.node.processors();
    let info = (0..processors.count).map(|processor| CpuInfo {
        processor,
        vendor_id: processors.vendor.clone(),
        cpu_family: "6".to_owned(),
        model: "106".to_owned(),
        model_name: processors.model.clone(),
        stepping: "6".to_owned(),
        microcode: "0x1".to_owned(),
        cpu_mhz: processors.frequency_khz as f64 / 1000.0,
        cache_size: "16384 KB".to_owned(),
        physical_id: "0".to_owned(),
        siblings: processors.count,
        core_id: processor.to_string(),
        cpu_cores: processors.count,
        apic_id: processor.to_string(),
        initial_apic_id: processor.to_string(),
        fpu: "yes".to_owned(),
        fpu_exception: "yes".to_owned(),
        cpu_id_level: 27,
        wp: "yes".to_owned(),
        flags: ["fpu", "sse2", "avx2", "hypervisor"].map(str::to_owned).to_vec(),
        bugs: vec!["spectre_v2".to_owned()],
        bogo_mips: processors.frequency_khz as f64 / 500.0,
        cl_flush_size: 64,
        cache_alignment: 64,
        address_sizes: "46 bits physical, 48 bits virtual".to_owned(),
        power_management: String::new(),
    });
    Ok(CpuInfoResponse {
        messages: vec![CpUsInfo {
            metadata: None,
            cpu_info: info.collect(),
        }],
    })
}

pub(in crate::machined) async fn cpu_freq_stats(call: Call, _: ()) -> Result<CpuFreqStatsResponse, Status> {
    let processors = call.node.processors();
    let current = processors.frequency_khz;
    // Without frequency scaling a processor is there all the same, with nothing to say.
    let stats = CpuFreqStats {
        current_frequency: current,
        minimum_frequency: current / 2,
        maximum_frequency: current * 2,
        governor: if current == 0 { "" } else { "performance" }.to_owned(),
    };
    let count = usize::try_from(processors.count).unwrap_or_default();
    Ok(CpuFreqStatsResponse {
        messages: vec![CpUsFreqStats {
            metadata: None,
            cpu_freq_stats: vec![stats; count],
        }],
    })
}

pub(in crate::machined) async fn disk_stats(call: Call, _: ()) -> Result<DiskStatsResponse, Status> {
    let devices: Vec<DiskStat> = call
        .node
        .block_devices()
        .into_iter()
        .map(|name| {
            let counters = call.node.disk_counters(&name);
            DiskStat {
                name,
                read_completed: counters.reads,
                read_sectors: counters.sectors_read,
                write_completed: counters.writes,
                write_sectors: counters.sectors_written,
                io_time_ms: counters.busy_ms,
                io_time_weighted_ms: 2 * counters.busy_ms,
                ..DiskStat::default()
            }
        })
        .collect();
    let sum = |of: fn(&DiskStat) -> u64| devices.iter().map(of).sum();
    let total = DiskStat {
        read_completed: sum(|disk| disk.read_completed),
        read_sectors: sum(|disk| disk.read_sectors),
        write_completed: sum(|disk| disk.write_completed),
        write_sectors: sum(|disk| disk.write_sectors),
        io_time_ms: sum(|disk| disk.io_time_ms),
        io_time_weighted_ms: sum(|disk| disk.io_time_weighted_ms),
        ..DiskStat::default()
    };
    Ok(DiskStatsResponse {
        messages: vec![DiskStats {
            metadata: None,
            total: Some(total),
            devices,
        }],
    })
}

pub(in crate::machined) async fn network_device_stats(
    call: Call,
    _: (),
) -> Result<NetworkDeviceStatsResponse, Status> {
    let interfaces = call.node.interfaces();
    let sum = |of: fn(&SimInterface) -> u64| interfaces.iter().map(of).sum();
    let total = NetDev {
        rx_bytes: sum(|interface| interface.received_bytes),
        rx_packets: sum(|interface| interface.received_packets),
        tx_bytes: sum(|interface| interface.sent_bytes),
        tx_packets: sum(|interface| interface.sent_packets),
        ..NetDev::default()
    };
    let devices = interfaces.into_iter().map(|interface| NetDev {
        name: interface.name,
        rx_bytes: interface.received_bytes,
        rx_packets: interface.received_packets,
        tx_bytes: interface.sent_bytes,
        tx_packets: interface.sent_packets,
        ..NetDev::default()
    });
    Ok(NetworkDeviceStatsResponse {
        messages: vec![NetworkDeviceStats {
            metadata: None,
            total: Some(total),
            devices: devices.collect(),
        }],
    })
}

pub(in crate::machined) async fn netstat(
    call: Call,
    request: NetstatRequest,
) -> Result<NetstatResponse, Status> {
    let Ok(filter) = Filter::try_from(request.filter) else {
        return Err(Status::invalid_argument(format!(
            "invalid filter: {}",
            request.filter
        )));
    };
    let protocols = request.l4proto.unwrap_or_default();
    let wanted = |protocol| match protocol {
        SocketProtocol::Tcp => protocols.tcp,
        SocketProtocol::Tcp6 => protocols.tcp6,
        SocketProtocol::Udp => protocols.udp,
        SocketProtocol::Udp6 => protocols.udp6,
        SocketProtocol::UdpLite => protocols.udplite,
        SocketProtocol::UdpLite6 => protocols.udplite6,
        SocketProtocol::Raw => protocols.raw,
        SocketProtocol::Raw6 => protocols.raw6,
    };
    let namespaces = request.netns.unwrap_or_default();
    let visible = |netns: &String| match netns.as_str() {
        _ if namespaces.allnetns => true,
        "" => namespaces.hostnetwork,
        _ => namespaces.netns.contains(netns),
    };
    let with_process = request.feature.is_some_and(|feature| feature.pid);
    let sockets = call.node.sockets();
    let records = sockets
        .into_iter()
        .filter(|socket| wanted(socket.protocol) && visible(&socket.netns))
        .filter(|socket| match filter {
            Filter::All => true,
            Filter::Connected => socket.remote.1 != 0,
            Filter::Listening => socket.remote.1 == 0,
        })
        .map(|socket| record(socket, with_process));
    Ok(NetstatResponse {
        messages: vec![Netstat {
            metadata: None,
            connectrecord: records.collect(),
        }],
    })
}

fn record(socket: SimSocket, with_process: bool) -> ConnectRecord {
    let state = match socket.state {
        SocketState::Established => State::Established,
        SocketState::Close => State::Close,
        SocketState::TimeWait => State::TimeWait,
        SocketState::Listen => State::Listen,
    };
    let (pid, name) = socket.process;
    ConnectRecord {
        l4proto: socket.protocol.as_str().to_owned(),
        localip: socket.local.0,
        localport: socket.local.1.into(),
        remoteip: socket.remote.0,
        remoteport: socket.remote.1.into(),
        state: state.into(),
        inode: 20_000 + u64::from(pid),
        r#ref: 1,
        process: with_process.then_some(Owner { pid, name }),
        netns: socket.netns,
        ..ConnectRecord::default()
    }
}
