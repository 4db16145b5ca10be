//! Moving pods away.

use std::time::Duration;

use talos_client::workflow::kubernetes::{
    DrainError, DrainOptions, DrainProgress, KubernetesError, PodProblem, PodSkipReason,
};
use talos_testkit::kubernetes::{KubeBudget, KubeFault, KubePod, PodOwner};

use super::{access, five, is_cordoned, kubernetes, quick};
use crate::{
    support::Sim,
    workflow::faulted::{chain, limited},
};

const WORKER: &str = "sim-worker-1";

/// The worker, by its index.
const INDEX: usize = 3;

fn web(name: &str) -> KubePod {
    KubePod::new("default", name)
        .owned_by(PodOwner::ReplicaSet, "web")
        .label("app", "web")
        .on_node(WORKER)
}

#[tokio::test]
async fn pods_go_and_those_that_would_come_back_stay() {
    let sim = Sim::of(five()).await;
    let api = kubernetes(&sim);
    api.add_pod(web("web-1"));
    api.add_pod(KubePod::new("default", "alone").on_node(WORKER));
    api.add_pod(
        KubePod::new("batch", "scratch")
            .owned_by(PodOwner::Job, "job")
            .empty_dir()
            .on_node(WORKER),
    );
    api.add_pod(
        KubePod::new("batch", "over")
            .owned_by(PodOwner::Job, "job")
            .finished()
            .on_node(WORKER),
    );
    api.add_pod(KubePod::new("default", "elsewhere").on_node("sim-worker-2"));
    let mut run = access(&sim).drain(&sim.node(INDEX), quick());
    let mut progress = Vec::new();
    while let Some(item) = run.next_progress().await {
        assert!(!item.to_string().is_empty());
        progress.push(item);
    }
    let report = run.finish().await.expect("drained");
    let mut gone: Vec<String> = report.evicted.iter().map(ToString::to_string).collect();
    gone.sort();
    let expected = ["batch/over", "batch/scratch", "default/alone", "default/web-1"];
    assert!(
        expected.iter().all(|pod| gone.iter().any(|gone| gone == pod)),
        "{gone:?}"
    );
    assert_eq!(
        (report.name.as_deref(), report.was_cordoned),
        (Some(WORKER), false)
    );
    assert!(!report.staying.is_empty());
    assert!(
        report
            .staying
            .iter()
            .all(|stays| stays.reason == PodSkipReason::DaemonSet),
        "{report:?}"
    );
    assert!(
        matches!(&progress[0], DrainProgress::Cordoned { before: false, .. }),
        "{progress:?}"
    );
    assert!(
        matches!(progress.last(), Some(DrainProgress::Gone { left: 0, .. })),
        "{progress:?}"
    );

    assert!(is_cordoned(&sim, WORKER));
    let left: Vec<_> = api
        .pods()
        .into_iter()
        .filter(|pod| pod.node.as_deref() == Some(WORKER))
        .collect();
    let daemons =
        |owner: &Option<(String, String)>| owner.as_ref().is_some_and(|(kind, _)| kind == "DaemonSet");
    assert!(left.iter().all(|pod| daemons(&pod.owner)), "{left:?}");
    assert!(api.pod("default", "elsewhere").is_some());

    assert!(access(&sim).uncordon(&sim.node(INDEX)).await.expect("uncordoned"));
    assert!(!is_cordoned(&sim, WORKER));
    assert!(
        !access(&sim)
            .uncordon(&sim.node(INDEX))
            .await
            .expect("was uncordoned")
    );
}

#[tokio::test]
async fn static_pods_of_a_control_plane_stay() {
    let sim = Sim::of(five()).await;
    let report = access(&sim).drain(&sim.node(0), quick()).await.expect("drained");
    let mirrors = report
        .staying
        .iter()
        .filter(|stays| stays.reason == PodSkipReason::Mirror);
    let mut names: Vec<&str> = mirrors.map(|stays| stays.pod.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names.len(), 3, "{report:?}");
    assert!(names[0].starts_with("kube-apiserver"), "{names:?}");
}

#[tokio::test]
async fn a_budget_is_waited_for() {
    let sim = Sim::of(five()).await;
    let api = kubernetes(&sim);
    api.add_pod(web("web-1"));
    api.set_budget(
        KubeBudget::new("default", "web")
            .selects("app", "web")
            .min_available(1),
    );
    let mut run = access(&sim).drain(&sim.node(INDEX), quick());
    let mut blocked = 0;
    while let Some(progress) = run.next_progress().await {
        if let DrainProgress::Blocked { pod, reason } = progress {
            assert_eq!(pod.to_string(), "default/web-1");
            assert!(reason.contains("disruption budget"), "{reason}");
            blocked += 1;
            api.lift_budget("default", "web");
        }
    }
    run.finish().await.expect("drained");
    assert_eq!(blocked, 1, "a reason is told once");
    let evictions =
        |request: &&talos_testkit::kubernetes::KubeRequest| request.path.ends_with("web-1/eviction");
    let statuses: Vec<_> = api
        .requests()
        .iter()
        .filter(evictions)
        .map(|request| request.status)
        .collect();
    assert_eq!(statuses.first(), Some(&Some(429)), "{statuses:?}");
    assert_eq!(statuses.last(), Some(&Some(201)), "{statuses:?}");
}

#[tokio::test]
async fn pods_that_never_go_are_named_when_the_time_is_over() {
    let sim = Sim::of(five()).await;
    let api = kubernetes(&sim);
    api.add_pod(web("web-1"));
    api.add_pod(
        KubePod::new("default", "stuck")
            .on_node(WORKER)
            .never_terminates(),
    );
    api.set_budget(KubeBudget::new("default", "web").selects("app", "web"));
    let options = quick().timeout(Duration::from_millis(500));
    let run = access(&sim).drain(&sim.node(INDEX), options.clone());
    let error = limited("a drain", run.finish()).await.expect_err("stuck");
    let DrainError::TimedOut { name, after, pods } = &error else {
        panic!("{}", chain(&error));
    };
    assert_eq!((name.as_str(), *after), (WORKER, Duration::from_millis(500)));
    let problem = |name: &str| {
        let left = pods.iter().find(|left| left.pod.name == name);
        &left
            .unwrap_or_else(|| panic!("{name} is not in {pods:?}"))
            .problem
    };
    assert_eq!(*problem("stuck"), PodProblem::Ending);
    assert!(matches!(problem("web-1"), PodProblem::Blocked { .. }));
    assert_eq!(pods.len(), 2);
    let text = error.to_string();
    assert!(text.contains("default/stuck has not ended"), "{text}");
    assert!(is_cordoned(&sim, WORKER), "it stays cordoned");

    // Run again when that is over, it is drained.
    api.let_go("default", "stuck");
    api.lift_budget("default", "web");
    let report = access(&sim)
        .drain(&sim.node(INDEX), quick())
        .await
        .expect("drained");
    assert!(report.was_cordoned);
}

#[tokio::test]
async fn what_may_not_be_lost_is_found_before_anything_is_done() {
    let sim = Sim::of(five()).await;
    let api = kubernetes(&sim);
    api.add_pod(web("web-1"));
    api.add_pod(KubePod::new("default", "alone").on_node(WORKER));
    api.add_pod(
        KubePod::new("default", "scratch")
            .owned_by(PodOwner::ReplicaSet, "s")
            .empty_dir()
            .on_node(WORKER),
    );
    let options = quick().unmanaged(false).empty_dir_data(false);
    let error = access(&sim)
        .drain(&sim.node(INDEX), options)
        .await
        .expect_err("refused");
    assert!(
        matches!(error, DrainError::NotAllowed { .. }),
        "{}",
        chain(&error)
    );
    let mut left: Vec<_> = error
        .pods()
        .iter()
        .map(|left| (left.pod.name.as_str(), left.problem.clone()))
        .collect();
    left.sort_by_key(|(name, _)| *name);
    assert_eq!(
        left,
        [
            ("alone", PodProblem::Unmanaged),
            ("scratch", PodProblem::EmptyDirData)
        ]
    );
    assert!(!is_cordoned(&sim, WORKER));
    assert!(api.requests().iter().all(|request| request.method == "GET"));
}

#[tokio::test]
async fn a_pod_gets_as_much_time_as_it_is_given_and_only_the_pod_that_was_meant() {
    let sim = Sim::of(five()).await;
    let api = kubernetes(&sim);
    api.add_pod(web("web-1"));
    let uid = api.pod("default", "web-1").expect("is there").uid;
    let options = quick().grace_period(Duration::from_secs(3));
    access(&sim)
        .drain(&sim.node(INDEX), options)
        .await
        .expect("drained");
    let asked = api
        .requests()
        .into_iter()
        .find(|request| request.path.ends_with("web-1/eviction"));
    let body: serde_json::Value = serde_json::from_slice(&asked.expect("evicted").body).expect("JSON");
    assert_eq!(body["apiVersion"], "policy/v1");
    assert_eq!(body["kind"], "Eviction");
    assert_eq!(body["deleteOptions"]["gracePeriodSeconds"], 3);
    assert_eq!(body["deleteOptions"]["preconditions"]["uid"], uid.as_str());
}

#[tokio::test]
async fn an_api_that_is_away_for_a_while_is_waited_for() {
    let sim = Sim::of(five()).await;
    let api = kubernetes(&sim);
    api.add_pod(web("web-1"));
    let access = access(&sim);
    access.client().await.expect("a client");
    for fault in [
        KubeFault::new()
            .method("PATCH")
            .path("/nodes/")
            .times(2)
            .disconnect(),
        KubeFault::new().path("/pods").method("GET").times(1).status(503),
        KubeFault::new().path("/eviction").times(2).status(500),
        KubeFault::new()
            .path("/pods")
            .method("GET")
            .skip(2)
            .times(1)
            .disconnect(),
    ] {
        api.inject(fault);
    }
    let mut run = access.drain(&sim.node(INDEX), quick());
    let mut again = 0;
    while let Some(progress) = run.next_progress().await {
        again += u32::from(matches!(progress, DrainProgress::Again { .. }));
    }
    run.finish().await.expect("drained");
    assert!(again >= 3, "{again}");
    assert!(api.pod("default", "web-1").is_none());

    // Nobody listens at all.
    access.uncordon(&sim.node(INDEX)).await.expect("uncordoned");
    let fresh = super::access(&sim);
    api.refuse_connections(true);
    let run = fresh.drain(&sim.node(INDEX), quick().timeout(Duration::from_millis(300)));
    let error = limited("a drain", run.finish()).await.expect_err("refused");
    let DrainError::Kubernetes(source @ KubernetesError::Failed { .. }) = &error else {
        panic!("{}", chain(&error));
    };
    assert!(source.is_retriable());
    assert!(chain(&error).contains("connection refused"), "{}", chain(&error));
    let mut run = fresh.drain(&sim.node(INDEX), quick());
    while let Some(progress) = run.next_progress().await {
        if matches!(progress, DrainProgress::Again { .. }) {
            api.refuse_connections(false);
        }
    }
    run.finish().await.expect("drained");
}

#[tokio::test]
async fn calls_that_are_never_answered_end() {
    let sim = Sim::of(five()).await;
    kubernetes(&sim).inject(KubeFault::new().path("/nodes/").hang());
    let access = access(&sim).call_timeout(Duration::from_millis(50));
    let run = access.drain(&sim.node(INDEX), quick().timeout(Duration::from_millis(300)));
    let error = limited("a drain", run.finish()).await.expect_err("hangs");
    assert!(
        matches!(error, DrainError::Kubernetes(KubernetesError::TimedOut { .. })),
        "{}",
        chain(&error)
    );
}

#[tokio::test]
async fn a_refusal_is_told_at_once() {
    let sim = Sim::of(five()).await;
    let api = kubernetes(&sim);
    api.add_pod(web("web-1"));
    api.inject(KubeFault::new().path("web-1/eviction").status(403));
    let error = access(&sim)
        .drain(&sim.node(INDEX), quick())
        .await
        .expect_err("refused");
    let DrainError::Refused { pod, source, .. } = &error else {
        panic!("{}", chain(&error));
    };
    assert_eq!((pod.name.as_str(), source.code()), ("web-1", Some(403)));

    api.clear_faults();
    let fault = KubeFault::new().path(format!("/nodes/{WORKER}")).status(404);
    api.inject(fault);
    let error = access(&sim)
        .drain(&sim.node(INDEX), quick())
        .await
        .expect_err("not known");
    assert!(chain(&error).contains("404"), "{}", chain(&error));
}

#[tokio::test]
async fn many_pods_and_many_pages() {
    let sim = Sim::of(five()).await;
    let api = kubernetes(&sim);
    api.add_pods((0..260).map(|number| web(&format!("web-{number}"))));
    let report = access(&sim)
        .drain(&sim.node(INDEX), quick())
        .await
        .expect("drained");
    assert!(report.evicted.len() >= 260, "{}", report.evicted.len());
    let pages = api
        .requests()
        .iter()
        .filter(|request| request.query.contains("continue="))
        .count();
    assert!(pages >= 1);
}

#[tokio::test]
async fn times_that_nobody_waits_for_are_no_harm() {
    let sim = Sim::of(five()).await;
    let options = DrainOptions::new()
        .timeout(Duration::MAX)
        .ready_timeout(Duration::MAX);
    let run = access(&sim).drain(&sim.node(INDEX), options.interval(Duration::from_millis(20)));
    limited("a drain", run.finish()).await.expect("drained");
    let (access, node) = (access(&sim), sim.node(INDEX));
    let ready = access.wait_ready(&node, Duration::MAX);
    limited("a node", ready).await.expect("ready");
}
