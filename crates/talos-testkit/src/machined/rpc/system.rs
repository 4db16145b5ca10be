//! Version, hostname and figures of the kernel.

use talos_proto::machine::{
    FeaturesInfo, Hostname, HostnameResponse, LoadAvg, LoadAvgResponse, MemInfo, Memory, MemoryResponse,
    PlatformInfo, Version, VersionInfo, VersionResponse,
};
use tonic::Status;

use super::Call;
use crate::node::stats::{GO_VERSION, LoadAverages};

pub(in crate::machined) async fn version(call: Call, _: ()) -> Result<VersionResponse, Status> {
    let version = call.node.version.lock().clone();
    let version = VersionInfo {
        tag: version.tag,
        sha: version.sha,
        built: String::new(),
        go_version: GO_VERSION.to_owned(),
        os: "linux".to_owned(),
        arch: "amd64".to_owned(),
    };
    let platform = PlatformInfo {
        name: call.node.platform.platform().to_owned(),
        mode: call.node.platform.as_str().to_owned(),
    };
    let message = Version {
        metadata: None,
        version: Some(version),
        platform: Some(platform),
        features: (!call.node.in_maintenance()).then_some(FeaturesInfo { rbac: true }),
    };
    Ok(VersionResponse {
        messages: vec![message],
    })
}

pub(in crate::machined) async fn hostname(call: Call, _: ()) -> Result<HostnameResponse, Status> {
    let message = Hostname {
        metadata: None,
        hostname: call.node.current_identity().hostname,
    };
    Ok(HostnameResponse {
        messages: vec![message],
    })
}

pub(in crate::machined) async fn memory(call: Call, _: ()) -> Result<MemoryResponse, Status> {
    let memory = *call.node.memory.lock();
    let meminfo = MemInfo {
        memtotal: memory.total_kib,
        memfree: memory.free_kib,
        memavailable: memory.available_kib,
        buffers: memory.buffers_kib,
        cached: memory.cached_kib,
        ..MemInfo::default()
    };
    let message = Memory {
        metadata: None,
        meminfo: Some(meminfo),
    };
    Ok(MemoryResponse {
        messages: vec![message],
    })
}

pub(in crate::machined) async fn load_avg(call: Call, _: ()) -> Result<LoadAvgResponse, Status> {
    let LoadAverages([load1, load5, load15]) = *call.node.load.lock();
    Ok(LoadAvgResponse {
        messages: vec![LoadAvg {
            metadata: None,
            load1,
            load5,
            load15,
        }],
    })
}
