//! What Kubernetes says.

use std::io;

use kube::{
    Api,
    api::ListParams,
    core::{ApiResource, DynamicObject, GroupVersionKind},
};

use super::{SupportFailure, archive::Archive};
use crate::workflow::kubernetes::{Kubernetes, KubernetesError, chain};

/// Takes nodes and system pods. Only what is wrong with the archive is an error.
pub(super) async fn collect(
    kubernetes: &Kubernetes,
    archive: &mut Archive,
    progress: impl Fn(&str),
) -> io::Result<Vec<SupportFailure>> {
    let mut failures = Vec::new();
    for (file, kind, namespace) in [
        ("kubernetesResources/nodes.yaml", "Node", None),
        ("kubernetesResources/systemPods.yaml", "Pod", Some("kube-system")),
    ] {
        progress(file);
        match objects(kubernetes, kind, namespace).await {
            Ok(text) => archive.text(file, &text).await?,
            Err(reason) => failures.push(SupportFailure {
                node: None,
                part: file.to_owned(),
                reason,
            }),
        }
    }
    Ok(failures)
}

/// As YAML, one document each.
async fn objects(kubernetes: &Kubernetes, kind: &str, namespace: Option<&str>) -> Result<String, String> {
    let shown = |error: KubernetesError| chain(&error);
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind));
    let client = kubernetes.client().await.map_err(shown)?;
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let what = format!("{}s", kind.to_lowercase());
    let mut objects = kubernetes
        .list(&what, &api, &ListParams::default())
        .await
        .map_err(shown)?;
    let mut text = String::new();
    for object in &mut objects {
        // Who changed which field, longer than the rest.
        object.metadata.managed_fields = None;
        let document = serde_saphyr::to_string(object).map_err(|error| error.to_string())?;
        text.push_str("---\n");
        text.push_str(&document);
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    Ok(text)
}
