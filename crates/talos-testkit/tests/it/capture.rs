//! Captured packets.

use bytes::Bytes;
use talos_proto::common::Data;
use talos_proto::machine::{BpfInstruction, PacketCaptureRequest};
use talos_testkit::{LinkKind, SimInterface};
use tonic::{Code, Streaming};

use crate::single;
use crate::wire::{Wire, failure};

fn on(interface: &str) -> PacketCaptureRequest {
    PacketCaptureRequest {
        interface: interface.to_owned(),
        ..PacketCaptureRequest::default()
    }
}

async fn next(stream: &mut Streaming<Data>) -> Bytes {
    stream.message().await.unwrap().unwrap().bytes
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

// covers: machine.MachineService/PacketCapture
#[tokio::test]
async fn a_capture_is_a_pcap_file_with_nanoseconds() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::with_roles(&cluster, &node, &["os:operator"]).await;
    let mut stream = wire
        .machine()
        .packet_capture(on("eth0"))
        .await
        .unwrap()
        .into_inner();
    let header = next(&mut stream).await;
    assert_eq!((header.len(), word(&header, 0)), (24, 0xa1b2_3c4d));
    assert_eq!(
        (word(&header, 4), word(&header, 16), word(&header, 20)),
        (2 | 4 << 16, 4096, 1)
    );
    for _ in 0..8 {
        let record = next(&mut stream).await;
        let packet = next(&mut stream).await;
        assert_eq!((record.len(), word(&record, 8) as usize), (16, packet.len()));
        assert!(word(&record, 4) < 1_000_000_000);
        assert_eq!(packet[12..14], [8, 0], "IPv4");
    }
    node.send_packet("lo", "elsewhere");
    node.send_packet("eth0", "my packet");
    next(&mut stream).await;
    assert_eq!(next(&mut stream).await, "my packet");
    drop(stream);
    let ended = cluster.requests().wait_for(|call| call.code.is_some()).await;
    assert_eq!(ended.code, Some(Code::Cancelled));
}

// covers: machine.MachineService/PacketCapture
#[tokio::test]
async fn filters_are_kept_and_obeyed() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    // The first byte must be `y`.
    let program = [
        (0x30, 0, 0, 0),
        (0x15, 0, 1, u32::from(b'y')),
        (6, 0, 0, 4096),
        (6, 0, 0, 0),
    ];
    let request = PacketCaptureRequest {
        promiscuous: true,
        snap_len: 128,
        bpf_filter: program
            .map(|(op, jt, jf, k)| BpfInstruction { op, jt, jf, k })
            .to_vec(),
        ..on("eth0")
    };
    let mut stream = wire.machine().packet_capture(request).await.unwrap().into_inner();
    assert_eq!(word(&next(&mut stream).await, 16), 128);
    node.send_packet("eth0", "no");
    node.send_packet("eth0", "yes");
    next(&mut stream).await;
    assert_eq!(next(&mut stream).await, "yes");
    let captures = node.packet_captures();
    assert_eq!(captures[0].filter, program);
    assert!(captures[0].promiscuous && captures[0].snap_len == 128 && captures[0].interface == "eth0");
}

// covers: machine.MachineService/PacketCapture
#[tokio::test]
async fn links_decide_whether_and_how_packets_are_captured() {
    let cluster = single().await;
    let node = cluster.node(0);
    node.set_interfaces([
        SimInterface::new("kubespan", LinkKind::None),
        SimInterface::new("can0", LinkKind::Other(280)),
    ]);
    let wire = Wire::admin(&cluster, &node).await;
    let mut stream = wire
        .machine()
        .packet_capture(on("kubespan"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(word(&next(&mut stream).await, 20), 101, "raw IP");
    next(&mut stream).await;
    assert_eq!(next(&mut stream).await[0], 0x45);
    let found = failure(wire.machine().packet_capture(on("eth0")).await);
    assert_eq!(found, (Code::NotFound, "interface \"eth0\" not found".to_owned()));
    let found = failure(wire.machine().packet_capture(on("can0")).await);
    assert_eq!(
        found,
        (Code::InvalidArgument, "unsupported link type 280".to_owned())
    );
}
