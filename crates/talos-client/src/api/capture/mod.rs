//! Packets on the wire of a node.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! # async fn example(node: talos_client::Node) -> talos_client::Result<()> {
//! let mut packets = node.capture_packets("eth0").with_timeout(Duration::from_secs(10)).send().await?;
//! while let Some(packet) = packets.next_packet().await {
//!     let packet = packet?;
//!     println!("{:?}: {} bytes", packet.timestamp, packet.original_length);
//! }
//! # Ok(())
//! # }
//! ```

mod bpf;
mod packets;
mod pcap;

pub use self::{
    bpf::{BpfError, BpfInstruction, BpfProgram},
    packets::{CaptureRequest, PacketCapture},
    pcap::{CaptureHeader, LinkType, Packet},
};
