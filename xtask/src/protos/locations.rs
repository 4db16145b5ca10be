//! What the compiler knows about where things stand in a file, and which comments are near them.

use std::collections::{BTreeMap, HashMap};

use prost_reflect::FileDescriptor;

use super::docs::{self, Comment};

/// Comments of all elements of a file, by descriptor path.
pub fn comments(file: &FileDescriptor) -> HashMap<Vec<i32>, Comment> {
    let locations = file
        .file_descriptor_proto()
        .source_code_info
        .iter()
        .flat_map(|info| &info.location);
    locations
        .map(|location| {
            let mut lines = location
                .leading_comments
                .as_deref()
                .map(docs::lines)
                .unwrap_or_default();
            lines.extend(
                location
                    .trailing_comments
                    .as_deref()
                    .map(docs::lines)
                    .unwrap_or_default(),
            );
            let mut detached: Vec<_> = location
                .leading_detached_comments
                .iter()
                .map(|text| docs::lines(text))
                .collect();
            detached.retain(|block| !block.is_empty());
            (location.path.clone(), Comment { detached, lines })
        })
        .filter(|(_, comment)| !comment.is_empty())
        .collect()
}

/// Line and column of each element of a file.
pub fn positions(file: &FileDescriptor) -> BTreeMap<&[i32], (i32, i32)> {
    let locations = file
        .file_descriptor_proto()
        .source_code_info
        .iter()
        .flat_map(|info| &info.location);
    locations
        .filter_map(|l| Some((l.path.as_slice(), (*l.span.first()?, *l.span.get(1)?))))
        .collect()
}
