//! Images of a node, and where it pulls them from.

use std::time::Duration;

use crate::node::images::reference::Reference;
use crate::{ImageNamespace, ImageRule, SimImage, SimNode};

impl SimNode {
    /// Sets what the node's registry has under `reference`. A registry has an image of a few layers under
    /// every reference that is not set; digests follow from the reference and the layers.
    ///
    /// # Panics
    ///
    /// If `reference` is not a valid one.
    pub fn serve_image(&self, reference: &str, image: SimImage) {
        match Reference::parse(reference) {
            Ok(parsed) => self.node().image_store.serve(&parsed, image),
            Err(error) => panic!("{reference}: {error}"),
        }
    }

    /// Sets the time that passes between two messages about the progress of a pull. Default: none.
    pub fn set_pull_pace(&self, pace: Duration) {
        *self.node().image_store.pace.lock() = pace;
    }

    /// Lets pulls stop after their first message, or go on. Default: they go on.
    pub fn hold_pulls(&self, hold: bool) {
        self.node().image_store.held.send_replace(hold);
    }

    /// Names of the stored images, by tag and by digest, sorted.
    #[must_use]
    pub fn image_names(&self, namespace: ImageNamespace) -> Vec<String> {
        self.node().images(namespace).into_keys().collect()
    }

    /// Sets the rules that decide which images may be used, and their resources. Default: none.
    pub fn set_image_rules(&self, rules: impl IntoIterator<Item = ImageRule>) {
        let node = self.node();
        *node.image_store.rules.lock() = rules.into_iter().collect();
        node.publish_image_rules();
    }
}
