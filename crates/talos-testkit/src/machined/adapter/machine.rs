//! `machine.MachineService`: which function answers which RPC.

use talos_proto::common::Data;
use talos_proto::machine::machine_service_server::MachineService;
use talos_proto::machine::*;

use super::{Handlers, rpc};
use crate::machined::rpc::{
    apply_config, bootstrap, capture, client_config, containers, etcd, events, files, images, kernel,
    kubeconfig, logs, meta, power, reset, service_control, services, system, upgrade,
};

#[rustfmt::skip]
impl MachineService for Handlers {
    rpc! { unary apply_configuration(ApplyConfigurationRequest) -> ApplyConfigurationResponse = apply_config::apply_configuration }
    rpc! { unary bootstrap(BootstrapRequest) -> BootstrapResponse = bootstrap::bootstrap }
    rpc! { unary containers(ContainersRequest) -> ContainersResponse = containers::containers }
    rpc! { server copy(CopyRequest) -> CopyStream: Data = files::copy }
    rpc! { unary cpu_freq_stats(()) -> CpuFreqStatsResponse = kernel::cpu_freq_stats }
    rpc! { unary cpu_info(()) -> CpuInfoResponse = kernel::cpu_info }
    rpc! { unary disk_stats(()) -> DiskStatsResponse = kernel::disk_stats }
    rpc! { server dmesg(DmesgRequest) -> DmesgStream: Data = logs::dmesg }
    rpc! { server events(EventsRequest) -> EventsStream: Event = events::events }
    rpc! { unary etcd_member_list(EtcdMemberListRequest) -> EtcdMemberListResponse = etcd::member_list }
    rpc! { unary etcd_remove_member_by_id(EtcdRemoveMemberByIdRequest) -> EtcdRemoveMemberByIdResponse = etcd::remove_member_by_id }
    rpc! { unary etcd_leave_cluster(EtcdLeaveClusterRequest) -> EtcdLeaveClusterResponse = etcd::leave_cluster }
    rpc! { unary etcd_forfeit_leadership(EtcdForfeitLeadershipRequest) -> EtcdForfeitLeadershipResponse = etcd::forfeit_leadership }
    rpc! { client etcd_recover(Data) -> EtcdRecoverResponse = etcd::recover }
    rpc! { server etcd_snapshot(EtcdSnapshotRequest) -> EtcdSnapshotStream: Data = etcd::snapshot }
    rpc! { unary etcd_alarm_list(()) -> EtcdAlarmListResponse = etcd::alarm_list }
    rpc! { unary etcd_alarm_disarm(()) -> EtcdAlarmDisarmResponse = etcd::alarm_disarm }
    rpc! { unary etcd_defragment(()) -> EtcdDefragmentResponse = etcd::defragment }
    rpc! { unary etcd_status(()) -> EtcdStatusResponse = etcd::member_status }
    rpc! { unary etcd_downgrade_validate(EtcdDowngradeValidateRequest) -> EtcdDowngradeValidateResponse = etcd::downgrade_validate }
    rpc! { unary etcd_downgrade_enable(EtcdDowngradeEnableRequest) -> EtcdDowngradeEnableResponse = etcd::downgrade_enable }
    rpc! { unary etcd_downgrade_cancel(()) -> EtcdDowngradeCancelResponse = etcd::downgrade_cancel }
    rpc! { unary hostname(()) -> HostnameResponse = system::hostname }
    rpc! { server kubeconfig(()) -> KubeconfigStream: Data = kubeconfig::kubeconfig }
    rpc! { server list(ListRequest) -> ListStream: FileInfo = files::list }
    rpc! { server disk_usage(DiskUsageRequest) -> DiskUsageStream: DiskUsageInfo = files::disk_usage }
    rpc! { unary load_avg(()) -> LoadAvgResponse = system::load_avg }
    rpc! { server logs(LogsRequest) -> LogsStream: Data = logs::logs }
    rpc! { unary logs_containers(()) -> LogsContainersResponse = logs::logs_containers }
    rpc! { unary memory(()) -> MemoryResponse = system::memory }
    rpc! { unary mounts(()) -> MountsResponse = kernel::mounts }
    rpc! { unary network_device_stats(()) -> NetworkDeviceStatsResponse = kernel::network_device_stats }
    rpc! { unary processes(()) -> ProcessesResponse = kernel::processes }
    rpc! { server read(ReadRequest) -> ReadStream: Data = files::read }
    rpc! { unary reboot(RebootRequest) -> RebootResponse = power::reboot }
    rpc! { unary restart(RestartRequest) -> RestartResponse = containers::restart }
    rpc! { unary rollback(RollbackRequest) -> RollbackResponse = power::rollback }
    rpc! { unary reset(ResetRequest) -> ResetResponse = reset::reset }
    rpc! { unary service_list(()) -> ServiceListResponse = services::service_list }
    rpc! { unary service_restart(ServiceRestartRequest) -> ServiceRestartResponse = service_control::restart }
    rpc! { unary service_start(ServiceStartRequest) -> ServiceStartResponse = service_control::start }
    rpc! { unary service_stop(ServiceStopRequest) -> ServiceStopResponse = service_control::stop }
    rpc! { unary shutdown(ShutdownRequest) -> ShutdownResponse = power::shutdown }
    rpc! { unary stats(StatsRequest) -> StatsResponse = containers::stats }
    rpc! { unary system_stat(()) -> SystemStatResponse = kernel::system_stat }
    rpc! { unary upgrade(UpgradeRequest) -> UpgradeResponse = upgrade::upgrade }
    rpc! { unary version(()) -> VersionResponse = system::version }
    rpc! { unary generate_client_configuration(GenerateClientConfigurationRequest) -> GenerateClientConfigurationResponse = client_config::generate_client_configuration }
    rpc! { server packet_capture(PacketCaptureRequest) -> PacketCaptureStream: Data = capture::packet_capture }
    rpc! { unary netstat(NetstatRequest) -> NetstatResponse = kernel::netstat }
    rpc! { unary meta_write(MetaWriteRequest) -> MetaWriteResponse = meta::write }
    rpc! { unary meta_delete(MetaDeleteRequest) -> MetaDeleteResponse = meta::delete }
    rpc! { server image_list(ImageListRequest) -> ImageListStream: ImageListResponse = images::image_list }
    rpc! { unary image_pull(ImagePullRequest) -> ImagePullResponse = images::image_pull }
}
