//! One call with a limit on its time, and lists in pages.

use std::{fmt::Debug, future::Future};

use kube::api::{Api, ListParams};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{Kubernetes, KubernetesError};

/// How many objects are asked for at once.
const PAGE: u32 = 250;

impl Kubernetes {
    /// The answer to one call, or why there is none.
    pub(super) async fn ask<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, KubernetesError> {
        match timeout(self.call_timeout, call).await {
            Ok(answer) => answer.map_err(|error| KubernetesError::of(what, error)),
            Err(_) => Err(KubernetesError::TimedOut {
                what: what.to_owned(),
                after: self.call_timeout,
            }),
        }
    }

    /// All objects that there are, page after page.
    pub(in crate::workflow) async fn list<K>(
        &self,
        what: &str,
        api: &Api<K>,
        params: &ListParams,
    ) -> Result<Vec<K>, KubernetesError>
    where
        K: Clone + Debug + DeserializeOwned,
    {
        let mut params = params.clone().limit(PAGE);
        let mut all = Vec::new();
        loop {
            match self.ask(what, api.list(&params)).await {
                Ok(page) => {
                    all.extend(page.items);
                    match page.metadata.continue_.filter(|token| !token.is_empty()) {
                        Some(token) => params.continue_token = Some(token),
                        None => return Ok(all),
                    }
                }
                // The pages to come are of a state that the API has forgotten by now.
                Err(error) if error.code() == Some(410) && params.continue_token.is_some() => {
                    params.continue_token = None;
                    all.clear();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The object of this name, if there is one.
    pub(in crate::workflow) async fn find<K>(
        &self,
        what: &str,
        api: &Api<K>,
        name: &str,
    ) -> Result<Option<K>, KubernetesError>
    where
        K: Clone + Debug + DeserializeOwned,
    {
        match self.ask(what, api.get(name)).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
