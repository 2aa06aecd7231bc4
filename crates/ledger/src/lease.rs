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
        let path = path(directory, job_id);
        // The file stays: removing it would let two processes lock two files of one name.
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| Error::io(&path, error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let text = format!("another process works on job {job_id}");
                Err(Error::new(ErrorKind::JobIsLive, text))
            }
            Err(error) => Err(Error::io(&path, error.into())),
        }
    }
}

fn path(directory: &Path, job_id: &str) -> PathBuf {
    directory.join(format!("{job_id}.lock"))
}
