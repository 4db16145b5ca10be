//! A client of the Kubernetes API that knows nothing but HTTP and JSON.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use talos_testkit::SimCluster;
use talos_testkit::kubernetes::SimKubernetes;
use talos_testkit::pki::ClientCert;

use crate::wire::{client_config, handshake};

/// How long anything may take that is waited for.
const LIMIT: Duration = Duration::from_secs(20);

/// Waits, but not forever.
pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, what)
        .await
        .expect("it takes too long")
}

pub(super) fn of(cluster: &SimCluster) -> SimKubernetes {
    cluster.kubernetes().unwrap()
}

#[derive(Clone)]
pub(super) struct Api {
    address: SocketAddr,
    authority: Vec<u8>,
    cert: Option<ClientCert>,
    over_http2: bool,
}

impl Api {
    pub(super) fn admin(cluster: &SimCluster) -> Self {
        let cert = of(cluster).client_cert("admin", ["system:masters"]).unwrap();
        Self::with(cluster, Some(cert))
    }

    pub(super) fn with(cluster: &SimCluster, cert: Option<ClientCert>) -> Self {
        let kubernetes = of(cluster);
        let address = kubernetes.url().strip_prefix("https://").unwrap();
        let authority = CertificateDer::from_pem_slice(kubernetes.ca_pem().as_bytes()).unwrap();
        Self {
            address: address.parse().unwrap(),
            authority: authority.to_vec(),
            cert,
            over_http2: false,
        }
    }

    pub(super) fn over_http2(mut self) -> Self {
        self.over_http2 = true;
        self
    }

    /// Sends a request on a connection of its own.
    pub(super) async fn try_send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Result<Response<Incoming>, String> {
        let mut config = client_config(&self.authority, self.cert.as_ref());
        let protocol = if self.over_http2 { "h2" } else { "http/1.1" };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let stream = handshake(self.address, config)
            .await
            .map_err(|error| error.to_string())?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
        let uri = if self.over_http2 {
            format!("https://{}{path}", self.address)
        } else {
            path.to_owned()
        };
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("host", self.address.to_string())
            .header("content-type", content_type)
            .body(Full::new(body.into()))
            .unwrap();
        let io = TokioIo::new(stream);
        let response = if self.over_http2 {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            soon(sender.send_request(request)).await
        } else {
            let (mut sender, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            soon(sender.send_request(request)).await
        };
        response.map_err(|error| error.to_string())
    }

    /// Status and object of the answer.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> (u16, Value) {
        let response = self.try_send(method, path, content_type, body).await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/json", "{path}");
        let status = response.status().as_u16();
        let bytes = soon(response.into_body().collect()).await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    pub(super) async fn get(&self, path: &str) -> (u16, Value) {
        self.send(Method::GET, path, "", "").await
    }

    /// The object that there has to be.
    pub(super) async fn object(&self, path: &str) -> Value {
        let (status, object) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {object}");
        object
    }

    /// Names of the items of a list.
    pub(super) async fn names(&self, path: &str) -> Vec<String> {
        let items = self.object(path).await["items"].take();
        let items = items.as_array().unwrap().iter();
        items
            .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    }

    pub(super) async fn patch(&self, path: &str, kind: &str, patch: &Value) -> (u16, Value) {
        let content_type = format!("application/{kind}+json");
        self.send(Method::PATCH, path, &content_type, patch.to_string())
            .await
    }

    pub(super) async fn evict(&self, namespace: &str, name: &str) -> (u16, Value) {
        let eviction = serde_json::json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"namespace": namespace, "name": name},
        });
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
        self.send(Method::POST, &path, "application/json", eviction.to_string())
            .await
    }

    pub(super) async fn watch(&self, path: &str) -> Events {
        let response = self.try_send(Method::GET, path, "", "").await.unwrap();
        assert_eq!(response.status(), 200);
        Events {
            body: response.into_body(),
            pending: Vec::new(),
            limit: LIMIT,
        }
    }
}

/// The events of a watch.
pub(super) struct Events {
    body: Incoming,
    pending: Vec<u8>,
    /// How long an event may take.
    pub(super) limit: Duration,
}

impl Events {
    /// The next event; `None` when the watch has ended well, or the text of the error with which it broke.
    pub(super) async fn next(&mut self) -> Result<Option<Value>, String> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Ok(Some(serde_json::from_slice(&line).unwrap()));
            }
            let frame = tokio::time::timeout(self.limit, self.body.frame());
            match frame.await.expect("no event comes") {
                None => return Ok(None),
                Some(Ok(frame)) => self.pending.extend(frame.into_data().unwrap()),
                Some(Err(error)) => return Err(error.to_string()),
            }
        }
    }

    /// Type and name of the object of the next event, which there has to be.
    pub(super) async fn step(&mut self) -> (String, String, Value) {
        let mut event = self.next().await.unwrap().expect("the watch has ended");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = event["object"].take();
        (text(&event["type"]), text(&object["metadata"]["name"]), object)
    }

    /// Takes events until one is of this type and name, and returns its object.
    pub(super) async fn until(&mut self, kind: &str, name: &str) -> Value {
        loop {
            let (found, called, object) = self.step().await;
            if found == kind && called == name {
                return object;
            }
        }
    }
}
