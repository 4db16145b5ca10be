//! Faults over real sockets that involve more than one endpoint: flapping, renewed certificates, changed names.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderValue;
use talos_transport::connect::Resolve;
use talos_transport::{AnsweredBy, Attempts, Channel, Endpoint, Error, RetryClass, RetryConfig};
use tokio::task::JoinSet;
use tonic::Status;

use crate::client::{echo, message, tls, transport_error, unary};
use crate::pki::Ca;
use crate::pool::{Cluster, called, endpoints};
use crate::server::{PATIENCE, Server, ServerTls, ports};

const CALLS: usize = 1_000;
const FLAPS: usize = 6;

/// Attempts of a call, and its result.
type Outcome = (u32, Result<(), Status>);

/// Makes a call of this class that servers can tell from others.
async fn marked(channel: Channel, class: RetryClass, mark: usize) -> Outcome {
    let attempts = Attempts::new();
    let mut request = message("ping");
    request.extensions_mut().insert(class);
    request.extensions_mut().insert(attempts.clone());
    let mark = mark.to_string().parse().unwrap();
    request.metadata_mut().insert(MARK, mark);
    let result = unary(&channel, "Unary", request).await;
    (attempts.count(), result.map(drop))
}

const MARK: &str = "x-mark";

fn marks(requests: &[http::request::Parts], marks: &mut Vec<String>) {
    let found = requests.iter().filter_map(|request| request.headers.get(MARK));
    marks.extend(found.map(|mark: &HeaderValue| mark.to_str().unwrap().to_owned()));
}

/// A thousand calls under way while one endpoint after the other is killed and revived. Returns what became of the calls, and
/// the mark of every request that a server saw.
async fn flap(class: RetryClass) -> (Vec<Outcome>, Vec<String>) {
    let cluster = Cluster::new();
    let mut servers: Vec<Server> = cluster.servers::<3>().await.into();
    let channel = cluster
        .builder(endpoints(&servers))
        .retry(RetryConfig::new().max_attempts(FLAPS as u32 + 1))
        .build()
        .unwrap();
    let mut calls = JoinSet::new();
    let mut next_mark = 0..;
    let mut outcomes = Vec::new();
    let mut seen = Vec::new();
    for flap in 0..FLAPS {
        while calls.len() < CALLS {
            calls.spawn(marked(channel.clone(), class, next_mark.next().unwrap()));
        }
        // Some have gone through, and the rest is somewhere.
        for _ in 0..CALLS / 4 {
            outcomes.push(calls.join_next().await.unwrap().unwrap());
        }
        let victim = servers.remove(flap % 3);
        let address = victim.address();
        marks(&victim.requests(), &mut seen);
        victim.kill().await;
        servers.insert(flap % 3, cluster.revive(address).await);
    }
    outcomes.extend(calls.join_all().await);
    for server in &servers {
        marks(&server.requests(), &mut seen);
    }
    (outcomes, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reads_in_flight_survive_flapping_endpoints() {
    let (outcomes, seen) = flap(RetryClass::RepeatableUnary).await;
    assert!(outcomes.len() > 2 * CALLS, "{} calls", outcomes.len());
    let failed: Vec<_> = outcomes.iter().filter(|(_, result)| result.is_err()).collect();
    assert!(
        failed.is_empty(),
        "{} of {} failed: {:?}",
        failed.len(),
        outcomes.len(),
        failed[0]
    );
    let attempts: usize = outcomes.iter().map(|(attempts, _)| *attempts as usize).sum();
    assert!(
        seen.len() <= attempts,
        "{} requests from {attempts} attempts",
        seen.len()
    );
    // Each call that a server did not answer cost one attempt, and not a storm of them.
    assert!(attempts <= outcomes.len() + FLAPS * CALLS, "{attempts} attempts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flapping_endpoints_see_no_unsafe_call_twice() {
    let (outcomes, seen) = flap(RetryClass::Unprocessed).await;
    let distinct: HashSet<_> = seen.iter().collect();
    assert_eq!(
        distinct.len(),
        seen.len(),
        "a call was repeated that may have had an effect"
    );
    for (_, result) in &outcomes {
        if let Err(status) = result {
            assert!(
                matches!(transport_error(status), Error::Closed { .. }),
                "{status:?}"
            );
        }
    }
    let answered = outcomes.iter().filter(|(_, result)| result.is_ok()).count();
    // How many depends on the machine: a slow one has more calls on their way when a server is killed.
    assert!(answered > 0, "none of {}", outcomes.len());
}

#[tokio::test]
async fn a_renewed_server_certificate_changes_nothing_and_a_foreign_one_moves_calls_away() {
    let ca = Ca::new();
    let start = |address: SocketAddr, ca: &Ca, trusts: &Ca| {
        Server::start_at(address, ServerTls::new(ca.server(&["127.0.0.1"]), &trusts.pem))
    };
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let (one, other) = (start(any, &ca, &ca).await, start(any, &ca, &ca).await);
    let channel = Channel::builder([one.endpoint(), other.endpoint()])
        .tls(tls(&ca, &ca.client()))
        .connect_timeout(PATIENCE)
        .build()
        .unwrap();
    let read = || async {
        let mut request = message("ping");
        request.extensions_mut().insert(RetryClass::RepeatableUnary);
        let response = unary(&channel, "Unary", request).await.unwrap();
        response
            .extensions()
            .get::<AnsweredBy>()
            .unwrap()
            .endpoint()
            .clone()
    };
    let used = read().await;
    let (victim, spare) = if used == one.endpoint() {
        (one, other)
    } else {
        (other, one)
    };
    let address = victim.address();
    victim.kill().await;
    let renewed = start(address, &ca, &ca).await;
    // Wherever they go, calls are answered, and the renewed endpoint is as good as before.
    read().await;
    spare.kill().await;
    assert_eq!(read().await, renewed.endpoint());

    let foreign = Ca::new();
    let spare = start(any, &ca, &ca).await;
    channel
        .set_endpoints([renewed.endpoint(), spare.endpoint()])
        .unwrap();
    renewed.kill().await;
    let impostor = start(address, &foreign, &ca).await;
    assert_eq!(read().await, spare.endpoint());
    assert_eq!(impostor.requests().len(), 0);
}

/// Names and their addresses, as long as nobody changes them.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<BTreeMap<String, Vec<SocketAddr>>>>);

impl Names {
    fn set(&self, name: &str, addresses: impl IntoIterator<Item = SocketAddr>) {
        let addresses = addresses.into_iter().collect();
        self.0.lock().unwrap().insert(name.to_owned(), addresses);
    }
}

impl Resolve for Names {
    async fn resolve(&self, host: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
        let names = self.0.lock().unwrap();
        names
            .get(host)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_followed_with_the_next_connection() {
    const NAME: &str = "cp.cluster.internal";
    let ca = Ca::new();
    let start = || Server::start(ServerTls::new(ca.server(&[NAME]), &ca.pem));
    let (old, new) = (start().await, start().await);
    let names = Names::default();
    names.set(NAME, [old.address()]);
    let endpoint: Endpoint = NAME.parse().unwrap();
    let channel = Channel::builder([endpoint.clone()])
        .tls(tls(&ca, &ca.client()))
        .resolver(names.clone())
        .connect_timeout(PATIENCE)
        .build()
        .unwrap();
    assert_eq!(called(&channel).await, endpoint);
    names.set(NAME, [new.address()]);
    // The connection is good, so it stays.
    echo(&channel).await.unwrap();
    assert_eq!((old.requests().len(), new.requests().len()), (2, 0));
    old.kill().await;
    let mut request = message("ping");
    request.extensions_mut().insert(RetryClass::RepeatableUnary);
    unary(&channel, "Unary", request).await.unwrap();
    assert_eq!(new.requests().len(), 1);

    // An answer may list what is gone: the next address is tried.
    let third = start().await;
    names.set(NAME, [ports::reserve(), third.address()]);
    new.kill().await;
    let mut request = message("ping");
    request.extensions_mut().insert(RetryClass::RepeatableUnary);
    unary(&channel, "Unary", request).await.unwrap();
    assert_eq!(third.requests().len(), 1);

    // And a name that is gone is told, and found again when it is back.
    let last = third.address();
    third.kill().await;
    names.set(NAME, []);
    let status = echo(&channel).await.unwrap_err();
    assert!(status.message().contains("no address"), "{status}");
    let back = Server::start_at(last, ServerTls::new(ca.server(&[NAME]), &ca.pem)).await;
    names.set(NAME, [last]);
    echo(&channel).await.unwrap();
    assert_eq!(back.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_never_answers_costs_one_connect_timeout() {
    struct Silent;
    impl Resolve for Silent {
        async fn resolve(&self, _host: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
            std::future::pending().await
        }
    }
    let ca = Ca::new();
    let timeout = Duration::from_secs(3);
    let channel = Channel::builder(["cp.cluster.internal".parse().unwrap()])
        .tls(tls(&ca, &ca.client()))
        .resolver(Silent)
        .connect_timeout(timeout)
        .retry(RetryConfig::off())
        .build()
        .unwrap();
    let begin = tokio::time::Instant::now();
    let status = echo(&channel).await.unwrap_err();
    assert_eq!(begin.elapsed(), timeout);
    assert!(
        matches!(transport_error(&status), Error::Connect(error) if error.is_timeout()),
        "{status:?}"
    );
}
