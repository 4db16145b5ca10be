//! The resources that hold machine configurations.

use prost::Message as _;
use talos_proto::cosi::resource::{Metadata, Resource, Spec};
use talos_proto::resource::config::MachineConfigSpec;

use super::ResourceStore;

const KIND: &str = "MachineConfigs.config.talos.dev";
const NAMESPACE: &str = "config";
/// Says that the YAML spec is a string that holds the documents, not a mapping.
const YAML_SPEC: (&str, &str) = ("talos.dev/yaml-spec", "1");

/// Puts the configuration called `id`, or removes it.
pub(crate) fn machine_config(store: &ResourceStore, id: &str, text: Option<&str>) {
    let collection = store.collection(NAMESPACE, KIND);
    let Some(text) = text else {
        collection.remove(id);
        return;
    };
    let message = MachineConfigSpec {
        yaml_marshalled: text.as_bytes().to_vec().into(),
    };
    let spec = Spec {
        proto_spec: message.encode_to_vec().into(),
        yaml_spec: block_literal(text),
    };
    let same = collection
        .get(id)
        .is_some_and(|old| old.spec.as_ref() == Some(&spec));
    if same {
        return;
    }
    let metadata = Metadata {
        namespace: NAMESPACE.to_owned(),
        r#type: KIND.to_owned(),
        id: id.to_owned(),
        owner: "config.AcquireController".to_owned(),
        phase: "running".to_owned(),
        annotations: [(YAML_SPEC.0.to_owned(), YAML_SPEC.1.to_owned())].into(),
        ..Metadata::default()
    };
    let resource = Resource {
        metadata: Some(metadata),
        spec: Some(spec),
    };
    let put = collection.edit(id, |_| Ok::<_, std::convert::Infallible>(Some(resource)));
    if let Err(never) = put {
        match never {}
    }
}

/// `text` as a YAML block literal, which keeps its lines.
fn block_literal(text: &str) -> String {
    let chomping = match text {
        text if text.ends_with("\n\n") => "+",
        text if text.ends_with('\n') => "",
        _ => "-",
    };
    // A first line that is indented would be taken for the indentation of all.
    let indentation = if text.starts_with([' ', '\n']) { "4" } else { "" };
    let mut literal = format!("|{indentation}{chomping}\n");
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
    fn literals_read_back_as_the_text() {
        for text in ["a: 1\n\nb:\n    c: 2\n", "a: 1", "a: 1\n\n", " indented: 1\n"] {
            let literal = block_literal(text);
            let read: String = serde_saphyr::from_str(&literal).unwrap();
            assert_eq!(read, text, "{literal}");
        }
    }
}
