//! What differs from run to run, replaced.

/// The line with a sign in place of everything that is different each time: ports, times, durations, paths of temporary
/// folders, hashes and fingerprints. As these differ in length, so do the gaps and rules around them.
pub(super) fn masked(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let next = words.iter().skip(1).copied().chain([""]);
    let masked = words.iter().zip(next).map(|(word, next)| {
        if is_unit(next) && word.bytes().all(|byte| byte.is_ascii_digit()) {
            return "NUMBER".to_owned();
        }
        self::word(word)
    });
    masked.collect::<Vec<_>>().join(" ")
}

fn word(text: &str) -> String {
    let begin = text.len() - text.trim_start_matches(PUNCTUATION).len();
    let end = text.trim_end_matches(PUNCTUATION).len().max(begin);
    let (before, core, after) = (&text[..begin], &text[begin..end], &text[end..]);
    let core = if let Some(at) = core.find(LOOPBACK) {
        format!("{}LOOPBACK", &core[..at])
    } else if core.contains("/tmp/") || core.contains("/T/.tmp") || core.contains("\\Temp\\") {
        "TEMPORARY".to_owned()
    } else if core.contains("Service/") || core.contains("State/") {
        // Of several calls at once, any may be the first to fail.
        "METHOD".to_owned()
    } else if is_time(core) {
        "TIME".to_owned()
    } else if is_share(core) || is_duration(core) {
        "NUMBER".to_owned()
    } else if is_hash(core) {
        "HASH".to_owned()
    } else {
        core.to_owned()
    };
    format!("{before}{core}{after}")
}

/// `2026-01-02T03:04:05Z`, `2026/01/02`, `03:04:05.678`.
fn is_time(text: &str) -> bool {
    let shape = |separator: char, lengths: &[usize]| {
        let parts: Vec<_> = text.split(['T', separator]).collect();
        parts.len() >= lengths.len()
            && parts
                .iter()
                .zip(lengths)
                .all(|(part, length)| part.len() == *length && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    shape('-', &[4, 2, 2]) || shape('/', &[4, 2, 2]) || shape(':', &[2, 2])
}

/// A number with a fraction, and perhaps a unit: `0.1`, `12.5s`, `98.7`. Addresses and releases have more points.
fn is_duration(text: &str) -> bool {
    let number = text.trim_end_matches(|letter: char| letter.is_alphabetic());
    let mut parts = number.split('.');
    let digits = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    digits(parts.next()) && digits(parts.next()) && parts.next().is_none()
}

/// How much of something is done, when it is looked at.
fn is_share(text: &str) -> bool {
    let number = text.strip_suffix('%');
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Of time, after a number.
fn is_unit(text: &str) -> bool {
    ["s", "ms", "µs"].contains(&text.trim_end_matches(PUNCTUATION))
}

/// Hexadecimal digits or base64, of a length that only ids, hashes and fingerprints have.
fn is_hash(text: &str) -> bool {
    let digits = text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    let hex = text.len() >= 16 && digits && !text.contains("--");
    let base64 = text.len() == 44
        && text.ends_with('=')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
    hex || base64
}

const LOOPBACK: &str = "127.0.0.";
const PUNCTUATION: [char; 10] = ['(', ')', '[', ']', ',', ';', ':', '"', '\'', '`'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_replaced_and_the_rest_is_kept() {
        let cases = [
            ("  10.5.0.2   v1.14.0 7 of 8", "10.5.0.2 v1.14.0 7 of 8"),
            (
                "through 127.0.0.2:4711, https://127.0.0.1:33",
                "through LOOPBACK, https://LOOPBACK",
            ),
            ("    0.1 s  (12.5s)", "NUMBER s (NUMBER)"),
            ("at 2026-01-02T03:04:05.6Z: x", "at TIME: x"),
            ("2026/01/02 03:04:05.678901 x", "TIME TIME x"),
            (
                "in /tmp/.tmpX1/kubeconfig and /etc/hosts",
                "in TEMPORARY and /etc/hosts",
            ),
            (
                "key 2709a3d2eacc1b0ed11d69cce42a9f2103a9c4fe, deadbeef",
                "key HASH, deadbeef",
            ),
            (
                "as 2dadb88b-a76b-46af-845e-bead35bb3639 (10%) in 3 s",
                "as HASH (NUMBER) in NUMBER s",
            ),
            ("machine.MachineService/Version on node a", "METHOD on node a"),
            ("------------------", "------------------"),
            ("pnduMqbUZ/sQyDW1o4kP6c1u1PoB2gRQu8KEV38guAM=", "HASH"),
            ("[####....] 1.6 of 7.9 GiB", "[####....] NUMBER of NUMBER GiB"),
        ];
        for (line, expected) in cases {
            assert_eq!(masked(line), expected, "{line:?}");
        }
    }
}
