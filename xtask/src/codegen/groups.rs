//! Splits the items of each package by the set of features that reach them.
//!
//! The unit is a top-level message or enum with everything nested in it. An item that several services use is
//! compiled when any of them is on, an item of one service only with that service; so a feature brings in
//! exactly what its service reaches.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use heck::ToSnakeCase as _;
use prost_reflect::{DescriptorPool, EnumDescriptor, Kind, MessageDescriptor};

use super::features;

/// A set of feature names; an item is compiled when any of them is on.
pub type Features = BTreeSet<String>;

/// The items of one package that share one set of features, and thus one generated file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Protobuf package.
    pub package: String,
    /// Module and file name, unique in its package.
    pub name: String,
    /// The features that turn it on.
    pub features: Features,
    /// Full names of its top-level messages and enums.
    pub items: BTreeSet<String>,
    /// Full names of its services.
    pub services: BTreeSet<String>,
}

/// Groups everything in `pool` but the well-known types, sorted by package and name.
pub fn group(pool: &DescriptorPool) -> Result<Vec<Group>> {
    let items = Items::collect(pool);
    let (features, unreached) = items.features(pool)?;

    let mut groups: BTreeMap<(String, Features), Group> = BTreeMap::new();
    let mut group_of = |package: &str, features: Features, add: &mut dyn FnMut(&mut Group)| {
        let key = (package.to_owned(), features.clone());
        add(groups.entry(key).or_insert_with(|| Group {
            package: package.to_owned(),
            name: String::new(),
            features,
            items: BTreeSet::new(),
            services: BTreeSet::new(),
        }));
    };
    for (item, set) in features {
        let package = items.0[&item].package.clone();
        group_of(&package, set, &mut |group| {
            group.items.insert(item.clone());
        });
    }
    for service in pool.services() {
        let set = Features::from([features::of_service(service.full_name())?.to_owned()]);
        group_of(service.package_name(), set, &mut |group| {
            group.services.insert(service.full_name().to_owned());
        });
    }

    let mut groups: Vec<_> = groups.into_values().collect();
    let mut groups_in: BTreeMap<String, usize> = BTreeMap::new();
    for group in &groups {
        *groups_in.entry(group.package.clone()).or_default() += 1;
    }
    for group in &mut groups {
        group.name = if groups_in[&group.package] == 1 {
            last_segment(&group.package).to_owned()
        } else {
            items.name(group, &unreached)?
        };
    }
    groups.sort_by(|a, b| (&a.package, &a.name).cmp(&(&b.package, &b.name)));
    for pair in groups.windows(2) {
        ensure!(
            (&pair[0].package, &pair[0].name) != (&pair[1].package, &pair[1].name),
            "two groups of package {} are both called {}",
            pair[0].package,
            pair[0].name
        );
    }
    Ok(groups)
}

/// Top-level items by full name.
#[derive(Debug, Default)]
struct Items(BTreeMap<String, Item>);

#[derive(Debug)]
struct Item {
    package: String,
    /// Top-level items that its fields name, nested messages included.
    refers_to: BTreeSet<String>,
}

impl Items {
    fn collect(pool: &DescriptorPool) -> Self {
        let mut items = BTreeMap::new();
        for message in pool
            .all_messages()
            .filter(|message| message.parent_message().is_none())
        {
            let mut refers_to = BTreeSet::new();
            references(&message, &mut refers_to);
            refers_to.remove(message.full_name());
            items.insert(
                message.full_name().to_owned(),
                Item {
                    package: message.package_name().to_owned(),
                    refers_to,
                },
            );
        }
        for item in pool.all_enums().filter(|item| item.parent_message().is_none()) {
            items.insert(
                item.full_name().to_owned(),
                Item {
                    package: item.package_name().to_owned(),
                    refers_to: BTreeSet::new(),
                },
            );
        }
        items.retain(|name, _| !is_well_known(name));
        for item in items.values_mut() {
            item.refers_to.retain(|name| !is_well_known(name));
        }
        Self(items)
    }

    /// The features of every item, and the items that no feature reaches by itself.
    fn features(&self, pool: &DescriptorPool) -> Result<(BTreeMap<String, Features>, BTreeSet<String>)> {
        let mut found: BTreeMap<String, Features> = BTreeMap::new();
        for service in pool.services() {
            let feature = features::of_service(service.full_name())?;
            for method in service.methods() {
                self.mark(&top_level(&method.input()), feature, &mut found);
                self.mark(&top_level(&method.output()), feature, &mut found);
            }
        }
        for (name, item) in &self.0 {
            if let Some(feature) = features::of_definitions(&item.package) {
                self.mark(name, &feature, &mut found);
            }
        }
        let unreached: BTreeSet<_> = self
            .0
            .keys()
            .filter(|name| !found.contains_key(*name))
            .cloned()
            .collect();
        for name in &unreached {
            if let Some(feature) = features::of_unreached(&self.0[name].package) {
                self.mark(name, &feature, &mut found);
            }
        }
        for name in &unreached {
            self.ride_along(name, &mut found)?;
        }
        Ok((found, unreached))
    }

    /// Adds `feature` to `item` and to everything it reaches.
    fn mark(&self, item: &str, feature: &str, found: &mut BTreeMap<String, Features>) {
        let Some((name, item)) = self.0.get_key_value(item) else {
            return;
        };
        if found.entry(name.clone()).or_default().insert(feature.to_owned()) {
            for reference in &item.refers_to {
                self.mark(reference, feature, found);
            }
        }
    }

    /// Gives an item that nothing reaches the features under which all it refers to is there, or else those
    /// of the rest of its package.
    fn ride_along(&self, name: &str, found: &mut BTreeMap<String, Features>) -> Result<Features> {
        if let Some(known) = found.get(name) {
            return Ok(known.clone());
        }
        let item = self
            .0
            .get(name)
            .with_context(|| format!("{name} is not a top-level item"))?;
        let mut common: Option<Features> = None;
        for reference in &item.refers_to {
            let theirs = self.ride_along(reference, found)?;
            common = Some(match common {
                None => theirs,
                Some(ours) => ours.intersection(&theirs).cloned().collect(),
            });
        }
        let features = common.unwrap_or_else(|| {
            let siblings = found
                .iter()
                .filter(|(sibling, _)| self.0[*sibling].package == item.package);
            siblings
                .flat_map(|(_, features)| features.iter().cloned())
                .collect()
        });
        ensure!(
            !features.is_empty(),
            "no feature turns {name} on: nothing uses it"
        );
        found.insert(name.to_owned(), features.clone());
        Ok(features)
    }

    /// Names a group: after its one feature, or after the item at its root when several features share it.
    /// The feature of the package itself goes without saying.
    fn name(&self, group: &Group, unreached: &BTreeSet<String>) -> Result<String> {
        let own = features::of_definitions(&group.package);
        let mut others = group
            .features
            .iter()
            .filter(|feature| Some(*feature) != own.as_ref());
        if let (Some(feature), None, _) | (None, _, Some(feature)) =
            (others.next(), others.next(), own.as_ref())
        {
            return Ok(feature.trim_start_matches("def-").to_owned());
        }
        let inner: BTreeSet<_> = group
            .items
            .iter()
            .flat_map(|item| &self.0[item].refers_to)
            .collect();
        let is_root = |item: &&String| !inner.contains(item) && !unreached.contains(*item);
        let Some(root) = group.items.iter().find(is_root).or_else(|| group.items.first()) else {
            bail!("a group of package {} has no item", group.package)
        };
        Ok(last_segment(root).to_snake_case())
    }
}

fn last_segment(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn is_well_known(name: &str) -> bool {
    name.starts_with("google.protobuf.")
}

fn references(message: &MessageDescriptor, found: &mut BTreeSet<String>) {
    for field in message.fields() {
        match field.kind() {
            Kind::Message(target) => found.insert(top_level(&target)),
            Kind::Enum(target) => found.insert(top_level_of_enum(&target)),
            _ => false,
        };
    }
    for child in message.child_messages() {
        references(&child, found);
    }
}

fn top_level(message: &MessageDescriptor) -> String {
    match message.parent_message() {
        Some(parent) => top_level(&parent),
        None => message.full_name().to_owned(),
    }
}

fn top_level_of_enum(item: &EnumDescriptor) -> String {
    match item.parent_message() {
        Some(parent) => top_level(&parent),
        None => item.full_name().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptors::ProtoTree;

    const STORAGE: &str = r#"
        syntax = "proto3";
        package storage;
        import "common.proto";
        import "google/protobuf/empty.proto";
        service StorageService { rpc A(Request) returns (google.protobuf.Empty); }
        message Request { common.Shared shared = 1; Inner.Deep deep = 2; }
        message Inner { message Deep { common.OnlyStorage only = 1; } }
    "#;

    const TIME: &str = r#"
        syntax = "proto3";
        package time;
        import "common.proto";
        service TimeService { rpc A(common.Shared) returns (stream Reply); }
        message Reply { map<string, Value> values = 1; Reply itself = 2; oneof o { Kind kind = 3; } }
        message Value {}
        enum Kind { UNSET = 0; }
    "#;

    const COMMON: &str = r#"
        syntax = "proto3";
        package common;
        message Shared { Part part = 1; }
        message Part {}
        message OnlyStorage {}
        message Wrapper { Shared shared = 1; OnlyStorage only = 2; }
        message Alone {}
    "#;

    const DEFINITIONS: &str = r#"
        syntax = "proto3";
        package talos.resource.definitions.etcd;
        import "common.proto";
        message Spec { common.OnlyStorage only = 1; }
    "#;

    fn pool(files: &[(&str, &str)]) -> DescriptorPool {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        ProtoTree::load(folder.path()).unwrap().pool
    }

    /// `package/name: features: items and services`, a line a group.
    fn grouped(files: &[(&str, &str)]) -> Vec<String> {
        let render = |group: Group| {
            let join = |set: &BTreeSet<String>| set.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
            let items: BTreeSet<_> = group
                .items
                .union(&group.services)
                .map(|item| last_segment(item).to_owned())
                .collect();
            format!(
                "{}/{}: {}: {}",
                group.package,
                group.name,
                join(&group.features),
                join(&items)
            )
        };
        group(&pool(files)).unwrap().into_iter().map(render).collect()
    }

    #[test]
    fn items_are_split_by_what_reaches_them() {
        let files = [
            ("storage.proto", STORAGE),
            ("time.proto", TIME),
            ("common.proto", COMMON),
            ("etcd.proto", DEFINITIONS),
        ];
        assert_eq!(
            grouped(&files),
            [
                "common/alone: def-etcd storage time: Alone",
                "common/only_storage: def-etcd storage: OnlyStorage",
                "common/shared: storage time: Part Shared",
                "common/storage: storage: Wrapper",
                "storage/storage: storage: Inner Request StorageService",
                "talos.resource.definitions.etcd/etcd: def-etcd: Spec",
                "time/time: time: Kind Reply TimeService Value",
            ]
        );
    }

    #[test]
    fn a_service_without_a_feature_is_refused() {
        let error = group(&pool(&[
            ("time.proto", &TIME.replace("TimeService", "ClockService")),
            ("common.proto", COMMON),
        ]));
        assert!(
            error
                .unwrap_err()
                .to_string()
                .starts_with("service time.ClockService has no feature")
        );
    }

    #[test]
    fn an_item_that_nothing_leads_to_is_refused() {
        let error = group(&pool(&[(
            "a.proto",
            "syntax = \"proto3\"; package a; message A {}",
        )]))
        .unwrap_err();
        assert_eq!(error.to_string(), "no feature turns a.A on: nothing uses it");
    }

    #[test]
    fn the_services_of_package_machine_share_no_item() {
        let tree = ProtoTree::load(&crate::workspace::root().join("proto")).unwrap();
        let groups = group(&tree.pool).unwrap();
        let services: Vec<_> = groups.iter().filter(|group| group.package == "machine").collect();
        assert_eq!(services.len(), 6);
        for group in services {
            assert_eq!(
                (group.features.len(), group.services.len()),
                (1, 1),
                "{}",
                group.name
            );
        }
    }
}
