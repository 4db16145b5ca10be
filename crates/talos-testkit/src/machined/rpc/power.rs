//! Actions that take a machine down: they answer at once and go on in the background.

use talos_proto::machine::{
    Reboot, RebootRequest, RebootResponse, Rollback, RollbackRequest, RollbackResponse, Shutdown,
    ShutdownRequest, ShutdownResponse, reboot_request,
};
use tonic::Status;

use super::Call;
use crate::node::sequence::plan::{Conditions, Sequence};
use crate::node::sequence::{Intent, Job};

impl Call {
    /// Turns calls away on machines that are containers.
    pub(super) fn not_in_container(&self) -> Result<(), Status> {
        if self.node.platform.is_container() {
            return Err(Status::failed_precondition(
                "method is not supported in container mode",
            ));
        }
        Ok(())
    }

    /// Turns calls away on machines in agent mode.
    pub(super) fn not_in_agent(&self) -> Result<(), Status> {
        if self.node.platform.is_agent() {
            return Err(Status::unimplemented("API is not implemented in agent mode"));
        }
        Ok(())
    }

    /// Starts a sequence in the name of this call; returns the id that marks its events.
    pub(super) fn act(&self, job: Job) -> String {
        let actor = self.node.next_rng().uuid();
        self.node.start_sequence(Job {
            actor: actor.clone(),
            ..job
        });
        actor
    }
}

pub(in crate::machined) async fn reboot(
    call: Call,
    request: RebootRequest,
) -> Result<RebootResponse, Status> {
    use reboot_request::Mode;
    call.not_in_container()?;
    let mode = Mode::try_from(request.mode).unwrap_or_default();
    let conditions = Conditions {
        kexec: true,
        only_reboot: mode == Mode::Force,
        ..call.node.conditions()
    };
    let mut job = Job::new(Sequence::Reboot, conditions);
    if mode == Mode::Powercycle {
        job.intent = Intent::PowerCycle;
    }
    let actor_id = call.act(job);
    Ok(RebootResponse {
        messages: vec![Reboot {
            metadata: None,
            actor_id,
        }],
    })
}

pub(in crate::machined) async fn shutdown(
    call: Call,
    request: ShutdownRequest,
) -> Result<ShutdownResponse, Status> {
    call.not_in_container()?;
    let conditions = Conditions {
        drain: !request.force,
        ..call.node.conditions()
    };
    let mut job = Job::new(Sequence::Shutdown, conditions);
    job.force = true;
    let actor_id = call.act(job);
    Ok(ShutdownResponse {
        messages: vec![Shutdown {
            metadata: None,
            actor_id,
        }],
    })
}

/// Boots the release before the running one.
pub(in crate::machined) async fn rollback(
    call: Call,
    _: RollbackRequest,
) -> Result<RollbackResponse, Status> {
    call.not_in_container()?;
    {
        let mut installation = call.node.installation.lock();
        if !installation.is_installed() {
            return Err(Status::failed_precondition("system disk not found"));
        }
        let rolled_back = installation.roll_back();
        rolled_back.ok_or_else(|| Status::unknown("cannot rollback to \"\", label does not exist"))?;
    }
    let mut job = Job::new(
        Sequence::Reboot,
        Conditions {
            kexec: true,
            ..call.node.conditions()
        },
    );
    job.force = true;
    call.node.start_sequence(job);
    Ok(RollbackResponse {
        messages: vec![Rollback { metadata: None }],
    })
}
