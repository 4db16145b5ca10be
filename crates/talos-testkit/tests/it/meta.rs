//! Values in the META partition.

use talos_proto::cosi::resource::GetRequest;
use talos_proto::machine::{MetaDeleteRequest, MetaWriteRequest};
use talos_testkit::{Code, PlatformMode, SimCluster};

use crate::single;
use crate::wire::Wire;

fn write(key: u32, value: &str) -> MetaWriteRequest {
    MetaWriteRequest {
        key,
        value: value.as_bytes().to_vec().into(),
    }
}

// covers: machine.MachineService/MetaWrite
// covers: machine.MachineService/MetaDelete
#[tokio::test]
async fn values_are_resources_until_they_are_deleted() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::with_roles(&cluster, &node, &["os:meta:writer"]).await;
    let reader = Wire::with_roles(&cluster, &node, &["os:reader"]).await;
    let value = async || {
        let request = GetRequest {
            namespace: "runtime".to_owned(),
            r#type: "MetaKeys.runtime.talos.dev".to_owned(),
            id: "0x0c".to_owned(),
            options: None,
        };
        let reply = reader.state().get(request).await;
        reply
            .map(|reply| reply.into_inner().resource.unwrap().spec.unwrap().yaml_spec)
            .map_err(|status| status.code())
    };
    wire.machine().meta_write(write(0x0c, "hello")).await.unwrap();
    assert_eq!(value().await.unwrap(), "value: hello\n");
    wire.machine().meta_write(write(0x0c, "world")).await.unwrap();
    assert_eq!(value().await.unwrap(), "value: world\n");
    wire.machine()
        .meta_delete(MetaDeleteRequest { key: 12 })
        .await
        .unwrap();
    assert_eq!(value().await, Err(Code::NotFound));
    let status = wire
        .machine()
        .meta_delete(MetaDeleteRequest { key: 12 })
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::NotFound, "meta key not found")
    );
}

// covers: machine.MachineService/MetaWrite
// covers: machine.MachineService/MetaDelete
#[tokio::test]
async fn keys_are_bytes_and_room_is_limited() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let status = wire.machine().meta_write(write(256, "x")).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::InvalidArgument, "key must be a uint8")
    );
    let status = wire
        .machine()
        .meta_delete(MetaDeleteRequest { key: 256 })
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = wire
        .machine()
        .meta_write(write(13, &"x".repeat(300_000)))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::ResourceExhausted, "meta write failed")
    );
    let container = SimCluster::builder()
        .platform(PlatformMode::Container)
        .start()
        .await
        .unwrap();
    let wire = Wire::admin(&container, &container.node(0)).await;
    let status = wire.machine().meta_write(write(256, "x")).await.unwrap_err();
    assert_eq!(status.message(), "method is not supported in container mode");
}
