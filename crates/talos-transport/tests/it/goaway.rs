//! Calls that a server leaves out when it announces the end of a connection.

use talos_transport::RetryClass::{RepeatableUnary, Unprocessed};
use talos_transport::connect::{Connect, ConnectReason};
use talos_transport::{CloseReason, Delivery, Endpoint, Error, ResetCode, RetryConfig};
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

use crate::client::transport_error;
use crate::retry::{call, plaintext};
use crate::server::{Memory, Server};

#[tokio::test]
async fn calls_left_out_of_a_goaway_move_whatever_they_do() {
    // The first connection leaves every call out; the others work.
    struct Leaving(Memory, std::sync::atomic::AtomicUsize);
    impl Connect for Leaving {
        type Io = DuplexStream;
        async fn connect(&self, endpoint: &Endpoint) -> Result<DuplexStream, ConnectReason> {
            if self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 0 {
                return self.0.connect(endpoint).await;
            }
            let (ours, mut theirs) = duplex(64 << 10);
            tokio::spawn(async move {
                // SETTINGS; then, once the request has come, GOAWAY without an error for everything after stream 0.
                theirs.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
                wait_for_headers(&mut theirs).await;
                let go_away = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";
                theirs.write_all(go_away).await.unwrap();
                std::future::pending::<()>().await
            });
            Ok(ours)
        }
    }
    let (server, memory) = Server::in_memory();
    let channel = plaintext(Leaving(memory, Default::default()), RetryConfig::new());
    let (result, attempts) = call(&channel, Unprocessed).await;
    result.unwrap();
    assert_eq!((attempts, server.requests().len()), (2, 1));
}

#[tokio::test]
async fn a_call_left_out_of_a_goaway_says_so_if_it_is_not_made_again() {
    struct Leaving;
    impl Connect for Leaving {
        type Io = DuplexStream;
        async fn connect(&self, _endpoint: &Endpoint) -> Result<DuplexStream, ConnectReason> {
            let (ours, mut theirs) = duplex(64 << 10);
            tokio::spawn(async move {
                theirs.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
                wait_for_headers(&mut theirs).await;
                let go_away = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";
                theirs.write_all(go_away).await.unwrap();
                std::future::pending::<()>().await
            });
            Ok(ours)
        }
    }
    let channel = plaintext(Leaving, RetryConfig::off());
    let (result, attempts) = call(&channel, RepeatableUnary).await;
    let status = result.unwrap_err();
    match transport_error(&status) {
        Error::Closed {
            delivery: Delivery::Refused,
            reason: CloseReason::GoAway { code },
            ..
        } => assert_eq!(*code, ResetCode::NO_ERROR),
        other => panic!("{other:?}"),
    }
    assert_eq!(attempts, 1);
}

/// Reads frames until one that begins a request.
async fn wait_for_headers(io: &mut DuplexStream) {
    use tokio::io::AsyncReadExt as _;

    const PREFACE: usize = 24;
    const HEADERS: u8 = 1;
    let mut preface = [0; PREFACE];
    io.read_exact(&mut preface).await.unwrap();
    loop {
        let mut head = [0; 9];
        io.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        io.read_exact(&mut payload).await.unwrap();
        if head[3] == HEADERS {
            return;
        }
    }
}
