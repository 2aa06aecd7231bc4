//! The machine that is measured on.

use std::fmt;
use std::fs;

use serde::Serialize;

use crate::Failure;

/// What a reader must know to compare figures.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// Cores this process may use.
    pub(crate) cores: usize,
    /// Memory in bytes.
    pub(crate) memory_bytes: u64,
    /// Model of the CPU.
    pub(crate) cpu: String,
    /// Release of the kernel.
    pub(crate) kernel: String,
}

impl Machine {
    /// This machine.
    pub(crate) fn read() -> Result<Self, Failure> {
        let memory = fs::read_to_string("/proc/meminfo")?;
        let memory_kib = memory
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))
            .and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
            .ok_or("/proc/meminfo does not say how much memory there is")?;
        let cpus = fs::read_to_string("/proc/cpuinfo")?;
        let cpu = cpus
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.trim() == "model name")
            .map_or_else(|| "unknown".to_owned(), |(_, model)| model.trim().to_owned());
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            memory_bytes: memory_kib * 1024,
            cpu,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gib = self.memory_bytes as f64 / f64::from(1 << 30);
        write!(f, "{} cores ({}), {gib:.1} GiB memory, Linux {}", self.cores, self.cpu, self.kernel)
    }
}
