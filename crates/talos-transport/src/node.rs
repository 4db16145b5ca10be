//! Which machine a call is meant for: [`NodeName`] and the request extension [`Node`].

use std::fmt;
use std::str::FromStr;

use http::HeaderValue;

use crate::endpoint::shown;
use crate::host::{Host, HostError};

/// The name or address of a machine as it stands in the `node` metadata of a call.
///
/// The endpoint resolves names and dials port 50000 of the result, so a node name has **no port**. IPv6 addresses
/// are accepted with and without brackets and kept bare, in canonical form; names are kept as given.
///
/// ```
/// use talos_transport::NodeName;
///
/// let node: NodeName = "[fd00:0::1]".parse()?;
/// assert_eq!(node.as_str(), "fd00::1");
/// assert!("10.5.0.3:50000".parse::<NodeName>().is_err());
/// # Ok::<(), talos_transport::NodeNameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeName(Host);

/// Request extension: the machine whose answer the caller wants.
///
/// The channel turns it into exactly one `node` metadata value and removes `nodes`, which would otherwise win.
///
/// ```
/// use talos_transport::{Node, NodeName};
///
/// let mut request = tonic::Request::new(());
/// request.extensions_mut().insert(Node("10.5.0.3".parse::<NodeName>()?));
/// # Ok::<(), talos_transport::NodeNameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node(pub NodeName);

/// Why a text is not a [`NodeName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeNameError {
    /// The text is empty.
    #[error("node name is empty")]
    Empty,
    /// The text is `host:port`; the endpoint always dials port 50000 of a node.
    #[error("node {input:?} must not have a port; the endpoint dials port 50000 of {host:?} by itself")]
    Port {
        /// The rejected text.
        input: String,
        /// What stands before the port.
        host: String,
    },
    /// The text contains white space, a control character, a character outside ASCII or one that has no place in
    /// a host, such as the slashes of a URL.
    #[error("node {input:?} contains the illegal character {character:?}")]
    IllegalCharacter {
        /// The rejected text.
        input: String,
        /// The first illegal character.
        character: char,
    },
    /// The text is neither an address nor a name, for instance `10.5.0.300` or `fd00:::1`.
    #[error("node {input:?} is neither an IP address nor a host name")]
    Invalid {
        /// The rejected text.
        input: String,
    },
}

impl NodeName {
    /// The name as it is sent.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(crate) fn to_header_value(&self) -> HeaderValue {
        HeaderValue::from_str(self.as_str()).expect("hosts consist of visible ASCII characters")
    }
}

impl FromStr for NodeName {
    type Err = NodeNameError;

    fn from_str(input: &str) -> Result<Self, Self::Err> {
        if let Some(host) = host_before_port(input) {
            return Err(NodeNameError::Port {
                input: shown(input),
                host: shown(host),
            });
        }
        Host::parse(input).map(Self).map_err(|error| match error {
            HostError::Empty => NodeNameError::Empty,
            HostError::IllegalCharacter(character) => NodeNameError::IllegalCharacter {
                input: shown(input),
                character,
            },
            HostError::Ipv4 | HostError::Ipv6 | HostError::Zone | HostError::Name => {
                NodeNameError::Invalid { input: shown(input) }
            }
        })
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeName({self})")
    }
}

impl AsRef<str> for NodeName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

/// The host of a `host:port` or `[v6]:port`, if the text is one.
fn host_before_port(input: &str) -> Option<&str> {
    let (host, port) = input.rsplit_once(':')?;
    let port_like = port.bytes().all(|b| b.is_ascii_digit());
    let host_like = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
    (port_like && host_like).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<NodeName, NodeNameError> {
        text.parse()
    }

    #[test]
    fn accepts_addresses_and_names_and_keeps_them_bare() {
        for (input, sent) in [
            ("10.5.0.3", "10.5.0.3"),
            ("fd00::1", "fd00::1"),
            ("[FD00:0::1]", "fd00::1"),
            ("fe80::1%eth0", "fe80::1%eth0"),
            ("worker-1", "worker-1"),
            ("Worker_1.example.org", "Worker_1.example.org"),
        ] {
            let node = parse(input).unwrap_or_else(|error| panic!("{input}: {error}"));
            assert_eq!(node.as_str(), sent);
            assert_eq!(node.to_header_value(), sent);
            let printed = format!("{node}");
            assert_eq!(parse(&printed).as_ref(), Ok(&node));
        }
    }

    #[test]
    fn refuses_what_an_endpoint_would_refuse() {
        use NodeNameError as E;
        let own = |text: &str| text.to_owned();
        for (input, error) in [
            ("", E::Empty),
            ("[]", E::Empty),
            (
                "10.5.0.3:50000",
                E::Port {
                    input: own("10.5.0.3:50000"),
                    host: own("10.5.0.3"),
                },
            ),
            (
                "[fd00::1]:50000",
                E::Port {
                    input: own("[fd00::1]:50000"),
                    host: own("[fd00::1]"),
                },
            ),
            (
                "worker:",
                E::Port {
                    input: own("worker:"),
                    host: own("worker"),
                },
            ),
            (
                "https://worker",
                E::IllegalCharacter {
                    input: own("https://worker"),
                    character: '/',
                },
            ),
            (
                "10.5.0.2,10.5.0.3",
                E::IllegalCharacter {
                    input: own("10.5.0.2,10.5.0.3"),
                    character: ',',
                },
            ),
            (
                "wörker",
                E::IllegalCharacter {
                    input: own("wörker"),
                    character: 'ö',
                },
            ),
            (
                "worker 1",
                E::IllegalCharacter {
                    input: own("worker 1"),
                    character: ' ',
                },
            ),
            (
                "10.5.0.300",
                E::Invalid {
                    input: own("10.5.0.300"),
                },
            ),
            (
                "fd00:::1",
                E::Invalid {
                    input: own("fd00:::1"),
                },
            ),
            (
                "[fd00::1",
                E::Invalid {
                    input: own("[fd00::1"),
                },
            ),
            (
                "-worker",
                E::Invalid {
                    input: own("-worker"),
                },
            ),
        ] {
            assert_eq!(parse(input), Err(error), "{input}");
        }
    }
}
