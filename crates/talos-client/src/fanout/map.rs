//! What came of a fan-out: a map by node that keeps the order.

use std::{collections::HashMap, error::Error as StdError, fmt};

use talos_transport::NodeName;

/// One value per node, in the order in which the nodes were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeMap<T> {
    entries: Vec<(NodeName, T)>,
}

/// A failure at one node, see [`Nodes::try_each`](super::Nodes::try_each).
#[derive(Debug)]
pub struct NodeFailure<E> {
    node: NodeName,
    error: E,
}

/// A map that is being filled.
pub(super) struct Slots<T> {
    places: HashMap<NodeName, usize>,
    values: Vec<(NodeName, Option<T>)>,
}

impl<T> NodeMap<T> {
    pub(crate) fn new(entries: Vec<(NodeName, T)>) -> Self {
        Self { entries }
    }

    /// How many nodes have a value.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of this node.
    pub fn get(&self, node: impl AsRef<str>) -> Option<&T> {
        let node = node.as_ref();
        let mut entries = self.entries.iter();
        entries
            .find(|(name, _)| name.as_str() == node)
            .map(|(_, value)| value)
    }

    /// The nodes.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &NodeName> {
        self.entries.iter().map(|(node, _)| node)
    }

    /// The values.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &T> {
        self.entries.iter().map(|(_, value)| value)
    }

    /// Nodes and values.
    pub fn iter(&self) -> std::slice::Iter<'_, (NodeName, T)> {
        self.entries.iter()
    }
}

impl<T, E> NodeMap<Result<T, E>> {
    /// The nodes that succeeded.
    pub fn successes(&self) -> impl Iterator<Item = (&NodeName, &T)> {
        let entries = self.entries.iter();
        entries.filter_map(|(node, result)| Some((node, result.as_ref().ok()?)))
    }

    /// The nodes that failed.
    pub fn failures(&self) -> impl Iterator<Item = (&NodeName, &E)> {
        let entries = self.entries.iter();
        entries.filter_map(|(node, result)| Some((node, result.as_ref().err()?)))
    }

    /// Whether every node succeeded.
    pub fn is_success(&self) -> bool {
        self.entries.iter().all(|(_, result)| result.is_ok())
    }

    /// Those that succeeded and those that failed, each in order.
    pub fn split(self) -> (NodeMap<T>, NodeMap<E>) {
        let (mut successes, mut failures) = (Vec::new(), Vec::new());
        for (node, result) in self.entries {
            match result {
                Ok(value) => successes.push((node, value)),
                Err(error) => failures.push((node, error)),
            }
        }
        (NodeMap::new(successes), NodeMap::new(failures))
    }

    /// All values, if every node succeeded.
    ///
    /// # Errors
    ///
    /// The failure of the first node, in order, that failed.
    pub fn into_complete(self) -> Result<NodeMap<T>, NodeFailure<E>> {
        let entries = self.entries.into_iter();
        let complete = entries.map(|(node, result)| match result {
            Ok(value) => Ok((node, value)),
            Err(error) => Err(NodeFailure::new(node, error)),
        });
        complete.collect::<Result<_, _>>().map(NodeMap::new)
    }
}

impl<T> IntoIterator for NodeMap<T> {
    type Item = (NodeName, T);
    type IntoIter = std::vec::IntoIter<(NodeName, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a NodeMap<T> {
    type Item = &'a (NodeName, T);
    type IntoIter = std::slice::Iter<'a, (NodeName, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<E> NodeFailure<E> {
    pub(super) fn new(node: NodeName, error: E) -> Self {
        Self { node, error }
    }

    /// The node.
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// What happened there.
    pub fn error(&self) -> &E {
        &self.error
    }

    /// What happened there, to keep.
    pub fn into_error(self) -> E {
        self.error
    }
}

impl From<NodeFailure<Self>> for crate::Error {
    fn from(failure: NodeFailure<Self>) -> Self {
        match failure.error.node() {
            Some(_) => failure.error,
            None => failure.error.with_node(Some(failure.node)),
        }
    }
}

impl<E: fmt::Display> fmt::Display for NodeFailure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} failed", self.node)
    }
}

impl<E: StdError + 'static> StdError for NodeFailure<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.error)
    }
}

impl<T> Slots<T> {
    /// The nodes must be different ones.
    pub(super) fn new(nodes: Vec<NodeName>) -> Self {
        let places = nodes.iter().cloned().zip(0..).collect();
        Self {
            places,
            values: nodes.into_iter().map(|node| (node, None)).collect(),
        }
    }

    pub(super) fn put(&mut self, node: &NodeName, value: T) {
        let slot = self
            .places
            .get(node)
            .and_then(|place| self.values.get_mut(*place));
        if let Some((_, slot)) = slot {
            *slot = Some(value);
        }
    }

    pub(super) fn finish(self) -> NodeMap<T> {
        let values = self.values.into_iter();
        NodeMap::new(values.filter_map(|(node, value)| Some((node, value?))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NodeName {
        text.parse().expect("a name")
    }

    fn map(results: &[(&str, Result<u8, &'static str>)]) -> NodeMap<Result<u8, &'static str>> {
        NodeMap::new(
            results
                .iter()
                .map(|(node, result)| (name(node), *result))
                .collect(),
        )
    }

    #[test]
    fn values_keep_the_order_of_the_nodes_whatever_order_they_come_in() {
        let mut slots = Slots::new(vec![name("b"), name("a"), name("c")]);
        for (node, value) in [("c", 3), ("b", 1), ("a", 2), ("unknown", 9)] {
            slots.put(&name(node), value);
        }
        let map = slots.finish();
        let seen: Vec<_> = map.iter().map(|(node, value)| (node.as_str(), *value)).collect();
        assert_eq!(seen, [("b", 1), ("a", 2), ("c", 3)]);
        assert_eq!((map.get("a"), map.get("unknown")), (Some(&2), None));
    }

    #[test]
    fn successes_and_failures_come_apart() {
        let results = map(&[("a", Ok(1)), ("b", Err("down")), ("c", Ok(3)), ("d", Err("gone"))]);
        assert!(!results.is_success());
        assert_eq!(results.successes().map(|(_, value)| *value).sum::<u8>(), 4);
        assert_eq!(results.failures().count(), 2);
        let failure = results.clone().into_complete().expect_err("two failed");
        assert_eq!((failure.node().as_str(), *failure.error()), ("b", "down"));
        let (successes, failures) = results.split();
        assert_eq!(
            successes.nodes().map(NodeName::as_str).collect::<Vec<_>>(),
            ["a", "c"]
        );
        assert_eq!(
            failures.into_iter().map(|(_, error)| error).collect::<Vec<_>>(),
            ["down", "gone"]
        );

        let complete = map(&[("a", Ok(1)), ("b", Ok(2))]);
        assert!(complete.is_success());
        assert_eq!(
            complete
                .into_complete()
                .expect("all")
                .values()
                .copied()
                .collect::<Vec<_>>(),
            [1, 2]
        );
    }
}
