//! Making a key for a user.

use std::{
    env::consts::{ARCH, OS},
    time::{Duration, SystemTime},
};

use pgp::{
    composed::{EncryptionCaps, KeyType, SecretKeyParamsBuilder, SignedSecretKey, SubkeyParamsBuilder},
    crypto::{ecc_curve::ECCCurve, hash::HashAlgorithm},
    packet::{Features, KeyFlags, SignatureConfig, SignatureType, Subpacket, SubpacketData},
    types::{KeyDetails as _, Password, Tag, Timestamp},
};
use rand_core::OsRng;

use super::{SigningKey, about_signature};
use crate::siderov1::error::KeyError;

impl SigningKey {
    /// A new key of the kind Talos's own client makes: Ed25519 with a subkey for encryption, not locked, valid from
    /// now on for four hours.
    pub(in crate::siderov1) fn generate(identity: &str, now: SystemTime) -> Result<Self, KeyError> {
        let user_id = format!("Talos ({}/{}) <{identity}>", go_os(), go_arch());
        let created = Timestamp::try_from(now).map_err(|_| KeyError::Generate)?;
        let secret = make(&user_id, created, LIFETIME).map_err(|_| KeyError::Generate)?;
        let key = Self::new(secret)?;
        key.check(now)?;
        Ok(key)
    }
}

/// The library makes keys that never expire and signs with the system's clock, so its signatures are replaced.
pub(super) fn make(
    user_id: &str,
    created: Timestamp,
    lifetime: Duration,
) -> pgp::errors::Result<SignedSecretKey> {
    let invalid = |error: String| pgp::errors::Error::from(std::io::Error::other(error));
    let subkey = SubkeyParamsBuilder::default()
        .key_type(KeyType::ECDH(ECCCurve::Curve25519Legacy))
        .can_encrypt(EncryptionCaps::All)
        .created_at(created)
        .build()
        .map_err(|error| invalid(error.to_string()))?;
    let mut secret = SecretKeyParamsBuilder::default()
        .key_type(KeyType::Ed25519Legacy)
        .can_certify(true)
        .can_sign(true)
        .created_at(created)
        .primary_user_id(user_id.to_owned())
        .subkey(subkey)
        .build()
        .map_err(|error| invalid(error.to_string()))?
        .generate(OsRng)?;

    let key = secret.primary_key.clone();
    let public = key.public_key();
    let config = |typ, flags: KeyFlags| -> pgp::errors::Result<SignatureConfig> {
        let mut config = SignatureConfig::v4(typ, key.algorithm(), HashAlgorithm::Sha512);
        config.hashed_subpackets = about_signature(&key, created)?;
        let lifetime = pgp::types::Duration::from_secs(u32::try_from(lifetime.as_secs())?);
        for data in [
            SubpacketData::KeyExpirationTime(lifetime),
            SubpacketData::KeyFlags(flags),
        ] {
            config.hashed_subpackets.push(Subpacket::regular(data)?);
        }
        Ok(config)
    };

    let mut flags = KeyFlags::default();
    flags.set_certify(true);
    flags.set_sign(true);
    let mut features = Features::new();
    features.set_seipd_v1(true);
    for user in &mut secret.details.users {
        let mut config = config(SignatureType::CertPositive, flags.clone())?;
        for data in [
            SubpacketData::IsPrimary(true),
            SubpacketData::Features(features.clone()),
        ] {
            config.hashed_subpackets.push(Subpacket::regular(data)?);
        }
        let signature = config.sign_certification(&key, public, &Password::empty(), Tag::UserId, &user.id)?;
        user.signatures = vec![signature];
    }
    let mut flags = KeyFlags::default();
    flags.set_encrypt_comms(true);
    flags.set_encrypt_storage(true);
    for subkey in &mut secret.secret_subkeys {
        let config = config(SignatureType::SubkeyBinding, flags.clone())?;
        let signature =
            config.sign_subkey_binding(&key, public, &Password::empty(), subkey.key.public_key())?;
        subkey.signatures = vec![signature];
    }
    Ok(secret)
}

/// The operating system as Go calls it.
fn go_os() -> &'static str {
    match OS {
        "macos" => "darwin",
        other => other,
    }
}

/// The processor as Go calls it.
fn go_arch() -> &'static str {
    match ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        other => other,
    }
}

const LIFETIME: Duration = Duration::from_secs(4 * 60 * 60);
