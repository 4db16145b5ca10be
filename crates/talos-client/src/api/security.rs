//! `securityapi.SecurityService`: trustd, which signs the server certificates of worker nodes.
//!
//! It is not part of the API of a node: control plane nodes serve it on a port of its own, 50001, and ask for the
//! machine token of the cluster in place of a client certificate. Nodes use it among themselves; you need it to
//! take a node's part.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use talos_proto::{
    methods::securityapi::security_service as methods,
    securityapi::{self as proto, security_service_client::SecurityServiceClient},
};
use talos_transport::{
    Channel, Endpoint, MAX_MESSAGE_SIZE, NodeName,
    tls::{ServerVerification, TlsConfig},
};
use tonic::metadata::{Ascii, MetadataValue};

use crate::{
    CallOptions,
    call::Target,
    error::{Error, ErrorKind, Result},
    secret::SecretString,
};

/// A client of trustd, the certificate service of control plane nodes.
///
/// ```no_run
/// use talos_client::{api::security::TrustdClient, transport::ServerVerification};
///
/// # async fn example(ca: &[u8], csr: Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
/// let trustd = TrustdClient::builder("abcdef.0123456789abcdef")
///     .endpoints(["10.5.0.2", "10.5.0.3"])
///     .verification(ServerVerification::ca_pem(ca)?)
///     .build()?;
/// let signed = trustd.certificate(csr).await?;
/// println!("{} bytes of PEM", signed.certificate_pem.len());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TrustdClient {
    target: Target,
    token: MetadataValue<Ascii>,
}

/// Collects what [`TrustdClient`] needs; made by [`TrustdClient::builder`].
#[derive(Debug)]
#[must_use = "nothing is made before `build`"]
pub struct TrustdClientBuilder {
    token: SecretString,
    endpoints: Vec<String>,
    verification: Option<ServerVerification>,
    connect_timeout: Option<Duration>,
}

/// A certificate that trustd signed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignedCertificate {
    /// Certificates of the authorities that the cluster accepts, in PEM.
    pub ca_pem: Bytes,
    /// The certificate, in PEM: for servers only, valid for 24 hours, without an organization.
    pub certificate_pem: Bytes,
}

impl TrustdClient {
    /// The port of trustd.
    pub const DEFAULT_PORT: u16 = 50001;

    /// Starts with the machine token of the cluster, `machine.token` in the machine configuration.
    pub fn builder(token: impl Into<SecretString>) -> TrustdClientBuilder {
        TrustdClientBuilder {
            token: token.into(),
            endpoints: Vec::new(),
            verification: None,
            connect_timeout: None,
        }
    }

    /// The same client, with these options for its calls.
    #[must_use]
    pub fn with_options(mut self, options: CallOptions) -> Self {
        self.target = self.target.with_options(options);
        self
    }

    /// Lets trustd sign a request for a server certificate, in PEM.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty request; nothing is sent then. `Unauthenticated` for a wrong token,
    /// `InvalidArgument` for what is no certificate request, and every [`ErrorKind`] of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing on the node remembers the certificate.
    ///
    /// Upstream: `securityapi.SecurityService/Certificate` · since Talos 1.7 or older · machine token ·
    /// read-only
    pub async fn certificate(&self, csr_pem: impl Into<Bytes>) -> Result<SignedCertificate> {
        let (target, method, csr) = (&self.target, &methods::CERTIFICATE, csr_pem.into());
        if csr.is_empty() {
            return Err(target.invalid_input(method, "the certificate request is empty"));
        }
        let request = proto::CertificateRequest { csr };
        let reply: proto::CertificateResponse = target
            .plain(method, request, |mut request| async {
                request.metadata_mut().insert("token", self.token.clone());
                let client = SecurityServiceClient::new(target.channel.clone());
                client
                    .max_decoding_message_size(MAX_MESSAGE_SIZE)
                    .certificate(request)
                    .await
            })
            .await?;
        Ok(SignedCertificate {
            ca_pem: reply.ca,
            certificate_pem: reply.crt,
        })
    }
}

impl TrustdClientBuilder {
    /// Where to dial: control plane nodes, by address or name, with or without a port. Default port:
    /// [`TrustdClient::DEFAULT_PORT`].
    pub fn endpoints(mut self, endpoints: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.endpoints = endpoints.into_iter().map(Into::into).collect();
        self
    }

    /// How to know the servers: usually by the cluster's CA, which is in the talosconfig and in every machine
    /// configuration. Required.
    pub fn verification(mut self, verification: ServerVerification) -> Self {
        self.verification = Some(verification);
        self
    }

    /// Limit for one attempt to connect to one endpoint. Default: that of the channel, 10 seconds.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Makes the client. Nothing is dialled.
    ///
    /// # Errors
    ///
    /// `Config` for a missing or impossible endpoint, a missing verification, and a token that is empty or not
    /// ASCII.
    pub fn build(self) -> Result<TrustdClient> {
        let config = |message: &str| Error::local(ErrorKind::Config, message);
        if self.token.is_empty() {
            return Err(config("the machine token is empty"));
        }
        let token = Some(self.token.expose()).filter(|token| token.is_ascii());
        let mut token: MetadataValue<Ascii> = token
            .and_then(|token| token.parse().ok())
            .ok_or_else(|| config("the machine token is not ASCII text"))?;
        token.set_sensitive(true);
        let verification = self
            .verification
            .ok_or_else(|| config("nothing says how to know the servers"))?;
        let endpoints: Vec<Endpoint> = self
            .endpoints
            .iter()
            .map(|text| endpoint(text))
            .collect::<Result<_>>()?;
        let tls = TlsConfig::builder(verification)
            .build()
            .map_err(|error| Error::local(ErrorKind::Config, error))?;
        let mut channel = Channel::builder(endpoints)
            .tls(tls)
            .user_agent(concat!("talos-client/", env!("CARGO_PKG_VERSION")));
        if let Some(timeout) = self.connect_timeout {
            channel = channel.connect_timeout(timeout);
        }
        let channel = channel
            .build()
            .map_err(|error| Error::local(ErrorKind::Config, error))?;
        Ok(TrustdClient {
            target: Target::of_channel(channel, Arc::default()),
            token,
        })
    }
}

/// An endpoint whose port is trustd's unless it has one.
fn endpoint(text: &str) -> Result<Endpoint> {
    // The name of a node is an address without a port.
    let endpoint = match text.parse::<NodeName>() {
        Ok(name) => Endpoint::new(name.as_str(), TrustdClient::DEFAULT_PORT),
        Err(_) => text.parse(),
    };
    endpoint.map_err(|error| Error::local(ErrorKind::Config, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_trustds_own() {
        let cases = [
            ("10.5.0.2", "10.5.0.2:50001"),
            ("10.5.0.2:50000", "10.5.0.2:50000"),
            ("fd00::1", "[fd00::1]:50001"),
            ("[fd00::1]:6000", "[fd00::1]:6000"),
            ("cp-1.example.org", "cp-1.example.org:50001"),
        ];
        for (text, expected) in cases {
            assert_eq!(endpoint(text).expect(text).authority(), expected, "{text}");
        }
        assert_eq!(endpoint("").expect_err("empty").kind(), ErrorKind::Config);
    }

    #[test]
    fn the_token_is_checked_and_not_shown() {
        let builder = |token: &str| TrustdClient::builder(token).endpoints(["10.5.0.2"]);
        for (token, endpoints, part) in [
            ("", vec!["10.5.0.2"], "token is empty"),
            ("tökén", vec!["10.5.0.2"], "not ASCII"),
            ("secret", vec!["10.5.0.2"], "how to know the servers"),
        ] {
            let error = builder(token).endpoints(endpoints).build().expect_err(part);
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(format!("{error:#}").contains(part), "{error:#}");
        }
        let shown = format!("{:?}", builder("hunter2"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
