//! Figures about memory, load and versions that a node reports.

/// Memory of a node in KiB, as `/proc/meminfo` counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryInfo {
    /// Usable memory. Default: 4 GiB.
    pub total_kib: u64,
    /// Unused memory.
    pub free_kib: u64,
    /// Memory that new programs could get without swapping.
    pub available_kib: u64,
    /// Buffers of block devices.
    pub buffers_kib: u64,
    /// Page cache.
    pub cached_kib: u64,
}

impl Default for MemoryInfo {
    fn default() -> Self {
        Self {
            total_kib: 4_194_304,
            free_kib: 1_572_864,
            available_kib: 3_145_728,
            buffers_kib: 65_536,
            cached_kib: 1_310_720,
        }
    }
}

impl MemoryInfo {
    /// Memory of `total_kib`, of which `available_kib` are available and, to keep it simple, free.
    #[must_use]
    pub const fn new(total_kib: u64, available_kib: u64) -> Self {
        Self {
            total_kib,
            free_kib: available_kib,
            available_kib,
            buffers_kib: 0,
            cached_kib: 0,
        }
    }

    /// The beginning of `/proc/meminfo`.
    pub(crate) fn proc_meminfo(&self) -> String {
        let rows = [
            ("MemTotal:", self.total_kib),
            ("MemFree:", self.free_kib),
            ("MemAvailable:", self.available_kib),
            ("Buffers:", self.buffers_kib),
            ("Cached:", self.cached_kib),
            ("SwapTotal:", 0),
            ("SwapFree:", 0),
        ];
        rows.iter()
            .map(|(name, kib)| format!("{name:<15}{kib:>9} kB\n"))
            .collect()
    }
}

/// Load averages over 1, 5 and 15 minutes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LoadAverages(pub(crate) [f64; 3]);

impl Default for LoadAverages {
    fn default() -> Self {
        Self([0.42, 0.36, 0.31])
    }
}

/// Which Talos release a node claims to run.
#[derive(Debug, Clone)]
pub(crate) struct TalosVersion {
    /// With the leading `v`.
    pub(crate) tag: String,
    pub(crate) sha: String,
}

/// The release a cluster runs unless told otherwise: the one the simulator is written after.
pub(crate) const DEFAULT_TAG: &str = "v1.14.0";
/// What `go_version` says.
pub(crate) const GO_VERSION: &str = "go1.26.0";
/// Kernel of that release.
pub(crate) const KERNEL: &str = "6.18.44-talos";
