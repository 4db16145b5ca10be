//! The rules about images, as resources.

use talos_proto::definitions::security::{ImageKeylessVerifierSpec, ImageVerificationRuleSpec};

use super::specs::draft;
use super::{Draft, ResourceKind};
use crate::node::Node;
use crate::node::images::verify::{ImageRule, ImageRuleAction};
use crate::talosconfig::scalar;
use crate::yaml::Yaml;

const RULE: ResourceKind = ResourceKind {
    name: "ImageVerificationRules.security.talos.dev",
    namespace: "security",
    owner: "security.ImageVerificationConfigController",
};

/// Who has to have signed what a rule lets pass.
const ISSUER: &str = "https://accounts.example.org";
const SUBJECT: &str = "releases@example.org";

impl Node {
    /// Brings the resources of rules in line with the rules there are.
    pub(crate) fn publish_image_rules(&self) {
        let rules = self.image_store.rules.lock().clone();
        let collection = self.resources.collection(RULE.namespace, RULE.name);
        for stale in collection.snapshot().resources {
            let id = super::collection::id_of(&stale);
            if !rules.iter().any(|rule| rule.id == id) {
                collection.remove(id);
            }
        }
        rules.iter().for_each(|rule| self.resources.put(resource(rule)));
    }
}

fn resource(rule: &ImageRule) -> Draft {
    let signed = matches!(
        rule.action,
        ImageRuleAction::Signed | ImageRuleAction::BadSignature(_)
    );
    let spec = ImageVerificationRuleSpec {
        image_pattern: rule.pattern.clone(),
        skip: rule.action == ImageRuleAction::Skip,
        deny: rule.action == ImageRuleAction::Deny,
        keyless_verifier: signed.then(|| ImageKeylessVerifierSpec {
            issuer: ISSUER.to_owned(),
            subject: SUBJECT.to_owned(),
            subject_regex: String::new(),
        }),
        public_key_verifier: None,
    };
    let mut yaml = Yaml::default();
    yaml.entry("imagePattern", &rule.pattern);
    yaml.raw("skip", &spec.skip.to_string());
    yaml.raw("deny", &spec.deny.to_string());
    let mut text = yaml.finish();
    if signed {
        text.push_str(&format!(
            "keylessVerifier:\n    issuer: {}\n    subject: {}\n",
            scalar(ISSUER),
            scalar(SUBJECT)
        ));
    }
    draft(&RULE, &rule.id, &spec, text)
}
