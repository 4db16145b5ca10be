//! The endpoint that wants signatures, for callers without any. Signed calls are in the tests of talos-client, which can make
//! them.

use std::net::SocketAddr;

use talos_testkit::omni::{SignatureProblem, SimOmni};
use talos_testkit::{Code, SimCluster};
use tokio::net::TcpStream;
use x509_parser::prelude::parse_x509_pem;

use crate::single;
use crate::wire::{Wire, client_config, failure, handshake, with};

fn address(omni: &SimOmni) -> SocketAddr {
    omni.endpoint().strip_prefix("https://").unwrap().parse().unwrap()
}

async fn connect(omni: &SimOmni) -> Wire {
    let (_, authority) = parse_x509_pem(omni.ca_pem().as_bytes()).unwrap();
    let config = client_config(&authority.contents, None);
    let stream = handshake(address(omni), config).await.unwrap();
    Wire::over(stream, address(omni)).await
}

async fn refused(
    cluster: &SimCluster,
    omni: &SimOmni,
    metadata: &[(&'static str, &str)],
) -> SignatureProblem {
    let wire = connect(omni).await;
    let reply = wire.machine().version(with((), metadata)).await;
    assert_eq!(
        failure(reply),
        (Code::Unauthenticated, "invalid signature".to_owned())
    );
    assert_eq!(cluster.requests().attempts("Version"), 0, "no node heard of it");
    let call = omni.refused().pop().unwrap();
    assert_eq!(call.method, "/machine.MachineService/Version");
    call.problem
}

#[tokio::test]
async fn calls_without_a_good_signature_reach_no_node() {
    let cluster = single().await;
    let omni = SimOmni::in_front_of(&cluster).unwrap();
    let missing = |name| SignatureProblem::Missing { name };
    assert_eq!(refused(&cluster, &omni, &[]).await, missing("x-sidero-timestamp"));
    let old = [("x-sidero-timestamp", "1723653600")];
    assert_eq!(refused(&cluster, &omni, &old).await, SignatureProblem::Clock);

    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap().as_secs().to_string();
    let timestamp = ("x-sidero-timestamp", now.as_str());
    assert_eq!(
        refused(&cluster, &omni, &[timestamp]).await,
        missing("x-sidero-payload")
    );
    let payload = r#"{"headers":{},"method":"/machine.MachineService/Reset"}"#;
    let other = [timestamp, ("x-sidero-payload", payload)];
    assert_eq!(refused(&cluster, &omni, &other).await, SignatureProblem::Method);
    assert_eq!(omni.refused().len(), 4);
}

#[tokio::test]
async fn a_key_is_found_by_its_identity_and_fingerprint_alone() {
    let cluster = single().await;
    let omni = SimOmni::in_front_of(&cluster).unwrap();
    omni.service_account("ci", ["os:reader"]).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap().as_secs().to_string();
    let payload = format!(
        r#"{{"headers":{{"x-sidero-timestamp":["{now}"]}},"method":"/machine.MachineService/Version"}}"#
    );
    let signed = |signature: &'static str| {
        [
            ("x-sidero-timestamp", now.as_str()),
            ("x-sidero-payload", payload.as_str()),
            ("x-sidero-signature", signature),
        ]
    };
    let problem = refused(&cluster, &omni, &signed("siderov1 ci abc c2lnbmVk")).await;
    let expected = SignatureProblem::UnknownKey {
        identity: "ci".to_owned(),
        fingerprint: "abc".to_owned(),
    };
    assert_eq!(problem, expected);
    let malformed = SignatureProblem::Malformed {
        name: "x-sidero-signature",
    };
    for signature in [
        "siderov1 ci c2lnbmVk",
        "siderov1 ci abc *",
        "other ci abc c2lnbmVk",
    ] {
        assert_eq!(refused(&cluster, &omni, &signed(signature)).await, malformed);
    }
}

#[tokio::test]
async fn it_ends_with_its_handle() {
    let cluster = single().await;
    let omni = SimOmni::in_front_of(&cluster).unwrap();
    let address = address(&omni);
    TcpStream::connect(address).await.unwrap();
    assert_eq!(
        format!("{omni:?}"),
        format!("SimOmni {{ endpoint: \"https://{address}\", .. }}")
    );
    drop(omni);
    // The task that listens ends with its next turn.
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    tokio::time::timeout(std::time::Duration::from_secs(10), refused)
        .await
        .expect("nobody listens any more");
}
