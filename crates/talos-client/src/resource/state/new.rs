//! Resources to be made.

use talos_proto::cosi::resource::Metadata as WireMetadata;

use crate::resource::RawSpec;

/// A resource to be made. `Debug` shows nothing of the spec.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct NewResource {
    pub(super) id: String,
    pub(super) spec: RawSpec,
    pub(super) metadata: WireMetadata,
}

impl NewResource {
    /// An empty resource with this id.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            ..Self::default()
        }
    }

    /// The YAML form of the spec.
    pub fn yaml(mut self, spec: impl Into<String>) -> Self {
        self.spec.yaml = spec.into();
        self
    }

    /// The protobuf form of the spec.
    pub fn proto(mut self, spec: impl Into<bytes::Bytes>) -> Self {
        self.spec.proto = spec.into();
        self
    }

    /// Adds a label.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.labels.insert(key.into(), value.into());
        self
    }

    /// Adds an annotation.
    pub fn annotation(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.annotations.insert(key.into(), value.into());
        self
    }

    /// Adds a finalizer, which has to be removed before the resource can be destroyed.
    pub fn finalizer(mut self, name: impl Into<String>) -> Self {
        self.metadata.finalizers.push(name.into());
        self
    }
}
