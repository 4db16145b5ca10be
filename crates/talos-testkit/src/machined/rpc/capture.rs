//! Captured packets.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use talos_proto::common::Data;
use talos_proto::machine::PacketCaptureRequest;
use tokio::sync::broadcast::error::RecvError;
use tonic::Status;

use super::{Call, Items, data};
use crate::clock::Moment;
use crate::node::bpf;
use crate::node::capture::{FIRST_PACKETS, PacketCapture, packet};
use crate::node::hardware::LinkKind;

/// A pcap file whose times have nanoseconds.
const MAGIC: u32 = 0xa1b2_3c4d;
const DEFAULT_SNAP_LEN: u32 = 4096;
const ETHERNET: u32 = 1;
const RAW_IP: u32 = 101;

pub(in crate::machined) async fn packet_capture(
    call: Call,
    request: PacketCaptureRequest,
) -> Result<Items<Data>, Status> {
    let name = request.interface;
    let Some(interface) = call
        .node
        .interfaces()
        .into_iter()
        .find(|found| found.name == name)
    else {
        return Err(Status::not_found(format!("interface \"{name}\" not found")));
    };
    let link = match interface.kind {
        LinkKind::Ether | LinkKind::Loopback => ETHERNET,
        LinkKind::None => RAW_IP,
        LinkKind::Other(kind) => {
            return Err(Status::invalid_argument(format!("unsupported link type {kind}")));
        }
    };
    let filter: Vec<_> = request
        .bpf_filter
        .iter()
        .map(|step| (step.op, step.jt, step.jf, step.k))
        .collect();
    let received = call.node.captures.start(PacketCapture {
        interface: name.clone(),
        promiscuous: request.promiscuous,
        snap_len: request.snap_len,
        filter: filter.clone(),
    });
    let mut rng = call.node.next_rng();
    let snap_len = match request.snap_len {
        0 => DEFAULT_SNAP_LEN,
        set => set,
    };
    let first: Vec<Bytes> = (0..FIRST_PACKETS)
        .map(|_| packet(interface.kind, &mut rng))
        .collect();
    let sent = stream::unfold((received, name), |(mut received, name)| async move {
        loop {
            match received.recv().await {
                Ok((interface, packet)) if interface == name => return Some((packet, (received, name))),
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    let packets = stream::iter(first).chain(sent);
    let accepted = packets.filter(move |packet| std::future::ready(bpf::accepts(&filter, packet)));
    // A record is two messages: its header and its data.
    let records = accepted.flat_map(|packet| stream::iter([record_header(&packet), packet]));
    Ok(data(stream::iter([file_header(snap_len, link)]).chain(records)))
}

fn file_header(snap_len: u32, link: u32) -> Bytes {
    let mut header = Vec::with_capacity(24);
    header.extend_from_slice(&MAGIC.to_le_bytes());
    header.extend_from_slice(&2_u16.to_le_bytes());
    header.extend_from_slice(&4_u16.to_le_bytes());
    for word in [0, 0, snap_len, link] {
        header.extend_from_slice(&word.to_le_bytes());
    }
    header.into()
}

fn record_header(packet: &Bytes) -> Bytes {
    let now = Moment::now();
    let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
    let seconds = u32::try_from(now.unix_seconds()).unwrap_or_default();
    let words = [seconds, now.nanos(), length, length];
    words
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .collect::<Vec<_>>()
        .into()
}
