//! Randomness for spreading load: the order in which endpoints are tried, and how long they stay out.

use std::hash::{BuildHasher as _, RandomState};

/// The SplitMix64 generator (Steele, Lea and Flood, 2014). It is no good for secrets.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Equal seeds give equal numbers; without a seed they are different each time.
    pub(crate) fn new(seed: Option<u64>) -> Self {
        // The standard library seeds its hash maps randomly, which is randomness enough for spreading load.
        Self(seed.unwrap_or_else(|| RandomState::new().hash_one(0_u8)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// Shuffles in place, so that many clients with the same configuration spread over the endpoints.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let chosen = self.below(last as u64 + 1);
            items.swap(last, chosen as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_fixes_the_order_and_every_order_comes_up() {
        let order = |seed| {
            let mut items = [0, 1, 2];
            Random::new(Some(seed)).shuffle(&mut items);
            items
        };
        assert_eq!(order(7), order(7));
        let seen: BTreeSet<_> = (0..100).map(order).collect();
        assert_eq!(seen.len(), 6);
    }
}
