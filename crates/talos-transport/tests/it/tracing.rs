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
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
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
    let _guard = ::tracing::subscriber::set_default(subscriber);

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

    let text = output.take();
    for field in [
        "rpc.system=\"grpc\"",
        "rpc.service=\"test.Echo\"",
        "rpc.method=\"Unary\"",
        "talos.node=\"10.5.0.3\"",
        &format!("server.address={}", server.endpoint()),
    ] {
        assert!(text.contains(field), "{field} in {text}");
    }

    unary(&channel, "Refuse", message("")).await.unwrap_err();
    let failed = output.take();
    assert!(failed.contains("rpc.grpc.status_code=7"), "{failed}");
    assert!(
        failed.contains(&format!("server.address={}", server.endpoint())),
        "{failed}"
    );
    assert!(!failed.contains("talos.node"), "{failed}");

    for secret in [
        "hunter2",
        "aHVudGVyMg",
        "swordfish",
        "the-message-body",
        &base64_of(&client.key)[20..],
    ] {
        assert!(
            !text.contains(secret) && !failed.contains(secret),
            "{secret} in {text}{failed}"
        );
    }
}
