//! The proof of a collection whose keys the target made: both sides hold the same rows, each as often.

use std::collections::BTreeSet;

use vecferry_milvus::{CollectionName, Key, KeyRange};

use super::run::Job;
use crate::event::{Event, Observer};
use crate::plan::PlannedCollection;
use crate::problem::{Code, Problem, Side, Told};
use crate::read::reader;
use crate::read::{ReadError, Reader};

/// Rows of a part that are known to be missing on the target.
pub(super) type SetAside = BTreeSet<(Option<String>, Key)>;

/// One collection on both sides, loaded.
pub(super) struct Pair<'a> {
    /// Its name on the source.
    pub(super) name: &'a CollectionName,
    pub(super) source: &'a Reader,
    pub(super) target: &'a Reader,
    pub(super) parts: Vec<Option<String>>,
    pub(super) set_aside: SetAside,
    pub(super) rows_total: u64,
    pub(super) observer: &'a dyn Observer,
}

/// What a comparison came to.
#[derive(Default)]
pub(super) struct Compared {
    /// Rows of the source that the target is to hold.
    pub(super) source_rows: u64,
    pub(super) target_rows: u64,
    pub(super) problem: Option<Problem>,
}

impl Pair<'_> {
    /// Whether the first keys of any part differ: then the target made them.
    pub(super) async fn keys_differ(&self) -> Result<bool, ReadError> {
        for part in &self.parts {
            let (part, whole) = (part.as_deref(), KeyRange::default());
            let (source, target) =
                tokio::join!(self.source.first_key(part, &whole), self.target.first_key(part, &whole));
            if source? != target? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Compares all rows, part by part.
    pub(super) async fn compare(&self) -> Result<Compared, ReadError> {
        let (name, rows_total) = (self.name, self.rows_total);
        let on_page = |rows: u64, bytes: u64| {
            let collection = name.clone();
            self.observer.on_event(Event::Compared { collection, rows, bytes, rows_total });
        };
        let nobody = |_: u64, _: u64| {};
        let (mut compared, mut differing) = (Compared::default(), Vec::new());
        for partition in &self.parts {
            let part = partition.as_deref();
            let (of_source, of_target) =
                tokio::join!(self.source.multiset(part, &on_page), self.target.multiset(part, &nobody));
            let (mut of_source, of_target) = (of_source?, of_target?);
            let refused = self.set_aside.iter().filter(|(of, _)| of == partition);
            let refused: Vec<_> = refused.map(|(_, key)| key.clone()).collect();
            for fields in self.source.digests(part, &refused).await?.into_values() {
                of_source.take(self.source.without_key(fields.into_iter()));
            }
            compared.source_rows += of_source.rows;
            compared.target_rows += of_target.rows;
            if of_source != of_target {
                let place = part.unwrap_or("*");
                differing.push(format!("`{place}`: {} / {} rows", of_source.rows, of_target.rows));
            }
        }
        compared.problem = (!differing.is_empty()).then(|| {
            let problem = Problem::new(Code::RowsDiffer).with("collection", name);
            problem.told("detail", Told::items(&differing))
        });
        Ok(compared)
    }
}

/// Compares all rows after a copy, while both sides are loaded.
pub(super) async fn after_copy(
    job: &Job,
    planned: &PlannedCollection,
    target: &Reader,
    set_aside: SetAside,
) -> Result<Compared, ReadError> {
    let source = reader(Side::Source, &job.source, &planned.described, &planned.described, &job.cancel)
        .fresh()
        .await?;
    let pair = Pair {
        name: &planned.source,
        source: &source,
        target,
        parts: planned.parts(),
        set_aside,
        rows_total: planned.rows_estimate,
        observer: &*job.observer,
    };
    pair.compare().await
}
