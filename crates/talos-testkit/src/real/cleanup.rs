//! Removes a cluster when nobody does, also while a test panics.

use super::RealError;
use super::engine::Engine;
use super::recipe;

/// Removes a cluster's containers and network on drop, unless it has been done.
#[derive(Debug)]
pub(super) struct Cleanup {
    host: Option<String>,
    cluster: String,
    armed: bool,
}

impl Cleanup {
    pub(super) fn new(host: Option<String>, cluster: String) -> Self {
        Self {
            host,
            cluster,
            armed: true,
        }
    }

    /// Removes the cluster now.
    pub(super) async fn run(mut self, engine: &Engine) -> Result<(), RealError> {
        let outcome = engine.remove(&recipe::cluster_filter(&self.cluster)).await;
        self.armed = outcome.is_err();
        outcome.map(drop)
    }

    /// Leaves the cluster running.
    pub(super) fn disarm(&mut self) {
        self.armed = false;
    }
}

impl Drop for Cleanup {
    /// Works from within a runtime, without one, and while one shuts down: it has a thread and a runtime of
    /// its own, and waits for them.
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let (host, cluster) = (self.host.clone(), self.cluster.clone());
        let worker = std::thread::Builder::new().name("talos-testkit-cleanup".to_owned());
        let spawned = worker.spawn(move || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let engine = Engine::connect(host.as_deref()).await?;
                engine.remove(&recipe::cluster_filter(&cluster)).await?;
                Ok(())
            })
        });
        let outcome = spawned.map(std::thread::JoinHandle::join);
        if !matches!(outcome, Ok(Ok(Ok(())))) {
            tracing::error!(cluster = %self.cluster, ?outcome, "a real cluster could not be removed");
        }
    }
}
