//! One context of a talosconfig: a cluster, how to reach it, and who we are there.

use std::fmt;

use base64::{DecodeError, Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize, Serializer};
use talos_transport::Endpoint;
use zeroize::Zeroizing;

use super::{
    error::{Base64Problem, ConfigError, Origin},
    talosconfig::null_as_default,
};
use crate::{client::Pem, secret::SecretString};

/// A named entry of a [`Talosconfig`](super::Talosconfig).
///
/// Fields hold what the file holds: `ca`, `crt` and `key` stay base64 until they are used, so that one
/// broken context does not make the others unusable. [`Context::set_ca_pem`] and
/// [`Context::set_client_certificate_pem`] take PEM.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context {
    /// Addresses to dial: control plane nodes, a load balancer, a virtual IP or an Omni URL. The forms that
    /// are understood are those of [`Endpoint`].
    pub endpoints: Vec<String>,
    /// Default target nodes. Never applied silently; see `Client::context_nodes`.
    pub nodes: Vec<String>,
    /// Base64 of the PEM certificates that sign the servers; absent means the system's roots.
    pub ca: Option<String>,
    /// Base64 of the client certificate in PEM.
    pub crt: Option<String>,
    /// Base64 of the client's private key in PEM.
    pub key: Option<SecretString>,
    /// Authentication on top of, or instead of, the client certificate.
    pub auth: Option<Auth>,
    /// Cluster name, sent as metadata `context` with every call; needed by Omni.
    pub cluster: Option<String>,
    /// Proxy to connect through: `direct`, or a URL with the scheme `http`, `https` or `socks5`; absent means what
    /// the environment says. Anything but `direct` needs the feature `proxy`. May contain a password, so `Debug`
    /// hides it.
    pub proxy_url: Option<SecretString>,
}

/// Authentication of a [`Context`] by other means than a client certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Auth {
    /// Metadata `authorization: Basic …` on every call.
    Basic {
        /// User name.
        username: String,
        /// Password.
        password: SecretString,
    },
    /// Requests signed with the OpenPGP key of this identity, as Omni wants it.
    SideroV1 {
        /// The identity, usually a mail address.
        identity: String,
    },
}

impl Context {
    /// A context without credentials that reaches its cluster through `endpoints`.
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// Sets the authorities' certificates from PEM.
    pub fn set_ca_pem(&mut self, pem: impl AsRef<[u8]>) -> &mut Self {
        self.ca = Some(BASE64.encode(pem));
        self
    }

    /// Sets client certificate and private key from PEM.
    pub fn set_client_certificate_pem(
        &mut self,
        certificate: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> &mut Self {
        self.crt = Some(BASE64.encode(certificate));
        self.key = Some(SecretString::new(BASE64.encode(key)));
        self
    }

    /// The endpoints, parsed; `name` and `origin` are for the message.
    pub(crate) fn parse_endpoints(&self, name: &str, origin: &Origin) -> Result<Vec<Endpoint>, ConfigError> {
        if self.endpoints.is_empty() {
            return Err(ConfigError::NoEndpoints {
                origin: origin.clone(),
                context: name.to_owned(),
            });
        }
        let parse = |text: &String| {
            text.parse().map_err(|source| ConfigError::Endpoint {
                origin: origin.clone(),
                context: name.to_owned(),
                source,
            })
        };
        self.endpoints.iter().map(parse).collect()
    }

    /// What `proxy-url` says, if it says anything.
    #[cfg(feature = "proxy")]
    pub(crate) fn proxy_policy(
        &self,
        name: &str,
        origin: &Origin,
    ) -> Result<Option<crate::proxy::ProxyPolicy>, ConfigError> {
        let parse = |url: &SecretString| {
            url.expose().parse().map_err(|source| ConfigError::ProxyUrl {
                origin: origin.clone(),
                context: name.to_owned(),
                source,
            })
        };
        self.proxy_url.as_ref().map(parse).transpose()
    }

    /// Decodes `ca`, `crt` and `key`.
    pub(crate) fn decode(&self, name: &str, origin: &Origin) -> Result<Pem, ConfigError> {
        let decode = |field: &'static str, text: &str| {
            decode_base64(text).map_err(|problem| ConfigError::Base64 {
                origin: origin.clone(),
                context: name.to_owned(),
                field,
                problem,
            })
        };
        let incomplete = |present, missing| ConfigError::IncompleteIdentity {
            origin: origin.clone(),
            context: name.to_owned(),
            present,
            missing,
        };
        let identity = match (self.crt.as_deref(), self.key.as_ref().map(SecretString::expose)) {
            (None, None) => None,
            (Some(_), None) => return Err(incomplete("crt", "key")),
            (None, Some(_)) => return Err(incomplete("key", "crt")),
            (Some(crt), Some(key)) => Some((decode("crt", crt)?, Zeroizing::new(decode("key", key)?))),
        };
        let ca = self.ca.as_deref().map(|ca| decode("ca", ca)).transpose()?;
        Ok(Pem { ca, identity })
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let present = |there: bool| if there { "<present>" } else { "<absent>" };
        f.debug_struct("Context")
            .field("endpoints", &self.endpoints)
            .field("nodes", &self.nodes)
            .field("ca", &format_args!("{}", present(self.ca.is_some())))
            .field("crt", &format_args!("{}", present(self.crt.is_some())))
            .field("key", &self.key)
            .field("auth", &self.auth)
            .field("cluster", &self.cluster)
            .field("proxy_url", &self.proxy_url)
            .finish()
    }
}

impl From<ContextFile> for Context {
    fn from(file: ContextFile) -> Self {
        let mut endpoints = file.endpoints;
        // Files of Talos releases long gone name their one endpoint here; it is never written back.
        endpoints.extend(non_empty(file.target));
        let auth = match (file.auth.basic, file.auth.siderov1) {
            (_, Some(siderov1)) => Some(Auth::SideroV1 {
                identity: siderov1.identity,
            }),
            (Some(basic), None) => Some(Auth::Basic {
                username: basic.username,
                password: basic.password,
            }),
            (None, None) => None,
        };
        Self {
            endpoints,
            nodes: file.nodes,
            ca: non_empty(file.ca),
            crt: non_empty(file.crt),
            key: Some(file.key).filter(|key| !key.is_empty()),
            auth,
            cluster: non_empty(file.cluster),
            proxy_url: Some(file.proxy_url).filter(|url| !url.is_empty()),
        }
    }
}

/// A context as the file spells it. Every key may be missing or null; unknown keys are ignored.
///
/// This is the one type that writes secrets out, so it stays private to the module that makes files.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ContextFile {
    #[serde(default, deserialize_with = "null_as_default", skip_serializing)]
    target: String,
    // Always written, even if empty, as talosctl does.
    #[serde(default, deserialize_with = "null_as_default")]
    endpoints: Vec<String>,
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    nodes: Vec<String>,
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    ca: String,
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    crt: String,
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "SecretString::is_empty"
    )]
    #[serde(serialize_with = "expose")]
    key: SecretString,
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "AuthFile::is_empty"
    )]
    auth: AuthFile,
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    cluster: String,
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "SecretString::is_empty"
    )]
    #[serde(serialize_with = "expose")]
    proxy_url: SecretString,
}

#[derive(Default, Serialize, Deserialize)]
struct AuthFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    basic: Option<BasicFile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    siderov1: Option<SideroV1File>,
}

impl AuthFile {
    fn is_empty(&self) -> bool {
        self.basic.is_none() && self.siderov1.is_none()
    }
}

#[derive(Serialize, Deserialize)]
struct BasicFile {
    #[serde(default, deserialize_with = "null_as_default")]
    username: String,
    #[serde(default, deserialize_with = "null_as_default", serialize_with = "expose")]
    password: SecretString,
}

#[derive(Serialize, Deserialize)]
struct SideroV1File {
    #[serde(default, deserialize_with = "null_as_default")]
    identity: String,
}

impl From<&Context> for ContextFile {
    fn from(context: &Context) -> Self {
        let mut auth = AuthFile::default();
        match context.auth.clone() {
            None => {}
            Some(Auth::Basic { username, password }) => auth.basic = Some(BasicFile { username, password }),
            Some(Auth::SideroV1 { identity }) => auth.siderov1 = Some(SideroV1File { identity }),
        }
        Self {
            target: String::new(),
            endpoints: context.endpoints.clone(),
            nodes: context.nodes.clone(),
            ca: context.ca.clone().unwrap_or_default(),
            crt: context.crt.clone().unwrap_or_default(),
            key: context.key.clone().unwrap_or_default(),
            auth,
            cluster: context.cluster.clone().unwrap_or_default(),
            proxy_url: context.proxy_url.clone().unwrap_or_default(),
        }
    }
}

fn expose<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

fn non_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// Standard, padded base64; white space anywhere is skipped, since YAML folds long values.
pub(crate) fn decode_base64(text: &str) -> Result<Vec<u8>, Base64Problem> {
    let compact = Zeroizing::new(
        text.bytes()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect::<Vec<_>>(),
    );
    BASE64.decode(&*compact).map_err(|error| match error {
        DecodeError::InvalidByte(offset, _) | DecodeError::InvalidLastSymbol(offset, _) => {
            Base64Problem::Symbol { offset }
        }
        DecodeError::InvalidLength(_) => Base64Problem::Length,
        DecodeError::InvalidPadding => Base64Problem::Padding,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_skips_white_space_and_demands_padding() {
        let cases: [(&str, Result<&[u8], Base64Problem>); 6] = [
            ("aGVsbG8=", Ok(b"hello")),
            ("aGVs\r\nbG8=\n", Ok(b"hello")),
            (" aGVs bG8= ", Ok(b"hello")),
            ("aGVsbG8", Err(Base64Problem::Padding)),
            ("aGVs*G8=", Err(Base64Problem::Symbol { offset: 4 })),
            ("aGVs-_8=", Err(Base64Problem::Symbol { offset: 4 })),
        ];
        for (text, expected) in cases {
            assert_eq!(
                decode_base64(text).as_deref(),
                expected.as_ref().map(|bytes| *bytes),
                "{text:?}"
            );
        }
    }

    #[test]
    fn debug_hides_every_credential() {
        let mut context = Context::new(["10.5.0.2"]);
        context
            .set_ca_pem("ca-pem")
            .set_client_certificate_pem("crt-pem", "key-pem");
        context.proxy_url = Some("socks5://user:proxy-password@10.0.0.1:1080".into());
        context.auth = Some(Auth::Basic {
            username: "user".to_owned(),
            password: SecretString::new("basic-password"),
        });
        let shown = format!("{context:?} {context:#?}");
        let key = context.key.as_ref().expect("just set").expose();
        for secret in ["key-pem", key, "proxy-password", "basic-password"] {
            assert!(!shown.contains(secret), "{secret} is visible in {shown}");
        }
        assert!(
            shown.contains("10.5.0.2") && shown.contains("<redacted>"),
            "{shown}"
        );
    }

    #[test]
    fn an_identity_needs_both_halves() {
        let origin = Origin::Memory;
        let mut context = Context::new(["10.5.0.2"]);
        context.crt = Some("Y3J0".to_owned());
        let error = context.decode("prod", &origin).err().expect("only a certificate");
        assert!(
            matches!(error, ConfigError::IncompleteIdentity { missing: "key", .. }),
            "{error}"
        );
        context.crt = None;
        context.key = Some("a2V5".into());
        let error = context.decode("prod", &origin).err().expect("only a key");
        assert!(
            matches!(error, ConfigError::IncompleteIdentity { missing: "crt", .. }),
            "{error}"
        );
    }
}
