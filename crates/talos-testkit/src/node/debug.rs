//! Debug containers of a node: those that run and those that have been.

use crate::sync::Guarded;

/// What has become of a debug container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DebugContainerState {
    /// It runs.
    Running,
    /// It ended by itself, with this exit code.
    Exited(i32),
    /// Its caller went away, and it was killed.
    Killed,
}

/// A debug container that somebody started. See
/// [`SimNode::debug_containers`](crate::SimNode::debug_containers).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DebugContainer {
    /// `debug-` and 16 hexadecimal digits.
    pub id: String,
    /// The image as it was asked for.
    pub image: String,
    /// Its command.
    pub args: Vec<String>,
    /// Whether it has a terminal.
    pub tty: bool,
    /// What has become of it.
    pub state: DebugContainerState,
    /// Signals it was sent, in order.
    pub signals: Vec<i32>,
    /// Sizes its terminal was given, width and height, in order.
    pub sizes: Vec<(i32, i32)>,
}

/// All debug containers of a node since it was made.
#[derive(Debug, Default)]
pub(crate) struct DebugContainers(Guarded<Vec<DebugContainer>>);

impl DebugContainers {
    pub(crate) fn add(&self, container: DebugContainer) {
        self.0.lock().push(container);
    }

    pub(crate) fn all(&self) -> Vec<DebugContainer> {
        self.0.lock().clone()
    }

    /// Changes the container with `id`.
    pub(crate) fn change(&self, id: &str, change: impl FnOnce(&mut DebugContainer)) {
        if let Some(container) = self.0.lock().iter_mut().find(|container| container.id == id) {
            change(container);
        }
    }
}
