//! That this process lives, for others that use the same state directory: a lock that the kernel holds and lets go however the
//! process ends. So the claims of one that was killed are dead at once, and nobody has to wait until their time is over. It
//! does not know what is claimed. Processes that share a database have no directory in common, and wait.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Below the state directory.
const DIRECTORY: &str = "services";
/// Behind the name of a process.
const ENDING: &str = ".lock";
/// Files that are looked at; each start removes those of dead processes.
const FILES_MAX: usize = 10_000;

/// A living process. It is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Presence {
    _file: File,
}

/// A process that is gone, whose name nobody has again.
#[derive(Debug)]
pub(crate) struct Gone {
    pub(crate) process: String,
    path: PathBuf,
    // Held until it is dealt with, so that one process at a time does.
    _file: File,
}

impl Presence {
    /// Says that a process lives. To be called before it claims anything. None where the system has no such locks.
    pub(crate) fn of(state_directory: &Path, process: &str) -> io::Result<Option<Self>> {
        let directory = state_directory.join(DIRECTORY);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let path = directory.join(format!("{process}{ENDING}"));
        let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
        Ok(try_lock(&file)?.then_some(Self { _file: file }))
    }

    /// Processes of a state directory that are gone.
    pub(crate) fn gone(state_directory: &Path) -> io::Result<Vec<Gone>> {
        let mut gone = Vec::new();
        for entry in fs::read_dir(state_directory.join(DIRECTORY))?.take(FILES_MAX) {
            let entry = entry?;
            let name = entry.file_name();
            let Some(process) = name.to_str().and_then(|name| name.strip_suffix(ENDING)) else { continue };
            let file = match OpenOptions::new().write(true).open(entry.path()) {
                Ok(file) => file,
                // Another process has just dealt with it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if try_lock(&file)? {
                gone.push(Gone { process: process.to_owned(), path: entry.path(), _file: file });
            }
        }
        Ok(gone)
    }
}

impl Gone {
    /// Forgets it, once nothing is claimed in its name.
    pub(crate) fn forget(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

fn try_lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_gone_when_its_lock_is() {
        let directory = tempfile::tempdir().unwrap();
        let names = || {
            let gone = Presence::gone(directory.path()).unwrap();
            gone.into_iter().map(|gone| gone.process).collect::<Vec<_>>()
        };
        let first = Presence::of(directory.path(), "process-a").unwrap();
        let second = Presence::of(directory.path(), "process-b").unwrap();
        assert!(first.is_some() && second.is_some());
        assert!(names().is_empty());
        drop(first);
        assert_eq!(names(), ["process-a"]);
        let mut gone = Presence::gone(directory.path()).unwrap();
        assert!(names().is_empty(), "another process deals with it");
        gone.remove(0).forget().unwrap();
        assert!(names().is_empty());
        drop(second);
        assert_eq!(names(), ["process-b"]);
    }
}
