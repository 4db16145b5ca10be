//! Calls that are answered by a stream of messages.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, Method, Version, header};
use http_body_util::Full;
use prost::Message;
use talos_proto::methods::MethodInfo;
use talos_transport::Channel;
use tonic::{Status, body::Body};
use tower_service::Service as _;

#[cfg(feature = "machine")]
use super::bytes::ByteStream;
use super::{frames::Frames, messages::Messages};
use crate::{
    call::{Kind, Target},
    error::Result,
};

impl Target {
    /// Makes a call that is answered by bytes.
    #[cfg(feature = "machine")]
    pub(crate) async fn open_bytes<M>(
        &self,
        kind: Kind,
        method: &'static MethodInfo,
        message: M,
    ) -> Result<ByteStream>
    where
        M: Message + Send + Sync + 'static,
    {
        self.open(kind, method, message).await.map(ByteStream::new)
    }

    /// Makes a call that is answered by a stream of messages.
    ///
    /// Nodes answer together with the first message, so this may take as long as there is nothing to say.
    pub(crate) async fn open<M, T>(
        &self,
        kind: Kind,
        method: &'static MethodInfo,
        message: M,
    ) -> Result<Messages<T>>
    where
        M: Message + Send + Sync + 'static,
        T: Message + Default,
    {
        let channel = self.channel.clone();
        let (frames, call) = self
            .call_as(kind, method, message, |request| send(channel, method, request))
            .await?;
        Ok(Messages::new(frames, call))
    }
}

/// What a generated stub would send, with the response left as it comes.
async fn send<M: Message>(
    mut channel: Channel,
    method: &'static MethodInfo,
    request: tonic::Request<M>,
) -> Result<tonic::Response<Frames>, Status> {
    let (metadata, extensions, message) = request.into_parts();
    let mut http = http::Request::new(Body::new(Full::new(encode(&message)?)));
    *http.method_mut() = Method::POST;
    *http.version_mut() = Version::HTTP_2;
    *http.uri_mut() = http::Uri::from_static(method.path);
    *http.headers_mut() = metadata.into_headers();
    *http.extensions_mut() = extensions;
    let headers = http.headers_mut();
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));

    std::future::poll_fn(|cx| channel.poll_ready(cx)).await?;
    let (parts, body) = channel.call(http).await?.into_parts();
    // Other statuses than `OK` have become errors by now.
    let status_known = parts.headers.contains_key("grpc-status");
    Ok(tonic::Response::from_parts(
        tonic::metadata::MetadataMap::from_headers(parts.headers),
        Frames::new(body, status_known),
        parts.extensions,
    ))
}

/// A message with its header.
fn encode(message: &impl Message) -> Result<Bytes, Status> {
    let length = message.encoded_len();
    let on_the_wire = u32::try_from(length).map_err(|_| Status::out_of_range("the request is too large"))?;
    let mut frame = BytesMut::with_capacity(5 + length);
    frame.put_u8(0);
    frame.put_u32(on_the_wire);
    message
        .encode(&mut frame)
        .map_err(|_| Status::internal("the request does not encode"))?;
    Ok(frame.freeze())
}
