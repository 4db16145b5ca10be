//! Compiles `.proto` files and reads folders of them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use prost_reflect::DescriptorPool;

use super::docs::{self, Comment, Docs};
use super::extract::extract;
use super::schema::{FileLayout, Tree};
use crate::descriptors::proto_files;

/// Compiles `files`, looking them and their imports up below `roots`, first root first.
pub fn compile<'a>(roots: &[PathBuf], files: impl IntoIterator<Item = &'a str>) -> Result<DescriptorPool> {
    let mut compiler = protox::Compiler::new(roots).context("setting up the proto compiler")?;
    compiler.include_source_info(true).include_imports(true);
    for file in files {
        // The `Debug` form is the one that says file, line and column.
        compiler.open_file(file).map_err(|error| anyhow!("{error:?}"))?;
    }
    Ok(compiler.descriptor_pool())
}

/// Reads the tree of `.proto` files below `dir` with all its comments.
pub fn load(dir: &Path) -> Result<Tree> {
    let files = proto_files(dir)?;
    ensure!(!files.is_empty(), "no .proto file below {}", dir.display());
    let pool = compile(&[dir.to_path_buf()], files.iter().map(String::as_str))
        .with_context(|| format!("compiling {}", dir.display()))?;
    let mut tree = extract(&pool, &files.iter().cloned().collect())?;
    for layout in &tree.files {
        let path = dir.join(&layout.path);
        let source = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let of_file = comments_of(&tree.docs, layout);
        docs::ensure_kept(&layout.path, &source, of_file.flat_map(Comment::all_lines))?;
    }
    tree.docs.retain(|_, comment| !comment.is_empty());
    Ok(tree)
}

/// Comments of one file: of the file itself, and of everything in its items and extensions.
fn comments_of<'a>(docs: &'a Docs, layout: &'a FileLayout) -> impl Iterator<Item = &'a Comment> {
    let names = layout.items.iter().chain(&layout.extensions);
    let nested = names.flat_map(|name| {
        let inside = format!("{name}.");
        docs.range(name.clone()..)
            .take_while(move |(key, _)| key.starts_with(name))
            .filter_map(move |(key, comment)| (key == name || key.starts_with(&inside)).then_some(comment))
    });
    let own = [docs::syntax_key(&layout.path), docs::package_key(&layout.path)];
    own.into_iter().filter_map(|key| docs.get(&key)).chain(nested)
}
