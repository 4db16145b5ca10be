//! Renders the method table of talos-proto.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use heck::{ToShoutySnakeCase as _, ToSnakeCase as _};

use super::{GENERATED, format_code};
use crate::methods::{Method, Methods, Release};
use crate::output::Outputs;

/// Adds `methods.rs`: a constant per RPC in a module per service, and the table of all.
pub fn table(methods: &Methods, outputs: &mut Outputs) -> Result<()> {
    let mut code = String::from("use super::{MethodInfo, Release};\n");
    writeln!(code, "/// The Talos release that this crate describes.")?;
    writeln!(
        code,
        "pub const TALOS_RELEASE: Release = {};",
        release(methods.release)
    )?;
    writeln!(
        code,
        "/// All RPCs, sorted by path.\npub const METHODS: &[MethodInfo] = &["
    )?;
    for method in &methods.all {
        writeln!(code, "{}::{},", module_path(method).join("::"), constant(method))?;
    }
    code.push_str("];\n");

    let mut root = Module::default();
    for method in &methods.all {
        root.at(&module_path(method)).methods.push(method);
    }
    root.render(&mut code)?;
    outputs.insert(format!("{GENERATED}/methods.rs"), format_code(&code)?);
    Ok(())
}

#[derive(Debug, Default)]
struct Module<'a> {
    methods: Vec<&'a Method>,
    children: BTreeMap<String, Self>,
}

impl<'a> Module<'a> {
    fn at(&mut self, path: &[String]) -> &mut Self {
        match path {
            [] => self,
            [first, rest @ ..] => self.children.entry(first.clone()).or_default().at(rest),
        }
    }

    fn render(&self, code: &mut String) -> Result<()> {
        for (name, child) in &self.children {
            match child.methods.first() {
                Some(method) => {
                    let service = method.service_full_name();
                    writeln!(code, "/// RPCs of `{service}`.\npub mod {name} {{")?;
                    writeln!(code, "use crate::methods::*;")?;
                    writeln!(
                        code,
                        "/// Full name of the service.\npub const SERVICE: &str = {service:?};"
                    )?;
                }
                None => writeln!(code, "/// Services of package `{name}`.\npub mod {name} {{")?,
            }
            for method in &child.methods {
                write!(code, "{}", constant_item(method)?)?;
            }
            child.render(code)?;
            code.push_str("}\n");
        }
        Ok(())
    }
}

fn module_path(method: &Method) -> Vec<String> {
    let mut path: Vec<_> = method.package.split('.').map(str::to_owned).collect();
    path.push(method.service.to_snake_case());
    path
}

fn constant(method: &Method) -> String {
    method.name.to_shouty_snake_case()
}

fn constant_item(method: &Method) -> Result<String> {
    let facts = &method.facts;
    let streaming = match method.streaming() {
        "unary" => "Unary",
        "client" => "Client",
        "server" => "Server",
        _ => "Bidirectional",
    };
    let mut code = format!(
        "/// `{}`: {}, {}",
        method.path(),
        method.streaming(),
        facts.safety
    );
    if let Some(why) = &facts.why {
        write!(code, ": {why}")?;
    }
    let roles: Vec<_> = facts.roles.iter().map(|role| format!("Role::{role:?}")).collect();
    write!(
        code,
        ".\npub const {}: MethodInfo = MethodInfo {{\n\
         service: SERVICE,\n\
         name: {:?},\n\
         path: {:?},\n\
         streaming: Streaming::{streaming},\n\
         safety: Safety::{:?},\n\
         roles: &[{}],\n\
         control_plane_only: {},\n\
         maintenance: Maintenance::{:?},\n\
         served_by: ServedBy::{:?},\n\
         since: {},\n\
         deprecated: {},\n\
         removed_in: {},\n\
         replacement: &{:?},\n\
         aggregatable: {},\n\
         }};\n",
        constant(method),
        method.name,
        method.path(),
        facts.safety,
        roles.join(", "),
        facts.control_plane,
        facts.maintenance,
        facts.served_by,
        optional_release(facts.since),
        method.deprecated,
        optional_release(method.removed_in),
        facts.replacement,
        facts.aggregatable,
    )?;
    Ok(code)
}

fn optional_release(value: Option<Release>) -> String {
    value.map_or_else(|| "None".to_owned(), |value| format!("Some({})", release(value)))
}

fn release(Release(major, minor): Release) -> String {
    format!("Release::new({major}, {minor})")
}
