use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::error::{CloseReason, Delivery, Error};

/// Dials by a script: how long an endpoint takes, and whether it then answers.
#[derive(Default)]
struct Script {
    rules: Mutex<BTreeMap<Endpoint, (Duration, bool)>>,
    dialled: Mutex<Vec<String>>,
    alive: Arc<()>,
    /// Lines that were begun to be made before this was raised are outdated.
    generation: AtomicU64,
    /// All lines that were made.
    lines: Mutex<Vec<Line>>,
    dialling: Mutex<BTreeMap<Endpoint, u64>>,
    /// How many attempts were under way at one endpoint at most.
    most_at_once: AtomicU64,
}

#[derive(Debug, Clone)]
struct Line {
    to: String,
    generation: u64,
    closed: Arc<AtomicBool>,
}

impl Dial for Arc<Script> {
    type Connection = Line;

    fn is_outdated(&self, connection: &Line) -> bool {
        connection.generation < self.generation.load(Ordering::SeqCst)
    }

    async fn dial(&self, endpoint: &Endpoint) -> Result<Line, ConnectReason> {
        let _alive = Arc::clone(&self.alive);
        self.dialled.lock().unwrap().push(name(endpoint));
        let generation = self.generation.load(Ordering::SeqCst);
        let (takes, answers) = self.rules.lock().unwrap()[endpoint];
        let count = |change: fn(u64) -> u64| {
            let mut dialling = self.dialling.lock().unwrap();
            let count = dialling.entry(endpoint.clone()).or_default();
            *count = change(*count);
            self.most_at_once.fetch_max(*count, Ordering::SeqCst);
        };
        count(|count| count + 1);
        sleep(takes).await;
        count(|count| count - 1);
        if answers {
            let line = Line {
                to: name(endpoint),
                generation,
                closed: Arc::default(),
            };
            self.lines.lock().unwrap().push(line.clone());
            Ok(line)
        } else {
            Err(ConnectReason::Refused)
        }
    }
}

impl Pooled for Line {
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Nobody is told; the pool has to look.
    fn closed(&self) -> impl Future<Output = ()> + Send + 'static {
        std::future::pending()
    }
}

impl Script {
    fn set(&self, endpoint: &str, millis: u64, answers: bool) {
        self.rules.lock().unwrap().insert(
            endpoint.parse().unwrap(),
            (Duration::from_millis(millis), answers),
        );
    }

    fn dialled(&self) -> Vec<String> {
        std::mem::take(&mut self.dialled.lock().unwrap())
    }
}

fn name(endpoint: &Endpoint) -> String {
    endpoint.host().unwrap().to_owned()
}

impl Pool<Arc<Script>> {
    async fn connection(&self) -> Result<Line, ConnectError> {
        Ok(self.pick(&[]).await?.connection)
    }
}

/// Options with a seed that leaves the endpoints in their order.
fn options(endpoints: usize) -> PoolOptions {
    let keeps_order = |seed: &u64| {
        let mut random = Random::new(Some(*seed));
        // The pool takes one number first.
        random.next();
        let mut order: Vec<usize> = (0..endpoints).collect();
        random.shuffle(&mut order);
        order.is_sorted()
    };
    PoolOptions {
        policy: PickPolicy::default(),
        ejection: DEFAULT_EJECTION,
        longest_ejection: DEFAULT_LONGEST_EJECTION,
        seed: (0..).find(keeps_order),
    }
}

fn pool(rules: &[(&str, u64, bool)]) -> (Arc<Script>, Arc<Pool<Arc<Script>>>) {
    pool_with(rules, options(rules.len()))
}

fn pool_with(rules: &[(&str, u64, bool)], options: PoolOptions) -> (Arc<Script>, Arc<Pool<Arc<Script>>>) {
    let script = Arc::new(Script::default());
    for (endpoint, millis, answers) in rules {
        script.set(endpoint, *millis, *answers);
    }
    let endpoints = rules
        .iter()
        .map(|(endpoint, _, _)| endpoint.parse().unwrap())
        .collect();
    let pool = Pool::new(Arc::clone(&script), &options, endpoints);
    (script, Arc::new(pool))
}

#[tokio::test(start_paused = true)]
async fn callers_share_one_attempt_and_then_the_connection() {
    let (script, pool) = pool(&[("a", 100, true)]);
    let mut callers = JoinSet::new();
    for _ in 0..10 {
        let pool = Arc::clone(&pool);
        callers.spawn(async move { pool.connection().await.unwrap().to });
    }
    assert_eq!(callers.join_all().await, ["a"; 10]);
    pool.connection().await.unwrap();
    assert_eq!(script.dialled(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn callers_share_a_failure_and_the_next_caller_tries_again() {
    let (script, pool) = pool(&[("a", 100, false)]);
    let mut callers = JoinSet::new();
    for _ in 0..10 {
        let pool = Arc::clone(&pool);
        callers.spawn(async move { pool.connection().await.is_err() });
    }
    assert_eq!(callers.join_all().await, [true; 10]);
    assert_eq!(script.dialled(), ["a"]);
    script.set("a", 100, true);
    pool.connection().await.unwrap();
    assert_eq!(script.dialled(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_does_not_end_the_attempt() {
    let (script, pool) = pool(&[("a", 100, true)]);
    assert!(
        timeout(Duration::from_millis(60), pool.connection())
            .await
            .is_err()
    );
    let begin = Instant::now();
    pool.connection().await.unwrap();
    assert_eq!(begin.elapsed(), Duration::from_millis(40));
    assert_eq!(script.dialled(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_pool_ends_the_attempt() {
    let (script, pool) = pool(&[("a", 3_600_000, true), ("b", 3_600_000, true)]);
    assert!(timeout(Duration::from_secs(1), pool.connection()).await.is_err());
    assert_eq!(script.dialled(), ["a", "b"]);
    assert!(Arc::strong_count(&script.alive) > 1);
    drop(pool);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(Arc::strong_count(&script.alive), 1);
}

#[tokio::test(start_paused = true)]
async fn the_winner_stays_and_is_dialled_first_when_its_connection_breaks() {
    let (script, pool) = pool(&[("a", 10, false), ("b", 10, false), ("c", 10, true)]);
    let connection = pool.connection().await.unwrap();
    assert_eq!(script.dialled(), ["a", "b", "c"]);
    script.set("a", 10, true);
    assert_eq!(pool.connection().await.unwrap().to, "c");
    connection.closed.store(true, Ordering::SeqCst);
    assert_eq!(pool.connection().await.unwrap().to, "c");
    assert_eq!(script.dialled(), ["c"]);
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_does_not_delay_twice() {
    let (script, pool) = pool(&[("hole", 3_600_000, false), ("b", 10, true)]);
    let begin = Instant::now();
    let connection = pool.connection().await.unwrap();
    assert_eq!(begin.elapsed(), Duration::from_millis(260));
    connection.closed.store(true, Ordering::SeqCst);
    let begin = Instant::now();
    pool.connection().await.unwrap();
    assert_eq!(begin.elapsed(), Duration::from_millis(10));
    assert_eq!(script.dialled(), ["hole", "b", "b"]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_lost_with_its_runtime_is_begun_anew() {
    let (script, pool) = pool(&[("a", 3_600_000, true)]);
    let lost = Arc::clone(&pool);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        // Begins the attempt, and takes it down together with the runtime.
        runtime
            .block_on(async { timeout(Duration::ZERO, lost.connection()).await.map(drop) })
            .unwrap_err();
    })
    .join()
    .unwrap();
    script.set("a", 10, true);
    pool.connection().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dialler_that_panics_fails_the_call_and_nothing_else() {
    // No rule for the endpoint: the script panics.
    let script = Arc::new(Script::default());
    let pool = Pool::new(Arc::clone(&script), &options(1), vec!["a".parse().unwrap()]);
    let error = pool.connection().await.unwrap_err();
    assert!(
        matches!(error.failures()[0].reason(), ConnectReason::Io(_)),
        "{error:?}"
    );
    assert_eq!(script.dialled(), ["a", "a"]);
}

async fn to(pool: &Pool<Arc<Script>>, avoid: &[&str]) -> String {
    let avoid: Vec<Endpoint> = avoid.iter().map(|name| name.parse().unwrap()).collect();
    pool.pick(&avoid).await.unwrap().connection.to
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_to_avoid_is_used_if_nothing_else_connects_soon() {
    let (script, pool) = pool(&[("a", 10, true), ("b", 10, false), ("hole", 3_600_000, false)]);
    assert_eq!(to(&pool, &[]).await, "a");
    let begin = Instant::now();
    assert_eq!(to(&pool, &["a"]).await, "a");
    assert_eq!(begin.elapsed(), AVOID_PATIENCE);
    script.set("b", 10, true);
    // It was tried again in the background meanwhile, or is now.
    sleep(Duration::from_secs(2)).await;
    assert_eq!(to(&pool, &["a"]).await, "b");
    assert_eq!(to(&pool, &["b"]).await, "a");
    assert_eq!(to(&pool, &["a", "b", "hole"]).await, "a");
    assert_eq!(to(&pool, &["unknown"]).await, "a");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_to_avoid_is_dialled_last() {
    let (script, pool) = pool(&[("a", 10, true), ("b", 10, false), ("c", 10, false)]);
    assert_eq!(to(&pool, &["a"]).await, "a");
    assert_eq!(script.dialled(), ["b", "c", "a"]);
}

#[tokio::test(start_paused = true)]
async fn outdated_connections_and_attempts_are_replaced() {
    let (script, pool) = pool(&[("a", 100, true)]);
    let old = pool.connection().await.unwrap();
    script.generation.fetch_add(1, Ordering::SeqCst);
    let new = pool.connection().await.unwrap();
    assert_eq!((old.generation, new.generation), (0, 1));
    assert_eq!(script.dialled(), ["a", "a"]);

    // While an attempt is under way.
    script.generation.fetch_add(1, Ordering::SeqCst);
    let waiting = {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { pool.connection().await.unwrap().generation })
    };
    sleep(Duration::from_millis(50)).await;
    script.generation.fetch_add(1, Ordering::SeqCst);
    pool.renew();
    let begin = Instant::now();
    assert_eq!(waiting.await.unwrap(), 3);
    assert_eq!(
        begin.elapsed(),
        Duration::from_millis(100),
        "it began anew at once"
    );
    sleep(Duration::from_secs(1)).await;
    assert_eq!(script.dialled(), ["a", "a"]);
    assert_eq!(Arc::strong_count(&script.alive), 1);
}

#[tokio::test(start_paused = true)]
async fn renewing_brings_back_what_was_ejected() {
    let (script, pool) = pool(&[("a", 10, false), ("b", 10, true)]);
    pool.connection().await.unwrap();
    assert_eq!(pool.snapshot()[0].state, EndpointState::Ejected);
    pool.renew();
    assert_eq!(pool.snapshot()[0].state, EndpointState::Idle);
    assert_eq!(pool.connection().await.unwrap().to, "b");
    assert_eq!(script.dialled(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn attempts_for_removed_endpoints_are_ended_and_waiting_calls_go_to_the_new_ones() {
    let (script, pool) = pool(&[("hole", 3_600_000, false)]);
    script.set("b", 10, true);
    let waiting = {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { pool.connection().await.unwrap().to })
    };
    sleep(Duration::from_millis(50)).await;
    let begin = Instant::now();
    pool.set_endpoints(vec!["b".parse().unwrap()]);
    assert_eq!(waiting.await.unwrap(), "b");
    assert_eq!(begin.elapsed(), Duration::from_millis(10));
    assert_eq!(Arc::strong_count(&script.alive), 1, "the hole is still dialled");
}

#[tokio::test(start_paused = true)]
async fn a_call_waiting_on_another_runtime_takes_an_attempt_over() {
    let (script, pool) = pool(&[("a", 3_600_000, true), ("b", 3_600_000, true)]);
    let lost = Arc::clone(&pool);
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (leave, may_leave) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let _ = timeout(Duration::ZERO, lost.connection()).await;
            begun.send(()).unwrap();
            may_leave.await.unwrap();
        });
    });
    has_begun.await.unwrap();
    let waiting = {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { pool.connection().await.unwrap().to })
    };
    tokio::task::yield_now().await;
    script.set("a", 10, true);
    script.set("b", 10, true);
    leave.send(()).unwrap();
    assert_eq!(waiting.await.unwrap(), "a");
    thread.join().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_get_through_while_endpoints_flap() {
    let names = ["a", "b", "c", "d"];
    for policy in [PickPolicy::StickyWithFailover, PickPolicy::RoundRobin] {
        let rules = names.map(|name| (name, 5, true));
        let options = PoolOptions {
            policy,
            ..options(names.len())
        };
        let (script, pool) = pool_with(&rules, options);
        let mut callers = JoinSet::new();
        for caller in 0..1000_u64 {
            let pool = Arc::clone(&pool);
            callers.spawn(async move {
                for round in 0..20 {
                    let picked = pool.pick(&[]).await.unwrap();
                    sleep(Duration::from_millis((caller * 7 + round * 1301) % 4000)).await;
                    if picked.connection.is_closed() {
                        let gone = Error::Closed {
                            endpoint: picked.connection.to.parse().unwrap(),
                            delivery: Delivery::Unknown,
                            reason: CloseReason::Eof,
                        };
                        picked.flight.failed(&gone);
                    } else {
                        picked.flight.answered();
                    }
                }
            });
        }
        // One after the other is down for a while, a black hole in turn; three are always up.
        for step in 0..40 {
            let (down, up) = (names[step % 4], names[(step + 3) % 4]);
            script.set(up, 5, true);
            script.set(down, if step % 3 == 0 { 10_000 } else { 5 }, false);
            script.lines.lock().unwrap().retain(|line| {
                line.closed.fetch_or(line.to == down, Ordering::SeqCst);
                line.to != down
            });
            sleep(Duration::from_secs(1)).await;
        }
        callers.join_all().await;
        for snapshot in pool.snapshot() {
            assert_eq!(snapshot.in_flight, 0, "{snapshot:?}");
        }
        let dials = script.dialled().len();
        assert!(dials < 400, "{dials} attempts");
        assert_eq!(
            script.most_at_once.load(Ordering::SeqCst),
            1,
            "attempts at one endpoint at once"
        );
    }
}
