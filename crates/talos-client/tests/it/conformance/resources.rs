//! What nodes say about themselves in resources.

use std::collections::BTreeSet;

use talos_client::{
    MemberRole, MemberSource, ResourceErrorKind,
    resource::{
        cluster::Member,
        runtime::{MachineStage, MachineStatus},
    },
};

use super::Subject;

// covers: cosi.resource.State/Get
pub(super) async fn every_machine_runs_and_is_ready(subject: &Subject) {
    for node in &subject.nodes {
        let status = node.resources().get::<MachineStatus>().await.expect("exists");
        assert_eq!(status.spec.stage, MachineStage::Running, "{status:?}");
        assert!(status.spec.ready, "{status:?}");
    }
}

// covers: cosi.resource.State/List
pub(super) async fn members_are_the_machines_of_the_cluster(subject: &Subject) {
    let members = subject
        .control_plane()
        .resources()
        .list::<Member>()
        .await
        .expect("listed");
    let listed: BTreeSet<_> = members
        .iter()
        .map(|member| member.spec.hostname.clone())
        .collect();
    let (found, source) = subject.client.discover().await.expect("found");
    assert_eq!(source, MemberSource::Discovery);
    let discovered: BTreeSet<_> = found
        .iter()
        .filter_map(|member| member.hostname.clone())
        .collect();
    assert_eq!(discovered, listed);
    assert_eq!(
        found.len(),
        subject.nodes.len(),
        "the context lists all machines: {found:?}"
    );
    let workers = found
        .iter()
        .filter(|member| member.role == MemberRole::Worker)
        .count();
    assert_eq!(workers, subject.workers.len());
}

// covers: cosi.resource.State/Get
pub(super) async fn a_resource_that_is_not_there_is_not_found(subject: &Subject) {
    let resources = subject.control_plane();
    let missing = resources.resources().get_by_id::<MachineStatus>("nothing").await;
    let error = missing.expect_err("not there");
    assert!(error.is_not_found(), "{error:#}");
    assert_eq!(error.resource_kind(), Some(ResourceErrorKind::NotFound));
}
