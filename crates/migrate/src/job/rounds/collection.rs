//! One collection in a round behind the warm copy: compared by spans, mended, and what that came to recorded.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use vecferry_milvus::{Key, KeyRange};
use vecferry_store::EqualSpan;

use super::recording::{Marks, MarksOf, Recorder, is_within};
use super::writer::{Mended, RoundWriter};
use crate::cluster::flush::flush;
use crate::copy::{Budget, Pace};
use crate::plan::Keys;
use crate::problem::{Side, Told, Worded, canceled, words_of};
use crate::read::{CountedRows, ReadError, Reader, key_of};
use crate::verify::Layout;
use crate::verify::mend::{AgainRange, MendError, MendFacts, MendTuning, MendWith, Mender, ToMend};
use crate::verify::spans::{
    Differing, Mark, SpanComparison, SpanTuning, SpannedPart, Spans, SpansOutcome, UnfitMarks, Writers,
};

/// Name of the fact that this records.
pub(super) const FACT_COMPARED: &str = "compared";

/// How often a collection is compared once more because more rows are to be removed than are held.
const AGAIN_MAX: u32 = 1000;

/// A partition, or everything where partitions can't be named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RoundPart {
    pub(super) partition: Option<String>,
    pub(super) in_source: bool,
    pub(super) in_target: bool,
}

/// How a round compares and mends.
#[derive(Clone, Debug, Default)]
pub(super) struct RoundTuning {
    pub(super) spans: SpanTuning,
    pub(super) mend: MendTuning,
}

/// Both sides of a collection in a round. Both are loaded, and all partitions of the source are on the target.
pub(super) struct RoundPair<'a> {
    pub(super) of: Mended<'a>,
    /// The number of the round.
    pub(super) round: u64,
    pub(super) writers: Writers,
    pub(super) keys: Keys,
    /// Of the moment as of which the source is compared.
    pub(super) source: Reader,
    pub(super) target: Reader,
    pub(super) parts: Vec<RoundPart>,
    /// Rows that the target refused, by partition and key.
    pub(super) set_aside: BTreeSet<(Option<String>, Key)>,
    pub(super) pace: &'a Pace,
    pub(super) budget: &'a Budget,
    pub(super) tuning: &'a RoundTuning,
}

/// What was seen of a collection in a round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ComparedFacts {
    /// Distinct keys of each part, on the source and on the target as it was found.
    pub(super) parts: Vec<(Option<String>, u64, u64)>,
    pub(super) spans: u64,
    /// Spans of these that an earlier attempt of the round found equal.
    pub(super) spans_known: u64,
    pub(super) bytes: u64,
    pub(super) missing: u64,
    pub(super) extra: u64,
    pub(super) changed: u64,
    pub(super) set_aside: u64,
    pub(super) mended: MendFacts,
    /// Rows of the target when everything was mended and stored.
    pub(super) target: CountedRows,
}

/// Why a collection could not be brought to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum RoundStop {
    #[error("{0}")]
    Compare(#[from] ReadError),
    #[error("{0}")]
    Mend(#[from] MendError),
    #[error("{0}")]
    Marks(#[from] UnfitMarks),
    #[error("the target has more rows that are to be removed than {0} comparisons could name")]
    TooManyExtra(u32),
    #[error("{0}")]
    Document(#[from] serde_json::Error),
    #[error("canceled")]
    Canceled,
}

impl From<vecferry_store::Error> for RoundStop {
    fn from(error: vecferry_store::Error) -> Self {
        Self::Compare(error.into())
    }
}

impl Worded for RoundStop {
    fn words(&self) -> Told {
        match self {
            Self::Compare(error) => words_of(error),
            Self::Mend(error) => words_of(error),
            Self::Marks(error) => words_of(error),
            Self::Document(error) => words_of(error),
            Self::TooManyExtra(times) => {
                crate::problem::zh(self, format!("目标集群上待删除的行过多，比对 {times} 次仍未列完"))
            }
            Self::Canceled => canceled(),
        }
    }
}

impl RoundPair<'_> {
    /// Compares everything, mends what differs, and records what was seen. Nobody else writes to the target from the
    /// first query on, because the names of all who did are taken away before.
    pub(super) async fn compare_and_mend(&self) -> Result<ComparedFacts, RoundStop> {
        let access = RoundWriter::begin(self.of).await?;
        let ended = Box::pin(self.compare_through(&access)).await;
        if ended.is_err() {
            access.try_close().await;
        }
        ended
    }

    async fn compare_through(&self, access: &RoundWriter<'_>) -> Result<ComparedFacts, RoundStop> {
        let with = MendWith {
            access,
            keys: self.keys,
            writers: self.writers,
            pace: self.pace,
            budget: self.budget,
            tuning: &self.tuning.mend,
        };
        let marks = self.marks();
        let known = marks.read().await?;
        let parts = self.spanned(&known);
        let mut mender = Mender::begin(&self.source, &self.target, &parts, with).await?;
        let mut facts = ComparedFacts::default();
        let mut todo = (known, parts);
        let (mut mended, mut all_read) = (Vec::new(), None);
        for pass in 0.. {
            let (known, parts) = todo;
            let spans = Spans::of(parts)?;
            let (to_mend, found) = ToMend::new();
            let recorder = Recorder::new(marks, &known, to_mend);
            let target =
                self.target.clone().fresh().await.map_err(|error| MendError::target(error.into()))?;
            let compared = async {
                let outcome = self.comparison(&spans, &target, &recorder).await?;
                // The mender comes to its end when it has no one to wait for.
                Ok::<_, RoundStop>((outcome, recorder.into_mended()))
            };
            let mending = async { Ok(mender.run(found).await?) };
            let ((outcome, equal), ()) = tokio::try_join!(compared, mending)?;
            facts.take(pass == 0, spans.parts(), &outcome);
            let all_read = all_read.get_or_insert(outcome.parts);
            let again = mender.finish(all_read).await?;
            // Spans whose rows are compared once more are recorded then.
            let is_done = |span: &EqualSpan| !again.iter().any(|range| range.holds(span));
            mended.extend(equal.into_iter().filter(is_done));
            if again.is_empty() {
                break;
            }
            if pass == AGAIN_MAX {
                return Err(RoundStop::TooManyExtra(AGAIN_MAX));
            }
            todo = self.again(marks.read().await?, &again);
        }
        facts.mended = mender.facts();
        if facts.mended.are_complete() && facts.mended.left + facts.mended.refused == 0 {
            self.of.store.spans_equal(self.of.attempt, self.of.position, mended).await?;
        }
        self.store_and_count(facts).await
    }

    fn marks(&self) -> Marks<'_> {
        let Mended { store, attempt, position, .. } = self.of;
        Marks { store, attempt, position, round: self.round }
    }

    fn spanned(&self, known: &MarksOf) -> Vec<SpannedPart> {
        let part = |part: &RoundPart| SpannedPart {
            partition: part.partition.clone(),
            in_source: part.in_source,
            in_target: part.in_target,
            range: KeyRange::default(),
            marks: known.get(&part.partition).cloned().unwrap_or_default(),
        };
        self.parts.iter().map(part).collect()
    }

    /// Everything but the ranges that are to be compared once more counts as compared.
    fn again(&self, known: MarksOf, again: &[AgainRange]) -> (MarksOf, Vec<SpannedPart>) {
        let mut parts = self.spanned(&known);
        for part in &mut parts {
            part.marks = match again.iter().find(|again| again.partition == part.partition) {
                None => vec![Mark { until: None, rows: 0, equal: Some(0) }],
                Some(AgainRange { range, .. }) => around(range),
            };
        }
        (known, parts)
    }

    async fn comparison(
        &self,
        spans: &Spans,
        target: &Reader,
        recorder: &Recorder<'_>,
    ) -> Result<SpansOutcome, ReadError> {
        let comparison = SpanComparison {
            layout: Layout {
                key_field: &self.source.key_field,
                columns: &self.source.columns,
                set_aside: &self.set_aside,
            },
            spans,
            writers: self.writers,
            differing: Differing::Told,
            tuning: &self.tuning.spans,
            budget: self.budget,
        };
        comparison.compare(&self.source, target, recorder).await
    }

    /// Has the target store what was written, and counts it.
    async fn store_and_count(&self, mut facts: ComparedFacts) -> Result<ComparedFacts, RoundStop> {
        let failed = |error: vecferry_milvus::Error| match self.target.cancel.is_cancelled() {
            true => RoundStop::Canceled,
            false => RoundStop::Mend(MendError::target(error.into())),
        };
        let (client, name, cancel) = (&self.target.client, &self.target.name, &self.target.cancel);
        if facts.mended.rows_sent + facts.mended.deleted > 0 {
            flush(client, Side::Target, name, cancel).await.map_err(failed)?;
        }
        let named = self.parts.iter().filter(|part| part.in_target);
        let named: Vec<_> = named.filter_map(|part| part.partition.clone()).collect();
        let target = self.target.clone().fresh().await.map_err(failed)?;
        facts.target = target.count_all(&named).await.map_err(failed)?;
        let document = serde_json::to_string(&facts)?;
        let Mended { store, attempt, position, .. } = self.of;
        store.record_round_fact(attempt, position, FACT_COMPARED, document).await?;
        Ok(facts)
    }
}

/// Marks with which only one range is compared.
fn around(range: &KeyRange) -> Vec<Mark> {
    let equal = |until: Option<Key>| Mark { until, rows: 0, equal: Some(0) };
    let mut marks = Vec::new();
    marks.extend(range.after.clone().map(|after| equal(Some(after))));
    marks.push(Mark { until: range.until.clone(), rows: 0, equal: None });
    if range.until.is_some() {
        marks.push(equal(None));
    }
    marks
}

impl AgainRange {
    fn holds(&self, span: &EqualSpan) -> bool {
        let until = span.until.as_deref().and_then(|text| key_of(text).ok());
        self.partition == span.partition && is_within(until.as_ref(), &self.range)
    }
}

impl ComparedFacts {
    fn take(&mut self, is_first: bool, parts: &[SpannedPart], outcome: &SpansOutcome) {
        if is_first {
            let rows = |(part, rows): (&SpannedPart, &crate::verify::spans::PartRows)| {
                (part.partition.clone(), rows.source, rows.target)
            };
            self.parts = parts.iter().zip(&outcome.parts).map(rows).collect();
            self.spans = outcome.spans;
            self.spans_known = outcome.spans_known;
            self.missing = outcome.rows.missing;
            self.changed = outcome.rows.changed;
            self.extra = outcome.rows.extra;
            self.set_aside = outcome.rows.set_aside;
        }
        self.bytes += outcome.bytes;
    }
}
