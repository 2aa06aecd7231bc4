//! That one process at a time works on a job.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::directory::private_file;
use crate::error::{Error, ErrorKind};

/// A lock on a job. The kernel holds it for this process and lets it go when the process ends, however it ends, so that
/// no clock is needed to tell a living process from a dead one.
#[derive(Debug)]
pub(super) struct Lease {
    _file: File,
}

impl Lease {
    pub(super) fn take(directory: &Path, job_id: &str) -> Result<Self, Error> {
        let file = lock(directory, job_id, FlockOperation::NonBlockingLockExclusive)?;
        let text = || format!("another process is running job {job_id}");
        let mut file = file.ok_or_else(|| Error::new(ErrorKind::JobIsLive, text()))?;
        let number = std::process::id().to_string();
        let written =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(number.as_bytes()));
        written.map_err(|error| Error::io(&path(directory, job_id), error))?;
        Ok(Self { _file: file })
    }

    /// Number of the process that took it last, for people.
    pub(super) fn holder(directory: &Path, job_id: &str) -> Option<u32> {
        std::fs::read_to_string(path(directory, job_id)).ok()?.parse().ok()
    }

    /// Whether a process holds it. Those who look don't disturb each other; for the moment of the look nobody can take it.
    pub(super) fn is_taken(directory: &Path, job_id: &str) -> Result<bool, Error> {
        Ok(lock(directory, job_id, FlockOperation::NonBlockingLockShared)?.is_none())
    }
}

/// `None` if another lock is in the way.
fn lock(directory: &Path, job_id: &str, how: FlockOperation) -> Result<Option<File>, Error> {
    let path = path(directory, job_id);
    // The file stays: removing it would let two processes lock two files of one name.
    let file = private_file(&path)?;
    match flock(&file, how) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(Error::io(&path, error.into())),
    }
}

fn path(directory: &Path, job_id: &str) -> PathBuf {
    directory.join(format!("{job_id}.lock"))
}
