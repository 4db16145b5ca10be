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
    assert!(!text.contains("status_code"), "{text}");

    unary(&channel, "Refuse", message("")).await.unwrap_err();
    let text = output.about(&server);
    assert!(
        text.contains("rpc.method=\"Refuse\" rpc.grpc.status_code=7"),
        "{text}"
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
