//! Reads a talosconfig.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use serde::Deserialize;

use super::RealError;
use super::connection::Credentials;
use crate::pki::pem;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    context: String,
    #[serde(default)]
    contexts: BTreeMap<String, Context>,
}

/// One context of a talosconfig.
#[derive(Deserialize)]
pub(super) struct Context {
    #[serde(default)]
    pub(super) endpoints: Vec<String>,
    #[serde(default)]
    ca: String,
    #[serde(default)]
    crt: String,
    #[serde(default)]
    key: String,
}

/// The current context of a talosconfig, and its name.
pub(super) fn current(text: &str) -> Result<(String, Context), RealError> {
    let options = serde_saphyr::options! { with_snippet: false };
    let file: File = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| RealError::talosconfig(error.to_string()))?;
    let mut contexts = file.contexts;
    match contexts.remove(&file.context) {
        Some(context) if context.endpoints.is_empty() => Err(RealError::talosconfig(format!(
            "context {:?} has no endpoints",
            file.context
        ))),
        Some(context) => Ok((file.context, context)),
        None => Err(RealError::talosconfig(format!(
            "it has no context {:?}",
            file.context
        ))),
    }
}

impl Context {
    pub(super) fn credentials(&self) -> Result<Credentials, RealError> {
        let authorities = certificates("ca", &self.ca)?;
        let chain = certificates("crt", &self.crt)?;
        Credentials::new(authorities, chain, private_key(&self.key)?)
    }
}

fn certificates(field: &str, text: &str) -> Result<Vec<CertificateDer<'static>>, RealError> {
    let found: Vec<_> = blocks(field, text)?
        .into_iter()
        .filter(|(label, _)| label == "CERTIFICATE")
        .map(|(_, der)| der.into())
        .collect();
    if found.is_empty() {
        return Err(RealError::talosconfig(format!("{field} holds no certificate")));
    }
    Ok(found)
}

fn private_key(text: &str) -> Result<PrivateKeyDer<'static>, RealError> {
    let found = blocks("key", text)?
        .into_iter()
        .find_map(|(label, der)| match label.as_str() {
            "ED25519 PRIVATE KEY" | "PRIVATE KEY" => Some(PrivatePkcs8KeyDer::from(der).into()),
            "EC PRIVATE KEY" => Some(PrivateSec1KeyDer::from(der).into()),
            "RSA PRIVATE KEY" => Some(PrivatePkcs1KeyDer::from(der).into()),
            _ => None,
        });
    found.ok_or_else(|| RealError::talosconfig("key holds no private key"))
}

/// The PEM blocks in base64: labels and contents.
fn blocks(field: &str, text: &str) -> Result<Vec<(String, Vec<u8>)>, RealError> {
    let broken = || RealError::talosconfig(format!("{field} is no PEM text in base64"));
    let pem = STANDARD
        .decode(text.split_whitespace().collect::<String>())
        .map_err(|_| broken())?;
    let pem = String::from_utf8(pem).map_err(|_| broken())?;
    pem::decode(&pem).ok_or_else(broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{CertificateAuthority, ClientCertSpec, KeyAlgorithm};
    use crate::talosconfig::Talosconfig;

    fn file(algorithm: KeyAlgorithm, endpoints: &[String]) -> String {
        let authority = CertificateAuthority::new_talos().unwrap();
        let spec = ClientCertSpec::new(["os:admin"]).key_algorithm(algorithm);
        Talosconfig {
            context: "real",
            endpoints,
            nodes: &["10.5.0.2".to_owned()],
            ca_pem: &authority.certificate_pem(),
            client: &authority.issue_client(&spec).unwrap(),
        }
        .render()
    }

    #[test]
    fn reads_what_talosctl_writes() {
        for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::EcdsaP256] {
            let (name, context) = current(&file(algorithm, &["127.0.0.1:1".to_owned()])).unwrap();
            assert_eq!(
                (name.as_str(), context.endpoints.as_slice()),
                ("real", &["127.0.0.1:1".to_owned()][..])
            );
            context.credentials().unwrap();
        }
    }

    #[test]
    fn says_what_is_missing_and_shows_no_key() {
        let whole = file(KeyAlgorithm::Ed25519, &["a:1".to_owned()]);
        let cases = [
            ("context: nope\n".to_owned(), r#"it has no context "nope""#),
            (
                file(KeyAlgorithm::Ed25519, &[]),
                r#"context "real" has no endpoints"#,
            ),
            (
                whole.replace("        key: ", "        other: "),
                "key holds no private key",
            ),
            (
                whole.replace("        crt: ", "        crt: '*' #"),
                "crt is no PEM text in base64",
            ),
        ];
        for (text, expected) in cases {
            let error = current(&text)
                .and_then(|(_, context)| context.credentials().map(drop))
                .unwrap_err();
            assert_eq!(error.to_string(), format!("unusable talosconfig: {expected}"));
        }
        let secret = whole.lines().last().unwrap().trim();
        let broken = whole.replace("contexts:", "contexts: [");
        let Err(error) = current(&broken) else {
            panic!("{broken}")
        };
        assert!(!format!("{error:?}").contains(&secret[5..40]), "{error:?}");
    }
}
