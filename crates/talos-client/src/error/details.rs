//! What a server attaches to a status: the messages of `google.rpc`.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use prost::Message;
use prost_types::Any;

mod wire;

/// More about a failure, as servers attach it to a status.
///
/// Talos itself attaches nothing; proxies in front of it do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Detail {
    /// Fields of the request that are wrong.
    BadRequest(Vec<FieldViolation>),
    /// The reason as a constant.
    ErrorInfo {
        /// The reason, such as `API_DISABLED`.
        reason: String,
        /// Who names it so, such as `omni.siderolabs.com`.
        domain: String,
        /// More about it.
        metadata: BTreeMap<String, String>,
    },
    /// When to try again; see [`Error::retry_after`](crate::Error::retry_after).
    RetryInfo {
        /// The least time to wait; `None` where there is none.
        delay: Option<Duration>,
    },
    /// Limits that were passed.
    QuotaFailure(Vec<Violation>),
    /// What has to be as it is not.
    PreconditionFailure(Vec<Violation>),
    /// How the operator of the server finds the call again.
    RequestInfo {
        /// Its id there.
        request_id: String,
        /// More, for the operator only.
        serving_data: String,
    },
    /// What the call was about.
    ResourceInfo {
        /// Its type.
        resource_type: String,
        /// Its name.
        resource_name: String,
        /// Who owns it.
        owner: String,
        /// What is the matter with it.
        description: String,
    },
    /// Where to read on: descriptions and URLs.
    Help(Vec<(String, String)>),
    /// The message for people.
    LocalizedMessage {
        /// Its language, such as `en-US`.
        locale: String,
        /// The message.
        message: String,
    },
    /// For the developers of the server.
    DebugInfo {
        /// Where it happened.
        stack: Vec<String>,
        /// More.
        detail: String,
    },
    /// A message that this library does not know or that does not decode, as it came.
    Unknown {
        /// Its type, such as `type.googleapis.com/example.Message`.
        type_url: String,
        /// Its bytes.
        value: Bytes,
    },
}

/// What is wrong with a field of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldViolation {
    /// The field, as a path.
    pub field: String,
    /// What is wrong, for people.
    pub description: String,
    /// What is wrong, as a constant; often empty.
    pub reason: String,
}

/// A limit that was passed, or a condition that is not met.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The kind of condition; empty for limits.
    pub kind: String,
    /// What it applies to.
    pub subject: String,
    /// What is the matter, for people.
    pub description: String,
}

impl Detail {
    /// The details of a status in binary form, as it travels beside the code. What cannot be understood is no
    /// reason to lose the status, so bytes that do not decode are no details.
    pub(crate) fn of_status(bytes: &[u8]) -> Vec<Self> {
        let status = wire::Status::decode(bytes).unwrap_or_default();
        status.details.into_iter().map(Self::from).collect()
    }

    fn decode(any: &Any) -> Option<Self> {
        let value = any.value.as_slice();
        // Everything before the last slash says where to look the type up, and nobody does.
        let name = any.type_url.rsplit('/').next()?.strip_prefix("google.rpc.")?;
        Some(match name {
            "BadRequest" => wire::BadRequest::decode(value).ok()?.into(),
            "ErrorInfo" => wire::ErrorInfo::decode(value).ok()?.into(),
            "RetryInfo" => wire::RetryInfo::decode(value).ok()?.into(),
            "QuotaFailure" => wire::QuotaFailure::decode(value).ok()?.into(),
            "PreconditionFailure" => wire::PreconditionFailure::decode(value).ok()?.into(),
            "RequestInfo" => wire::RequestInfo::decode(value).ok()?.into(),
            "ResourceInfo" => wire::ResourceInfo::decode(value).ok()?.into(),
            "Help" => wire::Help::decode(value).ok()?.into(),
            "LocalizedMessage" => wire::LocalizedMessage::decode(value).ok()?.into(),
            "DebugInfo" => wire::DebugInfo::decode(value).ok()?.into(),
            _ => return None,
        })
    }
}

impl From<Any> for Detail {
    fn from(any: Any) -> Self {
        Self::decode(&any).unwrap_or_else(|| Self::Unknown {
            type_url: any.type_url,
            value: any.value.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(name: &str, value: Vec<u8>) -> Any {
        Any {
            type_url: format!("type.googleapis.com/{name}"),
            value,
        }
    }

    /// A field of length-delimited contents.
    fn field(number: u8, contents: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2, u8::try_from(contents.len()).expect("short")];
        bytes.extend_from_slice(contents);
        bytes
    }

    // The bytes are made by hand from the numbers in the public error_details.proto.
    #[test]
    fn known_messages_are_decoded() {
        let violation = [field(1, b"mode"), field(2, b"unknown"), field(3, b"ENUM")].concat();
        let entry = [field(1, b"zone"), field(2, b"a")].concat();
        let condition = [field(1, b"TOS"), field(2, b"us"), field(3, b"not signed")].concat();
        let link = [field(1, b"docs"), field(2, b"https://example.org")].concat();
        let cases = [
            (
                "BadRequest",
                field(1, &violation),
                Detail::BadRequest(vec![FieldViolation {
                    field: "mode".into(),
                    description: "unknown".into(),
                    reason: "ENUM".into(),
                }]),
            ),
            (
                "ErrorInfo",
                [field(1, b"LIMITED"), field(2, b"omni"), field(3, &entry)].concat(),
                Detail::ErrorInfo {
                    reason: "LIMITED".into(),
                    domain: "omni".into(),
                    metadata: BTreeMap::from([("zone".into(), "a".into())]),
                },
            ),
            (
                "RetryInfo",
                field(1, &[0x08, 2, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01]),
                Detail::RetryInfo {
                    delay: Some(Duration::from_millis(2500)),
                },
            ),
            ("RetryInfo", Vec::new(), Detail::RetryInfo { delay: None }),
            (
                "QuotaFailure",
                field(1, &[field(1, b"calls"), field(2, b"too many")].concat()),
                Detail::QuotaFailure(vec![Violation {
                    kind: String::new(),
                    subject: "calls".into(),
                    description: "too many".into(),
                }]),
            ),
            (
                "PreconditionFailure",
                field(1, &condition),
                Detail::PreconditionFailure(vec![Violation {
                    kind: "TOS".into(),
                    subject: "us".into(),
                    description: "not signed".into(),
                }]),
            ),
            (
                "RequestInfo",
                field(1, b"42"),
                Detail::RequestInfo {
                    request_id: "42".into(),
                    serving_data: String::new(),
                },
            ),
            (
                "ResourceInfo",
                [
                    field(1, b"image"),
                    field(2, b"pause"),
                    field(3, b"me"),
                    field(4, b"gone"),
                ]
                .concat(),
                Detail::ResourceInfo {
                    resource_type: "image".into(),
                    resource_name: "pause".into(),
                    owner: "me".into(),
                    description: "gone".into(),
                },
            ),
            (
                "Help",
                field(1, &link),
                Detail::Help(vec![("docs".into(), "https://example.org".into())]),
            ),
            (
                "LocalizedMessage",
                [field(1, b"de"), field(2, b"nein")].concat(),
                Detail::LocalizedMessage {
                    locale: "de".into(),
                    message: "nein".into(),
                },
            ),
            (
                "DebugInfo",
                [field(1, b"main.go:1"), field(2, b"panic")].concat(),
                Detail::DebugInfo {
                    stack: vec!["main.go:1".into()],
                    detail: "panic".into(),
                },
            ),
        ];
        for (name, bytes, expected) in cases {
            assert_eq!(Detail::from(any(&format!("google.rpc.{name}"), bytes)), expected);
        }
    }

    #[test]
    fn what_is_not_understood_is_kept() {
        for (name, bytes) in [
            ("example.Message", vec![1, 2, 3]),
            ("google.rpc.Something", vec![]),
            // Cut off in the middle.
            ("google.rpc.BadRequest", vec![0x0a, 0x7f, 0x00]),
        ] {
            let detail = Detail::from(any(name, bytes.clone()));
            let expected = Detail::Unknown {
                type_url: format!("type.googleapis.com/{name}"),
                value: bytes.into(),
            };
            assert_eq!(detail, expected);
        }
        assert_eq!(Detail::of_status(b"\xff\xff\xff"), []);
        assert_eq!(Detail::of_status(b""), []);
    }

    #[test]
    fn a_delay_before_now_is_none() {
        let negative = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        let detail = Detail::from(any("google.rpc.RetryInfo", field(1, &negative)));
        assert_eq!(detail, Detail::RetryInfo { delay: None });
    }
}
