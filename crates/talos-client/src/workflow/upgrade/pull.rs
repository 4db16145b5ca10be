//! Whether a pull gets on.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::timeout_at;

use crate::{
    api::images::{Images, LayerStatus, PullProgress},
    error::Error,
    workflow::deadline,
};

/// Why a pull ended early.
pub(super) enum PullEnd {
    Failed(Error),
    Stalled { percent: u8 },
}

/// What is there of each layer.
#[derive(Debug, Default)]
struct Layers {
    layers: BTreeMap<String, (u8, u64, u64)>,
}

impl Layers {
    /// Takes a report in, and says whether it tells anything new.
    fn update(&mut self, progress: &PullProgress) -> bool {
        let total = progress.total.unwrap_or_default();
        let (rank, offset) = match progress.status {
            LayerStatus::Downloading => (0, progress.offset.unwrap_or_default()),
            LayerStatus::DownloadComplete => (1, total),
            LayerStatus::Extracting => (2, total),
            LayerStatus::ExtractComplete | LayerStatus::AlreadyExists => (3, total),
            LayerStatus::Other(_) => return false,
        };
        let now = (rank, offset, total);
        let before = self.layers.insert(progress.layer.clone(), now);
        before.is_none_or(|before| before < now)
    }

    /// How much is there, of what is known to be part of it.
    fn percent(&self) -> Option<u8> {
        let (mut there, mut total) = (0_u64, 0_u64);
        for (_, offset, size) in self.layers.values() {
            there = there.saturating_add(*offset.min(size));
            total = total.saturating_add(*size);
        }
        let percent = (u128::from(there) * 100).checked_div(u128::from(total))?;
        u8::try_from(percent).ok()
    }
}

/// Pulls an image, as long as something new comes within `stall`. Extracting a layer may take as long without a word.
pub(super) async fn pull(
    images: &Images,
    image: &str,
    stall: Duration,
    mut report: impl FnMut(Option<u8>),
) -> Result<(), PullEnd> {
    let mut layers = Layers::default();
    let mut told = None;
    let mut deadline = self::deadline(stall);
    let stalled = |layers: &Layers| PullEnd::Stalled {
        percent: layers.percent().unwrap_or_default(),
    };
    report(None);
    let opened = timeout_at(deadline, images.pull(image).send()).await;
    let mut pull = opened.map_err(|_| stalled(&layers))?.map_err(PullEnd::Failed)?;
    loop {
        let next = timeout_at(deadline, pull.next_progress()).await;
        match next.map_err(|_| stalled(&layers))? {
            None => return Ok(()),
            Some(Err(error)) => return Err(PullEnd::Failed(error)),
            Some(Ok(progress)) => {
                if layers.update(&progress) {
                    deadline = self::deadline(stall);
                }
                let percent = layers.percent();
                if percent != told {
                    report(percent);
                    told = percent;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(layer: &str, status: LayerStatus, offset: u64, total: u64) -> PullProgress {
        PullProgress {
            layer: layer.to_owned(),
            status,
            offset: Some(offset),
            total: Some(total),
            elapsed: None,
        }
    }

    #[test]
    fn only_what_is_new_counts_as_getting_on() {
        let mut layers = Layers::default();
        assert_eq!(layers.percent(), None);
        assert!(layers.update(&progress("a", LayerStatus::Downloading, 0, 100)));
        assert!(!layers.update(&progress("a", LayerStatus::Downloading, 0, 100)));
        assert!(layers.update(&progress("a", LayerStatus::Downloading, 50, 100)));
        assert!(!layers.update(&progress("a", LayerStatus::Downloading, 50, 100)));
        assert_eq!(layers.percent(), Some(50));
        assert!(layers.update(&progress("b", LayerStatus::Downloading, 0, 300)));
        assert_eq!(layers.percent(), Some(12));
        assert!(layers.update(&progress("b", LayerStatus::ExtractComplete, 0, 300)));
        assert!(!layers.update(&progress("b", LayerStatus::Other(9), 0, 300)));
        assert_eq!(layers.percent(), Some(87));
    }
}
