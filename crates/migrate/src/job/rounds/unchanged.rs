//! Spans that the last round found equal, and that need not be read again if a user allows it: both sides hold the keys that
//! they held then, and rows at random have the same values. Rows that come or go are always seen so; a row that was updated
//! is seen only by chance.

use futures_util::{StreamExt, TryStreamExt, stream};
use rand::seq::IndexedRandom;
use vecferry_milvus::{Key, KeyRange};

use super::collection::{RoundPair, RoundStop};
use super::recording::Marks;
use crate::read::{ReadError, Reader};
use crate::verify::spans::{Span, SpannedPart, Spans};

/// Rows of a span of which the values are compared.
const SAMPLES: usize = 4;
/// Spans that are looked at, at once.
const SPANS_PARALLEL: usize = 6;

impl RoundPair<'_> {
    /// Takes spans for equal that a former round found to be so, and of which nothing shows that they changed since. Returns
    /// the rows of these.
    pub(super) async fn take_unchanged(
        &self,
        parts: &mut [SpannedPart],
        round: u64,
    ) -> Result<u64, RoundStop> {
        let known = Marks { round, ..self.marks() }.read().await?;
        let trusted = self.spanned(&known);
        let spans = Spans::of(trusted)?;
        let target = self.fresh_target().await?;
        let candidates = spans.all().iter().filter(|span| span.equal.is_some());
        let looks: Vec<_> = candidates
            .map(|span| {
                let (partition, target) = (self.parts[span.part].partition.as_deref(), &target);
                async move {
                    let is_unchanged = is_unchanged(&self.source, target, partition, span).await?;
                    Ok::<_, ReadError>(is_unchanged.then_some(span))
                }
            })
            .collect();
        let looked: Vec<Option<&Span>> =
            stream::iter(looks).buffer_unordered(SPANS_PARALLEL).try_collect().await?;
        let mut rows = 0;
        for span in looked.into_iter().flatten() {
            let marks = parts.get_mut(span.part).into_iter().flat_map(|part| &mut part.marks);
            for mark in marks.filter(|mark| mark.until == span.range.until) {
                mark.equal = span.equal;
                rows += span.equal.unwrap_or_default();
            }
        }
        Ok(rows)
    }
}

/// Whether both sides hold the same keys, as many as then, and rows of these at random are equal.
async fn is_unchanged(
    source: &Reader,
    target: &Reader,
    partition: Option<&str>,
    span: &Span,
) -> Result<bool, ReadError> {
    let (mine, theirs) =
        tokio::try_join!(all_keys(source, partition, &span.range), all_keys(target, partition, &span.range))?;
    if mine != theirs || Some(mine.len() as u64) != span.equal {
        return Ok(false);
    }
    let picked: Vec<Key> = mine.choose_multiple(&mut rand::rng(), SAMPLES).cloned().collect();
    let (mine, theirs) =
        tokio::try_join!(source.digests(partition, &picked), target.digests(partition, &picked))?;
    Ok(mine.len() == picked.len() && mine == theirs)
}

/// The keys of a range, in order, each once.
async fn all_keys(reader: &Reader, partition: Option<&str>, range: &KeyRange) -> Result<Vec<Key>, ReadError> {
    let (mut all, mut range) = (Vec::new(), range.clone());
    loop {
        let mut keys = reader.keys(partition, &range).await?;
        keys.dedup();
        let Some(last) = keys.last().cloned() else { return Ok(all) };
        all.append(&mut keys);
        if range.until.as_ref() == Some(&last) {
            return Ok(all);
        }
        range.after = Some(last);
        reader.stop_if_canceled()?;
    }
}
