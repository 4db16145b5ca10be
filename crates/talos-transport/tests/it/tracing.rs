//! What is recorded of a call, and what is not.

use std::io;
use std::sync::{Arc, Mutex};

use talos_transport::Node;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::client::{builder, message, tls, unary};
use crate::pki::{Ca, base64_of};
use crate::server::{Server, ServerTls};

#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output {
    fn everything(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines about one server; other tests write to the same output.
    fn about(&self, server: &Server) -> String {
        let address = format!("server.address={}", server.endpoint());
        let text = self.everything();
        text.lines()
            .filter(|line| line.contains(&address))
            .map(|line| format!("{line}\n"))
            .collect()
    }
}

/// Whether the span of a call of this method ended with this status.
fn call_ended(text: &str, method: &str, code: u8) -> bool {
    text.lines().any(|line| {
        line.contains(": close")
            && !line.contains(":attempt{")
            && line.contains(&format!("rpc.method=\"{method}\" "))
            && line.contains(&format!("rpc.grpc.status_code={code}}}"))
    })
}

#[tokio::test]
async fn a_call_is_a_span_without_secrets() {
    let output = Output::default();
    let writer = output.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_env_filter("talos_transport=trace")
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(move || writer.clone())
        .finish();
    // For the whole process: spans of which only one thread wants to hear can be lost while others make the same ones.
    ::tracing::subscriber::set_global_default(subscriber).unwrap();

    let ca = Ca::new();
    let client = ca.client();
    let server = Server::start(ServerTls::new(ca.server(&["127.0.0.1"]), &ca.pem)).await;
    let channel = builder(server.endpoint(), tls(&ca, &client))
        .basic_auth("user", "hunter2")
        .metadata("x-token", "swordfish")
        .build()
        .unwrap();
    let mut request = message("the-message-body");
    request.extensions_mut().insert(Node("10.5.0.3".parse().unwrap()));
    unary(&channel, "Unary", request).await.unwrap();

    let text = output.about(&server);
    for field in [
        "rpc.system=\"grpc\"",
        "rpc.service=\"test.Echo\"",
        "rpc.method=\"Unary\"",
        "talos.node=\"10.5.0.3\"",
    ] {
        assert!(text.contains(field), "{field} in {text}");
    }
    for line in text.lines().filter(|line| line.contains("close")) {
        assert!(line.contains("rpc.grpc.status_code=0"), "{line}");
    }
    assert!(
        text.contains(":attempt{") && text.contains(" attempt=1"),
        "{text}"
    );

    unary(&channel, "Refuse", message("")).await.unwrap_err();
    let text = output.about(&server);
    assert!(call_ended(&text, "Refuse", 7), "{text}");

    // The status of a stream is known at its end; one that is given up is cancelled.
    unary(&channel, "FailLate", message("")).await.unwrap_err();
    let stream = crate::client::server_streaming(&channel, "Flood", message(""))
        .await
        .unwrap();
    let before = output.about(&server);
    assert!(
        !before
            .lines()
            .any(|line| line.contains("Flood") && line.contains(": close")),
        "{before}"
    );
    drop(stream);
    let text = output.about(&server);
    assert!(call_ended(&text, "FailLate", 9), "{text}");
    assert!(call_ended(&text, "Flood", 1), "{text}");

    // Attempts are spans of their own in that of the call.
    server.script(["Unavailable"]);
    let mut request = message("");
    request
        .extensions_mut()
        .insert(talos_transport::RetryClass::RepeatableUnary);
    unary(&channel, "Unary", request).await.unwrap();
    let text = output.about(&server);
    let ends: Vec<_> = text
        .lines()
        .filter(|line| line.contains("close"))
        .filter_map(|line| line.split(":attempt{").nth(1))
        .collect();
    let [.., first, second] = ends[..] else {
        panic!("{text}");
    };
    assert!(
        first.contains("rpc.grpc.status_code=14") && first.contains(" attempt=1"),
        "{first}"
    );
    assert!(
        second.contains("rpc.grpc.status_code=0") && second.contains(" attempt=2"),
        "{second}"
    );

    let text = output.everything();
    for secret in [
        "hunter2",
        "aHVudGVyMg",
        "swordfish",
        "the-message-body",
        &base64_of(&client.key)[20..],
    ] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
