//! Packets on the interfaces of a node, and who has captured them.

use bytes::Bytes;
use tokio::sync::broadcast;

use super::hardware::LinkKind;
use crate::rng::SimRng;
use crate::sync::Guarded;

/// Packets that may wait for a capture that does not read; older ones are lost, as the kernel loses them.
const BACKLOG: usize = 1024;
/// Packets that a capture finds right away.
pub(crate) const FIRST_PACKETS: usize = 8;

/// A packet capture that somebody started. See [`SimNode::packet_captures`](crate::SimNode::packet_captures).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PacketCapture {
    /// Name of the interface.
    pub interface: String,
    /// Whether packets for others were wanted as well.
    pub promiscuous: bool,
    /// Snapshot length that was asked for; 0 for the default.
    pub snap_len: u32,
    /// The filter program, an instruction an entry: operation, jump if true, jump if false, operand.
    pub filter: Vec<(u32, u32, u32, u32)>,
}

/// The captures of a node, and the packets that tests send.
#[derive(Debug, Default)]
pub(crate) struct Captures {
    started: Guarded<Vec<PacketCapture>>,
    /// Made when it is needed for the first time: most nodes never capture.
    packets: Guarded<Option<broadcast::Sender<(String, Bytes)>>>,
}

impl Captures {
    pub(crate) fn start(&self, capture: PacketCapture) -> broadcast::Receiver<(String, Bytes)> {
        self.started.lock().push(capture);
        self.sender().subscribe()
    }

    pub(crate) fn all(&self) -> Vec<PacketCapture> {
        self.started.lock().clone()
    }

    pub(crate) fn send(&self, interface: &str, packet: Bytes) {
        // Nobody captures: the packet is gone, as packets go.
        let _received = self.sender().send((interface.to_owned(), packet));
    }

    fn sender(&self) -> broadcast::Sender<(String, Bytes)> {
        let mut packets = self.packets.lock();
        packets
            .get_or_insert_with(|| broadcast::channel(BACKLOG).0)
            .clone()
    }
}

/// A made-up UDP packet, with an Ethernet header if the link has one.
pub(crate) fn packet(kind: LinkKind, rng: &mut SimRng) -> Bytes {
    let payload = rng.hex(16 + rng.clone().one_to(100));
    let udp = 8 + payload.len();
    let length = u16::try_from(20 + udp).unwrap_or(u16::MAX);
    let mut packet = Vec::with_capacity(14 + 20 + udp);
    if kind != LinkKind::None {
        packet.extend_from_slice(&[0x52, 0x54, 0, 0, 0, 2, 0x52, 0x54, 0, 0, 0, 3, 0x08, 0x00]);
    }
    let header = packet.len();
    packet.extend_from_slice(&[0x45, 0]);
    packet.extend_from_slice(&length.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0x40, 0, 64, 17, 0, 0, 10, 5, 0, 3, 10, 5, 0, 2]);
    let sum = internet_checksum(&packet[header..]);
    packet[header + 10..header + 12].copy_from_slice(&sum.to_be_bytes());
    for word in [40_000_u16, 53, u16::try_from(udp).unwrap_or(u16::MAX), 0] {
        packet.extend_from_slice(&word.to_be_bytes());
    }
    packet.extend_from_slice(payload.as_bytes());
    packet.into()
}

fn internet_checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(*high) << 8 | u32::from(*low),
        rest => u32::from(rest.first().copied().unwrap_or_default()) << 8,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}
