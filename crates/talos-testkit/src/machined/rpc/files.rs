//! Files: contents, lists, sizes, archives.

use futures_util::{StreamExt as _, stream};
use talos_proto::common::{Data, Metadata};
use talos_proto::machine::list_request::Type;
use talos_proto::machine::{
    CopyRequest, DiskUsageInfo, DiskUsageRequest, FileInfo, ListRequest, ReadRequest, Xattr,
};
use talos_proto::methods::Release;
use tonic::Status;

use super::{Call, Items, data};
use crate::node::Node;
use crate::node::files::archive::{Archive, is_pseudo};
use crate::node::files::entry::{Entry, Kind};
use crate::node::files::source::Source;
use crate::node::files::walk::{Item, Step};
use crate::node::logs::CHUNK;
use crate::text::multi_error;

/// What `stat` says about the size of everything that holds no data of its own.
const DIRECTORY_SIZE: u64 = 4096;

pub(in crate::machined) async fn read(call: Call, request: ReadRequest) -> Result<Items<Data>, Status> {
    call.node.refresh_proc();
    let path = &request.path;
    let Some((_, entry)) = call.node.files.resolve(path) else {
        return Err(Status::not_found(format!(
            "stat {path}: no such file or directory"
        )));
    };
    let Kind::Regular(contents) = entry.kind else {
        return Err(Status::unknown("path must be a regular file"));
    };
    if let Some(reason) = entry.unreadable {
        return Err(Status::unknown(format!("open {path}: {reason}")));
    }
    Ok(data(call.node.open(&contents).pieces(CHUNK)))
}

pub(in crate::machined) async fn list(call: Call, request: ListRequest) -> Result<Items<FileInfo>, Status> {
    call.node.refresh_proc();
    let root = list_root(&request.root);
    let max_depth = match (request.recurse, usize::try_from(request.recursion_depth)) {
        (false, _) => Some(1),
        (true, Ok(0) | Err(_)) => None,
        (true, Ok(depth)) => Some(depth),
    };
    let mut found = Vec::new();
    let walked = call.node.files.walk(&root, &mut |item| {
        let Some(item) = item else {
            return Step::Into;
        };
        // What the filter takes out is not looked at any further, so that its depth does not count either.
        if !matches_types(&item.entry, &request.types) {
            return Step::Into;
        }
        found.push(Ok(file_info(&call.node, item, request.report_xattrs)));
        // The root is always gone into. Below `/` one level more than elsewhere is, unless only the direct
        // children are wanted.
        let at_limit = max_depth.is_some_and(|max| item.depth >= max);
        let child_of_slash = !request.recurse && item.relative != ".";
        if at_limit || child_of_slash {
            Step::Over
        } else {
            Step::Into
        }
    });
    match walked {
        Some(()) => Ok(Box::pin(stream::iter(found))),
        None => Err(missing(&root)),
    }
}

/// The root as the server completes it.
fn list_root(root: &str) -> String {
    let rooted = if root.starts_with('/') {
        root.to_owned()
    } else {
        format!("/{root}")
    };
    match rooted.trim_end_matches('/') {
        "" => "/".to_owned(),
        trimmed => trimmed.to_owned(),
    }
}

fn missing(path: &str) -> Status {
    Status::unknown(format!("lstat {path}: no such file or directory"))
}

fn matches_types(entry: &Entry, types: &[i32]) -> bool {
    let kind = match entry.kind {
        Kind::Regular(_) => Some(Type::Regular),
        Kind::Directory => Some(Type::Directory),
        Kind::Symlink(_) => Some(Type::Symlink),
        _ => None,
    };
    types.is_empty() || kind.is_some_and(|kind| types.contains(&kind.into()))
}

fn file_info(node: &Node, item: &Item, xattrs: bool) -> FileInfo {
    let Item { path, entry, .. } = item;
    let link = match &entry.kind {
        Kind::Symlink(target) => target.clone(),
        _ => String::new(),
    };
    let xattrs = if xattrs { entry.xattrs.as_slice() } else { &[] };
    FileInfo {
        metadata: None,
        name: path.clone(),
        size: signed(size(node, item)),
        mode: entry.go_mode(),
        modified: entry.modified,
        is_dir: entry.is_dir(),
        error: item.error().unwrap_or_default(),
        link,
        relative_name: item.relative.clone(),
        uid: entry.uid,
        gid: entry.gid,
        xattrs: xattrs
            .iter()
            .map(|(name, data)| Xattr {
                name: name.clone(),
                data: data.clone(),
            })
            .collect(),
    }
}

/// The size that `stat` says an entry has.
fn size(node: &Node, item: &Item) -> u64 {
    if let Some(claimed) = item.entry.claimed_size {
        return claimed;
    }
    match &item.entry.kind {
        _ if is_pseudo(&item.path) => 0,
        Kind::Regular(contents) => node.open(contents).len(),
        Kind::Symlink(target) => target.len() as u64,
        Kind::Directory => DIRECTORY_SIZE,
        _ => 0,
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

pub(in crate::machined) async fn disk_usage(
    call: Call,
    request: DiskUsageRequest,
) -> Result<Items<DiskUsageInfo>, Status> {
    call.node.refresh_proc();
    let mut items = Vec::new();
    for path in &request.paths {
        let root = list_root(path);
        let before = items.len();
        // A path that can be walked is the last one that is looked at.
        if usage(&call.node, &root, &request, &mut items).is_some() {
            break;
        }
        items.truncate(before);
        items.push(Ok(DiskUsageInfo {
            name: root.clone(),
            error: missing(&root).message().to_owned(),
            ..DiskUsageInfo::default()
        }));
    }
    Ok(Box::pin(stream::iter(items)))
}

/// Sizes below `root`, children before parents.
fn usage(
    node: &Node,
    root: &str,
    request: &DiskUsageRequest,
    items: &mut Vec<Result<DiskUsageInfo, Status>>,
) -> Option<()> {
    // Directories that have been entered and not left, with what was found in them so far.
    let mut open: Vec<(Item, u64)> = Vec::new();
    let mut report = |item: &Item, size: u64| {
        if let Some(error) = item.error() {
            items.push(Ok(DiskUsageInfo {
                name: item.path.clone(),
                relative_name: item.relative.clone(),
                error,
                ..DiskUsageInfo::default()
            }));
            return;
        }
        let deep = usize::try_from(request.recursion_depth).is_ok_and(|max| max > 0 && item.depth >= max);
        let size = signed(size);
        let small = request.threshold > 0 && size < request.threshold;
        let large = request.threshold < 0 && size > -request.threshold;
        if !deep && !small && !large {
            items.push(Ok(DiskUsageInfo {
                metadata: None,
                name: item.path.clone(),
                size,
                error: String::new(),
                relative_name: item.relative.clone(),
            }));
        }
    };
    node.files.walk(root, &mut |item| {
        match item {
            Some(item) if item.entry.is_dir() => open.push((item.clone(), size(node, item))),
            Some(item) => {
                let own = size(node, item);
                if let Some((_, total)) = open.last_mut() {
                    *total += own;
                }
                if request.all || open.is_empty() {
                    report(item, own);
                }
            }
            None => {
                if let Some((directory, total)) = open.pop() {
                    if let Some((_, above)) = open.last_mut() {
                        *above += total;
                    }
                    report(&directory, total);
                }
            }
        }
        Step::Into
    })
}

pub(in crate::machined) async fn copy(call: Call, request: CopyRequest) -> Result<Items<Data>, Status> {
    let root = request.root_path;
    if !root.starts_with('/') {
        return Err(Status::unknown(format!("path is not absolute {root}")));
    }
    call.node.refresh_proc();
    let mut items: Vec<(Item, Option<Source>)> = Vec::new();
    let walked = call.node.files.walk(&root, &mut |item| {
        if let Some(item) = item.filter(|item| item.relative != ".") {
            let source = match &item.entry.kind {
                Kind::Regular(contents) => Some(call.node.open(contents)),
                _ => None,
            };
            items.push((item.clone(), source));
        }
        Step::Into
    });
    walked.ok_or_else(|| missing(&root))?;
    let in_metadata = call.node.is_older_than(Release::new(1, 14));
    let state = Some(Archive::new(items));
    let pieces = stream::unfold(state, move |state| async move {
        let mut archive = state?;
        if let Some(bytes) = archive.piece(CHUNK) {
            let piece = Data {
                metadata: None,
                bytes,
            };
            return Some((Ok(piece), Some(archive)));
        }
        let skipped = archive.skipped();
        if skipped.is_empty() {
            return None;
        }
        Some((skipped_files(multi_error(skipped), in_metadata), None))
    });
    Ok(pieces.boxed())
}

/// How a node reports, after the archive, what is not in it.
#[expect(deprecated, reason = "nodes that old put it there")]
fn skipped_files(message: String, in_metadata: bool) -> Result<Data, Status> {
    let status = Status::unknown(message);
    if !in_metadata {
        return Err(status);
    }
    Ok(Data {
        metadata: Some(Metadata {
            hostname: String::new(),
            error: status.message().to_owned(),
            status: None,
        }),
        ..Data::default()
    })
}
