//! A copy of the record in one file, while others read and write it, and a state directory that is made of such a copy.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::connection::{BUSY_WAIT_MAX, flags};
use super::{FILE, LEASES, SqliteStore, directory};
use crate::error::{Error, ErrorKind};

/// Copies the record of a state directory to a new file, for its owner only. Those who use it go on: the copy is of one
/// moment. The file appears when it is complete.
///
/// # Errors
/// [`ErrorKind::Unusable`] if there is no record, or a file of this name; as [`SqliteStore::open`] of the directory.
pub fn backup(state_dir: &Path, file: &Path) -> Result<(), Error> {
    let path = state_dir.join(FILE);
    if !path.try_exists().map_err(|error| Error::io(&path, error))? {
        return Err(unusable(&path, ("there are no job records", "没有任务记录")));
    }
    let state_dir = directory::prepare(state_dir)?;
    copy(&state_dir.join(FILE), file)
}

/// Makes a state directory of a file that [`backup`] wrote.
///
/// # Errors
/// [`ErrorKind::Unusable`] if there is anything in the directory, or no such file; [`ErrorKind::Corrupt`] and
/// [`ErrorKind::Newer`] of the file; as [`SqliteStore::open`] of the directory.
pub fn restore(file: &Path, state_dir: &Path) -> Result<(), Error> {
    if !file.try_exists().map_err(|error| Error::io(file, error))? {
        return Err(unusable(file, ("there is no such file", "没有该文件")));
    }
    // It would pass for a new record.
    if fs::metadata(file).map_err(|error| Error::io(file, error))?.len() == 0 {
        let error = Error::new(ErrorKind::Corrupt, "the file is empty").in_chinese("文件为空");
        return Err(error.at(file));
    }
    let directory = directory::prepare(state_dir)?;
    let mut entries = fs::read_dir(&directory).map_err(|error| Error::io(&directory, error))?;
    if entries.next().is_some() {
        return Err(unusable(
            &directory,
            ("the directory is not empty; restore into a new one", "目录不为空；请恢复到新目录"),
        ));
    }
    let path = directory.join(FILE);
    let file = fs::canonicalize(file).map_err(|error| Error::io(file, error))?;
    let restored = copy(&file, &path).and_then(|()| SqliteStore::open(state_dir).map(drop));
    if restored.is_err() {
        // Nothing was in it before, and nothing is to be in it now.
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir(directory.join(LEASES));
    }
    restored
}

/// Copies a whole record to a new file.
fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let failed = |error| Error::io(to, error);
    if to.try_exists().map_err(failed)? {
        return Err(unusable(to, ("the file already exists", "文件已存在")));
    }
    let parent = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    // SQLite follows no links here.
    let parent = fs::canonicalize(parent).map_err(failed)?;
    let Some(name) = to.file_name() else {
        return Err(unusable(to, ("it names no file", "它没有指明文件")));
    };
    let (to, draft) = (parent.join(name), draft_of(&parent, name));
    let copied = write(from, &draft).and_then(|()| {
        // Unlike a renamed file, a link replaces none that came in the meantime.
        fs::hard_link(&draft, &to).map_err(|error| Error::io(&to, error))?;
        let synced = File::open(&parent).and_then(|parent| parent.sync_all());
        synced.map_err(|error| Error::io(&parent, error))
    });
    let removed = fs::remove_file(&draft);
    copied?;
    removed.map_err(|error| Error::io(&draft, error))
}

fn draft_of(parent: &Path, name: &std::ffi::OsStr) -> PathBuf {
    let mut draft = name.to_owned();
    draft.push(format!(".{}.new", uuid::Uuid::now_v7().simple()));
    parent.join(draft)
}

fn write(from: &Path, draft: &Path) -> Result<(), Error> {
    // Made before, so that it never is for others than its owner.
    drop(directory::private_file(draft)?);
    let connection = Connection::open_with_flags(from, flags(OpenFlags::SQLITE_OPEN_READ_WRITE))
        .map_err(|error| Error::from(error).at(from))?;
    let copied = connection.busy_timeout(BUSY_WAIT_MAX).and_then(|()| {
        let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if found != "ok" {
            return Ok(Err(Error::new(ErrorKind::Corrupt, found)));
        }
        let name = draft.to_string_lossy();
        connection.execute("VACUUM INTO ?1", [name.as_ref()]).map(|_| Ok(()))
    });
    copied.map_err(|error| Error::from(error).at(from))??;
    let synced = File::open(draft).and_then(|file| file.sync_all());
    synced.map_err(|error| Error::io(draft, error))
}

fn unusable(path: &Path, (why, chinese): (&str, &str)) -> Error {
    Error::new(ErrorKind::Unusable, why).in_chinese(chinese).at(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::{JobId, JobKind, JobPage, Jobs, NewJob};

    async fn new_job(store: &SqliteStore) {
        let job = NewJob {
            kind: JobKind::Plain,
            job_id: JobId::generate(),
            source: "a".to_owned(),
            target: "b".to_owned(),
            request: "{}".to_owned(),
            plan: "{}".to_owned(),
            sample_seed: 1,
            created_at: "then".to_owned(),
            databases: Vec::new(),
            collections: Vec::new(),
            max_rate: None,
        };
        store.create_job(job).await.unwrap();
    }

    async fn jobs(store: &SqliteStore) -> usize {
        store.jobs(JobPage { before: None, jobs_max: 1_000_000 }).await.unwrap().len()
    }

    #[tokio::test]
    async fn a_copy_is_made_while_others_write_and_has_all_that_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let (state, file) = (directory.path().join("state"), directory.path().join("copy"));
        let store = SqliteStore::open(&state).unwrap();
        for _ in 0..20 {
            new_job(&store).await;
        }
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let writer = store.clone();
        let writing = tokio::spawn(async move {
            let mut written = 20;
            while stopped.try_recv().is_err() {
                new_job(&writer).await;
                written += 1;
            }
            written
        });
        let (from, to) = (state.clone(), file.clone());
        tokio::task::spawn_blocking(move || backup(&from, &to)).await.unwrap().unwrap();
        stop.send(()).unwrap();
        let written = writing.await.unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

        let restored = directory.path().join("restored");
        restore(&file, &restored).unwrap();
        let restored = SqliteStore::open(&restored).unwrap();
        let found = jobs(&restored).await;
        assert!((20..=written).contains(&found), "{found} of {written}");
        // What is restored is a record as any other.
        new_job(&restored).await;
        assert_eq!(jobs(&restored).await, found + 1);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3, "something was left beside the copy");
    }

    #[tokio::test]
    async fn nothing_is_overwritten_and_nothing_is_made_of_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (state, file) = (directory.path().join("state"), directory.path().join("copy"));
        let refused = |result: Result<(), Error>| {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unusable, "{error}");
            error.to_string()
        };
        assert!(refused(backup(&state, &file)).ends_with("there are no job records"));
        assert!(!state.exists());
        let store = SqliteStore::open(&state).unwrap();
        fs::write(&file, "mine").unwrap();
        assert!(refused(backup(&state, &file)).ends_with("the file already exists"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
        fs::remove_file(&file).unwrap();
        backup(&state, &file).unwrap();
        assert!(refused(restore(&file, &state)).contains("the directory is not empty"));
        drop(store);
        assert!(refused(restore(&file, &state)).contains("the directory is not empty"));
        let other = directory.path().join("other");
        assert!(refused(restore(&directory.path().join("none"), &other)).ends_with("there is no such file"));
        assert!(!other.exists());
    }

    #[test]
    fn what_is_no_copy_is_refused_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (file, state) = (directory.path().join("copy"), directory.path().join("state"));
        fs::write(&file, "this is no record of jobs, although it is long enough to be looked at").unwrap();
        assert_eq!(restore(&file, &state).unwrap_err().kind(), ErrorKind::Corrupt);
        Connection::open(directory.path().join("db")).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        let error = restore(&directory.path().join("db"), &state).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().contains("was not created by Vecferry")),
            (ErrorKind::Corrupt, true)
        );
        fs::write(&file, "").unwrap();
        assert_eq!(restore(&file, &state).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
    }
}
