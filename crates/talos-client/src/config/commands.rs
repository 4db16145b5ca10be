//! What `talosctl config` does, as methods: add, remove, rename, use, renew.

use talos_transport::tls::{CertificateFacts, Identity};

use super::{ConfigError, Context, Talosconfig};

impl Talosconfig {
    /// Adds a context under a name that is free. It becomes the current one if there is none.
    ///
    /// # Errors
    ///
    /// [`ConfigError::EmptyName`], and [`ConfigError::ContextExists`] where the name is taken; replace the context
    /// in [`contexts`](Self::contexts) if that is what you want.
    pub fn add(&mut self, name: impl Into<String>, context: Context) -> Result<(), ConfigError> {
        let name = self.free(name.into())?;
        if self.context.is_empty() {
            self.context.clone_from(&name);
        }
        self.contexts.insert(name, context);
        Ok(())
    }

    /// Makes this context the current one.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ContextNotFound`].
    pub fn use_context(&mut self, name: &str) -> Result<(), ConfigError> {
        let (name, _) = self.select(Some(name))?;
        self.context = name.to_owned();
        Ok(())
    }

    /// Gives a context another name. The current context stays the current one.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ContextNotFound`], [`ConfigError::EmptyName`], and [`ConfigError::ContextExists`] where the
    /// new name is taken, be it by the context itself. Nothing is changed then.
    pub fn rename(&mut self, from: &str, to: impl Into<String>) -> Result<(), ConfigError> {
        let (from, _) = self.select(Some(from))?;
        let from = from.to_owned();
        let to = self.free(to.into())?;
        if let Some(context) = self.contexts.remove(&from) {
            self.contexts.insert(to.clone(), context);
        }
        if self.context == from {
            self.context = to;
        }
        Ok(())
    }

    /// Removes every context whose name matches, but never the current one, and returns the names, sorted.
    ///
    /// In the pattern, `*` stands for any characters or none, `?` for exactly one, and every other character for
    /// itself. A pattern that matches nothing removes nothing.
    pub fn remove(&mut self, pattern: &str) -> Vec<String> {
        let names: Vec<String> = self
            .contexts
            .keys()
            .filter(|name| **name != self.context && matches(pattern, name))
            .cloned()
            .collect();
        for name in &names {
            self.contexts.remove(name);
        }
        names
    }

    /// Gives a context, or the current one, new credentials. Its endpoints, nodes, cluster and proxy stay;
    /// [`save`](Self::save) or [`save_to`](Self::save_to) makes it last.
    ///
    /// # Errors
    ///
    /// As for [`select`](Self::select). Nothing is changed then.
    #[cfg(feature = "machine")]
    pub fn renew(
        &mut self,
        name: Option<&str>,
        issued: &crate::api::machine::ClientConfiguration,
    ) -> Result<(), ConfigError> {
        let (name, context) = self.select(name)?;
        let (name, renewed) = (name.to_owned(), issued.renewed(context));
        self.contexts.insert(name, renewed);
        Ok(())
    }

    /// Roles (as organizations) and validity of the client certificate in a context, or in the current one. `None`
    /// where it has none.
    ///
    /// # Errors
    ///
    /// As for [`select`](Self::select), and [`ConfigError::Base64`], [`ConfigError::IncompleteIdentity`] and
    /// [`ConfigError::Credentials`] where the credentials cannot be used.
    pub fn certificate(&self, name: Option<&str>) -> Result<Option<CertificateFacts>, ConfigError> {
        let (name, context) = self.select(name)?;
        let origin = self.origin();
        let Some((certificate, key)) = context.decode(name, &origin)?.identity else {
            return Ok(None);
        };
        match Identity::from_pem(certificate, &*key) {
            Ok(identity) => Ok(Some(identity.certificate().clone())),
            Err(source) => Err(ConfigError::Credentials {
                origin,
                context: name.to_owned(),
                source,
            }),
        }
    }

    /// The name, if it can be given to a context.
    fn free(&self, name: String) -> Result<String, ConfigError> {
        if name.is_empty() {
            return Err(ConfigError::EmptyName);
        }
        if self.contexts.contains_key(&name) {
            return Err(ConfigError::ContextExists {
                origin: self.origin(),
                context: name,
            });
        }
        Ok(name)
    }
}

/// Whether a pattern with `*` and `?` matches all of the text.
///
/// The last star that was passed takes one character more whenever the rest does not fit, so the time is at most the
/// product of both lengths.
fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut next) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while next < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, next));
                at += 1;
            }
            Some('?') => (at, next) = (at + 1, next + 1),
            Some(char) if *char == text[next] => (at, next) = (at + 1, next + 1),
            _ => match &mut star {
                Some((star, taken)) => {
                    *taken += 1;
                    (at, next) = (*star + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|char| *char == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        let cases = [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("lab", "lab", true),
            ("lab", "lab-1", false),
            ("lab*", "lab-1", true),
            ("*-1", "lab-1", true),
            ("*-1", "lab-12", false),
            ("l?b", "lab", true),
            ("l?b", "lb", false),
            ("*a*b", "xaxxb", true),
            ("*a*b", "xbxxa", false),
            ("*@*.example.org", "admin@one.example.org", true),
            ("ü*", "über", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern, text), expected, "{pattern:?} {text:?}");
        }
        let hard = "a*".repeat(30) + "b";
        assert!(!matches(&hard, &"a".repeat(200)));
    }
}
