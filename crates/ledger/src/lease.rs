//! That one process at a time works on a job.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::error::{Error, ErrorKind};

/// A lock on a job. The kernel holds it for this process and lets it go when the process ends, however it ends, so that
/// no clock is needed to tell a living process from a dead one.
#[derive(Debug)]
pub struct Lease {
    _file: File,
}

impl Lease {
    pub(crate) fn take(directory: &Path, job_id: &str) -> Result<Self, Error> {
        let file = lock(directory, job_id, FlockOperation::NonBlockingLockExclusive)?;
        let text = || format!("another process works on job {job_id}");
        Ok(Self { _file: file.ok_or_else(|| Error::new(ErrorKind::JobIsLive, text()))? })
    }

    /// Whether a process holds it. Those who look don't disturb each other; for the moment of the look nobody can take it.
    pub(crate) fn is_taken(directory: &Path, job_id: &str) -> Result<bool, Error> {
        Ok(lock(directory, job_id, FlockOperation::NonBlockingLockShared)?.is_none())
    }
}

/// `None` if another lock is in the way.
fn lock(directory: &Path, job_id: &str, how: FlockOperation) -> Result<Option<File>, Error> {
    let path = path(directory, job_id);
    // The file stays: removing it would let two processes lock two files of one name.
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| Error::io(&path, error))?;
    match flock(&file, how) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(Error::io(&path, error.into())),
    }
}

fn path(directory: &Path, job_id: &str) -> PathBuf {
    directory.join(format!("{job_id}.lock"))
}
