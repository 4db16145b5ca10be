//! `machine.ImageService`: which function answers which RPC.

use talos_proto::machine::image_service_server::ImageService;
use talos_proto::machine::*;

use super::{Handlers, rpc};
use crate::machined::rpc::images;

#[rustfmt::skip]
impl ImageService for Handlers {
    rpc! { server list(ImageServiceListRequest) -> ListStream: ImageServiceListResponse = images::list }
    rpc! { server pull(ImageServicePullRequest) -> PullStream: ImageServicePullResponse = images::pull }
    rpc! { client import(ImageServiceImportRequest) -> ImageServiceImportResponse = images::import }
    rpc! { unary remove(ImageServiceRemoveRequest) -> () = images::remove }
    rpc! { unary verify(ImageServiceVerifyRequest) -> ImageServiceVerifyResponse = images::verify }
}
