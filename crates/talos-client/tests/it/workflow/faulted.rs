//! A workflow with its connection cut at every step.
//!
//! [`every_step`] runs a workflow once without faults and looks which RPCs it makes. Then, for each of them, it runs the
//! workflow on a new cluster with the connection cut before the RPC, and again with the connection cut after it: what was
//! asked for has happened, and the answer is lost. RPCs that answer with a stream are also cut after the first message.
//!
//! Whatever happens, the workflow has to end within [`LIMIT`]. If it fails, running it again without a fault has to
//! succeed. In either case the end state is checked.

use std::{collections::BTreeMap, error::Error as StdError, fmt, time::Duration};

use futures_util::{StreamExt as _, stream};
use talos_client::proto::methods;
use talos_testkit::fault::CallFault;

use crate::support::Sim;

/// Nothing takes longer than this, whatever goes wrong, at the speed of simulated machines.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// For what is to run into its limit: long enough for a machine that does much else to get where it is to end.
pub(crate) const SHORT: Duration = Duration::from_secs(6);

/// Of calls that are the same in method, node and request, such as those that wait for something, so many are cut.
const SAME_CALLS: usize = 2;

/// So many clusters at the same time.
const CONCURRENCY: usize = 4;

/// One call of a workflow, and where it is cut.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    /// gRPC path, for example `/machine.MachineService/Version`.
    pub(crate) method: String,
    /// Which of the calls of this method, the first has number 1.
    pub(crate) number: u64,
    pub(crate) place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It has no effect.
    Before,
    /// It has its effect, and nobody hears of it.
    After,
    /// After the first message of a stream.
    FirstMessage,
}

/// What became of a workflow that was cut.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) cut: Cut,
    /// Whether the cut came to pass: the workflow made that call this time, too.
    pub(crate) happened: bool,
    /// What the workflow failed with, if it did.
    pub(crate) failure: Option<String>,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} call {} of {}", self.place, self.number, self.method)
    }
}

/// Runs `workflow` on clusters of `start`, once without a fault and once for each [`Cut`], and `check` after each of them.
///
/// `typed` says whether a failure is one that a caller can do something about. The outcomes are in the order of the calls.
pub(crate) async fn every_step<T, E: StdError>(
    start: impl AsyncFn() -> Sim,
    workflow: impl AsyncFn(&Sim) -> Result<T, E>,
    typed: impl Fn(&E) -> bool,
    check: impl AsyncFn(&Sim),
) -> Vec<Outcome> {
    let sim = start().await;
    sim.cluster.requests().clear();
    limited("without a fault", workflow(&sim))
        .await
        .unwrap_or_else(|error| panic!("without a fault: {}", chain(&error)));
    let cuts = cuts_of(&sim);
    check(&sim).await;
    assert!(!cuts.is_empty(), "a workflow makes calls");
    drop(sim);

    let one = async |cut: Cut| -> Outcome {
        let sim = start().await;
        let fault = sim.cluster.inject(cut.fault()).expect("a fault");
        let result = limited(&cut, workflow(&sim)).await;
        let happened = fault.hits() > 0;
        sim.cluster.clear_faults();
        let failure = match result {
            Ok(_) => None,
            Err(error) => {
                assert!(typed(&error), "{cut}: not a typed failure: {}", chain(&error));
                limited(&cut, workflow(&sim)).await.unwrap_or_else(|again| {
                    panic!("{cut}: {}\nand again: {}", chain(&error), chain(&again));
                });
                Some(chain(&error))
            }
        };
        limited(&cut, check(&sim)).await;
        Outcome {
            cut,
            happened,
            failure,
        }
    };
    let outcomes: Vec<Outcome> = stream::iter(cuts).map(one).buffered(CONCURRENCY).collect().await;
    // What comes later may depend on time, also whether a method is needed at all; the first call does not.
    let (first, _) = outcomes.split_first().expect("a call");
    assert!(first.happened, "{} did not happen", first.cut);
    outcomes
}

/// Whatever was cut, the workflow got to its end by itself.
#[track_caller]
pub(crate) fn assert_all_succeeded(outcomes: &[Outcome]) {
    assert!(
        outcomes.iter().all(|outcome| outcome.failure.is_none()),
        "{outcomes:#?}"
    );
}

/// The calls that the cluster has received, each with the places where it can be cut.
fn cuts_of(sim: &Sim) -> Vec<Cut> {
    let mut numbers: BTreeMap<String, u64> = BTreeMap::new();
    let mut same: BTreeMap<(String, Option<String>, Vec<u8>), usize> = BTreeMap::new();
    let mut cuts = Vec::new();
    for call in sim.cluster.requests().all() {
        let number = numbers.entry(call.method.clone()).or_default();
        *number += 1;
        let request = call.messages.concat();
        let seen = same
            .entry((call.method.clone(), call.node().map(str::to_owned), request))
            .or_default();
        *seen += 1;
        if *seen > SAME_CALLS {
            continue;
        }
        let streams = methods::by_path(&call.method).is_some_and(|method| method.streaming.server_streams());
        let places = [Place::Before, Place::After, Place::FirstMessage];
        for place in &places[..if streams { 3 } else { 2 }] {
            cuts.push(Cut {
                method: call.method.clone(),
                number: *number,
                place: *place,
            });
        }
    }
    cuts
}

impl Cut {
    fn fault(&self) -> CallFault {
        let call = CallFault::on_endpoints()
            .method(self.method.as_str())
            .calls(self.number..=self.number)
            .disconnect();
        match self.place {
            Place::Before => call,
            Place::After => call.after_messages(0),
            Place::FirstMessage => call.after_messages(1),
        }
    }
}

/// The failure and all its causes.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// What must end, and how it is called.
pub(crate) async fn limited<T>(what: impl fmt::Display, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work)
        .await
        .unwrap_or_else(|_| panic!("{what}: it does not end"))
}

mod tests {
    use talos_testkit::SimCluster;

    use super::*;

    #[tokio::test]
    async fn calls_are_cut_before_and_after_and_repeated_ones_not_for_ever() {
        let outcomes = every_step(
            async || Sim::of(SimCluster::builder()).await,
            async |sim| {
                for _ in 0..5 {
                    sim.node(0).version().await?;
                }
                sim.node(0).reboot().send().await
            },
            |error| error.is_retriable(),
            async |sim| assert!(sim.cluster.requests().attempts("Reboot") > 0),
        )
        .await;
        let at = |name: &str| {
            let of_method = outcomes
                .iter()
                .filter(|outcome| outcome.cut.method.ends_with(name));
            of_method
                .map(|outcome| (outcome.cut.place, outcome.failure.is_some()))
                .collect::<Vec<_>>()
        };
        let read = [(Place::Before, false), (Place::After, false)];
        assert_eq!(at("/Version"), [read, read].concat(), "the client asks again");
        assert_eq!(at("/Reboot"), [(Place::Before, true), (Place::After, true)]);
    }
}
