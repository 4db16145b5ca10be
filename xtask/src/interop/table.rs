//! The steps that the Go client reports, and what each has to have seen.

use super::judge::Expected;

/// Every step, by the file of `interop/cmd/client` that has it. The second part has to be found in what the
/// step saw; the step itself has looked at all the rest.
pub(super) const STEPS: &[Expected<'static>] = &[
    // setup.go
    ("setup.talosconfig.load", "roles [os:admin], Ed25519 key"),
    ("setup.connect", "v1.14"),
    ("setup.members", "3 control planes, 2 workers"),
    ("talosconfig.save", "mode 600"),
    ("machine.GenerateClientConfiguration", "roles [os:reader]"),
    // routing.go
    ("routing.round-robin", "3 endpoints answered"),
    ("routing.endpoints", ""),
    ("routing.one-endpoint", ""),
    ("routing.node", "5 machines by address, no metadata"),
    ("routing.node-by-name", ""),
    ("routing.nodes", "3 elements"),
    (
        "routing.nodes-partial",
        "rpc error: code = Unavailable desc = connection error",
    ),
    ("routing.nodes-stream", "items of 2 nodes"),
    ("routing.nodes-refused", "InvalidArgument"),
    ("routing.node-twice", "InvalidArgument"),
    ("routing.node-with-port", "Internal"),
    ("routing.node-unreachable", "Unavailable"),
    ("routing.proxyfrom", ""),
    (
        "routing.unknown-method",
        "Unimplemented \"unknown method NoSuchMethod for service machine.MachineService\"",
    ),
    // system.go
    ("machine.Version", "v1.14."),
    ("machine.Hostname", "controlplane-1"),
    ("machine.Memory", ""),
    ("machine.LoadAvg", ""),
    ("machine.SystemStat", ""),
    ("machine.CPUInfo", ""),
    ("machine.CPUFreqStats", ""),
    ("machine.DiskStats", ""),
    ("machine.NetworkDeviceStats", ""),
    ("machine.Mounts", ""),
    ("machine.Processes", ""),
    ("machine.Containers", ""),
    ("machine.Stats", ""),
    ("machine.LogsContainers", ""),
    ("machine.Netstat", ""),
    ("machine.Restart", ""),
    ("machine.MetaWrite", ""),
    ("machine.MetaDelete", ""),
    ("inspect.ControllerRuntimeDependencies", ""),
    ("time.Time", ""),
    ("time.TimeCheck", ""),
    // files.go
    ("machine.Read", "36 characters"),
    ("machine.Read.missing", "NotFound"),
    ("machine.Read.directory", ""),
    ("machine.List", ""),
    ("machine.DiskUsage", ""),
    ("machine.Copy", ""),
    ("machine.Copy.relative", ""),
    ("machine.Kubeconfig", "kubeconfig 600, then the end"),
    ("machine.PacketCapture", "pcap with nanoseconds"),
    ("machine.PacketCapture.missing", ""),
    // streams.go
    ("machine.Logs", ""),
    ("machine.Logs.follow", ""),
    ("machine.Logs.unknown", ""),
    ("machine.Dmesg", ""),
    ("machine.Events.hello", ""),
    ("machine.Events", ""),
    ("machine.Events.options", ""),
    ("machine.Events.deadline", "DeadlineExceeded"),
    ("machine.ServiceList", "as they should be"),
    ("machine.ServiceRestart", ""),
    ("machine.ServiceStart", ""),
    ("machine.ServiceStop", ""),
    // etcd.go
    ("machine.EtcdMemberList", "3 members"),
    ("machine.EtcdMemberList.worker", ""),
    ("machine.EtcdStatus", "one leader, 3 members"),
    ("machine.EtcdAlarmList", ""),
    ("machine.EtcdAlarmDisarm", ""),
    ("machine.EtcdDefragment", ""),
    ("machine.EtcdForfeitLeadership", "changes of leader"),
    ("machine.EtcdDowngradeValidate", ""),
    ("machine.EtcdDowngradeEnable", ""),
    ("machine.EtcdDowngradeCancel", ""),
    ("machine.EtcdSnapshot", "the checksum holds"),
    ("machine.EtcdRecover", ""),
    ("machine.Bootstrap", "AlreadyExists"),
    ("machine.EtcdRemoveMemberByID", ""),
    ("machine.EtcdLeaveCluster", "2 members are left"),
    // images.go
    ("image.Pull", ""),
    ("image.List", ""),
    ("image.List.unset", ""),
    ("image.Import", ""),
    ("image.Import.no-instance", ""),
    ("image.Remove", ""),
    ("image.Verify", "no matched rule"),
    ("machine.ImagePull", ""),
    ("machine.ImageList", ""),
    // storage.go
    ("storage.Disks", "one of the system"),
    ("storage.BlockDeviceWipe", ""),
    ("machine.LVM.LogicalVolumeRemove", ""),
    ("machine.LVM.VolumeGroupRemove", ""),
    ("machine.LVM.PhysicalVolumeRemove", ""),
    ("machine.MD.Destroy", ""),
    ("debug.ContainerRun", "exit code 7"),
    ("debug.ContainerRun.no-image", ""),
    ("debug.ContainerRun.no-spec", ""),
    ("lifecycle.Install", "AlreadyExists"),
    ("lifecycle.Upgrade", "exit code 0"),
    ("lifecycle.Upgrade.not-pulled", ""),
    ("lifecycle.Upgrade.no-image", ""),
    ("cluster.HealthCheck", ""),
    ("cluster.HealthCheck.no-timeout", ""),
    ("cluster.HealthCheck.worker", ""),
    // cosi.go
    ("cosi.definitions", ""),
    ("cosi.Get", ""),
    ("cosi.Get.missing", ""),
    ("cosi.Get.unknown-type", ""),
    ("cosi.Get.unknown-namespace", ""),
    ("cosi.List", ""),
    ("cosi.List.id-query", ""),
    ("cosi.List.label-query", ""),
    ("cosi.List.wrong-case", ""),
    ("cosi.MachineConfig", "a string scalar"),
    ("cosi.Create", ""),
    ("cosi.Update", ""),
    ("cosi.Destroy", ""),
    ("cosi.Teardown", ""),
    ("cosi.TeardownAndDestroy", ""),
    ("cosi.Watch.kind", "created, bootstrapped, updated, destroyed"),
    ("cosi.Watch.resume", ""),
    ("cosi.Watch.bad-bookmark", "FailedPrecondition"),
    ("cosi.Watch.one", "a tombstone, created, destroyed"),
    ("cosi.Watch.bookmark-only", ""),
    ("cosi.Watch.one-with-labels", ""),
    ("cosi.Watch.conflict", ""),
    // roles.go
    ("roles.reader", "PermissionDenied"),
    ("roles.reader.streams", ""),
    ("roles.reader.sensitive", ""),
    ("roles.reader.apply", ""),
    // power.go
    ("machine.ApplyConfiguration", ""),
    ("machine.ApplyConfiguration.dry-run", ""),
    ("machine.ApplyConfiguration.default-mode", ""),
    ("machine.ApplyConfiguration.garbage", ""),
    ("machine.Reboot", "stopAllServices, end of the stream"),
    ("machine.Upgrade", ""),
    ("machine.Rollback", ""),
    ("machine.Shutdown", ""),
    // maintenance.go
    ("machine.Reset", ""),
    ("maintenance.enter", ""),
    ("maintenance.certificate", "fingerprint of 44 characters"),
    ("maintenance.denied", "PermissionDenied"),
    ("maintenance.sensitive", ""),
    ("maintenance.node-ignored", ""),
    ("maintenance.codes", ""),
    ("maintenance.ApplyConfiguration", "mode NO_REBOOT"),
    ("maintenance.leave", ""),
];

/// The steps that run with a prefix: those that set up as well.
pub(super) fn beginning_with(prefix: &str) -> Vec<Expected<'static>> {
    let wanted = |name: &str| name.starts_with("setup.") || name.starts_with(prefix);
    STEPS.iter().copied().filter(|(name, _)| wanted(name)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_step_is_there_twice() {
        let names: BTreeSet<_> = STEPS.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), STEPS.len());
    }

    #[test]
    fn a_prefix_keeps_the_steps_that_set_up() {
        let chosen = beginning_with("image.Verify");
        assert!(chosen.iter().any(|(name, _)| *name == "setup.connect"));
        assert!(chosen.iter().any(|(name, _)| *name == "image.Verify"));
        assert!(!chosen.iter().any(|(name, _)| *name == "image.Pull"));
    }
}
