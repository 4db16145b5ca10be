//! A generated client in miniature: gRPC calls whose messages are plain bytes.

use std::error::Error as _;

use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use talos_transport::{
    Channel, ChannelBuilder, ConnectReason, Endpoint, Error, HandshakeError, Identity, MAX_MESSAGE_SIZE,
    ServerVerification, TlsConfig,
};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Response, Status, Streaming};

use crate::pki::{Ca, Pair};

/// Messages without structure.
#[derive(Default, Clone)]
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buf.copy_to_bytes(buf.remaining())))
    }
}

pub(crate) fn grpc(channel: &Channel) -> Grpc<Channel> {
    Grpc::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE_SIZE)
}

fn path(method: &str) -> PathAndQuery {
    format!("/test.Echo/{method}").parse().unwrap()
}

pub(crate) async fn unary(
    channel: &Channel,
    method: &str,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, Status> {
    let mut client = grpc(channel);
    client.ready().await?;
    client.unary(request, path(method), Raw).await
}

pub(crate) async fn server_streaming(
    channel: &Channel,
    method: &str,
    request: Request<Bytes>,
) -> Result<Response<Streaming<Bytes>>, Status> {
    let mut client = grpc(channel);
    client.ready().await?;
    client.server_streaming(request, path(method), Raw).await
}

pub(crate) async fn streaming(
    channel: &Channel,
    method: &str,
    messages: impl tokio_stream::Stream<Item = Bytes> + Send + 'static,
) -> Result<Response<Streaming<Bytes>>, Status> {
    streaming_with(channel, method, Request::new(messages)).await
}

pub(crate) async fn streaming_with(
    channel: &Channel,
    method: &str,
    request: Request<impl tokio_stream::Stream<Item = Bytes> + Send + 'static>,
) -> Result<Response<Streaming<Bytes>>, Status> {
    let mut client = grpc(channel);
    client.ready().await?;
    client.streaming(request, path(method), Raw).await
}

/// Echoes a short message and expects it back.
pub(crate) async fn echo(channel: &Channel) -> Result<Response<Bytes>, Status> {
    let response = unary(channel, "Unary", message("ping")).await?;
    assert_eq!(response.get_ref(), "ping");
    Ok(response)
}

pub(crate) fn message(text: &'static str) -> Request<Bytes> {
    Request::new(Bytes::from_static(text.as_bytes()))
}

/// Settings as a talosconfig has them.
pub(crate) fn tls(ca: &Ca, client: &Pair) -> TlsConfig {
    tls_with(ServerVerification::ca_pem(&ca.pem).unwrap(), client)
}

pub(crate) fn tls_with(verification: ServerVerification, client: &Pair) -> TlsConfig {
    let identity = Identity::from_pem(&client.certificate, &client.key).unwrap();
    TlsConfig::builder(verification)
        .identity(identity)
        .build()
        .unwrap()
}

pub(crate) fn builder(endpoint: Endpoint, tls: TlsConfig) -> ChannelBuilder {
    Channel::builder([endpoint])
        .tls(tls)
        .connect_timeout(crate::server::PATIENCE)
}

pub(crate) fn channel(endpoint: Endpoint, tls: TlsConfig) -> Channel {
    builder(endpoint, tls).build().unwrap()
}

/// The channel's own error in a status.
pub(crate) fn transport_error(status: &Status) -> &Error {
    status
        .source()
        .and_then(|source| source.downcast_ref())
        .unwrap_or_else(|| panic!("not ours: {status:?}"))
}

/// The reason why the only endpoint could not be connected to.
pub(crate) fn connect_reason(status: &Status) -> &ConnectReason {
    match transport_error(status) {
        Error::Connect(error) => {
            let [failure] = error.failures() else {
                panic!("several failures: {error:?}")
            };
            failure.reason()
        }
        other => panic!("not a failure to connect: {other:?}"),
    }
}

pub(crate) fn handshake_error(status: &Status) -> &HandshakeError {
    match connect_reason(status) {
        ConnectReason::Tls(error) => error,
        other => panic!("not a TLS failure: {other:?}"),
    }
}

/// Everything that can be printed of a status and of the errors behind it.
pub(crate) fn everything_printed(status: &Status) -> String {
    let mut text = format!("{status}\n{status:?}\n{status:#?}");
    let mut source = status.source();
    while let Some(error) = source {
        text.push_str(&format!("\n{error}\n{error:?}\n{error:#?}"));
        source = error.source();
    }
    text
}
