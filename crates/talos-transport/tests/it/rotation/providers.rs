//! Rotation with every cryptography provider.

use talos_transport::{Identity, ServerVerification, TlsConfig};

use super::rotate;
use super::server::Rotating;
use crate::client::{channel, echo};
use crate::pki::{self, Algorithm, Ca, Pair};

/// The provider is the application's choice, so this goes by an explicit one, whatever is compiled in.
async fn shakes_hands_with(provider: rustls::crypto::CryptoProvider) {
    let provider = std::sync::Arc::new(provider);
    for algorithm in [Algorithm::Ed25519, Algorithm::Ecdsa, Algorithm::Rsa] {
        let ca = Ca::with(algorithm);
        let server = Rotating::start(&ca).await;
        let config = |client: &Pair| {
            let identity = Identity::from_pem(&client.certificate, &client.key).unwrap();
            TlsConfig::builder(ServerVerification::ca_pem(&ca.pem).unwrap())
                .identity(identity)
                .crypto_provider(provider.clone())
                .build()
                .unwrap()
        };
        let old = ca.client_with(algorithm, pki::Validity::Now);
        let new = ca.client();
        let channel = channel(server.endpoint(), config(&old));
        echo(&channel).await.unwrap();
        rotate(&channel, config(&new));
        echo(&channel).await.unwrap();
        assert_eq!(server.calls_by([&old, &new]), [1, 1], "{algorithm:?}");
    }
}

#[cfg(feature = "ring")]
#[tokio::test]
async fn works_with_ring() {
    shakes_hands_with(rustls::crypto::ring::default_provider()).await;
}

#[cfg(feature = "aws-lc-rs")]
#[tokio::test]
async fn works_with_aws_lc_rs() {
    shakes_hands_with(rustls::crypto::aws_lc_rs::default_provider()).await;
}

/// Settings of two channels may come from two providers; replacing one by the other is a rotation like any other.
#[cfg(all(feature = "ring", feature = "aws-lc-rs"))]
#[tokio::test]
async fn a_rotation_may_change_the_provider() {
    let ca = Ca::new();
    let server = Rotating::start(&ca).await;
    let client = ca.client();
    let channel = channel(server.endpoint(), crate::client::tls(&ca, &client));
    echo(&channel).await.unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let other = TlsConfig::builder(ServerVerification::ca_pem(&ca.pem).unwrap())
        .identity(Identity::from_pem(&client.certificate, &client.key).unwrap())
        .crypto_provider(provider.into())
        .build()
        .unwrap();
    rotate(&channel, other);
    echo(&channel).await.unwrap();
    assert_eq!((server.counters().arrived, server.calls_by([&client])), (2, [2]));
}
