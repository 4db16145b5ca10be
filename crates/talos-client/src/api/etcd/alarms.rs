//! Alarms of members.

use talos_proto::{
    machine::{EtcdMemberAlarm, etcd_member_alarm::AlarmType},
    methods::machine::machine_service as methods,
};

use super::{Etcd, EtcdMemberId};
use crate::error::Result;

/// An alarm of an etcd member.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EtcdAlarm {
    raw: EtcdMemberAlarm,
}

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EtcdAlarmKind {
    /// Nothing.
    None,
    /// The database has reached its quota; the cluster takes no more writes.
    NoSpace,
    /// The member's data differ from those of the others.
    Corrupt,
    /// An alarm that this version does not know, by its number.
    Unknown(i32),
}

impl EtcdAlarm {
    /// The member that raised it; `None` where the node does not say.
    pub fn member_id(&self) -> Option<EtcdMemberId> {
        EtcdMemberId::new(self.raw.member_id)
    }

    /// What it is about.
    pub fn kind(&self) -> EtcdAlarmKind {
        match AlarmType::try_from(self.raw.alarm) {
            Ok(AlarmType::None) => EtcdAlarmKind::None,
            Ok(AlarmType::Nospace) => EtcdAlarmKind::NoSpace,
            Ok(AlarmType::Corrupt) => EtcdAlarmKind::Corrupt,
            Err(_) => EtcdAlarmKind::Unknown(self.raw.alarm),
        }
    }

    /// The message as it came.
    pub fn into_inner(self) -> EtcdMemberAlarm {
        self.raw
    }
}

fn alarms(raw: Vec<EtcdMemberAlarm>) -> Vec<EtcdAlarm> {
    raw.into_iter().map(|raw| EtcdAlarm { raw }).collect()
}

impl Etcd {
    /// The alarms that are raised, of all members; this node's member is asked.
    ///
    /// # Errors
    ///
    /// `Unimplemented` on worker nodes, and every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `machine.MachineService/EtcdAlarmList` · talosctl etcd alarm list · since Talos 1.7 or older ·
    /// role os:reader or os:etcd:backup · read-only
    pub async fn alarms(&self) -> Result<Vec<EtcdAlarm>> {
        let target = &self.target;
        let reply = target
            .single(&methods::ETCD_ALARM_LIST, (), |request| async {
                target.machine().etcd_alarm_list(request).await
            })
            .await?;
        Ok(alarms(reply.member_alarms))
    }

    /// Clears all alarms, and returns those that were raised. The reason has to be gone first, or they come
    /// back.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call; the alarms may be cleared all the same.
    ///
    /// Upstream: `machine.MachineService/EtcdAlarmDisarm` · talosctl etcd alarm disarm · since Talos 1.7 or
    /// older · role os:operator · unsafe
    pub async fn disarm_alarms(&self) -> Result<Vec<EtcdAlarm>> {
        let target = &self.target;
        let reply = target
            .single(&methods::ETCD_ALARM_DISARM, (), |request| async {
                target.machine().etcd_alarm_disarm(request).await
            })
            .await?;
        Ok(alarms(reply.member_alarms))
    }
}
