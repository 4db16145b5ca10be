//! Whether a node would accept an image.

use talos_proto::{machine as proto, methods::machine::image_service as methods};

use super::Images;
use crate::{SecretString, api::containerd::image_problem, call::request};

/// User and password for a registry. `Debug` does not show the password.
#[derive(Clone, Debug)]
pub struct RegistryCredentials {
    host: String,
    username: String,
    password: SecretString,
}

impl RegistryCredentials {
    /// For this registry host.
    pub fn new(
        host: impl Into<String>,
        username: impl Into<String>,
        password: impl Into<SecretString>,
    ) -> Self {
        Self {
            host: host.into(),
            username: username.into(),
            password: password.into(),
        }
    }
}

/// What a node thinks of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageVerification {
    raw: proto::ImageServiceVerifyResponse,
}

impl ImageVerification {
    /// Whether a rule matched and the image passed it. False means that no rule is about it; a rule that denies it
    /// is an error.
    pub fn verified(&self) -> bool {
        self.raw.verified
    }

    /// What was found, in Talos' words, such as `no matched rule`.
    pub fn message(&self) -> &str {
        &self.raw.message
    }

    /// The image, pinned by its digest. `None` where the node does not say.
    pub fn pinned(&self) -> Option<&str> {
        Some(self.raw.digested_image_ref.as_str()).filter(|image| !image.is_empty())
    }

    /// The message as it came.
    pub fn into_inner(self) -> proto::ImageServiceVerifyResponse {
        self.raw
    }
}

/// What to verify.
#[derive(Clone, Debug)]
pub(crate) struct Verify {
    image: String,
    credentials: Option<RegistryCredentials>,
}

request! {
    /// An image to be verified; made by [`Images::verify`].
    pub struct VerifyRequest(Verify) {
        /// For a registry that wants them. Default: those that the node has.
        fn credentials(verify, credentials: RegistryCredentials) {
            verify.credentials = Some(credentials);
        }
    }

    /// Verifies the image.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty image, `PermissionDenied` with `verification denied by matched rule …` or `image
    /// verification failed: …`, `NotFound` for a tag that the registry does not have, and every
    /// [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    send(target, verify) -> ImageVerification {
        let method = &methods::VERIFY;
        if let Some(problem) = image_problem(&verify.image) {
            return Err(target.invalid_input(method, problem));
        }
        let message = proto::ImageServiceVerifyRequest {
            image_ref: verify.image,
            credentials: verify.credentials.map(|credentials| proto::ImageServiceCredentials {
                host: credentials.host,
                username: credentials.username,
                password: credentials.password.expose().to_owned(),
            }),
        };
        let raw = target
            .plain(method, message, |request| async {
                target.image_service().verify(request).await
            })
            .await?;
        Ok(ImageVerification { raw })
    }
}

impl Images {
    /// Checks an image against the verification rules of the node. Nothing is fetched but its signature.
    ///
    /// Upstream: `machine.ImageService/Verify` · since Talos 1.13 · role os:reader or os:image:verifier · read-only
    pub fn verify(&self, image: impl Into<String>) -> VerifyRequest {
        let verify = Verify {
            image: image.into(),
            credentials: None,
        };
        VerifyRequest::new(&self.target, verify)
    }
}
