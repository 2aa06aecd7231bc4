//! Receive buffers that are used again.
//!
//! A page is 4 to 8 MiB. Taking that from the kernel anew for every page costs a page fault per 4 KiB, which is more
//! than all other work Vecferry does on the page.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Smallest buffer worth keeping; smaller ones are cheaper from the allocator.
const POOLED_BYTES_MIN: usize = 256 << 10;

/// Free receive buffers, at most `free_bytes_max` of them in sum.
#[derive(Debug)]
pub(crate) struct BufferPool {
    free: Mutex<Vec<Vec<u8>>>,
    free_bytes_max: usize,
}

impl BufferPool {
    pub(crate) fn new(free_bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { free: Mutex::new(Vec::new()), free_bytes_max })
    }

    /// An empty buffer that takes `len` bytes without growing.
    pub(crate) fn take(self: &Arc<Self>, len: usize) -> PooledBuffer {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        // The tightest fit, so that a small page does not occupy the buffer of a large one.
        let fit = (0..free.len())
            .filter(|&i| free[i].capacity() >= len && free[i].capacity() / 4 <= len)
            .min_by_key(|&i| free[i].capacity());
        let bytes = match fit {
            Some(i) => free.swap_remove(i),
            None => Vec::with_capacity(len),
        };
        PooledBuffer { bytes, pool: Arc::clone(self) }
    }

    fn give_back(&self, mut bytes: Vec<u8>) {
        if bytes.capacity() < POOLED_BYTES_MIN {
            return;
        }
        bytes.clear();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(bytes);
        // The oldest go first: they are of a page size that is no longer asked for.
        while free.iter().map(Vec::capacity).sum::<usize>() > self.free_bytes_max {
            free.remove(0);
        }
    }
}

/// A buffer that goes back to its pool when the last [`Bytes`] made of it is dropped.
#[derive(Debug)]
pub(crate) struct PooledBuffer {
    pub(crate) bytes: Vec<u8>,
    pool: Arc<BufferPool>,
}

impl PooledBuffer {
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for PooledBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        self.pool.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_last_slice_is_dropped() {
        let pool = BufferPool::new(64 << 20);
        let mut buffer = pool.take(1 << 20);
        buffer.bytes.extend_from_slice(&[7; 1 << 20]);
        let address = buffer.bytes.as_ptr();
        let page = buffer.freeze();
        let column = page.slice(10..20);
        drop(page);
        assert_ne!(pool.take(1 << 20).bytes.as_ptr(), address, "a slice still uses the buffer");
        drop(column);
        let again = [pool.take(1 << 20), pool.take(1 << 20)];
        assert!(again.iter().any(|buffer| buffer.bytes.as_ptr() == address && buffer.bytes.is_empty()));
    }

    #[test]
    fn free_memory_is_bounded() {
        let pool = BufferPool::new(3 << 20);
        let all: Vec<_> = (0..8).map(|_| pool.take(1 << 20)).collect();
        drop(all);
        assert!(pool.free.lock().unwrap().iter().map(Vec::capacity).sum::<usize>() <= 3 << 20);
    }
}
