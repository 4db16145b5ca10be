//! The talosconfig file: contexts, the current one, and how they are read, merged and written.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Deserializer, Serialize};

use super::{
    context::{Context, ContextFile},
    error::{ConfigError, Origin},
    lookup::Lookup,
    save,
};

/// A talosconfig: named [`Context`]s and the name of the current one.
///
/// ```
/// use talos_client::config::Talosconfig;
///
/// let config = Talosconfig::parse(
///     "context: lab\ncontexts:\n  lab:\n    endpoints: [10.5.0.2, 10.5.0.3]\n",
/// )?;
/// let (name, context) = config.select(None)?;
/// assert_eq!(name, "lab");
/// assert_eq!(context.endpoints, ["10.5.0.2", "10.5.0.3"]);
/// # Ok::<(), talos_client::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Talosconfig {
    /// Name of the current context; empty while there is none.
    pub context: String,
    /// The contexts by name, in the order in which they are written.
    pub contexts: BTreeMap<String, Context>,
    /// The file this was loaded from or last saved to.
    path: Option<PathBuf>,
}

/// A context that [`Talosconfig::merge`] had to rename.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rename {
    /// Its name in the talosconfig that was merged in.
    pub from: String,
    /// Its name now.
    pub to: String,
}

impl Talosconfig {
    /// An empty talosconfig.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the talosconfig that talosctl would read.
    ///
    /// The first of `$TALOSCONFIG`, `$TALOS_HOME/config` (or `~/.talos/config`) and the service account
    /// secret of a pod that exists; see [`Lookup`]. Unlike talosctl, nothing is created where none exists.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NotFound`] naming every place, or what [`Talosconfig::load`] returns.
    pub fn load_default() -> Result<Self, ConfigError> {
        Self::load(Lookup::from_env().find()?)
    }

    /// Reads a talosconfig from a file. A folder with a file `config` in it stands for that file, which has this
    /// name both in `~/.talos` and in the secret that Talos mounts into pods.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Read`] where the file cannot be read, and what [`Talosconfig::parse`] returns.
    pub fn load(path: impl Into<PathBuf>) -> Result<Self, ConfigError> {
        let mut path = path.into();
        let inside = path.join("config");
        if inside.is_file() {
            path = inside;
        }
        match fs::read(&path) {
            Ok(bytes) => {
                let mut config = Self::parse_from(&bytes, &Origin::File(path.clone()))?;
                config.path = Some(path);
                Ok(config)
            }
            Err(source) => Err(ConfigError::Read { path, source }),
        }
    }

    /// Reads a talosconfig from text.
    ///
    /// Only the first YAML document counts, unknown keys are ignored, and a legacy `target` becomes an
    /// endpoint, all as in talosctl.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Malformed`] with line and column where the text is not YAML or has another shape (a
    /// context that is null included), [`ConfigError::Empty`] where there is no document.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        Self::parse_from(text.as_ref(), &Origin::Memory)
    }

    fn parse_from(mut bytes: &[u8], origin: &Origin) -> Result<Self, ConfigError> {
        // Snippets would quote the neighbouring lines of an error, private keys included.
        let options = serde_saphyr::options! { with_snippet: false };
        let first = serde_saphyr::read_with_options::<_, TalosconfigFile>(&mut bytes, options).next();
        let file = match first {
            None => {
                return Err(ConfigError::Empty {
                    origin: origin.clone(),
                });
            }
            Some(Ok(file)) => file,
            Some(Err(error)) => return Err(malformed(origin, &error)),
        };
        let mut contexts = BTreeMap::new();
        for (name, context) in file.contexts {
            let Some(context) = context else {
                let reason = format!("context {name:?} is null, expected a mapping");
                return Err(ConfigError::Malformed {
                    origin: origin.clone(),
                    line: 0,
                    column: 0,
                    reason,
                });
            };
            contexts.insert(name, context.into());
        }
        Ok(Self {
            context: file.context,
            contexts,
            path: None,
        })
    }

    /// The file this was loaded from or last saved to.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Where this came from, for messages.
    pub(crate) fn origin(&self) -> Origin {
        self.path.clone().map_or(Origin::Memory, Origin::File)
    }

    /// The context called `name`, or the current one.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Empty`] where there are no contexts and no name was given,
    /// [`ConfigError::ContextNotFound`] or [`ConfigError::CurrentContextNotFound`] where the name does not
    /// exist.
    pub fn select(&self, name: Option<&str>) -> Result<(&str, &Context), ConfigError> {
        let wanted = name.unwrap_or(&self.context);
        if let Some((name, context)) = self.contexts.get_key_value(wanted) {
            return Ok((name, context));
        }
        let (origin, context) = (self.origin(), wanted.to_owned());
        let known = self.contexts.keys().cloned().collect();
        Err(match name {
            Some(_) => ConfigError::ContextNotFound {
                origin,
                context,
                known,
            },
            None if self.contexts.is_empty() && wanted.is_empty() => ConfigError::Empty { origin },
            None => ConfigError::CurrentContextNotFound {
                origin,
                context,
                known,
            },
        })
    }

    /// Adds the contexts of `other`, and makes its current context the current one.
    ///
    /// Nothing is overwritten: a name that is taken gets the first free of `name-1`, `name-2`, …, and is
    /// reported. Contexts are added in the order of their names, so the outcome is always the same. A
    /// current context of `other` that names none of its contexts changes nothing.
    pub fn merge(&mut self, other: Self) -> Vec<Rename> {
        let mut renames = Vec::new();
        let mut current = None;
        for (from, context) in other.contexts {
            let to = self.free_name(&from);
            if from == other.context {
                current = Some(to.clone());
            }
            if to != from {
                renames.push(Rename { from, to: to.clone() });
            }
            self.contexts.insert(to, context);
        }
        if let Some(current) = current {
            self.context = current;
        }
        renames
    }

    fn free_name(&self, wanted: &str) -> String {
        if !self.contexts.contains_key(wanted) {
            return wanted.to_owned();
        }
        (1_u64..)
            .map(|number| format!("{wanted}-{number}"))
            .find(|name| !self.contexts.contains_key(name))
            .expect("a finite map leaves a number free")
    }

    /// The text of the file, **private keys and passwords included**.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Write`] where the YAML writer refuses a value; not known to happen.
    pub fn to_yaml(&self) -> Result<String, ConfigError> {
        let file = TalosconfigFile {
            context: self.context.clone(),
            contexts: self
                .contexts
                .iter()
                .map(|(name, context)| (name.clone(), Some(context.into())))
                .collect(),
        };
        serde_saphyr::to_string(&file).map_err(|error| ConfigError::Write {
            path: self.path.clone().unwrap_or_default(),
            source: io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
        })
    }

    /// Writes the talosconfig back to the file it came from; see [`Talosconfig::save_to`].
    ///
    /// # Errors
    ///
    /// [`ConfigError::NoPath`] where it came from no file, and what [`Talosconfig::save_to`] returns.
    pub fn save(&mut self) -> Result<(), ConfigError> {
        let path = self.path.clone().ok_or(ConfigError::NoPath)?;
        self.save_to(path)
    }

    /// Writes the talosconfig to `path` and remembers it.
    ///
    /// The file is complete or untouched at every moment: the text goes to a temporary file beside it,
    /// which is synced and then renamed over it. Readable by the owner only (mode 0600), as is a
    /// missing parent folder (0700). A symbolic link is followed, so the file behind it is replaced.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ReadOnly`] for the file that Kubernetes mounts into pods, [`ConfigError::Write`]
    /// for everything the operating system refuses.
    pub fn save_to(&mut self, path: impl Into<PathBuf>) -> Result<(), ConfigError> {
        let path = path.into();
        if path == Path::new(Lookup::SERVICE_ACCOUNT_FILE) {
            return Err(ConfigError::ReadOnly { path });
        }
        let text = zeroize::Zeroizing::new(self.to_yaml()?);
        match save::write_secret_file(&path, text.as_bytes()) {
            Ok(()) => {
                self.path = Some(path);
                Ok(())
            }
            Err(source) => Err(ConfigError::Write { path, source }),
        }
    }
}

/// The file itself. A context is optional only to tell a null from a mapping.
#[derive(Serialize, Deserialize)]
struct TalosconfigFile {
    #[serde(default, deserialize_with = "null_as_default")]
    context: String,
    #[serde(default, deserialize_with = "null_as_default")]
    contexts: BTreeMap<String, Option<ContextFile>>,
}

/// Go reads an absent value and a null alike; YAML libraries for Rust do not.
pub(super) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn malformed(origin: &Origin, error: &serde_saphyr::Error) -> ConfigError {
    let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
    let text = error.without_snippet().to_string();
    let first_line = text.lines().next().unwrap_or_default();
    ConfigError::Malformed {
        origin: origin.clone(),
        line,
        column,
        reason: blank_quotes(first_line),
    }
}

/// Replaces everything between quotes: parsers quote the value they stumbled over, which may be a secret.
pub(crate) fn blank_quotes(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        shown.push(char);
        if !matches!(char, '"' | '`' | '\'') {
            continue;
        }
        shown.push('…');
        let mut escaped = false;
        for inner in chars.by_ref() {
            if inner == char && !escaped {
                break;
            }
            escaped = inner == '\\' && !escaped;
        }
        shown.push(char);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_is_blanked() {
        let cases = [
            ("nothing here", "nothing here"),
            (
                r#"invalid type: string "secret", expected a map"#,
                r#"invalid type: string "…", expected a map"#,
            ),
            (r#"string "sec\"ret", expected"#, r#"string "…", expected"#),
            ("integer `5` and 'x'", "integer `…` and '…'"),
            (r#"never closed "secret"#, r#"never closed "…""#),
        ];
        for (text, expected) in cases {
            assert_eq!(blank_quotes(text), expected);
        }
    }
}
