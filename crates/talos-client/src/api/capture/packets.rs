//! Capturing packets.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use talos_proto::{machine as proto, methods::machine::machine_service as methods};

use super::{
    bpf::BpfProgram,
    pcap::{CaptureHeader, Packet, Parser, PcapError},
};
use crate::{
    Node,
    call::{Kind, Target, request},
    error::{Error, ErrorKind, Result},
    stream::ByteStream,
};

/// What is asked of the node.
#[derive(Clone, Debug)]
pub(crate) struct Capture {
    interface: String,
    promiscuous: bool,
    filter: Option<BpfProgram>,
}

request! {
    /// Which packets to capture; made by [`Node::capture_packets`].
    pub struct CaptureRequest(Capture) {
        /// Whether to capture packets that are not for the node. Default: false.
        fn promiscuous(capture, promiscuous: bool) {
            capture.promiscuous = promiscuous;
        }

        /// Only packets for which this filter says so. Default: all.
        fn filter(capture, filter: BpfProgram) {
            capture.filter = Some(filter);
        }
    }

    /// Begins to capture. What is on the wire from now on is in the stream.
    ///
    /// It goes on until it is dropped, or the time is over that
    /// [`with_timeout`](CaptureRequest::with_timeout) gives it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty interface, `NotFound` for one that does not exist, `InvalidArgument` for one
    /// whose packets have no known form, `Malformed` for what is no capture, and every [`ErrorKind`] of a call;
    /// later ones arrive in the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future or the stream cancels the call.
    send(target, capture) -> PacketCapture {
        let mut bytes = open(&target, capture).await?;
        let mut parser = Parser::default();
        let header = loop {
            if let Some(header) = parser.header().map_err(|error| malformed(&bytes, error))? {
                break header;
            }
            match bytes.next_chunk().await.transpose()? {
                Some(chunk) => parser.push(&chunk),
                None => return Err(malformed(&bytes, PcapError::CutOff)),
            }
        };
        Ok(PacketCapture { bytes: Some(bytes), parser, header })
    }
}

impl CaptureRequest {
    /// The same as a pcap file, for Wireshark and its like: its header first, then packets as they come. The end of
    /// the time that it was given is an error of kind `Timeout` here.
    ///
    /// # Errors
    ///
    /// As for [`CaptureRequest::send`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future or the stream cancels the call.
    pub async fn send_raw(self) -> Result<ByteStream> {
        open(&self.target, self.message).await
    }
}

async fn open(target: &Target, capture: Capture) -> Result<ByteStream> {
    let method = &methods::PACKET_CAPTURE;
    if capture.interface.is_empty() {
        return Err(target.invalid_input(method, "the interface is empty"));
    }
    let message = proto::PacketCaptureRequest {
        interface: capture.interface,
        promiscuous: capture.promiscuous,
        // It would only be written into the header of the file.
        snap_len: 0,
        bpf_filter: capture.filter.map(BpfProgram::into_message).unwrap_or_default(),
    };
    target.open_bytes(Kind::Follow, method, message).await
}

fn malformed(bytes: &ByteStream, error: PcapError) -> Error {
    bytes
        .call()
        .malformed("what came is no capture")
        .with_source(error)
}

/// Packets that are being captured.
///
/// Holds no more than one packet of at most 256 KiB.
///
/// # Errors
///
/// An item is an error when the call breaks, and `Malformed` for what is no capture. Nothing comes after an error.
/// That the time of the call is over is no error but the end.
///
/// # Cancel safety
///
/// Waiting for the next packet may be cancelled at any time, nothing is lost.
#[must_use = "streams do nothing unless polled"]
#[derive(Debug)]
pub struct PacketCapture {
    /// `None` once it is over.
    bytes: Option<ByteStream>,
    parser: Parser,
    header: CaptureHeader,
}

impl PacketCapture {
    /// What the packets are.
    pub fn header(&self) -> CaptureHeader {
        self.header
    }

    /// The next packet, or `None` when the capture is over.
    ///
    /// # Errors
    ///
    /// As for the items of the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn next_packet(&mut self) -> Option<Result<Packet>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for PacketCapture {
    type Item = Result<Packet>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let Some(bytes) = &mut this.bytes else {
                return Poll::Ready(None);
            };
            let end = match this.parser.packet() {
                Ok(Some(packet)) => return Poll::Ready(Some(Ok(packet))),
                Ok(None) => match ready!(Pin::new(&mut *bytes).poll_next(cx)) {
                    Some(Ok(chunk)) => {
                        this.parser.push(&chunk);
                        continue;
                    }
                    // Captures end so, be it at a packet's end or not.
                    Some(Err(error)) if matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Timeout) => {
                        None
                    }
                    Some(Err(error)) => Some(error),
                    None => this.parser.finish().err().map(|error| malformed(bytes, error)),
                },
                Err(error) => Some(malformed(bytes, error)),
            };
            this.bytes = None;
            return Poll::Ready(end.map(Err));
        }
    }
}

impl Node {
    /// Captures packets of an interface of the node, such as `eth0`.
    ///
    /// Upstream: `machine.MachineService/PacketCapture` · talosctl pcap · since Talos 1.7 or older · role
    /// os:operator · read-only
    pub fn capture_packets(&self, interface: impl Into<String>) -> CaptureRequest {
        let capture = Capture {
            interface: interface.into(),
            promiscuous: false,
            filter: None,
        };
        CaptureRequest::new(self.target(), capture)
    }
}
