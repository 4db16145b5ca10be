//! The RPCs: descriptors joined with the reviewed facts of `proto/methods.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use prost_reflect::{DescriptorPool, MethodDescriptor, Value};
use serde::Deserialize;

use crate::codegen::features;

mod facts;

pub use facts::{Facts, Maintenance, Release, Role, Safety, ServedBy};

/// The reviewed file, relative to the repository root.
pub const FILE: &str = "proto/methods.toml";

/// Option of a method that names the release that removes it.
const REMOVED_IN: &str = "common.remove_deprecated_method";

/// All RPCs of a release.
#[derive(Debug)]
pub struct Methods {
    /// The Talos release that the descriptors and rows are about.
    pub release: Release,
    /// Sorted by path.
    pub all: Vec<Method>,
}

/// One RPC.
#[derive(Debug)]
pub struct Method {
    /// Package, such as `machine`.
    pub package: String,
    /// Name of the service without its package.
    pub service: String,
    /// Name of the RPC.
    pub name: String,
    /// Cargo feature that turns it on.
    pub feature: &'static str,
    /// Whether the request is a stream.
    pub client_streaming: bool,
    /// Whether the response is a stream.
    pub server_streaming: bool,
    /// Whether the descriptors mark it as deprecated.
    pub deprecated: bool,
    /// The release that removes it.
    pub removed_in: Option<Release>,
    /// The reviewed facts.
    pub facts: Facts,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    talos_release: Release,
    #[serde(flatten)]
    services: BTreeMap<String, BTreeMap<String, Facts>>,
}

impl Methods {
    /// Reads [`FILE`] below `root` and joins it with `pool`.
    pub fn load(root: &Path, pool: &DescriptorPool) -> Result<Self> {
        let path = root.join(FILE);
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Self::join(&text, pool).with_context(|| format!("in {FILE}"))
    }

    /// Joins the text of the reviewed file with `pool`; every RPC must have a row and every row an RPC.
    pub fn join(text: &str, pool: &DescriptorPool) -> Result<Self> {
        let mut file: File = toml::from_str(text)?;
        let mut all = Vec::new();
        let mut missing = Vec::new();
        for service in pool.services() {
            let rows = file.services.get_mut(service.full_name());
            let mut rows = rows.map(std::mem::take).unwrap_or_default();
            for method in service.methods() {
                match rows.remove(method.name()) {
                    Some(facts) => all.push(Method::new(&method, facts)?),
                    None => missing.push(format!("{}/{}", service.full_name(), method.name())),
                }
            }
            file.services.insert(service.full_name().to_owned(), rows);
        }
        ensure!(
            missing.is_empty(),
            "no row for {}: add one and say how safe it is",
            missing.join(", ")
        );
        let unknown = file
            .services
            .iter()
            .flat_map(|(service, rows)| rows.keys().map(move |row| format!("{service}/{row}")));
        let unknown: Vec<_> = unknown.collect();
        ensure!(unknown.is_empty(), "no RPC for the rows {}", unknown.join(", "));

        all.sort_by_key(Method::path);
        let methods = Self {
            release: file.talos_release,
            all,
        };
        for method in &methods.all {
            methods
                .validate(method)
                .with_context(|| format!("row of {method}"))?;
        }
        Ok(methods)
    }

    /// Whether there is an RPC called `service/name`.
    pub fn contains(&self, full_name: &str) -> bool {
        self.all.iter().any(|method| method.to_string() == full_name)
    }

    fn validate(&self, method: &Method) -> Result<()> {
        let facts = &method.facts;
        match (facts.safety, facts.why.as_deref()) {
            (Safety::ReadOnly, Some(_)) => bail!("`why` is for rows that are not read-only"),
            (Safety::Idempotent | Safety::Unsafe, None | Some("")) => bail!("`why` is missing"),
            _ => {}
        }
        ensure!(
            !method.client_streaming || facts.safety == Safety::Unsafe,
            "nobody can replay a stream from the client, so it must be unsafe"
        );
        let roles_apply = facts.served_by == ServedBy::Apid;
        ensure!(
            roles_apply != facts.roles.is_empty(),
            "`roles` must be there exactly where apid serves"
        );
        ensure!(
            roles_apply != (facts.maintenance == Maintenance::NotServed),
            "`maintenance` must be not-served exactly where something else than apid serves"
        );
        ensure!(
            facts.since.is_none_or(|since| since <= self.release),
            "`since` is newer than the protos"
        );
        ensure!(
            method.deprecated || method.removed_in.is_none(),
            "the descriptors announce its removal without marking it as deprecated"
        );
        ensure!(
            method.deprecated != facts.replacement.is_empty(),
            "`replacement` must be there exactly for deprecated RPCs"
        );
        for replacement in &facts.replacement {
            ensure!(
                self.contains(replacement),
                "`replacement` names {replacement}, which is no RPC"
            );
        }
        Ok(())
    }
}

impl Method {
    fn new(method: &MethodDescriptor, facts: Facts) -> Result<Self> {
        let service = method.parent_service();
        let options = method.options();
        let deprecated = options
            .get_field_by_name("deprecated")
            .is_some_and(|value| *value == Value::Bool(true));
        let removed_in = match method.parent_pool().get_extension_by_name(REMOVED_IN) {
            Some(extension) if options.has_extension(&extension) => {
                let value = options.get_extension(&extension);
                let text = value
                    .as_str()
                    .with_context(|| format!("{REMOVED_IN} is not text"))?;
                Some(Release::try_from(text.to_owned()).map_err(anyhow::Error::msg)?)
            }
            _ => None,
        };
        Ok(Self {
            package: service.package_name().to_owned(),
            service: service.name().to_owned(),
            name: method.name().to_owned(),
            feature: features::of_service(service.full_name())?,
            client_streaming: method.is_client_streaming(),
            server_streaming: method.is_server_streaming(),
            deprecated,
            removed_in,
            facts,
        })
    }

    /// Full name of the service.
    pub fn service_full_name(&self) -> String {
        format!("{}.{}", self.package, self.service)
    }

    /// Path of the HTTP/2 request.
    pub fn path(&self) -> String {
        format!("/{self}")
    }

    /// The streaming kind in words.
    pub fn streaming(&self) -> &'static str {
        match (self.client_streaming, self.server_streaming) {
            (false, false) => "unary",
            (true, false) => "client",
            (false, true) => "server",
            (true, true) => "bidirectional",
        }
    }
}

/// The full name, such as `machine.MachineService/Version`.
impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}/{}", self.package, self.service, self.name)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::descriptors::ProtoTree;

    const PROTO: &str = r#"
        syntax = "proto3";
        package time;
        message M {}
        service TimeService {
            rpc Put(stream M) returns (M);
            rpc Get(M) returns (stream M);
            rpc Old(M) returns (M) { option deprecated = true; option (common.remove_deprecated_method) = "v1.18"; }
        }
        import "common/common.proto";
    "#;

    const ROWS: &str = r#"
        talos-release = "v1.14"
        ["time.TimeService"]
        Get = { safety = "read-only", roles = ["admin", "reader"], maintenance = "allowed", aggregatable = true }
        Put = { safety = "unsafe", why = "x", roles = ["admin"], maintenance = "denied", aggregatable = true }
        Old = { safety = "unsafe", why = "x", roles = ["admin"], maintenance = "denied", aggregatable = false, control-plane = true, since = "v1.13", replacement = ["time.TimeService/Get"] }
    "#;

    fn pool() -> DescriptorPool {
        pool_of(PROTO)
    }

    fn pool_of(proto: &str) -> DescriptorPool {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("common")).unwrap();
        let common = "syntax = \"proto3\"; package common; import \"google/protobuf/descriptor.proto\"; \
                      extend google.protobuf.MethodOptions { string remove_deprecated_method = 93117; }";
        std::fs::write(folder.path().join("common/common.proto"), common).unwrap();
        std::fs::write(folder.path().join("t.proto"), proto).unwrap();
        ProtoTree::load(folder.path()).unwrap().pool
    }

    /// Three RPCs for the tests of other modules.
    pub(crate) fn sample() -> Methods {
        Methods::join(ROWS, &pool()).unwrap()
    }

    #[track_caller]
    fn refused(from: &str, to: &str) -> String {
        assert!(ROWS.contains(from), "{from}");
        format!(
            "{:#}",
            Methods::join(&ROWS.replacen(from, to, 1), &pool()).unwrap_err()
        )
    }

    #[test]
    fn joins_descriptors_and_rows() {
        let methods = sample();
        let paths: Vec<_> = methods.all.iter().map(Method::path).collect();
        assert_eq!(
            paths,
            [
                "/time.TimeService/Get",
                "/time.TimeService/Old",
                "/time.TimeService/Put"
            ]
        );
        let old = &methods.all[1];
        assert!(old.deprecated && old.facts.control_plane);
        assert_eq!(
            (old.removed_in, old.facts.since),
            (Some(Release(1, 18)), Some(Release(1, 13)))
        );
        assert_eq!(
            methods.all.iter().map(Method::streaming).collect::<Vec<_>>(),
            ["server", "unary", "client"]
        );
    }

    #[test]
    fn an_rpc_without_a_row_is_refused() {
        assert_eq!(
            refused("Get =", "Gte ="),
            "no row for time.TimeService/Get: add one and say how safe it is"
        );
    }

    #[test]
    fn a_row_without_an_rpc_is_refused() {
        let row = "More = { safety = \"read-only\", roles = [\"admin\"], maintenance = \"denied\", aggregatable = true }";
        assert_eq!(
            refused("Get =", &format!("{row}\nGet =")),
            "no RPC for the rows time.TimeService/More"
        );
        let error = refused(
            "[\"time.TimeService\"]",
            &format!("[\"time.Other\"]\n{row}\n[\"time.TimeService\"]"),
        );
        assert_eq!(error, "no RPC for the rows time.Other/More");
    }

    #[test]
    fn misspelt_keys_and_values_are_refused() {
        assert!(refused("aggregatable = true", "aggregateable = true").contains("aggregateable"));
        assert!(refused("\"read-only\"", "\"readonly\"").contains("readonly"));
        assert!(refused("\"v1.13\"", "\"1.13\"").contains("not a release"));
    }

    #[test]
    fn rows_that_contradict_themselves_or_the_descriptors_are_refused() {
        for (from, to, text) in [
            (", why = \"x\"", "", "`why` is missing"),
            (
                "\"read-only\"",
                "\"read-only\", why = \"x\"",
                "`why` is for rows that are not read-only",
            ),
            (
                "Put = { safety = \"unsafe\"",
                "Put = { safety = \"idempotent\"",
                "nobody can replay a stream",
            ),
            (
                "roles = [\"admin\", \"reader\"]",
                "roles = []",
                "`roles` must be there",
            ),
            (
                "\"allowed\"",
                "\"not-served\"",
                "`maintenance` must be not-served exactly",
            ),
            ("since = \"v1.13\"", "since = \"v1.15\"", "`since` is newer"),
            (
                ", replacement = [\"time.TimeService/Get\"]",
                "",
                "`replacement` must be there exactly for deprecated",
            ),
            (
                "[\"time.TimeService/Get\"]",
                "[\"time.TimeService/Gte\"]",
                "which is no RPC",
            ),
        ] {
            let error = refused(from, to);
            assert!(error.contains(text), "{from} -> {to}: {error}");
        }
    }

    #[test]
    fn a_removal_without_a_deprecation_is_refused() {
        let proto = PROTO.replace("option deprecated = true; ", "");
        let error = format!("{:#}", Methods::join(ROWS, &pool_of(&proto)).unwrap_err());
        assert!(error.contains("announce its removal without"), "{error}");
    }
}
