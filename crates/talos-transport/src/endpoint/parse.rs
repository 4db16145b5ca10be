//! From text to [`Endpoint`].

use std::str::FromStr;

use super::{Endpoint, EndpointError, Repr};
use crate::host::Host;

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(input: &str) -> Result<Self, Self::Err> {
        if input.is_empty() {
            return Err(EndpointError::Empty);
        }
        if let Some(path) = strip_scheme(input, "unix") {
            return parse_unix(path, input);
        }
        let Some((scheme, rest)) = split_url(input) else {
            return parse_authority(input, input, Self::DEFAULT_PORT, EmptyPort::Refuse);
        };
        let default_port = if scheme.eq_ignore_ascii_case("https") {
            443
        } else {
            Self::DEFAULT_PORT
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        // In a URL the percent sign before a zone is itself percent-encoded.
        let decoded = authority.replacen("%25", "%", 1);
        parse_authority(&decoded, input, default_port, EmptyPort::UseDefault)
    }
}

/// What a colon without digits after it means: `host:` is a mistake, in a URL it is the default port.
#[derive(Clone, Copy, PartialEq)]
enum EmptyPort {
    Refuse,
    UseDefault,
}

fn parse_authority(
    text: &str,
    input: &str,
    default_port: u16,
    empty_port: EmptyPort,
) -> Result<Endpoint, EndpointError> {
    let (host, port) = if text.starts_with('[') {
        let Some(end) = text.find(']') else {
            return Err(EndpointError::Brackets { input: shown(input) });
        };
        match &text[end + 1..] {
            "" => (&text[..=end], None),
            rest => match rest.strip_prefix(':') {
                Some(port) => (&text[..=end], Some(port)),
                None => return Err(EndpointError::Brackets { input: shown(input) }),
            },
        }
    } else {
        match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') => (text, None),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let host = Host::parse(host).map_err(|error| EndpointError::from_host(error, input))?;
    let port = match port {
        None => default_port,
        Some("") if empty_port == EmptyPort::UseDefault => default_port,
        Some(digits) => parse_port(digits).ok_or_else(|| EndpointError::InvalidPort {
            input: shown(input),
            port: shown(digits),
        })?,
    };
    Ok(Endpoint(Repr::Tcp { host, port }))
}

fn parse_port(digits: &str) -> Option<u16> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|port| *port != 0)
}

fn parse_unix(rest: &str, input: &str) -> Result<Endpoint, EndpointError> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    Endpoint::unix(path).map_err(|_| EndpointError::InvalidSocketPath { input: shown(input) })
}

/// Splits `scheme://rest`; anything else, `host:port` included, is not a URL.
fn split_url(input: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = input.split_once("://")?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    valid.then_some((scheme, rest))
}

/// The part after `scheme:/`, slash included, so that a host called `unix` can still have a port.
fn strip_scheme<'a>(input: &'a str, scheme: &str) -> Option<&'a str> {
    let (found, rest) = input.split_once(':')?;
    (found.eq_ignore_ascii_case(scheme) && rest.starts_with('/')).then_some(rest)
}

/// A rejected text as it appears in messages: shortened, and without what may be a password.
pub(crate) fn shown(input: &str) -> String {
    const LIMIT: usize = 128;
    let visible = match input.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            match rest[..end].rfind('@') {
                Some(at) => format!("{scheme}://***{}", &rest[at..]),
                None => input.to_owned(),
            }
        }
        None => match input.rfind('@') {
            Some(at) => format!("***{}", &input[at..]),
            None => input.to_owned(),
        },
    };
    match visible.char_indices().nth(LIMIT) {
        Some((cut, _)) => format!("{}…", &visible[..cut]),
        None => visible,
    }
}
