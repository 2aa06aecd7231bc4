//! Indexes that let the target be loaded for its verification, before its own are built.
//!
//! A collection can't be loaded without an index on each vector field. The build of an AUTOINDEX takes all cores of the
//! target for minutes, and a load waits beside it: 100,000 x 768 on two cores of a 2.3.5 were loaded in 15 s while it was
//! built, and in 4 s with a FLAT index, for which nothing is built. So the rows are compared with that, and the planned
//! indexes come behind the comparison. A FLAT index has a name that only its job gives: whoever goes on with the job finds
//! it, and takes it away before the planned ones are made.

use tokio_util::sync::CancellationToken;
use vecferry_milvus::schema::{Family, family, parameters};
use vecferry_milvus::{Client, Error, ErrorKind, Flavor, Index};
use vecferry_store::JobId;

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
    let is_seen = version.flavor == Flavor::Milvus && version.at_least(2, 3) && !version.at_least(2, 4);
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

/// Makes them, if they are what the target is best loaded with. Tells whether they are there.
pub(crate) async fn create(
    target: &Client,
    planned: &PlannedCollection,
    job_id: &JobId,
    cancel: &CancellationToken,
) -> Result<bool, Error> {
    let wanted = wanted(target, planned, job_id);
    if wanted.is_empty() {
        return Ok(false);
    }
    let existing = repeat(cancel, || target.indexes(&planned.target)).await?;
    for index in wanted {
        match existing.iter().find(|existing| existing.field == index.field) {
            Some(existing) if existing.name == index.name => {}
            // An earlier attempt has begun the planned ones.
            Some(_) => return Ok(false),
            None => {
                // Whoever may not take an index away does not make one for a while.
                match target.drop_index(&planned.target, &index.field, &index.name).await {
                    Err(error)
                        if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) =>
                    {
                        return Ok(false);
                    }
                    answered => answered?,
                }
                let params = || parameters(&index.params);
                let made = repeat(cancel, || {
                    target.create_index(&planned.target, &index.field, &index.name, params())
                });
                made.await?;
            }
        }
    }
    Ok(true)
}

/// Takes away those that this or an earlier attempt of the job made, after the collection is released.
pub(crate) async fn remove(
    target: &Client,
    planned: &PlannedCollection,
    job_id: &JobId,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let existing = repeat(cancel, || target.indexes(&planned.target)).await?;
    let left: Vec<_> = existing.iter().filter(|index| is_of(job_id, index)).collect();
    if left.is_empty() {
        return Ok(());
    }
    repeat(cancel, || target.release_collection(&planned.target)).await?;
    for index in left {
        repeat(cancel, || target.drop_index(&planned.target, &index.field, &index.name)).await?;
    }
    Ok(())
}

/// The same, without a second try of any call.
pub(crate) async fn try_remove(
    target: &Client,
    planned: &PlannedCollection,
    job_id: &JobId,
) -> Result<(), Error> {
    let existing = target.indexes(&planned.target).await?;
    if existing.iter().any(|index| is_of(job_id, index)) {
        target.release_collection(&planned.target).await?;
    }
    for index in existing.iter().filter(|index| is_of(job_id, index)) {
        target.drop_index(&planned.target, &index.field, &index.name).await?;
    }
    Ok(())
}
