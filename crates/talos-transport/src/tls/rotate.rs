//! [`TlsHandle`]: TLS settings that can be replaced while channels use them.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::time::SystemTime;

use tokio::sync::watch;

use super::{CertificateFacts, Identity, TlsConfig};

/// TLS settings of running channels, to be replaced when certificates are renewed or a cluster's CA is rotated.
///
/// Every channel has one, see [`Channel::tls`](crate::Channel::tls); make it yourself to share it between channels.
/// Cloning is cheap, and all clones mean the same settings.
///
/// ```
/// use talos_transport::tls::{TlsConfig, TlsHandle};
/// use talos_transport::{Channel, Endpoint};
///
/// # fn example(endpoint: Endpoint, tls: TlsConfig, renewed: TlsConfig) -> Result<(), Box<dyn std::error::Error>> {
/// let tls = TlsHandle::new(tls);
/// let channel = Channel::builder([endpoint]).tls(tls.clone()).build()?;
/// // Later, with calls under way:
/// tls.replace(renewed);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct TlsHandle(Arc<Shared>);

/// A [`TlsHandle`] that does not keep the settings alive: for a task that renews them for as long as anybody uses them.
#[derive(Clone)]
pub struct WeakTlsHandle {
    shared: Weak<Shared>,
    end: watch::Receiver<()>,
}

/// What a connection is made with.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) tls: TlsConfig,
    /// Counts replacements; a connection made with a lower number is outdated.
    pub(crate) generation: u64,
}

/// Whoever holds connections made with a handle's settings.
pub(crate) trait Outdate: Send + Sync {
    /// The settings were replaced: connections made with earlier ones take no new calls from now on, and attempts that
    /// are under way with earlier ones are of no use any more. Must not block.
    fn outdate(&self);
}

struct Shared {
    current: RwLock<Credentials>,
    pools: Mutex<Vec<Weak<dyn Outdate>>>,
    /// Nothing is ever sent; weak handles wait for the end.
    alive: watch::Sender<()>,
}

impl TlsHandle {
    /// Settings that can be replaced later.
    pub fn new(tls: TlsConfig) -> Self {
        Self(Arc::new(Shared {
            current: RwLock::new(Credentials { tls, generation: 0 }),
            pools: Mutex::default(),
            alive: watch::Sender::new(()),
        }))
    }

    /// Uses these settings from now on.
    ///
    /// Calls that have begun go on undisturbed on the connection they have, which takes no new calls and closes when the
    /// last of them is over. Calls that begin after this are sent on a new connection, made with the new settings. So
    /// if servers do not accept those, or they do not accept the servers, calls fail with
    /// [`Error::Connect`](crate::Error::Connect), and do so until the settings are replaced again: there is no way back
    /// to credentials that may have been withdrawn for a reason. To be sure beforehand, let another channel
    /// [`connect`](crate::Channel::connect) with them.
    ///
    /// This holds whether or not the new settings differ from the old ones.
    pub fn replace(&self, tls: TlsConfig) {
        let previous = {
            let mut current = self.0.current.write().unwrap_or_else(PoisonError::into_inner);
            current.generation += 1;
            std::mem::replace(&mut current.tls, tls)
        };
        drop(previous);
        tracing::debug!("TLS settings replaced");
        self.check_expiry();
        for pool in self.pools() {
            pool.outdate();
        }
    }

    /// The settings that new connections are made with.
    pub fn config(&self) -> TlsConfig {
        self.credentials().tls
    }

    /// Validity and subject of the current client certificate, if there is one.
    pub fn certificate(&self) -> Option<CertificateFacts> {
        self.identity().map(|identity| identity.certificate().clone())
    }

    /// A handle that does not keep the settings alive.
    pub fn downgrade(&self) -> WeakTlsHandle {
        WeakTlsHandle {
            shared: Arc::downgrade(&self.0),
            end: self.0.alive.subscribe(),
        }
    }

    /// What a connection is to be made with now.
    pub(crate) fn credentials(&self) -> Credentials {
        self.read().clone()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.read().generation
    }

    /// Tells this pool when the settings are replaced, for as long as it lives.
    pub(crate) fn outdates(&self, pool: Weak<dyn Outdate>) {
        let mut pools = self.0.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(pool);
    }

    /// Traces, once per certificate, that it is about to expire or has expired. Called where the settings come in and
    /// with every call, since a connection can outlive the certificate it was made with.
    pub(crate) fn check_expiry(&self) {
        if let Some(identity) = self.read().tls.identity() {
            identity.check_expiry(SystemTime::now());
        }
    }

    fn identity(&self) -> Option<Identity> {
        self.read().tls.identity().cloned()
    }

    fn read(&self) -> RwLockReadGuard<'_, Credentials> {
        // Nothing panics while the lock is held.
        self.0.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn pools(&self) -> Vec<Arc<dyn Outdate>> {
        let pools = self.0.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.iter().filter_map(Weak::upgrade).collect()
    }
}

impl WeakTlsHandle {
    /// The handle, unless all channels and handles with these settings are gone.
    pub fn upgrade(&self) -> Option<TlsHandle> {
        self.shared.upgrade().map(TlsHandle)
    }

    /// Waits until all channels and handles with these settings are gone.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn dropped(&self) {
        let mut end = self.end.clone();
        while end.changed().await.is_ok() {}
    }
}

impl From<TlsConfig> for TlsHandle {
    fn from(tls: TlsConfig) -> Self {
        Self::new(tls)
    }
}

impl fmt::Debug for TlsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Credentials { tls, generation } = self.credentials();
        f.debug_struct("TlsHandle")
            .field("config", &tls)
            .field("generation", &generation)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for WeakTlsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakTlsHandle")
    }
}
