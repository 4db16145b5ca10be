//! The messages of `google.rpc` with the numbers of their fields, as far as they are read.

use std::collections::BTreeMap;

use prost_types::{Any, Duration};

use super::{Detail, FieldViolation, Violation};

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Status {
    #[prost(message, repeated, tag = "3")]
    pub(super) details: Vec<Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    violations: Vec<BadField>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct BadField {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(string, tag = "2")]
    description: String,
    #[prost(string, tag = "3")]
    reason: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<Duration>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct QuotaFailure {
    #[prost(message, repeated, tag = "1")]
    violations: Vec<Quota>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Quota {
    #[prost(string, tag = "1")]
    subject: String,
    #[prost(string, tag = "2")]
    description: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PreconditionFailure {
    #[prost(message, repeated, tag = "1")]
    violations: Vec<Precondition>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Precondition {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    subject: String,
    #[prost(string, tag = "3")]
    description: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RequestInfo {
    #[prost(string, tag = "1")]
    request_id: String,
    #[prost(string, tag = "2")]
    serving_data: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ResourceInfo {
    #[prost(string, tag = "1")]
    resource_type: String,
    #[prost(string, tag = "2")]
    resource_name: String,
    #[prost(string, tag = "3")]
    owner: String,
    #[prost(string, tag = "4")]
    description: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Help {
    #[prost(message, repeated, tag = "1")]
    links: Vec<Link>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Link {
    #[prost(string, tag = "1")]
    description: String,
    #[prost(string, tag = "2")]
    url: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LocalizedMessage {
    #[prost(string, tag = "1")]
    locale: String,
    #[prost(string, tag = "2")]
    message: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DebugInfo {
    #[prost(string, repeated, tag = "1")]
    stack: Vec<String>,
    #[prost(string, tag = "2")]
    detail: String,
}

impl From<BadRequest> for Detail {
    fn from(raw: BadRequest) -> Self {
        let violation = |raw: BadField| FieldViolation {
            field: raw.field,
            description: raw.description,
            reason: raw.reason,
        };
        Self::BadRequest(raw.violations.into_iter().map(violation).collect())
    }
}

impl From<ErrorInfo> for Detail {
    fn from(raw: ErrorInfo) -> Self {
        Self::ErrorInfo {
            reason: raw.reason,
            domain: raw.domain,
            metadata: raw.metadata,
        }
    }
}

impl From<RetryInfo> for Detail {
    fn from(raw: RetryInfo) -> Self {
        Self::RetryInfo {
            delay: raw.delay.and_then(|delay| delay.try_into().ok()),
        }
    }
}

impl From<QuotaFailure> for Detail {
    fn from(raw: QuotaFailure) -> Self {
        let violation = |raw: Quota| Violation {
            kind: String::new(),
            subject: raw.subject,
            description: raw.description,
        };
        Self::QuotaFailure(raw.violations.into_iter().map(violation).collect())
    }
}

impl From<PreconditionFailure> for Detail {
    fn from(raw: PreconditionFailure) -> Self {
        let violation = |raw: Precondition| Violation {
            kind: raw.kind,
            subject: raw.subject,
            description: raw.description,
        };
        Self::PreconditionFailure(raw.violations.into_iter().map(violation).collect())
    }
}

impl From<RequestInfo> for Detail {
    fn from(raw: RequestInfo) -> Self {
        Self::RequestInfo {
            request_id: raw.request_id,
            serving_data: raw.serving_data,
        }
    }
}

impl From<ResourceInfo> for Detail {
    fn from(raw: ResourceInfo) -> Self {
        Self::ResourceInfo {
            resource_type: raw.resource_type,
            resource_name: raw.resource_name,
            owner: raw.owner,
            description: raw.description,
        }
    }
}

impl From<Help> for Detail {
    fn from(raw: Help) -> Self {
        let link = |raw: Link| (raw.description, raw.url);
        Self::Help(raw.links.into_iter().map(link).collect())
    }
}

impl From<LocalizedMessage> for Detail {
    fn from(raw: LocalizedMessage) -> Self {
        Self::LocalizedMessage {
            locale: raw.locale,
            message: raw.message,
        }
    }
}

impl From<DebugInfo> for Detail {
    fn from(raw: DebugInfo) -> Self {
        Self::DebugInfo {
            stack: raw.stack,
            detail: raw.detail,
        }
    }
}
