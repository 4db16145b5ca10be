//! Resources with their metadata.

use std::fmt;

use bytes::Bytes;
use talos_proto::{cosi::resource as proto, methods::Release};

use super::{
    DecodeError, Metadata,
    value::{Value, YamlError},
};

/// The spec of one type of resource.
///
/// Implemented for every type that a Talos node registers, in the modules beside this one; implement it for
/// the types of other servers.
pub trait Resource: Sized + Send + Sync + Unpin + 'static {
    /// The full name of the type, in its canonical case, such as `MachineStatuses.runtime.talos.dev`.
    const TYPE: &'static str;
    /// The namespace in which resources of this type live, unless another is asked for.
    const NAMESPACE: &'static str;
    /// The id of the only resource of this type, or of the one that is meant without another.
    const DEFAULT_ID: Option<&'static str>;
    /// Whether only administrators may read it.
    const SENSITIVE: bool = false;
    /// The first Talos release with it, if that is later than 1.8. Older nodes answer `PermissionDenied`.
    const SINCE: Option<Release> = None;
    /// Whether `TYPE` is known to be spelled as nodes spell it. If not, they are asked, at the cost of a call.
    #[doc(hidden)]
    const SPELLED: bool = false;

    /// Reads the spec.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it.
    fn decode(spec: RawSpec) -> Result<Self, DecodeError>;
}

/// Looks at types; see [`visit_all`](super::visit_all).
pub trait Visitor {
    /// Called once for each type.
    fn visit<R: Resource>(&mut self);
}

/// A spec as it came: nodes send both forms of most. `Debug` shows sizes only.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RawSpec {
    /// The protobuf form; empty for specs without fields, and for the few that have no such form.
    pub proto: Bytes,
    /// The YAML form, one document.
    pub yaml: String,
}

impl RawSpec {
    /// A spec in both forms.
    #[must_use]
    pub fn new(proto: impl Into<Bytes>, yaml: impl Into<String>) -> Self {
        Self {
            proto: proto.into(),
            yaml: yaml.into(),
        }
    }
}

impl fmt::Debug for RawSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawSpec")
            .field("proto", &self.proto.len())
            .field("yaml", &self.yaml.len())
            .finish()
    }
}

/// A resource: a spec, and what all resources have.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Object<R> {
    /// Identity, version, owner, labels.
    pub metadata: Metadata,
    /// The type's own content.
    pub spec: R,
}

/// A resource of any type, its spec not yet read. `Debug` shows nothing of the spec.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DynamicObject {
    /// Identity, version, owner, labels.
    pub metadata: Metadata,
    /// The type's own content.
    pub spec: RawSpec,
}

impl DynamicObject {
    /// The spec as a tree, from its YAML form.
    ///
    /// # Errors
    ///
    /// Says where the text stops being YAML.
    pub fn value(&self) -> Result<Value, YamlError> {
        Value::from_yaml(&self.spec.yaml)
    }

    /// The spec as that of a type.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it. The type is not compared.
    pub fn decode<R: Resource>(self) -> Result<Object<R>, DecodeError> {
        Ok(Object {
            spec: R::decode(self.spec)?,
            metadata: self.metadata,
        })
    }
}

/// What lists, watches and stores hold: [`Object`] and [`DynamicObject`].
pub trait Item: sealed::Sealed + Sized + Send + Sync + Unpin + 'static {
    /// The spec as it is held.
    type Spec;

    /// Reads the spec.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it.
    fn read_spec(spec: RawSpec) -> Result<Self::Spec, DecodeError>;

    /// Puts both together.
    fn from_parts(metadata: Metadata, spec: Self::Spec) -> Self;

    /// Identity, version, owner, labels.
    fn metadata(&self) -> &Metadata;
}

impl<R: Resource> Item for Object<R> {
    type Spec = R;

    fn read_spec(spec: RawSpec) -> Result<R, DecodeError> {
        R::decode(spec)
    }

    fn from_parts(metadata: Metadata, spec: R) -> Self {
        Self { metadata, spec }
    }

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

impl Item for DynamicObject {
    type Spec = RawSpec;

    fn read_spec(spec: RawSpec) -> Result<RawSpec, DecodeError> {
        Ok(spec)
    }

    fn from_parts(metadata: Metadata, spec: RawSpec) -> Self {
        Self { metadata, spec }
    }

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

mod sealed {
    pub trait Sealed {}

    impl<R> Sealed for super::Object<R> {}
    impl Sealed for super::DynamicObject {}
}

/// A resource that came but cannot be used.
pub(crate) struct Broken {
    pub(crate) what: String,
    pub(crate) source: Option<DecodeError>,
}

/// Takes a resource apart and reads its spec.
pub(crate) fn read<T: Item>(raw: Option<proto::Resource>) -> Result<T, Broken> {
    let broken = |what: &str| Broken {
        what: what.to_owned(),
        source: None,
    };
    let raw = raw.ok_or_else(|| broken("there is no resource"))?;
    let metadata: Metadata = raw
        .metadata
        .ok_or_else(|| broken("the resource has no metadata"))?
        .into();
    let named = |what: &str| {
        format!(
            "{}({}/{}): {what}",
            metadata.r#type, metadata.namespace, metadata.id
        )
    };
    let spec = raw.spec.ok_or_else(|| broken(&named("there is no spec")))?;
    let spec = RawSpec {
        proto: spec.proto_spec,
        yaml: spec.yaml_spec,
    };
    match T::read_spec(spec) {
        Ok(spec) => Ok(T::from_parts(metadata, spec)),
        Err(error) => Err(Broken {
            what: named("the spec does not decode"),
            source: Some(error),
        }),
    }
}
