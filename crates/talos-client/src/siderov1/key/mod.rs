//! An OpenPGP private key, and the only place that knows the library that reads it.

mod address;
mod generate;

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use pgp::{
    composed::{ArmorOptions, Deserializable, DetachedSignature, SignedPublicKey, SignedSecretKey},
    crypto::hash::HashAlgorithm,
    packet::{Signature, SignatureConfig, SignatureType, Subpacket, SubpacketData},
    ser::Serialize,
    types::{KeyDetails, KeyVersion, Password, SecretParams, SignedUser, Tag, Timestamp},
};
use zeroize::Zeroizing;

use super::error::KeyError;

/// A key that can sign, unlocked.
pub(super) struct SigningKey {
    secret: SignedSecretKey,
    fingerprint: String,
    /// How long it is valid as the key of a user, or why it never is.
    validity: Result<Validity, KeyError>,
}

#[derive(Clone, Copy)]
struct Validity {
    until: SystemTime,
    lifetime: Duration,
}

impl SigningKey {
    /// Reads an armored key.
    pub(super) fn parse(armored: &str) -> Result<Self, KeyError> {
        let (secret, _) = SignedSecretKey::from_string(armored).map_err(|_| KeyError::Malformed)?;
        Self::new(secret)
    }

    fn new(secret: SignedSecretKey) -> Result<Self, KeyError> {
        let version = secret.primary_key.version();
        if version != KeyVersion::V4 {
            return Err(KeyError::Version {
                version: version.into(),
            });
        }
        if matches!(secret.primary_key.secret_params(), SecretParams::Encrypted(_)) {
            return Err(KeyError::Locked);
        }
        Ok(Self {
            fingerprint: format!("{:x}", secret.primary_key.fingerprint()),
            validity: Validity::of(&secret),
            secret,
        })
    }

    /// The fingerprint of the primary key, 40 lower-case hexadecimal digits.
    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether it is valid now as the key of a user. Keys of service accounts are not held to this.
    pub(super) fn check(&self, now: SystemTime) -> Result<(), KeyError> {
        let Validity { until, lifetime } = self.validity?;
        if until > now + MAX_LIFETIME {
            return Err(KeyError::LifetimeTooLong { at: until });
        }
        if now + MAX_SKEW.min(lifetime / 2) >= until {
            return Err(KeyError::Expired { at: until });
        }
        Ok(())
    }

    /// The packet of a detached binary signature, not armored. `now` is in seconds since 1970.
    pub(super) fn sign(&self, payload: &[u8], now: u32) -> Option<Vec<u8>> {
        let key = &self.secret.primary_key;
        let mut config = SignatureConfig::v4(SignatureType::Binary, key.algorithm(), HashAlgorithm::Sha512);
        let made = (|| {
            config.hashed_subpackets = about_signature(key, Timestamp::from_secs(now))?;
            let signature = config.sign(key, &Password::empty(), payload)?;
            DetachedSignature::new(signature).to_bytes()
        })();
        made.ok()
    }

    /// The whole key in ASCII armor, **private part included**.
    pub(super) fn to_armored(&self) -> Option<Zeroizing<Vec<u8>>> {
        let armored = self.secret.to_armored_bytes(ArmorOptions::default());
        armored.ok().map(Zeroizing::new)
    }

    /// The public part in ASCII armor.
    pub(super) fn public_key(&self) -> Option<String> {
        let public = SignedPublicKey::from(self.secret.clone());
        public.to_armored_string(ArmorOptions::default()).ok()
    }
}

impl Validity {
    fn of(key: &SignedSecretKey) -> Result<Self, KeyError> {
        if !key.details.revocation_signatures.is_empty() {
            return Err(KeyError::Revoked);
        }
        let candidates = key.details.users.iter().filter_map(|user| {
            let signature = self_signature(key, user)?;
            Some((user, signature))
        });
        // The user id that is marked as primary, else the one certified last.
        let (user, signature) = candidates
            .max_by_key(|(_, signature)| (signature.is_primary(), created(signature)))
            .ok_or(KeyError::NoUserId)?;
        if !user.id.as_str().is_some_and(address::is_mailbox) {
            return Err(KeyError::UserId);
        }
        let lifetime = signature.key_expiration_time().map(Duration::from);
        let lifetime = lifetime.filter(|lifetime| !lifetime.is_zero());
        let lifetime = lifetime.ok_or(KeyError::NoLifetime)?;
        let created = Duration::from_secs(key.primary_key.created_at().as_secs().into());
        Ok(Self {
            until: SystemTime::UNIX_EPOCH + created + lifetime,
            lifetime,
        })
    }
}

/// The newest valid signature of the key itself under a user id, unless it was revoked.
fn self_signature<'a>(key: &SignedSecretKey, user: &'a SignedUser) -> Option<&'a Signature> {
    let public = key.primary_key.public_key();
    let (revocations, certifications): (Vec<_>, Vec<_>) = user
        .signatures
        .iter()
        .filter(|signature| {
            signature
                .verify_certification(public, Tag::UserId, &user.id)
                .is_ok()
        })
        .partition(|signature| signature.typ() == Some(SignatureType::CertRevocation));
    if !revocations.is_empty() {
        return None;
    }
    certifications
        .into_iter()
        .max_by_key(|signature| created(signature))
}

fn created(signature: &Signature) -> Option<u32> {
    signature.created().map(Timestamp::as_secs)
}

/// When a signature was made, and with what.
fn about_signature(key: &impl KeyDetails, now: Timestamp) -> pgp::errors::Result<Vec<Subpacket>> {
    Ok(vec![
        Subpacket::regular(SubpacketData::SignatureCreationTime(now))?,
        Subpacket::regular(SubpacketData::IssuerKeyId(key.legacy_key_id()))?,
        Subpacket::regular(SubpacketData::IssuerFingerprint(key.fingerprint()))?,
    ])
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// How long the keys of users may be valid.
const MAX_LIFETIME: Duration = Duration::from_secs(8 * 60 * 60 + 60);
/// How far the clocks of servers may be ahead.
const MAX_SKEW: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! key_file {
        ($name:literal) => {
            include_str!(concat!("../../../tests/data/siderov1/", $name, ".pgp"))
        };
    }

    const CREATED: u64 = 1_723_650_000;
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;

    fn after(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(CREATED + seconds)
    }

    /// Reads and checks a key, `seconds` after the keys in the files were made.
    fn check(armored: &str, seconds: u64) -> Result<(), KeyError> {
        SigningKey::parse(armored)?.check(after(seconds))
    }

    #[test]
    fn a_key_of_talosctl_is_read() {
        let key = SigningKey::parse(key_file!("user")).expect("a key");
        assert_eq!(key.fingerprint(), "2709a3d2eacc1b0ed11d69cce42a9f2103a9c4fe");
        assert_eq!(key.check(after(HOUR)), Ok(()));
        let public = key.public_key().expect("armor");
        assert!(
            public.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----"),
            "{public}"
        );
    }

    #[test]
    fn a_key_expires_before_the_clock_of_a_server_can_say_so() {
        let until = after(4 * HOUR);
        let cases = [
            (0, Ok(())),
            (4 * HOUR - 5 * MINUTE - 1, Ok(())),
            (4 * HOUR - 5 * MINUTE, Err(KeyError::Expired { at: until })),
            (24 * HOUR, Err(KeyError::Expired { at: until })),
        ];
        for (seconds, expected) in cases {
            assert_eq!(check(key_file!("user"), seconds), expected, "after {seconds} s");
        }
    }

    #[test]
    fn a_short_lived_key_expires_after_half_its_life() {
        let made = generate::make(
            "me@example.com",
            Timestamp::from_secs(CREATED as u32),
            Duration::from_secs(4 * MINUTE),
        );
        let key = SigningKey::new(made.expect("a key")).expect("unlocked");
        assert_eq!(key.check(after(2 * MINUTE - 1)), Ok(()));
        let at = after(4 * MINUTE);
        assert_eq!(key.check(after(2 * MINUTE)), Err(KeyError::Expired { at }));
    }

    #[test]
    fn unusable_keys_are_told_apart() {
        let cases = [
            ("revoked", key_file!("revoked"), KeyError::Revoked),
            ("locked", key_file!("locked"), KeyError::Locked),
            ("no lifetime", key_file!("no-lifetime"), KeyError::NoLifetime),
            ("no address", key_file!("no-address"), KeyError::UserId),
            ("nothing", "", KeyError::Malformed),
            ("text", "me@example.com", KeyError::Malformed),
            ("cut off", key_file!("user").split_at(400).0, KeyError::Malformed),
        ];
        for (name, armored, expected) in cases {
            assert_eq!(check(armored, HOUR), Err(expected), "{name}");
        }
    }

    #[test]
    fn a_public_key_cannot_sign() {
        let public = SigningKey::parse(key_file!("user")).expect("a key").public_key();
        assert_eq!(check(&public.expect("armor"), HOUR), Err(KeyError::Malformed));
    }

    #[test]
    fn a_key_may_be_valid_for_eight_hours_and_a_minute() {
        assert_eq!(check(key_file!("longest-lifetime"), 0), Ok(()));
        let long = key_file!("long-lifetime");
        let at = after(8 * HOUR + MINUTE + 1);
        assert_eq!(check(long, 0), Err(KeyError::LifetimeTooLong { at }));
        assert_eq!(check(long, 1), Ok(()), "what counts is how much of it is left");
    }

    #[test]
    fn a_user_id_certified_by_another_key_does_not_count() {
        let mut key = SigningKey::parse(key_file!("user")).expect("a key").secret;
        let other = SigningKey::parse(key_file!("longest-lifetime"))
            .expect("a key")
            .secret;
        key.details.users = other.details.users.clone();
        let key = SigningKey::new(key).expect("unlocked");
        assert_eq!(key.check(after(HOUR)), Err(KeyError::NoUserId));
    }

    #[test]
    fn a_revoked_user_id_does_not_count() {
        let mut key = SigningKey::parse(key_file!("user")).expect("a key").secret;
        let primary = &key.primary_key;
        let mut config = SignatureConfig::v4(
            SignatureType::CertRevocation,
            primary.algorithm(),
            HashAlgorithm::Sha512,
        );
        config.hashed_subpackets =
            about_signature(primary, Timestamp::from_secs(CREATED as u32)).expect("subpackets");
        let revocation = config.sign_certification(
            primary,
            primary.public_key(),
            &Password::empty(),
            Tag::UserId,
            &key.details.users[0].id,
        );
        key.details.users[0].signatures.push(revocation.expect("signed"));
        let key = SigningKey::new(key).expect("unlocked");
        assert_eq!(key.check(after(HOUR)), Err(KeyError::NoUserId));
    }

    #[test]
    fn a_new_key_is_valid_for_four_hours_and_survives_its_file() {
        let key = SigningKey::generate("me@example.com", after(0)).expect("a key");
        let armored = key.to_armored().expect("armor");
        let text = std::str::from_utf8(&armored).expect("ASCII");
        let read = SigningKey::parse(text).expect("a key");
        assert_eq!(read.fingerprint(), key.fingerprint());
        assert_eq!(read.check(after(0)), Ok(()));
        assert_eq!(
            read.check(after(4 * HOUR)),
            Err(KeyError::Expired { at: after(4 * HOUR) })
        );
        read.secret.verify_bindings().expect("every part of it is bound");
        assert_eq!(read.secret.secret_subkeys.len(), 1);
        let user_id = read.secret.details.users[0].id.as_str().expect("text");
        assert!(
            user_id.starts_with("Talos (") && user_id.ends_with(") <me@example.com>"),
            "{user_id}"
        );
        let other = SigningKey::generate("me@example.com", after(0)).expect("a key");
        assert_ne!(other.fingerprint(), key.fingerprint());
    }

    #[test]
    fn no_key_is_made_for_what_is_not_an_address() {
        let error = SigningKey::generate("me", after(0)).expect_err("no address");
        assert_eq!(error, KeyError::UserId);
    }

    #[test]
    fn debug_shows_the_fingerprint_alone() {
        let key = SigningKey::parse(key_file!("user")).expect("a key");
        assert_eq!(
            format!("{key:?}"),
            r#"SigningKey { fingerprint: "2709a3d2eacc1b0ed11d69cce42a9f2103a9c4fe", .. }"#
        );
    }
}
