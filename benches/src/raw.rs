//! The yardstick: the generated stub on one channel of tonic, over rustls as our own connector has it.

use std::io;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use hyper_util::rt::TokioIo;
use talos_client::transport::tls::rustls;
use talos_proto::cosi::resource::state_client::StateClient;
use talos_proto::machine::machine_service_client::MachineServiceClient;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};

use self::rustls::pki_types::pem::PemObject as _;
use self::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use crate::access::{Credentials, Server};

/// A stub on a channel of its own, with a connection that is made by the first call.
pub fn stub(server: &Server) -> Result<MachineServiceClient<Channel>> {
    Ok(MachineServiceClient::new(channel(server)?))
}

/// The same for resources.
pub fn state(server: &Server) -> Result<StateClient<Channel>> {
    Ok(StateClient::new(channel(server)?))
}

fn channel(server: &Server) -> Result<Channel> {
    let address = server.endpoint()?.to_owned();
    let (host, _) = address.rsplit_once(':').context("an address has a port")?;
    let name = ServerName::try_from(host.to_owned())?;
    let tls = TlsConnector::from(client_config(&server.credentials()?)?);
    let endpoint =
        Endpoint::from_shared(format!("http://{address}"))?.origin(format!("https://{address}").parse()?);
    let connector = tower::service_fn(move |_| {
        let (address, name, tls) = (address.clone(), name.clone(), tls.clone());
        async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok::<_, io::Error>(TokioIo::new(tls.connect(name, stream).await?))
        }
    });
    Ok(endpoint.connect_with_connector_lazy(connector))
}

/// A request to a node.
pub fn request<T>(message: T, node: &str) -> Result<tonic::Request<T>> {
    let mut request = tonic::Request::new(message);
    let node = MetadataValue::try_from(node)?;
    request.metadata_mut().insert("node", node);
    Ok(request)
}

pub(crate) fn client_config(credentials: &Credentials) -> Result<Arc<rustls::ClientConfig>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&credentials.ca)?)?;
    let chain = vec![CertificateDer::from_pem_slice(&credentials.certificate)?];
    let key = PrivateKeyDer::from_pem_slice(&credentials.key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}
