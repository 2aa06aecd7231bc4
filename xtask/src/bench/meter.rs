//! What a leg costs: time, and the CPU of everybody who takes part.

use std::time::Instant;

use serde::Serialize;

use super::process;
use super::servers::{Servers, Side};
use crate::Failure;

/// What one run of a leg cost.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Leg {
    /// From start to end.
    pub(crate) seconds: f64,
    /// Of it, how long the target stored what it took; none where nothing is flushed or it is not told apart.
    pub(crate) flush_seconds: Option<f64>,
    /// Of it, how long the rows were on their way by Vecferry's own report; none for other legs.
    pub(crate) copy_seconds: Option<f64>,
    /// How long that was expected to take, before it began; none for other legs.
    pub(crate) estimated_seconds: Option<f64>,
    /// Seconds during which Vecferry waited for its own record; none for other legs.
    pub(crate) ledger_busy_seconds: Option<f64>,
    /// How often it brought that record to the disk.
    pub(crate) ledger_commits: Option<u64>,
    /// Pages that the target acknowledged.
    pub(crate) pages: Option<u64>,
    /// Rows that the target's indexes covered when Vecferry ended: fewer than all if it did not wait for them.
    pub(crate) indexed_rows_at_end: Option<u64>,
    /// CPU of whoever moves the rows, user and system.
    pub(crate) client_cpu_seconds: f64,
    /// CPU of the source.
    pub(crate) source_cpu_seconds: f64,
    /// CPU of the target, until it starts to build indexes.
    pub(crate) target_cpu_seconds: f64,
    /// CPU of source and target together until the flush began; none where that is not told apart.
    pub(crate) servers_cpu_before_flush_seconds: Option<f64>,
    /// CPU of everything else on this machine: what disturbs the measurement.
    pub(crate) other_cpu_seconds: f64,
    /// CPU that the host of this virtual machine gave to others.
    pub(crate) stolen_cpu_seconds: f64,
    /// Most memory the client occupied; none where it is this process.
    pub(crate) peak_bytes: Option<u64>,
    /// Whether the servers were idle when it started.
    pub(crate) started_idle: bool,
}

/// CPU seconds used up to a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    source: f64,
    target: f64,
    own: f64,
    children: f64,
    machine: f64,
    stolen: f64,
}

impl Reading {
    fn now(servers: &Servers) -> Result<Self, Failure> {
        let (own, children) = process::own_cpu_seconds()?;
        let (machine, stolen) = process::machine_cpu_seconds()?;
        Ok(Self {
            source: servers.cpu_seconds(Side::Source)?,
            target: servers.cpu_seconds(Side::Target)?,
            own,
            children,
            machine,
            stolen,
        })
    }
}

/// A leg that runs.
#[derive(Debug)]
pub(crate) struct Meter {
    before: Reading,
    begin: Instant,
    /// CPU of source and target together when the flush began.
    servers_at_flush: Option<f64>,
    /// CPU of source and target when the target began to build indexes.
    servers_until: Option<(f64, f64)>,
}

impl Meter {
    /// Starts now.
    pub(crate) fn start(servers: &Servers) -> Result<Self, Failure> {
        Ok(Self {
            before: Reading::now(servers)?,
            begin: Instant::now(),
            servers_at_flush: None,
            servers_until: None,
        })
    }

    /// Since the start.
    pub(crate) fn seconds(&self) -> f64 {
        self.begin.elapsed().as_secs_f64()
    }

    /// The rows have arrived; the target stores them now.
    pub(crate) fn flush_begins(&mut self, servers: &Servers) -> Result<(), Failure> {
        let both = servers.cpu_seconds(Side::Source)? + servers.cpu_seconds(Side::Target)?;
        self.servers_at_flush = Some(both);
        Ok(())
    }

    /// What the servers do from now on is no part of the leg.
    pub(crate) fn servers_end_here(&mut self, servers: &Servers) -> Result<(), Failure> {
        self.servers_until = Some((servers.cpu_seconds(Side::Source)?, servers.cpu_seconds(Side::Target)?));
        Ok(())
    }

    /// Ends now, where this process moved the rows itself or its child, which has ended, did.
    pub(crate) fn stop(&self, servers: &Servers) -> Result<Leg, Failure> {
        let seconds = self.seconds();
        let (before, after) = (self.before, Reading::now(servers)?);
        let (source, target) = self.servers_until.unwrap_or((after.source, after.target));
        let (own, children) = (after.own - before.own, after.children - before.children);
        let of_servers = after.source - before.source + after.target - before.target;
        Ok(Leg {
            seconds,
            flush_seconds: None,
            copy_seconds: None,
            estimated_seconds: None,
            ledger_busy_seconds: None,
            ledger_commits: None,
            pages: None,
            indexed_rows_at_end: None,
            // A child's leg leaves this process next to nothing to do, and the other way round.
            client_cpu_seconds: if children > 0.0 { children } else { own },
            source_cpu_seconds: source - before.source,
            target_cpu_seconds: target - before.target,
            servers_cpu_before_flush_seconds: self
                .servers_at_flush
                .map(|both| both - before.source - before.target),
            other_cpu_seconds: (after.machine - before.machine - of_servers - own - children).max(0.0),
            stolen_cpu_seconds: after.stolen - before.stolen,
            peak_bytes: None,
            started_idle: true,
        })
    }
}
