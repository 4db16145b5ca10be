//! Brings upstream's facts into our layout, with our comments.

use std::collections::{BTreeMap, BTreeSet};

use super::cycles;
use super::docs::{self, Comment};
use super::schema::{Enum, FileLayout, Item, Message, Schema, Service, Tree};

/// Upstream's facts in the order and the files of `ours`, and our comments; and remarks on what had to move.
///
/// What we have stays where it is; what is new goes next to its upstream neighbour and is marked as
/// undocumented; what upstream no longer has is gone.
pub fn merge(ours: &Tree, upstream: &Tree) -> (Tree, Vec<String>) {
    let mut schema = upstream.schema.clone();
    for (name, item) in &mut schema.items {
        match (ours.schema.items.get(name), item) {
            (Some(Item::Service(ours)), Item::Service(item)) => reorder_service(ours, item),
            (Some(Item::Message(ours)), Item::Message(item)) => reorder_message(ours, item),
            (Some(Item::Enum(ours)), Item::Enum(item)) => reorder_enum(ours, item),
            _ => {}
        }
    }
    let mut files = Placer::new(ours, &schema).place_all(upstream);
    let new = schema
        .items
        .keys()
        .filter(|name| !ours.schema.items.contains_key(*name))
        .cloned()
        .collect();
    let notes = cycles::untangle(&schema, &mut files, &new);
    files.retain(|file| !file.items.is_empty() || !file.extensions.is_empty());

    let known: BTreeSet<_> = docs::keys(&ours.schema).into_iter().collect();
    let mut kept = BTreeMap::new();
    for key in docs::keys(&schema) {
        match ours.docs.get(&key) {
            Some(comment) => kept.insert(key, comment.clone()),
            None if known.contains(&key) => None,
            None => kept.insert(key.clone(), Comment::undocumented(&key)),
        };
    }
    for file in &files {
        for key in [docs::syntax_key(&file.path), docs::package_key(&file.path)] {
            if let Some(comment) = ours.docs.get(&key) {
                kept.insert(key, comment.clone());
            }
        }
    }
    let mut foreign = ours.foreign.clone();
    foreign.extend(upstream.foreign.clone());
    (
        Tree {
            schema,
            files,
            docs: kept,
            foreign,
        },
        notes,
    )
}

/// The entries of `new` in the order of `old`; those that `old` lacks follow the entry that they follow in
/// `new`.
fn reorder<T>(old: &[String], new: &mut [T], name: impl Fn(&T) -> &str) {
    let mut ordered: Vec<String> = old
        .iter()
        .filter(|o| new.iter().any(|n| name(n) == *o))
        .cloned()
        .collect();
    let mut previous: Option<&str> = None;
    for entry in new.iter() {
        let entry = name(entry);
        if !ordered.iter().any(|placed| placed == entry) {
            let after = previous.and_then(|previous| ordered.iter().position(|placed| placed == previous));
            ordered.insert(after.map_or(0, |index| index + 1), entry.to_owned());
        }
        previous = Some(entry);
    }
    new.sort_by_key(|entry| ordered.iter().position(|placed| placed == name(entry)));
}

fn reorder_service(ours: &Service, item: &mut Service) {
    let order: Vec<_> = ours.methods.iter().map(|method| method.name.clone()).collect();
    reorder(&order, &mut item.methods, |method| &method.name);
}

fn reorder_message(ours: &Message, item: &mut Message) {
    let order: Vec<_> = ours.fields.iter().map(|field| field.name.clone()).collect();
    reorder(&order, &mut item.fields, |field| &field.name);
    item.group_oneofs();

    let order: Vec<_> = ours.enums.iter().map(|nested| nested.name.clone()).collect();
    reorder(&order, &mut item.enums, |nested| &nested.name);
    for nested in &mut item.enums {
        if let Some(ours) = ours.enums.iter().find(|ours| ours.name == nested.name) {
            reorder_enum(ours, nested);
        }
    }
    let order: Vec<_> = ours.messages.iter().map(|nested| nested.name.clone()).collect();
    reorder(&order, &mut item.messages, |nested| &nested.name);
    for nested in &mut item.messages {
        if let Some(ours) = ours.messages.iter().find(|ours| ours.name == nested.name) {
            reorder_message(ours, nested);
        }
    }
}

fn reorder_enum(ours: &Enum, item: &mut Enum) {
    let order: Vec<_> = ours.values.iter().map(|value| value.name.clone()).collect();
    reorder(&order, &mut item.values, |value| &value.name);
    // The first value has to be zero, whatever the names were before.
    if let Some(zero) = item.values.iter().position(|value| value.number == 0) {
        let value = item.values.remove(zero);
        item.values.insert(0, value);
    }
}

/// Finds a file and a place in it for everything in `schema`.
struct Placer<'a> {
    schema: &'a Schema,
    files: Vec<FileLayout>,
}

impl<'a> Placer<'a> {
    /// Starts with the files of `ours` without what is gone.
    fn new(ours: &Tree, schema: &'a Schema) -> Self {
        let mut files = ours.files.clone();
        for file in &mut files {
            file.items.retain(|name| schema.items.contains_key(name));
            file.extensions
                .retain(|name| schema.extensions.contains_key(name));
        }
        Self { schema, files }
    }

    fn place_all(mut self, upstream: &Tree) -> Vec<FileLayout> {
        for file in &upstream.files {
            for (index, name) in file.items.iter().enumerate() {
                if self.find(name).is_none() {
                    self.place(name, index, file);
                }
            }
            for (index, name) in file.extensions.iter().enumerate() {
                if !self.files.iter().any(|ours| ours.extensions.contains(name)) {
                    self.place_extension(name, index, file);
                }
            }
        }
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        self.files
    }

    /// File and position of an item.
    fn find(&self, name: &str) -> Option<(usize, usize)> {
        self.files.iter().enumerate().find_map(|(file, layout)| {
            layout
                .items
                .iter()
                .position(|item| item == name)
                .map(|position| (file, position))
        })
    }

    fn is_service(&self, name: &str) -> bool {
        matches!(self.schema.items.get(name), Some(Item::Service(_)))
    }

    fn place(&mut self, name: &str, index: usize, upstream: &FileLayout) {
        let service = self.is_service(name);
        let alike = |other: &&String| self.is_service(other) == service;
        let before = upstream.items[..index]
            .iter()
            .rev()
            .filter(alike)
            .find_map(|other| self.find(other));
        let after = || {
            upstream.items[index + 1..]
                .iter()
                .filter(alike)
                .find_map(|other| self.find(other))
        };
        let place = match before {
            Some((file, position)) => Some((file, position + 1)),
            None => after().or_else(|| {
                if service {
                    // The first service of an area stands at the top of the file that has its messages.
                    let other = upstream.items.iter().find_map(|other| self.find(other));
                    other.map(|(file, _)| (file, 0))
                } else {
                    self.user(name, upstream)
                        .map(|file| (file, self.files[file].items.len()))
                }
            }),
        };
        let (file, position) = place.unwrap_or_else(|| {
            let file = self.new_file(upstream);
            (file, self.files[file].items.len())
        });
        self.files[file].items.insert(position, name.to_owned());
    }

    /// The file of a service, or else of a message, of the same upstream file that uses `name`.
    fn user(&self, name: &str, upstream: &FileLayout) -> Option<usize> {
        let uses = |user: &&String| {
            let item = self.schema.items.get(*user);
            item.is_some_and(|item| {
                item.references()
                    .into_iter()
                    .any(|used| self.schema.top(used) == Some(name))
            })
        };
        let mut users: Vec<_> = upstream.items.iter().filter(uses).collect();
        users.sort_by_key(|user| !self.is_service(user));
        users
            .into_iter()
            .find_map(|user| self.find(user))
            .map(|(file, _)| file)
    }

    fn place_extension(&mut self, name: &str, index: usize, upstream: &FileLayout) {
        let neighbour = upstream.extensions[..index].iter().rev().find_map(|other| {
            self.files.iter().enumerate().find_map(|(file, layout)| {
                layout
                    .extensions
                    .iter()
                    .position(|extension| extension == other)
                    .map(|at| (file, at + 1))
            })
        });
        let place = neighbour.or_else(|| {
            upstream
                .items
                .iter()
                .find_map(|item| self.find(item))
                .map(|(file, _)| (file, 0))
        });
        let (file, position) = place.unwrap_or_else(|| (self.new_file(upstream), 0));
        self.files[file].extensions.insert(position, name.to_owned());
    }

    /// The file of ours that stands for `upstream`: in the folder of its package, with its base name.
    fn new_file(&mut self, upstream: &FileLayout) -> usize {
        let base = upstream.path.rsplit('/').next().unwrap_or(&upstream.path);
        let path = format!("{}/{base}", upstream.package.replace('.', "/"));
        if let Some(present) = self
            .files
            .iter()
            .position(|file| file.path == path && file.package == upstream.package)
        {
            return present;
        }
        self.files.push(FileLayout {
            path,
            package: upstream.package.clone(),
            ..FileLayout::default()
        });
        self.files.len() - 1
    }
}
