//! One bound for all bytes in flight of a job.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes a permit stands for: semaphores count to 2^29 or so, and nobody needs single bytes.
const UNIT_BYTES: usize = 4096;

/// Memory that pages may occupy between their reading and their acknowledgement.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    semaphore: Arc<Semaphore>,
    units: u32,
}

/// A part of the budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    permit: OwnedSemaphorePermit,
    budget: Budget,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let units = u32::try_from(bytes_max / UNIT_BYTES).unwrap_or(u32::MAX >> 4).max(1);
        Self { semaphore: Arc::new(Semaphore::new(units as usize)), units }
    }

    fn units(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).clamp(1, self.units)
    }

    /// Waits until so many bytes are free. More than the whole budget is given when nothing else is in flight.
    pub(crate) async fn take(&self, bytes: usize) -> Option<Share> {
        let permit = Arc::clone(&self.semaphore).acquire_many_owned(self.units(bytes)).await.ok()?;
        Some(Share { permit, budget: self.clone() })
    }
}

impl Share {
    /// Makes the share as large as the page that came, without waiting: a reader that waited here while others do the
    /// same would never end. A surplus that is not free now overshoots by less than one page a reader.
    pub(crate) fn resize(&mut self, bytes: usize) {
        let (have, want) = (self.permit.num_permits(), self.budget.units(bytes) as usize);
        if want < have {
            drop(self.permit.split(have - want));
        } else if want > have
            && let Ok(more) = Arc::clone(&self.budget.semaphore)
                .try_acquire_many_owned(u32::try_from(want - have).unwrap_or(u32::MAX))
        {
            self.permit.merge(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shares_never_exceed_the_budget_and_come_back() {
        let budget = Budget::new(10 * UNIT_BYTES);
        let mut first = budget.take(8 * UNIT_BYTES).await.unwrap();
        assert_eq!(budget.semaphore.available_permits(), 2);
        first.resize(3 * UNIT_BYTES);
        assert_eq!(budget.semaphore.available_permits(), 7);
        first.resize(100 * UNIT_BYTES);
        assert_eq!(budget.semaphore.available_permits(), 0);
        drop(first);
        assert_eq!(budget.semaphore.available_permits(), 10);
        drop(budget.take(usize::MAX).await.unwrap());
        assert_eq!(budget.semaphore.available_permits(), 10);
    }
}
