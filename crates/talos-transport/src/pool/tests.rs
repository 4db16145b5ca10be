use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::*;

/// Dials by a script: how long an endpoint takes, and whether it then answers.
#[derive(Default)]
struct Script {
    rules: Mutex<BTreeMap<Endpoint, (Duration, bool)>>,
    dialled: Mutex<Vec<String>>,
    alive: Arc<()>,
}

#[derive(Debug, Clone)]
struct Line {
    to: String,
    closed: Arc<AtomicBool>,
}

impl Dial for Arc<Script> {
    type Connection = Line;

    async fn dial(&self, endpoint: &Endpoint) -> Result<Line, ConnectReason> {
        let _alive = Arc::clone(&self.alive);
        self.dialled.lock().unwrap().push(name(endpoint));
        let (takes, answers) = self.rules.lock().unwrap()[endpoint];
        sleep(takes).await;
        if answers {
            Ok(Line {
                to: name(endpoint),
                closed: Arc::default(),
            })
        } else {
            Err(ConnectReason::Refused)
        }
    }
}

impl Pooled for Line {
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
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

fn pool(rules: &[(&str, u64, bool)]) -> (Arc<Script>, Arc<Pool<Arc<Script>>>) {
    let script = Arc::new(Script::default());
    for (endpoint, millis, answers) in rules {
        script.set(endpoint, *millis, *answers);
    }
    let endpoints = rules
        .iter()
        .map(|(endpoint, _, _)| endpoint.parse().unwrap())
        .collect();
    (Arc::clone(&script), Arc::new(Pool::new(script, endpoints)))
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
    let pool = Pool::new(Arc::clone(&script), vec!["a".parse().unwrap()]);
    let error = pool.connection().await.unwrap_err();
    assert!(
        matches!(error.failures()[0].reason(), ConnectReason::Io(_)),
        "{error:?}"
    );
    assert_eq!(script.dialled(), ["a", "a"]);
}
