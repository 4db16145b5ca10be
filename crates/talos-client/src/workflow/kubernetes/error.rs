//! Why Kubernetes could not be asked.

use std::time::Duration;

use talos_transport::{NodeName, tls::TlsError};

use super::kube;
use crate::error::{Error, ErrorKind, Origin};

/// Why Kubernetes could not be asked, or refused. Never shows credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KubernetesError {
    /// The cluster gave no kubeconfig: because of the role, or because it has no Kubernetes yet.
    #[error("the cluster gives no kubeconfig")]
    Kubeconfig(#[source] Box<Error>),
    /// The kubeconfig, or the address that was to take the place of the one in it, leads nowhere.
    #[error("the kubeconfig cannot be used: {reason}")]
    Unusable {
        /// What is wrong with it.
        reason: String,
    },
    /// The service account cannot be used: there is none, the program does not run in a pod, or the settings want what is
    /// not taken over.
    #[error("the service account cannot be used: {reason}")]
    Pod {
        /// What is missing.
        reason: String,
    },
    /// The certificates or the key in the kubeconfig are no good.
    #[error("the credentials in the kubeconfig cannot be used")]
    Tls(#[source] TlsError),
    /// The machine does not say what it is called in Kubernetes.
    #[error("the name of {node} in Kubernetes is not known")]
    Name {
        /// The node.
        node: NodeName,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// The API answered with an error.
    #[error("{what}: the Kubernetes API says {code}: {message}")]
    Refused {
        /// What it was about, such as `node talos-1`.
        what: String,
        /// The status code of HTTP.
        code: u16,
        /// In one word, such as `Forbidden`; may be empty.
        reason: String,
        /// In the words of the API.
        message: String,
    },
    /// The API could not be reached, or its answer could not be read.
    #[error("{what}: the Kubernetes API does not answer")]
    Failed {
        /// What it was about.
        what: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// Nothing came in time.
    #[error("{what}: the Kubernetes API has not answered for {after:?}")]
    TimedOut {
        /// What it was about.
        what: String,
        /// How long that was waited for.
        after: Duration,
    },
    /// The node did not become ready.
    #[error("node {name} is not ready after {after:?}: {reason}")]
    NotReady {
        /// The node, as Kubernetes calls it.
        name: String,
        /// How long that was waited for.
        after: Duration,
        /// What was seen last.
        reason: String,
    },
}

impl KubernetesError {
    pub(super) fn of(what: &str, error: kube::Error) -> Self {
        let what = what.to_owned();
        match error {
            kube::Error::Api(status) => Self::Refused {
                what,
                code: status.code,
                reason: status.reason,
                message: status.message,
            },
            error => Self::Failed {
                what,
                source: Box::new(error),
            },
        }
    }

    /// The status code of HTTP, if the API answered.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether what was asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// Whether it is a matter of rights or credentials, be it at Talos or at Kubernetes.
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Kubeconfig(error) | Self::Name { source: error, .. } => error.is_denied(),
            _ => matches!(self.code(), Some(401 | 403)),
        }
    }

    /// Whether the same may go well a little later: the API is away, overloaded, or has just not answered.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Kubeconfig(error) | Self::Name { source: error, .. } => error.is_retriable(),
            Self::Refused { code, .. } => matches!(code, 408 | 409 | 429 | 500..=599),
            Self::Failed { source, .. } => matches!(
                **source,
                kube::Error::Service(_) | kube::Error::HyperError(_) | kube::Error::ReadEvents(_)
            ),
            Self::TimedOut { .. } => true,
            Self::Unusable { .. } | Self::Pod { .. } | Self::Tls(_) | Self::NotReady { .. } => false,
        }
    }
}

impl From<KubernetesError> for Error {
    fn from(error: KubernetesError) -> Self {
        let kind = match &error {
            KubernetesError::Kubeconfig(source) | KubernetesError::Name { source, .. } => source.kind(),
            KubernetesError::Unusable { .. } | KubernetesError::Pod { .. } | KubernetesError::Tls(_) => {
                ErrorKind::Config
            }
            KubernetesError::Refused { code, .. } => match code {
                401 => ErrorKind::Unauthenticated,
                403 => ErrorKind::PermissionDenied,
                404 => ErrorKind::NotFound,
                409 => ErrorKind::AlreadyExists,
                429 => ErrorKind::ResourceExhausted,
                500..=599 => ErrorKind::Unavailable,
                _ => ErrorKind::InvalidArgument,
            },
            KubernetesError::Failed { .. } => ErrorKind::Unavailable,
            KubernetesError::TimedOut { .. } | KubernetesError::NotReady { .. } => ErrorKind::Timeout,
        };
        Self::new(kind, Origin::Local)
            .with_message(error.to_string())
            .with_source(error)
    }
}
