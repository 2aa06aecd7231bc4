//! What a comparison of every row finds, step by step and in all.

use serde::{Deserialize, Serialize};
use vecferry_milvus::{Key, KeyRange};

use crate::read::ReadError;
use crate::report::{Findings, FoundRows, RowName};

/// Told of every step of a comparison, in key order; the comparison goes on when it returns.
pub(crate) trait Follow {
    /// Something was compared.
    async fn on_step(&self, step: &Step<'_>) -> Result<(), ReadError>;
}

/// A part of a range that was compared. All its differences are here, so that memory stays bounded.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) partition: Option<&'a str>,
    /// The keys that were compared: a comparison that is to go on later starts behind `range.until`.
    pub(crate) range: KeyRange,
    /// Rows that both sides have.
    pub(crate) rows_compared: u64,
    /// Bytes of these rows on the wire, from the source, as far as whole pages were compared.
    pub(crate) bytes: u64,
    /// Rows that are known to be missing on the target.
    pub(crate) set_aside: u64,
    pub(crate) differing: Differing,
}

/// Rows that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Differing {
    /// Only on the source.
    pub(crate) missing: Vec<Key>,
    /// Only on the target.
    pub(crate) extra: Vec<Key>,
    /// On both sides, with the fields that differ.
    pub(crate) changed: Vec<(Key, Vec<String>)>,
    /// Differing too, but the source holds several rows of the key, and which one it answers is not fixed.
    pub(crate) repeated: Vec<Key>,
}

/// What a comparison came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct FullOutcome {
    /// Distinct keys of the source.
    pub(crate) source_rows: u64,
    /// Distinct keys of the target.
    pub(crate) target_rows: u64,
    /// Rows that both sides have.
    pub(crate) rows_compared: u64,
    pub(crate) findings: Findings,
}

impl FullOutcome {
    /// Adds what another range came to. Ranges are added in their order, so that the first rows are the first.
    pub(crate) fn add(&mut self, other: Self) {
        self.source_rows += other.source_rows;
        self.target_rows += other.target_rows;
        self.rows_compared += other.rows_compared;
        self.findings.add(other.findings);
    }

    /// Adds what a step found.
    pub(crate) fn take(&mut self, step: &Step<'_>) {
        let found = &step.differing;
        let partition = || step.partition.map(str::to_owned);
        let plain = |keys: &[Key], into: &mut FoundRows| {
            into.extend(keys.iter().map(|key| RowName::new(partition(), key, Vec::new())));
        };
        plain(&found.missing, &mut self.findings.missing);
        plain(&found.extra, &mut self.findings.extra);
        plain(&found.repeated, &mut self.findings.repeated_keys);
        let changed = found.changed.iter();
        self.findings
            .changed
            .extend(changed.map(|(key, fields)| RowName::new(partition(), key, fields.clone())));
        self.rows_compared += step.rows_compared;
        self.source_rows += step.rows_compared + step.set_aside + found.missing.len() as u64;
        self.target_rows += step.rows_compared + found.extra.len() as u64;
    }
}
