//! Replies that wrap one message per node.

use talos_proto::{common::Metadata, machine};

use super::CallInfo;
use crate::error::{Code, Error, Origin, Result};

/// A reply with a message for each node that answered. One node was asked, so there is exactly one.
pub(crate) trait Reply {
    type Message;

    fn into_messages(self) -> Vec<Self::Message>;

    fn metadata(message: &Self::Message) -> Option<&Metadata>;
}

macro_rules! replies {
    ($($reply:ident => $message:ident),+ $(,)?) => {$(
        impl Reply for machine::$reply {
            type Message = machine::$message;

            fn into_messages(self) -> Vec<Self::Message> {
                self.messages
            }

            fn metadata(message: &Self::Message) -> Option<&Metadata> {
                message.metadata.as_ref()
            }
        }
    )+};
}

replies! {
    HostnameResponse => Hostname,
    LoadAvgResponse => LoadAvg,
    MemoryResponse => Memory,
    ServiceListResponse => ServiceList,
    VersionResponse => Version,
}

/// The one message of a reply, or the error that stands in its place.
pub(crate) fn single<R: Reply>((reply, call): (R, CallInfo)) -> Result<R::Message> {
    let mut messages = reply.into_messages().into_iter();
    match (messages.next(), messages.next()) {
        (Some(message), None) => match call.node_error(R::metadata(&message)) {
            Some(error) => Err(error),
            None => Ok(message),
        },
        (None, _) => Err(call.malformed("the reply has no message")),
        (Some(_), Some(_)) => {
            Err(call.malformed("the reply has more than one message, but one node was asked"))
        }
    }
}

impl CallInfo {
    /// The error that a node put into a message of an otherwise successful call, if any.
    ///
    /// Talos does so where one call was answered by several nodes, and nodes older than v1.14 in some byte
    /// streams. Deprecated upstream, but silence would turn a dead node into an empty answer.
    #[expect(deprecated, reason = "nodes send it until Talos 2.0")]
    pub(crate) fn node_error(&self, metadata: Option<&Metadata>) -> Option<Error> {
        let metadata = metadata.filter(|metadata| !metadata.error.is_empty() || metadata.status.is_some())?;
        let (code, message) = match &metadata.status {
            Some(status) => (Code::from_wire(status.code), status.message.as_str()),
            None => (Code::Unknown, metadata.error.as_str()),
        };
        if code == Code::Ok {
            return None;
        }
        let mut error = self
            .error(code.kind(), Origin::of_status(code, message))
            .with_code(code)
            .with_message(message);
        if let Ok(node) = metadata.hostname.parse() {
            error = error.with_node(Some(node));
        }
        Some(error)
    }
}

#[cfg(test)]
#[expect(deprecated, reason = "the metadata under test is, until Talos 2.0")]
mod tests {
    use talos_proto::{google::rpc::Status, methods::machine::machine_service::HOSTNAME};

    use super::*;
    use crate::ErrorKind;

    fn reply(messages: Vec<machine::Hostname>) -> Result<machine::Hostname> {
        single((
            machine::HostnameResponse { messages },
            CallInfo::for_tests(&HOSTNAME),
        ))
    }

    fn failed(error: &str, status: Option<Status>) -> machine::Hostname {
        let metadata = Metadata {
            hostname: "10.5.0.9".to_owned(),
            error: error.to_owned(),
            status,
        };
        machine::Hostname {
            metadata: Some(metadata),
            hostname: String::new(),
        }
    }

    #[test]
    fn exactly_one_message_is_an_answer() {
        let message = machine::Hostname {
            metadata: None,
            hostname: "cp-1".to_owned(),
        };
        assert_eq!(reply(vec![message.clone()]).expect("one").hostname, "cp-1");
        for messages in [vec![], vec![message.clone(), message]] {
            assert_eq!(reply(messages).expect_err("not one").kind(), ErrorKind::Malformed);
        }
    }

    #[test]
    fn a_node_error_inside_the_reply_is_an_error_with_the_nodes_name() {
        let text = "connection error: desc = \"transport: Error while dialing\"";
        let status = Status {
            code: 14,
            message: text.to_owned(),
            details: Vec::new(),
        };
        let error = reply(vec![failed("rpc error: …", Some(status))]).expect_err("the node is dead");
        assert_eq!(
            (error.kind(), error.origin()),
            (ErrorKind::Unavailable, Origin::Endpoint)
        );
        assert_eq!(
            (error.message(), error.code()),
            (Some(text), Some(Code::Unavailable))
        );
        assert_eq!(error.node().map(|node| node.as_str()), Some("10.5.0.9"));
        assert_eq!(error.method(), Some("/machine.MachineService/Hostname"));

        let error = reply(vec![failed("no status, only words", None)]).expect_err("words");
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::Unknown, Some("no status, only words"))
        );
    }
}
