//! Credentials that a node gives out.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use talos_proto::machine::GenerateClientConfigurationRequest;
use tonic::{Code, Status};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::four_nodes;
use crate::wire::{Wire, failure, with};

fn request(roles: &[&str], seconds: Option<i64>) -> GenerateClientConfigurationRequest {
    GenerateClientConfigurationRequest {
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        crt_ttl: seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
    }
}

// covers: machine.MachineService/GenerateClientConfiguration
#[tokio::test]
async fn certificates_are_real_and_the_talosconfig_names_the_role() {
    let cluster = four_nodes().cluster_name("prod").start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let generate = async |request| {
        let reply = wire
            .machine()
            .generate_client_configuration(request)
            .await?
            .into_inner();
        Ok::<_, Status>(reply.messages.into_iter().next().unwrap())
    };
    let reply = generate(request(&["os:reader"], Some(3600))).await.unwrap();
    assert_eq!(reply.ca, cluster.ca_pem());
    let der = CertificateDer::from_pem_slice(&reply.crt).unwrap();
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let organizations: Vec<_> = certificate
        .subject()
        .iter_organization()
        .map(|o| o.as_str().unwrap())
        .collect();
    assert_eq!(organizations, ["os:reader"]);
    let validity = certificate.validity();
    assert_eq!(
        validity.not_after.timestamp() - validity.not_before.timestamp(),
        3600
    );
    let authority = X509Certificate::from_der(cluster.authority().certificate_der())
        .unwrap()
        .1;
    assert_eq!(certificate.issuer(), authority.subject());
    assert!(reply.key.starts_with(b"-----BEGIN ED25519 PRIVATE KEY-----"));
    let text = std::str::from_utf8(&reply.talosconfig).unwrap();
    assert!(
        text.starts_with("context: reader@prod\ncontexts:\n    reader@prod:\n        endpoints: []\n"),
        "{text}"
    );
    let several = generate(request(&["os:reader", "os:operator"], Some(60)))
        .await
        .unwrap();
    assert!(several.talosconfig.starts_with(b"context: prod\n"));
    for seconds in [None, Some(0), Some(-5)] {
        let found = failure(generate(request(&["os:admin"], seconds)).await);
        assert_eq!(
            found,
            (Code::InvalidArgument, "crt_ttl should be positive".to_owned())
        );
    }
    let on_worker = with(request(&["os:admin"], Some(60)), &[("node", "10.5.0.5")]);
    let found = failure(wire.machine().generate_client_configuration(on_worker).await);
    assert_eq!(
        found,
        (
            Code::Unimplemented,
            "generate client configuration is only available on control plane nodes".to_owned()
        )
    );
}
