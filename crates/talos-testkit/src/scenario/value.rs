//! Values with spellings of their own.

use std::fmt;
use std::ops::Bound;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// `3+2`: control plane nodes and workers. Also what `talos-sim --nodes` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeCounts {
    /// Number of control plane nodes, at least 1.
    pub control_planes: usize,
    /// Number of workers.
    pub workers: usize,
}

impl FromStr for NodeCounts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{text}\" is no number of nodes; write 3+2 for three control plane nodes and two workers"
            )
        };
        let (control_planes, workers) = text.split_once('+').unwrap_or((text, "0"));
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| wrong());
        let counts = Self {
            control_planes: number(control_planes)?,
            workers: number(workers)?,
        };
        if counts.control_planes == 0 {
            return Err("a cluster needs at least one control plane node".to_owned());
        }
        Ok(counts)
    }
}

/// A Talos release with the leading `v`, such as `v1.13` or `v1.12.4`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileTag(pub String);

impl FromStr for ProfileTag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.strip_prefix('v').unwrap_or(text);
        let numbers = numbers.split(['-', '+']).next().unwrap_or_default();
        let parts: Vec<_> = numbers.split('.').map(str::parse::<u16>).collect();
        match parts.as_slice() {
            [Ok(1), Ok(8..)] => Ok(Self(format!("v{}.0", text.trim_start_matches('v')))),
            [Ok(1), Ok(8..), Ok(_)] => Ok(Self(format!("v{}", text.trim_start_matches('v')))),
            _ => Err(format!("\"{text}\" is no Talos release from v1.8 on")),
        }
    }
}

/// `250ms`, `1.5s`, `2m`, `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span(pub(super) Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no duration; write 250ms, 1.5s, 2m or 1h");
        let digits = text
            .find(|character: char| !character.is_ascii_digit() && character != '.')
            .ok_or_else(wrong)?;
        let (number, unit) = text.split_at(digits);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let unit = match unit.trim() {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        Duration::try_from_secs_f64(number * unit)
            .map(Self)
            .map_err(|_| wrong())
    }
}

/// Numbers of calls: `2`, `2..3`, `3..`, `..2`, ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Calls(pub(super) (Bound<u64>, Bound<u64>));

impl FromStr for Calls {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("\"{text}\" is no range of calls; write 2, 2..3, 3.. or ..2, the first call being 1");
        let number = |text: &str| {
            text.trim()
                .parse::<u64>()
                .ok()
                .filter(|number| *number > 0)
                .ok_or_else(wrong)
        };
        let end = |text: &str| match text.trim() {
            "" => Ok(Bound::Unbounded),
            text => number(text).map(Bound::Included),
        };
        let range = match text.split_once("..") {
            None => {
                let only = number(text)?;
                (Bound::Included(only), Bound::Included(only))
            }
            Some((first, last)) => (end(first)?, end(last)?),
        };
        match range {
            (Bound::Included(first), Bound::Included(last)) if first > last => Err(wrong()),
            range => Ok(Self(range)),
        }
    }
}

/// An error code of HTTP/2, by name or number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ResetCode(pub(super) u32);

/// In the order of their numbers.
const RESET_CODES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

impl FromStr for ResetCode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = RESET_CODES.iter().position(|name| *name == text);
        let code = named
            .and_then(|code| u32::try_from(code).ok())
            .or_else(|| text.parse().ok());
        code.map(Self)
            .ok_or_else(|| format!("\"{text}\" is no error code of HTTP/2, such as REFUSED_STREAM"))
    }
}

/// A status code of gRPC, as Go spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StatusCode(pub(super) tonic::Code);

impl FromStr for StatusCode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        (0..=16)
            .map(tonic::Code::from_i32)
            .find(|code| crate::text::code_name(*code).eq_ignore_ascii_case(&text.replace('_', "")))
            .map(Self)
            .ok_or_else(|| format!("\"{text}\" is no status code of gRPC, such as Unavailable"))
    }
}

/// Reads any of the above from a scalar: text, or a number that is taken for its digits.
struct Scalar<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = String>> Visitor<'_> for Scalar<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or a number")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

macro_rules! scalar {
    ($($name:ident),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Scalar(std::marker::PhantomData))
            }
        }
    )*};
}

scalar!(NodeCounts, ProfileTag, Span, Calls, ResetCode, StatusCode);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        let counts = |text: &str| {
            text.parse::<NodeCounts>()
                .map(|counts| (counts.control_planes, counts.workers))
        };
        assert_eq!(counts("3+2"), Ok((3, 2)));
        assert_eq!(counts("1"), Ok((1, 0)));
        assert!(
            counts("0+2").is_err() && counts("x").is_err() && counts("1+").is_err() && counts("-1").is_err()
        );

        let tag = |text: &str| text.parse::<ProfileTag>().map(|tag| tag.0).ok();
        assert_eq!(tag("v1.13").as_deref(), Some("v1.13.0"));
        assert_eq!(tag("1.12.4").as_deref(), Some("v1.12.4"));
        assert_eq!(tag("v1.14.0-rc.1").as_deref(), Some("v1.14.0-rc.1"));
        assert!(tag("v1.7").is_none() && tag("v2").is_none() && tag("latest").is_none());

        let span = |text: &str| text.parse::<Span>().map(|span| span.0.as_millis()).ok();
        assert_eq!(span("250ms"), Some(250));
        assert_eq!(span("1.5s"), Some(1_500));
        assert_eq!(span("2m"), Some(120_000));
        assert!(
            span("5").is_none() && span("s").is_none() && span("1 day").is_none() && span("1.2.3s").is_none()
        );

        use Bound::{Included, Unbounded};
        let calls = |text: &str| text.parse::<Calls>().map(|calls| calls.0).ok();
        assert_eq!(calls("2"), Some((Included(2), Included(2))));
        assert_eq!(calls("2..3"), Some((Included(2), Included(3))));
        assert_eq!(calls("3.."), Some((Included(3), Unbounded)));
        assert_eq!(calls("..2"), Some((Unbounded, Included(2))));
        assert!(calls("0").is_none() && calls("3..2").is_none() && calls("x").is_none());

        let code = |text: &str| text.parse::<ResetCode>().map(|code| code.0).ok();
        assert_eq!(
            (code("REFUSED_STREAM"), code("11"), code("NOPE")),
            (Some(7), Some(11), None)
        );
        let status = |text: &str| text.parse::<StatusCode>().map(|code| code.0).ok();
        assert_eq!(status("Unavailable"), Some(tonic::Code::Unavailable));
        assert_eq!(status("DEADLINE_EXCEEDED"), Some(tonic::Code::DeadlineExceeded));
        assert_eq!(status("Fine"), None);
    }
}
