//! The repair of what differs, and a second comparison of what was repaired.

use vecferry_milvus::Key;

use super::pass::Pass;
use super::ranges::Todo;
use super::{Compared, Pair, count};
use crate::job::finding::Finding;
use crate::read::ReadError;
use crate::report::RepairReport;
use crate::verify::{FullOutcome, Repair};

impl Pair<'_> {
    /// Compares all rows, mends what differs, and compares what was mended again.
    pub(in crate::job) async fn compare_and_repair(
        &mut self,
        finding: &mut Finding<'_>,
        allow: &(dyn Fn(Option<&str>, &Key) -> bool + Send + Sync),
    ) -> Result<Compared, ReadError> {
        let (mut compared, hull, distinct, mut done) = {
            let repair = Repair::new(&self.source, &self.target, allow);
            let (compared, hull, distinct) = self.compare(finding, Some(&repair)).await?;
            (compared, hull, distinct, repair.done())
        };
        let Some(hull) = hull.filter(|_| !compared.findings.is_empty()) else { return Ok(compared) };
        let found = std::mem::take(&mut compared.findings);
        // Where a key stands in several partitions, or a server does not tell these apart, mending one row can undo
        // another: what is found now is mended once more.
        for attempt in 0..2 {
            self.source = self.source.clone().fresh().await?;
            self.target = self.target.clone().fresh().await?;
            let repair = Repair::new(&self.source, &self.target, allow);
            let mending = (attempt == 0).then_some(&repair);
            let pass = Pass::new(self, mending, None);
            let ranges = (0..self.parts.len()).map(|part| Todo::new(part, hull.clone())).collect();
            let mut again = FullOutcome::default();
            for (_, outcome) in pass.compare_all(ranges).await? {
                again.add(outcome);
            }
            compared.findings = again.findings;
            let (written, deleted) = repair.done();
            done = (done.0 + written, done.1 + deleted);
            if compared.findings.is_empty() {
                break;
            }
        }
        compared.findings.repeated_keys = found.repeated_keys.clone();
        if compared.findings.is_empty() {
            // Those that were missing at first were compared by now.
            compared.rows_compared = distinct.iter().sum();
        }
        self.recount(&mut compared, distinct).await?;
        self.find_swapped(&mut compared.findings, true).await?;
        compared.repair = Some(RepairReport { found, rows_written: done.0, rows_deleted: done.1 });
        Ok(compared)
    }

    /// Counts the target once more, against the distinct keys of each part of the source.
    async fn recount(&self, compared: &mut Compared, distinct: Vec<u64>) -> Result<(), ReadError> {
        compared.target_rows = 0;
        for (part, distinct) in self.parts.iter().zip(distinct) {
            let counted = count(&self.target, part, part.in_target).await?;
            compared.target_rows += counted;
            // Where rows are still named as differing, the counts say nothing new.
            if compared.findings.is_empty() && counted > distinct {
                self.surplus_of_target(part, &mut compared.findings).await?;
            } else if compared.findings.is_empty() && counted < distinct {
                compared.findings.missing.rows += distinct - counted;
            }
        }
        Ok(())
    }
}
