//! What only the store in a directory does: files, their modes and owners, locks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use vecferry_store::sqlite::SqliteStore;
use vecferry_store::{Attempt, ErrorKind, JobId, Jobs, NewCollectionRecord, NewJob, Store};

fn job() -> NewJob {
    NewJob {
        kind: vecferry_store::JobKind::Plain,
        job_id: id(),
        source: "http://a:1".into(),
        target: "http://b:1".into(),
        request: "{}".into(),
        plan: "{}".into(),
        sample_seed: 1,
        created_at: "2026-01-01T00:00:00Z".into(),
        databases: Vec::new(),
        collections: vec![NewCollectionRecord {
            source: "default.books".into(),
            target: "default.books".into(),
            rows_total: 1,
        }],
        max_rate: None,
    }
}

fn id() -> JobId {
    JobId::from("j1")
}

async fn begun(directory: &Path) -> (SqliteStore, Attempt) {
    let store = SqliteStore::open(directory).unwrap();
    store.create_job(job()).await.unwrap();
    let attempt = store.begin_attempt(&id()).await.unwrap();
    (store, attempt)
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn kind_at(directory: &Path) -> ErrorKind {
    SqliteStore::open(directory).unwrap_err().kind()
}

#[test]
fn files_that_are_no_store_are_refused_and_left_alone() {
    let newer = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(newer.path()).unwrap());
    let file = newer.path().join("ledger.sqlite3");
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = SqliteStore::open(newer.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Newer);
    assert!(error.to_string().contains("has version 99; this program supports up to "), "{error}");

    let garbage = tempfile::tempdir().unwrap();
    set_mode(garbage.path(), 0o700);
    let bytes = b"no database at all, but long enough to be read as one....";
    fs::write(garbage.path().join("ledger.sqlite3"), bytes).unwrap();
    assert_eq!(kind_at(garbage.path()), ErrorKind::Corrupt);
    let kept = fs::read(garbage.path().join("ledger.sqlite3")).unwrap();
    assert!(kept.starts_with(b"no database at all"));

    let foreign = tempfile::tempdir().unwrap();
    set_mode(foreign.path(), 0o700);
    let connection = rusqlite::Connection::open(foreign.path().join("ledger.sqlite3")).unwrap();
    connection.execute_batch("CREATE TABLE jobs (mine TEXT)").unwrap();
    drop(connection);
    let error = SqliteStore::open(foreign.path()).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().contains("not created by Vecferry")),
        (ErrorKind::Corrupt, true)
    );

    let damaged = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(damaged.path()).unwrap());
    let path = damaged.path().join("ledger.sqlite3");
    let mut bytes = fs::read(&path).unwrap();
    for byte in bytes.iter_mut().skip(100).take(8000) {
        *byte ^= 0x5a;
    }
    fs::write(&path, &bytes).unwrap();
    assert_eq!(kind_at(damaged.path()), ErrorKind::Corrupt);
}

#[test]
fn a_directory_that_cannot_be_made_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = SqliteStore::open(&file.join("state")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unusable);
    assert!(error.to_string().contains("file"), "{error}");
}

#[tokio::test]
async fn a_new_directory_and_everything_in_it_is_for_its_owner_only() {
    let outer = tempfile::tempdir().unwrap();
    let directory = outer.path().join("deep").join("state");
    let (store, _attempt) = begun(&directory).await;
    for inner in [&directory, &directory.join("leases")] {
        assert_eq!(mode(inner), 0o700, "{}", inner.display());
    }
    for file in ["ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3-shm", "leases/j1.lock"] {
        assert_eq!(mode(&directory.join(file)), 0o600, "{file}");
    }
    assert_eq!(store.place(), directory.display().to_string());
    assert_eq!(store.directory(), Some(directory.as_path()));
    // Also a file of an older version.
    drop(store);
    set_mode(&directory.join("ledger.sqlite3"), 0o644);
    SqliteStore::open(&directory).unwrap();
    assert_eq!(mode(&directory.join("ledger.sqlite3")), 0o600);
}

#[tokio::test]
async fn the_process_that_works_on_a_job_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let (store, attempt) = begun(directory.path()).await;
    assert_eq!(store.holder(&id()).await, Some(std::process::id()));
    drop(attempt);
    assert!(!store.is_live(&id()).await.unwrap(), "at once, without a clock");
    assert_eq!(store.holder(&JobId::from("j9")).await, None);
}

#[test]
fn a_directory_that_others_may_look_into_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let refused = |wide: u32| {
        set_mode(directory.path(), wide);
        let error = SqliteStore::open(directory.path()).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Exposed, format!("{wide:o}")));
        assert_eq!(mode(directory.path()), wide);
    };
    // Somebody could be about to put a file there.
    [0o777, 0o770].into_iter().for_each(refused);
    // Just made, for this.
    set_mode(directory.path(), 0o755);
    drop(SqliteStore::open(directory.path()).unwrap());
    assert_eq!(mode(directory.path()), 0o700);
    let before = fs::read_dir(directory.path()).unwrap().count();
    [0o750, 0o701, 0o755, 0o777].into_iter().for_each(refused);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), before);
    set_mode(directory.path(), 0o700);
    SqliteStore::open(directory.path()).unwrap();
}

#[test]
fn a_directory_of_another_user_is_refused() {
    let outer = tempfile::tempdir().unwrap();
    let mine = outer.path().join("theirs");
    fs::create_dir(&mine).unwrap();
    set_mode(&mine, 0o700);
    // Only root may give a directory away; anybody else looks at one of root's.
    let theirs = match std::os::unix::fs::chown(&mine, Some(65_534), None) {
        Ok(()) => mine,
        Err(_) => "/proc/1".into(),
    };
    let kind = kind_at(&theirs);
    assert!(matches!(kind, ErrorKind::Foreign | ErrorKind::Unusable), "{kind:?}");
    assert!(!theirs.join("ledger.sqlite3").exists());
}

#[tokio::test]
async fn nothing_is_made_or_opened_through_a_link() {
    let outer = tempfile::tempdir().unwrap();
    let elsewhere = outer.path().join("elsewhere");
    for name in ["ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3-shm", "ledger.sqlite3-journal"] {
        let directory = outer.path().join(format!("of {name}"));
        SqliteStore::open(&directory).unwrap();
        let file = directory.join(name);
        drop(fs::remove_file(&file));
        symlink(&elsewhere, &file).unwrap();
        let error = SqliteStore::open(&directory).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unusable, "{name}: {error}");
        assert!(error.to_string().contains("it is a link"), "{name}: {error}");
    }
    let directory = outer.path().join("state");
    let store = SqliteStore::open(&directory).unwrap();
    store.create_job(job()).await.unwrap();
    symlink(&elsewhere, directory.join("leases").join("j1.lock")).unwrap();
    assert_eq!(store.begin_attempt(&id()).await.unwrap_err().kind(), ErrorKind::Unusable);
    assert!(!elsewhere.exists(), "it was made through a link");
    // The directory itself may be reached through one: that is for its owner to decide.
    drop(store);
    symlink(&directory, outer.path().join("by link")).unwrap();
    SqliteStore::open(&outer.path().join("by link")).unwrap();
}
