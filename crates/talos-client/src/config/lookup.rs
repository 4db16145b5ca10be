//! Where a talosconfig is looked for.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::error::ConfigError;

/// Where to look for a talosconfig, in talosctl's order.
///
/// 1. `$TALOSCONFIG`, unless unset or empty. A file that does not exist falls through to the next place,
///    as in talosctl, and is reported through `tracing`.
/// 2. `$TALOS_HOME/config` if that is an absolute path, else `$HOME/.talos/config`; skipped where neither
///    variable is usable.
/// 3. [`Lookup::SERVICE_ACCOUNT_FILE`], the secret that Talos mounts into pods; never written to.
///
/// The environment is read once, by [`Lookup::from_env`]; [`Lookup::with_variables`] takes any other.
#[derive(Debug, Clone)]
pub struct Lookup {
    explicit: Option<PathBuf>,
    home: Option<PathBuf>,
    service_account: PathBuf,
}

impl Lookup {
    /// The talosconfig inside a pod that uses Talos API access from Kubernetes.
    pub const SERVICE_ACCOUNT_FILE: &'static str = "/var/run/secrets/talos.dev/config";

    /// Looks at the environment of this process.
    pub fn from_env() -> Self {
        Self::with_variables(|name| env::var_os(name))
    }

    /// Looks at the variables that `variable` returns, `TALOSCONFIG`, `TALOS_HOME` and `HOME`
    /// (`USERPROFILE` on Windows).
    pub fn with_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name| {
            variable(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let home_variable = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
        let home = path("TALOS_HOME")
            .filter(|home| home.is_absolute())
            .or_else(|| path(home_variable).map(|home| home.join(".talos")));
        Self {
            explicit: path("TALOSCONFIG"),
            home: home.map(|home| home.join("config")),
            service_account: Self::SERVICE_ACCOUNT_FILE.into(),
        }
    }

    /// Every place, in order.
    pub fn candidates(&self) -> impl Iterator<Item = &Path> {
        [
            self.explicit.as_deref(),
            self.home.as_deref(),
            Some(&*self.service_account),
        ]
        .into_iter()
        .flatten()
    }

    /// The first place where something exists.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NotFound`] with every place that was looked at.
    pub fn find(&self) -> Result<PathBuf, ConfigError> {
        let found = self.candidates().find(|path| path.exists());
        if let (Some(explicit), Some(found)) = (&self.explicit, found)
            && explicit != found
        {
            tracing::warn!(
                talosconfig = %explicit.display(),
                used = %found.display(),
                "the file that TALOSCONFIG names does not exist, using another one"
            );
        }
        found.map(Path::to_owned).ok_or_else(|| ConfigError::NotFound {
            searched: self.candidates().map(Path::to_owned).collect(),
        })
    }

    #[cfg(test)]
    fn with_service_account(mut self, path: PathBuf) -> Self {
        self.service_account = path;
        self
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn lookup(variables: &[(&str, &Path)]) -> Lookup {
        Lookup::with_variables(|name| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.as_os_str().to_owned())
        })
    }

    fn paths(lookup: &Lookup) -> Vec<&Path> {
        lookup.candidates().collect()
    }

    #[test]
    fn candidates_follow_the_environment() {
        let pod = Path::new(Lookup::SERVICE_ACCOUNT_FILE);
        let (a, home, root) = (
            Path::new("/a/talosconfig"),
            Path::new("/home/me"),
            Path::new("/srv/talos"),
        );
        let in_home = Path::new("/home/me/.talos/config");
        type Variables<'a> = &'a [(&'a str, &'a Path)];
        let cases: [(Variables<'_>, &[&Path]); 6] = [
            (&[], &[pod]),
            (&[("HOME", home)], &[in_home, pod]),
            (&[("HOME", home), ("TALOSCONFIG", a)], &[a, in_home, pod]),
            (&[("HOME", home), ("TALOSCONFIG", Path::new(""))], &[in_home, pod]),
            (
                &[("HOME", home), ("TALOS_HOME", root)],
                &[Path::new("/srv/talos/config"), pod],
            ),
            (
                &[("HOME", home), ("TALOS_HOME", Path::new("relative"))],
                &[in_home, pod],
            ),
        ];
        for (variables, expected) in cases {
            assert_eq!(paths(&lookup(variables)), expected, "{variables:?}");
        }
    }

    #[test]
    fn talosconfig_alone_is_enough() {
        let a = Path::new("/a/talosconfig");
        assert_eq!(paths(&lookup(&[("TALOSCONFIG", a)]))[0], a);
    }

    #[test]
    fn the_first_existing_file_wins_and_nothing_is_created() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let explicit = folder.path().join("explicit");
        let home = folder.path().join("config");
        let pod = folder.path().join("pod");
        let lookup = lookup(&[("TALOSCONFIG", &explicit), ("TALOS_HOME", folder.path())])
            .with_service_account(pod.clone());

        let error = lookup.find().expect_err("nothing exists yet");
        let ConfigError::NotFound { searched } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(searched, &[explicit.clone(), home.clone(), pod.clone()]);
        assert!(
            error.to_string().contains(explicit.to_str().expect("utf-8")),
            "{error}"
        );
        assert_eq!(fs::read_dir(folder.path()).expect("listing").count(), 0);

        for path in [&pod, &home, &explicit] {
            fs::write(path, "").expect("writing");
            assert_eq!(&lookup.find().expect("exists now"), path);
        }
    }
}
