//! Which lines came already, without I/O.

use std::{
    cmp::Ordering,
    hash::{BuildHasher as _, RandomState},
};

use super::stamp::Stamp;

/// Remembers how far a log was read, and finds the place again.
#[derive(Debug)]
pub(super) struct Dedup {
    hasher: RandomState,
    last: Option<Stamp>,
    /// Hashes of the lines since the first one with the last time, which may be several.
    at_last: Vec<u64>,
    phase: Phase,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// Every line is new.
    Passing,
    /// The log is read once more.
    Searching {
        /// Lines with the last time that were not seen again.
        left: Vec<u64>,
        /// Whether there was a line that is not later than the last one, so that nothing is missing.
        overlaps: bool,
        /// Whether the line before came already; those without a time belong to it.
        dropping: bool,
    },
}

/// What to do with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It came already.
    Drop,
    /// It is new.
    Take,
    /// It is new, and lines before it are missing.
    TakeAfterGap,
}

impl Dedup {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            last: None,
            at_last: Vec::new(),
            phase: Phase::Passing,
        }
    }

    /// The time of the last line.
    pub(super) fn last(&self) -> Option<Stamp> {
        self.last
    }

    /// The log is going to be read once more from its beginning.
    pub(super) fn rewind(&mut self) {
        self.phase = Phase::Searching {
            left: self.at_last.clone(),
            overlaps: false,
            dropping: true,
        };
    }

    /// Whatever comes next is new.
    pub(super) fn pass(&mut self) {
        self.phase = Phase::Passing;
    }

    pub(super) fn judge(&mut self, line: &str) -> Verdict {
        let stamp = Stamp::of(line);
        let hash = self.hasher.hash_one(line);
        let verdict = match (&mut self.phase, self.last) {
            (Phase::Passing, _) | (_, None) => Verdict::Take,
            (
                Phase::Searching {
                    left,
                    overlaps,
                    dropping,
                },
                Some(last),
            ) => {
                let again = left.iter().position(|seen| *seen == hash);
                let order = stamp.map(|stamp| stamp.compare(last).unwrap_or(Ordering::Greater));
                match (order, again) {
                    (Some(Ordering::Less), _) => {
                        (*overlaps, *dropping) = (true, true);
                        Verdict::Drop
                    }
                    (None, _) if *dropping => Verdict::Drop,
                    (Some(Ordering::Equal) | None, Some(again)) => {
                        left.swap_remove(again);
                        (*overlaps, *dropping) = (true, false);
                        Verdict::Drop
                    }
                    (Some(Ordering::Equal), None) => {
                        (*overlaps, *dropping) = (true, false);
                        Verdict::Take
                    }
                    (None, None) => Verdict::Take,
                    (Some(Ordering::Greater), _) if *overlaps => Verdict::Take,
                    (Some(Ordering::Greater), _) => Verdict::TakeAfterGap,
                }
            }
        };
        if verdict != Verdict::Drop {
            self.take(stamp, hash);
        }
        verdict
    }

    fn take(&mut self, stamp: Option<Stamp>, hash: u64) {
        if let Some(stamp) = stamp {
            if self.last.and_then(|last| stamp.compare(last)) != Some(Ordering::Equal) {
                self.at_last.clear();
                self.pass();
            }
            self.last = Some(stamp);
        }
        if self.last.is_some() && self.at_last.len() < MAX_AT_LAST {
            self.at_last.push(hash);
        }
    }
}

/// More lines than this with the same time are not remembered, and may come twice.
const MAX_AT_LAST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn line(second: u32, text: &str) -> String {
        format!("2026-01-02T03:04:{second:02}Z {text}")
    }

    fn read(dedup: &mut Dedup, lines: &[String]) -> Vec<(Verdict, String)> {
        let judged = lines.iter().map(|line| (dedup.judge(line), line.clone()));
        judged.filter(|(verdict, _)| *verdict != Verdict::Drop).collect()
    }

    fn taken(lines: &[String]) -> Vec<(Verdict, String)> {
        lines.iter().map(|line| (Verdict::Take, line.clone())).collect()
    }

    #[test]
    fn what_came_already_is_left_out_wherever_the_log_was_left() {
        let log: Vec<String> = [
            line(1, "one"),
            "  continued".to_owned(),
            line(2, "two"),
            line(2, "two again"),
            line(2, "two"),
            "  continued".to_owned(),
            line(3, "three"),
        ]
        .into();
        for split in 1..log.len() {
            let mut dedup = Dedup::new();
            assert_eq!(read(&mut dedup, &log[..split]), taken(&log[..split]));
            dedup.rewind();
            assert_eq!(read(&mut dedup, &log), taken(&log[split..]), "left after {split}");
            dedup.rewind();
            assert_eq!(read(&mut dedup, &log), [], "left at the end");
        }
    }

    #[test]
    fn a_log_that_begins_later_has_a_gap() {
        let mut dedup = Dedup::new();
        read(&mut dedup, &[line(1, "one")]);
        dedup.rewind();
        let later = [line(5, "five"), line(6, "six")];
        assert_eq!(
            read(&mut dedup, &later),
            [
                (Verdict::TakeAfterGap, later[0].clone()),
                (Verdict::Take, later[1].clone())
            ]
        );
    }

    #[test]
    fn the_end_of_an_old_line_does_not_come_again() {
        let mut dedup = Dedup::new();
        let log = [line(1, "one"), "  continued".to_owned(), line(2, "two")];
        read(&mut dedup, &log);
        dedup.rewind();
        let rest = ["  continued".to_owned(), line(2, "two"), line(3, "three")];
        assert_eq!(read(&mut dedup, &rest), taken(&[line(3, "three")]));
    }

    #[test]
    fn after_a_reboot_everything_is_new() {
        let mut dedup = Dedup::new();
        read(&mut dedup, &[line(30, "before")]);
        dedup.pass();
        // The clock is not set yet.
        let boot = [line(1, "booting"), line(2, "up")];
        assert_eq!(read(&mut dedup, &boot), taken(&boot));
        assert_eq!(dedup.last(), Stamp::of(&boot[1]));
    }
}
