//! `signerapi.SignerService`: a signing plug-in of the image builder.
//!
//! **No node serves it.** It is what the program that builds Talos images asks for signatures, so that the key can
//! stay in a place of its own. The client here is made from a channel to such a plug-in, usually over a unix socket.

use std::sync::Arc;

use bytes::Bytes;
use talos_proto::{
    methods::signerapi::signer_service as methods,
    signerapi::{self as proto, signer_service_client::SignerServiceClient},
};
use talos_transport::{Channel, MAX_MESSAGE_SIZE};

use crate::{CallOptions, call::Target, error::Result};

/// What is to be signed: the digest of the data, with the function that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Digest {
    /// Made by SHA-256.
    Sha256([u8; 32]),
    /// Made by SHA-384.
    Sha384([u8; 48]),
    /// Made by SHA-512.
    Sha512([u8; 64]),
}

/// How RSA signatures are padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureScheme {
    /// The padding of PKCS#1 v1.5: the same signature every time.
    RsaPkcs1v15,
    /// PSS, with randomness.
    RsaPss,
}

/// A client of a signing plug-in.
///
/// ```no_run
/// use talos_client::{
///     api::signer::{Digest, SignatureScheme, SignerClient},
///     transport::{Channel, Endpoint},
/// };
///
/// # async fn example(digest: [u8; 32]) -> Result<(), Box<dyn std::error::Error>> {
/// let plug_in = Channel::builder([Endpoint::unix("/run/signer.sock")?]).build()?;
/// let signer = SignerClient::new(plug_in);
/// let signature = signer.sign(Digest::Sha256(digest), SignatureScheme::RsaPss).await?;
/// # let _ = signature;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SignerClient {
    target: Target,
}

impl SignerClient {
    /// A client of the plug-in behind this channel.
    pub fn new(channel: Channel) -> Self {
        Self {
            target: Target::of_channel(channel, Arc::default()),
        }
    }

    /// The same client, with these options for its calls.
    #[must_use]
    pub fn with_options(mut self, options: CallOptions) -> Self {
        self.target = self.target.with_options(options);
        self
    }

    /// The certificate of the signing key, in PEM.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `signerapi.SignerService/GetCertificate` · since Talos 1.14 · read-only
    pub async fn certificate(&self) -> Result<Bytes> {
        let reply = self
            .target
            .plain(&methods::GET_CERTIFICATE, (), |request| async {
                self.stub().get_certificate(request).await
            })
            .await?;
        Ok(reply.cert_pem)
    }

    /// The public half of the signing key, in PEM.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `signerapi.SignerService/GetPublicKey` · since Talos 1.14 · read-only
    pub async fn public_key(&self) -> Result<Bytes> {
        let reply = self
            .target
            .plain(&methods::GET_PUBLIC_KEY, (), |request| async {
                self.stub().get_public_key(request).await
            })
            .await?;
        Ok(reply.pub_key_pem)
    }

    /// Signs a digest, and returns the bare signature.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `signerapi.SignerService/Sign` · since Talos 1.14 · read-only
    pub async fn sign(&self, digest: Digest, scheme: SignatureScheme) -> Result<Bytes> {
        let (hash, digest) = match &digest {
            Digest::Sha256(digest) => (proto::Hash::Sha256, &digest[..]),
            Digest::Sha384(digest) => (proto::Hash::Sha384, &digest[..]),
            Digest::Sha512(digest) => (proto::Hash::Sha512, &digest[..]),
        };
        let scheme = match scheme {
            SignatureScheme::RsaPkcs1v15 => proto::Scheme::RsaPkcs1v15,
            SignatureScheme::RsaPss => proto::Scheme::RsaPss,
        };
        let request = proto::SignRequest {
            digest: Bytes::copy_from_slice(digest),
            hash: hash.into(),
            scheme: scheme.into(),
        };
        let reply = self
            .target
            .plain(&methods::SIGN, request, |request| async {
                self.stub().sign(request).await
            })
            .await?;
        Ok(reply.signature)
    }

    fn stub(&self) -> SignerServiceClient<Channel> {
        SignerServiceClient::new(self.target.channel.clone()).max_decoding_message_size(MAX_MESSAGE_SIZE)
    }
}
