//! What the source's counts say beside the rows that were read: duplicate primary keys, rows that no query returns, and
//! writes meanwhile.

use vecferry_milvus::CollectionName;

use super::drift::checks;
use crate::problem::{Code, Problem, Told};
use crate::read::{ReadError, Reader};
use crate::report::DriftReport;
use crate::request::Duplicates;
use crate::verify::{Surplus, diagnose};

/// What the source's counts say beside the rows that were read.
pub(super) struct Finding<'a> {
    name: &'a CollectionName,
    before: u64,
    after: u64,
    /// Rows that the source counted when it was read.
    counted: u64,
    drifted: bool,
    /// What was looked at, for people.
    checks: Told,
    /// Rows of the source end by themselves, and some have.
    expires: bool,
    expired: u64,
    pub(super) surplus: Surplus,
}

impl<'a> Finding<'a> {
    pub(super) fn new(name: &'a CollectionName) -> Self {
        let (before, after, counted, drifted, checks) = (0, 0, 0, false, checks(&["count".to_owned()], None));
        let (expires, expired, surplus) = (false, 0, Surplus::default());
        Self { name, before, after, counted, drifted, checks, expires, expired, surplus }
    }

    /// What the source held before and after it was read.
    pub(super) fn drift(&mut self, report: &DriftReport, expires: bool) {
        (self.before, self.after) = (report.rows_before, report.rows_after);
        self.drifted |= report.drifted;
        self.checks = checks(&report.checks, report.writes);
        (self.expires, self.expired) = (expires, report.rows_expired);
    }

    /// Rows that the source answered once, and does not any more.
    pub(super) fn gone(&mut self, rows: u64) {
        if self.expires {
            self.expired = self.expired.max(rows);
        } else {
            self.drifted |= rows > 0;
        }
    }

    /// Rows that ended by themselves.
    pub(super) fn expired(&self) -> u64 {
        self.expired
    }

    /// Finds out why a part counts more rows than it returned. Tells how many rows it is that repeat a key or that no query
    /// returns.
    pub(super) async fn explain(
        &mut self,
        reader: &Reader,
        partition: Option<&str>,
        returned: u64,
        counted: u64,
    ) -> Result<u64, ReadError> {
        self.counted += counted;
        self.gone(returned.saturating_sub(counted));
        if counted <= returned {
            return Ok(0);
        }
        let found = diagnose(reader, partition).await?;
        self.drifted |= found.duplicates + found.unreadable != counted - returned;
        self.surplus.duplicates += found.duplicates;
        self.surplus.unreadable += found.unreadable;
        self.surplus.keys.extend(found.keys);
        self.surplus.unreadable_at.extend(found.unreadable_at);
        Ok(found.duplicates + found.unreadable)
    }

    /// Sorts the findings of a copy into problems and warnings.
    pub(super) fn conclude(
        self,
        duplicates: Duplicates,
        allow_drift: bool,
        problems: &mut Vec<Problem>,
        warnings: &mut Vec<Problem>,
    ) {
        self.tell_surplus(duplicates, problems, warnings);
        if self.drifted {
            let problem = Problem::new(Code::Drift)
                .with("collection", self.name)
                .with("before", self.before)
                .with("after", self.after)
                .told("checks", self.checks);
            if allow_drift { warnings.push(problem) } else { problems.push(problem) }
        }
    }

    /// The same of a comparison without a job. `rows_now` are those that the source counts at its end.
    pub(super) fn conclude_comparison(
        self,
        rows_now: u64,
        problems: &mut Vec<Problem>,
        warnings: &mut Vec<Problem>,
    ) {
        self.tell_surplus(Duplicates::Warn, problems, warnings);
        if self.drifted {
            problems.push(
                Problem::new(Code::DriftWhileCompared)
                    .with("collection", self.name)
                    .with("before", self.counted)
                    .with("after", rows_now),
            );
        }
    }

    fn tell_surplus(&self, duplicates: Duplicates, problems: &mut Vec<Problem>, warnings: &mut Vec<Problem>) {
        if self.surplus.duplicates > 0 {
            let problem = duplicate_problem(self.name, &self.surplus, duplicates);
            match duplicates {
                Duplicates::Warn => warnings.push(problem),
                Duplicates::Fail => problems.push(problem),
            }
        }
        if self.surplus.unreadable > 0 {
            problems.push(
                Problem::new(Code::RowsUnreadable)
                    .with("collection", self.name)
                    .with("rows", self.surplus.unreadable)
                    .told("where", Told::parts(&self.surplus.unreadable_at)),
            );
        }
    }
}

pub(super) fn duplicate_problem(name: &CollectionName, surplus: &Surplus, duplicates: Duplicates) -> Problem {
    let code = match duplicates {
        Duplicates::Warn => Code::Duplicates,
        Duplicates::Fail => Code::DuplicatesRefused,
    };
    Problem::new(code)
        .with("collection", name)
        .with("surplus", surplus.duplicates)
        .told("keys", Told::items(&surplus.keys))
}
