//! Wall-clock moments in the spellings that Talos uses: RFC 3339, Go's log prefix, ASN.1 times.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment with nanosecond resolution, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    /// Seconds since 1970-01-01, negative before it.
    seconds: i64,
    nanos: u32,
}

/// A moment split into calendar fields.
struct Civil {
    year: i64,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
}

impl Moment {
    /// Go's zero `time.Time`: the first of January of year 1.
    pub(crate) const GO_ZERO: Self = Self {
        seconds: -62_135_596_800,
        nanos: 0,
    };

    pub(crate) fn now() -> Self {
        Self::from(SystemTime::now())
    }

    #[cfg(test)]
    pub(crate) const fn from_unix(seconds: i64, nanos: u32) -> Self {
        Self { seconds, nanos }
    }

    /// This moment moved by `offset`, to the past if `back` is set.
    pub(crate) fn shifted(self, offset: Duration, back: bool) -> Self {
        let offset = i64::try_from(offset.as_secs()).unwrap_or(i64::MAX / 2);
        Self {
            seconds: if back {
                self.seconds - offset
            } else {
                self.seconds + offset
            },
            ..self
        }
    }

    /// This moment moved by a number of nanoseconds, which may be negative.
    pub(crate) fn shifted_nanos(self, offset: i64) -> Self {
        let nanos = i64::from(self.nanos) + offset.rem_euclid(1_000_000_000);
        Self {
            seconds: self.seconds + offset.div_euclid(1_000_000_000) + nanos / 1_000_000_000,
            nanos: u32::try_from(nanos % 1_000_000_000).unwrap_or_default(),
        }
    }

    /// Nanoseconds within the second.
    pub(crate) const fn nanos(self) -> u32 {
        self.nanos
    }

    /// Whole seconds since 1970-01-01.
    pub(crate) const fn unix_seconds(self) -> i64 {
        self.seconds
    }

    pub(crate) fn to_proto(self) -> prost_types::Timestamp {
        prost_types::Timestamp {
            seconds: self.seconds,
            nanos: i32::try_from(self.nanos).unwrap_or_default(),
        }
    }

    /// RFC 3339 with as many fraction digits as needed, Go's `RFC3339Nano`.
    pub(crate) fn rfc3339_nanos(self) -> String {
        let civil = self.civil();
        let mut text = civil.date_time('-', 'T');
        if self.nanos != 0 {
            let digits = format!("{:09}", self.nanos);
            text.push('.');
            text.push_str(digits.trim_end_matches('0'));
        }
        text.push('Z');
        text
    }

    /// RFC 3339 in whole seconds.
    pub(crate) fn rfc3339(self) -> String {
        format!("{}Z", self.civil().date_time('-', 'T'))
    }

    /// The prefix of Go's standard logger with microseconds: `2006/01/02 15:04:05.000000`.
    pub(crate) fn go_log_prefix(self) -> String {
        format!("{}.{:06}", self.civil().date_time('/', ' '), self.nanos / 1000)
    }

    /// ASN.1 `UTCTime` contents (`YYMMDDHHMMSSZ`) before 2050, `GeneralizedTime` contents from then on.
    pub(crate) fn asn1(self) -> (bool, String) {
        let Civil {
            year,
            month,
            day,
            hour,
            minute,
            second,
        } = self.civil();
        let rest = format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
        if (1950..2050).contains(&year) {
            (true, format!("{:02}{rest}", year % 100))
        } else {
            (false, format!("{year:04}{rest}"))
        }
    }

    /// Howard Hinnant's days-to-civil conversion, which needs no tables.
    fn civil(self) -> Civil {
        let days = self.seconds.div_euclid(86_400);
        let second_of_day = self.seconds.rem_euclid(86_400);
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_index = (5 * day_of_year + 2) / 153;
        let month = if month_index < 10 {
            month_index + 3
        } else {
            month_index - 9
        };
        let narrow = |value: i64| u8::try_from(value).unwrap_or_default();
        Civil {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month: narrow(month),
            day: narrow(day_of_year - (153 * month_index + 2) / 5 + 1),
            hour: narrow(second_of_day / 3_600),
            minute: narrow(second_of_day / 60 % 60),
            second: narrow(second_of_day % 60),
        }
    }
}

impl Civil {
    fn date_time(&self, date_separator: char, middle: char) -> String {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
        } = self;
        format!(
            "{year:04}{date_separator}{month:02}{date_separator}{day:02}{middle}{hour:02}:{minute:02}:{second:02}"
        )
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Self {
                seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                nanos: since.subsec_nanos(),
            },
            // The simulator has no use for moments before the epoch at finer grain than a second.
            Err(before) => Self {
                seconds: -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
                nanos: 0,
            },
        }
    }
}

/// `duration` in Go's spelling: `1.5s`, `1m0s`, `250µs`.
pub(crate) fn go_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let fraction = |unit: u128, name: &str| {
        let digits = (unit as f64).log10() as usize;
        let text = format!("{}.{:0digits$}", nanos / unit, nanos % unit);
        format!("{}{name}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => fraction(1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(1_000_000, "ms"),
        _ => {
            let seconds = duration.as_secs();
            let mut text = String::new();
            if seconds >= 3_600 {
                text.push_str(&format!("{}h", seconds / 3_600));
            }
            if seconds >= 60 {
                text.push_str(&format!("{}m", seconds / 60 % 60));
            }
            let rest = format!("{}.{:09}", seconds % 60, duration.subsec_nanos());
            text.push_str(rest.trim_end_matches('0').trim_end_matches('.'));
            text.push('s');
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_spelled_as_go_spells_them() {
        let moment = Moment::from_unix(1_767_323_045, 678_901_000);
        assert_eq!(moment.rfc3339_nanos(), "2026-01-02T03:04:05.678901Z");
        assert_eq!(moment.rfc3339(), "2026-01-02T03:04:05Z");
        assert_eq!(moment.go_log_prefix(), "2026/01/02 03:04:05.678901");
        assert_eq!(moment.asn1(), (true, "260102030405Z".to_owned()));
        assert_eq!(
            Moment::from_unix(951_782_400, 0).rfc3339_nanos(),
            "2000-02-29T00:00:00Z"
        );
        assert_eq!(Moment::GO_ZERO.rfc3339(), "0001-01-01T00:00:00Z");
        assert_eq!(
            Moment::from_unix(2_524_608_000, 0).asn1(),
            (false, "20500101000000Z".to_owned())
        );
    }

    #[test]
    fn durations_are_spelled_as_go_spells_them() {
        let cases = [
            (Duration::ZERO, "0s"),
            (Duration::from_nanos(999), "999ns"),
            (Duration::from_nanos(1_500), "1.5µs"),
            (Duration::from_nanos(1_234_567), "1.234567ms"),
            (Duration::from_millis(20), "20ms"),
            (Duration::from_millis(1_500), "1.5s"),
            (Duration::from_secs(60), "1m0s"),
            (Duration::from_secs(3_600), "1h0m0s"),
            (Duration::from_millis(3_661_500), "1h1m1.5s"),
        ];
        for (duration, text) in cases {
            assert_eq!(go_duration(duration), text, "{duration:?}");
        }
    }
}
