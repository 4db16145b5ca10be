//! The key of a user: read from a file, renewed by a login.

use std::sync::{Arc, Mutex, PoisonError};

use talos_transport::{Channel, ChannelBuilder};
use tokio::{
    sync::watch,
    task::{AbortHandle, spawn_blocking},
};

use super::{
    config::{Clock, SideroV1Config},
    error::{KeyError, LoginError, SideroV1Error},
    files::KeyFiles,
    key::SigningKey,
    login::{AnyLogin, LoginRequest},
    signer::{Subject, config_error, is_identity},
};
use crate::error::Result;

/// Knows the key of a user, and how to get another one.
pub(super) struct User {
    source: Arc<Source>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    key: Option<Arc<SigningKey>>,
    renewal: Option<Renewal>,
}

/// A task that reads the key file and, if need be, logs in. Its outcome stays in the channel until it is looked at.
struct Renewal {
    outcome: watch::Receiver<Option<Outcome>>,
    task: AbortHandle,
}

type Outcome = Result<Arc<SigningKey>, SideroV1Error>;

/// Where keys come from.
struct Source {
    subject: Subject,
    files: KeyFiles,
    login: Option<(AnyLogin, Channel)>,
    clock: Clock,
}

impl User {
    pub(super) fn new(config: SideroV1Config, subject: Subject, channel: &ChannelBuilder) -> Result<Self> {
        if !is_identity(&subject.identity) {
            return Err(config_error(SideroV1Error::Identity {
                identity: subject.identity,
            }));
        }
        let files = KeyFiles::new(&config, &subject.context, &subject.identity).map_err(config_error)?;
        let login = match config.login {
            Some(handler) => Some((handler, channel.clone().build().map_err(config_error)?)),
            None => None,
        };
        Ok(Self {
            source: Arc::new(Source {
                subject,
                files,
                login,
                clock: config.clock,
            }),
            state: Mutex::default(),
        })
    }

    pub(super) fn identity(&self) -> &str {
        &self.source.subject.identity
    }

    /// A key that is valid now.
    pub(super) async fn key(&self) -> Outcome {
        self.valid_key(None).await
    }

    /// A valid key other than this one, which servers do not accept. `None` if there is no other.
    pub(super) async fn key_instead_of(
        &self,
        refused: &str,
    ) -> Result<Option<Arc<SigningKey>>, SideroV1Error> {
        let key = self.valid_key(Some(refused)).await?;
        Ok(Some(key).filter(|key| key.fingerprint() != refused))
    }

    async fn valid_key(&self, refused: Option<&str>) -> Outcome {
        let mut outcome = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.take_outcome();
            if let Some(key) = &state.key
                && refused != Some(key.fingerprint())
                && key.check(self.source.clock.now()).is_ok()
            {
                return Ok(Arc::clone(key));
            }
            let renewal = state
                .renewal
                .get_or_insert_with(|| Renewal::start(Arc::clone(&self.source), refused.map(str::to_owned)));
            renewal.outcome.clone()
        };
        let settled = outcome.wait_for(Option::is_some).await;
        match settled.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            Ok(None) | Err(_) => Err(self.source.login_error(LoginError::without_outcome())),
        }
    }
}

impl State {
    /// Takes over the key of a renewal that has ended. A failure is not remembered: the next call tries again.
    fn take_outcome(&mut self) {
        let Some(renewal) = &self.renewal else {
            return;
        };
        let ended = renewal.outcome.has_changed().is_err();
        let outcome = renewal.outcome.borrow().clone();
        match outcome {
            Some(Ok(key)) => self.key = Some(key),
            Some(Err(_)) => {}
            None if ended => {}
            None => return,
        }
        self.renewal = None;
    }
}

impl Renewal {
    fn start(source: Arc<Source>, refused: Option<String>) -> Self {
        let (sender, outcome) = watch::channel(None);
        let task = tokio::spawn(async move {
            let outcome = source.renew(refused).await;
            sender.send_replace(Some(outcome));
        });
        Self {
            outcome,
            task: task.abort_handle(),
        }
    }
}

/// Nobody is left to use the key.
impl Drop for Renewal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Source {
    /// The key in the file if it is valid and not the refused one, else that of a login.
    async fn renew(self: Arc<Self>, refused: Option<String>) -> Outcome {
        let this = Arc::clone(&self);
        let loaded = self.blocking(move || this.files.load(this.clock.now())).await?;
        let (login, channel) = match (&loaded, &self.login) {
            (Ok(key), _) if refused.as_deref() != Some(key.fingerprint()) => return loaded.map(Arc::new),
            (_, None) => return loaded.map(Arc::new),
            (_, Some(login)) => login.clone(),
        };
        if let Err(error) = &loaded {
            tracing::debug!(reason = %error, "no usable signing key, logging in");
        }
        let this = Arc::clone(&self);
        let generated = self.blocking(move || SigningKey::generate(&this.subject.identity, this.clock.now()));
        let key = generated.await?.map_err(|source| self.generate_error(source))?;
        let public_key = key
            .public_key()
            .ok_or_else(|| self.generate_error(KeyError::Generate))?;
        let request = LoginRequest {
            identity: self.subject.identity.clone(),
            context: self.subject.context.clone(),
            public_key,
            fingerprint: key.fingerprint().to_owned(),
            channel,
        };
        let confirmed = login.login(request).await;
        confirmed.map_err(|error| self.login_error(LoginError::new(error)))?;
        let key = Arc::new(key);
        self.save(&key).await?;
        Ok(key)
    }

    /// Keeps a confirmed key for the next process. This one can do without the file.
    async fn save(self: &Arc<Self>, key: &Arc<SigningKey>) -> Result<(), SideroV1Error> {
        let (this, key) = (Arc::clone(self), Arc::clone(key));
        let saved = self.blocking(move || match key.to_armored() {
            Some(armored) => this.files.save(&armored),
            None => Err(std::io::Error::other("the key cannot be armored")),
        });
        if let Err(error) = saved.await? {
            tracing::warn!(
                file = %self.files.file().display(),
                error = %error,
                "the new signing key cannot be saved, so the next process has to log in again"
            );
        }
        Ok(())
    }

    /// Runs what reads files or computes for long.
    async fn blocking<T, F>(&self, work: F) -> Result<T, SideroV1Error>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let done = spawn_blocking(work).await;
        done.map_err(|_| self.login_error(LoginError::without_outcome()))
    }

    fn generate_error(&self, source: KeyError) -> SideroV1Error {
        SideroV1Error::Generate {
            identity: self.subject.identity.clone(),
            source,
        }
    }

    fn login_error(&self, source: LoginError) -> SideroV1Error {
        SideroV1Error::Login {
            identity: self.subject.identity.clone(),
            source,
        }
    }
}
