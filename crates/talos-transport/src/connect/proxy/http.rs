//! `CONNECT` of HTTP/1.1.
//!
//! Written out here because the tunnel of `hyper-util` drops what arrives together with the proxy's answer, and tells a
//! refusal only as "unsuccessful", without status and reason.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

use super::ProxyFailure;
use super::credentials::Credentials;

/// Asks the proxy at the other end of `io` to connect to `target`, which is `host:port`.
///
/// Returns what came after the proxy's answer, and so from the target.
pub(super) async fn connect(
    io: &mut (impl AsyncRead + AsyncWrite + Unpin),
    target: &str,
    user_agent: &str,
    credentials: Option<&Credentials>,
) -> Result<Bytes, ProxyFailure> {
    let request = request(target, user_agent, credentials);
    io.write_all(&request).await.map_err(ProxyFailure::from_io)?;
    io.flush().await.map_err(ProxyFailure::from_io)?;
    let mut received = BytesMut::with_capacity(READ_SIZE);
    let head = read_head(io, &mut received).await?;
    judge(&head, credentials.is_some())?;
    Ok(received.freeze())
}

fn request(target: &str, user_agent: &str, credentials: Option<&Credentials>) -> Zeroizing<Vec<u8>> {
    let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {user_agent}\r\n");
    let Some(credentials) = credentials else {
        return Zeroizing::new(format!("{head}\r\n").into_bytes());
    };
    let plain = Zeroizing::new([&*credentials.user, b":".as_slice(), &*credentials.password].concat());
    let encoded = Zeroizing::new(STANDARD.encode(&*plain));
    let authorization = [
        head.as_bytes(),
        b"Proxy-Authorization: Basic ",
        encoded.as_bytes(),
        b"\r\n\r\n",
    ];
    Zeroizing::new(authorization.concat())
}

/// Reads up to and including the empty line; what is behind it stays in `received`.
async fn read_head(
    io: &mut (impl AsyncRead + Unpin),
    received: &mut BytesMut,
) -> Result<BytesMut, ProxyFailure> {
    let mut searched = 0;
    loop {
        received.reserve(READ_SIZE);
        let length = io.read_buf(received).await.map_err(ProxyFailure::from_io)?;
        if length == 0 {
            return Err(ProxyFailure::Closed);
        }
        let begins = received.len().min(VERSION.len());
        if received[..begins] != VERSION[..begins] {
            return Err(not_http(received));
        }
        if let Some(end) = end_of_head(received, searched) {
            return if end <= HEAD_LIMIT {
                Ok(received.split_to(end))
            } else {
                Err(ProxyFailure::AnswerTooLong { limit: HEAD_LIMIT })
            };
        }
        if received.len() >= HEAD_LIMIT {
            return Err(ProxyFailure::AnswerTooLong { limit: HEAD_LIMIT });
        }
        searched = received.len();
    }
}

/// Where the empty line ends, if it is there. Line feeds alone count as line ends, as RFC 9112 allows.
fn end_of_head(received: &[u8], searched: usize) -> Option<usize> {
    let from = searched.saturating_sub(EMPTY_LINE.len());
    let feeds = (from..received.len()).filter(|at| received[*at] == b'\n');
    for at in feeds {
        match &received[at + 1..] {
            [b'\n', ..] => return Some(at + 2),
            [b'\r', b'\n', ..] => return Some(at + 3),
            _ => {}
        }
    }
    None
}

/// What the head of the answer means.
fn judge(head: &[u8], credentials_sent: bool) -> Result<(), ProxyFailure> {
    let mut lines = head.split(|b| *b == b'\n').map(<[u8]>::trim_ascii_end);
    let (status, reason) = lines.next().and_then(status_line).ok_or_else(|| not_http(head))?;
    match status {
        200 => Ok(()),
        407 => Err(ProxyFailure::Authentication {
            credentials_sent,
            offered: lines.filter_map(offered_scheme).take(OFFERS_SHOWN).collect(),
        }),
        status => Err(ProxyFailure::Status {
            status,
            reason: printable(reason),
        }),
    }
}

/// Status and reason of `HTTP/1.x 200 reason`.
fn status_line(line: &[u8]) -> Option<(u16, &[u8])> {
    let rest = line.strip_prefix(VERSION)?;
    let (minor, rest) = rest.split_first()?;
    let rest = rest.strip_prefix(b" ")?;
    let (digits, reason) = rest.split_at_checked(3)?;
    let legal = matches!(minor, b'0' | b'1')
        && digits.iter().all(u8::is_ascii_digit)
        && matches!(reason, [] | [b' ', ..]);
    let status = std::str::from_utf8(digits).ok()?.parse().ok()?;
    legal.then(|| (status, reason.trim_ascii()))
}

/// The scheme of a `Proxy-Authenticate` header.
fn offered_scheme(line: &[u8]) -> Option<String> {
    let colon = line.iter().position(|b| *b == b':')?;
    let (name, value) = line.split_at(colon);
    if !name.eq_ignore_ascii_case(b"proxy-authenticate") {
        return None;
    }
    let value = value[1..].trim_ascii();
    let scheme = value.split(|b| matches!(b, b' ' | b',')).next()?;
    Some(printable(scheme)).filter(|scheme| !scheme.is_empty())
}

fn not_http(received: &[u8]) -> ProxyFailure {
    let line = received.split(|b| matches!(b, b'\r' | b'\n')).next();
    let text = line.filter(|line| line.iter().all(|b| b.is_ascii_graphic() || *b == b' '));
    ProxyFailure::Protocol {
        protocol: "HTTP",
        answer: text.map(printable).filter(|text| !text.is_empty()),
    }
}

/// The part of a text that can be shown on any terminal, shortened.
fn printable(text: &[u8]) -> String {
    let visible = text.iter().filter(|b| b.is_ascii_graphic() || **b == b' ');
    visible.take(TEXT_SHOWN).map(|b| char::from(*b)).collect()
}

/// How an answer of HTTP/1.x begins.
const VERSION: &[u8] = b"HTTP/1.";
const EMPTY_LINE: &[u8] = b"\n\r\n";
/// How long the head of an answer may be, in bytes.
const HEAD_LIMIT: usize = 16 * 1024;
/// How much is read at a time, at least.
const READ_SIZE: usize = 1024;
/// How much of the proxy's own words goes into an error, in bytes.
const TEXT_SHOWN: usize = 80;
/// How many authentication schemes go into an error.
const OFFERS_SHOWN: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// Lets a proxy answer with these bytes, in pieces of this size. Returns what we sent as well.
    async fn exchange(answer: &[u8], piece: usize) -> (Result<Bytes, ProxyFailure>, Vec<u8>) {
        let (mut near, far) = tokio::io::duplex(piece.max(1));
        let (mut reader, mut writer) = tokio::io::split(far);
        let answering = async {
            // A reader that gave up early is fine.
            let _ = writer.write_all(answer).await;
            let _ = writer.shutdown().await;
        };
        let mut sent = Vec::new();
        let result = tokio::join!(
            async {
                let result = connect(&mut near, "cp.example.org:50000", "agent/1", None).await;
                drop(near);
                result
            },
            answering,
            async { reader.read_to_end(&mut sent).await.unwrap() },
        );
        (result.0, sent)
    }

    #[tokio::test]
    async fn keeps_what_comes_after_the_head_whatever_the_size_of_the_pieces() {
        for head in [
            "HTTP/1.1 200 Connection established\r\n\r\n",
            "HTTP/1.0 200\r\nVia: x\r\n\r\n",
            "HTTP/1.1 200 OK\nContent-Length: 9\n\n",
            "HTTP/1.1 200 \r\nA: b\r\n\n",
        ] {
            for piece in [1, 2, 3, 7, 64, 4096] {
                let answer = format!("{head}early\r\n\r\nbytes");
                let (result, sent) = exchange(answer.as_bytes(), piece).await;
                let rest = result.unwrap_or_else(|error| panic!("{head:?} in {piece}: {error:?}"));
                assert!(
                    b"early\r\n\r\nbytes".starts_with(&rest),
                    "{head:?} in {piece}: {rest:?}"
                );
                assert!(piece < 64 || rest.len() == 14, "{head:?} in {piece}: {rest:?}");
                let expected = "CONNECT cp.example.org:50000 HTTP/1.1\r\nHost: cp.example.org:50000\r\n\
                                User-Agent: agent/1\r\n\r\n";
                assert_eq!(String::from_utf8(sent).unwrap(), expected);
            }
        }
    }

    #[test]
    fn credentials_are_basic_authorization() {
        let credentials = Credentials::new(b"Aladdin", b"open sesame");
        let request = request("h:1", "a", Some(&credentials));
        // The example of RFC 7617.
        let expected = "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nUser-Agent: a\r\n\
                        Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n";
        assert_eq!(std::str::from_utf8(&request).unwrap(), expected);
    }

    #[test]
    fn tells_answers_apart() {
        let shown = |head: &str| judge(head.as_bytes(), false).map_err(|failure| failure.to_string());
        assert_eq!(shown("HTTP/1.1 200 OK\r\n\r\n"), Ok(()));
        for (head, expected) in [
            (
                "HTTP/1.1 201 Created\r\n\r\n",
                "201 Created, which is not the 200",
            ),
            (
                "HTTP/1.0 403 Forbidden\r\n\r\n",
                "403 Forbidden; it may have to allow CONNECT",
            ),
            ("HTTP/1.1 405\r\n\r\n", "405; it may be a web server"),
            (
                "HTTP/1.1 502 Bad Gateway\r\n\r\n",
                "502 Bad Gateway; it cannot reach the endpoint",
            ),
            ("HTTP/1.1 418 \x1b[31mred\x07\r\n\r\n", "418 [31mred"),
            ("HTTP/1.1 100 Continue\r\n\r\n", "100 Continue"),
            (
                "HTTP/1.1 2000 OK\r\n\r\n",
                "no HTTP proxy; it answered \"HTTP/1.1 2000 OK\"",
            ),
            ("HTTP/1.1 20x OK\r\n\r\n", "no HTTP proxy"),
            ("HTTP/1.1 20\r\n\r\n", "no HTTP proxy"),
            ("HTTP/1.2 200 OK\r\n\r\n", "no HTTP proxy"),
            ("HTTP/1.1200 OK\r\n\r\n", "no HTTP proxy"),
        ] {
            let error = shown(head).expect_err(head);
            assert!(error.contains(expected), "{head:?}: {error}");
        }
        let long = format!("HTTP/1.1 500 {}\r\n\r\n", "x".repeat(500));
        assert!(shown(&long).expect_err("refused").len() < 200);
    }

    #[test]
    fn a_proxy_that_wants_credentials_is_told_by_what_it_got() {
        let head = "HTTP/1.1 407 Auth\r\nproxy-authenticate: Basic realm=\"x\"\r\nVia: y\r\n\r\n";
        let failure = judge(head.as_bytes(), false).unwrap_err();
        assert!(
            failure
                .to_string()
                .starts_with("the proxy asks for user and password"),
            "{failure}"
        );
        let failure = judge(head.as_bytes(), true).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "the proxy does not accept the user and password of its URL"
        );
        let head = "HTTP/1.1 407 Auth\r\nProxy-Authenticate:Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n";
        let failure = judge(head.as_bytes(), true).unwrap_err();
        let ProxyFailure::Authentication { offered, .. } = &failure else {
            panic!("{failure:?}")
        };
        assert_eq!(offered, &["Negotiate", "NTLM"]);
        assert!(
            failure
                .to_string()
                .ends_with("only Negotiate, NTLM, and this client only Basic"),
            "{failure}"
        );
    }

    #[tokio::test]
    async fn gives_up_on_what_is_no_answer() {
        for (answer, expected) in [
            (b"".to_vec(), "closed the connection"),
            (b"HTTP/1.1 200 OK\r\nVia".to_vec(), "closed the connection"),
            (
                b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
                "no HTTP proxy; it answered \"SSH-2.0-OpenSSH_9.6\"",
            ),
            (vec![5, 0], "no HTTP proxy"),
            (b"HTTP/2 200\r\n\r\n".to_vec(), "no HTTP proxy"),
            (
                [b"HTTP/1.1 200 OK\r\n".as_slice(), &b"A: b\r\n".repeat(10_000)].concat(),
                "longer than 16384 bytes",
            ),
            (
                [
                    b"HTTP/1.1 200 OK\r\nA: ".as_slice(),
                    &b"b".repeat(HEAD_LIMIT),
                    b"\r\n\r\n",
                ]
                .concat(),
                "longer than 16384 bytes",
            ),
        ] {
            for piece in [1, 5, 100_000] {
                let (result, _) = exchange(&answer, piece).await;
                let error = result.expect_err(expected).to_string();
                // In small pieces the first one may not hold the whole line.
                let expected = if piece < 100_000 {
                    expected.split(';').next().unwrap()
                } else {
                    expected
                };
                assert!(error.contains(expected), "{expected}: {error}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_judged(answer: Vec<u8>) {
            let _ = judge(&answer, true);
            let _ = judge(&[b"HTTP/1.1 ".as_slice(), &answer].concat(), true);
        }
    }
}
