//! Lists of keys for one question at a time: bounded by number and by bytes, and halved where a server finds a question or
//! its answer too large. Its limits are unknown beforehand, and a key may have 65,535 bytes.

use vecferry_milvus::{ErrorKind, Key};

/// Keys in one expression.
const KEYS_MAX: usize = 256;
/// Bytes of keys in one expression, if there is more than one.
const BYTES_MAX: usize = 1 << 20;

/// Keys that are asked about, from the first to the last.
#[derive(Debug)]
pub(crate) struct Chunks<'a> {
    rest: &'a [Key],
    keys_max: usize,
}

impl<'a> Chunks<'a> {
    pub(crate) fn new(keys: &'a [Key]) -> Self {
        Self { rest: keys, keys_max: KEYS_MAX }
    }

    /// The same with fewer keys in one question.
    pub(crate) fn at_most(keys: &'a [Key], keys_max: usize) -> Self {
        Self { rest: keys, keys_max: keys_max.clamp(1, KEYS_MAX) }
    }

    /// The keys of the next question; `None` when all are answered.
    pub(crate) fn next(&self) -> Option<&'a [Key]> {
        let mut bytes = 0;
        let fit = self.rest.iter().take(self.keys_max).take_while(|key| {
            bytes += key_bytes(key);
            bytes <= BYTES_MAX
        });
        let len = fit.count().max(1).min(self.rest.len());
        (len > 0).then(|| &self.rest[..len])
    }

    /// So many of these are answered.
    pub(crate) fn answered(&mut self, keys: usize) {
        self.rest = &self.rest[keys.min(self.rest.len())..];
    }

    /// Fewer in one question from now on. `false` if there was one only.
    pub(crate) fn halve(&mut self) -> bool {
        let len = self.next().map_or(0, <[Key]>::len);
        if len > 1 {
            self.keys_max = len / 2;
        }
        len > 1
    }

    /// Whether a failure says that fewer are to be asked about, and fewer will be.
    pub(crate) fn are_halved(&mut self, failure: ErrorKind) -> bool {
        failure == ErrorKind::TooLarge && self.halve()
    }
}

fn key_bytes(key: &Key) -> usize {
    match key {
        Key::Int(_) => 20,
        Key::Text(text) => text.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lens(mut chunks: Chunks<'_>) -> Vec<usize> {
        let mut lens = Vec::new();
        while let Some(now) = chunks.next() {
            lens.push(now.len());
            chunks.answered(now.len());
        }
        lens
    }

    #[test]
    fn questions_are_bounded_by_number_and_bytes() {
        let numbers: Vec<_> = (0..600).map(Key::Int).collect();
        assert_eq!(lens(Chunks::new(&numbers)), [256, 256, 88]);
        let texts = vec![Key::Text("x".repeat(300_000)); 8];
        assert_eq!(lens(Chunks::new(&texts)), [3, 3, 2]);
        let huge = vec![Key::Text("x".repeat(2 * BYTES_MAX)); 2];
        assert_eq!(lens(Chunks::new(&huge)), [1, 1]);
        assert_eq!(lens(Chunks::new(&[])), [0_usize; 0]);
    }

    #[test]
    fn what_is_too_large_is_halved_down_to_one_key() {
        let keys: Vec<_> = (0..5).map(Key::Int).collect();
        let mut chunks = Chunks::new(&keys);
        assert!(!chunks.are_halved(ErrorKind::Rejected));
        assert!(chunks.are_halved(ErrorKind::TooLarge));
        assert_eq!(chunks.next().unwrap().len(), 2);
        assert!(chunks.are_halved(ErrorKind::TooLarge));
        assert!(!chunks.are_halved(ErrorKind::TooLarge), "one key can't be halved");
        assert_eq!(lens(chunks), [1; 5]);
    }
}
