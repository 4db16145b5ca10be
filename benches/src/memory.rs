//! Resident memory of this process, as Linux counts it.

use anyhow::{Context as _, Result};

/// What is resident now, in bytes.
pub fn resident() -> Result<u64> {
    field("VmRSS:")
}

/// The most that was resident since [`reset_peak`], in bytes.
pub fn peak() -> Result<u64> {
    field("VmHWM:")
}

/// Begins anew with the peak.
pub fn reset_peak() -> Result<()> {
    std::fs::write("/proc/self/clear_refs", "5").context("resetting the peak of memory, which needs Linux")
}

fn field(name: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("reading memory, which needs Linux")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: u64 = kib
        .with_context(|| format!("no {name} in the status"))?
        .trim()
        .parse()?;
    Ok(kib * 1024)
}
