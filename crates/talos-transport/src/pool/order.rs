//! The order in which the endpoints of a new channel are tried.

use std::hash::{BuildHasher as _, RandomState};

/// Shuffles in place, so that many clients with the same configuration spread over the endpoints. Equal seeds give equal
/// orders; without a seed the order is random.
pub(crate) fn shuffle<T>(items: &mut [T], seed: Option<u64>) {
    // The standard library seeds its hash maps randomly, which is randomness enough for spreading load.
    let mut state = seed.unwrap_or_else(|| RandomState::new().hash_one(0_u8));
    for last in (1..items.len()).rev() {
        let bound = last as u64 + 1;
        let chosen = (u128::from(split_mix(&mut state)) * u128::from(bound)) >> 64;
        items.swap(last, chosen as usize);
    }
}

/// One step of the SplitMix64 generator (Steele, Lea and Flood, 2014).
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_fixes_the_order_and_every_order_comes_up() {
        let order = |seed| {
            let mut items = [0, 1, 2];
            shuffle(&mut items, Some(seed));
            items
        };
        assert_eq!(order(7), order(7));
        let seen: BTreeSet<_> = (0..100).map(order).collect();
        assert_eq!(seen.len(), 6);
    }
}
