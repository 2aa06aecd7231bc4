//! The connections: one that writes, some that read, each owned by a thread.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tokio::sync::oneshot;

use super::directory::{private_file, refuse_link};
use super::schema;
use crate::error::{Error, ErrorKind};
use crate::meter::Meter;

/// How long another process may hold the file: its transactions are short.
pub(super) const BUSY_WAIT_MAX: Duration = Duration::from_secs(15);
/// Changes committed together at most.
const BATCH_MAX: usize = 64;
/// A long list is read while a copy asks for its splits.
const READERS: usize = 2;

type Reply<Answer> = Result<Answer, Error>;
/// What is to be done with a batch's outcome.
type Tell = Box<dyn FnOnce(Option<&Error>) + Send>;
/// A change, which says whether it is to be kept.
type Change = Box<dyn FnOnce(&Connection) -> (bool, Tell) + Send>;
type Look = Box<dyn FnOnce(&Connection) + Send>;

/// The threads. Gone with the last handle of the store, and the file is closed by then.
#[derive(Debug)]
pub(super) struct Connections {
    changes: Option<Sender<Change>>,
    looks: Option<Sender<Look>>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Connections {
    fn drop(&mut self) {
        (self.changes, self.looks) = (None, None);
        for thread in self.threads.drain(..) {
            // A panic in it was answered already: whoever waited got an error.
            let _ = thread.join();
        }
    }
}

impl Connections {
    /// Opens the file, and brings it to the newest version.
    pub(super) fn open(path: &Path, meter: &Arc<Meter>) -> Result<Self, Error> {
        let writer = open_to_write(path).map_err(|error| error.at(path))?;
        let (changes, queue) = channel();
        let meter = Arc::clone(meter);
        let mut threads = vec![spawn(path, "vecferry-store", move || commit_all(&writer, &queue, &meter))?];
        let (looks, queue) = channel::<Look>();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..READERS {
            let reader = open_to_read(path).map_err(|error| error.at(path))?;
            let queue = Arc::clone(&queue);
            threads.push(spawn(path, "vecferry-reads", move || read_all(&reader, &queue))?);
        }
        Ok(Self { changes: Some(changes), looks: Some(looks), threads })
    }

    pub(super) async fn read<Answer: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> Reply<Answer> + Send + 'static,
    ) -> Reply<Answer> {
        let (sender, answer) = oneshot::channel();
        let look: Look = Box::new(move |connection| {
            // Whoever asked may have been canceled.
            let _ = sender.send(look(connection));
        });
        let queue = self.looks.as_ref().ok_or_else(Error::closed)?;
        queue.send(look).map_err(|_| Error::closed())?;
        answer.await.unwrap_or_else(|_| Err(Error::closed()))
    }

    pub(super) async fn write<Answer: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> Reply<Answer> + Send + 'static,
    ) -> Reply<Answer> {
        let (sender, answer) = oneshot::channel();
        let change: Change = Box::new(move |connection| {
            let changed = change(connection);
            let keep = changed.is_ok();
            let tell: Tell = Box::new(move |failure| {
                let _ = sender.send(match failure {
                    None => changed,
                    Some(failure) => Err(failure.repeated()),
                });
            });
            (keep, tell)
        });
        let queue = self.changes.as_ref().ok_or_else(Error::closed)?;
        queue.send(change).map_err(|_| Error::closed())?;
        answer.await.unwrap_or_else(|_| Err(Error::closed()))
    }
}

fn spawn(path: &Path, name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(work).map_err(|error| Error::io(path, error))
}

fn open_to_write(path: &Path) -> Result<Connection, Error> {
    drop(private_file(path)?);
    // Made beside it with the file's own mode.
    for beside in ["-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(beside);
        refuse_link(Path::new(&name))?;
    }
    let mut connection = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_WRITE))?;
    connection.busy_timeout(BUSY_WAIT_MAX)?;
    if connection.is_readonly("main")? {
        return Err(Error::new(ErrorKind::ReadOnly, "the file can't be written").in_chinese("该文件不可写"));
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A commit is on the disk when it returns: the copy relies on it.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    schema::migrate(&mut connection)?;
    Ok(connection)
}

fn open_to_read(path: &Path) -> Result<Connection, Error> {
    // Readers of a log that is written ahead share its index, which they write to.
    let connection = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_WRITE))?;
    connection.busy_timeout(BUSY_WAIT_MAX)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

pub(super) fn flags(access: OpenFlags) -> OpenFlags {
    access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW
}

fn read_all(connection: &Connection, queue: &Mutex<Receiver<Look>>) {
    loop {
        // Held while it waits for work, not while it works.
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(look) => look(connection),
            Err(_) => return,
        }
    }
}

/// Does all changes, until the store is closed. What waits when a change is at its turn is committed with it.
fn commit_all(connection: &Connection, queue: &Receiver<Change>, meter: &Meter) {
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX
            && let Ok(next) = queue.try_recv()
        {
            batch.push(next);
        }
        commit(connection, batch, meter);
    }
}

/// One transaction for a batch. A change that fails is undone alone; a commit that fails fails all.
fn commit(connection: &Connection, batch: Vec<Change>, meter: &Meter) {
    let mut told = Vec::with_capacity(batch.len());
    let outcome = (|| -> Result<(), Error> {
        let transaction = rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        for change in batch {
            transaction.execute_batch("SAVEPOINT change")?;
            let (keep, tell) = change(&transaction);
            told.push(tell);
            transaction.execute_batch(if keep {
                "RELEASE change"
            } else {
                "ROLLBACK TO change; RELEASE change"
            })?;
        }
        Meter::committing();
        transaction.commit()?;
        meter.committed();
        Ok(())
    })();
    for tell in told {
        tell(outcome.as_ref().err());
    }
}
