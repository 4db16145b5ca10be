//! How much a program pays for talos-client, next to a plain tonic program with the same stubs.
//!
//! Both programs lie in `xtask/footprint`, outside the workspace. They are copied below `target/` together
//! with the workspace's `Cargo.lock`, so that both are resolved to the versions that are tested here.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// The program that is measured, and its yardstick.
const PROGRAMS: [&str; 2] = ["hello-talos", "hello-tonic"];

/// At most this many crates.
const MAX_CRATES: usize = 90;

/// At most this many times the crates of the yardstick.
const MAX_CRATE_RATIO: f64 = 1.2;

/// At most this many times the build time of the yardstick.
const MAX_BUILD_RATIO: f64 = 1.2;

/// How often each program is built to measure the time.
const BUILD_ROUNDS: usize = 3;

/// At most this many times the binary size of the yardstick.
const MAX_SIZE_RATIO: f64 = 1.1;

/// One measured number and its bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    name: &'static str,
    measured: String,
    bar: String,
    ok: bool,
}

/// All lines of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Report(Vec<Line>);

impl Report {
    /// Whether any bar is missed.
    pub fn is_short(&self) -> bool {
        self.0.iter().any(|line| !line.ok)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Line {
            name,
            measured,
            bar,
            ok,
        } in &self.0
        {
            let verdict = if *ok { "ok" } else { "short" };
            writeln!(f, "{name:<22} {measured:<38} {bar:<10} {verdict}")?;
        }
        Ok(())
    }
}

/// Measures; with `build` also builds both programs from nothing, which takes minutes.
pub fn measure(root: &Path, build: bool) -> Result<Report> {
    let folders = PROGRAMS.map(|program| prepare(root, program));
    let [talos, tonic] = folders;
    let (talos, tonic) = (talos?, tonic?);
    let (ours, theirs) = (crates(&talos)?, crates(&tonic)?);
    let mut lines = crate_lines(ours, theirs);
    if build {
        let (ours, theirs) = debug_builds(&talos, &tonic)?;
        let unit = |time: Duration| format!("{:.1} s", time.as_secs_f64());
        lines.push(ratio(
            "cold debug build",
            ours,
            theirs,
            |time| time.as_secs_f64(),
            unit,
            MAX_BUILD_RATIO,
        ));
        let (ours, theirs) = (release_size(&talos)?, release_size(&tonic)?);
        let unit = |size: u64| format!("{} KiB", size / 1024);
        lines.push(ratio(
            "stripped release",
            ours,
            theirs,
            |size| size as f64,
            unit,
            MAX_SIZE_RATIO,
        ));
    }
    Ok(Report(lines))
}

fn crate_lines(ours: usize, theirs: usize) -> Vec<Line> {
    let count = Line {
        name: "crates",
        measured: ours.to_string(),
        bar: format!("<= {MAX_CRATES}"),
        ok: ours <= MAX_CRATES,
    };
    vec![
        count,
        ratio(
            "crates, plain tonic",
            ours,
            theirs,
            |count| count as f64,
            |count| count.to_string(),
            MAX_CRATE_RATIO,
        ),
    ]
}

fn ratio<T: Copy>(
    name: &'static str,
    ours: T,
    theirs: T,
    number: impl Fn(T) -> f64,
    unit: impl Fn(T) -> String,
    max: f64,
) -> Line {
    let ratio = number(ours) / number(theirs);
    let measured = format!("{ratio:.2}x ({} to {})", unit(ours), unit(theirs));
    Line {
        name,
        measured,
        bar: format!("<= {max:.1}x"),
        ok: ratio <= max,
    }
}

/// Copies a program below `target/`, at the same depth as the original so that its paths still lead to the
/// crates, and gives it the workspace's lock file.
fn prepare(root: &Path, program: &str) -> Result<PathBuf> {
    let source = root.join("xtask/footprint").join(program);
    let folder = root.join("target/footprint").join(program);
    std::fs::create_dir_all(folder.join("src")).with_context(|| format!("creating {}", folder.display()))?;
    for (from, to) in [
        (source.join("Cargo.toml"), "Cargo.toml"),
        (source.join("src/main.rs"), "src/main.rs"),
        (root.join("Cargo.lock"), "Cargo.lock"),
    ] {
        std::fs::copy(&from, folder.join(to)).with_context(|| format!("copying {}", from.display()))?;
    }
    Ok(folder)
}

/// Counts the crates that a program links or uses as macros, itself left out.
fn crates(folder: &Path) -> Result<usize> {
    let tree = cargo(
        folder,
        &["tree", "--edges", "normal", "--prefix", "none", "--format", "{p}"],
    )?;
    count_crates(&tree)
}

/// Counts the distinct lines of `cargo tree`, the first of which is the program itself.
fn count_crates(tree: &str) -> Result<usize> {
    let strip = |line: &str| line.trim_end_matches(" (*)").to_owned();
    let packages: BTreeSet<_> = tree.lines().filter(|line| !line.is_empty()).map(strip).collect();
    ensure!(!packages.is_empty(), "cargo tree printed nothing");
    Ok(packages.len() - 1)
}

/// Builds both in turns and takes the fastest build of each, since other work on the machine only slows down.
fn debug_builds(ours: &Path, theirs: &Path) -> Result<(Duration, Duration)> {
    let mut best = (debug_build(ours)?, debug_build(theirs)?);
    for _ in 1..BUILD_ROUNDS {
        best = (best.0.min(debug_build(ours)?), best.1.min(debug_build(theirs)?));
    }
    Ok(best)
}

fn debug_build(folder: &Path) -> Result<Duration> {
    remove_target(folder)?;
    let start = Instant::now();
    cargo(folder, &["build"])?;
    Ok(start.elapsed())
}

fn release_size(folder: &Path) -> Result<u64> {
    cargo(
        folder,
        &[
            "build",
            "--release",
            "--config",
            "profile.release.strip=\"symbols\"",
        ],
    )?;
    let program = folder.file_name().context("a program has a name")?;
    let binary = folder
        .join("target/release")
        .join(program)
        .with_extension(std::env::consts::EXE_EXTENSION);
    let size = std::fs::metadata(&binary)
        .with_context(|| format!("reading {}", binary.display()))?
        .len();
    remove_target(folder)?;
    Ok(size)
}

fn remove_target(folder: &Path) -> Result<()> {
    let target = folder.join("target");
    match std::fs::remove_dir_all(&target) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", target.display()))
        }
        _ => Ok(()),
    }
}

/// Runs cargo in a program's folder, with a target folder of its own.
fn cargo(folder: &Path, arguments: &[&str]) -> Result<String> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .output()
        .with_context(|| format!("running cargo {}", arguments[0]))?;
    ensure!(
        output.status.success(),
        "cargo {} in {} failed:\n{}",
        arguments[0],
        folder.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).context("cargo printed something that is not text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_crate_and_version_once_without_the_program() {
        let tree = "hello v0.0.0 (/tmp/hello)\na v1.0.0\nb v1.0.0 (proc-macro)\na v1.0.0 (*)\n\na v2.0.0\n";
        assert_eq!(count_crates(tree).unwrap(), 3);
        assert!(count_crates("").is_err());
    }

    #[test]
    fn a_bar_is_met_or_short() {
        let report = |ours, theirs| Report(crate_lines(ours, theirs));
        assert!(!report(84, 70).is_short());
        assert!(report(85, 70).is_short(), "more than 1.2 times");
        assert!(report(91, 90).is_short(), "more than 90");
        let text = report(91, 70).to_string();
        assert_eq!(text.lines().count(), 2);
        assert!(text.lines().all(|line| line.ends_with(" short")), "{text}");
        assert!(text.contains("1.30x (91 to 70)"), "{text}");
    }
}
