//! Debug containers.

use std::collections::HashMap;

use futures_util::stream;
use talos_proto::common::ContainerdInstance;
use talos_proto::machine::debug_container_run_request::Request;
use talos_proto::machine::debug_container_run_request_spec::Profile;
use talos_proto::machine::debug_container_run_response::Resp;
use talos_proto::machine::*;
use talos_testkit::{DebugContainerState, SimCluster};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tonic::{Code, Status, Streaming};

use crate::single;
use crate::wire::{Wire, failure};

const SYSTEM: ContainerdInstance = ContainerdInstance {
    driver: 0,
    namespace: 1,
};

fn spec(args: &[&str], tty: bool) -> DebugContainerRunRequestSpec {
    DebugContainerRunRequestSpec {
        containerd: Some(SYSTEM),
        image_name: "docker.io/library/alpine:latest".to_owned(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: HashMap::from([("NAME".to_owned(), "value".to_owned())]),
        profile: Profile::Privileged.into(),
        tty,
    }
}

/// A running container, with the sending half of its call.
struct Session {
    sender: Option<UnboundedSender<DebugContainerRunRequest>>,
    replies: Streaming<DebugContainerRunResponse>,
}

impl Session {
    /// Starts a container, and sends something at once: a node answers nothing before the program does.
    async fn start(
        wire: &Wire,
        spec: DebugContainerRunRequestSpec,
        first: Option<Request>,
    ) -> Result<Self, Status> {
        let (sender, receiver) = unbounded_channel();
        for request in [Some(Request::Spec(spec)), first].into_iter().flatten() {
            let request = Some(request);
            sender.send(DebugContainerRunRequest { request }).unwrap();
        }
        let requests = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|request| (request, receiver))
        });
        let replies = wire.debug().container_run(requests).await?.into_inner();
        Ok(Self {
            sender: Some(sender),
            replies,
        })
    }

    fn send(&self, request: Request) {
        let request = Some(request);
        self.sender
            .as_ref()
            .unwrap()
            .send(DebugContainerRunRequest { request })
            .unwrap();
    }

    fn half_close(&mut self) {
        self.sender = None;
    }

    /// Output until it contains `text`.
    async fn until(&mut self, text: &str) -> String {
        let mut output = String::new();
        while !output.contains(text) {
            match self.replies.message().await.unwrap().unwrap().resp {
                Some(Resp::StdoutData(bytes)) => {
                    assert!(bytes.len() <= 512);
                    output.push_str(std::str::from_utf8(&bytes).unwrap());
                }
                other => panic!("{other:?} after {output:?}"),
            }
        }
        output
    }

    /// Output until the exit code, and that.
    async fn exit(&mut self) -> (String, i32) {
        let mut output = String::new();
        loop {
            match self.replies.message().await.unwrap().unwrap().resp {
                Some(Resp::StdoutData(bytes)) => output.push_str(std::str::from_utf8(&bytes).unwrap()),
                Some(Resp::ExitCode(code)) => return (output, code),
                None => panic!("an empty reply"),
            }
        }
    }
}

fn input(text: &str) -> Request {
    Request::StdinData(text.to_owned().into())
}

async fn with_image() -> (SimCluster, Wire) {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let request = ImageServicePullRequest {
        containerd: Some(SYSTEM),
        image_ref: "alpine".to_owned(),
    };
    let pulled = wire.images().pull(request).await.unwrap().into_inner();
    crate::wire::all(pulled).await.unwrap();
    (cluster, wire)
}

// covers: machine.DebugService/ContainerRun
#[tokio::test]
async fn a_shell_reads_commands_and_ends_with_its_exit_code() {
    let (cluster, wire) = with_image().await;
    let mut session = Session::start(&wire, spec(&["sh"], false), Some(input("echo hello\n")))
        .await
        .unwrap();
    assert_eq!(session.until("hello\n").await, "hello\n");
    session.send(input("env\nexit 7\n"));
    assert_eq!(session.exit().await, ("NAME=value\n".to_owned(), 7));
    session.half_close();
    assert_eq!(session.replies.message().await.unwrap(), None);
    let containers = cluster.node(0).debug_containers();
    assert_eq!(
        (containers.len(), containers[0].state),
        (1, DebugContainerState::Exited(7))
    );
    assert!(containers[0].id.starts_with("debug-") && containers[0].id.len() == 22);
}

// covers: machine.DebugService/ContainerRun
#[tokio::test]
async fn without_a_terminal_the_end_of_input_ends_the_program() {
    let (_cluster, wire) = with_image().await;
    let mut session = Session::start(&wire, spec(&["cat"], false), Some(input(&"x\n".repeat(1000))))
        .await
        .unwrap();
    let echoed = session.until(&"x\n".repeat(1000)).await;
    assert_eq!(echoed.len(), 2000, "in pieces of at most 512 bytes");
    session.send(input("rest"));
    session.half_close();
    assert_eq!(session.exit().await, ("rest".to_owned(), 0));
    assert_eq!(session.replies.message().await.unwrap(), None);
}

// covers: machine.DebugService/ContainerRun
#[tokio::test]
async fn a_terminal_has_a_size_and_hangs_up() {
    let (cluster, wire) = with_image().await;
    let mut session = Session::start(&wire, spec(&[], true), None).await.unwrap();
    assert_eq!(session.until("# ").await, "/ # ");
    session.send(Request::TermResize(DebugContainerTerminalResize {
        width: 132,
        height: 43,
    }));
    session.send(input("size\r"));
    assert_eq!(session.until("43 132\r\n/ # ").await, "size\r\n43 132\r\n/ # ");
    session.half_close();
    assert_eq!(session.exit().await.1, 129);
    assert_eq!(cluster.node(0).debug_containers()[0].sizes, [(132, 43)]);
}

// covers: machine.DebugService/ContainerRun
#[tokio::test]
async fn signals_reach_the_program() {
    let (cluster, wire) = with_image().await;
    let mut session = Session::start(&wire, spec(&["sh"], false), Some(input("trap\necho ready\n")))
        .await
        .unwrap();
    session.until("ready").await;
    session.send(Request::Signal(2));
    session.until("signal 2\n").await;
    session.send(Request::Signal(9));
    assert_eq!(session.exit().await.1, 137);
    assert_eq!(cluster.node(0).debug_containers()[0].signals, [2, 9]);
}

// covers: machine.DebugService/ContainerRun
#[tokio::test]
async fn whoever_goes_away_leaves_no_container_behind() {
    let (cluster, wire) = with_image().await;
    let mut session = Session::start(&wire, spec(&["sh"], false), Some(input("echo up\n")))
        .await
        .unwrap();
    session.until("up").await;
    let containers = async || {
        let request = ContainersRequest {
            namespace: "system".to_owned(),
            driver: 0,
        };
        let reply = wire.machine().containers(request).await.unwrap().into_inner();
        let ids = reply.messages[0]
            .containers
            .iter()
            .map(|container| container.id.clone());
        ids.filter(|id| id.starts_with("debug-")).collect::<Vec<_>>()
    };
    assert_eq!(
        containers().await,
        [cluster.node(0).debug_containers()[0].id.clone()]
    );
    drop(session);
    let ended = |call: &talos_testkit::RecordedCall| {
        call.method.ends_with("/ContainerRun") && call.code == Some(Code::Cancelled)
    };
    cluster.requests().wait_for(ended).await;
    assert_eq!(
        cluster.node(0).debug_containers()[0].state,
        DebugContainerState::Killed
    );
    assert_eq!(containers().await, Vec::<String>::new());
}

// covers: machine.DebugService/ContainerRun
#[tokio::test]
async fn what_is_wrong_is_said() {
    let (_cluster, wire) = with_image().await;
    let start = async |spec, first| Session::start(&wire, spec, first).await.map(|_| ());
    let no_profile = DebugContainerRunRequestSpec {
        profile: 0,
        ..spec(&[], false)
    };
    let no_image = DebugContainerRunRequestSpec {
        image_name: "ghcr.io/a/b:1".to_owned(),
        ..spec(&[], false)
    };
    assert_eq!(
        failure(start(no_profile, None).await),
        (
            Code::InvalidArgument,
            "unsupported debug container profile: PROFILE_UNSPECIFIED".to_owned()
        )
    );
    let (code, message) = failure(start(no_image, None).await);
    assert_eq!(code, Code::NotFound);
    assert!(
        message.starts_with("image ghcr.io/a/b:1 not found: "),
        "{message}"
    );
    let not_a_spec = DebugContainerRunRequest {
        request: Some(input("x")),
    };
    let found = failure(wire.debug().container_run(stream::iter([not_a_spec])).await);
    assert_eq!(
        found,
        (Code::InvalidArgument, "expected debug container spec".to_owned())
    );
    let nothing = stream::iter(Vec::<DebugContainerRunRequest>::new());
    let found = failure(wire.debug().container_run(nothing).await);
    assert_eq!(found, (Code::Unknown, "failed to receive spec: EOF".to_owned()));
    let again = Request::Spec(spec(&[], false));
    let (code, message) = failure(start(spec(&["sh"], false), Some(again.clone())).await);
    assert_eq!(code, Code::Unknown);
    assert!(
        message.starts_with("debug container: receive loop error: "),
        "{message}"
    );
    let host = DebugContainerRunRequestSpec {
        profile: Profile::HostNs.into(),
        ..spec(&["sh"], false)
    };
    let mut session = Session::start(&wire, host, Some(input("echo up\n")))
        .await
        .unwrap();
    session.until("up").await;
    session.send(again);
    session.send(input("exit 3\n"));
    assert_eq!(session.exit().await.1, 3, "there it does not matter");
}
