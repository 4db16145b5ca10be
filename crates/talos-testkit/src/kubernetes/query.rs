//! The parameters of a request.

use std::time::Duration;

use super::failure::Failure;

/// The parameters behind the question mark, decoded.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(key), decode(value))
                })
                .collect(),
        )
    }

    /// The value of a parameter, empty if it is not there.
    pub(super) fn get(&self, key: &str) -> &str {
        let found = self.0.iter().find(|(name, _)| name == key);
        found.map_or("", |(_, value)| value)
    }

    pub(super) fn is_set(&self, key: &str) -> bool {
        matches!(self.get(key), "1" | "true" | "True")
    }

    pub(super) fn is_dry_run(&self) -> bool {
        self.get("dryRun") == "All"
    }

    /// A number; `None` if it is not there.
    pub(super) fn number(&self, key: &str) -> Result<Option<u64>, Failure> {
        match self.get(key) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                Failure::bad_request(format!("invalid value for {key}: {text:?} is no whole number"))
            }),
        }
    }

    /// A time that is not zero, and no longer than a year.
    pub(super) fn seconds(&self, key: &str) -> Result<Option<Duration>, Failure> {
        let seconds = self.number(key)?.filter(|seconds| *seconds > 0);
        Ok(seconds.map(|seconds| Duration::from_secs(seconds.min(31_536_000))))
    }
}

/// Undoes percent-encoding. What is no encoding stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let encoded = tail.get(..2).and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok()
        });
        match (first, encoded) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse("labelSelector=app%20in%20%28a%2Cb%29&watch=1&limit=x&a+b=%zz&");
        assert_eq!(query.get("labelSelector"), "app in (a,b)");
        assert!(query.is_set("watch") && !query.is_set("dryRun"));
        assert!(query.number("limit").is_err());
        assert_eq!(query.number("nothing"), Ok(None));
        assert_eq!(query.get("a b"), "%zz");
    }
}
