//! The files with keys of users.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use zeroize::Zeroizing;

use super::{config::SideroV1Config, error::SideroV1Error, key::SigningKey};
use crate::config::write_secret_file;

/// Where the key of one identity in one context may be.
#[derive(Debug, Clone)]
pub(super) struct KeyFiles {
    identity: String,
    /// Read first, and the one that is written.
    file: PathBuf,
    fallback: Option<PathBuf>,
}

impl KeyFiles {
    pub(super) fn new(config: &SideroV1Config, context: &str, identity: &str) -> Result<Self, SideroV1Error> {
        let name = format!("{context}-{identity}.pgp");
        if !is_file_name(&name) {
            return Err(SideroV1Error::KeyFileName { name });
        }
        let folder = config.keys_dir.as_ref().ok_or(SideroV1Error::NoKeysDir)?;
        Ok(Self {
            identity: identity.to_owned(),
            file: folder.join(&name),
            fallback: config.fallback_dir.as_ref().map(|folder| folder.join(&name)),
        })
    }

    /// Reads the key and checks that it is valid.
    pub(super) fn load(&self, now: SystemTime) -> Result<SigningKey, SideroV1Error> {
        for path in self.places() {
            let text = match fs::read(path) {
                Ok(bytes) => Zeroizing::new(bytes),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(SideroV1Error::Read {
                        path: path.to_owned(),
                        source: Arc::new(error),
                    });
                }
            };
            let armored = String::from_utf8_lossy(&text);
            let key = SigningKey::parse(&armored).and_then(|key| key.check(now).map(|()| key));
            return key.map_err(|source| SideroV1Error::Key {
                path: path.to_owned(),
                source,
            });
        }
        Err(SideroV1Error::NoKey {
            identity: self.identity.clone(),
            searched: self.places().map(Path::to_owned).collect(),
        })
    }

    /// Writes the key, readable by its owner only.
    pub(super) fn save(&self, armored: &[u8]) -> io::Result<()> {
        write_secret_file(&self.file, armored)
    }

    /// The file that is written.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    fn places(&self) -> impl Iterator<Item = &Path> {
        [Some(&*self.file), self.fallback.as_deref()]
            .into_iter()
            .flatten()
    }
}

/// Whether this names a file in a folder, and not one elsewhere.
fn is_file_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let first = components.next();
    !name.contains('\0')
        && components.next().is_none()
        && matches!(first, Some(Component::Normal(only)) if only == name)
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, time::Duration};

    use super::*;
    use crate::siderov1::error::KeyError;

    const USER: &str = include_str!("../../tests/data/siderov1/user.pgp");
    const REVOKED: &str = include_str!("../../tests/data/siderov1/revoked.pgp");

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_723_650_000)
    }

    fn config(variables: &[(&str, &Path)]) -> SideroV1Config {
        SideroV1Config::with_variables(|name| {
            let value = variables.iter().find(|(known, _)| *known == name)?.1;
            Some(OsString::from(value))
        })
    }

    fn places(config: &SideroV1Config) -> Vec<PathBuf> {
        let files = KeyFiles::new(config, "prod", "me@x").expect("a folder is known");
        files.places().map(Path::to_owned).collect()
    }

    #[test]
    fn folders_follow_the_environment() {
        let (home, talos, keys, data) = (
            Path::new("/home/me"),
            Path::new("/srv/talos"),
            Path::new("/srv/keys"),
            Path::new("/srv/data"),
        );
        let in_home = "/home/me/.talos/keys";
        let in_share = "/home/me/.local/share/talos/keys";
        let relative = Path::new("relative");
        type Variables<'a> = &'a [(&'a str, &'a Path)];
        let cases: [(Variables<'_>, &[&str]); 6] = [
            (&[("HOME", home)], &[in_home, in_share]),
            (
                &[("HOME", home), ("TALOS_HOME", talos)],
                &["/srv/talos/keys", in_share],
            ),
            (
                &[
                    ("HOME", home),
                    ("TALOS_HOME", relative),
                    ("XDG_DATA_HOME", relative),
                ],
                &[in_home, in_share],
            ),
            (
                &[("HOME", home), ("TALOS_HOME", talos), ("SIDEROV1_KEYS_DIR", keys)],
                &["/srv/keys", in_share],
            ),
            (
                &[
                    ("HOME", home),
                    ("SIDEROV1_KEYS_DIR", Path::new("")),
                    ("XDG_DATA_HOME", data),
                ],
                &[in_home, "/srv/data/talos/keys"],
            ),
            (&[("SIDEROV1_KEYS_DIR", keys)], &["/srv/keys"]),
        ];
        for (variables, expected) in cases {
            let expected: Vec<_> = expected
                .iter()
                .map(|folder| Path::new(folder).join("prod-me@x.pgp"))
                .collect();
            assert_eq!(places(&config(variables)), expected, "{variables:?}");
        }
    }

    #[test]
    fn a_folder_of_the_program_beats_the_variable() {
        let config = config(&[("SIDEROV1_KEYS_DIR", Path::new("/srv/keys"))]).keys_dir("/mine");
        assert_eq!(places(&config), [Path::new("/mine/prod-me@x.pgp")]);
    }

    #[test]
    fn without_any_folder_there_is_a_reason() {
        let error = KeyFiles::new(&config(&[]), "prod", "me@x").expect_err("no folder");
        assert!(matches!(error, SideroV1Error::NoKeysDir), "{error:?}");
    }

    #[test]
    fn a_name_never_leads_out_of_the_folder() {
        let config = SideroV1Config::new().keys_dir("/keys");
        for (context, identity) in [
            ("../up", "me@x"),
            ("a/b", "me@x"),
            ("prod", "me/../../x"),
            ("nul\0", "x"),
        ] {
            let error = KeyFiles::new(&config, context, identity).expect_err("no file name");
            assert!(matches!(error, SideroV1Error::KeyFileName { .. }), "{error:?}");
        }
        for context in ["", "Prüfstand", "admin@cluster", "..", "two words"] {
            KeyFiles::new(&config, context, "me@x").expect("a file name");
        }
    }

    #[test]
    fn the_fallback_counts_only_where_the_first_file_is_missing() {
        let home = tempfile::tempdir().expect("temporary folder");
        let data = tempfile::tempdir().expect("temporary folder");
        let config = config(&[("HOME", home.path()), ("XDG_DATA_HOME", data.path())]);
        let files = KeyFiles::new(&config, "prod", "me@example.com").expect("a folder is known");
        let places: Vec<_> = files.places().map(Path::to_owned).collect();

        let error = files.load(now()).expect_err("nothing there");
        let SideroV1Error::NoKey { identity, searched } = &error else {
            panic!("{error:?}")
        };
        assert_eq!((identity.as_str(), searched), ("me@example.com", &places));

        fs::create_dir_all(places[1].parent().expect("a folder")).expect("made");
        fs::write(&places[1], USER).expect("written");
        files.load(now()).expect("the fallback's key");

        files.save(REVOKED.as_bytes()).expect("saved");
        let error = files.load(now()).expect_err("the first file counts");
        let SideroV1Error::Key { path, source } = &error else {
            panic!("{error:?}")
        };
        assert_eq!((path, *source), (&places[0], KeyError::Revoked));
    }

    #[cfg(unix)]
    #[test]
    fn a_saved_key_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;

        let home = tempfile::tempdir().expect("temporary folder");
        let config = SideroV1Config::new().keys_dir(home.path().join("keys"));
        let files = KeyFiles::new(&config, "prod", "me@example.com").expect("a folder is known");
        files.save(USER.as_bytes()).expect("saved");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(files.file()), 0o600);
        assert_eq!(mode(files.file().parent().expect("a folder")), 0o700);
        let folder = fs::read_dir(home.path().join("keys")).expect("readable");
        assert_eq!(folder.count(), 1, "nothing temporary is left");
    }

    #[test]
    fn an_unreadable_file_is_not_a_missing_one() {
        let home = tempfile::tempdir().expect("temporary folder");
        let config = SideroV1Config::new().keys_dir(home.path());
        let files = KeyFiles::new(&config, "prod", "me@example.com").expect("a folder is known");
        fs::create_dir(files.file()).expect("made");
        let error = files.load(now()).expect_err("a folder is no file");
        assert!(matches!(error, SideroV1Error::Read { .. }), "{error:?}");
    }
}
