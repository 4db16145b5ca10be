//! Specs from older nodes, whose fields have another number or type than today.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field,
};

/// What may be different in a message.
#[derive(Debug)]
pub(crate) struct Shape(pub(crate) &'static [Mend]);

/// One difference.
#[derive(Debug)]
#[allow(dead_code, reason = "the small builds have only some of the changed specs")]
pub(crate) enum Mend {
    /// A number that had four bytes of its own and is a varint now.
    Fixed32(u32),
    /// A text that is a message now, with the text as its first field. The first byte tells them apart: texts
    /// here are URLs, and none begins with the key of field 1 or 2.
    Wrap(u32),
    /// A map to texts that is a map to messages now, under another number.
    WrapMap { old: u32, new: u32 },
    /// Something inside this field.
    Inside(u32, &'static Shape),
}

impl Shape {
    /// The same message as nodes of today write it. Bytes that are no message stay as they are, for the
    /// decoder to complain about.
    pub(crate) fn mend(&self, message: &Bytes) -> Bytes {
        self.rewrite(message.clone()).unwrap_or_else(|| message.clone())
    }

    fn rewrite(&self, mut rest: Bytes) -> Option<Bytes> {
        let mut mended = BytesMut::with_capacity(rest.len());
        while rest.has_remaining() {
            let whole = rest.clone();
            let (number, wire) = decode_key(&mut rest).ok()?;
            match (self.of(number), wire) {
                (Some(Mend::Fixed32(_)), WireType::ThirtyTwoBit) => {
                    if rest.remaining() < 4 {
                        return None;
                    }
                    encode_key(number, WireType::Varint, &mut mended);
                    encode_varint(rest.get_u32_le().into(), &mut mended);
                }
                (Some(Mend::Wrap(_)), WireType::LengthDelimited) => {
                    let text = delimited(&mut rest)?;
                    let is_message = matches!(text.first(), None | Some(0x0a | 0x10));
                    put(
                        &mut mended,
                        number,
                        &if is_message { text } else { wrapped(1, &text) },
                    );
                }
                (Some(Mend::WrapMap { old, new }), WireType::LengthDelimited) if *old == number => {
                    let entry = rewrap(delimited(&mut rest)?)?;
                    put(&mut mended, *new, &entry);
                }
                (Some(Mend::Inside(_, shape)), WireType::LengthDelimited) => {
                    let inner = shape.rewrite(delimited(&mut rest)?)?;
                    put(&mut mended, number, &inner);
                }
                _ => {
                    skip_field(wire, number, &mut rest, DecodeContext::default()).ok()?;
                    mended.put(whole.slice(..whole.len() - rest.len()));
                }
            }
        }
        Some(mended.freeze())
    }

    fn of(&self, number: u32) -> Option<&Mend> {
        self.0.iter().find(|mend| match mend {
            Mend::Fixed32(own) | Mend::Wrap(own) | Mend::Inside(own, _) => *own == number,
            Mend::WrapMap { old, .. } => *old == number,
        })
    }
}

fn delimited(rest: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(decode_varint(rest).ok()?).ok()?;
    (length <= rest.len()).then(|| rest.split_to(length))
}

fn put(mended: &mut BytesMut, number: u32, bytes: &Bytes) {
    encode_key(number, WireType::LengthDelimited, mended);
    encode_varint(bytes.len() as u64, mended);
    mended.put_slice(bytes);
}

/// A message with only this field.
fn wrapped(number: u32, bytes: &Bytes) -> Bytes {
    let mut message = BytesMut::with_capacity(bytes.len() + 6);
    put(&mut message, number, bytes);
    message.freeze()
}

/// An entry of a map, its value wrapped into a message.
fn rewrap(mut entry: Bytes) -> Option<Bytes> {
    let mut mended = BytesMut::with_capacity(entry.len() + 6);
    while entry.has_remaining() {
        let (number, wire) = decode_key(&mut entry).ok()?;
        if wire != WireType::LengthDelimited {
            return None;
        }
        let bytes = delimited(&mut entry)?;
        put(
            &mut mended,
            number,
            &if number == 2 { wrapped(1, &bytes) } else { bytes },
        );
    }
    Some(mended.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    static INNER: Shape = Shape(&[Mend::Fixed32(1), Mend::Wrap(3)]);
    static OUTER: Shape = Shape(&[Mend::Inside(5, &INNER), Mend::WrapMap { old: 4, new: 7 }]);

    fn mend(bytes: &[u8]) -> Vec<u8> {
        OUTER.mend(&Bytes::copy_from_slice(bytes)).to_vec()
    }

    #[test]
    fn older_forms_are_rewritten_and_new_ones_left_alone() {
        // Field 5: { 1: fixed32 300 } becomes { 1: varint 300 }.
        assert_eq!(mend(&[0x2a, 5, 0x0d, 0x2c, 1, 0, 0]), [0x2a, 3, 0x08, 0xac, 0x02]);
        assert_eq!(mend(&[0x2a, 3, 0x08, 0xac, 0x02]), [0x2a, 3, 0x08, 0xac, 0x02]);
        // Field 5: { 3: "hi" } becomes { 3: { 1: "hi" } }.
        assert_eq!(
            mend(&[0x2a, 4, 0x1a, 2, b'h', b'i']),
            [0x2a, 6, 0x1a, 4, 0x0a, 2, b'h', b'i']
        );
        let today = [0x2a, 6, 0x1a, 4, 0x0a, 2, b'h', b'i'];
        assert_eq!(mend(&today), today);
        // Field 4: { 1: "k", 2: "v" } becomes field 7: { 1: "k", 2: { 1: "v" } }.
        assert_eq!(
            mend(&[0x22, 6, 0x0a, 1, b'k', 0x12, 1, b'v']),
            [0x3a, 8, 0x0a, 1, b'k', 0x12, 3, 0x0a, 1, b'v']
        );
        // Others pass in their order.
        let others = [0x08, 1, 0x12, 1, b'x', 0x1d, 1, 2, 3, 4];
        assert_eq!(mend(&others), others);
    }

    #[test]
    fn broken_bytes_are_left_to_the_decoder() {
        for broken in [
            &[0x2a, 200][..],
            &[0x2a, 2, 0x0d, 1],
            &[0xff],
            &[0x22, 3, 0x08, 1, 1],
        ] {
            assert_eq!(mend(broken), broken);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            mend(&bytes);
        }
    }
}
