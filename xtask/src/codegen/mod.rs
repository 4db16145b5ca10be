//! Renders everything that is generated from `proto/`.

pub mod features;
pub mod groups;
pub mod render;

use std::path::Path;

use anyhow::Result;

use crate::descriptors::ProtoTree;
use crate::output::Outputs;

/// Folder of the generated Rust files.
pub const GENERATED: &str = "crates/talos-proto/src/generated";

/// Renders all outputs in memory; nothing below `root` is written.
pub fn generate(root: &Path) -> Result<Outputs> {
    let tree = ProtoTree::load(&root.join("proto"))?;
    let groups = groups::group(&tree.pool)?;
    let mut outputs = Outputs::default();
    outputs.own_folder(GENERATED);
    render::stubs(&tree, &groups, &mut outputs)?;
    Ok(outputs)
}
