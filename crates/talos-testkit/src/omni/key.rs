//! Making an OpenPGP key, by hand: certificates of this crate are made that way as well, and a library for it would
//! be a hundred crates.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::openpgp::{
    ED25519_OID, EDDSA_LEGACY, PublicKey, SECRET_KEY, SHA512, SIGNATURE, hashed_key, trailer,
};
use crate::clock::Moment;
use crate::pki::PkiError;

const USER_ID: u8 = 13;
/// "This user id belongs to this key", by one who has checked it.
const POSITIVE_CERTIFICATION: u8 = 0x13;
/// What the key may be used for: certifications and signatures.
const FLAGS: u8 = 0b11;

/// A new Ed25519 key of version 4 with one user id, without a passphrase and valid for ever, in ASCII armor: the
/// **private** key.
pub(super) fn make(user_id: &str, created: Moment) -> Result<String, PkiError> {
    let mut seed = [0; 32];
    SystemRandom::new()
        .fill(&mut seed)
        .map_err(|_| PkiError::Random)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| PkiError::Key)?;
    let created = u32::try_from(created.unix_seconds()).map_err(|_| PkiError::Key)?;

    let public = public_body(created, pair.public_key().as_ref());
    let number = integer(&seed);
    let checksum = number
        .iter()
        .fold(0_u16, |sum, byte| sum.wrapping_add(u16::from(*byte)));
    // The zero says: not encrypted.
    let secret = [&public[..], &[0], &number, &checksum.to_be_bytes()].concat();
    let certification = certify(&pair, &public, user_id, created)?;
    Ok(armor(
        &[
            packet(SECRET_KEY, &secret),
            packet(USER_ID, user_id.as_bytes()),
            packet(SIGNATURE, &certification),
        ]
        .concat(),
    ))
}

fn public_body(created: u32, point: &[u8]) -> Vec<u8> {
    let mut body = vec![4];
    body.extend(created.to_be_bytes());
    body.push(EDDSA_LEGACY);
    body.push(ED25519_OID.len() as u8);
    body.extend(ED25519_OID);
    // The first byte says that the point is in the curve's own form.
    body.extend(integer(&[&[0x40], point].concat()));
    body
}

/// The key's own signature under its user id.
fn certify(pair: &Ed25519KeyPair, public: &[u8], user_id: &str, created: u32) -> Result<Vec<u8>, PkiError> {
    let fingerprint = PublicKey::fingerprint_of(public).map_err(|_| PkiError::Key)?;
    let subpackets = [
        subpacket(2, &created.to_be_bytes()),
        subpacket(33, &[&[4], fingerprint.as_slice()].concat()),
        subpacket(27, &[FLAGS]),
        subpacket(25, &[1]),
    ]
    .concat();
    let mut covered = vec![4, POSITIVE_CERTIFICATION, EDDSA_LEGACY, SHA512];
    covered.extend(length16(subpackets.len())?);
    covered.extend(subpackets);

    let mut context = digest::Context::new(&digest::SHA512);
    context.update(&hashed_key(public).map_err(|_| PkiError::Key)?);
    context.update(&[0xb4]);
    let length = u32::try_from(user_id.len()).map_err(|_| PkiError::Key)?;
    context.update(&length.to_be_bytes());
    context.update(user_id.as_bytes());
    context.update(&covered);
    context.update(&trailer(&covered).map_err(|_| PkiError::Key)?);
    let digest = context.finish();
    let signature = pair.sign(digest.as_ref());
    let (r, s) = signature.as_ref().split_at(32);

    let issuer = subpacket(16, &fingerprint[12..]);
    Ok([
        covered,
        length16(issuer.len())?.to_vec(),
        issuer,
        digest.as_ref()[..2].to_vec(),
        integer(r),
        integer(s),
    ]
    .concat())
}

fn length16(length: usize) -> Result<[u8; 2], PkiError> {
    let length = u16::try_from(length).map_err(|_| PkiError::Key)?;
    Ok(length.to_be_bytes())
}

/// A number with its length in bits in front, and without leading zeros.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = &bytes[zeros..];
    let spare = digits.first().map_or(0, |first| first.leading_zeros() as usize);
    let bits = (digits.len() * 8 - spare) as u16;
    [&bits.to_be_bytes(), digits].concat()
}

fn subpacket(kind: u8, value: &[u8]) -> Vec<u8> {
    // All of them are short.
    [&[value.len() as u8 + 1, kind], value].concat()
}

fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0xc0 | tag, 255];
    packet.extend((body.len() as u32).to_be_bytes());
    packet.extend(body);
    packet
}

fn armor(bytes: &[u8]) -> String {
    let encoded = STANDARD.encode(bytes);
    let mut text = "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n".to_owned();
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        text += line;
        text.push('\n');
        rest = tail;
    }
    let checksum = &crc24(bytes).to_be_bytes()[1..];
    text + &format!(
        "={}\n-----END PGP PRIVATE KEY BLOCK-----\n",
        STANDARD.encode(checksum)
    )
}

/// The checksum of RFC 4880, section 6.1, which older programs insist on.
fn crc24(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xb7_04ce, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 16, |sum, _| {
            let shifted = sum << 1;
            if shifted & 0x100_0000 == 0 {
                shifted
            } else {
                shifted ^ 0x186_4cfb
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_length_in_bits_and_no_leading_zeros() {
        assert_eq!(integer(&[0, 0, 1, 255]), [0, 9, 1, 255]);
        assert_eq!(integer(&[0x80]), [0, 8, 0x80]);
        assert_eq!(integer(&[0, 0]), [0, 0]);
    }

    #[test]
    fn the_checksum_is_that_of_the_known_check_value() {
        assert_eq!(crc24(b"123456789"), 0x21_cf02);
        assert_eq!(crc24(b""), 0xb7_04ce);
    }

    #[test]
    fn a_key_is_read_back_and_certifies_its_user_id() {
        let now = Moment::now();
        let armored = make("ci <ci@example.org>", now).unwrap();
        let key = PublicKey::from_armor(&armored).unwrap();
        assert_eq!(key.fingerprint().len(), 40);
        assert_eq!(key.certified_user_id(&armored).unwrap(), "ci <ci@example.org>");
        assert!(!format!("{key:?}").contains("PRIVATE"));
        let other = make("ci <ci@example.org>", now).unwrap();
        assert_ne!(PublicKey::from_armor(&other).unwrap(), key);
        assert!(key.certified_user_id(&other).is_err(), "of another key");
    }
}
