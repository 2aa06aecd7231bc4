//! The connection: opened once, owned by one thread.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};
use tokio::sync::oneshot;

use crate::directory::{inside, prepare, private_file, refuse_link};
use crate::error::{Error, ErrorKind};
use crate::lease::Lease;
use crate::schema;

const FILE: &str = "ledger.sqlite3";
const LEASES: &str = "leases";
/// How long another process may hold the file: its transactions are short.
const BUSY_WAIT_MAX: Duration = Duration::from_secs(15);
/// Changes committed together at most.
const BATCH_MAX: usize = 64;

type Reply<Answer> = Result<Answer, Error>;
/// What is to be done with a batch's outcome.
type Tell = Box<dyn FnOnce(Option<&Error>) + Send>;
/// A change, which says whether it is to be kept.
type Change = Box<dyn FnOnce(&Connection) -> (bool, Tell) + Send>;

enum Work {
    /// Looks only.
    Read(Box<dyn FnOnce(&Connection) + Send>),
    /// Changes something; told the outcome when it is on the disk.
    Write(Change),
}

/// How much the ledger was used by this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time that callers waited, summed up over all callers.
    pub waited: Duration,
    /// Time during which at least one caller waited.
    pub busy: Duration,
    /// Transactions brought to the disk.
    pub commits: u64,
}

#[derive(Debug, Default)]
struct Meter {
    waited_ns: AtomicU64,
    commits: AtomicU64,
    busy: Mutex<Busy>,
}

/// Callers that wait now, and how long there has been one.
#[derive(Debug, Default)]
struct Busy {
    callers: usize,
    since: Option<Instant>,
    total: Duration,
}

impl Busy {
    fn begin(&mut self) {
        self.callers += 1;
        self.since.get_or_insert_with(Instant::now);
    }

    fn end(&mut self) {
        self.callers = self.callers.saturating_sub(1);
        if self.callers == 0 {
            self.total += self.since.take().map_or(Duration::ZERO, |since| since.elapsed());
        }
    }

    fn total(&self) -> Duration {
        self.total + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// A caller that waits for the ledger, also one that stops waiting because it is dropped.
#[derive(Debug)]
pub struct Waiting<'a> {
    meter: &'a Meter,
    since: Instant,
}

impl<'a> Waiting<'a> {
    fn begin(meter: &'a Meter) -> Self {
        meter.busy().begin();
        Self { meter, since: Instant::now() }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.meter.busy().end();
        let waited = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.meter.waited_ns.fetch_add(waited, Ordering::Relaxed);
    }
}

impl Meter {
    fn busy(&self) -> MutexGuard<'_, Busy> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ledger of a state directory. Clones share one connection.
#[derive(Clone, Debug)]
pub struct Ledger {
    owner: Arc<Owner>,
    meter: Arc<Meter>,
    directory: PathBuf,
}

/// The thread that owns the connection. Gone with the last [`Ledger`], and the file is closed by then.
#[derive(Debug)]
struct Owner {
    work: Option<Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it was answered already: whoever waited got an error.
            let _ = thread.join();
        }
    }
}

/// The right to write about a job, until a newer attempt begins or the process ends.
#[derive(Clone, Debug)]
pub struct Attempt {
    job_id: String,
    number: i64,
    _lease: Arc<Lease>,
}

impl Attempt {
    pub(crate) fn new(job_id: &str, number: i64, lease: Lease) -> Self {
        Self { job_id: job_id.to_owned(), number, _lease: Arc::new(lease) }
    }

    /// The job.
    pub fn job_id(&self) -> &str {
        &self.job_id
    }

    /// The number of the attempt, from 1.
    pub fn number(&self) -> i64 {
        self.number
    }

    /// Refuses a write of an attempt that is not the job's newest.
    pub(crate) fn check(&self, connection: &Connection) -> Result<(), Error> {
        let newest: i64 = connection
            .prepare_cached("SELECT attempt FROM jobs WHERE job_id = ?1")?
            .query_row(params![self.job_id], |row| row.get(0))?;
        if newest == self.number {
            return Ok(());
        }
        let text =
            format!("attempt {newest} of job {} began; attempt {} may not go on", self.job_id, self.number);
        Err(Error::new(ErrorKind::Superseded, text))
    }
}

impl Ledger {
    /// Opens the ledger of a state directory, and makes both if need be. For its owner only.
    ///
    /// # Errors
    /// [`ErrorKind::Exposed`], [`ErrorKind::Foreign`], [`ErrorKind::Network`], [`ErrorKind::Unusable`], [`ErrorKind::ReadOnly`], [`ErrorKind::Full`], [`ErrorKind::Corrupt`],
    /// [`ErrorKind::Newer`], [`ErrorKind::Locked`].
    pub fn open(state_dir: &Path) -> Result<Self, Error> {
        let directory = prepare(state_dir)?;
        inside(&directory, LEASES)?;
        let path = directory.join(FILE);
        let connection = open(&path).map_err(|error| error.at(&path))?;
        let meter = Arc::new(Meter::default());
        let (work, queue) = channel();
        let of_thread = Arc::clone(&meter);
        let thread = std::thread::Builder::new()
            .name("vecferry-ledger".to_owned())
            .spawn(move || serve(connection, &queue, &of_thread))
            .map_err(|error| Error::io(&path, error))?;
        let owner = Arc::new(Owner { work: Some(work), thread: Some(thread) });
        Ok(Self { owner, meter, directory: state_dir.to_owned() })
    }

    /// The state directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// How much it was used so far.
    pub fn usage(&self) -> Usage {
        Usage {
            waited: Duration::from_nanos(self.meter.waited_ns.load(Ordering::Relaxed)),
            busy: self.meter.busy().total(),
            commits: self.meter.commits.load(Ordering::Relaxed),
        }
    }

    /// The same ledger, for a caller that has other work under way: its calls count as nobody's wait. When that other
    /// work is over first, [`Ledger::waiting`] counts the rest.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self { meter: Arc::new(Meter::default()), ..self.clone() }
    }

    /// Counts as a wait for the ledger until it is dropped.
    pub fn waiting(&self) -> Waiting<'_> {
        Waiting::begin(&self.meter)
    }

    /// Where the leases of the jobs are.
    pub(crate) fn leases(&self) -> PathBuf {
        self.directory.join(LEASES)
    }

    pub(crate) async fn read<Answer: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> Reply<Answer> + Send + 'static,
    ) -> Reply<Answer> {
        let (sender, answer) = oneshot::channel();
        let work = Work::Read(Box::new(move |connection| {
            // Whoever asked may have been canceled.
            let _ = sender.send(look(connection));
        }));
        self.wait(work, answer).await
    }

    pub(crate) async fn write<Answer: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> Reply<Answer> + Send + 'static,
    ) -> Reply<Answer> {
        let (sender, answer) = oneshot::channel();
        let work = Work::Write(Box::new(move |connection| {
            let changed = change(connection);
            let keep = changed.is_ok();
            let tell: Tell = Box::new(move |failure| {
                let _ = sender.send(match failure {
                    None => changed,
                    Some(failure) => Err(failure.repeated()),
                });
            });
            (keep, tell)
        }));
        self.wait(work, answer).await
    }

    /// A write in the name of an attempt.
    pub(crate) async fn write_as<Answer: Send + 'static>(
        &self,
        attempt: &Attempt,
        change: impl FnOnce(&Connection, &Attempt) -> Reply<Answer> + Send + 'static,
    ) -> Reply<Answer> {
        let attempt = attempt.clone();
        self.write(move |connection| {
            attempt.check(connection)?;
            change(connection, &attempt)
        })
        .await
    }

    async fn wait<Answer>(&self, work: Work, answer: oneshot::Receiver<Reply<Answer>>) -> Reply<Answer> {
        let _waiting = self.waiting();
        let queue = self.owner.work.as_ref().ok_or_else(Error::closed)?;
        queue.send(work).map_err(|_| Error::closed())?;
        answer.await.unwrap_or_else(|_| Err(Error::closed()))
    }
}

fn open(path: &Path) -> Result<Connection, Error> {
    drop(private_file(path)?);
    // Made beside it with the file's own mode.
    for beside in ["-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(beside);
        refuse_link(Path::new(&name))?;
    }
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT_MAX)?;
    if connection.is_readonly("main")? {
        return Err(Error::new(ErrorKind::ReadOnly, "the file can't be written"));
    }
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(Error::new(ErrorKind::Corrupt, found));
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A commit is on the disk when it returns: the copy relies on it.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    schema::migrate(&mut connection)?;
    Ok(connection)
}

/// Does all work, until the last [`Ledger`] is gone. What waits when a change is at its turn is committed with it.
fn serve(connection: Connection, queue: &Receiver<Work>, meter: &Meter) {
    while let Ok(first) = queue.recv() {
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(work) = next.take() {
            match work {
                Work::Read(look) => look(&connection),
                Work::Write(change) => batch.push(change),
            }
            if batch.len() < BATCH_MAX {
                next = queue.try_recv().ok();
            }
        }
        if !batch.is_empty() {
            commit(&connection, batch, meter);
        }
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
        transaction.commit()?;
        Ok(())
    })();
    meter.commits.fetch_add(1, Ordering::Relaxed);
    for tell in told {
        tell(outcome.as_ref().err());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_busy_from_the_first_caller_to_the_last_and_counts_once() {
        let meter = Meter::default();
        assert_eq!(meter.busy().total(), Duration::ZERO);
        let callers_and_since = || {
            let busy = meter.busy();
            (busy.callers, busy.since)
        };
        let (one, other) = (Waiting::begin(&meter), Waiting::begin(&meter));
        let (_, since) = callers_and_since();
        drop(one);
        assert_eq!(callers_and_since(), (1, since), "the other still waits");
        drop(other);
        assert_eq!(callers_and_since(), (0, None));
        let total = meter.busy().total();
        assert!(total > Duration::ZERO && total <= since.unwrap().elapsed());
        assert_eq!(meter.busy().total(), total, "nobody waits any more");
    }
}
