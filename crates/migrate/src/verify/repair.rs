//! Mends what a comparison of every row found: rows that differ or are missing are copied anew, rows that the source
//! does not have are removed.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use vecferry_milvus::{ErrorKind, Key, WriteMode};

use super::by_key::{absent, delete_expression, for_deletes, insertable_rows};
use super::step::Differing;
use crate::cluster::retry::repeat;
use crate::problem::{Told, found};
use crate::read::Chunks;
use crate::read::{ReadError, Reader};

/// Rows of more bytes are read, or written, in smaller chunks.
const CHUNK_BYTES_MAX: usize = 16 << 20;

/// Decides about a row of the target, by partition and key.
pub(crate) type Allow<'a> = &'a (dyn Fn(Option<&str>, &Key) -> bool + Send + Sync);

/// Mends one collection of the target.
pub(crate) struct Repair<'a> {
    source: &'a Reader,
    target: &'a Reader,
    /// Rows that may be written or removed; the others are left as they are.
    allow: Allow<'a>,
    done: Mutex<(u64, u64)>,
}

impl<'a> Repair<'a> {
    pub(crate) fn new(source: &'a Reader, target: &'a Reader, allow: Allow<'a>) -> Self {
        Self { source, target, allow, done: Mutex::new((0, 0)) }
    }

    /// Rows written and rows deleted so far.
    pub(crate) fn done(&self) -> (u64, u64) {
        *self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, written: usize, deleted: usize) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.0 += written as u64;
        done.1 += deleted as u64;
    }

    /// Mends the rows of one step. Of a key that the source repeats nothing is touched.
    pub(crate) async fn mend(
        &self,
        partition: Option<&str>,
        in_source: bool,
        differing: &Differing,
    ) -> Result<(), ReadError> {
        // Removed first: a server that does not tell partitions apart would remove what was just written.
        self.remove(partition, in_source, &differing.extra).await?;
        let changed = differing.changed.iter().map(|(key, _)| key);
        let keys: Vec<_> = differing.missing.iter().chain(changed).cloned().collect();
        self.copy(partition, &keys).await
    }

    fn allowed(&self, partition: Option<&str>, keys: &[Key]) -> Vec<Key> {
        keys.iter().filter(|key| (self.allow)(partition, key)).cloned().collect()
    }

    /// Removes rows of the target's partition that the source's does not have; it is asked once more.
    async fn remove(&self, partition: Option<&str>, in_source: bool, keys: &[Key]) -> Result<(), ReadError> {
        let mut keys = self.allowed(partition, keys);
        if keys.is_empty() {
            return Ok(());
        }
        if in_source {
            self.source.wait_until_complete().await?;
            keys = absent(self.source, partition, &keys).await?;
        }
        for keys in for_deletes(keys) {
            let mut chunks = Chunks::new(&keys);
            while let Some(now) = chunks.next() {
                self.target.stop_if_canceled()?;
                let expression = delete_expression(self.target, now)?;
                let (client, name) = (&self.target.client, &self.target.name);
                match repeat(&self.target.cancel, || client.delete(name, partition, &expression)).await {
                    Err(error) if chunks.are_halved(error.kind()) => continue,
                    deleted => deleted?,
                }
                self.count(0, now.len());
                chunks.answered(now.len());
            }
        }
        Ok(())
    }

    /// Copies rows from the source. By upsert: it leaves one row of each key, whatever was there.
    pub(crate) async fn copy(&self, partition: Option<&str>, keys: &[Key]) -> Result<(), ReadError> {
        let keys = self.allowed(partition, keys);
        let names: Vec<_> = self.source.columns.iter().map(|column| column.name.clone()).collect();
        let mut chunks = Chunks::new(&keys);
        while let Some(now) = chunks.next() {
            self.target.stop_if_canceled()?;
            match self.copy_chunk(partition, now, &names).await {
                Ok(bytes) => {
                    if bytes > CHUNK_BYTES_MAX {
                        chunks.halve();
                    }
                    chunks.answered(now.len());
                }
                Err(ReadError::Server(error)) if chunks.are_halved(error.kind()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Returns the bytes that were copied.
    async fn copy_chunk(
        &self,
        partition: Option<&str>,
        keys: &[Key],
        names: &[String],
    ) -> Result<usize, ReadError> {
        let mut rest: BTreeSet<_> = keys.iter().cloned().collect();
        let mut bytes = 0;
        // An answer may be short; only an empty one says that the source has no more of these rows.
        while !rest.is_empty() {
            let asked: Vec<_> = rest.iter().cloned().collect();
            let (page, _) = self.source.rows_of(partition, &asked, names).await?;
            if page.rows == 0 {
                break;
            }
            if page.bytes > 2 * CHUNK_BYTES_MAX && keys.len() > 1 {
                let told =
                    Told::both("the rows are too large to be written at once", "这些行过大，无法一次写入");
                return Err(found(ErrorKind::TooLarge, "Upsert", told).into());
            }
            let found = page.all_keys(&self.source.key_field)?;
            let rows = insertable_rows(&page, &self.source.columns)?;
            let (client, name) = (&self.target.client, &self.target.name);
            repeat(&self.target.cancel, || client.write(name, partition, &rows, WriteMode::Upsert)).await?;
            self.count(rows.count, 0);
            bytes += page.bytes;
            for key in &found {
                rest.remove(key);
            }
        }
        Ok(bytes)
    }
}
