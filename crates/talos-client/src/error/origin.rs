//! Who noticed a failure.

use super::Code;

/// Who noticed a failure.
///
/// A status code does not tell: `Unavailable` may mean that this machine reaches no endpoint, or that the
/// endpoint does not reach the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// This machine: configuration, input, connecting, a broken connection, a deadline kept here.
    Local,
    /// The endpoint that was dialled, which could not or would not forward the call to the node.
    Endpoint,
    /// The node that handled the call.
    Node,
}

impl Origin {
    /// Whether a status that came off the wire was made by the endpoint or by the node behind it.
    ///
    /// The wire does not say, so this goes by the texts that apid's director and its gRPC client make
    /// (Talos v1.14, `internal/app/apid/pkg/director/director.go`, `pkg/backend/apid.go`; grpc-go's
    /// transport errors). A text that is not known counts as the node's.
    pub(crate) fn of_status(code: Code, message: &str) -> Self {
        let at_endpoint = match code {
            Code::Unavailable => {
                message.starts_with("connection error:") || message.starts_with("no backend connections")
            }
            Code::PermissionDenied => message == "no request forwarding",
            Code::InvalidArgument => {
                message == "node metadata must be single-valued"
                    || message.starts_with("one-2-many proxying is not supported")
            }
            Code::Internal => message.starts_with("invalid target") || message.starts_with("failed proxying"),
            _ => false,
        };
        if at_endpoint { Self::Endpoint } else { Self::Node }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_routing_layer_are_the_endpoints() {
        let cases = [
            (
                Code::Unavailable,
                r#"connection error: desc = "transport: Error while dialing: dial tcp 10.5.0.9:50000: connect: connection refused""#,
                Origin::Endpoint,
            ),
            (
                Code::Unavailable,
                "no backend connections for proxying",
                Origin::Endpoint,
            ),
            (
                Code::Unavailable,
                "error connecting to containerd: timeout",
                Origin::Node,
            ),
            (Code::PermissionDenied, "no request forwarding", Origin::Endpoint),
            (Code::PermissionDenied, "not authorized", Origin::Node),
            (
                Code::InvalidArgument,
                "node metadata must be single-valued",
                Origin::Endpoint,
            ),
            (
                Code::InvalidArgument,
                "one-2-many proxying is not supported for method /cosi.resource.State/Get",
                Origin::Endpoint,
            ),
            (Code::InvalidArgument, "crt_ttl should be positive", Origin::Node),
            (
                Code::Internal,
                r#"invalid target "10.5.0.2:50000""#,
                Origin::Endpoint,
            ),
            (Code::Internal, "failed proxying s2c: EOF", Origin::Endpoint),
            (Code::Internal, "runtime error: index out of range", Origin::Node),
            (Code::Unknown, "no request forwarding", Origin::Node),
        ];
        for (code, message, expected) in cases {
            assert_eq!(Origin::of_status(code, message), expected, "{code:?} {message}");
        }
    }
}
