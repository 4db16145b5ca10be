//! Starting a debug container.

use std::{
    collections::HashMap,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use talos_proto::{
    machine::{
        DebugContainerRunRequest, DebugContainerRunRequestSpec, debug_container_run_request::Request,
        debug_container_run_request_spec::Profile, debug_service_client::DebugServiceClient,
    },
    methods::machine::debug_service as methods,
};
use tokio::sync::{mpsc, oneshot};

use super::{DebugInput, DebugOutput};
use crate::{
    Node,
    api::containerd::{Containerd, image_problem},
    call::request,
    stream::CancelOnDrop,
};

/// What a debug container may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DebugProfile {
    /// Everything, in namespaces of its own.
    Privileged,
    /// Everything, in the namespaces of the node; Talos 1.14 and newer.
    HostNamespaces,
}

/// What is asked of the node.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    containerd: Containerd,
    image: String,
    args: Vec<String>,
    env: HashMap<String, String>,
    profile: DebugProfile,
    tty: bool,
}

request! {
    /// A debug container to be run; made by [`Node::debug_container`].
    pub struct DebugRequest(Container) {
        /// The store that the image is in. Default: [`Containerd::InMemory`].
        fn containerd(container, containerd: Containerd) {
            container.containerd = containerd;
        }

        /// What to run, in place of what the image says.
        fn args(container, args: impl IntoIterator<Item = impl Into<String>>) {
            container.args = args.into_iter().map(Into::into).collect();
        }

        /// Adds a variable to its environment.
        fn env(container, name: impl Into<String>, value: impl Into<String>) {
            container.env.insert(name.into(), value.into());
        }

        /// What it may do. Default: [`DebugProfile::Privileged`].
        fn profile(container, profile: DebugProfile) {
            container.profile = profile;
        }

        /// Whether it has a terminal. Default: false. With one, the end of its input hangs up, and its exit code
        /// is 129 then.
        fn tty(container, tty: bool) {
            container.tty = tty;
        }
    }

    /// Starts the container. The file system of the node is at `/host`.
    ///
    /// Nodes answer with the first output only, so failures such as `NotFound` for an image that is not there may
    /// come with the output.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty image and for a variable without a name or with `=` in it, and every
    /// [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future, or the output of the session, cancels the call, and the node ends the container.
    send(target, container) -> DebugSession {
        let method = &methods::CONTAINER_RUN;
        if let Some(problem) = image_problem(&container.image) {
            return Err(target.invalid_input(method, problem));
        }
        if container.env.keys().any(|name| name.is_empty() || name.contains('=')) {
            return Err(target.invalid_input(method, "a variable has no name, or = in it"));
        }
        let (sender, receiver) = mpsc::channel(CAPACITY);
        let (sent, mut was_sent) = oneshot::channel();
        let requests = Requests {
            spec: Some(container.into_message()),
            sent: Some(sent),
            receiver,
        };
        let cancel = CancelOnDrop::default();
        let slot = cancel.slot();
        let mut opening = Box::pin(async move {
            target
                .call(method, requests, |request| {
                    let mut service = DebugServiceClient::new(target.channel.clone());
                    let request = slot.watch(request);
                    async move { service.container_run(request).await }
                })
                .await
        });
        // Until the node has been told what to run; it may say nothing for long.
        let opened = std::future::poll_fn(|cx| match opening.as_mut().poll(cx) {
            Poll::Ready(opened) => Poll::Ready(Some(opened)),
            Poll::Pending => Pin::new(&mut was_sent).poll(cx).map(|_| None),
        })
        .await;
        let output = match opened {
            Some(opened) => {
                let (messages, call) = opened?;
                DebugOutput::open(messages, call, cancel)
            }
            None => DebugOutput::opening(opening, cancel),
        };
        Ok(DebugSession { input: DebugInput::new(sender), output })
    }
}

impl Container {
    fn into_message(self) -> DebugContainerRunRequest {
        let profile = match self.profile {
            DebugProfile::Privileged => Profile::Privileged,
            DebugProfile::HostNamespaces => Profile::HostNs,
        };
        let spec = DebugContainerRunRequestSpec {
            containerd: Some(self.containerd.instance()),
            image_name: self.image,
            args: self.args,
            env: self.env,
            profile: profile.into(),
            tty: self.tty,
        };
        DebugContainerRunRequest {
            request: Some(Request::Spec(spec)),
        }
    }
}

/// The request: what to run, then what goes in.
struct Requests {
    spec: Option<DebugContainerRunRequest>,
    sent: Option<oneshot::Sender<()>>,
    receiver: mpsc::Receiver<DebugContainerRunRequest>,
}

impl Stream for Requests {
    type Item = DebugContainerRunRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(spec) = self.spec.take() {
            return Poll::Ready(Some(spec));
        }
        // Whoever asks for more has taken the first.
        if let Some(sent) = self.sent.take() {
            // Nobody is there to hear it if the call has begun to answer.
            let _ = sent.send(());
        }
        self.receiver.poll_recv(cx)
    }
}

/// A debug container that runs.
///
/// Both halves matter: dropping the input is the end of the container's input, dropping the output ends the
/// container.
#[must_use = "dropping the session ends the container"]
#[derive(Debug)]
pub struct DebugSession {
    input: DebugInput,
    output: DebugOutput,
}

impl DebugSession {
    /// What goes in, and what comes out.
    pub fn split(self) -> (DebugInput, DebugOutput) {
        (self.input, self.output)
    }

    /// What goes in: bytes, signals, and the size of the terminal.
    pub fn input(&mut self) -> &mut DebugInput {
        &mut self.input
    }

    /// What comes out, and the exit code.
    pub fn output(&mut self) -> &mut DebugOutput {
        &mut self.output
    }
}

impl Node {
    /// Runs a container on the node, for looking around.
    ///
    /// **It may do everything on that machine**, whatever the profile.
    ///
    /// Upstream: `machine.DebugService/ContainerRun` · talosctl debug · since Talos 1.13 · role os:admin · unsafe
    pub fn debug_container(&self, image: impl Into<String>) -> DebugRequest {
        let container = Container {
            containerd: Containerd::InMemory,
            image: image.into(),
            args: Vec::new(),
            env: HashMap::new(),
            profile: DebugProfile::Privileged,
            tty: false,
        };
        DebugRequest::new(self.target(), container)
    }
}

/// How many messages, of at most 1 KiB, wait for the connection.
const CAPACITY: usize = 16;
