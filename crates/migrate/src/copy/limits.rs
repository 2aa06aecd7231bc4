//! What all jobs of a process may use together, and what they may ask of one cluster.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Semaphore;
use vecferry_milvus::Endpoint;

use super::{Budget, Places, Pool};

/// Bounds of a process. Each holds for all of its jobs together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of pages that are read and not acknowledged yet. The process needs about twice that at most.
    pub in_flight_bytes_max: usize,
    /// Collections under way at once into one target, if all are small: with many it is the steps that take time, not the
    /// rows. A large one counts for eight.
    pub collections_max: u32,
    /// Inserts under way at once into one target, where it takes as many.
    pub inserts_max: usize,
    /// Collections of one source that are loaded for jobs at once.
    pub source_loads_max: u32,
    /// Collections of one target that are loaded for their verification at once, if all are small; a large one is loaded
    /// alone.
    pub target_loads_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight_bytes_max: 60 << 20,
            collections_max: 32,
            inserts_max: 6,
            source_loads_max: 64,
            target_loads_max: 16,
        }
    }
}

/// What the jobs of a process share. Clones are the same.
#[derive(Clone, Debug)]
pub struct Resources {
    limits: Limits,
    pool: Arc<Pool>,
    clusters: Arc<Mutex<HashMap<String, Weak<ClusterShare>>>>,
}

impl Resources {
    /// Nothing of it is used yet.
    pub fn new(limits: Limits) -> Self {
        let (pool, clusters) = (Pool::new(limits.in_flight_bytes_max), Arc::default());
        Self { limits, pool, clusters }
    }

    /// The bounds.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// A job's part of the memory.
    pub(crate) fn budget(&self) -> Budget {
        self.pool.budget()
    }

    /// What jobs share that work on one cluster, as long as there are any.
    pub(crate) fn cluster(&self, endpoint: &Endpoint) -> Arc<ClusterShare> {
        // Whole after every step, also after a panic of somebody else.
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters.retain(|_, share| share.strong_count() > 0);
        let address = endpoint.to_string();
        if let Some(share) = clusters.get(&address).and_then(Weak::upgrade) {
            return share;
        }
        let share = Arc::new(ClusterShare::new(&self.limits));
        clusters.insert(address, Arc::downgrade(&share));
        share
    }
}

/// What jobs share that work on one cluster.
#[derive(Debug)]
pub(crate) struct ClusterShare {
    /// Inserts under way.
    pub(crate) places: Arc<Places>,
    /// Collections under way into it.
    pub(crate) under_way: Semaphore,
    /// Its collections that are loaded to be read.
    pub(crate) source_loads: Semaphore,
    /// Its collections that are loaded to be verified. Nobody who holds one waits for [`ClusterShare::source_loads`].
    pub(crate) target_loads: Semaphore,
    /// Its collections that are loaded while they are copied: one, which keeps nobody else from a load.
    pub(crate) early_loads: Semaphore,
}

impl ClusterShare {
    fn new(limits: &Limits) -> Self {
        let semaphore = |permits: u32| Semaphore::new(permits.max(1) as usize);
        Self {
            places: Places::new(limits.inserts_max),
            under_way: semaphore(limits.collections_max),
            source_loads: semaphore(limits.source_loads_max),
            target_loads: semaphore(limits.target_loads_max),
            early_loads: semaphore(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_of_one_cluster_share_its_pace_and_others_do_not() {
        let resources = Resources::new(Limits::default());
        let at = |uri| resources.cluster(&Endpoint::parse(uri).unwrap());
        let (one, same, other) = (at("http://a:1"), at("http://a:1"), at("http://b:1"));
        assert!(Arc::ptr_eq(&one, &same) && !Arc::ptr_eq(&one, &other));
        let places = Arc::downgrade(&one.places);
        drop((one, same));
        let again = at("http://a:1");
        assert!(places.upgrade().is_none(), "a cluster that nobody works on is forgotten");
        drop(again);
    }
}
