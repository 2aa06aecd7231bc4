//! What was mended, read again: with the values that were sent, once and where it belongs.

use std::collections::{BTreeMap, BTreeSet};

use vecferry_milvus::wire::digest::Digest;
use vecferry_milvus::{Key, KeyRange};

use super::{MendError, Mender, Place, Unread, Wanted, WriteAccess};
use crate::read::ReadError;
use crate::verify::by_key::{absent, keys_present};
use crate::verify::expect::unrepeated;
use crate::verify::spans::Writers;

/// How often what does not arrive is mended anew.
const AGAIN_MAX: u32 = 3;

/// Rows of one part that are not as they should be.
#[derive(Debug, Default)]
struct Failing {
    /// To be copied.
    rows: BTreeMap<usize, BTreeSet<Key>>,
    /// To be removed.
    extra: BTreeMap<usize, BTreeSet<Key>>,
    places: BTreeSet<Place>,
}

impl Failing {
    fn row(&mut self, part: usize, key: &Key) {
        self.rows.entry(part).or_default().insert(key.clone());
        self.places.insert((part, key.clone()));
    }

    fn extra(&mut self, part: usize, key: &Key) {
        self.extra.entry(part).or_default().insert(key.clone());
        self.places.insert((part, key.clone()));
    }
}

impl<Access: WriteAccess> Mender<'_, Access> {
    /// Reads again what was mended, when nothing of it can be on its way any more, and mends anew what is not as it was
    /// sent. The last time it also looks for what should be nowhere.
    pub(super) async fn read_again(&mut self, is_last: bool) -> Result<(), MendError> {
        for again in 0.. {
            if self.unread.wanted.is_empty() {
                break;
            }
            self.close().await?;
            self.refresh().await?;
            let failing = self.failing(is_last).await?;
            let Some(first) = failing.places.first() else { break };
            if again == AGAIN_MAX {
                return Err(MendError::Stays { rows: failing.places.len(), first: self.shown(first) });
            }
            self.mend_again(failing).await?;
        }
        Ok(())
    }

    /// Forgets what is as it should be.
    async fn failing(&mut self, is_last: bool) -> Result<Failing, MendError> {
        let Unread { wanted, .. } = std::mem::take(&mut self.unread);
        let mut wanted = wanted.into_iter().peekable();
        let mut failing = Failing::default();
        while let Some(((part, _), _)) = wanted.peek() {
            let part = *part;
            let (mut rows, mut nothing) = (BTreeMap::new(), BTreeMap::new());
            while rows.len() + nothing.len() < self.with.tuning.keys_max
                && let Some(((_, key), wanted)) = wanted.next_if(|((of, _), _)| *of == part)
            {
                match wanted {
                    Wanted::Row(digest) => drop(rows.insert(key, digest)),
                    Wanted::Nothing { elsewhere } => drop(nothing.insert(key, elsewhere)),
                }
            }
            self.failing_rows((part, &rows), is_last, &mut failing).await.map_err(MendError::target)?;
            self.failing_deletes((part, &nothing), is_last, &mut failing).await?;
            let rows = rows.into_iter().map(|(key, digest)| (key, Wanted::Row(digest)));
            let nothing = nothing.into_iter().map(|(key, elsewhere)| (key, Wanted::Nothing { elsewhere }));
            for (key, wanted) in rows.chain(nothing) {
                let place = (part, key);
                if failing.places.contains(&place) {
                    self.unread.want(place, wanted);
                } else {
                    self.facts.read_again += 1;
                }
            }
        }
        Ok(failing)
    }

    /// Rows that are not there with their values, or more than once.
    async fn failing_rows(
        &self,
        (part, rows): (usize, &BTreeMap<Key, Digest>),
        is_last: bool,
        failing: &mut Failing,
    ) -> Result<(), ReadError> {
        if rows.is_empty() {
            return Ok(());
        }
        let partition = self.parts[part].partition.as_deref();
        let keys: Vec<_> = rows.keys().cloned().collect();
        let found = self.target.row_digests_of(partition, &keys).await?;
        let equal = keys.iter().filter(|key| found.get(*key) == rows.get(*key)).cloned().collect();
        let single = unrepeated(&self.target, partition, equal).await?;
        let fine: BTreeSet<_> = single.iter().collect();
        keys.iter().filter(|key| !fine.contains(key)).for_each(|key| failing.row(part, key));
        // Rows that had to stay elsewhere say nothing about these.
        if !is_last || partition.is_none() || self.facts.left > 0 {
            return Ok(());
        }
        let anywhere = self.target.row_digests_of(None, &single).await?;
        let mut stray: Vec<_> = single.into_iter().filter(|key| anywhere.get(key) != rows.get(key)).collect();
        for (at, other) in self.parts.iter().enumerate() {
            if at != part && other.in_source && !stray.is_empty() {
                let present = keys_present(&self.source, other.partition.as_deref(), &stray).await?;
                stray.retain(|key| !present.contains(key));
            }
        }
        stray.iter().for_each(|key| failing.row(part, key));
        Ok(())
    }

    /// Rows that are still there; and rows of their keys that are not where the source has them instead: a server that
    /// does not tell partitions apart removes these as well.
    async fn failing_deletes(
        &self,
        (part, nothing): (usize, &BTreeMap<Key, Vec<usize>>),
        is_last: bool,
        failing: &mut Failing,
    ) -> Result<(), MendError> {
        if nothing.is_empty() {
            return Ok(());
        }
        let partition = self.parts[part].partition.as_deref();
        let keys: Vec<_> = nothing.keys().cloned().collect();
        let gone = absent(&self.target, partition, &keys).await.map_err(MendError::target)?;
        let gone: BTreeSet<_> = gone.into_iter().collect();
        keys.iter().filter(|key| !gone.contains(*key)).for_each(|key| failing.extra(part, key));
        let mut homes: BTreeMap<usize, Vec<Key>> = BTreeMap::new();
        for (key, elsewhere) in nothing {
            elsewhere.iter().for_each(|home| homes.entry(*home).or_default().push(key.clone()));
        }
        for (home, keys) in homes {
            let partition = self.parts[home].partition.as_deref();
            let (mine, theirs) = tokio::join!(
                self.source.row_digests_of(partition, &keys),
                self.target.row_digests_of(partition, &keys),
            );
            let (mine, theirs) = (mine.map_err(MendError::source)?, theirs.map_err(MendError::target)?);
            let differs = |key: &&Key| match self.with.writers {
                Writers::Stopped => mine.get(*key) != theirs.get(*key),
                // It may have been written since it was compared: the next round looks at its values.
                Writers::GoOn => mine.contains_key(*key) && !theirs.contains_key(*key),
            };
            for key in keys.iter().filter(differs) {
                failing.row(home, key);
                failing.places.insert((part, key.clone()));
            }
        }
        if is_last && partition.is_some() && self.facts.left == 0 {
            let nowhere = |(key, elsewhere): (&Key, &Vec<usize>)| elsewhere.is_empty().then(|| key.clone());
            let nowhere: Vec<_> = nothing.iter().filter_map(nowhere).collect();
            let stray = keys_present(&self.target, None, &nowhere).await.map_err(MendError::target)?;
            stray.iter().for_each(|key| failing.extra(part, key));
        }
        Ok(())
    }

    /// Removed first: a server that does not tell partitions apart would remove what was just written.
    async fn mend_again(&mut self, failing: Failing) -> Result<(), MendError> {
        for (part, keys) in failing.extra {
            let keys: Vec<_> = keys.into_iter().collect();
            self.delete_keys(part, &keys).await?;
        }
        for (part, keys) in failing.rows {
            let is_new = |key: &&Key| !self.unread.wanted.contains_key(&(part, (*key).clone()));
            self.facts.besides += keys.iter().filter(is_new).count() as u64;
            let keys: Vec<_> = keys.into_iter().collect();
            self.copy_keys(part, &KeyRange::default(), &keys).await?;
        }
        Ok(())
    }
}
