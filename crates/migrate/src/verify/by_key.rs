//! Rows of one collection by their keys: which are there, and what an upsert or a delete of them looks like.

use std::collections::BTreeSet;

use vecferry_milvus::schema::FieldSpec;
use vecferry_milvus::wire::insert::Rows;
use vecferry_milvus::wire::rewrite::insertable;
use vecferry_milvus::wire::{Page, WireError};
use vecferry_milvus::{ErrorKind, Key};

use crate::problem::{Told, found};
use crate::read::{Chunks, ReadError, Reader, none_returned};

/// Which of some keys have a row.
pub(crate) async fn keys_present(
    reader: &Reader,
    partition: Option<&str>,
    keys: &[Key],
) -> Result<BTreeSet<Key>, ReadError> {
    let columns = [reader.key_field.to_string()];
    let mut present = BTreeSet::new();
    let mut chunks = Chunks::new(keys);
    'chunks: while let Some(now) = chunks.next() {
        let mut rest = now.to_vec();
        // An answer may be short; only an empty one says that there are no more of these rows.
        while !rest.is_empty() {
            reader.stop_if_canceled()?;
            let (page, _) = match reader.rows_of(partition, &rest, &columns).await {
                Err(ReadError::Server(error)) if chunks.are_halved(error.kind()) => continue 'chunks,
                page => page?,
            };
            let found = page.all_keys(&reader.key_field)?;
            if found.is_empty() {
                break;
            }
            let asked = rest.len();
            present.extend(found);
            rest.retain(|key| !present.contains(key));
            if rest.len() == asked {
                return Err(none_returned().into());
            }
        }
        chunks.answered(now.len());
    }
    Ok(present)
}

/// The keys of which there is no row: neither one that a query returns nor one that is only counted.
pub(crate) async fn absent(
    reader: &Reader,
    partition: Option<&str>,
    keys: &[Key],
) -> Result<Vec<Key>, ReadError> {
    let present = keys_present(reader, partition, keys).await?;
    let keys: Vec<_> = keys.iter().filter(|key| !present.contains(*key)).cloned().collect();
    let counted = |keys: &[Key]| reader.count_where(partition, reader.key_field.any_of(keys));
    let mut absent = Vec::with_capacity(keys.len());
    let mut chunks = Chunks::new(&keys);
    while let Some(now) = chunks.next() {
        let rows = match counted(now).await {
            Err(error) if chunks.are_halved(error.kind()) => continue,
            rows => rows?,
        };
        if rows == 0 {
            absent.extend_from_slice(now);
        } else {
            for key in now {
                if counted(std::slice::from_ref(key)).await? == 0 {
                    absent.push(key.clone());
                }
            }
        }
        chunks.answered(now.len());
    }
    Ok(absent)
}

/// Keys as deletes take them: a list and a bound in one expression are more than one of 2.3 takes.
pub(super) fn for_deletes(keys: Vec<Key>) -> [Vec<Key>; 2] {
    let (lowest, others) = keys.into_iter().partition(|key| *key == Key::Int(i64::MIN));
    [others, lowest]
}

/// What selects the rows of some keys for a delete.
pub(super) fn delete_expression(target: &Reader, keys: &[Key]) -> Result<String, ReadError> {
    let key_field = &target.key_field;
    let expression = key_field.expression_of(keys).ok_or_else(|| {
        let told = Told::both(
            format!(
                "rows can't be selected by the primary key `{key_field}` (a reserved word); remove them by hand"
            ),
            format!("无法按主键 `{key_field}`（保留字）选择行；请手动删除这些行"),
        );
        found(ErrorKind::Rejected, "Delete", told)
    })?;
    Ok(expression)
}

/// The rows of a page as an insert or upsert takes them.
pub(super) fn insertable_rows(page: &Page, columns: &[FieldSpec]) -> Result<Rows, WireError> {
    let mut made = Vec::with_capacity(page.columns.len());
    for column in &page.columns {
        if let Some(spec) = columns.iter().find(|spec| spec.name == column.name) {
            made.push(insertable(column, spec, page.rows)?);
        }
    }
    Ok(Rows { columns: made, count: page.rows })
}
