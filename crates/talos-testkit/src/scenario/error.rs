//! What is wrong with a scenario, and where.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde_saphyr::Spanned;

use crate::error::SimError;
use crate::{SimCluster, SimNode};

/// What is wrong with a scenario.
#[derive(Debug)]
pub struct ScenarioError {
    place: Option<Place>,
    problem: Problem,
}

/// Line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    line: u64,
    column: u64,
}

#[derive(Debug)]
enum Problem {
    Read { path: PathBuf, source: io::Error },
    Text(String),
    Cluster(SimError),
}

impl ScenarioError {
    pub(super) fn read(path: &Path, source: io::Error) -> Self {
        Self {
            place: None,
            problem: Problem::Read {
                path: path.to_owned(),
                source,
            },
        }
    }

    pub(super) fn yaml(error: &serde_saphyr::Error) -> Self {
        let location = error.location();
        let place = location.map(|location| Place {
            line: location.line(),
            column: location.column(),
        });
        let text = error.without_snippet().to_string();
        // The place is said once, in front.
        let text = match text.rfind(" at line ") {
            Some(end) if place.is_some() => text[..end].to_owned(),
            _ => text,
        };
        Self {
            place,
            problem: Problem::Text(text),
        }
    }

    pub(super) fn at<T>(spanned: &Spanned<T>, text: impl Into<String>) -> Self {
        Self::new(spanned, Problem::Text(text.into()))
    }

    pub(super) fn cluster<T>(spanned: &Spanned<T>, error: SimError) -> Self {
        Self::new(spanned, Problem::Cluster(error))
    }

    fn new<T>(spanned: &Spanned<T>, problem: Problem) -> Self {
        let location = spanned.referenced;
        let place = Place {
            line: location.line(),
            column: location.column(),
        };
        Self {
            place: (place.line > 0).then_some(place),
            problem,
        }
    }

    /// Line of the scenario, from 1; `None` if the file could not be read.
    #[must_use]
    pub fn line(&self) -> Option<u64> {
        self.place.map(|place| place.line)
    }

    /// Column in that line, from 1.
    #[must_use]
    pub fn column(&self) -> Option<u64> {
        self.place.map(|place| place.column)
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { line, column }) = self.place {
            write!(f, "line {line}, column {column}: ")?;
        }
        match &self.problem {
            Problem::Read { path, .. } => write!(f, "reading {} failed", path.display()),
            Problem::Text(text) => f.write_str(text),
            Problem::Cluster(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ScenarioError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Read { source, .. } => Some(source),
            Problem::Text(_) => None,
            Problem::Cluster(error) => error.source(),
        }
    }
}

/// The node called `name`.
pub(super) fn found(cluster: &SimCluster, name: &Spanned<String>) -> Result<SimNode, ScenarioError> {
    cluster.node_by_name(&name.value).ok_or_else(|| {
        let name_of = name.value.clone();
        ScenarioError::cluster(name, SimError::UnknownNode { name: name_of })
    })
}
