//! The file format of captures, without I/O.

use std::time::{Duration, SystemTime};

use bytes::{Buf as _, Bytes, BytesMut};

/// What is at the beginning of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaptureHeader {
    /// With what a packet begins.
    pub link_type: LinkType,
    /// As much of a packet as is captured, in bytes.
    pub snap_len: u32,
}

/// With what a packet begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkType {
    /// An Ethernet header; of the loopback interface, too.
    Ethernet,
    /// An IP header, such as on WireGuard interfaces.
    RawIp,
    /// Something else, by its number in the format.
    Other(u32),
}

/// A captured packet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Packet {
    /// When it was captured, by the node's clock.
    pub timestamp: SystemTime,
    /// Its length on the wire, in bytes. There may be less of it here.
    pub original_length: u32,
    /// The packet, from its link-layer header on.
    pub data: Bytes,
}

/// What makes a capture none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PcapError {
    #[error("the capture does not begin as one: {magic:#010x}")]
    Magic { magic: u32 },
    #[error("a packet of {length} bytes, which is more than any capture has")]
    Length { length: u32 },
    #[error("a packet with {fraction} parts of a second")]
    Time { fraction: u32 },
    #[error("the capture stops in the middle of a packet")]
    CutOff,
}

/// Cuts a capture into packets.
#[derive(Debug, Default)]
pub(super) struct Parser {
    buffer: BytesMut,
    format: Option<Format>,
}

#[derive(Clone, Copy, Debug)]
struct Format {
    big_endian: bool,
    /// How many nanoseconds one part of a second is.
    unit: u32,
}

impl Parser {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The header of the capture, once it is there. It comes before everything else.
    pub(super) fn header(&mut self) -> Result<Option<CaptureHeader>, PcapError> {
        if self.buffer.len() < FILE_HEADER {
            return Ok(None);
        }
        let magic = self.buffer.get_u32_le();
        let (big_endian, unit) = match magic {
            0xa1b2_3c4d => (false, 1),
            0xa1b2_c3d4 => (false, 1000),
            0x4d3c_b2a1 => (true, 1),
            0xd4c3_b2a1 => (true, 1000),
            _ => return Err(PcapError::Magic { magic }),
        };
        let format = Format { big_endian, unit };
        self.format = Some(format);
        // Version, and two fields that nobody uses.
        self.buffer.advance(12);
        let snap_len = format.number(&mut self.buffer);
        let link_type = match format.number(&mut self.buffer) {
            1 => LinkType::Ethernet,
            101 => LinkType::RawIp,
            other => LinkType::Other(other),
        };
        Ok(Some(CaptureHeader { link_type, snap_len }))
    }

    /// The next packet, if it is there as a whole.
    pub(super) fn packet(&mut self) -> Result<Option<Packet>, PcapError> {
        let Some(format) = self.format else {
            return Ok(None);
        };
        let Some(mut header) = self.buffer.get(..RECORD_HEADER) else {
            return Ok(None);
        };
        let seconds = format.number(&mut header);
        let fraction = format.number(&mut header);
        let length = format.number(&mut header);
        let original_length = format.number(&mut header);
        if length > MAX_PACKET {
            return Err(PcapError::Length { length });
        }
        let nanos = fraction
            .checked_mul(format.unit)
            .filter(|nanos| *nanos < 1_000_000_000);
        let nanos = nanos.ok_or(PcapError::Time { fraction })?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if self.buffer.len() - RECORD_HEADER < length {
            return Ok(None);
        }
        self.buffer.advance(RECORD_HEADER);
        Ok(Some(Packet {
            timestamp: SystemTime::UNIX_EPOCH + Duration::new(seconds.into(), nanos),
            original_length,
            data: self.buffer.split_to(length).freeze(),
        }))
    }

    /// Whether it may end here.
    pub(super) fn finish(&self) -> Result<(), PcapError> {
        if self.buffer.is_empty() && self.format.is_some() {
            Ok(())
        } else {
            Err(PcapError::CutOff)
        }
    }
}

impl Format {
    fn number(self, bytes: &mut impl bytes::Buf) -> u32 {
        if self.big_endian {
            bytes.get_u32()
        } else {
            bytes.get_u32_le()
        }
    }
}

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// The largest that tcpdump writes.
const MAX_PACKET: u32 = 256 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn capture(magic: u32, big_endian: bool, packets: &[&[u8]]) -> Vec<u8> {
        let number = |number: u32| {
            if big_endian {
                number.to_be_bytes()
            } else {
                number.to_le_bytes()
            }
        };
        let mut file = number(magic).to_vec();
        file.extend([0; 12]);
        file.extend(number(4096));
        file.extend(number(101));
        for (index, packet) in packets.iter().enumerate() {
            let length = u32::try_from(packet.len()).expect("short");
            for field in [1_700_000_000, index as u32, length, length + 5] {
                file.extend(number(field));
            }
            file.extend(*packet);
        }
        file
    }

    fn read(pieces: &[&[u8]]) -> Result<(CaptureHeader, Vec<Packet>), PcapError> {
        let mut parser = Parser::default();
        let mut header = None;
        let mut packets = Vec::new();
        for piece in pieces {
            parser.push(piece);
            if header.is_none() {
                header = parser.header()?;
            }
            while let Some(packet) = parser.packet()? {
                packets.push(packet);
            }
        }
        parser.finish()?;
        Ok((header.expect("a header"), packets))
    }

    #[test]
    fn both_orders_and_units_are_read() {
        let second = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for (magic, unit) in [(0xa1b2_3c4d, 1), (0xa1b2_c3d4, 1000)] {
            for big_endian in [false, true] {
                let file = capture(magic, big_endian, &[b"one", b"", b"three"]);
                let (header, packets) = read(&[&file]).expect("a capture");
                assert_eq!((header.link_type, header.snap_len), (LinkType::RawIp, 4096));
                let data: Vec<_> = packets.iter().map(|packet| &packet.data[..]).collect();
                assert_eq!(data, [&b"one"[..], b"", b"three"]);
                assert_eq!(packets[2].timestamp, second + Duration::from_nanos(2 * unit));
                assert_eq!(packets[2].original_length, 10);
            }
        }
    }

    #[test]
    fn what_is_no_capture_is_refused() {
        let file = capture(0xa1b2_3c4d, false, &[b"one"]);
        assert_eq!(read(&[&file[..file.len() - 1]]), Err(PcapError::CutOff));
        assert_eq!(
            read(&[b"HTTP/1.1 400 Bad Request"]).map(drop),
            Err(PcapError::Magic { magic: 0x5054_5448 })
        );
        let mut large = file.clone();
        large[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(
            read(&[&large]).map(drop),
            Err(PcapError::Length { length: u32::MAX })
        );
        let mut late = file;
        late[28..32].copy_from_slice(&1_000_000_000_u32.to_le_bytes());
        assert_eq!(
            read(&[&late]).map(drop),
            Err(PcapError::Time {
                fraction: 1_000_000_000
            })
        );
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(cuts in proptest::collection::vec(0_usize..90, 0..20)) {
            let file = capture(0xa1b2_3c4d, false, &[b"one", b"two", b"three"]);
            let mut borders: Vec<_> = cuts.into_iter().map(|cut| cut.min(file.len())).collect();
            borders.extend([0, file.len()]);
            borders.sort_unstable();
            let pieces: Vec<_> = borders.windows(2).map(|pair| &file[pair[0]..pair[1]]).collect();
            prop_assert_eq!(read(&pieces), read(&[&file]));
        }
    }
}
