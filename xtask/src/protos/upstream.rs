//! Reads upstream's `.proto` files and decides which of them concern us.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use prost_reflect::{DescriptorPool, FileDescriptor, Kind, MessageDescriptor};

use super::schema::{FileLayout, Tree};
use super::{extract, read};
use crate::descriptors::proto_files;

/// Packages below this one are part of the API, but another repository holds them: where no folder that was
/// given has such a package, ours stays as it is.
const KEPT_WITHOUT_UPSTREAM: &str = "cosi";

/// Folder of the protos in a Talos checkout.
const API: &str = "api";

/// Folder of third-party protos, below the one of the protos.
const VENDOR: &str = "vendor";

/// What upstream says.
#[derive(Debug)]
pub struct Upstream {
    /// Facts and layout; comments are left out.
    pub tree: Tree,
    /// Remarks for the report.
    pub notes: Vec<String>,
}

/// Folders with `.proto` files.
#[derive(Debug)]
struct Roots {
    /// Where files and imports are looked up, in this order.
    all: Vec<PathBuf>,
    /// Files of the first root: all are upstream's own.
    own: BTreeSet<String>,
    /// Files of the other roots: only some concern us.
    others: BTreeMap<String, PathBuf>,
}

/// Reads the checkout (or plain folder of protos) `dir`, with `includes` as further places for imports.
///
/// Everything below `dir/api` (or `dir`) counts, except for `vendor` in it. A file there or in an include
/// counts if a type of it is used, or if we have taken something over from it before.
pub fn load(dir: &Path, includes: &[PathBuf], ours: &Tree) -> Result<Upstream> {
    let roots = Roots::find(dir, includes)?;
    let known = roots.packages_and_familiar(ours);
    let names = roots.own.iter().chain(&known.familiar).map(String::as_str);
    let pool = read::compile(&roots.all, names).map_err(|error| {
        let lacking = error.to_string().contains("not found");
        let hint = if lacking {
            "; if another folder has it, give that with --include"
        } else {
            ""
        };
        anyhow!("reading the protos of {}: {error:#}{hint}", dir.display())
    })?;

    let mut files = roots.own.clone();
    files.extend(known.familiar);
    files.extend(used(&pool, &files));
    let mut tree = extract::extract(&pool, &files).with_context(|| format!("reading {}", dir.display()))?;
    tree.docs.clear();
    tree.files
        .retain(|file| !file.items.is_empty() || !file.extensions.is_empty());

    let mut notes = keep_without_upstream(&mut tree, ours, &known.packages);
    notes.extend(renamed(&tree, ours));
    Ok(Upstream { tree, notes })
}

struct Known {
    /// Packages of all files, used or not.
    packages: BTreeSet<String>,
    /// Files outside upstream's own that define something we have.
    familiar: BTreeSet<String>,
}

impl Roots {
    fn find(dir: &Path, includes: &[PathBuf]) -> Result<Self> {
        let api = dir.join(API);
        let first = if api.is_dir() { api } else { dir.to_path_buf() };
        let vendored = format!("{VENDOR}/");
        let mut own: BTreeSet<_> = proto_files(&first)?.into_iter().collect();
        own.retain(|file| !file.starts_with(&vendored));
        ensure!(!own.is_empty(), "no .proto file below {}", first.display());

        let mut all = vec![first.clone()];
        let vendor = first.join(VENDOR);
        all.extend(vendor.is_dir().then_some(vendor));
        for include in includes {
            ensure!(
                include.is_dir(),
                "--include {}: no such folder",
                include.display()
            );
            all.push(include.clone());
        }
        let mut others = BTreeMap::new();
        for root in &all[1..] {
            for file in proto_files(root)?.into_iter().filter(|file| !own.contains(file)) {
                others.entry(file).or_insert_with(|| root.clone());
            }
        }
        Ok(Self { all, own, others })
    }

    /// Looks into the files without linking them: those that do not concern us may import what is not there.
    fn packages_and_familiar(&self, ours: &Tree) -> Known {
        let mut known = Known {
            packages: BTreeSet::new(),
            familiar: BTreeSet::new(),
        };
        let own = self.own.iter().map(|file| (file, &self.all[0]));
        for (file, root) in own.chain(&self.others) {
            let Ok(parsed) = protox::file::File::open(file, &root.join(file)) else {
                continue;
            };
            let descriptor = parsed.file_descriptor_proto();
            let package = descriptor.package();
            known.packages.insert(package.to_owned());
            let messages = descriptor.message_type.iter().map(|message| message.name());
            let enums = descriptor.enum_type.iter().map(|item| item.name());
            let services = descriptor.service.iter().map(|service| service.name());
            let mut names = messages
                .chain(enums)
                .chain(services)
                .map(|name| format!("{package}.{name}"));
            if self.others.contains_key(file) && names.any(|name| ours.schema.items.contains_key(&name)) {
                known.familiar.insert(file.clone());
            }
        }
        known
    }
}

/// The files, well-known ones apart, whose types the `start` files use, directly or not.
fn used(pool: &DescriptorPool, start: &BTreeSet<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut pending: Vec<String> = start.iter().cloned().collect();
    while let Some(name) = pending.pop() {
        let Some(file) = pool.get_file_by_name(&name) else {
            continue;
        };
        for target in targets(&file) {
            if !target.starts_with("google/protobuf/")
                && !start.contains(&target)
                && found.insert(target.clone())
            {
                pending.push(target);
            }
        }
    }
    found
}

/// Files of all types that `file` uses.
fn targets(file: &FileDescriptor) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut add = |file: FileDescriptor| {
        found.insert(file.name().to_owned());
    };
    for service in file.services() {
        for method in service.methods() {
            add(method.input().parent_file());
            add(method.output().parent_file());
        }
    }
    for extension in file.extensions() {
        of_kind(&extension.kind(), &mut add);
    }
    let mut pending: Vec<MessageDescriptor> = file.messages().collect();
    while let Some(message) = pending.pop() {
        message
            .fields()
            .for_each(|field| of_kind(&field.kind(), &mut add));
        pending.extend(message.child_messages());
    }
    found
}

fn of_kind(kind: &Kind, add: &mut impl FnMut(FileDescriptor)) {
    match kind {
        Kind::Message(message) => add(message.parent_file()),
        Kind::Enum(item) => add(item.parent_file()),
        _ => {}
    }
}

/// Takes our packages over that upstream keeps in another repository, unless that was given too.
fn keep_without_upstream(tree: &mut Tree, ours: &Tree, packages: &BTreeSet<String>) -> Vec<String> {
    let mut notes = BTreeSet::new();
    for file in &ours.files {
        let elsewhere = file.package.split('.').next() == Some(KEPT_WITHOUT_UPSTREAM);
        if !elsewhere || packages.contains(&file.package) {
            continue;
        }
        notes.insert(format!(
            "package {} is not part of upstream and stays as it is; to compare it, give its protos with --include",
            file.package
        ));
        let schema = &mut tree.schema;
        schema.items.extend(of(&ours.schema.items, &file.items));
        schema
            .extensions
            .extend(of(&ours.schema.extensions, &file.extensions));
        tree.files.push(file.clone());
        tree.foreign.extend(ours.foreign.clone());
    }
    notes.into_iter().collect()
}

fn of<T: Clone>(all: &BTreeMap<String, T>, names: &[String]) -> Vec<(String, T)> {
    names
        .iter()
        .filter_map(|name| Some((name.clone(), all.get(name)?.clone())))
        .collect()
}

/// Notes files whose contents are one file of ours with another name. Where one side splits what the other
/// keeps together there is no name to compare.
fn renamed(upstream: &Tree, ours: &Tree) -> Vec<String> {
    let holders = |tree: &Tree, file: &FileLayout| -> BTreeSet<String> {
        let holder = |item: &String| tree.files.iter().find(|file| file.items.contains(item));
        file.items
            .iter()
            .filter_map(holder)
            .map(|file| file.path.clone())
            .collect()
    };
    let base = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let mut notes = Vec::new();
    for file in &upstream.files {
        let there = holders(ours, file);
        let Some(mine) = ours
            .files
            .iter()
            .find(|mine| there.len() == 1 && there.contains(&mine.path))
        else {
            continue;
        };
        if holders(upstream, mine).len() == 1 && base(&mine.path) != base(&file.path) {
            notes.push(format!(
                "upstream's file {} is our {} (no difference on the wire)",
                file.path, mine.path
            ));
        }
    }
    notes
}
