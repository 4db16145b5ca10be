//! One call to several nodes: the same request to each, replies spliced together.

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, FuturesUnordered, SelectAll};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use tonic::body::Body;
use tonic::{Code, Status};

use super::body::trailers;
use super::frame::{Encoding, MessageReader, frame};
use super::{Apid, splice};
use crate::record::CallEntry;

/// Methods whose replies are streams to `apid`, apart from any whose name ends in `Stream`. The reply of
/// every other method counts as one message per node.
const STREAMED: [&str; 12] = [
    "/machine.MachineService/Copy",
    "/machine.MachineService/DiskUsage",
    "/machine.MachineService/Dmesg",
    "/machine.MachineService/EtcdSnapshot",
    "/machine.MachineService/Events",
    "/machine.MachineService/ImageList",
    "/machine.MachineService/Kubeconfig",
    "/machine.MachineService/List",
    "/machine.MachineService/Logs",
    "/machine.MachineService/PacketCapture",
    "/machine.MachineService/Read",
    "/cluster.ClusterService/HealthCheck",
];

/// The reply of one node, as messages.
struct Reply {
    target: String,
    messages: MessageReader<Body>,
    /// The final status, if the node sent no message.
    status: Option<Status>,
}

impl Reply {
    async fn message(&mut self) -> Option<Result<Bytes, Status>> {
        if let Some(status) = self.status.take() {
            return (status.code() != Code::Ok).then_some(Err(status));
        }
        match self.messages.message().await {
            Some(message) => Some(message),
            None => {
                let status = self.messages.trailers().and_then(Status::from_header_map);
                status.filter(|status| status.code() != Code::Ok).map(Err)
            }
        }
    }
}

impl Apid {
    /// Sends the call to every one of `targets`. The outcome is OK even if all of them fail.
    pub(super) async fn many(
        &self,
        targets: Vec<String>,
        call: &CallEntry,
        request: Request<Body>,
    ) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let streamed = STREAMED.contains(&parts.uri.path()) || parts.uri.path().ends_with("Stream");
        let mut messages = MessageReader::new(body, Encoding::Identity);
        let mut frames = Vec::new();
        while let Some(message) = messages.message().await {
            match message {
                Ok(message) => frames.push(frame(&message)),
                Err(status) => return status.into_http(),
            }
        }
        let replies = targets.into_iter().map(|target| {
            let frames: Vec<_> = frames
                .iter()
                .cloned()
                .map(|data| Ok::<_, Status>(Frame::data(data)))
                .collect();
            let body = Body::new(StreamBody::new(stream::iter(frames)));
            let mut leg = Request::new(body);
            *leg.uri_mut() = parts.uri.clone();
            *leg.headers_mut() = parts.headers.clone();
            let (apid, call) = (self.clone(), call.clone());
            async move {
                let response = apid.remote(&target, &call, leg).await;
                let status = Status::from_header_map(response.headers());
                let messages = MessageReader::new(response.into_body(), Encoding::Identity);
                Reply {
                    target,
                    messages,
                    status,
                }
            }
        });
        if streamed {
            merged(replies)
        } else {
            joined(replies.collect()).await
        }
    }
}

/// One message made of every node's reply, in order of completion.
async fn joined<F: Future<Output = Reply>>(mut replies: FuturesUnordered<F>) -> Response<Body> {
    let mut message = Vec::new();
    let mut broken = Vec::new();
    while let Some(mut reply) = replies.next().await {
        let target = &reply.target.clone();
        match reply.message().await {
            Some(Err(status)) => message.extend_from_slice(&splice::failed_reply(target, &status)),
            found => match splice::reply(target, &found.and_then(Result::ok).unwrap_or_default()) {
                Ok(spliced) => message.extend_from_slice(&spliced),
                Err(error) => broken.push(format!("error appending info for {target}: {error}")),
            },
        }
    }
    if !broken.is_empty() {
        return Status::unknown(multi_error(&broken)).into_http();
    }
    let end = trailers(&Status::new(Code::Ok, ""));
    let frames = [
        Ok::<_, Status>(Frame::data(frame(&message))),
        Ok(Frame::trailers(end)),
    ];
    grpc_response(Body::new(StreamBody::new(stream::iter(frames))))
}

/// The messages of all nodes as they come, each with the name of its node.
fn merged<F>(replies: impl Iterator<Item = F>) -> Response<Body>
where
    F: Future<Output = Reply> + Send + 'static,
{
    let streams: SelectAll<_> = replies
        .map(|reply| {
            let items = stream::once(reply).flat_map(|reply| {
                stream::unfold(Some(reply), |reply| async move {
                    let mut reply = reply?;
                    match reply.message().await? {
                        Ok(message) => Some((splice::stream_item(&reply.target, &message), Some(reply))),
                        Err(status) => Some((splice::failed_stream_item(&reply.target, &status), None)),
                    }
                })
            });
            Box::pin(items)
        })
        .collect();
    let items = streams.map(|message: Bytes| Ok::<_, Status>(Frame::data(frame(&message))));
    let end = stream::once(async { Ok(Frame::trailers(trailers(&Status::new(Code::Ok, "")))) });
    grpc_response(Body::new(StreamBody::new(items.chain(end))))
}

fn grpc_response(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let grpc = tonic::metadata::GRPC_CONTENT_TYPE;
    response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
    response
}

/// Several errors in one text, laid out as the Go library does that Talos uses for it.
fn multi_error(errors: &[String]) -> String {
    let noun = if errors.len() == 1 { "error" } else { "errors" };
    let list: String = errors.iter().map(|error| format!("\t* {error}\n")).collect();
    format!("{} {noun} occurred:\n{list}\n", errors.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_errors_are_listed_as_go_lists_them() {
        assert_eq!(multi_error(&["a".to_owned()]), "1 error occurred:\n\t* a\n\n");
        assert_eq!(
            multi_error(&["a".to_owned(), "b".to_owned()]),
            "2 errors occurred:\n\t* a\n\t* b\n\n"
        );
    }
}
