//! Whether a text is a mailbox of RFC 5322.

/// Whether this is one mail address, with or without a name and comments: `me@example.com`,
/// `Talos (linux/amd64) <me@example.com>`.
pub(super) fn is_mailbox(text: &str) -> bool {
    let Some(tokens) = tokens(text) else {
        return false;
    };
    let [with_name @ .., Token::Special('>')] = tokens.as_slice() else {
        return is_address(&tokens);
    };
    let open = with_name.iter().position(|token| *token == Token::Special('<'));
    open.is_some_and(|open| is_phrase(&with_name[..open]) && is_address(&with_name[open + 1..]))
}

#[derive(Debug, PartialEq)]
enum Token<'a> {
    /// A run of characters without special meaning.
    Atom(&'a str),
    Quoted,
    /// `[…]`, an address literal.
    Literal,
    Special(char),
}

/// The tokens of a header field; comments and white space are left out. `None` if something is not closed.
fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '(' => comment(rest)?,
            '"' => {
                tokens.push(Token::Quoted);
                enclosed(rest, '"')?
            }
            '[' => {
                tokens.push(Token::Literal);
                enclosed(rest, ']')?
            }
            '<' | '>' | '@' | '.' | ',' | ';' | ':' | '\\' | ')' | ']' => {
                tokens.push(Token::Special(first));
                1
            }
            _ if is_atom(first) => {
                let length = rest.find(|char| !is_atom(char)).unwrap_or(rest.len());
                tokens.push(Token::Atom(&rest[..length]));
                length
            }
            _ => return None,
        };
        rest = rest[length..].trim_start();
    }
    Some(tokens)
}

/// Length of the comment at the beginning; comments nest.
fn comment(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut escaped = false;
    for (at, char) in text.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

/// Length of what begins with the first character and ends with `end`.
fn enclosed(text: &str, end: char) -> Option<usize> {
    let mut escaped = false;
    for (at, char) in text.char_indices().skip(1) {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if char == end => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn is_atom(char: char) -> bool {
    char.is_ascii_alphanumeric() || !char.is_ascii() || "!#$%&'*+-/=?^_`{|}~".contains(char)
}

/// Words; a dot among them is what people write.
fn is_phrase(tokens: &[Token<'_>]) -> bool {
    tokens
        .iter()
        .all(|token| matches!(token, Token::Atom(_) | Token::Quoted | Token::Special('.')))
}

fn is_address(tokens: &[Token<'_>]) -> bool {
    let Some(at) = tokens.iter().position(|token| *token == Token::Special('@')) else {
        return false;
    };
    let (local, domain) = (&tokens[..at], &tokens[at + 1..]);
    (matches!(local, [Token::Quoted]) || is_dotted(local))
        && (matches!(domain, [Token::Literal]) || is_dotted(domain))
}

/// Atoms with one dot between each two.
fn is_dotted(tokens: &[Token<'_>]) -> bool {
    tokens.len() % 2 == 1
        && tokens.iter().enumerate().all(|(index, token)| {
            if index % 2 == 0 {
                matches!(token, Token::Atom(_))
            } else {
                *token == Token::Special('.')
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_are_told_from_other_text() {
        let good = [
            "me@example.com",
            "me+talos@sub.example.com",
            "Talos (linux/amd64) <me@example.com>",
            "Talos (a (nested) comment) <me@example.com>",
            "<me@example.com>",
            "\"Doe, J.\" <j.doe@example.com>",
            "J. Doe <j.doe@[192.0.2.1]>",
            "\"odd local\"@example.com",
            "Jörg <jörg@exämple.com>",
        ];
        for text in good {
            assert!(is_mailbox(text), "{text:?} is one");
        }
        let bad = [
            "",
            "me",
            "me@",
            "@example.com",
            "me@example..com",
            ".me@example.com",
            "me@example.com.",
            "Talos me@example.com",
            "Talos <me@example.com> and more",
            "a@example.com, b@example.com",
            "Talos <me@example.com",
            "Talos (open <me@example.com>",
            "\"open <me@example.com>",
            "me@exam ple.com",
            "me@@example.com",
        ];
        for text in bad {
            assert!(!is_mailbox(text), "{text:?} is none");
        }
    }
}
