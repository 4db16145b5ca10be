//! The installer: what it says while it writes Talos to a disk, and how it ends.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_core::Stream;
use futures_util::stream;
use talos_proto::methods::Release;
use tokio::sync::watch;

use super::Node;

/// Exit code of an installer that finds that the release must not follow the one that runs.
const UNSUPPORTED: i32 = 3;

/// What the next installation comes to, besides success, and whether one is under way.
#[derive(Debug, Default)]
pub(crate) struct Installer {
    /// Why the next pull of an installer image by `Upgrade` fails.
    pub(crate) pull_failure: Option<String>,
    /// Why the container of the next installer does not run.
    pub(crate) container_failure: Option<String>,
    /// What the next installer says at last, and its exit code.
    pub(crate) next_exit: Option<(String, i32)>,
    /// Whether installers wait after their first line.
    pub(crate) held: watch::Sender<bool>,
    busy: bool,
}

/// What an installer is to do.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// Reference of its image.
    pub(crate) image: String,
    /// Path of the disk to install to; `None` to upgrade the system disk.
    pub(crate) disk: Option<String>,
}

/// What an installer lets others know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    /// A line of its output, with the newline.
    Line(String),
    /// It has ended.
    Exit(i32),
}

/// The right to install, given back on drop.
#[derive(Debug)]
pub(crate) struct Turn(Arc<Node>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.installer.lock().busy = false;
    }
}

impl Node {
    /// Takes the right to install; `None` while somebody else has it.
    pub(crate) fn begin_installation(self: &Arc<Self>) -> Option<Turn> {
        let busy = std::mem::replace(&mut self.installer.lock().busy, true);
        (!busy).then(|| Turn(Arc::clone(self)))
    }

    /// Writes Talos `tag` to the disk at `path`, or to the first one that will do; it runs from the next boot
    /// on.
    pub(super) fn install(&self, path: Option<&str>, tag: &str) {
        self.partition_system_disk(path);
        self.installation.lock().upgrade(tag);
    }
}

/// Lets an installer run. What it is to do is done when it says so with its exit code; dropped before, it has
/// done nothing.
pub(crate) fn run(turn: Turn, order: Order) -> impl Stream<Item = Output> + Send {
    let node = &turn.0;
    let host = node.version.lock().tag.clone();
    let tag = node
        .release_of_installer(&order.image)
        .unwrap_or_else(|| host.clone());
    let mut lines = VecDeque::from([format!("Talos {tag}: the installer runs")]);
    let planned = node.installer.lock().next_exit.take();
    let exit = match (planned, preflight(&host, &tag)) {
        (Some((text, code)), _) => {
            lines.extend(text.lines().map(str::to_owned));
            code
        }
        (None, Err(refusal)) => {
            lines.push_back(format!("preflight checks failed: {refusal}"));
            UNSUPPORTED
        }
        (None, Ok(())) => {
            lines.push_back("preflight checks passed".to_owned());
            if let Some(disk) = &order.disk {
                lines.push_back(format!("partitions of {disk} are made"));
            }
            lines.push_back(format!("Talos {tag} is written"));
            lines.push_back("the boot loader is told".to_owned());
            0
        }
    };
    let job = Job {
        turn,
        order,
        tag,
        lines,
        exit,
        said: 0,
    };
    stream::unfold(Some(job), |job| async move { job?.step().await })
}

/// An installer at work.
struct Job {
    turn: Turn,
    order: Order,
    tag: String,
    lines: VecDeque<String>,
    exit: i32,
    said: usize,
}

impl Job {
    async fn step(mut self) -> Option<(Output, Option<Self>)> {
        let node = Arc::clone(&self.turn.0);
        node.tick().await;
        if self.said > 0 {
            let mut held = node.installer.lock().held.subscribe();
            // The sender lives as long as the node.
            let _held = held.wait_for(|held| !held).await;
        }
        self.said += 1;
        if let Some(line) = self.lines.pop_front() {
            return Some((Output::Line(format!("{line}\n")), Some(self)));
        }
        if self.exit == 0 {
            match &self.order.disk {
                Some(disk) => node.install(Some(disk), &self.tag),
                None => node.installation.lock().upgrade(&self.tag),
            }
        }
        Some((Output::Exit(self.exit), None))
    }
}

/// Whether Talos `target` may follow the running `host`. It may be up to two minor releases newer, or one
/// older; the oldest targets have rules of their own. What is no release number is not looked at.
pub(crate) fn preflight(host: &str, target: &str) -> Result<(), String> {
    let (Ok(from), Ok(to)) = (host.parse::<Release>(), target.parse::<Release>()) else {
        return Ok(());
    };
    if to < Release::new(1, 8) || to >= Release::new(2, 0) {
        return Err(format!("nothing is known about upgrades to Talos {target}"));
    }
    let oldest = match to.minor() {
        8 => 5,
        9 | 10 => 8,
        minor => minor - 2,
    };
    if from < Release::new(1, oldest) {
        return Err(format!(
            "Talos {host} is too old to be followed by Talos {target}"
        ));
    }
    if from >= Release::new(1, to.minor().saturating_add(2)) {
        return Err(format!(
            "Talos {host} is too new to be followed by Talos {target}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_follow_each_other_in_small_steps() {
        let allowed = |from: &str, to: &str| preflight(from, to).is_ok();
        for (from, to, expected) in [
            ("v1.14.0", "v1.14.0", true),
            ("v1.14.0", "v1.16.1", true),
            ("v1.14.9", "v1.17.0", false),
            ("v1.14.0", "v1.13.2", true),
            ("v1.14.0-rc.1", "v1.12.0", false),
            ("v1.8.0", "v1.10.0", true),
            ("v1.7.5", "v1.8.0", true),
            ("v1.7.5", "v1.9.0", false),
            ("v1.14.0", "v2.0.0", false),
            ("v1.14.0", "v1.7.0", false),
            ("unreleased", "v1.9.0", true),
            ("v1.14.0", "latest", true),
        ] {
            assert_eq!(allowed(from, to), expected, "{from} to {to}");
        }
    }
}
