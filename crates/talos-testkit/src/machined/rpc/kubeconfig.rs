//! The administrator's kubeconfig.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use talos_proto::common::Data;
use tonic::Status;

use super::{Call, Items, data};
use crate::node::files::archive::Header;

pub(in crate::machined) async fn kubeconfig(call: Call, _: ()) -> Result<Items<Data>, Status> {
    call.control_plane_only("kubeconfig")?;
    let archive = archive(call.node.cluster.kubeconfig.as_bytes())
        .map_err(|error| Status::unknown(error.to_string()))?;
    Ok(data(stream::iter([archive.into()])))
}

/// One entry `kubeconfig` in a compressed tar that its writer never closed: no padding to a full block, no
/// end blocks.
fn archive(kubeconfig: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    let header = Header {
        name: "kubeconfig",
        mode: 0o600,
        size: kubeconfig.len() as u64,
        flag: b'0',
        ..Header::default()
    };
    gzip.write_all(&header.block())?;
    gzip.write_all(kubeconfig)?;
    gzip.finish()
}
