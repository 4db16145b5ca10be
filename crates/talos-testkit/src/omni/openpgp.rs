//! As much of OpenPGP (RFC 9580, formerly 4880) as it takes to check a signature, by hand.
//!
//! It shares no code with libraries that make signatures, so that a mistake there cannot cancel itself out.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, signature};

/// Why a key or a signature cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OpenPgpError(&'static str);

/// A public key of version 4 for Ed25519 in its legacy form, algorithm 22.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    fingerprint: String,
    /// What fingerprint and signatures cover.
    body: Vec<u8>,
    point: Vec<u8>,
}

/// What a valid signature says about itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signature {
    /// Unix time.
    pub(super) created: u32,
    pub(super) issuer_fingerprint: String,
}

impl PublicKey {
    /// The primary key of an armored public or private key.
    ///
    /// # Errors
    ///
    /// If that is no Ed25519 key of version 4.
    pub fn from_armor(armored: &str) -> Result<Self, OpenPgpError> {
        Self::read(armored).map_err(OpenPgpError)
    }

    /// 40 lower-case hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The fingerprint of the key whose packet has this body, of which the private part is left out.
    pub(super) fn fingerprint_of(body: &[u8]) -> Result<Vec<u8>, &'static str> {
        let hashed = hashed_key(body)?;
        Ok(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &hashed)
            .as_ref()
            .to_vec())
    }

    fn read(armored: &str) -> Result<Self, &'static str> {
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
        Ok(Self {
            fingerprint: hex(&Self::fingerprint_of(public)?),
            body: public.to_vec(),
            point: point[1..].to_vec(),
        })
    }

    /// Checks a detached, binary signature of version 4 with SHA-512.
    pub(super) fn verify(&self, bytes: &[u8], data: &[u8]) -> Result<Signature, OpenPgpError> {
        self.check(bytes, BINARY, data).map_err(OpenPgpError)
    }

    /// The user id of an armored key that this key certifies.
    #[cfg(test)]
    pub(super) fn certified_user_id(&self, armored: &str) -> Result<String, &'static str> {
        let bytes = dearmor(armored)?;
        let (_, _, rest) = packet(&bytes)?;
        let (_, user_id, signature) = packet(rest)?;
        let length = u32::try_from(user_id.len()).map_err(|_| "too long")?;
        let data = [
            &hashed_key(&self.body)?[..],
            &[0xb4],
            &length.to_be_bytes(),
            user_id,
        ]
        .concat();
        self.check(signature, 0x13, &data)?;
        Ok(String::from_utf8_lossy(user_id).into_owned())
    }

    /// Checks one signature packet of this type for this data.
    fn check(&self, bytes: &[u8], kind: u8, data: &[u8]) -> Result<Signature, &'static str> {
        let (tag, body, after) = packet(bytes)?;
        if tag != SIGNATURE || !after.is_empty() {
            return Err("not one signature packet");
        }
        let mut rest = body;
        if take(&mut rest, 4)? != [4, kind, EDDSA_LEGACY, SHA512] {
            return Err("not an EdDSA signature of this kind, of version 4 with SHA-512");
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
        context.update(&trailer(covered)?);
        let digest = context.finish();
        if digest.as_ref()[..2] != *beginning {
            return Err("the digest begins otherwise");
        }
        let mut pair = [0; 64];
        for (number, half) in [(r, 32_usize), (s, 64)] {
            let start = half.checked_sub(number.len()).filter(|start| *start + 32 >= half);
            let start = start.ok_or("a number is too long")?;
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

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// A key as it goes into a digest.
pub(super) fn hashed_key(body: &[u8]) -> Result<Vec<u8>, &'static str> {
    let length = u16::try_from(body.len()).map_err(|_| "too long")?;
    Ok([&[0x99][..], &length.to_be_bytes(), body].concat())
}

/// What ends the digest of a signature that covers these bytes of itself.
pub(super) fn trailer(covered: &[u8]) -> Result<[u8; 6], &'static str> {
    let length = u32::try_from(covered.len()).map_err(|_| "too long")?;
    let [a, b, c, d] = length.to_be_bytes();
    Ok([4, 0xff, a, b, c, d])
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

pub(super) const SIGNATURE: u8 = 2;
pub(super) const SECRET_KEY: u8 = 5;
const PUBLIC_KEY: u8 = 6;
pub(super) const EDDSA_LEGACY: u8 = 22;
pub(super) const SHA512: u8 = 10;
const BINARY: u8 = 0;
/// 1.3.6.1.4.1.11591.15.1
pub(super) const ED25519_OID: [u8; 9] = [0x2b, 6, 1, 4, 1, 0xda, 0x47, 0x0f, 1];
