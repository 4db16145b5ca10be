//! Compiles a folder of `.proto` files without protoc.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorSet;

use crate::workspace::files_below;

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
            compiler
                .open_file(file)
                .with_context(|| format!("compiling {file}"))?;
        }
        Ok(Self {
            files,
            pool: compiler.descriptor_pool(),
            file_set: compiler.file_descriptor_set(),
        })
    }
}

/// Lists the `.proto` files below `dir`, relative to it and sorted.
pub fn proto_files(dir: &Path) -> Result<Vec<String>> {
    ensure!(dir.is_dir(), "{} is not a folder", dir.display());
    let files = files_below(dir, Path::new(""))?;
    let protos = files
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "proto"));
    let join = |path: &PathBuf| {
        path.iter()
            .map(|part| part.to_string_lossy())
            .collect::<Vec<_>>()
            .join("/")
    };
    Ok(protos.map(join).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiles_all_files_of_a_folder_with_comments_and_options() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        std::fs::write(
            folder.path().join("b/b.proto"),
            "syntax = \"proto3\"; package b; import \"a.proto\"; message B { a.A a = 1; }",
        )
        .unwrap();
        std::fs::write(
            folder.path().join("a.proto"),
            "syntax = \"proto3\"; package a;\n// Comment.\nmessage A {}",
        )
        .unwrap();
        std::fs::write(folder.path().join("note.txt"), "not a proto").unwrap();
        let tree = ProtoTree::load(folder.path()).unwrap();
        assert_eq!(tree.files, ["a.proto", "b/b.proto"]);
        assert!(tree.pool.get_message_by_name("b.B").is_some());
        let file = tree
            .file_set
            .file
            .iter()
            .find(|file| file.name() == "a.proto")
            .unwrap();
        let comments = file.source_code_info.as_ref().unwrap().location.iter();
        assert!(
            comments
                .filter_map(|location| location.leading_comments.as_deref())
                .any(|text| text.trim() == "Comment.")
        );
    }

    #[test]
    fn errors_name_the_file_or_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let empty = ProtoTree::load(folder.path()).unwrap_err().to_string();
        assert!(empty.starts_with("no .proto file below "), "{empty}");
        std::fs::write(
            folder.path().join("bad.proto"),
            "syntax = \"proto3\"; message A { B b = 1; }",
        )
        .unwrap();
        let bad = format!("{:#}", ProtoTree::load(folder.path()).unwrap_err());
        assert!(bad.starts_with("compiling bad.proto: "), "{bad}");
        let missing = ProtoTree::load(&folder.path().join("none"))
            .unwrap_err()
            .to_string();
        assert!(missing.ends_with("none is not a folder"), "{missing}");
    }
}
