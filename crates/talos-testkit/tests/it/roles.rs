//! Who may call what, and what is known at all.

use talos_proto::methods::{METHODS, Role, ServedBy};
use talos_testkit::SimCluster;
use tonic::Code;
use tonic::body::Body;

use crate::single;
use crate::wire::{Wire, final_status, frame, with};

/// The status of a call with an empty request.
async fn status(wire: &Wire, path: &str, headers: &[(&str, &str)]) -> (Code, String) {
    let body = Body::new(http_body_util::Full::new(frame(b"")));
    let response = wire.raw(path, headers, body).await;
    let status = final_status(response).await;
    (status.code(), status.message().to_owned())
}

#[tokio::test]
async fn each_rpc_lets_exactly_its_roles_in() {
    let cluster = single().await;
    let node = cluster.node(0);
    // The first tasks of whatever would take the machine down.
    for task in ["stopAllPods", "storeShutdownEmergency", "denyNewServices"] {
        node.hold_task(task);
    }
    for role in Role::ALL {
        let wire = Wire::with_roles(&cluster, &cluster.node(0), &[role.as_str()]).await;
        for method in METHODS.iter().filter(|method| method.served_by == ServedBy::Apid) {
            let (code, message) = status(&wire, method.path, &[("grpc-timeout", "1S")]).await;
            let refused = (code, message.as_str()) == (Code::PermissionDenied, "not authorized");
            assert_eq!(
                refused,
                !method.roles.contains(role),
                "{role} {method}: {code:?} {message}"
            );
        }
    }
}

#[tokio::test]
async fn unknown_names_are_answered_before_roles_are_looked_at() {
    let cluster = single().await;
    let wire = Wire::with_roles(&cluster, &cluster.node(0), &[]).await;
    let cases = [
        (
            "/machine.MachineService/Foo",
            "unknown method Foo for service machine.MachineService",
        ),
        (
            "/grpc.health.v1.Health/Check",
            "unknown service grpc.health.v1.Health",
        ),
        (
            "/securityapi.SecurityService/Certificate",
            "unknown service securityapi.SecurityService",
        ),
        ("/Version", "malformed method name: \"/Version\""),
    ];
    for (path, expected) in cases {
        assert_eq!(
            status(&wire, path, &[]).await,
            (Code::Unimplemented, expected.to_owned())
        );
    }
    let known = status(&wire, "/machine.MachineService/Version", &[]).await;
    assert_eq!(known, (Code::PermissionDenied, "not authorized".to_owned()));
}

#[tokio::test]
async fn what_is_not_simulated_says_so_after_the_role_check() {
    let cluster = single().await;
    let path = "/machine.LifecycleService/Upgrade";
    let admin = Wire::admin(&cluster, &cluster.node(0)).await;
    let expected = (
        Code::Unimplemented,
        "talos-testkit does not simulate Upgrade yet".to_owned(),
    );
    assert_eq!(status(&admin, path, &[]).await, expected);
    let reader = Wire::with_roles(&cluster, &cluster.node(0), &["os:reader"]).await;
    assert_eq!(status(&reader, path, &[]).await.0, Code::PermissionDenied);
}

#[tokio::test]
async fn only_an_impersonator_may_bring_roles_along() {
    let cluster = single().await;
    let read = "/machine.MachineService/Read";
    let as_admin = [("talos-role", "os:admin")];
    let reader = Wire::with_roles(&cluster, &cluster.node(0), &["os:reader"]).await;
    assert_eq!(status(&reader, read, &as_admin).await.0, Code::PermissionDenied);
    let apid = Wire::with_roles(&cluster, &cluster.node(0), &["os:impersonator"]).await;
    assert_eq!(status(&apid, read, &as_admin).await.0, Code::NotFound);
    assert_eq!(status(&apid, read, &[]).await.0, Code::PermissionDenied);
}

#[tokio::test]
async fn an_older_node_knows_fewer_rpcs() {
    let cluster = SimCluster::builder()
        .control_planes(2)
        .talos_version("v1.12.4")
        .start()
        .await
        .unwrap();
    cluster.node(1).set_talos_version("v1.14.0");
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let list = "/machine.ImageService/List";
    let old = (
        Code::Unimplemented,
        "unknown service machine.ImageService".to_owned(),
    );
    assert_eq!(status(&wire, list, &[]).await, old);
    let new = status(&wire, list, &[("node", "10.5.0.3")]).await;
    assert_eq!(new.1, "invalid containerd namespace NS_UNKNOWN");
    let reply = wire.machine().version(with((), &[])).await.unwrap().into_inner();
    assert_eq!(reply.messages[0].version.as_ref().unwrap().tag, "v1.12.4");
}
