//! How `apid` writes the name of a node into replies that it does not decode.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;
use prost::encoding::{decode_varint, encode_varint, encoded_len_varint};
use talos_proto::common::{Empty, Metadata};
use talos_proto::google::rpc;
use tonic::Status;

use crate::text::go_error;

/// Tag of field 1, length-delimited: where `messages` starts in every reply that can be aggregated.
const MESSAGES_TAG: u64 = 0x0a;

/// The serialized metadata of `target`, to be appended to any message that has `metadata` as field 1.
fn metadata(target: &str, failure: Option<&Status>) -> Vec<u8> {
    #[expect(deprecated, reason = "apid fills them until v2.0")]
    let metadata = Metadata {
        hostname: target.to_owned(),
        error: failure.map(go_error).unwrap_or_default(),
        status: failure.map(to_proto),
    };
    Empty {
        metadata: Some(metadata),
    }
    .encode_to_vec()
}

fn to_proto(status: &Status) -> rpc::Status {
    // What travels as details is a whole google.rpc.Status; only its list is of interest here.
    let details = rpc::Status::decode(status.details())
        .map(|decoded| decoded.details)
        .unwrap_or_default();
    rpc::Status {
        code: i32::from(status.code()),
        message: status.message().to_owned(),
        details,
    }
}

/// A stream item of `target`: the metadata goes to the end of the item.
pub(crate) fn stream_item(target: &str, item: &Bytes) -> Bytes {
    [item.as_ref(), &metadata(target, None)].concat().into()
}

/// A unary reply of `target`: the metadata goes to the end of the first element of `messages`.
pub(crate) fn reply(target: &str, reply: &Bytes) -> Result<Bytes, String> {
    let mut element = reply.clone();
    let tag = decode_varint(&mut element).map_err(|_| "unexpected EOF".to_owned())?;
    decode_varint(&mut element).map_err(|_| "unexpected EOF".to_owned())?;
    if tag != MESSAGES_TAG {
        return Err(format!("unexpected message format: {tag}"));
    }
    Ok(wrap(&element, &metadata(target, None)))
}

/// The element that stands for a failed node in a unary reply.
pub(crate) fn failed_reply(target: &str, failure: &Status) -> Bytes {
    wrap(&[], &metadata(target, Some(failure)))
}

/// The item that stands for a failed node in a stream.
pub(crate) fn failed_stream_item(target: &str, failure: &Status) -> Bytes {
    metadata(target, Some(failure)).into()
}

fn wrap(element: &[u8], metadata: &[u8]) -> Bytes {
    let length = (element.len() + metadata.len()) as u64;
    let mut out = BytesMut::with_capacity(1 + encoded_len_varint(length) + element.len() + metadata.len());
    encode_varint(MESSAGES_TAG, &mut out);
    encode_varint(length, &mut out);
    out.put_slice(element);
    out.put_slice(metadata);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use talos_proto::machine::{Hostname, HostnameResponse};

    use super::*;

    /// `Empty{metadata{hostname: "10.5.0.2"}}`.
    const METADATA: &[u8] = &[
        0x0a, 0x0a, 0x0a, 0x08, 0x31, 0x30, 0x2e, 0x35, 0x2e, 0x30, 0x2e, 0x32,
    ];

    #[test]
    fn metadata_follows_the_original_fields_of_the_element() {
        let element = Hostname {
            metadata: None,
            hostname: "cp".to_owned(),
        };
        let original: Bytes = HostnameResponse {
            messages: vec![element],
        }
        .encode_to_vec()
        .into();
        assert_eq!(original.as_ref(), [0x0a, 4, 0x12, 2, b'c', b'p']);
        let spliced = reply("10.5.0.2", &original).unwrap();
        let expected = [&[0x0a, 16, 0x12, 2, b'c', b'p'], METADATA].concat();
        assert_eq!(spliced, expected);
    }

    #[test]
    fn lengths_beyond_one_byte_are_rewritten() {
        let element = Hostname {
            metadata: None,
            hostname: "h".repeat(120),
        };
        let original: Bytes = HostnameResponse {
            messages: vec![element],
        }
        .encode_to_vec()
        .into();
        let spliced = reply("10.5.0.2", &original).unwrap();
        assert_eq!(spliced[..3], [0x0a, 134, 1]);
        let decoded = HostnameResponse::decode(spliced).unwrap();
        assert_eq!(decoded.messages[0].hostname.len(), 120);
    }

    #[test]
    fn stream_items_carry_metadata_at_top_level() {
        let spliced = stream_item("10.5.0.2", &Bytes::from_static(&[0x12, 1, b'x']));
        assert_eq!(spliced, [&[0x12, 1, b'x'], METADATA].concat());
    }

    #[test]
    fn replies_without_a_first_element_cannot_be_spliced() {
        assert_eq!(reply("a", &Bytes::new()).unwrap_err(), "unexpected EOF");
        let other_field = Bytes::from_static(&[0x12, 1, b'x']);
        assert_eq!(
            reply("a", &other_field).unwrap_err(),
            "unexpected message format: 18"
        );
    }

    #[test]
    fn a_failure_is_an_element_of_metadata_only() {
        let status = Status::not_found("gone");
        let reply = HostnameResponse::decode(failed_reply("10.5.0.2", &status)).unwrap();
        #[expect(deprecated, reason = "apid fills them until v2.0")]
        let (hostname, error, status) = {
            let metadata = reply.messages[0].metadata.clone().unwrap();
            (metadata.hostname, metadata.error, metadata.status.unwrap())
        };
        assert_eq!(hostname, "10.5.0.2");
        assert_eq!(error, "rpc error: code = NotFound desc = gone");
        assert_eq!((status.code, status.message.as_str()), (5, "gone"));
    }
}
