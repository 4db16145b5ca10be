//! Compiles a folder of `.proto` files without protoc.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorSet;

/// A compiled folder of `.proto` files.
#[derive(Debug)]
pub struct ProtoTree {
    /// Every `.proto` file of the folder, relative to it, with `/` as the separator, sorted.
    pub files: Vec<String>,
    /// The linked descriptors, imports and custom options included.
    pub pool: DescriptorPool,
    /// The same as plain messages with source comments, imports included, for code generators.
    pub file_set: FileDescriptorSet,
}

impl ProtoTree {
    /// Compiles every `.proto` file below `dir`; imports are looked up in `dir` too, and the well-known types
    /// come with the compiler.
    pub fn load(dir: &Path) -> Result<Self> {
        let files = proto_files(dir)?;
        ensure!(!files.is_empty(), "no .proto file below {}", dir.display());
        let mut compiler = protox::Compiler::new([dir]).context("setting up the proto compiler")?;
        compiler.include_source_info(true).include_imports(true);
        for file in &files {
            compiler.open_file(file).with_context(|| format!("compiling {file}"))?;
        }
        Ok(Self { files, pool: compiler.descriptor_pool(), file_set: compiler.file_descriptor_set() })
    }
}

/// Lists the `.proto` files below `dir`, relative to it and sorted.
pub fn proto_files(dir: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(relative) = pending.pop() {
        let folder = dir.join(&relative);
        let entries = std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
            let path = relative.join(entry.file_name());
            if entry.file_type().with_context(|| format!("reading {}", path.display()))?.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "proto") {
                let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
                found.push(parts.join("/"));
            }
        }
    }
    found.sort();
    Ok(found)
}
