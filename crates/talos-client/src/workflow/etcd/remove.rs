//! Taking a member out.

use std::fmt;

use super::{EtcdMemberHealth, EtcdMembers, EtcdRefusal, EtcdSurvey};
use crate::{
    Node,
    api::etcd::EtcdMemberId,
    error::{Error, ErrorKind, Origin, Result},
    workflow::{Reporter, Run},
};

/// A member that is to be taken out of etcd; made by [`EtcdMembers::remove`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `run`"]
pub struct EtcdRemoval {
    members: EtcdMembers,
    id: EtcdMemberId,
    force: bool,
}

/// How a member was taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EtcdRemovalWay {
    /// It left by itself: its node stopped etcd and **deleted its data**.
    Left,
    /// Another member took it out, since its node did not answer.
    Removed,
    /// It was no member any more.
    NotThere,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EtcdRemovalProgress {
    /// Quorum was looked at, as it would be without the member.
    Checked(super::EtcdQuorum),
    /// The member was told to leave, or another one to take it out.
    Asked(EtcdRemovalWay),
    /// The others do not list it any more.
    Confirmed,
}

impl fmt::Display for EtcdRemovalProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checked(quorum) => write!(f, "without it, {quorum}"),
            Self::Asked(EtcdRemovalWay::Left) => f.write_str("the member is leaving"),
            Self::Asked(_) => f.write_str("the member is being taken out"),
            Self::Confirmed => f.write_str("it is no member any more"),
        }
    }
}

impl EtcdMembers {
    /// Takes a member out: one that answers leaves by itself, **whereby its node deletes its data**, and one that
    /// does not is taken out by another member.
    ///
    /// It is refused if the others would have no quorum, see [`EtcdRefusal`]. May be run again: a member that is
    /// gone is no error.
    pub fn remove(&self, id: EtcdMemberId) -> EtcdRemoval {
        EtcdRemoval {
            members: self.clone(),
            id,
            force: false,
        }
    }
}

impl EtcdRemoval {
    /// Does not refuse whatever becomes of the quorum. **Without one, etcd takes no more changes, and Kubernetes
    /// stands still**; etcd itself may refuse nevertheless. Default: false.
    pub fn force(mut self, force: bool) -> Self {
        self.force = force;
        self
    }

    /// Looks at the quorum, takes the member out, and looks whether it is gone.
    ///
    /// # Errors
    ///
    /// `FailedPrecondition` with an [`EtcdRefusal`]; nothing was sent that changes anything then. `Unavailable` if
    /// the member is still listed afterwards, and as for [`Etcd::leave`](crate::api::etcd::Etcd::leave) and
    /// [`Etcd::remove_member`](crate::api::etcd::Etcd::remove_member). A connection that breaks is no failure if
    /// the member turns out to be gone.
    ///
    /// # Cancel safety
    ///
    /// Dropping the run leaves it open whether the member is out; run it again.
    pub fn run(self) -> Run<EtcdRemovalProgress, EtcdRemovalWay> {
        Run::new(|reporter| self.remove(reporter))
    }

    async fn remove(self, reporter: Reporter<EtcdRemovalProgress>) -> Result<EtcdRemovalWay> {
        let survey = self.members.survey().await?;
        let Some(member) = survey.member(self.id) else {
            return Ok(EtcdRemovalWay::NotThere);
        };
        let after = survey.quorum_without(self.id);
        if !self.force {
            self.check(&survey, member)?;
        }
        reporter.report(EtcdRemovalProgress::Checked(after));
        let (way, outcome) = match &member.node {
            Some(node) => {
                reporter.report(EtcdRemovalProgress::Asked(EtcdRemovalWay::Left));
                (EtcdRemovalWay::Left, node.etcd().leave().await)
            }
            None => {
                reporter.report(EtcdRemovalProgress::Asked(EtcdRemovalWay::Removed));
                let other = self.other(&survey)?;
                (EtcdRemovalWay::Removed, other.etcd().remove_member(self.id).await)
            }
        };
        match self.is_there(&survey).await {
            Ok(false) => {
                reporter.report(EtcdRemovalProgress::Confirmed);
                Ok(way)
            }
            // What went wrong first is what matters.
            Ok(true) => {
                outcome?;
                let text = format!("etcd lists member {} although it was taken out", self.id);
                Err(Error::new(ErrorKind::Unavailable, Origin::Local).with_message(text))
            }
            // With the last member, nobody is left to be asked.
            Err(error) => outcome.and(if after.voters == 0 { Ok(way) } else { Err(error) }),
        }
    }

    fn check(&self, survey: &EtcdSurvey, member: &EtcdMemberHealth) -> Result<(), EtcdRefusal> {
        let quorum = survey.quorum();
        if !quorum.is_there() {
            return Err(EtcdRefusal::NoQuorum { quorum });
        }
        let after = survey.quorum_without(self.id);
        if after.voters == 0 {
            return Err(EtcdRefusal::LastMember { member: self.id });
        }
        if member.votes() && !after.is_there() {
            return Err(EtcdRefusal::WouldLoseQuorum {
                member: self.id,
                quorum: after,
            });
        }
        Ok(())
    }

    /// A member that can take the other one out.
    fn other<'a>(&self, survey: &'a EtcdSurvey) -> Result<&'a Node> {
        let others = survey
            .members
            .iter()
            .filter(|member| member.member.id() != self.id);
        others
            .filter_map(|member| member.node.as_ref())
            .next()
            .ok_or_else(|| {
                Error::new(ErrorKind::NotFound, Origin::Local).with_message("no other member answers")
            })
    }

    /// Whether the others still list it.
    async fn is_there(&self, survey: &EtcdSurvey) -> Result<bool> {
        let mut last = None;
        for member in survey
            .members
            .iter()
            .filter(|member| member.member.id() != self.id)
        {
            let Some(node) = &member.node else { continue };
            match node.etcd().members().send().await {
                Ok(members) => return Ok(members.iter().any(|member| member.id() == self.id)),
                Err(error) => last = Some(error),
            }
        }
        let nobody =
            || Error::new(ErrorKind::NotFound, Origin::Local).with_message("no other member answers");
        Err(last.unwrap_or_else(nobody))
    }
}
