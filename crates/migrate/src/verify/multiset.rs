//! Rows without their keys: where the target makes new keys, all that can be compared is whether both sides hold the same
//! rows, each as often.
//!
//! The digests of all rows are added up, so that their order says nothing and equal rows count. Sums of 128 bits over
//! digests of 128 bits: that two different lots of rows have one sum by chance is out of the question; this is no
//! protection against somebody who looks for such lots.

use vecferry_milvus::KeyRange;
use vecferry_milvus::wire::digest::{Digest, digest};
use vecferry_milvus::wire::values::rows as values_of;
use xxhash_rust::xxh3::Xxh3;

use super::full::PAGE_BYTES_TARGET;
use crate::read::{PageSize, ReadError, Reader};

/// Some rows, in no order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Multiset {
    /// How many there are.
    pub(crate) rows: u64,
    sum: u128,
}

impl Multiset {
    /// Adds a row, by the digests of its fields.
    pub(crate) fn add(&mut self, fields: impl Iterator<Item = Digest>) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(of_row(fields));
    }

    /// Takes a row away.
    pub(crate) fn take(&mut self, fields: impl Iterator<Item = Digest>) {
        self.rows = self.rows.saturating_sub(1);
        self.sum = self.sum.wrapping_sub(of_row(fields));
    }
}

fn of_row(fields: impl Iterator<Item = Digest>) -> u128 {
    let mut hasher = Xxh3::new();
    fields.for_each(|field| hasher.update(&field.to_le_bytes()));
    hasher.digest128()
}

impl Reader {
    /// All rows of a part, without their keys. Told of each page: rows and bytes.
    pub(crate) async fn multiset(
        &self,
        partition: Option<&str>,
        on_page: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<Multiset, ReadError> {
        let mut size = PageSize::new(&self.columns, PAGE_BYTES_TARGET);
        let mut range = KeyRange::default();
        let mut found = Multiset::default();
        loop {
            self.stop_if_canceled()?;
            let page = self.page(partition, &range, &mut size).await?;
            let Some((_, last)) = page.keys.clone() else { return Ok(found) };
            for row in values_of(&page, &self.columns)? {
                found.add(self.without_key(row.iter().map(digest)));
            }
            on_page(page.rows as u64, page.bytes as u64);
            range.after = Some(last);
        }
    }

    /// The digests of a row's fields but the key.
    pub(crate) fn without_key(&self, fields: impl Iterator<Item = Digest>) -> impl Iterator<Item = Digest> {
        let columns = self.columns.iter().zip(fields);
        columns.filter(|(column, _)| column.name != *self.key_field).map(|(_, digest)| digest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(rows: &[Vec<u128>]) -> Multiset {
        let mut all = Multiset::default();
        rows.iter().for_each(|row| all.add(row.iter().copied()));
        all
    }

    proptest! {
        #[test]
        fn order_says_nothing_and_every_other_change_shows(
            rows in prop::collection::vec(prop::collection::vec(any::<u128>(), 3), 1..20),
            at: prop::sample::Index,
            bit in 0..128_u32,
        ) {
            let all = of(&rows);
            let mut reversed = rows.clone();
            reversed.reverse();
            prop_assert_eq!(of(&reversed), all);

            let at = at.index(rows.len());
            let mut flipped = rows.clone();
            flipped[at][1] ^= 1 << bit;
            prop_assert_ne!(of(&flipped), all);
            let mut swapped = rows.clone();
            swapped[at].swap(0, 2);
            prop_assert!(swapped == rows || of(&swapped) != all);

            let mut twice = rows.clone();
            twice.push(rows[at].clone());
            prop_assert_ne!(of(&twice), all);
            let mut less = all;
            less.take(rows[at].iter().copied());
            let mut fewer = rows.clone();
            fewer.remove(at);
            prop_assert_eq!(less, of(&fewer));
        }
    }
}
