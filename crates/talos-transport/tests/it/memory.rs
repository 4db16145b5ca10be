//! What depends on time or on the way bytes are cut up: in memory, with a paused clock.

use std::io;
use std::time::Duration;

use talos_transport::connect::{Connect, ConnectReason, ConnectStage};
use talos_transport::{
    CallTimeout, Channel, CloseReason, DEFAULT_CONNECT_TIMEOUT, Delivery, Endpoint, Error,
    FirstResponseTimeout, RetryConfig, ServerVerification, TimeLimit, TlsConfig,
};
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::Instant;
use tonic::Code;

use crate::client::{connect_reason, echo, message, server_streaming, transport_error, unary};
use crate::server::{Memory, Server};

/// Runs this on the other side of each connection.
struct Scripted<F>(F);

impl<F, R> Connect for Scripted<F>
where
    F: Fn(DuplexStream) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    type Io = DuplexStream;

    async fn connect(&self, _endpoint: &Endpoint) -> Result<DuplexStream, ConnectReason> {
        let (ours, theirs) = duplex(64 << 10);
        tokio::spawn((self.0)(theirs));
        Ok(ours)
    }
}

/// Never gets anywhere.
struct BlackHole;

impl Connect for BlackHole {
    type Io = DuplexStream;

    async fn connect(&self, _endpoint: &Endpoint) -> Result<DuplexStream, ConnectReason> {
        std::future::pending().await
    }
}

fn plaintext(connector: impl Connect) -> Channel {
    Channel::builder(["unix:///in/memory".parse().unwrap()])
        .connector(connector)
        .build()
        .unwrap()
}

fn encrypted(connector: impl Connect) -> Channel {
    let tls = TlsConfig::builder(ServerVerification::dangerous().skip())
        .build()
        .unwrap();
    Channel::builder(["10.5.0.2".parse().unwrap()])
        .tls(tls)
        .connector(connector)
        .build()
        .unwrap()
}

fn in_memory() -> (Server, Channel) {
    let (server, memory): (_, Memory) = Server::in_memory();
    (server, plaintext(memory))
}

fn silent() -> impl Connect {
    Scripted(|io: DuplexStream| async move {
        let _io = io;
        std::future::pending().await
    })
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_over_after_the_connect_timeout_wherever_it_hangs() {
    for (channel, expected) in [
        (plaintext(BlackHole), ConnectStage::Dial),
        (encrypted(BlackHole), ConnectStage::Dial),
        (encrypted(silent()), ConnectStage::Tls),
        (plaintext(silent()), ConnectStage::Http2),
    ] {
        let begin = Instant::now();
        let status = echo(&channel).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(begin.elapsed(), DEFAULT_CONNECT_TIMEOUT);
        match connect_reason(&status) {
            ConnectReason::TimedOut { after, stage } => {
                assert_eq!((*after, *stage), (DEFAULT_CONNECT_TIMEOUT, expected));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_connect_timeout_can_be_set() {
    let timeout = Duration::from_secs(3);
    let builder = Channel::builder(["unix:///in/memory".parse().unwrap()]);
    let channel = builder
        .connector(BlackHole)
        .connect_timeout(timeout)
        .retry(RetryConfig::off())
        .build()
        .unwrap();
    let begin = Instant::now();
    echo(&channel).await.unwrap_err();
    assert_eq!(begin.elapsed(), timeout);
}

#[tokio::test(start_paused = true)]
async fn a_call_timeout_covers_the_wait_for_headers_and_the_body() {
    let (server, channel) = in_memory();
    let after = Duration::from_secs(5);
    for method in ["Hang", "HangAfterHeaders"] {
        let begin = Instant::now();
        let mut request = message("");
        request.extensions_mut().insert(CallTimeout(after));
        let status = unary(&channel, method, request).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{method}");
        match transport_error(&status) {
            Error::Timeout {
                limit: TimeLimit::Call,
                after: told,
                delivery: Delivery::Unknown,
                previous: None,
            } => assert_eq!(*told, after),
            other => panic!("{method}: {other:?}"),
        }
        let mut request = message("");
        request.set_timeout(after);
        let status = unary(&channel, method, request).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{method}, tonic's way");
        assert_eq!(begin.elapsed(), 2 * after);
    }
    echo(&channel).await.unwrap();
    // Nothing at all was heard while two of the calls waited, so their connections were not trusted with another call.
    assert_eq!(server.connections(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_first_response_timeout_leaves_the_stream_alone() {
    let (_server, channel) = in_memory();
    let after = Duration::from_secs(5);
    let request = || {
        let mut request = message("");
        request.extensions_mut().insert(FirstResponseTimeout(after));
        request
    };
    let status = server_streaming(&channel, "Hang", request()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);

    let mut stream = server_streaming(&channel, "HangAfterHeaders", request())
        .await
        .unwrap()
        .into_inner();
    let waited = tokio::time::timeout(after * 1000, stream.message()).await;
    assert!(waited.is_err(), "the stream ended: {waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_while_connecting_says_that_nothing_was_sent() {
    let channel = plaintext(silent());
    let mut request = message("");
    request
        .extensions_mut()
        .insert(CallTimeout(Duration::from_secs(1)));
    let status = unary(&channel, "Unary", request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let error = transport_error(&status);
    assert!(error.never_sent(), "{error:?}");
    assert!(
        status.message().contains("no connection to send the request on"),
        "{status}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_servers_hello_may_come_in_pieces() {
    /// Lets one byte pass at a time.
    struct Dribble(Memory);
    impl Connect for Dribble {
        type Io = DuplexStream;
        async fn connect(&self, endpoint: &Endpoint) -> Result<DuplexStream, ConnectReason> {
            let server = self.0.connect(endpoint).await?;
            let (ours, theirs) = duplex(1);
            tokio::spawn(async move {
                let (mut server, mut theirs) = (server, theirs);
                let _ = tokio::io::copy_bidirectional(&mut server, &mut theirs).await;
            });
            Ok(ours)
        }
    }
    let (_server, memory) = Server::in_memory();
    echo(&plaintext(Dribble(memory))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_not_http2_is_shown_if_it_is_text() {
    for (said, answer) in [
        (
            &b"HTTP/1.0 400 Bad Request\r\nServer: x\r\n"[..],
            Some("HTTP/1.0 400 Bad Request"),
        ),
        (b"SSH-2.0-OpenSSH_9.6\r\n", Some("SSH-2.0-OpenSSH_9.6")),
        (b"no\n", Some("no")),
        (b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09", None),
        // A frame, but not the one a server begins with.
        (b"\x00\x00\x08\x06\x00\x00\x00\x00\x00", None),
    ] {
        let channel = plaintext(Scripted(move |mut io: DuplexStream| async move {
            let _ = io.write_all(said).await;
            let _ = io.shutdown().await;
            std::future::pending().await
        }));
        let status = echo(&channel).await.unwrap_err();
        match connect_reason(&status) {
            ConnectReason::NotHttp2 { answer: seen } => assert_eq!(seen.as_deref(), answer, "{status:?}"),
            other => panic!("{said:?}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_protocol_violation_in_the_middle_is_told() {
    let channel = plaintext(Scripted(|mut io: DuplexStream| async move {
        // SETTINGS, then DATA on a stream nobody opened.
        let _ = io.write_all(b"\0\0\0\x04\0\0\0\0\0").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let _ = io.write_all(b"\0\0\x01\0\0\0\0\0\x63x").await;
        std::future::pending().await
    }));
    let status = unary(&channel, "Hang", message("")).await.unwrap_err();
    match transport_error(&status) {
        Error::Closed {
            reason: CloseReason::Protocol(_),
            delivery: Delivery::Unknown,
            ..
        } => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_announced_end_is_told_with_its_code() {
    let channel = plaintext(Scripted(|mut io: DuplexStream| async move {
        // SETTINGS; a second later GOAWAY with ENHANCE_YOUR_CALM for everything after stream 0.
        let _ = io.write_all(b"\0\0\0\x04\0\0\0\0\0").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let _ = io.write_all(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b").await;
        std::future::pending().await
    }));
    let status = unary(&channel, "Hang", message("")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    match transport_error(&status) {
        Error::Closed {
            reason: CloseReason::GoAway { code },
            ..
        } => {
            assert_eq!(*code, talos_transport::ResetCode::ENHANCE_YOUR_CALM);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_network_is_told_with_its_error() {
    /// Works until the first call, then fails to write.
    struct Breaking(DuplexStream);
    impl tokio::io::AsyncRead for Breaking {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
            buf: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::pin::Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }
    impl tokio::io::AsyncWrite for Breaking {
        fn poll_write(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
            buf: &[u8],
        ) -> std::task::Poll<io::Result<usize>> {
            // HEADERS frames are what calls begin with.
            if buf.get(3) == Some(&1) {
                return std::task::Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::NetworkDown,
                    "cable pulled",
                )));
            }
            std::pin::Pin::new(&mut self.0).poll_write(cx, buf)
        }
        fn poll_flush(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::pin::Pin::new(&mut self.0).poll_flush(cx)
        }
        fn poll_shutdown(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::pin::Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }
    struct Connector(Memory);
    impl Connect for Connector {
        type Io = Breaking;
        async fn connect(&self, endpoint: &Endpoint) -> Result<Breaking, ConnectReason> {
            Ok(Breaking(self.0.connect(endpoint).await?))
        }
    }
    let (_server, memory) = Server::in_memory();
    let status = unary(&plaintext(Connector(memory)), "Unary", message("ping"))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("cable pulled"), "{status}");
    assert!(
        matches!(
            transport_error(&status),
            Error::Closed {
                reason: CloseReason::Io(_),
                ..
            }
        ),
        "{status:?}"
    );
}
