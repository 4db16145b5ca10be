//! The administrator's kubeconfig.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use talos_proto::common::Data;
use tonic::Status;

use super::{Call, Items, data};

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
    gzip.write_all(&tar_header("kubeconfig", 0o600, kubeconfig.len()))?;
    gzip.write_all(kubeconfig)?;
    gzip.finish()
}

/// A header block of a regular file, owned by root, without a modification time.
fn tar_header(name: &str, mode: u32, size: usize) -> [u8; 512] {
    let mut header = [0; 512];
    let mut put = |offset: usize, text: &[u8]| header[offset..offset + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}
