//! Comparisons of one collection on two servers: rows as thoroughly as is wanted, definitions, and what both come to.

mod definitions;
mod every_row;
mod load;
mod sample;
mod without_keys;

use std::collections::BTreeSet;
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use vecferry_milvus::Client;

use self::definitions::compare_definitions;
use self::every_row::compare_every_row;
use self::load::is_readable;
use self::sample::compare_sample;
use self::without_keys::compare_without_keys;
use super::every_row::partitions;
use super::run::Ended;
use crate::cluster::inventory::Found;
use crate::event::{Event, Observer, Phase};
use crate::job::differences::{changed, rows_elsewhere};
use crate::plan::Keys;
use crate::problem::{Code, Problem, Told, words_of};
use crate::read::{ReadError, Reader};
use crate::report::{CollectionReport, CountedRows, Evidence, RepairReport, Verification, new_verification};
use crate::request::{RepairScope, VerifyLevel};
use crate::verify::Outcome;

/// Two servers to compare.
pub(super) struct Sides<'a> {
    pub(super) source: &'a Client,
    pub(super) target: &'a Client,
    pub(super) level: VerifyLevel,
    pub(super) repair: &'a RepairScope,
    pub(super) seed: u64,
    pub(super) observer: &'a dyn Observer,
    pub(super) cancel: &'a CancellationToken,
}

/// Compares one collection. Both sides are loaded if need be, and put back.
pub(super) async fn compare_pair(sides: &Sides<'_>, of_source: &Found, of_target: &Found) -> Ended {
    let started = Instant::now();
    let name = &of_source.described.name;
    let enter = |phase| sides.observer.on_event(Event::Phase { collection: name.clone(), phase });
    enter(Phase::Verifying);
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    let (mut verification, mut evidence) = (new_verification(sides.level), Evidence::default());
    let (keys, compared) = compare_rows(sides, of_source, of_target, &mut problems, &mut warnings).await;
    let definitions = compare_definitions(sides, of_source, of_target);
    let compared = compared.and_then(|answer| Ok((answer, definitions?)));
    match compared {
        Ok((answer, differing)) => {
            judge(of_source, &answer, &mut problems);
            problems.extend(differing);
            evidence.verified = problems.is_empty().then_some(sides.level);
            answer.record(&mut verification, &mut evidence);
        }
        Err(_) if sides.cancel.is_cancelled() => {}
        Err(ReadError::Repair(error)) => {
            problems.push(
                Problem::new(Code::RepairFailed).with("collection", name).told("detail", words_of(&*error)),
            );
        }
        Err(error) => problems
            .push(Problem::new(Code::NotVerified).with("collection", name).told("detail", words_of(&error))),
    }
    // Only what was compared to its end, and found equal, passed.
    verification.passed = evidence.verified == Some(sides.level) && !sides.cancel.is_cancelled();
    let phase = match (verification.passed, problems.is_empty()) {
        (true, _) => Phase::Done,
        (false, true) => Phase::Canceled,
        (false, false) => Phase::Failed,
    };
    enter(phase);
    let report = CollectionReport {
        source_db: name.db.clone(),
        collection: name.name.clone(),
        target_db: of_target.described.name.db.clone(),
        phase,
        rows: verification.target_rows,
        bytes: 0,
        copy_seconds: 0.0,
        seconds: started.elapsed().as_secs_f64(),
        partitions: Vec::new(),
        verification: Some(verification),
        indexes: Vec::new(),
        aliases: of_target.aliases.clone(),
        changes: Vec::new(),
        loaded: of_target.load.is_complete(),
        source_load: None,
        created: false,
        quarantined: 0,
        keys,
        drift: None,
        caught_up: None,
        evidence,
    };
    Ended { report, before: None, problems, warnings, looked_at: None, is_put_off: false }
}

/// Compares the rows in the way that fits the collection, and tells whether that was by their keys.
async fn compare_rows(
    sides: &Sides<'_>,
    of_source: &Found,
    of_target: &Found,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) -> (Keys, Result<Answer, ReadError>) {
    let name = &of_source.described.name;
    let compared = match Box::pin(compare_without_keys(sides, of_source, of_target)).await {
        Ok(Some(answer)) => {
            warnings.push(Problem::new(Code::ComparedWithoutKeys).with("collection", name));
            return (Keys::Regenerated, Ok(answer));
        }
        Ok(None) if sides.level == VerifyLevel::Full && is_readable(sides, of_source, of_target) => {
            Box::pin(compare_every_row(sides, of_source, of_target, problems, warnings)).await
        }
        Ok(None) => Box::pin(compare_sample(sides, of_source, of_target, problems, warnings)).await,
        Err(error) => Err(error),
    };
    (Keys::Copied, compared)
}

/// What differs in the rows.
fn judge(of_source: &Found, answer: &Answer, problems: &mut Vec<Problem>) {
    let name = &of_source.described.name;
    let Answer { source, target, outcome, duplicates, .. } = answer;
    if !outcome.changed.is_empty() {
        problems.push(changed(name, outcome));
    }
    problems.extend(outcome.problems.iter().cloned());
    problems.extend(rows_elsewhere(name, &partitions(of_source), target));
    if problems.is_empty() && source.whole != target.whole + duplicates {
        let problem = Problem::new(Code::RowsDiffer).with("collection", name);
        let (source, target) = (source.whole, target.whole);
        let detail = Told::both(
            format!("{source} / {target} rows, {duplicates} of them duplicates"),
            format!("{source} / {target} 行，其中 {duplicates} 行重复"),
        );
        problems.push(problem.told("detail", detail));
    }
}

/// What a comparison answers beside problems and warnings.
struct Answer {
    source: CountedRows,
    target: CountedRows,
    outcome: Outcome,
    duplicates: u64,
    repair: Option<RepairReport>,
}

impl Answer {
    /// Writes it down as what was compared, and as facts.
    fn record(self, verification: &mut Verification, evidence: &mut Evidence) {
        let Self { source, target, outcome, duplicates, repair } = self;
        verification.source_rows = source.sum();
        verification.target_rows = outcome.target_rows;
        verification.counts_compared = outcome.counts_compared;
        verification.rows_compared = outcome.rows_compared;
        verification.duplicate_rows = duplicates;
        (verification.findings, verification.repair) = (outcome.findings, repair);
        (evidence.source_after, evidence.target) = (Some(source), Some(target));
        evidence.duplicate_rows = Some(duplicates);
    }
}

/// Counts both sides whole while they are loaded.
async fn count_both(
    of_source: &Found,
    of_target: &Found,
    source: &Reader,
    target: &Reader,
) -> Result<(CountedRows, CountedRows), ReadError> {
    let named = named_partitions(of_source, of_target);
    // As of now: a repair may have written a moment ago.
    let (source, target) = (source.clone().fresh().await?, target.clone().fresh().await?);
    Ok((source.count_all(&named).await?, target.count_all(&named).await?))
}

/// The partitions of both sides; none where one of them cannot name any.
fn named_partitions(of_source: &Found, of_target: &Found) -> Vec<String> {
    let (source, target) = (partitions(of_source), partitions(of_target));
    if source.is_empty() || target.is_empty() {
        return Vec::new();
    }
    source.into_iter().chain(target).collect::<BTreeSet<_>>().into_iter().collect()
}
