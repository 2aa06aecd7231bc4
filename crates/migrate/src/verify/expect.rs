//! What the target must hold, as the source says.

use std::collections::BTreeMap;

use vecferry_milvus::wire::digest::Digest;
use vecferry_milvus::{Key, KeyRange};

use crate::read::{Chunks, Part, ReadError, Reader};

/// Key ranges whose rows are counted where partitions can't be named.
const COUNTED_RANGES_MAX: usize = 16;

/// What the target must hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    /// Rows with distinct keys, part by part. Parts may overlap: each is a statement of its own.
    pub(crate) counts: Vec<(Part, u64)>,
    /// Rows that the source counts.
    pub(crate) source_rows: u64,
    /// Digest of every column of the sampled rows, by partition and key: two partitions may hold one key.
    pub(crate) rows: BTreeMap<Option<String>, BTreeMap<Key, Vec<Digest>>>,
}

impl Expected {
    /// Takes out what is expected of partitions that do not pass. Returns their rows.
    pub(crate) fn leave_out(&mut self, passes: impl Fn(&String) -> bool) -> u64 {
        let mut rows = 0;
        self.counts.retain(|(part, expected)| {
            let stays = part.partition.as_ref().is_none_or(&passes);
            rows += if stays { 0 } else { *expected };
            stays
        });
        self.rows.retain(|partition, _| partition.as_ref().is_none_or(&passes));
        rows
    }
}

/// Adds what the source holds in one partition to what is expected of the target. `rows` is the number of distinct
/// keys that were read from it, of which the target refuses `set_aside`; `counted` is the number of rows that it counts,
/// `keys` the sampled ones.
///
/// Returns how many of the sampled rows the source does not answer any more.
pub(crate) async fn expect(
    reader: &Reader,
    expected: &mut Expected,
    partition: Option<&str>,
    rows: u64,
    set_aside: u64,
    counted: u64,
    mut keys: Vec<Key>,
) -> Result<usize, ReadError> {
    expected.counts.push((
        Part { partition: partition.map(str::to_owned), range: KeyRange::default() },
        rows - set_aside,
    ));
    expected.source_rows += counted;
    if counted > rows {
        keys = unrepeated(reader, partition, keys).await?;
    }
    let digests = reader.digests(partition, &keys).await?;
    let gone = keys.len() - digests.len();
    expected.rows.insert(partition.map(str::to_owned), digests);
    // Without named partitions the whole is counted in ranges as well; repeated keys make the source's counts larger.
    if partition.is_none() && rows == counted && set_aside == 0 && keys.len() >= COUNTED_RANGES_MAX {
        let step = keys.len() / COUNTED_RANGES_MAX;
        let mut after = None;
        for until in keys.iter().skip(step).step_by(step).map(Some).chain([None]) {
            let range = KeyRange { after: after.clone(), until: until.cloned() };
            let part = Part { partition: None, range };
            let rows = reader.count(&part).await?;
            expected.counts.push((part, rows));
            after = until.cloned();
        }
    }
    Ok(gone)
}

/// The keys that stand for one row only. Which copy of a repeated key a lookup answers is not fixed.
pub(super) async fn unrepeated(
    reader: &Reader,
    partition: Option<&str>,
    keys: Vec<Key>,
) -> Result<Vec<Key>, ReadError> {
    let mut single = Vec::with_capacity(keys.len());
    let copies = |keys: &[Key]| reader.count_where(partition, reader.key_field.any_of(keys));
    let mut chunks = Chunks::new(&keys);
    while let Some(now) = chunks.next() {
        reader.stop_if_canceled()?;
        let counted = match copies(now).await {
            Err(error) if chunks.are_halved(error.kind()) => continue,
            counted => counted?,
        };
        if counted == now.len() as u64 {
            single.extend_from_slice(now);
        } else {
            for key in now {
                if copies(std::slice::from_ref(key)).await? == 1 {
                    single.push(key.clone());
                }
            }
        }
        chunks.answered(now.len());
    }
    Ok(single)
}
