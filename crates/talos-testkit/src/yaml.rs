//! Small YAML documents in the layout of Talos: four spaces, lists indented below their key.

use crate::talosconfig::scalar;

/// A mapping in the making.
#[derive(Debug, Default)]
pub(crate) struct Yaml(String);

impl Yaml {
    /// A text.
    pub(crate) fn entry(&mut self, key: &str, text: &str) {
        self.raw(key, &scalar(text));
    }

    /// A value that is YAML already, such as a number.
    pub(crate) fn raw(&mut self, key: &str, value: &str) {
        self.0.push_str(&format!("{key}: {value}\n"));
    }

    /// A list of texts.
    pub(crate) fn list(&mut self, key: &str, items: &[impl AsRef<str>]) {
        self.head(key, items.is_empty());
        for item in items {
            self.0.push_str(&format!("    - {}\n", scalar(item.as_ref())));
        }
    }

    /// A list of flat mappings.
    pub(crate) fn mappings<const N: usize>(
        &mut self,
        key: &str,
        items: impl ExactSizeIterator<Item = [(&'static str, String); N]>,
    ) {
        self.head(key, items.len() == 0);
        for item in items {
            for (index, (key, value)) in item.iter().enumerate() {
                let lead = if index == 0 { "    - " } else { "      " };
                self.0.push_str(&format!("{lead}{key}: {}\n", scalar(value)));
            }
        }
    }

    fn head(&mut self, key: &str, empty: bool) {
        self.0
            .push_str(&format!("{key}:{}\n", if empty { " []" } else { "" }));
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }
}
