//! A page of the source, and what the target holds in its range.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use vecferry_milvus::schema::FieldSpec;
use vecferry_milvus::wire::Page;
use vecferry_milvus::wire::digest::digest;
use vecferry_milvus::wire::values::{Value, column, same_bytes};
use vecferry_milvus::{Error, ErrorKind, Key, KeyRange};

use super::pages::Pages;
use super::step::{Differing, Follow, FullOutcome, Step};
use crate::problem::{Told, found};
use crate::read::{PageSize, ReadError};

/// How often an answer may be short before that is no passing state.
const SHORT_ANSWERS_MAX: u32 = 50;

/// What both sides have in common.
#[derive(Clone, Copy)]
pub(crate) struct Layout<'a> {
    pub(crate) key_field: &'a str,
    pub(crate) columns: &'a [FieldSpec],
    /// Rows that are known to be missing on the target, by partition and key.
    pub(crate) set_aside: &'a BTreeSet<(Option<String>, Key)>,
}

/// Short answers that are still put up with.
pub(super) struct Patience(u32);

impl Patience {
    pub(super) fn new() -> Self {
        Self(SHORT_ANSWERS_MAX)
    }

    fn spend(&mut self) -> Result<(), ReadError> {
        self.0 = self.0.checked_sub(1).ok_or_else(different_results)?;
        Ok(())
    }
}

/// That a server contradicts itself is no passing state.
pub(super) fn different_results() -> Error {
    let told = Told::both(
        "the server returns different results for the same query",
        "服务对同一查询返回了不同的结果",
    );
    found(ErrorKind::Malformed, "Query", told)
}

/// How far a window was compared.
pub(super) enum Compared {
    Whole,
    /// The source has rows that its page lacks: it must be read again from here on.
    SourceWasShort {
        after: Option<Key>,
    },
}

/// A page of the source, and the range that it covers.
pub(super) struct Window<'a> {
    pub(super) layout: Layout<'a>,
    pub(super) partition: Option<&'a str>,
    pub(super) range: KeyRange,
    pub(super) page: Page,
}

impl Window<'_> {
    /// Compares the window, and tells how far that went.
    pub(super) async fn compare(
        &self,
        source: &impl Pages,
        target: &impl Pages,
        size: &mut PageSize,
        follow: &impl Follow,
        outcome: &mut FullOutcome,
        patience: &mut Patience,
    ) -> Result<Compared, ReadError> {
        let keys = self.page.all_keys(self.layout.key_field)?;
        let mut at = 0;
        let mut rest = self.range.clone();
        // In one page if it can be: then whole columns are compared.
        size.at_least(self.page.rows);
        loop {
            let theirs = target.page(self.partition, &rest, size).await?;
            let last = theirs.keys.as_ref().map(|(_, last)| last.clone());
            let their_keys = theirs.all_keys(self.layout.key_field)?;
            let mut merged = merge(&keys, at, &their_keys);
            let is_end = last.is_none() || last == self.range.until;
            if is_end {
                merged.missing.extend_from_slice(&keys[merged.at..]);
                merged.at = keys.len();
            }
            if !target.present(self.partition, &merged.missing).await?.is_empty() {
                patience.spend()?;
                continue;
            }
            if !source.present(self.partition, &merged.extra).await?.is_empty() {
                patience.spend()?;
                return Ok(Compared::SourceWasShort { after: rest.after });
            }
            at = merged.at;
            let changed = self.changed(&theirs, &merged.both)?;
            let (set_aside, missing): (Vec<_>, Vec<_>) =
                merged.missing.into_iter().partition(|key| self.is_set_aside(key));
            let mut differing = Differing { missing, extra: merged.extra, ..Differing::default() };
            self.add_changed(source, &keys, changed, &mut differing).await?;
            let until = if is_end { self.range.until.clone() } else { last };
            let step = Step {
                partition: self.partition,
                range: KeyRange { after: rest.after, until: until.clone() },
                rows_compared: merged.both.len() as u64,
                bytes: if is_end { self.page.bytes as u64 } else { 0 },
                set_aside: set_aside.len() as u64,
                differing,
            };
            outcome.take(&step);
            follow.on_step(&step).await?;
            if is_end {
                return Ok(Compared::Whole);
            }
            rest = KeyRange { after: until, until: self.range.until.clone() };
        }
    }

    /// Rows whose values differ; of a key that the source repeats, that says nothing.
    async fn add_changed(
        &self,
        source: &impl Pages,
        keys: &[Key],
        changed: BTreeMap<usize, Vec<String>>,
        differing: &mut Differing,
    ) -> Result<(), ReadError> {
        if changed.is_empty() {
            return Ok(());
        }
        let suspects = changed.keys().map(|&index| keys[index].clone()).collect();
        let single: BTreeSet<_> = source.unrepeated(self.partition, suspects).await?.into_iter().collect();
        for (index, fields) in changed {
            let key = keys[index].clone();
            if single.contains(&key) {
                differing.changed.push((key, fields));
            } else {
                differing.repeated.push(key);
            }
        }
        Ok(())
    }

    fn is_set_aside(&self, key: &Key) -> bool {
        let set_aside = self.layout.set_aside;
        !set_aside.is_empty() && set_aside.contains(&(self.partition.map(str::to_owned), key.clone()))
    }

    /// The rows of the source's page whose values differ, with the names of the fields that do.
    fn changed(
        &self,
        theirs: &Page,
        both: &[(usize, usize)],
    ) -> Result<BTreeMap<usize, Vec<String>>, ReadError> {
        let mut changed: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        if both.is_empty() {
            return Ok(changed);
        }
        let all_rows = both.len() == self.page.rows && both.len() == theirs.rows;
        for spec in self.layout.columns.iter().filter(|spec| spec.name != self.layout.key_field) {
            if all_rows && same_bytes(&self.page, theirs, spec)? {
                continue;
            }
            let (of_source, of_target) = (column(&self.page, spec)?, column(theirs, spec)?);
            for &(mine, other) in both {
                if !are_equal(&of_source[mine], &of_target[other]) {
                    changed.entry(mine).or_default().push(spec.name.clone());
                }
            }
        }
        Ok(changed)
    }
}

fn are_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Json(one), Value::Json(other)) if one == other => true,
        // By content, as servers write JSON anew.
        (Value::Json(_), Value::Json(_)) => digest(one) == digest(other),
        (one, other) => one == other,
    }
}

/// Two sorted lists of keys, the second one used up.
#[derive(Debug, Default)]
struct Merged {
    /// Indexes of the keys that stand in both.
    both: Vec<(usize, usize)>,
    missing: Vec<Key>,
    extra: Vec<Key>,
    /// Keys of the first list from here on are greater than all of the second.
    at: usize,
}

/// Keys of `mine` from `at` on against `theirs`. What is behind the last of `theirs` is not judged.
fn merge(mine: &[Key], at: usize, theirs: &[Key]) -> Merged {
    let mut merged = Merged { at, ..Merged::default() };
    for (index, key) in theirs.iter().enumerate() {
        while mine.get(merged.at).is_some_and(|of_mine| of_mine < key) {
            merged.missing.push(mine[merged.at].clone());
            merged.at += 1;
        }
        match mine.get(merged.at).map(|of_mine| of_mine.cmp(key)) {
            Some(Ordering::Equal) => {
                merged.both.push((merged.at, index));
                merged.at += 1;
            }
            Some(Ordering::Less | Ordering::Greater) | None => merged.extra.push(key.clone()),
        }
    }
    merged
}
