//! Debug containers.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use talos_proto::machine::debug_container_run_request::Request;
use talos_proto::machine::debug_container_run_request_spec::Profile;
use talos_proto::machine::debug_container_run_response::Resp;
use talos_proto::machine::{
    DebugContainerRunRequest, DebugContainerRunRequestSpec, DebugContainerRunResponse,
};
use tonic::{Status, Streaming};

use super::{Call, Items, images};
use crate::node::Node;
use crate::node::debug::{DebugContainer, DebugContainerState};
use crate::node::shell::{Output, Shell};

/// Most bytes of output in one message.
const CHUNK: usize = 512;

pub(in crate::machined) async fn container_run(
    call: Call,
    mut requests: Streaming<DebugContainerRunRequest>,
) -> Result<Items<DebugContainerRunResponse>, Status> {
    let first = requests.message().await?;
    let Some(first) = first else {
        return Err(Status::unknown("failed to receive spec: EOF"));
    };
    let Some(Request::Spec(spec)) = first.request else {
        return Err(Status::invalid_argument("expected debug container spec"));
    };
    let profile = match Profile::try_from(spec.profile) {
        Ok(profile @ (Profile::Privileged | Profile::HostNs)) => profile,
        Ok(other) => return Err(unsupported_profile(other.as_str_name())),
        Err(_) => return Err(unsupported_profile(&spec.profile.to_string())),
    };
    let namespace = images::store(spec.containerd)?;
    if !call.node.has_image(namespace, &spec.image_name) {
        let image = &spec.image_name;
        return Err(Status::not_found(format!(
            "image {image} not found: image \"{image}\": not found"
        )));
    }
    let (running, output) = Running::start(&call.node, spec, profile, requests);
    let session = Session {
        running: Some(running),
        pending: output.bytes.into(),
        exit: output.exit,
        ended: false,
    };
    Ok(stream::unfold(session, |mut session| async move {
        session.next().await.map(|message| (message, session))
    })
    .boxed())
}

fn unsupported_profile(profile: &str) -> Status {
    Status::invalid_argument(format!("unsupported debug container profile: {profile}"))
}

/// A container and the two directions of its call.
struct Session {
    /// `None` when nothing is read any more.
    running: Option<Running>,
    /// Output that has not been sent.
    pending: Bytes,
    exit: Option<i32>,
    /// The exit code has been sent.
    ended: bool,
}

impl Session {
    async fn next(&mut self) -> Option<Result<DebugContainerRunResponse, Status>> {
        loop {
            if !self.pending.is_empty() {
                let piece = self.pending.split_to(self.pending.len().min(CHUNK));
                return Some(Ok(reply(Resp::StdoutData(piece))));
            }
            if let Some(code) = self.exit.filter(|_| !self.ended) {
                self.ended = true;
                if let Some(running) = &self.running {
                    running.set_state(DebugContainerState::Exited(code));
                }
                return Some(Ok(reply(Resp::ExitCode(code))));
            }
            let running = self.running.as_mut()?;
            match running.step(self.ended).await {
                Step::Output(output) if !self.ended => {
                    self.pending = output.bytes.into();
                    self.exit = output.exit;
                }
                // What comes after the end is read and forgotten.
                Step::Output(_) => {}
                Step::Done => return None,
                Step::Failed(status) => {
                    self.running = None;
                    return Some(Err(status));
                }
            }
        }
    }
}

fn reply(resp: Resp) -> DebugContainerRunResponse {
    DebugContainerRunResponse { resp: Some(resp) }
}

enum Step {
    Output(Output),
    /// The caller has closed its side and the program has ended.
    Done,
    Failed(Status),
}

/// A container that is killed when it is dropped before it has ended.
struct Running {
    node: Arc<Node>,
    id: String,
    shell: Shell,
    profile: Profile,
    requests: Streaming<DebugContainerRunRequest>,
    closed: bool,
}

impl Running {
    fn start(
        node: &Arc<Node>,
        spec: DebugContainerRunRequestSpec,
        profile: Profile,
        requests: Streaming<DebugContainerRunRequest>,
    ) -> (Self, Output) {
        let id = format!("debug-{}", node.next_rng().hex(16));
        node.debug_containers.add(DebugContainer {
            id: id.clone(),
            image: spec.image_name,
            args: spec.args.clone(),
            tty: spec.tty,
            state: DebugContainerState::Running,
            signals: Vec::new(),
            sizes: Vec::new(),
        });
        let (shell, output) = Shell::start(&spec.args, spec.env.into_iter().collect(), spec.tty);
        let running = Self {
            node: Arc::clone(node),
            id,
            shell,
            profile,
            requests,
            closed: false,
        };
        (running, output)
    }

    fn set_state(&self, state: DebugContainerState) {
        self.node
            .debug_containers
            .change(&self.id, |container| container.state = state);
    }

    /// Waits for what the caller sends next, and lets the program see it.
    async fn step(&mut self, ended: bool) -> Step {
        if self.closed {
            return if ended {
                Step::Done
            } else {
                // Only the caller's going away can end it now.
                std::future::pending().await
            };
        }
        let message = match self.requests.message().await {
            Ok(Some(message)) => message,
            Ok(None) => {
                self.closed = true;
                return Step::Output(self.shell.end());
            }
            Err(status) => return Step::Failed(status),
        };
        match message.request {
            Some(Request::StdinData(bytes)) => Step::Output(self.shell.input(&bytes)),
            Some(Request::Signal(number)) => {
                let changes = &self.node.debug_containers;
                changes.change(&self.id, |container| container.signals.push(number));
                Step::Output(self.shell.signal(number))
            }
            Some(Request::TermResize(size)) => {
                let (width, height) = (size.width, size.height);
                let changes = &self.node.debug_containers;
                changes.change(&self.id, |container| container.sizes.push((width, height)));
                self.shell.resize(width, height);
                Step::Output(Output::default())
            }
            _ if self.profile == Profile::HostNs => Step::Output(Output::default()),
            Some(Request::Spec(_)) => self.confused("unexpected container spec"),
            None => self.confused("unknown request type"),
        }
    }

    fn confused(&self, reason: &str) -> Step {
        Step::Failed(Status::unknown(format!(
            "debug container: receive loop error: {reason}"
        )))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.node.debug_containers.change(&self.id, |container| {
            if container.state == DebugContainerState::Running {
                container.state = DebugContainerState::Killed;
            }
        });
    }
}
