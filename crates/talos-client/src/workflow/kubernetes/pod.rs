//! Access for programs that run in the cluster.

use std::{
    error::Error as StdError,
    task::{Context, Poll},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{TryFutureExt as _, future::MapErr};
use hyper_util::{client::legacy, rt::TokioExecutor};
use kube::client::{Body, ClientBuilder, ConfigExt as _, middleware::BaseUriLayer};
use talos_transport::tls::{ServerVerification, TlsConfig};
use tower_service::Service;

use super::{Kubernetes, KubernetesError, access::address, connector::Connector, node::chain};

impl Kubernetes {
    /// As the service account of the pod that the program runs in, with its rights. The token is read again from its file
    /// before it ends; the certificate of the authority is read once.
    ///
    /// Connections are made by the same rules as those to Talos, so that no TLS of kube is needed, nor a provider of
    /// cryptography for the whole process.
    ///
    /// # Errors
    ///
    /// [`KubernetesError::Pod`] outside a pod, and in one without a service account; [`KubernetesError::Tls`] if the
    /// certificate of the authority is no good.
    pub fn in_pod() -> Result<Self, KubernetesError> {
        let config = kube::Config::incluster().map_err(|error| unusable(&error))?;
        Self::with_config(&config)
    }

    /// By settings of kube, of which it takes the server, its authority, and the token or password. As with
    /// [`Kubernetes::in_pod`], connections are made by the same rules as those to Talos, and never through a proxy.
    ///
    /// For client certificates make a client by yourself: [`Kubernetes::with_client`].
    ///
    /// # Errors
    ///
    /// [`KubernetesError::Pod`] for a client certificate, for settings that leave verification out, and where the token
    /// cannot be read; [`KubernetesError::Unusable`] if the server is none; [`KubernetesError::Tls`] without an
    /// authority, or if its certificate is no good.
    pub fn with_config(config: &kube::Config) -> Result<Self, KubernetesError> {
        let auth = &config.auth_info;
        let certificate = auth.client_certificate.is_some() || auth.client_certificate_data.is_some();
        for (unfit, reason) in [
            (certificate, "client certificates are not taken over"),
            (config.accept_invalid_certs, "the server would not be verified"),
        ] {
            if unfit {
                return Err(KubernetesError::Pod {
                    reason: reason.to_owned(),
                });
            }
        }
        Ok(Self::with_client(client(config)?))
    }
}

fn client(config: &kube::Config) -> Result<kube::Client, KubernetesError> {
    let (base, endpoint) = address(&config.cluster_url.to_string())?;
    let authority = config.root_cert.iter().flatten();
    let authority: String = authority.map(|certificate| pem(certificate)).collect();
    let verification = ServerVerification::ca_pem(authority).map_err(KubernetesError::Tls)?;
    let tls = TlsConfig::builder(verification).protocols(["http/1.1"]).build();
    let tls = tls.map_err(KubernetesError::Tls)?;

    let connections = legacy::Client::builder(TokioExecutor::new());
    let service = connections.build::<_, Body>(Connector { endpoint, tls });
    let builder = ClientBuilder::new(BoxedErrors(service), config.default_namespace.clone());
    let token = config.auth_layer().map_err(|error| unusable(&error))?;
    let base = BaseUriLayer::new(base);
    Ok(match token {
        Some(token) => builder.with_layer(&token).with_layer(&base).build(),
        None => builder.with_layer(&base).build(),
    })
}

/// The layer that adds the token takes no service with other errors.
#[derive(Clone)]
struct BoxedErrors<S>(S);

type BoxError = Box<dyn StdError + Send + Sync>;

impl<S, R> Service<R> for BoxedErrors<S>
where
    S: Service<R>,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = MapErr<S::Future, fn(S::Error) -> BoxError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.0.call(request).map_err(Into::into)
    }
}

fn pem(certificate: &[u8]) -> String {
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        STANDARD.encode(certificate)
    )
}

fn unusable(error: &dyn StdError) -> KubernetesError {
    KubernetesError::Pod { reason: chain(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_a_pod_there_is_no_service_account() {
        let error = Kubernetes::in_pod().expect_err("tests run outside of pods");
        assert!(matches!(error, KubernetesError::Pod { .. }), "{error:?}");
        assert!(
            error
                .to_string()
                .starts_with("the service account cannot be used: ")
        );
    }

    #[test]
    fn what_is_not_taken_over_is_refused() {
        let config = || kube::Config::new("https://10.96.0.1:443".parse().expect("a URL"));
        let mut certificate = config();
        certificate.auth_info.client_certificate_data = Some("hunter2".to_owned());
        let mut unverified = config();
        unverified.accept_invalid_certs = true;
        for config in [certificate, unverified] {
            let error = Kubernetes::with_config(&config).expect_err("not taken over");
            assert!(matches!(error, KubernetesError::Pod { .. }), "{error:?}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn an_authority_is_required() {
        let server = "https://10.96.0.1:443".parse().expect("a URL");
        let error = Kubernetes::with_config(&kube::Config::new(server)).expect_err("nothing to verify by");
        assert!(matches!(error, KubernetesError::Tls(_)), "{error:?}");
    }
}
