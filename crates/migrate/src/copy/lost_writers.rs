//! Writers that lost their claims: their aliases on the target are removed before anybody else writes.

use vecferry_milvus::{Client, CollectionName};
use vecferry_store::{Store, Writer};

use super::error::CopyError;
use crate::target::{close_write_alias, write_alias};

/// Removes the names of writers that lost their claims, so that nothing that they sent lands any more.
pub(crate) async fn close_lost_writers(
    store: &dyn Store,
    target: &Client,
    name: &CollectionName,
    writer: &Writer,
) -> Result<(), CopyError> {
    let (job_id, position) = (writer.job_id(), writer.collection());
    let lost = store.lost_writers(job_id, position).await?;
    if lost.is_empty() {
        return Ok(());
    }
    for number in &lost {
        let alias = write_alias(name, job_id, position, *number);
        close_write_alias(target, name, &alias).await.map_err(CopyError::Target)?;
    }
    Ok(store.close_lost_writers(job_id, position, lost).await?)
}
