//! The resource types: descriptors joined with the facts of `proto/resources.toml` and `proto/earlier.toml`.

pub mod convert;
pub mod enums;
pub mod groups;
pub mod names;
pub mod samples;
pub mod shapes;
pub mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use prost_reflect::{DescriptorPool, MessageDescriptor};
use serde::Deserialize;

use crate::methods::Release;
use crate::output::Outputs;

/// The facts about types, relative to the repository root.
pub const FILE: &str = "proto/resources.toml";

/// The facts about fields that changed, relative to the repository root.
pub const EARLIER: &str = "proto/earlier.toml";

/// One row of [`FILE`]; its head comment explains the keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the file documents its keys")]
pub struct Row {
    pub display: String,
    pub name: String,
    pub group: String,
    pub namespace: String,
    pub message: Option<String>,
    pub id: Option<String>,
    #[serde(default)]
    pub sensitive: bool,
    pub since: Option<Release>,
    #[serde(default)]
    pub aliases: Vec<String>,
    #[serde(default = "yes")]
    pub automatic_aliases: bool,
    #[serde(default)]
    pub columns: Vec<Column>,
    #[serde(default)]
    pub yaml: String,
    #[serde(default)]
    pub by_hand: bool,
}

const fn yes() -> bool {
    true
}

/// A column of `talosctl get`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the file documents its keys")]
pub struct Column {
    pub title: String,
    pub path: String,
}

/// A field that was different once.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the file documents its keys")]
pub struct Earlier {
    pub name: String,
    pub was: String,
    pub number: u32,
    pub until: Release,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EarlierFile {
    field: Vec<Earlier>,
}

/// All types and fields, checked against the descriptors.
#[derive(Debug)]
pub struct Resources {
    /// By full name of the type.
    pub rows: BTreeMap<String, Row>,
    /// Fields that were different once.
    pub earlier: Vec<Earlier>,
    /// The messages of the specs, and what they reach.
    pub pool: DescriptorPool,
}

impl Resources {
    /// Reads both files below `root` and checks them against `pool`.
    pub fn load(root: &Path, pool: &DescriptorPool) -> Result<Self> {
        let read = |file: &str| {
            let path = root.join(file);
            std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
        };
        let rows: BTreeMap<String, Row> =
            toml::from_str(&read(FILE)?).with_context(|| format!("in {FILE}"))?;
        let earlier: EarlierFile =
            toml::from_str(&read(EARLIER)?).with_context(|| format!("in {EARLIER}"))?;
        let resources = Self {
            rows,
            earlier: earlier.field,
            pool: pool.clone(),
        };
        resources.check()?;
        Ok(resources)
    }

    /// The message of a row's protobuf spec, unless that is empty.
    pub fn message(&self, row: &Row) -> Option<MessageDescriptor> {
        self.pool.get_message_by_name(row.message.as_deref()?)
    }

    /// The row whose spec a message is; the first one where there are several.
    pub fn row_of(&self, message: &str) -> Option<&Row> {
        self.rows
            .values()
            .find(|row| row.message.as_deref() == Some(message))
    }

    fn check(&self) -> Result<()> {
        let mut names = BTreeSet::new();
        for (kind, row) in &self.rows {
            self.check_row(row).with_context(|| format!("row {kind}"))?;
            ensure!(
                names.insert((&row.group, &row.name)),
                "row {kind}: another row of group {} is called {} too",
                row.group,
                row.name
            );
        }
        for field in &self.earlier {
            let (message, name) = field.name.rsplit_once('.').context("a field name has a dot")?;
            let found = self.pool.get_message_by_name(message);
            ensure!(
                found.is_some_and(|message| message.get_field_by_name(name).is_some()),
                "{EARLIER}: there is no field {}",
                field.name
            );
        }
        Ok(())
    }

    fn check_row(&self, row: &Row) -> Result<()> {
        let Some(name) = &row.message else {
            return Ok(());
        };
        let message = self
            .pool
            .get_message_by_name(name)
            .with_context(|| format!("there is no message {name}"))?;
        if row.yaml.is_empty() {
            return Ok(());
        }
        let keys = yaml_keys(row)?;
        let numbers: BTreeSet<u32> = message.fields().map(|field| field.number()).collect();
        ensure!(
            numbers == keys.keys().copied().collect(),
            "`yaml` must have a key for each field of {name}"
        );
        Ok(())
    }
}

/// Keys of the YAML spec by number of the field.
pub fn yaml_keys(row: &Row) -> Result<BTreeMap<u32, &str>> {
    let pairs = row.yaml.split_whitespace().map(|pair| {
        let (key, number) = pair
            .rsplit_once('#')
            .with_context(|| format!("{pair:?} is not key#number"))?;
        Ok((number.parse()?, key))
    });
    pairs.collect()
}

/// Adds everything that is made of the rows.
pub fn render(resources: &Resources, outputs: &mut Outputs) -> Result<()> {
    table::render(resources, outputs)?;
    samples::render(resources, outputs)?;
    groups::render(resources, outputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptors::ProtoTree;
    use crate::workspace;

    fn pool() -> DescriptorPool {
        ProtoTree::load(&workspace::root().join("proto")).unwrap().pool
    }

    fn load(rows: &str) -> Result<Resources> {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("proto")).unwrap();
        std::fs::write(root.path().join(FILE), rows).unwrap();
        std::fs::write(root.path().join(EARLIER), "field = []\n").unwrap();
        Resources::load(root.path(), &pool())
    }

    const DISK: &str = "[\"Disks.block.talos.dev\"]\ndisplay = \"Disk\"\nname = \"Disk\"\ngroup = \"block\"\nnamespace = \"runtime\"\n";

    #[test]
    fn rows_have_to_fit_the_messages() {
        load(DISK).unwrap();
        let cases = [
            ("message = \"a.Nothing\"\n", "there is no message a.Nothing"),
            (
                "message = \"talos.resource.definitions.cluster.IdentitySpec\"\nyaml = \"nodeId#2\"\n",
                "`yaml` must have a key for each field of talos.resource.definitions.cluster.IdentitySpec",
            ),
            ("surprise = 1\n", "unknown field `surprise`"),
        ];
        for (line, expected) in cases {
            let error = format!("{:#}", load(&format!("{DISK}{line}")).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
        let twice = format!("{DISK}{}", DISK.replace("Disks.", "Plates."));
        let error = format!("{:#}", load(&twice).unwrap_err());
        assert!(
            error.contains("another row of group block is called Disk too"),
            "{error}"
        );
    }

    #[test]
    fn all_types_of_the_release_have_a_row() {
        let resources = Resources::load(&workspace::root(), &pool()).unwrap();
        let talos = resources
            .rows
            .keys()
            .filter(|kind| !kind.ends_with(".meta.cosi.dev"));
        assert_eq!(talos.count(), crate::coverage::RESOURCE_TYPES);
        assert_eq!(resources.earlier.len(), 16);
    }
}
