//! Answers that are a `Status` object.

use http::StatusCode;
use serde_json::{Value, json};

use super::kind::{Key, Kind};

/// A request that failed, as Kubernetes says it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failure {
    pub(super) code: StatusCode,
    reason: &'static str,
    message: String,
    details: Value,
}

impl Failure {
    pub(super) fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Value::Null,
        }
    }

    fn with(mut self, details: Value) -> Self {
        self.details = details;
        self
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    pub(super) fn forbidden(message: String, details: Value) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).with(details)
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub(super) fn invalid(key: &Key, field: &str, message: &str) -> Self {
        let names = key.kind.names();
        let text = format!("{} \"{}\" is invalid: {field}: {message}", names.kind, key.name);
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", text).with(json!({
            "name": key.name,
            "group": names.group,
            "kind": names.kind,
            "causes": [{"reason": "FieldValueInvalid", "message": message, "field": field}],
        }))
    }

    pub(super) fn not_found(key: &Key) -> Self {
        let message = format!("{} \"{}\" not found", key.kind.qualified(), key.name);
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).with(details(key))
    }

    /// There is nothing of that kind at all.
    pub(super) fn no_such_path() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NotFound",
            "the server could not find the requested resource",
        )
        .with(json!({}))
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
        .with(json!({}))
    }

    pub(super) fn unsupported_media(supported: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {supported}"
        );
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            message,
        )
    }

    pub(super) fn already_exists(key: &Key) -> Self {
        let message = format!("{} \"{}\" already exists", key.kind.qualified(), key.name);
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).with(details(key))
    }

    pub(super) fn conflict(key: &Key, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{}\": {why}",
            key.kind.qualified(),
            key.name
        );
        Self::new(StatusCode::CONFLICT, "Conflict", message).with(details(key))
    }

    pub(super) fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// An eviction that a budget does not allow.
    pub(super) fn disruption_budget(budget: &str, desired: usize, current: usize) -> Self {
        let cause = format!(
            "The disruption budget {budget} needs {desired} healthy pods and has {current} currently"
        );
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequests",
            "Cannot evict pod as it would violate the pod's disruption budget.",
        )
        .with(json!({"causes": [{"reason": "DisruptionBudget", "message": cause}]}))
    }

    pub(super) fn several_budgets() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        )
    }

    /// The `Status` object.
    pub(super) fn body(&self) -> Value {
        let mut body = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code.as_u16(),
        });
        if !self.reason.is_empty() {
            body["reason"] = json!(self.reason);
        }
        if !self.details.is_null() {
            body["details"] = self.details.clone();
        }
        body
    }

    /// What a test asks for.
    pub(super) fn injected(code: StatusCode) -> Self {
        let reason = match code.as_u16() {
            400 => "BadRequest",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "NotFound",
            409 => "Conflict",
            410 => "Expired",
            422 => "Invalid",
            429 => "TooManyRequests",
            500 => "InternalError",
            503 => "ServiceUnavailable",
            504 => "Timeout",
            _ => "",
        };
        Self::new(code, reason, format!("talos-testkit: injected {}", code.as_u16()))
    }
}

/// The `details` about an object.
fn details(key: &Key) -> Value {
    let mut details = json!({"name": key.name, "kind": key.kind.names().plural});
    if key.kind.names().group != Kind::Pod.names().group {
        details["group"] = json!(key.kind.names().group);
    }
    details
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_object_is_named() {
        let body = Failure::not_found(&Key::new(Kind::DaemonSet, "kube-system", "x")).body();
        assert_eq!(body["message"], "daemonsets.apps \"x\" not found");
        assert_eq!(
            body["details"],
            json!({"name": "x", "group": "apps", "kind": "daemonsets"})
        );
        assert_eq!(
            (body["code"].as_u64(), &body["status"]),
            (Some(404), &json!("Failure"))
        );
    }
}
