//! Fields that must not show up in logs: their messages get a `Debug` that prints the length instead.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use heck::{ToSnakeCase as _, ToUpperCamelCase as _};
use prost_reflect::{DescriptorPool, Kind, MessageDescriptor};

/// Full names of the fields. Besides keys and tokens these are documents that contain some: machine
/// configurations, kubeconfigs, file contents, and the spec of a resource of unknown type.
pub const FIELDS: [&str; 39] = [
    "common.Data.bytes",
    "common.PEMEncodedCertificateAndKey.key",
    "common.PEMEncodedKey.key",
    "cosi.resource.Spec.proto_spec",
    "cosi.resource.Spec.yaml_spec",
    "machine.ApplyConfiguration.mode_details",
    "machine.ApplyConfigurationRequest.data",
    "machine.GenerateClientConfiguration.key",
    "machine.GenerateClientConfiguration.talosconfig",
    "machine.ImageServiceCredentials.password",
    "resource.config.MachineConfigSpec.yaml_marshalled",
    "resource.network.DeviceConfigSpecSpec.yaml_marshalled",
    "talos.resource.definitions.block.EncryptionKey.static_passphrase",
    "talos.resource.definitions.cluster.ConfigSpec.service_encryption_key",
    "talos.resource.definitions.cri.CustomizationConfigSpec.content",
    "talos.resource.definitions.cri.RegistryAuthConfig.registry_auth",
    "talos.resource.definitions.cri.RegistryAuthConfig.registry_identity_token",
    "talos.resource.definitions.cri.RegistryAuthConfig.registry_password",
    "talos.resource.definitions.files.EtcFileSpecSpec.contents",
    "talos.resource.definitions.k8s.EtcdEncryptionConfigSpec.configuration",
    "talos.resource.definitions.kubespan.ConfigSpec.shared_secret",
    "talos.resource.definitions.kubespan.IdentitySpec.private_key",
    "talos.resource.definitions.network.VIPEquinixMetalSpec.api_token",
    "talos.resource.definitions.network.VIPHCloudSpec.api_token",
    "talos.resource.definitions.network.WireguardPeer.preshared_key",
    "talos.resource.definitions.network.WireguardSpec.private_key",
    "talos.resource.definitions.runtime.ExtensionServiceConfigFile.content",
    "talos.resource.definitions.runtime.UniqueMachineTokenSpec.token",
    "talos.resource.definitions.secrets.EncryptionSaltSpec.disk_salt",
    "talos.resource.definitions.secrets.KubeletSpec.bootstrap_token_secret",
    "talos.resource.definitions.secrets.KubernetesCertsSpec.admin_kubeconfig",
    "talos.resource.definitions.secrets.KubernetesCertsSpec.controller_manager_kubeconfig",
    "talos.resource.definitions.secrets.KubernetesCertsSpec.localhost_admin_kubeconfig",
    "talos.resource.definitions.secrets.KubernetesCertsSpec.scheduler_kubeconfig",
    "talos.resource.definitions.secrets.KubernetesRootSpec.aescbc_encryption_secret",
    "talos.resource.definitions.secrets.KubernetesRootSpec.bootstrap_token_secret",
    "talos.resource.definitions.secrets.KubernetesRootSpec.secretbox_encryption_secret",
    "talos.resource.definitions.secrets.OSRootSpec.token",
    "talos.resource.definitions.siderolink.ConfigSpec.join_token",
];

/// Fields that only look like secrets: the public half of a token.
const HARMLESS: [&str; 2] = [
    "talos.resource.definitions.secrets.KubeletSpec.bootstrap_token_id",
    "talos.resource.definitions.secrets.KubernetesRootSpec.bootstrap_token_id",
];

/// A field with one of these in its name must be listed above.
const SUSPICIOUS: [&str; 8] = [
    "kubeconfig",
    "passphrase",
    "password",
    "preshared",
    "private_key",
    "salt",
    "secret",
    "token",
];

/// A message with fields that must not be printed.
#[derive(Debug)]
pub struct SecretMessage {
    message: MessageDescriptor,
    fields: Vec<&'static str>,
}

/// Finds the messages of [`FIELDS`] in `pool`.
///
/// A listed field that does not exist is an error, and so is one that looks like a secret but is not listed.
pub fn find(pool: &DescriptorPool) -> Result<Vec<SecretMessage>> {
    let suspects = suspects(pool);
    ensure!(
        suspects.is_empty(),
        "{} may be secret: list it in xtask/src/codegen/secrets.rs, either to be left out of `Debug` or as harmless",
        suspects.join(", ")
    );
    collect(pool, &FIELDS)
}

fn suspects(pool: &DescriptorPool) -> Vec<String> {
    let fields = pool
        .all_messages()
        .flat_map(|message| message.fields().collect::<Vec<_>>());
    let suspicious = fields.filter(|field| {
        let plain = matches!(field.kind(), Kind::String | Kind::Bytes);
        let listed = FIELDS.contains(&field.full_name()) || HARMLESS.contains(&field.full_name());
        plain && !listed && SUSPICIOUS.iter().any(|word| field.name().contains(word))
    });
    suspicious.map(|field| field.full_name().to_owned()).collect()
}

fn collect(pool: &DescriptorPool, fields: &[&'static str]) -> Result<Vec<SecretMessage>> {
    let mut found: Vec<SecretMessage> = Vec::new();
    for &full_name in fields {
        let (message_name, field) = full_name.rsplit_once('.').context("a field name has a dot")?;
        let message = pool.get_message_by_name(message_name);
        let message = message.with_context(|| format!("secret field {full_name}: no such message"))?;
        let descriptor = message.get_field_by_name(field);
        let descriptor = descriptor.with_context(|| format!("secret field {full_name}: no such field"))?;
        ensure!(
            matches!(descriptor.kind(), Kind::String | Kind::Bytes)
                && !descriptor.is_list()
                && !descriptor.supports_presence(),
            "secret field {full_name} is neither a plain string nor plain bytes"
        );
        ensure!(
            message.oneofs().all(|oneof| oneof.is_synthetic()),
            "secret field {full_name}: messages with oneofs are not supported"
        );
        match found.iter_mut().find(|known| known.message == message) {
            Some(known) => known.fields.push(field),
            None => found.push(SecretMessage {
                message,
                fields: vec![field],
            }),
        }
    }
    Ok(found)
}

impl SecretMessage {
    /// Full name of the message.
    pub fn full_name(&self) -> &str {
        self.message.full_name()
    }

    /// Renders its `impl Debug`.
    pub fn debug_impl(&self) -> Result<String> {
        let type_name = self.message.name().to_upper_camel_case();
        let mut code = format!(
            "impl ::core::fmt::Debug for {type_name} {{\n\
             fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{\n\
             let mut fields = f.debug_struct({type_name:?});\n"
        );
        for field in self.message.fields() {
            let name = field.name().to_snake_case();
            let rust_name = if syn::parse_str::<syn::Ident>(&name).is_ok() {
                name.clone()
            } else {
                format!("r#{name}")
            };
            if self.fields.contains(&field.name()) {
                writeln!(
                    code,
                    "fields.field({name:?}, &format_args!(\"[redacted, {{}} bytes]\", self.{rust_name}.len()));"
                )?;
            } else if matches!(field.kind(), Kind::Enum(_)) && !field.is_list() && !field.supports_presence()
            {
                // The accessor answers the default for a number it does not know: print such a number.
                writeln!(
                    code,
                    "if i32::from(self.{rust_name}()) == self.{rust_name} {{\n\
                     fields.field({name:?}, &self.{rust_name}());\n\
                     }} else {{\n\
                     fields.field({name:?}, &self.{rust_name});\n\
                     }}"
                )?;
            } else {
                writeln!(code, "fields.field({name:?}, &self.{rust_name});")?;
            }
        }
        code.push_str("fields.finish()\n}\n}\n");
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptors::ProtoTree;

    fn pool() -> DescriptorPool {
        let folder = tempfile::tempdir().unwrap();
        let text = "syntax = \"proto3\"; package a; enum E { NONE = 0; } \
                    message M { string type = 1; bytes myKey = 2; E kind = 3; } \
                    message N { optional string maybe = 1; repeated string many = 2; } \
                    message O { oneof o { string choice = 1; } string plain = 2; } \
                    message P { string api_token = 1; int64 token_count = 2; }";
        std::fs::write(folder.path().join("a.proto"), text).unwrap();
        ProtoTree::load(folder.path()).unwrap().pool
    }

    #[test]
    fn debug_prints_the_length_of_a_secret_and_the_name_of_an_enum_value() {
        let found = collect(&pool(), &["a.M.myKey", "a.M.type"]).unwrap();
        let [message] = found.as_slice() else {
            panic!("one message: {found:?}")
        };
        let code = message.debug_impl().unwrap();
        assert!(
            code.contains(
                r#"fields.field("type", &format_args!("[redacted, {} bytes]", self.r#type.len()));"#
            ),
            "{code}"
        );
        assert!(
            code.contains(
                r#"fields.field("my_key", &format_args!("[redacted, {} bytes]", self.my_key.len()));"#
            ),
            "{code}"
        );
        assert!(code.contains(r#"fields.field("kind", &self.kind());"#), "{code}");
        syn::parse_file(&code).unwrap();
    }

    #[test]
    fn fields_that_cannot_be_handled_are_refused() {
        for (field, text) in [
            ("a.X.y", "no such message"),
            ("a.M.y", "no such field"),
            ("a.M.kind", "neither a plain string nor plain bytes"),
            ("a.N.maybe", "neither a plain string nor plain bytes"),
            ("a.N.many", "neither a plain string nor plain bytes"),
            ("a.O.plain", "messages with oneofs are not supported"),
        ] {
            let error = collect(&pool(), &[field]).unwrap_err().to_string();
            assert!(error.contains(text), "{field}: {error}");
        }
    }

    #[test]
    fn a_field_that_looks_like_a_secret_must_be_listed() {
        let error = find(&pool()).unwrap_err().to_string();
        assert!(error.starts_with("a.P.api_token may be secret: "), "{error}");
    }
}
