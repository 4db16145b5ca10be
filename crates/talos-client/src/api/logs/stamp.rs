//! Times in lines of logs, without I/O.

use std::{
    cmp::Ordering,
    time::{Duration, SystemTime},
};

/// When a line was written, as far as it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    form: Form,
    /// Since the beginning of 1970, or of the year, in nanoseconds.
    nanos: i128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `2026-01-02T03:04:05.678901Z`, at the beginning or in the fields `ts` and `time` of a structured line.
    Rfc3339,
    /// `2026/01/02 03:04:05.678901`, as Go's own logger writes it; UTC on nodes.
    Slashes,
    /// `I0102 03:04:05.678901`, as Kubernetes' programs write it, without the year.
    Klog,
}

impl Stamp {
    /// The time at which the line says that it was written.
    pub(super) fn of(line: &str) -> Option<Self> {
        let line = line.get(..SEARCHED).unwrap_or_else(|| {
            let end = (0..SEARCHED.min(line.len()))
                .rev()
                .find(|end| line.is_char_boundary(*end));
            if line.len() <= SEARCHED {
                line
            } else {
                &line[..end.unwrap_or(0)]
            }
        });
        let structured = ["\"ts\":\"", "\"time\":\"", "time=\"", ": ["];
        rfc3339(line)
            .or_else(|| slashes(line))
            .or_else(|| klog(line))
            .or_else(|| {
                structured.iter().find_map(|mark| {
                    let begin = line.find(mark)? + mark.len();
                    rfc3339(&line[begin..])
                })
            })
    }

    /// Which of two is later, if they are of the same form.
    pub(super) fn compare(self, other: Self) -> Option<Ordering> {
        if self.form != other.form {
            return None;
        }
        let mut difference = self.nanos - other.nanos;
        if self.form == Form::Klog {
            // More than half a year is the turn of the year.
            if difference > YEAR / 2 {
                difference -= YEAR;
            } else if difference < -YEAR / 2 {
                difference += YEAR;
            }
        }
        Some(difference.cmp(&0))
    }

    /// The same as a point in time; `None` without a year.
    pub(super) fn system_time(self) -> Option<SystemTime> {
        if self.form == Form::Klog {
            return None;
        }
        let nanos = u64::try_from(self.nanos).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanos))
    }
}

fn rfc3339(text: &str) -> Option<Stamp> {
    let mut reader = Reader(text.as_bytes());
    let (year, month, day) = (reader.number(4)?, reader.after(b'-', 2)?, reader.after(b'-', 2)?);
    reader.skip(b'T')?;
    let time = reader.time()?;
    let offset = match reader.0.first()? {
        b'Z' => 0,
        sign @ (b'+' | b'-') => {
            reader.skip(*sign)?;
            let minutes = reader.number(2)? * 60 + reader.after(b':', 2)?;
            if *sign == b'+' { minutes } else { -minutes }
        }
        _ => return None,
    };
    let nanos = days(year, month, day)? * DAY + time - i128::from(offset) * 60 * SECOND;
    Some(Stamp {
        form: Form::Rfc3339,
        nanos,
    })
}

fn slashes(text: &str) -> Option<Stamp> {
    let mut reader = Reader(text.as_bytes());
    let (year, month, day) = (reader.number(4)?, reader.after(b'/', 2)?, reader.after(b'/', 2)?);
    reader.skip(b' ')?;
    let nanos = days(year, month, day)? * DAY + reader.time()?;
    Some(Stamp {
        form: Form::Slashes,
        nanos,
    })
}

fn klog(text: &str) -> Option<Stamp> {
    let mut reader = Reader(text.as_bytes().strip_prefix(b"I").or_else(|| {
        let first = text.as_bytes().first()?;
        matches!(first, b'W' | b'E' | b'F').then(|| &text.as_bytes()[1..])
    })?);
    let (month, day) = (reader.number(2)?, reader.number(2)?);
    reader.skip(b' ')?;
    // Any leap year will do.
    let day = days(2000, month, day)? - days(2000, 1, 1)?;
    Some(Stamp {
        form: Form::Klog,
        nanos: day * DAY + reader.time()?,
    })
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        number.iter().try_fold(0, |value, digit| {
            digit
                .is_ascii_digit()
                .then(|| value * 10 + i64::from(digit - b'0'))
        })
    }

    fn skip(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    fn after(&mut self, byte: u8, digits: usize) -> Option<i64> {
        self.skip(byte)?;
        self.number(digits)
    }

    /// Nanoseconds since midnight.
    fn time(&mut self) -> Option<i128> {
        let (hour, minute, second) = (self.number(2)?, self.after(b':', 2)?, self.after(b':', 2)?);
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let mut nanos = 0;
        if self.skip(b'.').is_some() {
            let mut unit = 100_000_000;
            while let Some(digit) = self.0.first().filter(|digit| digit.is_ascii_digit()) {
                nanos += i128::from(digit - b'0') * unit;
                unit /= 10;
                self.0 = &self.0[1..];
            }
        }
        Some(i128::from(hour * 3600 + minute * 60 + second) * SECOND + nanos)
    }
}

/// Days since the beginning of 1970, in the calendar that is always valid.
fn days(year: i64, month: i64, day: i64) -> Option<i128> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years begin in March, so that the leap day is the last one.
    let (year, month) = if month <= 2 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let in_year = (153 * month + 2) / 5 + day - 1;
    Some(i128::from(year * 365 + leap_days + in_year - DAYS_TO_1970))
}

const SECOND: i128 = 1_000_000_000;
const DAY: i128 = 24 * 3600 * SECOND;
const YEAR: i128 = 366 * DAY;
/// From March of the year 0.
const DAYS_TO_1970: i64 = 719_468;
/// Times stand near the beginning of a line.
const SEARCHED: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(line: &str) -> f64 {
        let time = Stamp::of(line).expect(line).system_time().expect(line);
        time.duration_since(SystemTime::UNIX_EPOCH)
            .expect("later")
            .as_secs_f64()
    }

    #[test]
    fn times_of_all_the_programs_on_a_node_are_found() {
        for line in [
            "2026-01-02T03:04:05.5Z stdout F text",
            "2026-01-02T04:04:05.500000000+01:00 stderr P text",
            "2026-01-01T22:04:05.5-05:00 text",
            "2026/01/02 03:04:05.500000 [talos] text",
            "kern:    info: [2026-01-02T03:04:05.5Z]: text",
            r#"{"level":"info","ts":"2026-01-02T03:04:05.500Z","msg":"text"}"#,
            r#"time="2026-01-02T03:04:05.500000000Z" level=info msg=text"#,
        ] {
            assert_eq!(seconds(line), 1_767_323_045.5, "{line}");
        }
        assert_eq!(seconds("1970-01-01T00:00:00Z"), 0.0);
        assert_eq!(seconds("2000-02-29T00:00:00Z"), 951_782_400.0);
    }

    #[test]
    fn lines_without_a_time_have_none() {
        for line in [
            "",
            "text",
            "2026-01-02 text",
            "2026-13-02T03:04:05Z",
            "2026-01-02T25:04:05Z",
            "2026-01-02T03:04:05 text",
            "ä2026-01-02T03:04:05Z",
            "I0102",
        ] {
            assert_eq!(Stamp::of(line), None, "{line}");
        }
    }

    #[test]
    fn without_a_year_the_turn_of_the_year_is_no_step_back() {
        let stamp = |line| Stamp::of(line).expect("a time");
        let december = stamp("I1231 23:59:59.9 1 file.go:1] text");
        let january = stamp("W0101 00:00:00.1 1 file.go:1] text");
        assert_eq!(january.compare(december), Some(Ordering::Greater));
        assert_eq!(december.compare(january), Some(Ordering::Less));
        assert_eq!(december.system_time(), None);
        assert_eq!(december.compare(stamp("2026-01-02T03:04:05Z")), None);
    }

    proptest! {
        #[test]
        fn garbage_does_not_panic(line in "\\PC{0,300}") {
            let _ = Stamp::of(&line);
        }
    }
}
