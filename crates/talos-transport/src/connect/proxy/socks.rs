//! SOCKS version 5 (RFC 1928), without authentication or with user and password (RFC 1929).

use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

use super::ProxyFailure;
use super::credentials::Credentials;
use crate::Endpoint;

/// Asks the proxy at the other end of `io` to connect to the endpoint. Names are left for the proxy to resolve.
///
/// Reads no more than the proxy's answer, so that what follows comes from the endpoint.
pub(super) async fn connect(
    io: &mut (impl AsyncRead + AsyncWrite + Unpin),
    endpoint: &Endpoint,
    credentials: Option<&Credentials>,
) -> Result<(), ProxyFailure> {
    let methods: &[u8] = match credentials {
        None => &[VERSION, 1, NO_AUTHENTICATION],
        Some(_) => &[VERSION, 2, NO_AUTHENTICATION, PASSWORD],
    };
    send(io, methods).await?;
    let [version, method] = receive(io).await?;
    check(version == VERSION)?;
    match (method, credentials) {
        (NO_AUTHENTICATION, _) => {}
        (PASSWORD, Some(credentials)) => authenticate(io, credentials).await?,
        (NO_METHOD, _) => return Err(unwelcome(credentials)),
        _ => return Err(NOT_SOCKS),
    }
    send(io, &request(endpoint)).await?;
    // A proxy that refuses may leave out what follows these two.
    let [version, reply] = receive(io).await?;
    check(version == VERSION)?;
    if reply != 0 {
        return Err(ProxyFailure::Socks(reply.into()));
    }
    let [_reserved, kind] = receive(io).await?;
    let address_length = match kind {
        ADDRESS_V4 => 4,
        ADDRESS_V6 => 16,
        ADDRESS_NAME => usize::from(receive::<1>(io).await?[0]),
        _ => return Err(NOT_SOCKS),
    };
    // The address the proxy connects from, which nobody needs.
    let mut bound = [0; LONGEST_ADDRESS + 2];
    io.read_exact(&mut bound[..address_length + 2])
        .await
        .map_err(ProxyFailure::from_io)?;
    Ok(())
}

async fn authenticate(
    io: &mut (impl AsyncRead + AsyncWrite + Unpin),
    credentials: &Credentials,
) -> Result<(), ProxyFailure> {
    let (user, password) = (&credentials.user, &credentials.password);
    let length = |text: &[u8]| u8::try_from(text.len()).expect("checked where the proxy's URL is read");
    let message = Zeroizing::new(
        [
            [PASSWORD_VERSION, length(user)].as_slice(),
            user,
            &[length(password)],
            password,
        ]
        .concat(),
    );
    send(io, &message).await?;
    let [version, status] = receive(io).await?;
    check(version == PASSWORD_VERSION)?;
    if status != 0 {
        return Err(unwelcome(Some(credentials)));
    }
    Ok(())
}

fn request(endpoint: &Endpoint) -> Vec<u8> {
    let mut request = vec![VERSION, CONNECT, 0];
    match endpoint.ip() {
        Some(IpAddr::V4(address)) => {
            request.push(ADDRESS_V4);
            request.extend(address.octets());
        }
        Some(IpAddr::V6(address)) => {
            request.push(ADDRESS_V6);
            request.extend(address.octets());
        }
        None => {
            let name = endpoint.host().unwrap_or_default();
            request.push(ADDRESS_NAME);
            request.push(u8::try_from(name.len()).expect("DNS names have at most 253 characters"));
            request.extend(name.bytes());
        }
    }
    request.extend(endpoint.port().unwrap_or_default().to_be_bytes());
    request
}

async fn send(io: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> Result<(), ProxyFailure> {
    io.write_all(message).await.map_err(ProxyFailure::from_io)?;
    io.flush().await.map_err(ProxyFailure::from_io)
}

async fn receive<const N: usize>(io: &mut (impl AsyncRead + Unpin)) -> Result<[u8; N], ProxyFailure> {
    let mut bytes = [0; N];
    io.read_exact(&mut bytes).await.map_err(ProxyFailure::from_io)?;
    Ok(bytes)
}

fn check(understood: bool) -> Result<(), ProxyFailure> {
    if understood { Ok(()) } else { Err(NOT_SOCKS) }
}

fn unwelcome(credentials: Option<&Credentials>) -> ProxyFailure {
    ProxyFailure::Authentication {
        credentials_sent: credentials.is_some(),
        offered: Vec::new(),
    }
}

const NOT_SOCKS: ProxyFailure = ProxyFailure::Protocol {
    protocol: "SOCKS5",
    answer: None,
};
const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;
const PASSWORD_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const ADDRESS_V4: u8 = 1;
const ADDRESS_NAME: u8 = 3;
const ADDRESS_V6: u8 = 4;
const LONGEST_ADDRESS: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_carry_addresses_as_bytes_and_names_as_they_are() {
        for (endpoint, expected) in [
            (
                "10.5.0.2",
                [[5, 1, 0, 1, 10, 5, 0, 2].as_slice(), &[0xc3, 0x50]].concat(),
            ),
            (
                "[fd00::1%eth0]:443",
                [[5, 1, 0, 4, 0xfd].as_slice(), &[0; 14], &[1, 1, 0xbb]].concat(),
            ),
            (
                "cp.example.org:1",
                [[5, 1, 0, 3, 14].as_slice(), b"cp.example.org", &[0, 1]].concat(),
            ),
        ] {
            assert_eq!(request(&endpoint.parse().unwrap()), expected, "{endpoint}");
        }
    }

    /// Lets a proxy say all of this at once. Returns what we sent, and what we left unread.
    async fn exchange(
        answer: &[u8],
        credentials: Option<&Credentials>,
    ) -> (Result<(), ProxyFailure>, Vec<u8>, Vec<u8>) {
        let (mut near, mut far) = tokio::io::duplex(4096);
        far.write_all(answer).await.unwrap();
        far.shutdown().await.unwrap();
        let result = connect(&mut near, &"cp:1".parse().unwrap(), credentials).await;
        let mut unread = Vec::new();
        near.read_to_end(&mut unread).await.unwrap();
        drop(near);
        let mut sent = Vec::new();
        far.read_to_end(&mut sent).await.unwrap();
        (result, sent, unread)
    }

    #[tokio::test]
    async fn reads_the_answer_and_not_a_byte_more() {
        let request = [5, 1, 0, 3, 2, b'c', b'p', 0, 1];
        for bound in [
            vec![1, 0, 0, 0, 0, 0, 0],
            [vec![4], vec![0; 18]].concat(),
            vec![3, 3, b'a', b'b', b'c', 0, 0],
        ] {
            let answer = [[5, 0, 5, 0, 0].as_slice(), &bound, b"early"].concat();
            let (result, sent, unread) = exchange(&answer, None).await;
            result.unwrap_or_else(|error| panic!("{bound:?}: {error}"));
            assert_eq!(unread, b"early", "{bound:?}");
            assert_eq!(sent, [[5, 1, 0].as_slice(), &request].concat());
        }
        let credentials = Credentials::new(b"me", b"pass");
        let answer = [5, 2, 1, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let (result, sent, _) = exchange(&answer, Some(&credentials)).await;
        result.expect("let in");
        let login = [1, 2, b'm', b'e', 4, b'p', b'a', b's', b's'];
        assert_eq!(sent, [[5, 2, 0, 2].as_slice(), &login, &request].concat());
    }

    #[tokio::test]
    async fn every_refusal_is_told_apart() {
        let credentials = Credentials::new(b"SECRET-user", b"SECRET");
        let none = None;
        let some = Some(&credentials);
        for (answer, credentials, expected) in [
            (b"".as_slice(), none, "closed the connection"),
            (&[5], none, "closed the connection"),
            (&[5, 0, 5], none, "closed the connection"),
            (&[5, 0, 5, 0, 0, 1, 0], none, "closed the connection"),
            (b"HTTP/1.1 400 Bad Request", none, "no SOCKS5 proxy"),
            (&[4, 90], none, "no SOCKS5 proxy"),
            (&[5, 1], none, "no SOCKS5 proxy"),
            (&[5, 2], none, "no SOCKS5 proxy"),
            (&[5, 0, 4, 0], none, "no SOCKS5 proxy"),
            (&[5, 0, 5, 0, 0, 9], none, "no SOCKS5 proxy"),
            (&[5, 2, 9, 0], some, "no SOCKS5 proxy"),
            (&[5, 0xff], none, "asks for user and password"),
            (&[5, 0xff], some, "does not accept the user"),
            (&[5, 2, 1, 1], some, "does not accept the user"),
            (&[5, 0, 5, 2], some, "rules do not allow"),
            (&[5, 0, 5, 4, 0, 1], none, "unreachable"),
            (&[5, 0, 5, 5], none, "refused the connection"),
            (&[5, 0, 5, 99], none, "SOCKS reply 99"),
        ] {
            let (result, ..) = exchange(answer, credentials).await;
            let error = result.expect_err(expected);
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(expected), "{answer:?}: {shown}");
            assert!(!shown.contains("SECRET"), "{shown}");
        }
    }
}
