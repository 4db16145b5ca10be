//! Who may call what, and what is known at all.

use std::collections::BTreeMap;

use http_body_util::Full;
use talos_proto::methods::{METHODS, ServedBy};
use talos_testkit::SimCluster;
use tonic::Code;
use tonic::body::Body;

use crate::wire::{Wire, final_status, frame, with};
use crate::{four_nodes, single};

/// One line of `tests/data/rpcs.tsv`.
struct Row {
    path: &'static str,
    client_streams: bool,
    roles: Vec<&'static str>,
    /// Whether readers are let in for the sake of maintenance mode alone.
    maintenance_only: bool,
    control_plane: bool,
    aggregatable: bool,
}

const ROLES: [(char, &str); 6] = [
    ('A', "os:admin"),
    ('O', "os:operator"),
    ('R', "os:reader"),
    ('E', "os:etcd:backup"),
    ('M', "os:meta:writer"),
    ('I', "os:image:verifier"),
];

fn table() -> Vec<Row> {
    let text = include_str!("../data/rpcs.tsv");
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    let rows: Vec<_> = rows
        .map(|line| {
            let columns: Vec<_> = line.split('\t').collect();
            let [path, kind, roles, control_plane, maintenance, nodes] = columns[..] else {
                panic!("{line}");
            };
            let role = |letter| ROLES.iter().find(|(known, _)| *known == letter).unwrap().1;
            Row {
                path,
                client_streams: matches!(kind, "C" | "B"),
                roles: roles.chars().map(role).collect(),
                maintenance_only: maintenance == "ok*",
                control_plane: control_plane == "cp",
                aggregatable: nodes == "yes",
            }
        })
        .collect();
    assert_eq!(rows.len(), 80);
    rows
}

/// The status of a call with an empty request.
async fn status(wire: &Wire, path: &str, headers: &[(&str, &str)]) -> (Code, String) {
    ended(wire, path, headers, Full::new(frame(b"")).into_body()).await
}

async fn ended(wire: &Wire, path: &str, headers: &[(&str, &str)], body: Body) -> (Code, String) {
    let response = wire.raw(path, headers, body).await;
    let status = final_status(response).await;
    (status.code(), status.message().to_owned())
}

trait IntoBody {
    fn into_body(self) -> Body;
}

impl IntoBody for Full<bytes::Bytes> {
    fn into_body(self) -> Body {
        Body::new(self)
    }
}

fn not_authorized() -> (Code, String) {
    (Code::PermissionDenied, "not authorized".to_owned())
}

#[test]
fn the_table_has_every_rpc_of_apid() {
    let mut paths: Vec<_> = table().iter().map(|row| row.path).collect();
    paths.sort_unstable();
    let served = METHODS.iter().filter(|method| method.served_by == ServedBy::Apid);
    let mut served: Vec<_> = served
        .filter(|method| method.available_in("v1.14.0".parse().unwrap()))
        .map(|method| method.path)
        .collect();
    served.sort_unstable();
    assert_eq!(paths, served);
}

/// The deadline ends streams that would go on.
const SOON: [(&str, &str); 1] = [("grpc-timeout", "50m")];

#[tokio::test]
async fn every_role_opens_exactly_its_rpcs() {
    for (_, role) in ROLES {
        let closed = single().await;
        let wire = Wire::with_roles(&closed, &closed.node(0), &[role]).await;
        for row in table() {
            let readers_pass = !row.maintenance_only || role != "os:reader";
            if !row.roles.contains(&role) || !readers_pass {
                assert_eq!(
                    status(&wire, row.path, &SOON).await,
                    not_authorized(),
                    "{role} {}",
                    row.path
                );
                continue;
            }
            // Each meets a node that no other one has changed. Whatever the answer is, it is not a refusal;
            // but that writing resources is for nobody is another one.
            let open = single().await;
            let wire = Wire::with_roles(&open, &open.node(0), &[role]).await;
            let answer = status(&wire, row.path, &SOON).await;
            assert_ne!(answer, not_authorized(), "{role} {}", row.path);
        }
    }
}

#[tokio::test]
async fn no_role_and_unknown_roles_open_nothing() {
    let cluster = single().await;
    for roles in [
        &[][..],
        &["os:impersonator"],
        &["os:Admin", "admin", "system:masters"],
    ] {
        let wire = Wire::with_roles(&cluster, &cluster.node(0), roles).await;
        for row in table() {
            assert_eq!(
                status(&wire, row.path, &SOON).await,
                not_authorized(),
                "{roles:?} {}",
                row.path
            );
        }
    }
}

#[tokio::test]
async fn the_role_check_is_made_where_the_call_is_answered() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::with_roles(&cluster, &cluster.node(0), &["os:meta:writer"]).await;
    for row in table()
        .iter()
        .filter(|row| !row.roles.contains(&"os:meta:writer"))
    {
        let node = [("node", "10.5.0.5"), SOON[0]];
        assert_eq!(
            status(&wire, row.path, &node).await,
            not_authorized(),
            "{}",
            row.path
        );
    }
    let refusals = cluster.requests().all();
    assert!(refusals.iter().all(|call| call.handled_by == ["10.5.0.5"]));
}

#[tokio::test]
async fn workers_lack_what_only_control_planes_have() {
    let names = BTreeMap::from([
        ("Bootstrap", "bootstrap"),
        ("Kubeconfig", "kubeconfig"),
        ("GenerateClientConfiguration", "generate client configuration"),
        ("HealthCheck", "cluster health check"),
        ("EtcdMemberList", "member list"),
        ("EtcdRemoveMemberByID", "etcd remove member"),
        ("EtcdLeaveCluster", "etcd leave"),
        ("EtcdForfeitLeadership", "etcd forfeit leadership"),
        ("EtcdSnapshot", "etcd snapshot"),
        ("EtcdRecover", "etcd recover"),
        ("EtcdAlarmList", "etcd alarm list"),
        ("EtcdAlarmDisarm", "etcd alarm disarm"),
        ("EtcdDefragment", "etcd defragment"),
        ("EtcdStatus", "etcd status"),
        ("EtcdDowngradeValidate", "etcd downgrade validate"),
        ("EtcdDowngradeEnable", "etcd downgrade enable"),
        ("EtcdDowngradeCancel", "etcd downgrade cancel"),
    ]);
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(3)).await;
    let mut seen = 0;
    for row in table().iter().filter(|row| row.control_plane) {
        let name = row.path.rsplit('/').next().unwrap();
        let (code, message) = status(&wire, row.path, &SOON).await;
        if message.starts_with("talos-testkit does not simulate") {
            continue;
        }
        seen += 1;
        let expected = format!("{} is only available on control plane nodes", names[name]);
        assert_eq!((code, message), (Code::Unimplemented, expected), "{}", row.path);
    }
    assert!(seen > 0);
    assert_eq!(
        names.len(),
        table().iter().filter(|row| row.control_plane).count()
    );
}

#[tokio::test]
async fn nodes_is_for_rpcs_whose_replies_have_room_for_it() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::with_roles(&cluster, &cluster.node(0), &[]).await;
    for row in table() {
        let answer = status(&wire, row.path, &[("nodes", "10.5.0.3"), SOON[0]]).await;
        if row.aggregatable {
            // The refusal of the node is inside the reply.
            assert_eq!(answer, (Code::Ok, String::new()), "{}", row.path);
        } else {
            let expected = format!("one-2-many proxying is not supported for method {}", row.path);
            assert_eq!(answer, (Code::InvalidArgument, expected));
        }
    }
}

#[tokio::test]
async fn client_streams_are_refused_before_they_end() {
    let cluster = single().await;
    let wire = Wire::with_roles(&cluster, &cluster.node(0), &[]).await;
    for row in table().iter().filter(|row| row.client_streams) {
        let endless = http_body_util::StreamBody::new(futures_util::stream::pending::<
            Result<http_body::Frame<bytes::Bytes>, tonic::Status>,
        >());
        let answer = ended(&wire, row.path, &[], Body::new(endless)).await;
        assert_eq!(answer, not_authorized(), "{}", row.path);
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
    assert_eq!(
        status(&wire, "/machine.MachineService/Version", &[]).await,
        not_authorized()
    );
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
    let as_reader = [("talos-role", "os:reader"), ("talos-role", " os:etcd:backup ")];
    let version = "/machine.MachineService/Version";
    assert_eq!(status(&apid, version, &as_reader).await.0, Code::Ok);
    let recorded = cluster.requests().of("Version");
    assert_eq!(recorded.last().unwrap().roles, ["os:etcd:backup", "os:reader"]);
    // The roles of the certificate are gone once others are named.
    let both = Wire::with_roles(&cluster, &cluster.node(0), &["os:impersonator", "os:admin"]).await;
    assert_eq!(status(&both, read, &[]).await.0, Code::NotFound);
    assert_eq!(status(&both, read, &as_reader).await, not_authorized());
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
