//! Taking secrets out of text, line by line.

/// What stands in place of a secret.
pub(super) const REDACTED: &str = "<REDACTED>";

/// A line that is longer is looked at in pieces, in bytes.
const LONGEST: usize = 64 * 1024;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const KEY: &str = "PRIVATE KEY-----";
/// `-----BEGIN` in base64, and what follows it for a certificate, which is no secret.
const ENCODED: &str = "LS0tLS1CRUdJTi";
const ENCODED_CERTIFICATE: &str = "LS0tLS1CRUdJTiBDRVJU";

/// Text with private keys, tokens and bearer tokens taken out. Holds one line at most.
#[derive(Default)]
pub(super) struct Redactor {
    line: Vec<u8>,
    /// Inside a private key.
    in_key: bool,
}

impl Redactor {
    /// Adds a piece, and returns the lines that are complete by now.
    pub(super) fn push(&mut self, piece: &[u8]) -> String {
        let mut clean = String::new();
        let mut rest = piece;
        while !rest.is_empty() {
            let room = LONGEST - self.line.len();
            let end = rest.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let taken = end.unwrap_or(rest.len()).min(room);
            let (now, later) = rest.split_at(taken);
            self.line.extend_from_slice(now);
            rest = later;
            if now.ends_with(b"\n") || self.line.len() == LONGEST {
                clean.push_str(&self.finish());
            }
        }
        clean
    }

    /// What is left.
    pub(super) fn finish(&mut self) -> String {
        let line = std::mem::take(&mut self.line);
        let line = self.without_keys(&String::from_utf8_lossy(&line));
        without_words(&line)
    }

    fn without_keys(&mut self, line: &str) -> String {
        let mut clean = String::new();
        let mut rest = line;
        loop {
            if self.in_key {
                let Some(at) = rest.find(END) else {
                    // The end of the line stays, so that there are as many lines as before.
                    clean.push_str(if rest.ends_with('\n') { "\n" } else { "" });
                    return clean;
                };
                let after = &rest[at + END.len()..];
                let end = after.find("-----").map_or(after.len(), |at| at + 5);
                rest = &after[end..];
                self.in_key = false;
            }
            let Some(at) = begin_of_key(rest) else {
                clean.push_str(rest);
                return clean;
            };
            clean.push_str(&rest[..at]);
            clean.push_str(REDACTED);
            rest = &rest[at + BEGIN.len()..];
            self.in_key = true;
        }
    }
}

/// Where a private key begins.
fn begin_of_key(text: &str) -> Option<usize> {
    text.match_indices(BEGIN).map(|(at, _)| at).find(|at| {
        let label = &text[at + BEGIN.len()..];
        let end = label.find("-----").map_or(label.len(), |at| at + 5);
        label[..end].ends_with(KEY)
    })
}

/// Replaces words that are secrets.
fn without_words(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut rest = line;
    let mut bearer = false;
    while !rest.is_empty() {
        let end = rest.find(|char: char| !is_of_word(char)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if !word.is_empty() {
            let secret = bearer || is_token(word) || is_encoded_key(word);
            clean.push_str(if secret { REDACTED } else { word });
            bearer = word.eq_ignore_ascii_case("bearer");
        }
        let end = after.find(is_of_word).unwrap_or(after.len());
        let (between, after) = after.split_at(end);
        clean.push_str(between);
        bearer &= between.chars().all(char::is_whitespace) && !between.is_empty();
        rest = after;
    }
    clean
}

/// Characters of base64, of tokens, and of those that are sent as `Bearer`.
fn is_of_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '.' | '+' | '/' | '=' | '_' | '-')
}

/// The form of the tokens of Talos and of Kubernetes' bootstrap tokens. A sentence may end behind one.
fn is_token(word: &str) -> bool {
    let word = word.trim_end_matches('.');
    // What is written as `token=…` is one word.
    let word = word.rsplit(['=', '/']).next().unwrap_or(word);
    let valid = |part: &str| {
        part.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    match word.split_once('.') {
        Some((id, secret)) => id.len() == 6 && secret.len() == 16 && valid(id) && valid(secret),
        None => false,
    }
}

fn is_encoded_key(word: &str) -> bool {
    word.contains(ENCODED) && !word.contains(ENCODED_CERTIFICATE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clean(pieces: &[&str]) -> String {
        let mut redactor = Redactor::default();
        let mut clean: String = pieces
            .iter()
            .map(|piece| redactor.push(piece.as_bytes()))
            .collect();
        clean.push_str(&redactor.finish());
        clean
    }

    #[test]
    fn keys_and_tokens_go_and_the_rest_stays() {
        let pem = "-----BEGIN EC PRIVATE KEY-----\nhunter2\nhunter2\n-----END EC PRIVATE KEY-----\n";
        for (text, expected) in [
            (format!("a\n{pem}b\n"), "a\n<REDACTED>\n\n\n\nb\n"),
            (
                "x -----BEGIN PRIVATE KEY-----\\nhunter2\\n-----END PRIVATE KEY----- y\n".to_owned(),
                "x <REDACTED> y\n",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n".to_owned(),
                "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n",
            ),
            (
                "token: abc123.0123456789abcdef\n".to_owned(),
                "token: <REDACTED>\n",
            ),
            ("--token=abc123.0123456789abcdef.".to_owned(), "<REDACTED>"),
            (
                "Authorization: Bearer hunter2.x-y_z and".to_owned(),
                "Authorization: Bearer <REDACTED> and",
            ),
            (
                "key: LS0tLS1CRUdJTiBFRDI1NTE5IFBSSVZBVEUg\n".to_owned(),
                "key: <REDACTED>\n",
            ),
            (
                "crt: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t\n".to_owned(),
                "crt: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t\n",
            ),
            (
                "10.5.0.2: bearer of news; docker.io/library/x:1.2.3\n".to_owned(),
                "10.5.0.2: bearer <REDACTED> news; docker.io/library/x:1.2.3\n",
            ),
            (String::new(), ""),
        ] {
            assert_eq!(clean(&[&text]), expected, "{text}");
        }
    }

    #[test]
    fn a_line_of_any_length_takes_little_memory() {
        let mut redactor = Redactor::default();
        let mut length = 0;
        for _ in 0..100 {
            length += redactor.push(&[b'x'; 10_000]).len();
            assert!(redactor.line.len() <= LONGEST);
        }
        assert_eq!(length + redactor.finish().len(), 1_000_000);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            text in "(a|\n|-----BEGIN X PRIVATE KEY-----|-----END X PRIVATE KEY-----|abc123\\.0123456789abcdef| |ü){0,20}",
            at in 0_usize..400,
        ) {
            let at = at.min(text.len());
            let mut redactor = Redactor::default();
            let mut cut = redactor.push(&text.as_bytes()[..at]);
            cut.push_str(&redactor.push(&text.as_bytes()[at..]));
            cut.push_str(&redactor.finish());
            prop_assert_eq!(cut, clean(&[&text]));
        }
    }
}
