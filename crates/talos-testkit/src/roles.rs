//! Roles: where they come from and how they travel between `apid` and `machined`.

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Metadata key that carries roles from an `apid` onwards, one value per role.
const ROLE_HEADER: HeaderName = HeaderName::from_static("talos-role");
/// The role of other `apid`s, which may speak for their callers.
const IMPERSONATOR: &str = "os:impersonator";

/// A set of role names, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Roles(BTreeSet<String>);

impl Roles {
    /// Trims the names and leaves out empty ones; unknown names are kept and grant nothing.
    pub(crate) fn new(names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let trimmed = names.into_iter().map(|name| name.as_ref().trim().to_owned());
        Self(trimmed.filter(|name| !name.is_empty()).collect())
    }

    /// The roles of one `apid` calling another.
    pub(crate) fn impersonator() -> Self {
        Self::new([IMPERSONATOR])
    }

    /// The roles a call has at an `apid`: those of the certificate, unless an impersonator names others.
    pub(crate) fn effective(certificate: &Self, metadata: &HeaderMap) -> Self {
        if certificate.0.contains(IMPERSONATOR) && metadata.contains_key(ROLE_HEADER) {
            Self::from_metadata(metadata)
        } else {
            certificate.clone()
        }
    }

    /// The roles in `talos-role`, which is all that `machined` looks at.
    pub(crate) fn from_metadata(metadata: &HeaderMap) -> Self {
        Self::new(
            metadata
                .get_all(ROLE_HEADER)
                .iter()
                .filter_map(|value| value.to_str().ok()),
        )
    }

    /// Replaces whatever `talos-role` said by these roles.
    pub(crate) fn write_to(&self, metadata: &mut HeaderMap) {
        metadata.remove(ROLE_HEADER);
        for role in &self.0 {
            if let Ok(value) = HeaderValue::from_str(role) {
                metadata.append(ROLE_HEADER, value);
            }
        }
    }

    pub(crate) fn contains(&self, role: &str) -> bool {
        self.0.contains(role)
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.contains("os:admin")
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(roles: &[&'static str]) -> HeaderMap {
        roles
            .iter()
            .map(|role| (ROLE_HEADER, HeaderValue::from_static(role)))
            .collect()
    }

    #[test]
    fn only_an_impersonator_may_name_roles() {
        let asked = metadata(&["os:admin"]);
        let reader = Roles::new(["os:reader"]);
        assert_eq!(Roles::effective(&reader, &asked), reader);
        assert_eq!(
            Roles::effective(&Roles::impersonator(), &asked),
            Roles::new(["os:admin"])
        );
        assert_eq!(
            Roles::effective(&Roles::impersonator(), &metadata(&[])),
            Roles::impersonator()
        );
    }

    #[test]
    fn names_are_trimmed_and_empty_ones_dropped() {
        assert_eq!(Roles::new([" os:admin ", "", "  "]), Roles::new(["os:admin"]));
    }

    #[test]
    fn writing_replaces_what_the_caller_sent() {
        let mut headers = metadata(&["os:admin"]);
        Roles::new(["os:reader", "os:etcd:backup"]).write_to(&mut headers);
        let values: Vec<_> = headers.get_all(ROLE_HEADER).iter().collect();
        assert_eq!(values, ["os:etcd:backup", "os:reader"]);
        Roles::default().write_to(&mut headers);
        assert!(!headers.contains_key(ROLE_HEADER));
    }
}
