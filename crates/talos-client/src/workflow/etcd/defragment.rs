//! Giving back space, one member at a time.

use std::fmt;

use super::{EtcdMemberHealth, EtcdMembers, EtcdRefusal, EtcdSurvey};
use crate::{
    api::etcd::{EtcdMemberId, EtcdStatus},
    error::{Error, ErrorKind, Origin, Result},
    workflow::{Reporter, Run},
};

/// A defragmentation of all members; made by [`EtcdMembers::defragment`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `run`"]
pub struct EtcdDefragmentation {
    members: EtcdMembers,
    at_least: u8,
    force: bool,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EtcdDefragmentProgress {
    /// This member is next; it answers nobody until it is done.
    Started {
        /// The member.
        member: EtcdMemberId,
        /// Its name.
        hostname: String,
        /// Whether it leads.
        leader: bool,
    },
    /// This member is done.
    Done(DefragmentedMember),
    /// This member has too little to give back.
    Skipped {
        /// The member.
        member: EtcdMemberId,
        /// Its name.
        hostname: String,
    },
}

/// What came of a defragmentation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DefragmentedMember {
    /// The member.
    pub member: EtcdMemberId,
    /// Its name.
    pub hostname: String,
    /// Size of its database before, in bytes.
    pub before: u64,
    /// Size of its database afterwards, in bytes.
    pub after: u64,
}

/// What was done, and what was not.
#[derive(Debug)]
#[must_use = "it may have stopped at a failure"]
#[non_exhaustive]
pub struct EtcdDefragmentReport {
    /// The members that are done, in the order in which they were.
    pub done: Vec<DefragmentedMember>,
    /// Members that had too little to give back.
    pub skipped: Vec<EtcdMemberId>,
    /// The member at which it stopped, and why; the members after it were left alone.
    pub failure: Option<(EtcdMemberId, Error)>,
    /// Members that were left alone.
    pub left: Vec<EtcdMemberId>,
}

impl EtcdDefragmentReport {
    /// The members that are done, or the failure at which it stopped.
    ///
    /// # Errors
    ///
    /// That failure.
    pub fn into_result(self) -> Result<Vec<DefragmentedMember>> {
        match self.failure {
            Some((_, error)) => Err(error),
            None => Ok(self.done),
        }
    }
}

impl fmt::Display for EtcdDefragmentProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started {
                hostname,
                leader: true,
                ..
            } => write!(f, "{hostname}, the leader, is being defragmented"),
            Self::Started { hostname, .. } => write!(f, "{hostname} is being defragmented"),
            Self::Done(DefragmentedMember {
                hostname,
                before,
                after,
                ..
            }) => {
                write!(f, "{hostname} went from {before} to {after} bytes")
            }
            Self::Skipped { hostname, .. } => write!(f, "{hostname} has too little to give back"),
        }
    }
}

impl EtcdMembers {
    /// Defragments the databases of all members, one after the other, and the leader last.
    ///
    /// A member answers nobody meanwhile, so before each one the others are looked at: it stops where they would
    /// have no quorum, see [`EtcdRefusal`]. A cluster of one member stands still for that time. May be run again.
    pub fn defragment(&self) -> EtcdDefragmentation {
        EtcdDefragmentation {
            members: self.clone(),
            at_least: 0,
            force: false,
        }
    }
}

impl EtcdDefragmentation {
    /// Skips members whose database has less than this part to give back, in percent of its size. Default: 0, all
    /// of them are defragmented.
    pub fn at_least(mut self, percent: u8) -> Self {
        self.at_least = percent;
        self
    }

    /// Goes on whatever becomes of the quorum meanwhile. Default: false.
    pub fn force(mut self, force: bool) -> Self {
        self.force = force;
        self
    }

    /// Defragments until all are done or one fails.
    ///
    /// # Errors
    ///
    /// Those of [`EtcdMembers::survey`] at the beginning. Everything later, refusals included, is in the report, so
    /// that what was done by then is not lost.
    ///
    /// # Cancel safety
    ///
    /// Dropping the run leaves the other members alone; the one that is at it goes on.
    pub fn run(self) -> Run<EtcdDefragmentProgress, EtcdDefragmentReport> {
        Run::new(|reporter| self.defragment(reporter))
    }

    async fn defragment(self, reporter: Reporter<EtcdDefragmentProgress>) -> Result<EtcdDefragmentReport> {
        let mut survey = self.members.survey().await?;
        let mut left: Vec<EtcdMemberId> = survey.members.iter().map(|member| member.member.id()).collect();
        let mut report = EtcdDefragmentReport {
            done: Vec::new(),
            skipped: Vec::new(),
            failure: None,
            left: Vec::new(),
        };
        while let Some(next) = next(&survey, &left) {
            let id = next.member.id();
            match self.member(&survey, next, &reporter).await {
                Ok(Some(done)) => report.done.push(done),
                Ok(None) => report.skipped.push(id),
                Err(error) => {
                    report.failure = Some((id, error));
                    break;
                }
            }
            left.retain(|other| *other != id);
            if left.is_empty() {
                break;
            }
            // Leadership moves, and members fail.
            survey = match self.members.survey().await {
                Ok(survey) => survey,
                Err(error) => {
                    report.failure = Some((left[0], error));
                    break;
                }
            };
        }
        if let Some((failed, _)) = &report.failure {
            left.retain(|id| id != failed);
        }
        report.left = left;
        Ok(report)
    }

    /// `None` for a member that is skipped.
    async fn member(
        &self,
        survey: &EtcdSurvey,
        member: &EtcdMemberHealth,
        reporter: &Reporter<EtcdDefragmentProgress>,
    ) -> Result<Option<DefragmentedMember>> {
        let id = member.member.id();
        let hostname = member.member.hostname().to_owned();
        let (Some(node), Some(status)) = (&member.node, &member.status) else {
            // Its database may be what is wrong with it; but nobody can tell it to do anything.
            let text = format!("member {id} ({hostname}) does not answer");
            return Err(Error::new(ErrorKind::Unavailable, Origin::Local).with_message(text));
        };
        if !self.is_worth_it(status) {
            reporter.report(EtcdDefragmentProgress::Skipped { member: id, hostname });
            return Ok(None);
        }
        let meanwhile = survey.quorum_while_busy(id);
        // The only member is always missed; that is no reason never to do it.
        if !self.force && meanwhile.voters > 1 && !meanwhile.is_there() {
            let refusal = EtcdRefusal::WouldLoseQuorum {
                member: id,
                quorum: meanwhile,
            };
            return Err(refusal.into());
        }
        reporter.report(EtcdDefragmentProgress::Started {
            member: id,
            hostname: hostname.clone(),
            leader: member.is_leader(),
        });
        node.etcd().defragment().await?;
        let after = node.etcd().status().await?.db_size();
        let done = DefragmentedMember {
            member: id,
            hostname,
            before: status.db_size(),
            after,
        };
        reporter.report(EtcdDefragmentProgress::Done(done.clone()));
        Ok(Some(done))
    }

    fn is_worth_it(&self, status: &EtcdStatus) -> bool {
        let waste = status.db_size().saturating_sub(status.db_size_in_use());
        u128::from(waste) * 100 >= u128::from(status.db_size()) * u128::from(self.at_least)
    }
}

/// Those that answer first, and the leader after all the others.
fn next<'a>(survey: &'a EtcdSurvey, left: &[EtcdMemberId]) -> Option<&'a EtcdMemberHealth> {
    let left = survey
        .members
        .iter()
        .filter(|member| left.contains(&member.member.id()));
    left.min_by_key(|member| (member.status.is_none(), member.is_leader()))
}
