//! Who signs a client's requests: nobody, or whom the talosconfig's context names.

#[cfg(feature = "siderov1")]
use talos_transport::ChannelBuilder;

use super::ClientBuilder;
use crate::config::{Auth, ConfigError, Context, Origin};
#[cfg(feature = "siderov1")]
use crate::{
    error::Result,
    siderov1::{SideroV1Config, Signer, Subject},
};

#[cfg(feature = "siderov1")]
impl ClientBuilder {
    /// Where the key comes from that signs requests, if the talosconfig's context asks for signatures by
    /// `auth.siderov1`; without that it has no effect. Default: [`SideroV1Config::from_env`] when the client is
    /// built.
    pub fn siderov1(mut self, config: SideroV1Config) -> Self {
        self.siderov1 = Some(config);
        self
    }

    pub(super) fn take_signature_of(
        &mut self,
        context: &Context,
        name: &str,
        _origin: &Origin,
    ) -> Result<(), ConfigError> {
        if let Some(Auth::SideroV1 { identity }) = &context.auth {
            self.signed_by = Some(Subject {
                context: name.to_owned(),
                identity: identity.clone(),
            });
        }
        Ok(())
    }

    pub(super) fn with_signer(&mut self, channel: ChannelBuilder) -> Result<ChannelBuilder> {
        let Some(subject) = self.signed_by.take() else {
            return Ok(channel);
        };
        let config = self.siderov1.take().unwrap_or_else(SideroV1Config::from_env);
        let signer = Signer::new(config, subject, &channel)?;
        Ok(channel.signer(signer))
    }
}

#[cfg(not(feature = "siderov1"))]
impl ClientBuilder {
    /// Refuses a context that cannot be followed in this build.
    pub(super) fn take_signature_of(
        &mut self,
        context: &Context,
        name: &str,
        origin: &Origin,
    ) -> Result<(), ConfigError> {
        match &context.auth {
            Some(Auth::SideroV1 { .. }) => Err(ConfigError::FeatureDisabled {
                origin: origin.clone(),
                context: name.to_owned(),
                field: "auth.siderov1",
                feature: "siderov1",
            }),
            _ => Ok(()),
        }
    }
}
