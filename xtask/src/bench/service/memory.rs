//! Resident memory of the service over time, and how busy the machine is meanwhile.

use std::fs;
use std::time::Duration;

use serde::Serialize;
use tokio::time::MissedTickBehavior;

use crate::Failure;

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_secs(2);

/// What was seen, again and again.
#[derive(Debug, Default)]
pub(super) struct Samples {
    bytes: Vec<u64>,
    loads: Vec<f64>,
}

/// Memory in MiB.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Memory {
    pub(super) samples: usize,
    /// Mean of the first tenth of the time.
    pub(super) first_tenth_mib: f64,
    /// Mean of the last tenth of the time.
    pub(super) last_tenth_mib: f64,
    pub(super) max_mib: f64,
    /// Means of about a tenth of the time each, from the first to the last.
    pub(super) tenths_mib: Vec<f64>,
}

impl Samples {
    /// Looks at a process until it is told to end.
    pub(super) async fn take(pid: u32, mut end: tokio::sync::oneshot::Receiver<()>) -> Result<Self, Failure> {
        let mut samples = Self::default();
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = &mut end => return Ok(samples),
            }
            samples.bytes.push(resident(pid)?);
            samples.loads.push(load_average()?);
        }
    }

    pub(super) fn memory(&self) -> Memory {
        let tenth = self.bytes.len().div_ceil(10);
        let mib = |bytes: f64| bytes / f64::from(1 << 20);
        let mean = |bytes: &[u64]| mib(bytes.iter().sum::<u64>() as f64 / bytes.len().max(1) as f64);
        let rest = self.bytes.len() - tenth;
        Memory {
            samples: self.bytes.len(),
            first_tenth_mib: mean(self.bytes.get(..tenth).unwrap_or_default()),
            last_tenth_mib: mean(self.bytes.get(rest..).unwrap_or_default()),
            max_mib: mib(self.bytes.iter().max().copied().unwrap_or(0) as f64),
            tenths_mib: self.bytes.chunks(tenth.max(1)).map(mean).collect(),
        }
    }

    /// The mean of the load averages.
    pub(super) fn load_average(&self) -> f64 {
        self.loads.iter().sum::<f64>() / self.loads.len().max(1) as f64
    }
}

/// Memory that a process occupies now, in bytes.
fn resident(pid: u32) -> Result<u64, Failure> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|_| "the service ended")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("the service ended")?;
    let kib: u64 = line.split_whitespace().next().ok_or("/proc/PID/status is short")?.parse()?;
    Ok(kib * 1024)
}

/// Processes that want to run, as a mean of the last minute.
fn load_average() -> Result<f64, Failure> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().next().ok_or("/proc/loadavg is empty")?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_tenth_and_the_last_are_compared() {
        let bytes = (1..=20).map(|mib| mib << 20).collect();
        let samples = Samples { bytes, loads: vec![1.0, 2.0] };
        let memory = samples.memory();
        assert_eq!((memory.first_tenth_mib, memory.last_tenth_mib, memory.max_mib), (1.5, 19.5, 20.0));
        assert_eq!((memory.tenths_mib.len(), memory.tenths_mib[9]), (10, 19.5));
        assert_eq!((memory.samples, samples.load_average()), (20, 1.5));
        assert_eq!(Samples::default().memory().max_mib, 0.0);
    }

    #[test]
    fn this_process_has_memory() {
        assert!(resident(std::process::id()).unwrap() > 0);
    }
}
