//! The proof of a collection whose keys the target made: both sides hold the same rows, each as often.

use std::collections::BTreeSet;

use vecferry_milvus::Key;

use super::{Job, reader};
use crate::event::Event;
use crate::plan::PlannedCollection;
use crate::problem::{Code, Problem};
use crate::proof::{ProofError, Reader};

/// What a comparison came to.
pub(super) struct Compared {
    /// Rows of the source.
    pub(super) rows: u64,
    pub(super) problem: Option<Problem>,
}

/// Compares all rows, part by part, while both sides are loaded. Some rows of the source are known to be missing.
pub(super) async fn compare(
    job: &Job,
    planned: &PlannedCollection,
    target: &Reader,
    set_aside: BTreeSet<(Option<String>, Key)>,
) -> Result<Compared, ProofError> {
    let source = reader(&job.source, &planned.described, &planned.described, &job.cancel).fresh().await?;
    let collection = &planned.source;
    let on_page = |rows: u64, bytes: u64| {
        let rows_total = planned.rows_estimate;
        job.observer.on_event(Event::Compared { collection: collection.clone(), rows, bytes, rows_total });
    };
    let (mut rows, mut differing) = (0, Vec::new());
    for partition in planned.parts() {
        let part = partition.as_deref();
        let nobody = |_: u64, _: u64| {};
        let (of_source, of_target) =
            tokio::join!(source.multiset(part, &on_page), target.multiset(part, &nobody));
        let (mut of_source, of_target) = (of_source?, of_target?);
        let refused: Vec<_> =
            set_aside.iter().filter(|(of, _)| *of == partition).map(|(_, key)| key.clone()).collect();
        for fields in source.digests(part, &refused).await?.into_values() {
            of_source.take(source.without_key(fields.into_iter()));
        }
        rows += of_source.rows;
        if of_source != of_target {
            let name = partition.unwrap_or_default();
            differing.push(format!("`{name}`: {} / {} rows", of_source.rows, of_target.rows));
        }
    }
    let problem = (!differing.is_empty()).then(|| {
        let problem = Problem::new(Code::RowsDiffer).with("collection", collection);
        problem.with("detail", differing.join("; "))
    });
    Ok(Compared { rows, problem })
}
