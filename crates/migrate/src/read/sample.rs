//! Keys for the random sample, drawn while the pages pass.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use vecferry_milvus::Key;
use vecferry_milvus::wire::{Page, WireError};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::key_text::key_text;

/// Least number of rows compared a partition.
const SAMPLE_ROWS_MIN: usize = 64;
/// Least number of rows compared a collection.
const SAMPLE_ROWS_PER_COLLECTION_MIN: u64 = 1000;
/// Most rows compared a collection: they are digests in memory.
const SAMPLE_ROWS_PER_COLLECTION_MAX: u64 = 100_000;

/// Rows to sample of each of some parts: together at least 1,000 and a thousandth of all, and at least 64 a part.
pub(crate) fn sample_rows(rows_estimate: u64, parts: usize) -> usize {
    let wanted = (rows_estimate / 1000).clamp(SAMPLE_ROWS_PER_COLLECTION_MIN, SAMPLE_ROWS_PER_COLLECTION_MAX);
    let per_part = usize::try_from(wanted).unwrap_or(usize::MAX).div_ceil(parts.max(1));
    // A part may hold all rows while others are empty; but thousands of parts need not take a thousand each.
    if parts <= 16 { per_part.max(1000) } else { per_part.max(SAMPLE_ROWS_MIN) }
}

/// Which rows are compared after the copy: those whose key has a small digest. No state is kept, so that it does not
/// matter how often, by which attempt or in which order pages pass.
#[derive(Clone, Debug, Default)]
pub(crate) struct SampleRule {
    seed: u64,
    /// Greatest digest that is in, by partition; none where nothing is compared.
    digest_max: BTreeMap<Option<String>, u64>,
}

impl SampleRule {
    /// About `wanted` rows of each part, given how many it holds. A tenth more is taken, since it is a matter of chance.
    pub(crate) fn new(
        seed: u64,
        parts: impl IntoIterator<Item = (Option<String>, u64)>,
        wanted: usize,
    ) -> Self {
        let share = |rows: u64| (wanted as f64 * 1.1 + 32.0) / rows.max(1) as f64;
        // The cast saturates: everything is in where there are few rows.
        let digest_max = |rows| (share(rows).min(1.0) * u64::MAX as f64) as u64;
        let digest_max = parts.into_iter().map(|(partition, rows)| (partition, digest_max(rows))).collect();
        Self { seed, digest_max: if wanted == 0 { BTreeMap::new() } else { digest_max } }
    }

    /// Whether anything is compared.
    pub(crate) fn is_on(&self) -> bool {
        !self.digest_max.is_empty()
    }

    /// The keys of a page that are in, as the store keeps them.
    pub(crate) fn of_page(
        &self,
        page: &Page,
        key_field: &str,
        partition: Option<&str>,
    ) -> Result<Vec<String>, WireError> {
        let Some(digest_max) = self.digest_max.get(&partition.map(str::to_owned)) else {
            return Ok(Vec::new());
        };
        let texts = page.all_keys(key_field)?.into_iter().map(|key| key_text(&key));
        Ok(texts.filter(|text| xxh3_64_with_seed(text.as_bytes(), self.seed) <= *digest_max).collect())
    }
}

/// A uniform sample of all keys seen (reservoir, algorithm L), and the first and the last of them.
#[derive(Clone, Debug)]
pub(crate) struct KeySample {
    keys: Vec<Key>,
    size: usize,
    seen: u64,
    /// Position of the next key that enters.
    next: u64,
    weight: f64,
    first: Option<Key>,
    last: Option<Key>,
    random: StdRng,
}

impl KeySample {
    pub(crate) fn new(size: usize, seed: u64) -> Self {
        Self {
            keys: Vec::with_capacity(size.min(1024)),
            size,
            seen: 0,
            next: 0,
            weight: 1.0,
            first: None,
            last: None,
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// Whether any of the next `rows` keys enters, so that the page's keys must be looked at.
    pub(crate) fn wants(&self, rows: usize) -> bool {
        self.size > 0 && (self.keys.len() < self.size || self.next < self.seen + rows as u64)
    }

    /// A page passed whose keys need not be looked at, or not all.
    pub(crate) fn pass(&mut self, rows: usize, bounds: (&Key, &Key), keys: impl FnOnce() -> Vec<Key>) {
        if self.first.is_none() {
            self.first = Some(bounds.0.clone());
        }
        self.last = Some(bounds.1.clone());
        let start = self.seen;
        if self.wants(rows) {
            for (position, key) in (start..).zip(keys()) {
                self.offer(position, key);
            }
        }
        self.seen = start + rows as u64;
    }

    fn offer(&mut self, position: u64, key: Key) {
        if self.keys.len() < self.size {
            self.keys.push(key);
            if self.keys.len() == self.size {
                self.next = position;
                self.draw();
            }
        } else if position == self.next {
            let place = self.random.random_range(0..self.size);
            self.keys[place] = key;
            self.draw();
        }
    }

    fn draw(&mut self) {
        let uniform = |random: &mut StdRng| random.random_range(f64::EPSILON..1.0);
        self.weight *= (uniform(&mut self.random).ln() / self.size as f64).exp();
        let skip = (uniform(&mut self.random).ln() / (1.0 - self.weight).ln()).floor();
        // The cast saturates; a skip beyond all rows never comes.
        self.next = self.next.saturating_add(skip as u64).saturating_add(1);
    }

    /// The sampled keys with the first and the last one, sorted.
    pub(crate) fn into_keys(self) -> Vec<Key> {
        if self.size == 0 {
            return Vec::new();
        }
        let mut keys = self.keys;
        keys.extend(self.first);
        keys.extend(self.last);
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(size: usize, seed: u64, pages: &[std::ops::Range<i64>]) -> Vec<i64> {
        let mut sample = KeySample::new(size, seed);
        for page in pages {
            let keys: Vec<_> = page.clone().map(Key::Int).collect();
            let bounds = (keys[0].clone(), keys[keys.len() - 1].clone());
            sample.pass(keys.len(), (&bounds.0, &bounds.1), || keys);
        }
        let value = |key| if let Key::Int(value) = key { value } else { unreachable!() };
        sample.into_keys().into_iter().map(value).collect()
    }

    #[test]
    fn few_rows_are_all_taken_and_the_ends_always() {
        assert_eq!(drawn(10, 1, &[0..3, 3..5]), [0, 1, 2, 3, 4]);
        let keys = drawn(10, 1, &[0..1000, 1000..5000]);
        assert!(keys.len() >= 10 && keys[0] == 0 && keys[keys.len() - 1] == 4999);
        assert!(drawn(0, 1, &[0..10, 10..20]).is_empty());
    }

    #[test]
    fn every_row_has_the_same_chance() {
        let mut hits = [0u32; 100];
        for seed in 0..2000 {
            for key in drawn(10, seed, &[0..37, 37..100]) {
                hits[key as usize] += 1;
            }
        }
        // 200 hits are expected for each but the two ends, which are always there.
        assert!(hits[1..99].iter().all(|hits| (130..270).contains(hits)), "{hits:?}");
    }
}
