//! The resources that hold machine configurations.

use std::sync::Arc;

use prost::Message as _;
use talos_proto::cosi::resource::{Metadata, Resource, Spec};
use talos_proto::methods::Release;
use talos_proto::resource::config::MachineConfigSpec;

use crate::machine_config::MachineConfig;
use crate::node::Node;

const NAMESPACE: &str = "config";
const KIND: &str = "MachineConfigs.config.talos.dev";

/// The configuration that a machine runs with, and the one that it is going to boot with.
const ACTIVE: &str = "v1alpha1";
const PERSISTENT: &str = "persistent";

impl Node {
    /// Puts the resources of the configuration and of what follows from it.
    pub(crate) fn publish_config(&self) {
        self.put_config(ACTIVE, self.configuration.active());
        self.put_config(PERSISTENT, self.configuration.persistent());
        self.publish_derived();
    }

    fn put_config(&self, id: &'static str, config: Option<Arc<MachineConfig>>) {
        let collection = self.resources.collection(NAMESPACE, KIND);
        let Some(config) = config else {
            collection.remove(id);
            return;
        };
        let as_text = !self.is_older_than(Release::new(1, 12));
        let current = collection.get(id);
        if let Some(role) = config.role()
            && self.cluster.is_generated(&config)
            && current.is_none()
        {
            // Thousands of machines share what they have in common.
            let shared = self.cluster.shared_resource((id, as_text, role), || {
                let mut resource = resource(id, &config, as_text);
                if let Some(metadata) = &mut resource.metadata {
                    let now = crate::clock::Moment::now().to_proto();
                    "1".clone_into(&mut metadata.version);
                    metadata.created = Some(now);
                    metadata.updated = Some(now);
                }
                resource
            });
            collection.insert(shared);
            return;
        }
        let new = resource(id, &config, as_text);
        if current.is_some_and(|current| current.spec == new.spec) {
            return;
        }
        let changed: Result<_, std::convert::Infallible> = collection.edit(id, |_| Ok(Some(new)));
        debug_assert!(changed.is_ok());
    }
}

fn resource(id: &str, config: &MachineConfig, as_text: bool) -> Resource {
    let proto = MachineConfigSpec {
        yaml_marshalled: config.text().clone(),
    };
    let mut metadata = Metadata {
        namespace: NAMESPACE.to_owned(),
        r#type: KIND.to_owned(),
        id: id.to_owned(),
        phase: "running".to_owned(),
        ..Metadata::default()
    };
    let yaml_spec = if as_text {
        metadata
            .annotations
            .insert("talos.dev/yaml-spec".to_owned(), "1".to_owned());
        block_literal(config.as_str())
    } else {
        config.as_str().to_owned()
    };
    Resource {
        metadata: Some(metadata),
        spec: Some(Spec {
            proto_spec: proto.encode_to_vec().into(),
            yaml_spec,
        }),
    }
}

/// A text of several lines as one YAML scalar.
fn block_literal(text: &str) -> String {
    let body = text.trim_end_matches('\n');
    let chomp = match text.len() - body.len() {
        0 => "-",
        1 => "",
        _ => "+",
    };
    let indent = if body.starts_with([' ', '\n']) { "4" } else { "" };
    let mut literal = format!("|{indent}{chomp}\n");
    literal.reserve(text.len() + 5 * text.len() / 20);
    for line in text.lines() {
        if !line.is_empty() {
            literal.push_str("    ");
            literal.push_str(line);
        }
        literal.push('\n');
    }
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_literals_keep_the_text() {
        for text in [
            "a: 1\n",
            "a: |\n  x\n\nb: 2\n",
            "a",
            "a\n\n\n",
            "  b\n",
            "# c\na: 1\n",
        ] {
            let literal = block_literal(text);
            let read: String = serde_saphyr::from_str(&literal).unwrap();
            assert_eq!(read, text, "{literal}");
        }
    }
}
