//! When a rule applies: to which methods, to which of the events that match, with which luck.

use std::ops::{Bound, RangeBounds};

use crate::rng::SimRng;

/// The part of a fault that says when.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    pub(crate) methods: Vec<String>,
    calls: (Bound<u64>, Bound<u64>),
    probability: f64,
    seed: Option<u64>,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            methods: Vec::new(),
            calls: (Bound::Unbounded, Bound::Unbounded),
            probability: 1.0,
            seed: None,
        }
    }
}

impl Filter {
    pub(crate) fn set_calls(&mut self, range: impl RangeBounds<u64>) {
        self.calls = (range.start_bound().cloned(), range.end_bound().cloned());
    }

    pub(crate) const fn set_probability(&mut self, probability: f64) {
        // Not-a-number becomes 0: never.
        self.probability = probability.clamp(0.0, 1.0);
    }

    pub(crate) const fn set_seed(&mut self, seed: u64) {
        self.seed = Some(seed);
    }

    /// Whether the rule applies to everything that it matches.
    pub(crate) fn is_unconditional(&self) -> bool {
        self.calls == (Bound::Unbounded, Bound::Unbounded) && self.probability >= 1.0
    }

    /// Whether the RPC at `path` is meant: by full path, by service, or by name.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let bare = path.trim_start_matches('/');
        self.methods.is_empty()
            || self.methods.iter().any(|method| {
                let method = method.trim_start_matches('/');
                bare == method
                    || bare
                        .rsplit_once('/')
                        .is_some_and(|(service, name)| name == method || service == method)
            })
    }
}

/// How often a rule has matched and applied, and its luck.
#[derive(Debug)]
pub(crate) struct Counter {
    filter: Filter,
    rng: SimRng,
    pub(crate) seen: u64,
    pub(crate) hits: u64,
}

impl Counter {
    pub(crate) fn new(filter: Filter, rng: SimRng) -> Self {
        let rng = filter.seed.map_or(rng, SimRng::new);
        Self {
            filter,
            rng,
            seen: 0,
            hits: 0,
        }
    }

    /// Counts one matching event and says whether the rule applies to it.
    pub(crate) fn strikes(&mut self) -> bool {
        self.seen += 1;
        // Drawn every time, so that the luck of one event does not depend on the range.
        let drawn = (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let applies = self.filter.calls.contains(&self.seen) && drawn < self.filter.probability;
        self.hits += u64::from(applies);
        applies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(filter: Filter, seed: u64) -> Vec<bool> {
        let mut counter = Counter::new(filter, SimRng::new(seed));
        (0..200).map(|_| counter.strikes()).collect()
    }

    #[test]
    fn ranges_count_from_one() {
        let mut filter = Filter::default();
        filter.set_calls(2..=3);
        assert_eq!(pattern(filter.clone(), 1)[..4], [false, true, true, false]);
        filter.set_calls(3..);
        assert_eq!(pattern(filter, 1)[..4], [false, false, true, true]);
    }

    #[test]
    fn luck_follows_the_seed() {
        let mut filter = Filter::default();
        filter.set_probability(0.3);
        let drawn = pattern(filter.clone(), 5);
        assert_eq!(drawn, pattern(filter.clone(), 5));
        assert_ne!(drawn, pattern(filter.clone(), 6));
        let hits = drawn.iter().filter(|hit| **hit).count();
        assert!((40..80).contains(&hits), "{hits} of 200");
        filter.set_seed(6);
        assert_eq!(pattern(filter.clone(), 5), pattern(filter.clone(), 99));
        for (probability, expected) in [(0.0, false), (-1.0, false), (f64::NAN, false), (7.0, true)] {
            filter.set_probability(probability);
            assert!(
                pattern(filter.clone(), 5).iter().all(|hit| *hit == expected),
                "{probability}"
            );
        }
    }

    #[test]
    fn methods_have_names_services_and_paths() {
        let path = "/machine.MachineService/Version";
        for (method, expected) in [
            ("Version", true),
            ("machine.MachineService", true),
            ("/machine.MachineService/Version", true),
            ("machine.MachineService/Version", true),
            ("version", false),
            ("machine", false),
            ("", false),
        ] {
            let filter = Filter {
                methods: vec![method.to_owned()],
                ..Filter::default()
            };
            assert_eq!(filter.matches(path), expected, "{method}");
        }
        assert!(Filter::default().matches(path));
    }
}
