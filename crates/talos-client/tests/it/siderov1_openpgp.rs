//! As much of OpenPGP (RFC 9580, formerly 4880) as it takes to check a signature, by hand.
//!
//! It shares no code with the library that makes the signatures, so that a mistake there cannot cancel itself out.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{digest, signature};

/// A public key of version 4 for Ed25519 in its legacy form, algorithm 22.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey {
    /// Lower-case hexadecimal digits.
    pub(crate) fingerprint: String,
    point: Vec<u8>,
}

/// What a valid signature says about itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    /// Unix time.
    pub(crate) created: u32,
    pub(crate) issuer_fingerprint: String,
}

impl PublicKey {
    /// The primary key of an armored public or private key.
    pub(crate) fn from_armor(armored: &str) -> Result<Self, &'static str> {
        let bytes = dearmor(armored)?;
        let (tag, body, _) = packet(&bytes)?;
        // A secret key packet begins with the public one.
        if tag != PUBLIC_KEY && tag != SECRET_KEY {
            return Err("the first packet is no key");
        }
        let mut rest = body;
        let head = take(&mut rest, 6)?;
        if head[0] != 4 || head[5] != EDDSA_LEGACY {
            return Err("not an Ed25519 key of version 4");
        }
        let length = take(&mut rest, 1)?[0];
        if take(&mut rest, length.into())? != ED25519_OID {
            return Err("not the curve Ed25519");
        }
        let point = integer(&mut rest)?;
        if point.len() != 33 || point[0] != 0x40 {
            return Err("not a point in native form");
        }
        let public = &body[..body.len() - rest.len()];
        let mut hashed = vec![0x99];
        hashed.extend(u16::try_from(public.len()).map_err(|_| "too long")?.to_be_bytes());
        hashed.extend(public);
        let fingerprint = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &hashed);
        Ok(Self {
            fingerprint: hex(fingerprint.as_ref()),
            point: point[1..].to_vec(),
        })
    }

    /// Checks a detached, binary signature of version 4 with SHA-512.
    pub(crate) fn verify(&self, bytes: &[u8], data: &[u8]) -> Result<Signature, &'static str> {
        let (tag, body, after) = packet(bytes)?;
        if tag != SIGNATURE || !after.is_empty() {
            return Err("not one signature packet");
        }
        let mut rest = body;
        if take(&mut rest, 4)? != [4, BINARY, EDDSA_LEGACY, SHA512] {
            return Err("not a binary EdDSA signature of version 4 with SHA-512");
        }
        let length = u16::from_be_bytes([take(&mut rest, 1)?[0], take(&mut rest, 1)?[0]]);
        let hashed = take(&mut rest, length.into())?;
        let covered = &body[..6 + hashed.len()];
        let length = u16::from_be_bytes([take(&mut rest, 1)?[0], take(&mut rest, 1)?[0]]);
        take(&mut rest, length.into())?;
        let beginning = take(&mut rest, 2)?;
        let (r, s) = (integer(&mut rest)?, integer(&mut rest)?);
        if !rest.is_empty() {
            return Err("something follows the signature");
        }

        let mut context = digest::Context::new(&digest::SHA512);
        context.update(data);
        context.update(covered);
        context.update(&[4, 0xff]);
        context.update(
            &u32::try_from(covered.len())
                .map_err(|_| "too long")?
                .to_be_bytes(),
        );
        let digest = context.finish();
        if digest.as_ref()[..2] != *beginning {
            return Err("the digest begins otherwise");
        }
        let mut pair = [0; 64];
        for (number, half) in [(r, 32_usize), (s, 64)] {
            let start = half.checked_sub(number.len()).ok_or("a number is too long")?;
            pair[start..half].copy_from_slice(number);
        }
        signature::UnparsedPublicKey::new(&signature::ED25519, &self.point)
            .verify(digest.as_ref(), &pair)
            .map_err(|_| "the signature does not fit")?;

        let (mut created, mut issuer_fingerprint) = (None, None);
        for (kind, value) in subpackets(hashed)? {
            match (kind, value) {
                (2, value) => created = value.try_into().ok().map(u32::from_be_bytes),
                (33, [4, fingerprint @ ..]) => issuer_fingerprint = Some(hex(fingerprint)),
                _ => {}
            }
        }
        Ok(Signature {
            created: created.ok_or("no time of creation")?,
            issuer_fingerprint: issuer_fingerprint.ok_or("no issuer")?,
        })
    }
}

fn dearmor(armored: &str) -> Result<Vec<u8>, &'static str> {
    let mut lines = armored
        .lines()
        .skip_while(|line| !line.starts_with("-----BEGIN PGP "));
    lines.next().ok_or("no armor")?;
    let body: String = lines
        .skip_while(|line| !line.is_empty())
        .take_while(|line| !line.starts_with('=') && !line.starts_with("-----END"))
        .collect();
    STANDARD.decode(body).map_err(|_| "not base64")
}

/// Tag and body of the first packet, and what follows it.
fn packet(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), &'static str> {
    let mut rest = bytes;
    let first = take(&mut rest, 1)?[0];
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte))
    };
    let (tag, length) = match first >> 6 {
        0b11 => match take(&mut rest, 1)?[0] {
            length @ 0..192 => (first & 0x3f, usize::from(length)),
            high @ 192..224 => {
                let low = take(&mut rest, 1)?[0];
                (
                    first & 0x3f,
                    (usize::from(high) - 192) * 256 + usize::from(low) + 192,
                )
            }
            255 => (first & 0x3f, number(take(&mut rest, 4)?)),
            _ => return Err("a partial length"),
        },
        0b10 if first & 3 < 3 => {
            let digits = 1 << (first & 3);
            (first >> 2 & 0xf, number(take(&mut rest, digits)?))
        }
        _ => return Err("not a packet of known length"),
    };
    let body = take(&mut rest, length)?;
    Ok((tag, body, rest))
}

/// Types and values of signature subpackets.
fn subpackets(bytes: &[u8]) -> Result<Vec<(u8, &[u8])>, &'static str> {
    let (mut rest, mut found) = (bytes, Vec::new());
    while !rest.is_empty() {
        let length = match take(&mut rest, 1)?[0] {
            length @ 1..192 => usize::from(length),
            _ => return Err("a subpacket longer than any that is expected"),
        };
        let subpacket = take(&mut rest, length)?;
        // The highest bit says that a reader has to understand it.
        found.push((subpacket[0] & 0x7f, &subpacket[1..]));
    }
    Ok(found)
}

/// A number with its length in bits in front.
fn integer<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], &'static str> {
    let bits = take(rest, 2)?;
    let bits = u16::from_be_bytes([bits[0], bits[1]]);
    take(rest, usize::from(bits.div_ceil(8)))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], &'static str> {
    let (taken, left) = rest.split_at_checked(length).ok_or("cut off")?;
    *rest = left;
    Ok(taken)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const SIGNATURE: u8 = 2;
const SECRET_KEY: u8 = 5;
const PUBLIC_KEY: u8 = 6;
const EDDSA_LEGACY: u8 = 22;
const SHA512: u8 = 10;
const BINARY: u8 = 0;
/// 1.3.6.1.4.1.11591.15.1
const ED25519_OID: [u8; 9] = [0x2b, 6, 1, 4, 1, 0xda, 0x47, 0x0f, 1];
