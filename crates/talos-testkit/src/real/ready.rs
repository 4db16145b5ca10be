//! Waits for nodes, and starts etcd, as `talosctl cluster create` does.

use std::time::Duration;

use prost::Message as _;
use talos_proto::cosi::resource::GetRequest;
use talos_proto::definitions::enums::RuntimeMachineStage as Stage;
use talos_proto::definitions::runtime::MachineStatusSpec;
use talos_proto::machine::BootstrapRequest;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status};

use super::RealError;
use super::connection::{ATTEMPT, Connection, Credentials, request};
use super::engine::Engine;

/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// Who is waited for.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Name in errors; that of a container, if `engine` is set.
    pub(super) name: String,
    /// Host and port to dial.
    pub(super) endpoint: String,
    /// The value of `node` metadata; none when the endpoint itself is meant.
    pub(super) node: Option<String>,
    pub(super) engine: Option<Engine>,
}

/// How an attempt ended.
enum Attempt {
    Done,
    Again(String),
    Failed(RealError),
}

/// Waits until the API answers and the machine is booting or running.
pub(super) async fn wait(
    target: &Target,
    credentials: &Credentials,
    patience: Duration,
) -> Result<(), RealError> {
    let attempt = async || match stage(target, credentials).await {
        Ok(Stage::MachineStageBooting | Stage::MachineStageRunning) => Attempt::Done,
        Ok(stage) => Attempt::Again(format!("stage {}", stage.as_str_name())),
        Err(status) => Attempt::Again(describe(&status)),
    };
    repeat(target, patience, attempt).await
}

async fn stage(target: &Target, credentials: &Credentials) -> Result<Stage, Status> {
    let connection = Connection::open(&target.endpoint, credentials).await?;
    let call = request((), target.node.as_deref());
    within(connection.machine().version(call)).await?;
    let get = GetRequest {
        namespace: "runtime".to_owned(),
        r#type: "MachineStatuses.runtime.talos.dev".to_owned(),
        id: "machine".to_owned(),
        options: None,
    };
    let reply = within(connection.state().get(request(get, target.node.as_deref()))).await?;
    let spec = reply.into_inner().resource.and_then(|resource| resource.spec);
    let spec = MachineStatusSpec::decode(spec.unwrap_or_default().proto_spec)
        .map_err(|error| Status::internal(error.to_string()))?;
    Ok(spec.stage())
}

/// Starts etcd on a node that is ready.
pub(super) async fn bootstrap(
    target: &Target,
    credentials: &Credentials,
    patience: Duration,
) -> Result<(), RealError> {
    let attempt = async || {
        let outcome = async {
            let connection = Connection::open(&target.endpoint, credentials).await?;
            let call = request(BootstrapRequest::default(), target.node.as_deref());
            within(connection.machine().bootstrap(call)).await
        };
        match outcome.await {
            Ok(_) => Attempt::Done,
            // There is no etcd to start.
            Err(status) if status.code() == Code::InvalidArgument => Attempt::Done,
            Err(status) if is_transient(&status) => Attempt::Again(describe(&status)),
            Err(status) => Attempt::Failed(RealError::Bootstrap {
                node: target.name.clone(),
                status: describe(&status),
            }),
        }
    };
    repeat(target, patience, attempt).await
}

/// Whether a node that comes up may answer so: time not in sync, runtime not up, `apid` restarting.
fn is_transient(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::FailedPrecondition | Code::DeadlineExceeded | Code::Cancelled | Code::Unavailable
    ) || ["connection refused", "error reading from server: EOF"]
        .iter()
        .any(|text| status.message().contains(text))
}

async fn repeat(
    target: &Target,
    patience: Duration,
    mut attempt: impl AsyncFnMut() -> Attempt,
) -> Result<(), RealError> {
    let started = Instant::now();
    loop {
        let last = match attempt().await {
            Attempt::Done => return Ok(()),
            Attempt::Failed(error) => return Err(error),
            Attempt::Again(last) => last,
        };
        if let Some(engine) = &target.engine
            && let Some(error) = engine.exited(&target.name).await?
        {
            return Err(error);
        }
        if started.elapsed() >= patience {
            let log = match &target.engine {
                Some(engine) => engine.log_tail(&target.name).await,
                None => String::new(),
            };
            return Err(RealError::NotReady {
                node: target.name.clone(),
                waited: patience,
                last,
                log,
            });
        }
        sleep(PAUSE).await;
    }
}

/// Bounds a call on our side as well: a node that hangs keeps no deadline.
async fn within<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    match timeout(ATTEMPT, call).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Status::deadline_exceeded("no answer")),
    }
}

fn describe(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_comes_up_is_asked_again_and_one_with_data_is_not() {
        for code in [
            Code::FailedPrecondition,
            Code::Unavailable,
            Code::Cancelled,
            Code::DeadlineExceeded,
        ] {
            assert!(
                is_transient(&Status::new(code, "time is not in sync yet")),
                "{code:?}"
            );
        }
        assert!(is_transient(&Status::unknown("dial tcp: connection refused")));
        assert!(!is_transient(&Status::already_exists(
            "etcd data directory is not empty"
        )));
        assert!(!is_transient(&Status::unknown("something else")));
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_is_repeated_until_patience_ends() {
        let target = Target {
            name: "t-controlplane-1".to_owned(),
            endpoint: "127.0.0.1:1".to_owned(),
            node: None,
            engine: None,
        };
        let mut attempts = 0;
        let outcome = repeat(&target, Duration::from_secs(2), async || {
            attempts += 1;
            Attempt::Again("stage booting".to_owned())
        });
        let error = outcome.await.unwrap_err();
        assert_eq!(attempts, 5);
        assert!(
            error
                .to_string()
                .contains("t-controlplane-1 is not ready after 2s: stage booting"),
            "{error}"
        );
    }
}
