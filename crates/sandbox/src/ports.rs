use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process;

use rustix::fs::{FlockOperation, flock};

use crate::Error;

/// Below the range from which the system picks ports of outgoing connections, so that a port stays free between a
/// server's death and its restart.
const FIRST_PORT: u16 = 20_000;
const BLOCK_COUNT: u16 = 750;
const BLOCK_SIZE: u16 = 16;

/// Sixteen ports for one server, kept from other sandboxes of this user by a lock for as long as this lives.
pub(crate) struct PortBlock {
    first: u16,
    _lock: File,
}

impl PortBlock {
    /// Finds a block of which every port is free.
    pub(crate) fn reserve(cache: &Path) -> Result<Self, Error> {
        let directory = cache.join("ports");
        fs::create_dir_all(&directory)
            .map_err(|cause| Error::io(format!("create the directory {}", directory.display()), cause))?;
        // Sandboxes that start at once should not all try the same block.
        let offset = (process::id() % u32::from(BLOCK_COUNT)) as u16;
        for index in 0..BLOCK_COUNT {
            let first = FIRST_PORT + (offset + index) % BLOCK_COUNT * BLOCK_SIZE;
            let path = directory.join(first.to_string());
            let lock = File::create(&path)
                .map_err(|cause| Error::io(format!("create the file {}", path.display()), cause))?;
            let is_ours = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
            if is_ours && (first..first + BLOCK_SIZE).all(is_free) {
                return Ok(Self { first, _lock: lock });
            }
        }
        Err(Error::NoFreePorts)
    }

    pub(crate) fn port(&self, index: u16) -> u16 {
        debug_assert!(index < BLOCK_SIZE);
        self.first + index
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}
