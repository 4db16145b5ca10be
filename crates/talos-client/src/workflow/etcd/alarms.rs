//! Clearing alarms.

use std::fmt;

use super::{EtcdMembers, EtcdRefusal};
use crate::{
    Node,
    api::etcd::{EtcdAlarm, EtcdAlarmKind},
    error::{Error, ErrorKind, Origin, Result},
    workflow::{Reporter, Run},
};

/// Alarms that are to be cleared; made by [`EtcdMembers::clear_alarms`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `run`"]
pub struct EtcdAlarmClearing {
    members: EtcdMembers,
    force: bool,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EtcdAlarmProgress {
    /// These alarms are raised.
    Found(Vec<EtcdAlarm>),
    /// They were cleared.
    Cleared,
}

/// What became of the alarms.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EtcdAlarmReport {
    /// Those that were raised and are cleared.
    pub cleared: Vec<EtcdAlarm>,
    /// Those that are raised afterwards: their reason is not gone.
    pub raised: Vec<EtcdAlarm>,
}

impl fmt::Display for EtcdAlarmProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found(alarms) => write!(f, "{} alarms are raised", alarms.len()),
            Self::Cleared => f.write_str("the alarms are cleared"),
        }
    }
}

impl EtcdMembers {
    /// Clears the alarms of all members, and looks whether they come back.
    ///
    /// Their reason has to be gone first: after `NoSpace`, compact and [defragment](EtcdMembers::defragment).
    /// Where none is raised nothing is sent that changes anything. May be run again.
    pub fn clear_alarms(&self) -> EtcdAlarmClearing {
        EtcdAlarmClearing {
            members: self.clone(),
            force: false,
        }
    }
}

impl EtcdAlarmClearing {
    /// Clears alarms about corrupt data, too. **That hides them and mends nothing**: take the member with the wrong
    /// data out instead. Default: false.
    pub fn force(mut self, force: bool) -> Self {
        self.force = force;
        self
    }

    /// Looks, clears, and looks again.
    ///
    /// # Errors
    ///
    /// `FailedPrecondition` with [`EtcdRefusal::Corrupt`], and the error of the last node where none answers.
    ///
    /// # Cancel safety
    ///
    /// Dropping the run leaves it open whether the alarms are cleared; run it again.
    pub fn run(self) -> Run<EtcdAlarmProgress, EtcdAlarmReport> {
        Run::new(|reporter| self.clear(reporter))
    }

    async fn clear(self, reporter: Reporter<EtcdAlarmProgress>) -> Result<EtcdAlarmReport> {
        let (node, alarms) = self.look().await?;
        reporter.report(EtcdAlarmProgress::Found(alarms.clone()));
        if alarms.is_empty() {
            return Ok(EtcdAlarmReport {
                cleared: alarms,
                raised: Vec::new(),
            });
        }
        let corrupt = || {
            alarms
                .iter()
                .filter(|alarm| alarm.kind() == EtcdAlarmKind::Corrupt)
        };
        if !self.force && corrupt().next().is_some() {
            let members = corrupt().filter_map(EtcdAlarm::member_id).collect();
            return Err(EtcdRefusal::Corrupt { members }.into());
        }
        let outcome = node.etcd().disarm_alarms().await;
        let (_, raised) = match self.look().await {
            Ok(found) => found,
            Err(error) => return Err(outcome.err().unwrap_or(error)),
        };
        // A connection that breaks is no failure if the alarms are gone.
        if raised == alarms {
            outcome?;
        }
        reporter.report(EtcdAlarmProgress::Cleared);
        Ok(EtcdAlarmReport {
            cleared: alarms,
            raised,
        })
    }

    /// Every member knows the alarms of all.
    async fn look(&self) -> Result<(Node, Vec<EtcdAlarm>)> {
        let mut last = None;
        for node in self.members.nodes() {
            match node.etcd().alarms().await {
                Ok(alarms) => return Ok((node.clone(), alarms)),
                Err(error) => last = Some(error),
            }
        }
        let none =
            || Error::new(ErrorKind::InvalidInput, Origin::Local).with_message("there are no nodes to ask");
        Err(last.unwrap_or_else(none))
    }
}
