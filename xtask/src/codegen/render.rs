//! Runs prost and tonic once per group and writes the module tree around the results.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use heck::ToUpperCamelCase as _;

use super::groups::{Features, Group};
use super::secrets::{self, SecretMessage};
use super::{GENERATED, features, format_code};
use crate::descriptors::ProtoTree;
use crate::output::Outputs;

/// Adds one file per group, and `mod.rs` with the module tree.
pub fn stubs(tree: &ProtoTree, groups: &[Group], outputs: &mut Outputs) -> Result<()> {
    let secrets = secrets::find(&tree.pool)?;
    let mut modules = Module::default();
    for group in groups {
        let code = generate(tree, groups, group, &secrets)
            .with_context(|| format!("generating group {} of package {}", group.name, group.package))?;
        let module = modules.at(&features::module_path(&group.package));
        module.package = group.package.clone();
        module.groups.push((group.clone(), code));
    }
    let mut tree = String::new();
    modules.render("", &mut tree, outputs)?;
    outputs.insert(format!("{GENERATED}/mod.rs"), format_code(&tree)?);
    Ok(())
}

/// One module of the tree: the groups of its package and the modules inside.
#[derive(Debug, Default)]
struct Module {
    /// Empty for a module that only holds others.
    package: String,
    /// With the code of each.
    groups: Vec<(Group, String)>,
    children: BTreeMap<String, Self>,
}

impl Module {
    fn at(&mut self, path: &[&str]) -> &mut Self {
        match path {
            [] => self,
            [first, rest @ ..] => self.children.entry((*first).to_owned()).or_default().at(rest),
        }
    }

    fn features(&self) -> Features {
        let own = self
            .groups
            .iter()
            .flat_map(|(group, _)| group.features.iter().cloned());
        own.chain(self.children.values().flat_map(Self::features))
            .collect()
    }

    /// Renders what is inside this module into `tree`, and the files of it and its children, whose `folder`
    /// follows the module names.
    fn render(&self, folder: &str, tree: &mut String, outputs: &mut Outputs) -> Result<()> {
        let all = self.features();
        for (group, code) in &self.groups {
            ensure!(
                !self.children.contains_key(&group.name),
                "group {} of package {} has the name of a package inside it",
                group.name,
                self.package
            );
            // The module itself is compiled under `all` already.
            let cfg = if group.features == all {
                String::new()
            } else {
                cfg(&group.features)
            };
            writeln!(
                tree,
                "{cfg}mod {};\n{cfg}pub use self::{}::*;",
                group.name, group.name
            )?;
            outputs.insert(format!("{GENERATED}{folder}/{}.rs", group.name), code.clone());
        }
        for (name, child) in &self.children {
            let features = child.features();
            tree.push_str(&child.docs()?);
            if features != all || folder.is_empty() {
                tree.push_str(&cfg(&features));
            }
            match child.groups.as_slice() {
                [(_, code)] if child.children.is_empty() => {
                    writeln!(tree, "pub mod {name};")?;
                    outputs.insert(format!("{GENERATED}{folder}/{name}.rs"), code.clone());
                }
                _ => {
                    writeln!(tree, "pub mod {name} {{")?;
                    child.render(&format!("{folder}/{name}"), tree, outputs)?;
                    tree.push_str("}\n");
                }
            }
        }
        Ok(())
    }

    fn docs(&self) -> Result<String> {
        if self.package.is_empty() {
            let inside: Vec<_> = self.children.keys().map(|child| format!("[`{child}`]")).collect();
            return Ok(format!("/// Packages {}.\n", inside.join(", ")));
        }
        let mut docs = format!("/// Package `{}`.\n", self.package);
        let mut separator = "///\n";
        for (group, _) in &self.groups {
            for service in &group.services {
                let features: Vec<_> = group
                    .features
                    .iter()
                    .map(|feature| format!("`{feature}`"))
                    .collect();
                writeln!(
                    docs,
                    "{separator}/// - RPC service `{service}`: feature {}",
                    features.join(", ")
                )?;
                separator = "";
            }
        }
        Ok(docs)
    }
}

fn cfg(features: &Features) -> String {
    let list: Vec<_> = features
        .iter()
        .map(|feature| format!("feature = {feature:?}"))
        .collect();
    match list.as_slice() {
        [] => String::new(),
        [one] => format!("#[cfg({one})]\n"),
        several => format!("#[cfg(any({}))]\n", several.join(", ")),
    }
}

/// The Rust code of one group: everything else is declared external, so prost leaves it out, and referred to
/// by its public path.
fn generate(tree: &ProtoTree, groups: &[Group], group: &Group, secrets: &[SecretMessage]) -> Result<String> {
    let mut file_set = tree.file_set.clone();
    for file in &mut file_set.file {
        let package = file.package().to_owned();
        file.service
            .retain(|service| group.services.contains(&format!("{package}.{}", service.name())));
    }

    let mut config = prost_build::Config::new();
    config.format(false);
    config.bytes(["."]);
    config.enable_type_names();
    // Without a leading dot prost matches the end of the name: the message itself, not what is nested in it.
    config.skip_debug(secrets.iter().map(SecretMessage::full_name));
    for other in groups
        .iter()
        .filter(|other| (&other.package, &other.name) != (&group.package, &group.name))
    {
        let module = features::module_path(&other.package).join("::");
        for item in &other.items {
            let name = item.rsplit('.').next().unwrap_or(item).to_upper_camel_case();
            config.extern_path(format!(".{item}"), format!("crate::{module}::{name}"));
        }
    }

    let out_dir = tempfile::tempdir().context("creating a temporary folder")?;
    tonic_prost_build::configure()
        .build_transport(false)
        .client_mod_attribute(".", "#[cfg(feature = \"client\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"server\")]")
        .emit_rerun_if_changed(false)
        .out_dir(out_dir.path())
        .compile_fds_with_config(file_set, config)?;
    let mut code = read_only_file(out_dir.path())?;
    for secret in secrets
        .iter()
        .filter(|secret| group.items.contains(secret.full_name()))
    {
        code.push_str(&secret.debug_impl()?);
    }
    format_code(&code)
}

/// The generator must have written the group's package and nothing else.
fn read_only_file(folder: &Path) -> Result<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).context("listing the generated files")? {
        files.push(entry.context("listing the generated files")?.path());
    }
    ensure!(files.len() == 1, "expected one generated file, got {files:?}");
    std::fs::read_to_string(&files[0]).with_context(|| format!("reading {}", files[0].display()))
}
