//! Which phases and tasks a sequence consists of.

/// Something a machine does from beginning to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sequence {
    Initialize,
    Install,
    Boot,
    Reboot,
    Shutdown,
    Reset,
    Upgrade,
    StageUpgrade,
    MaintenanceUpgrade,
    EmergencyVolumeCleanup,
}

impl Sequence {
    /// The name in events.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Initialize => "initialize",
            Self::Install => "install",
            Self::Boot => "boot",
            Self::Reboot => "reboot",
            Self::Shutdown => "shutdown",
            Self::Reset => "reset",
            Self::Upgrade => "upgrade",
            Self::StageUpgrade => "stageUpgrade",
            Self::MaintenanceUpgrade => "maintenanceUpgrade",
            Self::EmergencyVolumeCleanup => "emergencyVolumeCleanup",
        }
    }

    /// Whether this sequence, while it runs, makes room for `newcomer`.
    pub(crate) const fn yields_to(self, newcomer: Self) -> bool {
        match self {
            Self::Initialize => matches!(
                newcomer,
                Self::MaintenanceUpgrade | Self::Reboot | Self::EmergencyVolumeCleanup
            ),
            Self::Boot => matches!(
                newcomer,
                Self::Reboot | Self::Reset | Self::Upgrade | Self::EmergencyVolumeCleanup
            ),
            Self::Reboot | Self::Reset => matches!(newcomer, Self::Reboot),
            _ => false,
        }
    }
}

/// Tasks that run side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    pub(crate) tasks: &'static [&'static str],
}

const fn phase(name: &'static str, tasks: &'static [&'static str]) -> Phase {
    Phase { name, tasks }
}

/// What decides which phases there are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Conditions {
    /// The machine is a container: no kernel, no disks of its own.
    pub(crate) container: bool,
    /// `machine.install` names a disk and nothing is installed yet.
    pub(crate) needs_install: bool,
    /// Pods are evicted first.
    pub(crate) drain: bool,
    /// The etcd member leaves its cluster first.
    pub(crate) leave_etcd: bool,
    /// The next kernel is loaded by this one.
    pub(crate) kexec: bool,
    /// Only the very last phase.
    pub(crate) only_reboot: bool,
    /// The machine comes up again afterwards.
    pub(crate) comes_back: bool,
    pub(crate) wipe: WipeTarget,
    pub(crate) wipe_user_disks: bool,
}

/// What of the system disk a reset wipes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum WipeTarget {
    #[default]
    Nothing,
    WholeDisk,
    Volumes,
}

/// The phases of `sequence` in order.
pub(crate) fn phases(sequence: Sequence, conditions: &Conditions) -> Vec<Phase> {
    let mut plan = Plan {
        phases: Vec::new(),
        container: conditions.container,
    };
    match sequence {
        Sequence::Initialize => plan.initialize(),
        Sequence::Install => plan.install(conditions),
        Sequence::Boot => plan.boot(),
        Sequence::Reboot => plan.reboot(conditions),
        Sequence::Shutdown => plan.shutdown(conditions),
        Sequence::Reset => plan.reset(conditions),
        Sequence::Upgrade => plan.upgrade(conditions),
        Sequence::StageUpgrade => {
            plan.add("cleanup", &["stopAllPods"]);
            plan.add("dbus", &["stopDBus"]);
            plan.stop_all(conditions.kexec);
            plan.add("reboot", &["reboot"]);
        }
        Sequence::MaintenanceUpgrade => {
            plan.add("upgrade", &["upgrade"]);
            plan.add("meta", &["reloadMeta"]);
            plan.add_if(conditions.kexec, "kexec", &["kexecPrepare"]);
            plan.add("stopEverything", &["stopAllServices"]);
            plan.add("reboot", &["reboot"]);
        }
        Sequence::EmergencyVolumeCleanup => {
            if !conditions.container {
                plan.add("denyNewServices", &["denyNewServices"]);
                plan.unmount();
            }
        }
    }
    plan.phases
}

struct Plan {
    phases: Vec<Phase>,
    container: bool,
}

impl Plan {
    fn add(&mut self, name: &'static str, tasks: &'static [&'static str]) {
        self.phases.push(phase(name, tasks));
    }

    fn add_if(&mut self, condition: bool, name: &'static str, tasks: &'static [&'static str]) {
        if condition {
            self.add(name, tasks);
        }
    }

    fn initialize(&mut self) {
        if self.container {
            self.add("machined", &["startApid", "startMachined", "startContainerd"]);
        } else {
            self.add("systemRequirements", &["enforceKSPPRequirements"]);
            self.add(
                "earlyServices",
                &[
                    "startMachined",
                    "waitForUdevd",
                    "startApid",
                    "startAuditd",
                    "startSyslogd",
                    "startContainerd",
                ],
            );
            self.add("usb", &["waitForUSB"]);
            self.add("meta", &["reloadMeta"]);
            self.add("dashboard", &["startDashboard"]);
        }
        self.add("config", &["loadConfig"]);
    }

    fn install(&mut self, conditions: &Conditions) {
        if !conditions.needs_install {
            return;
        }
        self.add("env", &["setUserEnvVars"]);
        self.add("install", &["install"]);
        self.add("meta", &["reloadMeta"]);
        self.add("saveMeta", &["flushMeta"]);
        self.add("denyNewServices", &["denyNewServices"]);
        self.add("volumeFinalize", &["teardownLifecycle"]);
        self.add("stopEverything", &["stopAllServices"]);
        self.add("kexec", &["kexecPrepare"]);
        self.add("reboot", &["reboot"]);
    }

    fn boot(&mut self) {
        self.add("memorySizeCheck", &["memorySizeCheck"]);
        self.add("diskSizeCheck", &["diskSizeCheck"]);
        self.add("env", &["setUserEnvVars", "waitForCARoots"]);
        self.add("dbus", &["startDBus"]);
        self.add_if(self.container, "sharedFilesystems", &["setupSharedFilesystems"]);
        self.add("ephemeral", &["mountEphemeralPartition"]);
        self.add("promotableVolumes", &["mountPromotableVolumes"]);
        self.add("userDisks", &["mountUserDisks"]);
        self.add("userSetup", &["writeUserFiles"]);
        self.add("startEverything", &["startAllServices"]);
    }

    fn reboot(&mut self, conditions: &Conditions) {
        if !conditions.only_reboot {
            self.add("cleanup", &["stopAllPods"]);
            self.add("dbus", &["stopDBus"]);
            self.stop_all(true);
        }
        self.add("reboot", &["reboot"]);
    }

    fn shutdown(&mut self, conditions: &Conditions) {
        self.add("storeShutdown", &["storeShutdownEmergency"]);
        self.add_if(conditions.drain, "drain", &["cordonAndDrainNode"]);
        self.add("cleanup", &["stopAllPods"]);
        self.add("dbus", &["stopDBus"]);
        self.stop_all(false);
        self.add("shutdown", &["shutdown"]);
    }

    fn reset(&mut self, conditions: &Conditions) {
        self.add_if(conditions.drain, "drain", &["cordonAndDrainNode"]);
        if conditions.drain {
            self.add("cleanup", &["removeAllPods"]);
        } else {
            self.add("cleanup", &["stopAllPods"]);
        }
        self.add("dbus", &["stopDBus"]);
        self.add_if(conditions.leave_etcd, "leave", &["leaveEtcd"]);
        self.add("preReset", &["sendResetSignal"]);
        if self.container {
            self.add("stopEverything", &["stopAllServices"]);
            self.add("shutdown", &["shutdown"]);
            return;
        }
        self.stop_all(conditions.kexec);
        self.add("forceCleanup", &["forceCleanup"]);
        match conditions.wipe {
            WipeTarget::Nothing => {}
            WipeTarget::WholeDisk => self.add("reset", &["resetSystemDisk"]),
            WipeTarget::Volumes => self.add("resetSpec", &["resetSystemDiskSpec"]),
        }
        self.add_if(conditions.wipe_user_disks, "resetUserDisks", &["resetUserDisks"]);
        if conditions.comes_back {
            self.add("reboot", &["reboot"]);
        } else {
            self.add("shutdown", &["shutdown"]);
        }
    }

    fn upgrade(&mut self, conditions: &Conditions) {
        self.add("denyNewServices", &["denyNewServices"]);
        self.add_if(conditions.drain, "drain", &["cordonAndDrainNode"]);
        self.add("cleanup", &["removeAllPods"]);
        self.add("dbus", &["stopDBus"]);
        self.add("stopServices", &["stopServicesForUpgrade"]);
        self.add("unmount", &["unmountPodMounts"]);
        self.unmount_volumes();
        self.add("upgrade", &["upgrade"]);
        self.add("meta", &["reloadMeta"]);
        self.add_if(conditions.kexec, "kexec", &["kexecPrepare"]);
        self.add("stopEverything", &["stopAllServices"]);
        self.add("reboot", &["reboot"]);
    }

    fn unmount_volumes(&mut self) {
        self.add("unmountBind", &["unmountSystemDiskBindMounts"]);
        self.add("unmountPromotable", &["unmountPromotableSystemPartitions"]);
        self.add("unmountSystem", &["unmountEphemeralPartition"]);
        self.add("volumeFinalize", &["teardownLifecycle"]);
    }

    fn unmount(&mut self) {
        self.add("umount", &["unmountPodMounts"]);
        self.unmount_volumes();
    }

    /// Everything that ends before the machine goes down.
    fn stop_all(&mut self, kexec: bool) {
        if !self.container {
            self.add("denyNewServices", &["denyNewServices"]);
            self.add("stopServices", &["stopServicesForUpgrade"]);
            self.unmount();
        }
        self.add("stopEverything", &["stopAllServices"]);
        self.add_if(kexec && !self.container, "kexec", &["kexecPrepare"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sequence: Sequence, conditions: Conditions) -> Vec<&'static str> {
        phases(sequence, &conditions)
            .iter()
            .map(|phase| phase.name)
            .collect()
    }

    #[test]
    fn a_forced_reboot_is_its_last_phase() {
        let forced = Conditions {
            only_reboot: true,
            ..Conditions::default()
        };
        assert_eq!(names(Sequence::Reboot, forced), ["reboot"]);
        let usual = names(Sequence::Reboot, Conditions::default());
        assert_eq!(usual[..3], ["cleanup", "dbus", "denyNewServices"]);
        assert_eq!(usual[usual.len() - 3..], ["stopEverything", "kexec", "reboot"]);
    }

    #[test]
    fn installed_machines_have_nothing_to_install() {
        assert!(names(Sequence::Install, Conditions::default()).is_empty());
        let fresh = Conditions {
            needs_install: true,
            ..Conditions::default()
        };
        assert_eq!(names(Sequence::Install, fresh)[1], "install");
    }

    #[test]
    fn only_the_listed_sequences_make_room() {
        use Sequence as S;
        let all = [
            S::Initialize,
            S::Install,
            S::Boot,
            S::Reboot,
            S::Shutdown,
            S::Reset,
            S::Upgrade,
            S::StageUpgrade,
            S::MaintenanceUpgrade,
            S::EmergencyVolumeCleanup,
        ];
        let pairs: Vec<_> = all
            .iter()
            .flat_map(|running| all.iter().map(move |newcomer| (*running, *newcomer)))
            .filter(|(running, newcomer)| running.yields_to(*newcomer))
            .collect();
        let expected = [
            (S::Initialize, S::Reboot),
            (S::Initialize, S::MaintenanceUpgrade),
            (S::Initialize, S::EmergencyVolumeCleanup),
            (S::Boot, S::Reboot),
            (S::Boot, S::Reset),
            (S::Boot, S::Upgrade),
            (S::Boot, S::EmergencyVolumeCleanup),
            (S::Reboot, S::Reboot),
            (S::Reset, S::Reboot),
        ];
        assert_eq!(pairs, expected);
    }

    #[test]
    fn containers_stop_their_services_only() {
        let container = Conditions {
            container: true,
            comes_back: true,
            wipe: WipeTarget::WholeDisk,
            ..Conditions::default()
        };
        let reset = ["cleanup", "dbus", "preReset", "stopEverything", "shutdown"];
        assert_eq!(names(Sequence::Reset, container), reset);
        assert!(names(Sequence::EmergencyVolumeCleanup, container).is_empty());
        assert_eq!(names(Sequence::Initialize, container), ["machined", "config"]);
    }
}
