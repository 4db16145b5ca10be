//! How errors read.

use std::{error::Error as _, fmt};

use super::{Detail, Error};

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        if let Some(method) = inner.method {
            write!(f, "{}", method.trim_start_matches('/'))?;
            match (&inner.node, &inner.endpoint) {
                (Some(node), Some(endpoint)) => write!(f, " on node {node} through {endpoint}")?,
                (Some(node), None) => write!(f, " on node {node}")?,
                (None, Some(endpoint)) => write!(f, " at {endpoint}")?,
                (None, None) => {}
            }
            f.write_str(": ")?;
        }
        f.write_str(inner.kind.as_str())?;
        if inner.attempts > 1 {
            write!(f, " after {} attempts", inner.attempts)?;
        }
        if let Some(message) = &inner.message {
            write!(f, ": {message}")?;
        }
        if let Some(why) = self.unimplemented() {
            write!(f, " ({why}")?;
            if let Some(release) = inner.release {
                write!(f, "; it runs {release}")?;
            }
            f.write_str(")")?;
        }
        if let Some((last, others)) = self.required_roles().split_last() {
            f.write_str(" (it takes the role ")?;
            for role in others {
                write!(f, "{role} or ")?;
            }
            write!(f, "{last})")?;
        }
        if f.alternate() {
            for detail in &inner.details {
                write!(f, "; {detail}")?;
            }
            let mut cause = self.source();
            while let Some(error) = cause {
                write!(f, ": {error}")?;
                cause = error.source();
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.debug_struct("Error")
            .field("kind", &inner.kind)
            .field("origin", &inner.origin)
            .field("method", &inner.method)
            .field("node", &inner.node)
            .field("endpoint", &inner.endpoint)
            .field("code", &inner.code)
            .field("message", &inner.message)
            .field("source", &inner.source)
            .field("attempts", &inner.attempts)
            .field("details", &inner.details)
            .finish()
    }
}

/// In one line, for people.
impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRequest(violations) => list(f, violations, |f, violation| {
                write!(f, "{}: {}", violation.field, violation.description)
            }),
            Self::ErrorInfo { reason, domain, .. } => write!(f, "{reason} ({domain})"),
            Self::RetryInfo { delay: Some(delay) } => write!(f, "try again in {delay:?}"),
            Self::RetryInfo { delay: None } => f.write_str("try again"),
            Self::QuotaFailure(violations) | Self::PreconditionFailure(violations) => {
                list(f, violations, |f, violation| {
                    write!(f, "{}: {}", violation.subject, violation.description)
                })
            }
            Self::RequestInfo { request_id, .. } => write!(f, "request {request_id}"),
            Self::ResourceInfo {
                resource_type,
                resource_name,
                description,
                ..
            } => write!(f, "{resource_type} {resource_name}: {description}"),
            Self::Help(links) => list(f, links, |f, (description, url)| {
                write!(f, "{description}: {url}")
            }),
            Self::LocalizedMessage { message, .. } => f.write_str(message),
            Self::DebugInfo { detail, .. } => f.write_str(detail),
            Self::Unknown { type_url, value } => write!(f, "{type_url}, {} bytes", value.len()),
        }
    }
}

fn list<T>(
    f: &mut fmt::Formatter<'_>,
    items: &[T],
    mut write: impl FnMut(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write(f, item)?;
    }
    Ok(())
}
