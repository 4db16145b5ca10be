//! Which nodes of a cluster run an old release: what somebody's own program might want to know.

use talos_client::{Client, Error, Node};

/// What became of a question to a node.
#[derive(Debug)]
pub enum Finding {
    /// The node runs another release than the one that is wanted.
    Outdated(String),
    /// The node did not answer.
    Silent(Error),
}

/// The nodes that do not run the release `wanted`, with what is known of each, in the order of the context.
///
/// A node that does not answer is a finding, and no reason to leave the others out.
pub async fn outdated(client: &Client, wanted: &str) -> Vec<(String, Finding)> {
    let mut found = Vec::new();
    for node in client.context_nodes() {
        if let Some(finding) = look(&node, wanted).await {
            found.push((node.name().to_string(), finding));
        }
    }
    found
}

async fn look(node: &Node, wanted: &str) -> Option<Finding> {
    match node.version().await {
        Ok(version) if version.tag() == wanted => None,
        Ok(version) => Some(Finding::Outdated(version.tag().to_owned())),
        Err(error) => Some(Finding::Silent(error)),
    }
}
