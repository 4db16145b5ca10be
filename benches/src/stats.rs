//! Medians, and what two sides that take turns come to.

use std::time::Duration;

/// The value in the middle; 0 of nothing.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        length if length % 2 == 1 => values[length / 2],
        length => (values[length / 2 - 1] + values[length / 2]) / 2.0,
    }
}

/// Two sides of a measurement, round by round.
#[derive(Debug, Default)]
pub struct Pairs {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Pairs {
    /// A round of each.
    pub fn push(&mut self, ours: f64, theirs: f64) {
        self.ours.push(ours);
        self.theirs.push(theirs);
    }

    /// The median of the ratios of rounds that were next to each other: what disturbs the machine for longer than a round
    /// disturbs both sides, and what is shorter makes an outlier.
    pub fn ratio(&self) -> f64 {
        let ratios = self.ours.iter().zip(&self.theirs);
        let mut ratios: Vec<_> = ratios.map(|(ours, theirs)| ours / theirs).collect();
        median(&mut ratios)
    }

    pub fn ours(&self) -> f64 {
        median(&mut self.ours.clone())
    }

    pub fn theirs(&self) -> f64 {
        median(&mut self.theirs.clone())
    }
}

/// In microseconds.
pub fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disturbance_of_one_round_has_no_effect() {
        let mut pairs = Pairs::default();
        for disturbed in [1.0, 1.0, 50.0, 1.0, 1.0] {
            pairs.push(11.0 * disturbed, 10.0);
        }
        assert!((pairs.ratio() - 1.1).abs() < 1e-9);
        assert!((median(&mut [3.0, 1.0, 2.0, 4.0]) - 2.5).abs() < 1e-9);
    }
}
