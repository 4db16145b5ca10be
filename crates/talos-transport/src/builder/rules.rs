//! Which endpoints a channel can have.

use std::collections::HashSet;

use super::BuildError;
use crate::endpoint::Endpoint;

/// What the other settings ask of endpoints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndpointRules {
    pub(super) tls: bool,
    pub(super) basic_auth: bool,
}

impl EndpointRules {
    /// The endpoints without repetitions, if they are possible ones.
    pub(crate) fn checked(
        self,
        endpoints: impl IntoIterator<Item = Endpoint>,
    ) -> Result<Vec<Endpoint>, BuildError> {
        let endpoints = distinct(endpoints);
        self.check(&endpoints)?;
        Ok(endpoints)
    }

    pub(super) fn check(self, endpoints: &[Endpoint]) -> Result<(), BuildError> {
        if endpoints.is_empty() {
            return Err(BuildError::NoEndpoint);
        }
        if !self.tls
            && let Some(endpoint) = endpoints.iter().find(|endpoint| !endpoint.is_unix())
        {
            return Err(BuildError::NoTls {
                endpoint: endpoint.clone(),
            });
        }
        if self.basic_auth
            && let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.is_unix())
        {
            return Err(BuildError::BasicAuthWithoutTls {
                endpoint: endpoint.clone(),
            });
        }
        Ok(())
    }
}

/// The endpoints without repetitions, in their order.
pub(super) fn distinct(endpoints: impl IntoIterator<Item = Endpoint>) -> Vec<Endpoint> {
    let mut seen = HashSet::new();
    let mut endpoints: Vec<_> = endpoints.into_iter().collect();
    endpoints.retain(|endpoint| seen.insert(endpoint.clone()));
    endpoints
}
