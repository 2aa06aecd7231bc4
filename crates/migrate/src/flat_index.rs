//! Indexes that let the target be loaded for its verification, before its own are built.
//!
//! A collection can't be loaded without an index on each vector field. The build of an AUTOINDEX takes all cores of the
//! target for minutes, and a load waits beside it: 100,000 x 768 on two cores of a 2.3.5 were loaded in 15 s while it was
//! built, and in 4 s with a FLAT index, for which nothing is built. So the rows are compared with that, and the planned
//! indexes come behind the comparison. A FLAT index has a name that only its job gives: whoever goes on with the job finds
//! it, and takes it away before the planned ones are made.

use tokio_util::sync::CancellationToken;
use vecferry_milvus::schema::{Family, family, parameters};
use vecferry_milvus::{Client, Error, ErrorKind, Flavor, Index, LoadState};
use vecferry_store::JobId;

use crate::cluster::release::release;
use crate::cluster::retry::repeat;
use crate::plan::{NewIndex, PlannedCollection};

/// Metrics that a FLAT index of floats takes.
const METRICS: [&str; 3] = ["L2", "IP", "COSINE"];

/// The name of the FLAT index of a field; none is given twice in a collection.
fn name(job_id: &JobId, at: usize) -> String {
    format!("vf_{}_flat_{at}", job_id.as_str().replace('-', ""))
}

fn is_of(job_id: &JobId, index: &Index) -> bool {
    index.name.starts_with(&format!("vf_{}_flat_", job_id.as_str().replace('-', "")))
}

/// The FLAT indexes with which the target can be loaded; none where another way is better, or the only one: not all of its
/// vectors are floats, or a real server of its release was not seen to take an index away again.
fn wanted(target: &Client, planned: &PlannedCollection, job_id: &JobId) -> Vec<NewIndex> {
    let version = target.version();
    let is_seen = version.flavor == Flavor::Milvus && version.at_least(2, 3) && !version.at_least(2, 6);
    if !is_seen {
        return Vec::new();
    }
    let metric_of = |field: &str| {
        let index = planned.indexes.iter().find(|index| index.field == field)?;
        let metric = index.params.iter().find(|(key, _)| key == "metric_type")?;
        METRICS.contains(&metric.1.as_str()).then(|| metric.1.clone())
    };
    let vectors = planned.described.schema.vector_fields();
    let one = |(at, vector): (usize, &vecferry_milvus::schema::FieldSpec)| {
        let metric = match family(vector.data_type) {
            Family::Dense { bits: 32 } => metric_of(&vector.name)?,
            Family::Dense { .. }
            | Family::Sparse
            | Family::Fixed(_)
            | Family::Text
            | Family::Json
            | Family::Array
            | Family::Nested => return None,
        };
        let params = vec![("index_type".to_owned(), "FLAT".to_owned()), ("metric_type".to_owned(), metric)];
        Some(NewIndex { name: name(job_id, at), field: vector.name.clone(), params, instead: None })
    };
    vectors.iter().enumerate().map(one).collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// Whether a target can be loaded this way.
pub(crate) fn is_wanted(target: &Client, planned: &PlannedCollection, job_id: &JobId) -> bool {
    !wanted(target, planned, job_id).is_empty()
}

/// Makes them. Tells whether they are there: not where an earlier attempt has begun the planned ones, or the target takes
/// none, or does not let its user take an index away again. Some may be there all the same, for [`remove`].
pub(crate) async fn create(
    target: &Client,
    planned: &PlannedCollection,
    job_id: &JobId,
    cancel: &CancellationToken,
) -> Result<bool, Error> {
    let refuses =
        |kind| matches!(kind, ErrorKind::PermissionDenied | ErrorKind::Unsupported | ErrorKind::Rejected);
    let wanted = wanted(target, planned, job_id);
    let existing = repeat(cancel, || target.indexes(&planned.target)).await?;
    for index in &wanted {
        if let Some(existing) = existing.iter().find(|existing| existing.field == index.field) {
            if existing.name == index.name {
                continue;
            }
            return Ok(false);
        }
        let params = || parameters(&index.params);
        let made = async {
            // Whoever may not take an index away does not make one for a while.
            repeat(cancel, || target.drop_index(&planned.target, &index.field, &index.name)).await?;
            let make = || target.create_index(&planned.target, &index.field, &index.name, params());
            repeat(cancel, make).await
        };
        match made.await {
            Err(error) if refuses(error.kind()) => return Ok(false),
            made => made?,
        }
    }
    Ok(!wanted.is_empty())
}

/// Takes away those that this or an earlier attempt of the job made; the collection is released for it, if it is loaded.
pub(crate) async fn remove(
    target: &Client,
    planned: &PlannedCollection,
    job_id: &JobId,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let name = &planned.target;
    let existing = repeat(cancel, || target.indexes(name)).await?;
    let left: Vec<_> = existing.iter().filter(|index| is_of(job_id, index)).collect();
    if left.is_empty() {
        return Ok(());
    }
    if repeat(cancel, || target.load_state(name, None)).await? != LoadState::NotLoaded {
        repeat(cancel, || release(target, name)).await?;
    }
    for index in left {
        repeat(cancel, || target.drop_index(name, &index.field, &index.name)).await?;
    }
    Ok(())
}
