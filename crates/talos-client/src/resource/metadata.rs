//! What all resources have.

use std::{collections::BTreeMap, fmt, time::SystemTime};

use talos_proto::cosi::resource as proto;

use crate::call::system_time;

/// Identity, version, owner and labels of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// Where it lives, such as `runtime`.
    pub namespace: String,
    /// The full name of its type.
    pub r#type: String,
    /// Its name, unique within namespace and type.
    pub id: String,
    /// A decimal number that grows with each update, or `undefined`.
    pub version: String,
    /// The controller that writes it; maybe empty.
    pub owner: String,
    /// Whether it is about to go away.
    pub phase: Phase,
    /// When it was made.
    pub created: Option<SystemTime>,
    /// When it was changed last.
    pub updated: Option<SystemTime>,
    /// Who has to let go of it before it can go away.
    pub finalizers: Vec<String>,
    /// Labels, for queries.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// Whether a resource is about to go away.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// It is there to stay.
    Running,
    /// It goes away as soon as its finalizers are gone.
    TearingDown,
    /// A phase this library does not know, as the node spells it.
    Other(String),
}

impl From<proto::Metadata> for Metadata {
    fn from(raw: proto::Metadata) -> Self {
        Self {
            namespace: raw.namespace,
            r#type: raw.r#type,
            id: raw.id,
            version: raw.version,
            owner: raw.owner,
            phase: raw.phase.into(),
            created: system_time(raw.created),
            updated: system_time(raw.updated),
            finalizers: raw.finalizers,
            labels: raw.labels.into_iter().collect(),
            annotations: raw.annotations.into_iter().collect(),
        }
    }
}

impl From<String> for Phase {
    fn from(phase: String) -> Self {
        match phase.as_str() {
            "running" => Self::Running,
            "tearingDown" => Self::TearingDown,
            _ => Self::Other(phase),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::TearingDown => "tearingDown",
            Self::Other(phase) => phase,
        })
    }
}
