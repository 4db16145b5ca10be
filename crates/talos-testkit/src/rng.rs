//! The simulator's own random numbers: a function of the cluster's seed, so that two runs look alike.

/// SplitMix64: tiny, fast, good enough for ids and chunk sizes. Never used for keys.
#[derive(Debug, Clone)]
pub(crate) struct SimRng {
    state: u64,
}

impl SimRng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// An independent generator for one purpose, so that a new use does not shift the values of the others.
    pub(crate) fn fork(&self, purpose: &str) -> Self {
        let salt = purpose.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut forked = Self::new(self.state ^ salt);
        forked.next_u64();
        forked
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 1 to `limit`, both included; `limit` 0 counts as 1.
    pub(crate) fn one_to(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next_u64() % limit + 1).unwrap_or(1)
    }

    pub(crate) fn hex(&mut self, digits: usize) -> String {
        let mut text = String::with_capacity(digits + 16);
        while text.len() < digits {
            text.push_str(&format!("{:016x}", self.next_u64()));
        }
        text.truncate(digits);
        text
    }

    /// A version 4 UUID in its usual spelling.
    pub(crate) fn uuid(&mut self) -> String {
        let high = self.next_u64() & 0xffff_ffff_ffff_0fff | 0x4000;
        let low = self.next_u64() & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000;
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_values_and_purposes_differ() {
        let root = SimRng::new(7);
        assert_eq!(root.fork("boot").uuid(), SimRng::new(7).fork("boot").uuid());
        assert_ne!(root.fork("boot").uuid(), root.fork("node").uuid());
        assert_ne!(root.fork("boot").uuid(), SimRng::new(8).fork("boot").uuid());
    }

    #[test]
    fn uuids_are_version_four() {
        let uuid = SimRng::new(1).uuid();
        assert_eq!(uuid.len(), 36, "{uuid}");
        assert_eq!(uuid.as_bytes()[14], b'4', "{uuid}");
        assert!(matches!(uuid.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{uuid}");
    }

    #[test]
    fn ranges_include_both_ends() {
        let mut rng = SimRng::new(3);
        let drawn: std::collections::BTreeSet<_> = (0..200).map(|_| rng.one_to(3)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(rng.one_to(0), 1);
    }
}
