//! What happens when.

use serde::Deserialize;
use serde_saphyr::Spanned;
use tokio::time::Instant;

use super::ScenarioError;
use super::error::found;
use super::fault::FaultEntry;
use super::file::{Stage, State};
use super::value::Span;
use crate::SimCluster;

/// One moment, in which any number of things may happen, in the order of the fields here.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Entry {
    at: Spanned<Span>,
    #[serde(default)]
    clear_faults: bool,
    fault: Option<FaultEntry>,
    kill: Option<Spanned<String>>,
    revive: Option<Spanned<String>>,
    go_away: Option<Spanned<String>>,
    disconnect: Option<Spanned<String>>,
    renew_certificate: Option<Spanned<String>>,
    bootstrap: Option<Spanned<String>>,
    stage: Option<StageEntry>,
    service: Option<ServiceEntry>,
    log: Option<LogEntry>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StageEntry {
    node: Spanned<String>,
    stage: Stage,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ServiceEntry {
    node: Spanned<String>,
    id: String,
    state: State,
    #[serde(default)]
    message: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LogEntry {
    node: Spanned<String>,
    service: String,
    line: String,
}

impl Entry {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        self.fault.iter().try_for_each(FaultEntry::check)
    }

    fn happen(&self, cluster: &SimCluster) -> Result<(), ScenarioError> {
        if self.clear_faults {
            tracing::info!("faults cleared");
            cluster.clear_faults();
        }
        if let Some(fault) = &self.fault {
            tracing::info!("fault injected");
            fault.inject(cluster)?;
        }
        if let Some(name) = &self.kill {
            found(cluster, name)?.kill();
            tracing::info!(node = name.value, "killed");
        }
        if let Some(name) = &self.revive {
            let revived = found(cluster, name)?.revive();
            revived.map_err(|error| ScenarioError::cluster(name, error))?;
            tracing::info!(node = name.value, "revived");
        }
        if let Some(name) = &self.go_away {
            found(cluster, name)?.go_away();
        }
        if let Some(name) = &self.disconnect {
            found(cluster, name)?.disconnect_clients();
        }
        if let Some(name) = &self.renew_certificate {
            found(cluster, name)?.renew_certificate();
        }
        if let Some(name) = &self.bootstrap {
            let bootstraps = found(cluster, name)?.bootstrap();
            tracing::info!(node = name.value, bootstraps, "bootstrap");
        }
        if let Some(StageEntry { node, stage }) = &self.stage {
            found(cluster, node)?.set_stage(stage.0);
        }
        if let Some(entry) = &self.service {
            found(cluster, &entry.node)?.set_service_state(&entry.id, entry.state.0, &entry.message);
        }
        if let Some(entry) = &self.log {
            found(cluster, &entry.node)?.append_log(&entry.service, &entry.line);
        }
        Ok(())
    }
}

/// Lets `entries` happen by their times, whatever their order in the file.
pub(super) async fn play(entries: &[Entry], cluster: &SimCluster) -> Result<(), ScenarioError> {
    let start = Instant::now();
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_by_key(|entry| entry.at.value);
    for entry in entries {
        tokio::time::sleep_until(start + entry.at.value.0).await;
        entry.happen(cluster)?;
    }
    Ok(())
}
