//! The semantics of `cosi.resource.State`, whoever holds the resources and whoever may see them.

pub(crate) mod filter;
pub(crate) mod read;
mod server;
pub(crate) mod state;
pub(crate) mod watch;
pub(crate) mod write;

use talos_proto::cosi::resource::Metadata;

/// A resource as errors name it: `Type(namespace/id@version)`.
fn name_of(metadata: &Metadata) -> String {
    let Metadata {
        namespace,
        r#type,
        id,
        version,
        ..
    } = metadata;
    format!("{type}({namespace}/{id}@{version})")
}
