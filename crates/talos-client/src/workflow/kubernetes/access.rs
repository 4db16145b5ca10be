//! From a kubeconfig to a client.

use hyper_util::{client::legacy, rt::TokioExecutor};
use kube::client::{Body, ClientBuilder, middleware::BaseUriLayer};
use talos_transport::{
    Endpoint,
    tls::{Identity, ServerVerification, TlsConfig},
};
use zeroize::Zeroizing;

use super::{KubernetesError, connector::Connector};
use crate::{
    api::machine::Kubeconfig,
    config::decode_base64,
    resource::value::Value,
    workflow::kubeconfig::{KubeconfigOrigin, read},
};

/// A client by the current context of the kubeconfig that a cluster gives to its administrators.
pub(super) fn client(kubeconfig: &Kubeconfig, server: Option<&str>) -> Result<kube::Client, KubernetesError> {
    let document = read(kubeconfig.as_yaml(), &KubeconfigOrigin::Cluster);
    let document = document.map_err(|error| unusable(error.to_string()))?;
    let context = document.get("current-context").and_then(Value::as_str);
    let context = context.ok_or_else(|| unusable("there is no current context"))?;
    let context = named(&document, "contexts", context, "context")?;
    let name = |key: &str| {
        let name = context.get(key).and_then(Value::as_str);
        name.ok_or_else(|| unusable(format!("the current context has no {key}")))
    };
    let cluster = named(&document, "clusters", name("cluster")?, "cluster")?;
    let user = named(&document, "users", name("user")?, "user")?;

    let server = match server {
        Some(server) => server,
        None => text(cluster, "server")?,
    };
    let (base, endpoint) = address(server)?;
    let authority = bytes(cluster, "certificate-authority-data")?;
    let identity = Identity::from_pem(
        bytes(user, "client-certificate-data")?,
        bytes(user, "client-key-data")?,
    )
    .map_err(KubernetesError::Tls)?;
    let verification = ServerVerification::ca_pem(authority).map_err(KubernetesError::Tls)?;
    let mut tls = TlsConfig::builder(verification)
        .identity(identity)
        .protocols(["http/1.1"]);
    if let Some(name) = cluster.get("tls-server-name").and_then(Value::as_str) {
        tls = tls.server_name(name);
    }
    let tls = tls.build().map_err(KubernetesError::Tls)?;

    let connections = legacy::Client::builder(TokioExecutor::new());
    let service = connections.build::<_, Body>(Connector { endpoint, tls });
    let namespace = "default";
    Ok(ClientBuilder::new(service, namespace)
        .with_layer(&BaseUriLayer::new(base))
        .build())
}

fn unusable(reason: impl Into<String>) -> KubernetesError {
    KubernetesError::Unusable {
        reason: reason.into(),
    }
}

/// The part of the entry of this name in one of the lists.
fn named<'a>(document: &'a Value, list: &str, name: &str, part: &str) -> Result<&'a Value, KubernetesError> {
    let entries = document.get(list).map_or(&[][..], Value::items);
    let entry = entries
        .iter()
        .find(|entry| entry.get("name").and_then(Value::as_str) == Some(name));
    entry
        .and_then(|entry| entry.get(part))
        .ok_or_else(|| unusable(format!("there is no {name:?} among its {list}")))
}

fn text<'a>(part: &'a Value, key: &str) -> Result<&'a str, KubernetesError> {
    let text = part.get(key).and_then(Value::as_str);
    text.ok_or_else(|| unusable(format!("there is no {key}")))
}

fn bytes(part: &Value, key: &str) -> Result<Zeroizing<Vec<u8>>, KubernetesError> {
    let decoded = decode_base64(text(part, key)?);
    // What is wrong with it would tell a part of it.
    decoded
        .map(Zeroizing::new)
        .map_err(|_| unusable(format!("{key} is not base64")))
}

/// What requests begin with, and where they go.
pub(super) fn address(url: &str) -> Result<(http::Uri, Endpoint), KubernetesError> {
    let base: http::Uri = url.parse().map_err(|_| unusable(format!("{url:?} is no URL")))?;
    if base.scheme_str() != Some("https") {
        return Err(unusable(format!("{url:?} does not begin with https://")));
    }
    let host = base.host().unwrap_or_default();
    let endpoint = Endpoint::new(host, base.port_u16().unwrap_or(443));
    let endpoint = endpoint.map_err(|error| unusable(error.to_string()))?;
    Ok((base, endpoint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for (url, expected) in [
            ("https://10.5.0.2:6443", "10.5.0.2:6443"),
            ("https://[fd00::1]:6443", "[fd00::1]:6443"),
            ("https://kube.example.org/prefix", "kube.example.org:443"),
        ] {
            let (_, endpoint) = address(url).expect(url);
            assert_eq!(endpoint.to_string(), expected);
        }
        for wrong in ["10.5.0.2:6443", "http://10.5.0.2:6443", "https://", "no URL"] {
            let error = address(wrong).expect_err(wrong);
            assert!(matches!(error, KubernetesError::Unusable { .. }), "{error}");
        }
    }
}
