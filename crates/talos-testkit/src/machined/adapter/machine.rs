//! `machine.MachineService`: which function answers which RPC.

use talos_proto::common::Data;
use talos_proto::machine::machine_service_server::MachineService;
use talos_proto::machine::*;

use super::{Handlers, rpc};
use crate::machined::rpc::{
    apply, bootstrap, events, files, kubeconfig, later, logs, meta, power, reset, service_control, services,
    system, upgrade,
};

#[rustfmt::skip]
impl MachineService for Handlers {
    rpc! { unary apply_configuration(ApplyConfigurationRequest) -> ApplyConfigurationResponse = apply::apply_configuration }
    rpc! { unary bootstrap(BootstrapRequest) -> BootstrapResponse = bootstrap::bootstrap }
    rpc! { unary containers(ContainersRequest) -> ContainersResponse = later }
    rpc! { server copy(CopyRequest) -> CopyStream: Data = later }
    rpc! { unary cpu_freq_stats(()) -> CpuFreqStatsResponse = later }
    rpc! { unary cpu_info(()) -> CpuInfoResponse = later }
    rpc! { unary disk_stats(()) -> DiskStatsResponse = later }
    rpc! { server dmesg(DmesgRequest) -> DmesgStream: Data = logs::dmesg }
    rpc! { server events(EventsRequest) -> EventsStream: Event = events::events }
    rpc! { unary etcd_member_list(EtcdMemberListRequest) -> EtcdMemberListResponse = later }
    rpc! { unary etcd_remove_member_by_id(EtcdRemoveMemberByIdRequest) -> EtcdRemoveMemberByIdResponse = later }
    rpc! { unary etcd_leave_cluster(EtcdLeaveClusterRequest) -> EtcdLeaveClusterResponse = later }
    rpc! { unary etcd_forfeit_leadership(EtcdForfeitLeadershipRequest) -> EtcdForfeitLeadershipResponse = later }
    rpc! { client etcd_recover(Data) -> EtcdRecoverResponse = later }
    rpc! { server etcd_snapshot(EtcdSnapshotRequest) -> EtcdSnapshotStream: Data = later }
    rpc! { unary etcd_alarm_list(()) -> EtcdAlarmListResponse = later }
    rpc! { unary etcd_alarm_disarm(()) -> EtcdAlarmDisarmResponse = later }
    rpc! { unary etcd_defragment(()) -> EtcdDefragmentResponse = later }
    rpc! { unary etcd_status(()) -> EtcdStatusResponse = later }
    rpc! { unary etcd_downgrade_validate(EtcdDowngradeValidateRequest) -> EtcdDowngradeValidateResponse = later }
    rpc! { unary etcd_downgrade_enable(EtcdDowngradeEnableRequest) -> EtcdDowngradeEnableResponse = later }
    rpc! { unary etcd_downgrade_cancel(()) -> EtcdDowngradeCancelResponse = later }
    rpc! { unary hostname(()) -> HostnameResponse = system::hostname }
    rpc! { server kubeconfig(()) -> KubeconfigStream: Data = kubeconfig::kubeconfig }
    rpc! { server list(ListRequest) -> ListStream: FileInfo = later }
    rpc! { server disk_usage(DiskUsageRequest) -> DiskUsageStream: DiskUsageInfo = later }
    rpc! { unary load_avg(()) -> LoadAvgResponse = system::load_avg }
    rpc! { server logs(LogsRequest) -> LogsStream: Data = logs::logs }
    rpc! { unary logs_containers(()) -> LogsContainersResponse = logs::logs_containers }
    rpc! { unary memory(()) -> MemoryResponse = system::memory }
    rpc! { unary mounts(()) -> MountsResponse = later }
    rpc! { unary network_device_stats(()) -> NetworkDeviceStatsResponse = later }
    rpc! { unary processes(()) -> ProcessesResponse = later }
    rpc! { server read(ReadRequest) -> ReadStream: Data = files::read }
    rpc! { unary reboot(RebootRequest) -> RebootResponse = power::reboot }
    rpc! { unary restart(RestartRequest) -> RestartResponse = later }
    rpc! { unary rollback(RollbackRequest) -> RollbackResponse = power::rollback }
    rpc! { unary reset(ResetRequest) -> ResetResponse = reset::reset }
    rpc! { unary service_list(()) -> ServiceListResponse = services::service_list }
    rpc! { unary service_restart(ServiceRestartRequest) -> ServiceRestartResponse = service_control::restart }
    rpc! { unary service_start(ServiceStartRequest) -> ServiceStartResponse = service_control::start }
    rpc! { unary service_stop(ServiceStopRequest) -> ServiceStopResponse = service_control::stop }
    rpc! { unary shutdown(ShutdownRequest) -> ShutdownResponse = power::shutdown }
    rpc! { unary stats(StatsRequest) -> StatsResponse = later }
    rpc! { unary system_stat(()) -> SystemStatResponse = later }
    rpc! { unary upgrade(UpgradeRequest) -> UpgradeResponse = upgrade::upgrade }
    rpc! { unary version(()) -> VersionResponse = system::version }
    rpc! { unary generate_client_configuration(GenerateClientConfigurationRequest) -> GenerateClientConfigurationResponse = later }
    rpc! { server packet_capture(PacketCaptureRequest) -> PacketCaptureStream: Data = later }
    rpc! { unary netstat(NetstatRequest) -> NetstatResponse = later }
    rpc! { unary meta_write(MetaWriteRequest) -> MetaWriteResponse = meta::write }
    rpc! { unary meta_delete(MetaDeleteRequest) -> MetaDeleteResponse = meta::delete }
    rpc! { server image_list(ImageListRequest) -> ImageListStream: ImageListResponse = later }
    rpc! { unary image_pull(ImagePullRequest) -> ImagePullResponse = later }
}
