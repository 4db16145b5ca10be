//! Names of backups with a time in them, and which backups are to go.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

const SUFFIX: &str = ".snapshot";
/// What a download has at the end of its name until it is complete.
const PART: &str = ".part";
/// How old a part has to be to count as left behind.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// A backup in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Own {
    taken_at: SystemTime,
    path: PathBuf,
    part: bool,
}

/// Which backups stay. One that any rule keeps stays; without rules, all stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) keep: Option<usize>,
    pub(super) max_age: Option<Duration>,
}

/// A name that is free: `PREFIX-20260131T123000Z.snapshot`, or with `-2`, `-3`, … before the suffix.
pub(super) fn free_path(folder: &Path, prefix: &str, now: SystemTime) -> PathBuf {
    let stem = format!("{prefix}-{}", stamp(now));
    let first = folder.join(format!("{stem}{SUFFIX}"));
    if !first.exists() {
        return first;
    }
    (2_u64..)
        .map(|number| folder.join(format!("{stem}-{number}{SUFFIX}")))
        .find(|path| !path.exists())
        .expect("a finite folder leaves a number free")
}

/// Removes backups with this prefix that no rule keeps, never `new`, and parts that were left behind; returns what
/// was removed. Files of other names, folders and links are never touched.
pub(super) fn rotate(
    folder: &Path,
    prefix: &str,
    rules: Rules,
    new: &Path,
    now: SystemTime,
) -> io::Result<Vec<PathBuf>> {
    let mut own = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        let name = entry.file_name();
        if let Some((taken_at, part)) = name.to_str().and_then(|name| parse(name, prefix)) {
            own.push(Own {
                taken_at,
                path: entry.path(),
                part,
            });
        }
    }
    let mut removed = Vec::new();
    for path in doomed(own, rules, new, now) {
        fs::remove_file(&path)?;
        removed.push(path);
    }
    Ok(removed)
}

/// The oldest first.
fn doomed(mut own: Vec<Own>, rules: Rules, new: &Path, now: SystemTime) -> Vec<PathBuf> {
    own.sort_unstable();
    let age = |own: &Own| now.duration_since(own.taken_at).unwrap_or_default();
    let complete = own.iter().filter(|own| !own.part).count();
    let mut newer = complete;
    let mut doomed = Vec::new();
    for own in own {
        let goes = if own.part {
            age(&own) > ABANDONED
        } else {
            newer -= 1;
            let by_number = rules.keep.map(|keep| newer >= keep);
            let by_age = rules.max_age.map(|limit| age(&own) > limit);
            match (by_number, by_age) {
                (None, None) => false,
                (number, age) => number.unwrap_or(true) && age.unwrap_or(true),
            }
        };
        if goes && own.path != new {
            doomed.push(own.path);
        }
    }
    doomed
}

/// When a file of this name was taken, and whether it is a part; `None` for names that are not ours.
fn parse(name: &str, prefix: &str) -> Option<(SystemTime, bool)> {
    let rest = name.strip_prefix(prefix)?.strip_prefix('-')?;
    let (rest, part) = match rest.strip_suffix(PART) {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let rest = rest.strip_suffix(SUFFIX)?;
    let (time, number) = rest.split_at_checked(16)?;
    if let Some(number) = number.strip_prefix('-') {
        number.parse::<u64>().ok().filter(|number| *number > 1)?;
    } else if !number.is_empty() {
        return None;
    }
    Some((time_of(time)?, part))
}

/// `20260131T123000Z`; times before 1970 are shown as 1970.
fn stamp(time: SystemTime) -> String {
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (mut year, mut day) = (1970, seconds / DAY);
    while day >= days_of(year) {
        day -= days_of(year);
        year += 1;
    }
    let mut month = 0;
    while day >= days_in(year, month) {
        day -= days_in(year, month);
        month += 1;
    }
    let (hour, minute, second) = (seconds % DAY / 3600, seconds % 3600 / 60, seconds % 60);
    format!(
        "{year:04}{:02}{:02}T{hour:02}{minute:02}{second:02}Z",
        month + 1,
        day + 1
    )
}

fn time_of(text: &str) -> Option<SystemTime> {
    let bytes = text.as_bytes();
    let digits = [&bytes[..8], &bytes[9..15]].concat();
    if bytes[8] != b'T' || bytes[15] != b'Z' || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |from: usize, to: usize| {
        digits[from..to]
            .iter()
            .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
    };
    let (year, month, day) = (
        number(0, 4),
        number(4, 6).checked_sub(1)?,
        number(6, 8).checked_sub(1)?,
    );
    let (hour, minute, second) = (number(8, 10), number(10, 12), number(12, 14));
    if year < 1970 || month > 11 || day >= days_in(year, month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = (1970..year).map(days_of).sum::<u64>()
        + (0..month).map(|month| days_in(year, month)).sum::<u64>()
        + day;
    let seconds = days * DAY + hour * 3600 + minute * 60 + second;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

const DAY: u64 = 86_400;

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_of(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

/// Days in a month of the Gregorian calendar, which is counted from 0.
const fn days_in(year: u64, month: u64) -> u64 {
    match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    proptest! {
        #[test]
        fn times_are_read_as_they_are_written(seconds in 0_u64..200_000_000_000) {
            let text = stamp(at(seconds));
            prop_assume!(text.len() == 16);
            prop_assert_eq!(time_of(&text), Some(at(seconds)));
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_782_400, "20000229T000000Z"),
            (1_769_862_600, "20260131T123000Z"),
            (4_107_542_399, "21000228T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(stamp(at(seconds)), text);
        }
    }

    #[test]
    fn only_names_of_ours_are_ours() {
        for name in [
            "etcd-20260131T123000Z.snapshot",
            "etcd-20260131T123000Z-2.snapshot",
            "etcd-20260131T123000Z.snapshot.part",
        ] {
            assert_eq!(
                parse(name, "etcd").map(|(time, _)| time),
                Some(at(1_769_862_600)),
                "{name}"
            );
        }
        for name in [
            "etcd-20260131T123000Z.snapshot.gz",
            "etcd-20260131T123000Z-.snapshot",
            "etcd-20260131T123000Z-x.snapshot",
            "etcd-20260131T123000Z-1.snapshot",
            "etcd-20260131T123000Zx.snapshot",
            "etcd-20261331T123000Z.snapshot",
            "etcd-20260230T123000Z.snapshot",
            "etcd-2026-131T123000Z.snapshot",
            "etcd-2026013éT123000Z.snapshot",
            "etcd.snapshot",
            "etcd-lab-20260131T123000Z.snapshot",
            "my-etcd-20260131T123000Z.snapshot",
            "20260131T123000Z.snapshot",
        ] {
            assert_eq!(parse(name, "etcd"), None, "{name}");
        }
    }

    #[test]
    fn what_any_rule_keeps_stays() {
        let day = Duration::from_secs(DAY);
        let now = at(100 * DAY);
        let own = || {
            (90..=100).map(|number| Own {
                taken_at: at(number * DAY),
                path: PathBuf::from(number.to_string()),
                part: number == 99,
            })
        };
        let gone = |keep, max_age| {
            let rules = Rules { keep, max_age };
            let gone = doomed(own().collect(), rules, Path::new("100"), now);
            let gone = gone
                .into_iter()
                .map(|path| path.display().to_string().parse::<u64>());
            gone.map(|number| number.expect("a number")).collect::<Vec<_>>()
        };
        assert!(gone(None, None).is_empty());
        assert_eq!(gone(Some(3), None), (90..97).collect::<Vec<_>>());
        assert_eq!(gone(None, Some(day * 5)), (90..95).collect::<Vec<_>>());
        assert_eq!(gone(Some(7), Some(day * 2)), [90, 91, 92]);
        assert_eq!(gone(Some(1), Some(day * 8)), [90, 91]);
        // The new one stays whatever the rules and the clocks say.
        assert!(!gone(Some(1), Some(Duration::ZERO)).contains(&100));
    }

    #[test]
    fn parts_go_when_they_are_left_behind() {
        let own = |seconds, part| Own {
            taken_at: at(seconds),
            path: PathBuf::from(format!("{seconds}")),
            part,
        };
        let all = vec![own(DAY, true), own(2 * DAY - 60, true), own(2 * DAY, false)];
        let gone = doomed(all, Rules::default(), Path::new("x"), at(2 * DAY + 60));
        assert_eq!(gone, [PathBuf::from(format!("{DAY}"))]);
    }
}
