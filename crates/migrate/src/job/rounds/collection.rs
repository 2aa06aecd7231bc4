//! One collection in a round behind the warm copy: compared by spans, mended, and what that came to recorded.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use vecferry_milvus::{Key, KeyRange};
use vecferry_store::EqualSpan;

use super::recording::{Marks, MarksMax, MarksOf, Recorder, is_within};
use super::writer::{Mended, RoundWriter};
use crate::cluster::flush::flush;
use crate::cluster::retry::sleep;
use crate::copy::{Budget, Pace};
use crate::plan::Keys;
use crate::problem::{Side, Told, Worded, canceled, words_of};
use crate::read::{CountedRows, ReadError, Reader, key_of};
use crate::verify::mend::{AgainRange, MendError, MendFacts, MendTuning, MendWith, Mender, ToMend};
use crate::verify::spans::{
    Differing, Mark, PartRows, SpanComparison, SpanTuning, SpannedPart, Spans, SpansOutcome, UnfitMarks,
    Writers,
};
use crate::verify::{Layout, diagnose};

/// Name of the fact that this records.
pub(in crate::job) const FACT_COMPARED: &str = "compared";

/// How often a collection is compared once more because more rows are to be removed than are held.
const AGAIN_MAX: u32 = 1000;

/// How often parts are compared once more whose rows are not those that both sides count.
const ANEW_MAX: u32 = 3;

/// How often counts are made that are not what they should be.
const COUNTS_MAX: u32 = 4;

/// A partition, or everything where partitions can't be named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::job) struct RoundPart {
    pub(in crate::job) partition: Option<String>,
    pub(in crate::job) in_source: bool,
    pub(in crate::job) in_target: bool,
}

/// How a round compares and mends.
#[derive(Clone, Debug, Default)]
pub(in crate::job) struct RoundTuning {
    pub(in crate::job) spans: SpanTuning,
    pub(in crate::job) mend: MendTuning,
}

/// Both sides of a collection in a round. Both are loaded, and all partitions of the source are on the target.
pub(in crate::job) struct RoundPair<'a> {
    pub(in crate::job) of: Mended<'a>,
    /// The number of the round.
    pub(in crate::job) round: u64,
    pub(in crate::job) writers: Writers,
    /// Whether all of it is compared, also what an earlier attempt of the round found equal.
    pub(in crate::job) anew: bool,
    /// The former round of which spans that it found equal are only sampled.
    pub(in crate::job) trusted: Option<u64>,
    pub(in crate::job) keys: Keys,
    /// Of the moment as of which the source is compared.
    pub(in crate::job) source: Reader,
    pub(in crate::job) target: Reader,
    pub(in crate::job) parts: Vec<RoundPart>,
    /// Rows that the target refused, by partition and key.
    pub(in crate::job) set_aside: BTreeSet<(Option<String>, Key)>,
    pub(in crate::job) pace: &'a Pace,
    pub(in crate::job) budget: &'a Budget,
    pub(in crate::job) tuning: &'a RoundTuning,
    /// Is told of rows that were compared, and their bytes on one side.
    pub(in crate::job) progress: &'a (dyn Fn(u64, u64) + Send + Sync),
}

/// What was seen of a collection in a round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::job) struct ComparedFacts {
    /// Distinct keys of each part, on the source and on the target as it was found.
    pub(in crate::job) parts: Vec<(Option<String>, u64, u64)>,
    pub(in crate::job) spans: u64,
    /// Spans of these that an earlier attempt of the round found equal.
    pub(in crate::job) spans_known: u64,
    /// Rows of spans that were only sampled, because a former round found them equal.
    #[serde(default)]
    pub(in crate::job) rows_trusted: u64,
    pub(in crate::job) bytes: u64,
    pub(in crate::job) missing: u64,
    pub(in crate::job) extra: u64,
    pub(in crate::job) changed: u64,
    pub(in crate::job) set_aside: u64,
    pub(in crate::job) mended: MendFacts,
    /// Rows of the target when everything was mended and stored.
    pub(in crate::job) target: CountedRows,
}

/// Why a collection could not be brought to its end.
#[derive(Debug, thiserror::Error)]
pub(in crate::job) enum RoundStop {
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
    pub(in crate::job) async fn compare_and_mend(&self) -> Result<ComparedFacts, RoundStop> {
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
        marks.join_if_many(MarksMax::default()).await?;
        let known = marks.read().await?;
        let mut parts = self.spanned(&known);
        if self.anew {
            parts.iter_mut().flat_map(|part| &mut part.marks).for_each(|mark| mark.equal = None);
        }
        let rows_trusted = match self.trusted {
            Some(round) => self.take_unchanged(&mut parts, round).await?,
            None => 0,
        };
        let mut mender = Mender::begin(&self.source, &self.target, &parts, with).await?;
        let found = self.found_on_target().await?;
        let mut facts = ComparedFacts { rows_trusted, ..ComparedFacts::default() };
        let mut proof = Proof::new(parts.len());
        proof.written_before = access.has_written_before();
        let mut todo = (known, parts);
        for pass in 0.. {
            let (known, parts) = todo;
            let spans = Spans::of(parts)?;
            let (outcome, equal) = Box::pin(self.pass((&known, &spans), &mut mender)).await?;
            proof.read(&outcome, &mut facts);
            let again = mender.finish(&proof.rows).await?;
            // Spans whose rows are compared once more are recorded then.
            let is_done = |span: &EqualSpan| !again.iter().any(|range| range.holds(span));
            proof.mended.extend(equal.into_iter().filter(is_done));
            if !again.is_empty() {
                if pass == AGAIN_MAX {
                    return Err(RoundStop::TooManyExtra(AGAIN_MAX));
                }
                proof.whole.clear();
                todo = self.again(marks.read().await?, &again);
                continue;
            }
            self.store_written(&mender, &mut proof, &facts).await?;
            let unproven = self.unproven(&mut proof, &mender, found.as_ref()).await?;
            if unproven.is_empty() {
                break;
            }
            todo = self.anew(marks, &mut proof, unproven, &mut mender, &mut facts).await?;
        }
        facts.of_parts(&self.parts, &proof);
        facts.mended = mender.facts();
        facts.target = proof.target;
        if facts.mended.are_complete() && facts.mended.left + facts.mended.refused == 0 {
            self.of.store.spans_equal(self.of.attempt, self.of.position, proof.mended).await?;
        }
        self.record(&facts).await?;
        Ok(facts)
    }

    /// Compares some spans and mends beside that. Returns the spans that are equal when everything was mended.
    async fn pass(
        &self,
        (known, spans): (&MarksOf, &Spans),
        mender: &mut Mender<'_, RoundWriter<'_>>,
    ) -> Result<(SpansOutcome, Vec<EqualSpan>), RoundStop> {
        let (to_mend, found) = ToMend::new();
        let recorder = Recorder::new(self.marks(), known, to_mend, self.progress);
        let target = self.fresh_target().await?;
        let compared = async {
            let outcome = self.comparison(spans, &target, &recorder).await?;
            // The mender comes to its end when it has no one to wait for.
            Ok::<_, RoundStop>((outcome, recorder.into_mended()))
        };
        let mending = async { Ok(mender.run(found).await?) };
        let (ended, ()) = tokio::try_join!(compared, mending)?;
        Ok(ended)
    }

    /// Has the target store what was written, by this attempt or one before.
    async fn store_written(
        &self,
        mender: &Mender<'_, RoundWriter<'_>>,
        proof: &mut Proof,
        facts: &ComparedFacts,
    ) -> Result<(), RoundStop> {
        let MendFacts { rows_sent, deleted, .. } = mender.facts();
        let earlier = facts.spans_known > 0 || proof.written_before;
        let written = rows_sent + deleted + u64::from(earlier);
        if written > proof.stored {
            let (client, name, cancel) = (&self.target.client, &self.target.name, &self.target.cancel);
            flush(client, Side::Target, name, cancel).await.map_err(|error| self.target_failed(error))?;
            proof.stored = written;
        }
        Ok(())
    }

    /// What is to be done for parts that are not proven: all of them is compared, whatever was known to be equal.
    async fn anew(
        &self,
        marks: Marks<'_>,
        proof: &mut Proof,
        mut unproven: BTreeMap<usize, MendError>,
        mender: &mut Mender<'_, RoundWriter<'_>>,
        facts: &mut ComparedFacts,
    ) -> Result<(MarksOf, Vec<SpannedPart>), RoundStop> {
        proof.anew += 1;
        if proof.anew > ANEW_MAX
            && let Some((_, first)) = unproven.pop_first()
        {
            return Err(first.into());
        }
        self.source.wait_until_complete().await.map_err(MendError::source)?;
        self.target.wait_until_complete().await.map_err(MendError::target)?;
        // Rows that the comparison does not tell apart are taken out when a second look did not explain the count.
        if proof.anew > 1 {
            for part in unproven.keys() {
                mender.take_out_repeated_in(*part).await?;
            }
        }
        facts.extra = facts.extra.saturating_sub(mender.forget_left());
        proof.whole = unproven.into_keys().collect();
        let names: Vec<_> = proof.whole.iter().map(|part| &self.parts[*part].partition).collect();
        proof.mended.retain(|span| !names.contains(&&span.partition));
        let known = marks.read().await?;
        let mut parts = self.spanned(&known);
        for (at, part) in parts.iter_mut().enumerate() {
            match proof.whole.contains(&at) {
                true => part.marks.iter_mut().for_each(|mark| mark.equal = None),
                false => part.marks = vec![Mark { until: None, rows: 0, equal: Some(0) }],
            }
        }
        Ok((known, parts))
    }

    /// Parts of which it is not proven that the target has one row for each key of the source and no other one, with the
    /// reason. Rows that both sides have were compared, and those that were mended read again, all of them under their
    /// keys: so the target has a row too much, which it left out of its answers, where it counts one.
    async fn unproven(
        &self,
        proof: &mut Proof,
        mender: &Mender<'_, RoundWriter<'_>>,
        found: Option<&CountedRows>,
    ) -> Result<BTreeMap<usize, MendError>, RoundStop> {
        let mut expected = Vec::new();
        for (at, rows) in proof.rows.iter().enumerate() {
            let refused = mender.refused_of(at).await?;
            expected.push(rows.source.saturating_sub(rows.set_aside + refused));
        }
        let differing = |counted: &CountedRows, expected: &dyn Fn(usize) -> u64| {
            let parts = self.parts.iter().enumerate();
            let differs = |(at, part): (usize, &RoundPart)| {
                let (counted, expected) = (part.counted(counted), expected(at));
                (counted != expected).then(|| (at, part.not_accounted(Side::Target, counted, expected)))
            };
            parts.filter_map(differs).collect::<BTreeMap<_, _>>()
        };
        let mut unproven = BTreeMap::new();
        for count in 0..COUNTS_MAX {
            if count > 0 {
                sleep(self.tuning.mend.recount_interval, &self.target.cancel).await;
            }
            proof.target = self.count_target().await?;
            // Counts say nothing of a moment while writers go on: a later round compares everything.
            if found.is_none() {
                return Ok(unproven);
            }
            unproven = differing(&proof.target, &|at| expected[at]);
            if unproven.is_empty() {
                break;
            }
        }
        // A row too much may hide one that went meanwhile.
        if let Some(found) = found.filter(|_| proof.anew == 0) {
            for (at, error) in differing(found, &|at| proof.rows[at].target) {
                unproven.entry(at).or_insert(error);
            }
        }
        for at in mender.left_in() {
            let partition = self.parts[*at].partition.clone();
            unproven.entry(*at).or_insert(MendError::Contradicts(partition));
        }
        self.unproven_of_source(proof, &mut unproven).await?;
        Ok(unproven)
    }

    /// A row that the source left out of its answers, and that the target lacks, is only counted.
    async fn unproven_of_source(
        &self,
        proof: &Proof,
        unproven: &mut BTreeMap<usize, MendError>,
    ) -> Result<(), RoundStop> {
        let failed = |error: vecferry_milvus::Error| RoundStop::from(MendError::source(error.into()));
        let source = self.source.clone().fresh().await.map_err(failed)?;
        let named = self.parts.iter().filter(|part| part.in_source);
        let named: Vec<_> = named.filter_map(|part| part.partition.clone()).collect();
        let counted = source.count_all(&named).await.map_err(failed)?;
        for (at, part) in self.parts.iter().enumerate().filter(|(_, part)| part.in_source) {
            let (counted, returned) = (part.counted(&counted), proof.rows[at].source);
            // Rows may end by themselves; whether somebody removed some, others look.
            if counted <= returned || unproven.contains_key(&at) {
                continue;
            }
            let surplus = diagnose(&source, part.partition.as_deref()).await.map_err(MendError::source)?;
            let expected = returned + surplus.duplicates + surplus.unreadable;
            if counted != expected {
                unproven.insert(at, part.not_accounted(Side::Source, counted, expected));
            }
        }
        Ok(())
    }

    /// What the target counts before anything is compared; nothing while writers go on.
    async fn found_on_target(&self) -> Result<Option<CountedRows>, RoundStop> {
        match self.writers {
            Writers::Stopped => self.count_target().await.map(Some),
            Writers::GoOn => Ok(None),
        }
    }

    pub(super) async fn fresh_target(&self) -> Result<Reader, RoundStop> {
        self.target.clone().fresh().await.map_err(|error| self.target_failed(error))
    }

    async fn count_target(&self) -> Result<CountedRows, RoundStop> {
        let named = self.parts.iter().filter(|part| part.in_target);
        let named: Vec<_> = named.filter_map(|part| part.partition.clone()).collect();
        let counted = self.fresh_target().await?.count_all(&named).await;
        counted.map_err(|error| self.target_failed(error))
    }

    fn target_failed(&self, error: vecferry_milvus::Error) -> RoundStop {
        match self.target.cancel.is_cancelled() {
            true => RoundStop::Canceled,
            false => RoundStop::Mend(MendError::target(error.into())),
        }
    }

    pub(super) fn marks(&self) -> Marks<'_> {
        let Mended { store, attempt, position, .. } = self.of;
        Marks { store, attempt, position, round: self.round }
    }

    pub(super) fn spanned(&self, known: &MarksOf) -> Vec<SpannedPart> {
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

    /// What this attempt saw. What an earlier one of the round recorded stays beside it.
    async fn record(&self, facts: &ComparedFacts) -> Result<(), RoundStop> {
        let Mended { store, attempt, position, .. } = self.of;
        let (name, document) =
            (format!("{FACT_COMPARED}-{}", attempt.number()), serde_json::to_string(facts)?);
        store.record_round_fact(attempt, position, &name, document).await?;
        Ok(())
    }
}

impl RoundPart {
    /// Its rows among all that a side counts.
    fn counted(&self, counted: &CountedRows) -> u64 {
        match &self.partition {
            Some(name) => counted.partitions.get(name).copied().unwrap_or_default(),
            None => counted.whole,
        }
    }

    fn not_accounted(&self, side: Side, counted: u64, expected: u64) -> MendError {
        MendError::NotAccounted { side, partition: self.partition.clone(), counted, expected }
    }
}

/// What is known of the parts while they are compared.
#[derive(Debug)]
struct Proof {
    /// Parts of which all is compared in this pass.
    whole: BTreeSet<usize>,
    /// What was read of each part when all of it was compared last.
    rows: Vec<PartRows>,
    /// Spans that are equal when everything was mended.
    mended: Vec<EqualSpan>,
    /// The last count.
    target: CountedRows,
    /// How often parts were compared anew.
    anew: u32,
    /// What of the writes is stored.
    stored: u64,
    /// An earlier attempt of the round may have written.
    written_before: bool,
}

impl Proof {
    fn new(parts: usize) -> Self {
        Self {
            whole: (0..parts).collect(),
            rows: vec![PartRows::default(); parts],
            mended: Vec::new(),
            target: CountedRows::default(),
            anew: 0,
            stored: 0,
            written_before: false,
        }
    }

    fn read(&mut self, outcome: &SpansOutcome, facts: &mut ComparedFacts) {
        for part in &self.whole {
            self.rows[*part] = outcome.parts[*part];
        }
        facts.bytes += outcome.bytes;
        if self.whole.is_empty() {
            return;
        }
        if self.anew == 0 {
            (facts.spans, facts.spans_known) = (outcome.spans, outcome.spans_known);
        }
        facts.missing += outcome.rows.missing;
        facts.changed += outcome.rows.changed;
        facts.extra += outcome.rows.extra;
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
    fn of_parts(&mut self, parts: &[RoundPart], proof: &Proof) {
        let rows = |(part, rows): (&RoundPart, &PartRows)| (part.partition.clone(), rows.source, rows.target);
        self.parts = parts.iter().zip(&proof.rows).map(rows).collect();
        self.set_aside = proof.rows.iter().map(|rows| rows.set_aside).sum();
    }
}
