//! A map of a bounded size: what was put longest ago leaves first.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

pub(super) struct Recent<K, V> {
    limit: usize,
    puts: u64,
    /// Each value with the number of its put.
    values: HashMap<K, (u64, V)>,
    by_put: BTreeMap<u64, K>,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, puts: 0, values: HashMap::new(), by_put: BTreeMap::new() }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key).map(|(_, value)| value)
    }

    /// Sets a value, which becomes the newest.
    pub(super) fn put(&mut self, key: K, value: V) {
        self.remove(&key);
        while self.values.len() >= self.limit {
            let Some((_, oldest)) = self.by_put.pop_first() else { break };
            self.values.remove(&oldest);
        }
        self.puts += 1;
        self.values.insert(key, (self.puts, value));
        self.by_put.insert(self.puts, key);
    }

    pub(super) fn remove(&mut self, key: &K) {
        if let Some((put, _)) = self.values.remove(key) {
            self.by_put.remove(&put);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_longest_ago_leaves() {
        let mut recent = Recent::new(2);
        recent.put('a', 1);
        recent.put('b', 2);
        recent.put('a', 3);
        recent.put('c', 4);
        assert_eq!((recent.get(&'a'), recent.get(&'b'), recent.get(&'c')), (Some(&3), None, Some(&4)));
        recent.remove(&'a');
        recent.put('d', 5);
        assert_eq!((recent.get(&'c'), recent.get(&'d'), recent.len()), (Some(&4), Some(&5), 2));
        assert_eq!(recent.by_put.len(), 2);
    }
}
