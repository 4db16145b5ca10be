//! Certificates, keys and fingerprints, without a server.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use talos_transport::tls::TlsError;
use talos_transport::{Fingerprint, Identity, ServerVerification, TlsConfig};

use crate::pki::{Algorithm, Ca, base64_of, pem};

#[test]
fn accepts_keys_of_every_algorithm_under_the_labels_of_talos() {
    let ca = Ca::new();
    for algorithm in [Algorithm::Ed25519, Algorithm::Ecdsa, Algorithm::Rsa] {
        let client = ca.client_with(algorithm, crate::pki::Validity::Now);
        Identity::from_pem(&client.certificate, &client.key).unwrap_or_else(|e| panic!("{algorithm:?}: {e}"));
        // PKCS#8 under the plain label, and either under a label that names another algorithm.
        Identity::from_pem(&client.certificate, pem("PRIVATE KEY", &client.key_der)).unwrap();
        let wrong_label = client.key.replace(" PRIVATE KEY", " X25519 PRIVATE KEY");
        Identity::from_pem(&client.certificate, wrong_label).unwrap();
    }
}

#[test]
fn finds_the_blocks_among_others_whatever_the_line_ends() {
    let ca = Ca::new();
    let client = ca.client();
    let everything = format!(
        "some text\n-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n{}\n  {}{}",
        client.key.replace('\n', "\r\n"),
        client.certificate.replace('\n', " \n  "),
        ca.pem,
    );
    let identity = Identity::from_pem(&everything, &everything).unwrap();
    assert!(format!("{identity:?}").contains("chain: 2"), "{identity:?}");
}

#[test]
fn every_problem_with_client_material_has_its_own_error() {
    let ca = Ca::new();
    let client = ca.client();
    let (certificate, key) = (client.certificate.as_str(), client.key.as_str());
    let cut_off = &key[..key.len() - 30];
    let not_base64 = key.replacen("MC4C", "M*4C", 1);
    let unequal = key.replace("END ED25519", "END EC");
    let malformed = |label: &str| TlsError::MalformedPem {
        label: label.to_owned(),
    };
    let encrypted_header = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    for (name, certificate, key, error) in [
        ("empty certificate", "", key, TlsError::NoCertificate),
        ("key instead of certificate", key, key, TlsError::NoCertificate),
        (
            "certificate is not X.509",
            &pem("CERTIFICATE", b"0"),
            key,
            TlsError::InvalidCertificate,
        ),
        (
            "certificate is not base64",
            &certificate.replacen("MII", "M!I", 1),
            key,
            malformed("CERTIFICATE"),
        ),
        ("empty key", certificate, "", TlsError::NoPrivateKey),
        (
            "certificate instead of key",
            certificate,
            certificate,
            TlsError::NoPrivateKey,
        ),
        (
            "key label without a space",
            certificate,
            &pem("XPRIVATE KEY", b"0"),
            TlsError::NoPrivateKey,
        ),
        (
            "key cut off",
            certificate,
            cut_off,
            malformed("ED25519 PRIVATE KEY"),
        ),
        (
            "key is not base64",
            certificate,
            &not_base64,
            malformed("ED25519 PRIVATE KEY"),
        ),
        (
            "labels differ",
            certificate,
            &unequal,
            malformed("ED25519 PRIVATE KEY"),
        ),
        (
            "key is not a key",
            certificate,
            &pem("PRIVATE KEY", b"0123456789"),
            TlsError::InvalidKey,
        ),
        (
            "encrypted PKCS#8",
            certificate,
            &pem("ENCRYPTED PRIVATE KEY", b"0"),
            TlsError::EncryptedKey,
        ),
        (
            "encrypted PKCS#1",
            certificate,
            encrypted_header,
            TlsError::EncryptedKey,
        ),
    ] {
        assert_eq!(Identity::from_pem(certificate, key).unwrap_err(), error, "{name}");
    }
}

#[test]
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
fn a_key_of_another_certificate_is_refused() {
    let ca = Ca::new();
    for algorithm in [Algorithm::Ed25519, Algorithm::Ecdsa, Algorithm::Rsa] {
        let one = ca.client_with(algorithm, crate::pki::Validity::Now);
        let other = ca.client();
        assert_eq!(
            Identity::from_pem(&one.certificate, &other.key).unwrap_err(),
            TlsError::KeyMismatch
        );
    }
}

#[test]
fn tells_roles_and_validity_of_the_client_certificate() {
    let client = Ca::new().client();
    let identity = Identity::from_pem(&client.certificate, &client.key).unwrap();
    let facts = identity.certificate();
    assert_eq!(facts.organizations(), ["os:admin", "os:etcd:backup"]);
    assert_eq!(facts.common_name(), None);
    let day = Duration::from_secs(86_400);
    assert_eq!(facts.not_before(), SystemTime::UNIX_EPOCH + day * 19_782); // 2024-02-29, as UTCTime
    assert_eq!(facts.not_after(), SystemTime::UNIX_EPOCH + day * 56_306); // 2124-02-29, as GeneralizedTime
}

#[test]
fn printing_shows_no_key() {
    let ca = Ca::new();
    let client = ca.client();
    let identity = Identity::from_pem(&client.certificate, &client.key).unwrap();
    let builder = TlsConfig::builder(ServerVerification::ca_pem(&ca.pem).unwrap()).identity(identity.clone());
    let printed = format!(
        "{identity:?} {identity:#?} {builder:?} {:?}",
        builder.clone().build()
    );
    let secret = base64_of(&client.key);
    let seed = STANDARD.decode(&secret).unwrap();
    let seed = &seed[seed.len() - 32..];
    assert!(!printed.contains(&secret[20..]));
    assert!(!printed.contains(&format!("{seed:?}")[1..20]));
    for error in [
        Identity::from_pem(&client.certificate, client.key.replacen("MC4C", "M*4C", 1)).unwrap_err(),
        Identity::from_pem(&client.certificate, client.key.replace("MC4C", "AC4C")).unwrap_err(),
    ] {
        assert!(!format!("{error} {error:?}").contains(&secret[20..]));
    }
}

#[test]
fn ca_texts_may_hold_several_certificates_and_some_bad_ones() {
    let (one, other) = (Ca::new(), Ca::with(Algorithm::Ecdsa));
    let bad = pem("CERTIFICATE", b"0");
    let printed = |text: String| format!("{:?}", ServerVerification::ca_pem(text).unwrap());
    assert_eq!(
        printed(format!("{}{}", one.pem, other.pem)),
        "Roots { certificates: 2 }"
    );
    assert_eq!(printed(format!("{}{bad}", one.pem)), "Roots { certificates: 1 }");
    assert_eq!(
        ServerVerification::ca_pem(&bad).unwrap_err(),
        TlsError::NoTrustAnchor
    );
    assert_eq!(
        ServerVerification::ca_pem("no PEM").unwrap_err(),
        TlsError::NoCertificate
    );
    assert_eq!(
        ServerVerification::fingerprints([]).unwrap_err(),
        TlsError::NoFingerprint
    );
}

#[test]
fn fingerprints_are_padded_base64_of_32_bytes() {
    let text = "pnduMqbUZ/sQyDW1o4kP6c1u1PoB2gRQu8KEV38guAM=";
    let fingerprint: Fingerprint = text.parse().unwrap();
    assert_eq!(fingerprint.to_string(), text);
    assert_eq!(Fingerprint::from(*fingerprint.as_bytes()), fingerprint);
    for wrong in [
        "",
        &text[..43],
        "AAAA",
        &text.replace('/', "_"),
        &format!(" {text}"),
        &STANDARD.encode([0; 33]),
    ] {
        let error = wrong.parse::<Fingerprint>().unwrap_err();
        assert_eq!(error.input, wrong);
    }
}

#[test]
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
fn fingerprint_is_the_hash_of_the_public_key() {
    // Made with: openssl req -x509 -newkey ed25519; openssl x509 -pubkey | openssl pkey -pubin -outform DER |
    // openssl dgst -sha256 -binary | base64
    let certificate = include_str!("../data/fingerprint.pem");
    let expected = include_str!("../data/fingerprint.txt").trim();
    assert_eq!(
        Fingerprint::of_certificate_pem(certificate).unwrap().to_string(),
        expected
    );
    assert_eq!(
        Fingerprint::of_certificate_pem("").unwrap_err(),
        TlsError::NoCertificate
    );
}

#[test]
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
fn server_name_override_must_be_a_name() {
    let verification = ServerVerification::dangerous().skip();
    let build = |name: &str| TlsConfig::builder(verification.clone()).server_name(name).build();
    assert!(build("10.5.0.2").is_ok());
    assert!(build("cp.example.org").is_ok());
    assert_eq!(
        build("no name").unwrap_err(),
        TlsError::InvalidServerName {
            name: "no name".to_owned()
        }
    );
}

#[test]
#[cfg(not(feature = "native-roots"))]
fn system_roots_need_their_feature() {
    let error = ServerVerification::native_roots().unwrap_err();
    assert_eq!(
        error,
        TlsError::FeatureDisabled {
            feature: "native-roots"
        }
    );
    assert!(error.to_string().contains("native-roots"));
}

#[test]
#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
fn without_a_provider_the_error_names_the_features() {
    let client = Ca::new().client();
    let identity = Identity::from_pem(&client.certificate, &client.key).unwrap();
    let builder = TlsConfig::builder(ServerVerification::dangerous().skip()).identity(identity);
    let error = builder.clone().build().unwrap_err();
    assert_eq!(error, TlsError::NoCryptoProvider);
    assert!(error.to_string().contains("`ring`") && error.to_string().contains("`aws-lc-rs`"));
    // An explicit provider needs no feature.
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    builder.crypto_provider(provider).build().unwrap();
}

#[test]
#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
fn key_mismatch_is_found_when_the_provider_is_known() {
    let (one, other) = (Ca::new().client(), Ca::new().client());
    let identity = Identity::from_pem(&one.certificate, &other.key).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder = TlsConfig::builder(ServerVerification::dangerous().skip()).identity(identity);
    assert_eq!(
        builder.crypto_provider(provider).build().unwrap_err(),
        TlsError::KeyMismatch
    );
}
