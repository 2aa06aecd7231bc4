//! The ledger as its callers see it, on real files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use vecferry_ledger::{
    Advance, Attempt, CollectionRecord, ErrorKind, Ledger, NewCollectionRecord, NewComparison, NewJob,
    NewSplit, Progress, Quarantined, RangeCount, WorkedOn,
};

fn job(job_id: &str) -> NewJob {
    let collection = |name: &str, rows_total| NewCollectionRecord {
        source: format!("default.{name}"),
        target: format!("default.{name}"),
        rows_total,
    };
    NewJob {
        job_id: job_id.into(),
        source: "http://a:1".into(),
        target: "http://b:1".into(),
        request: "{}".into(),
        plan: "{}".into(),
        sample_seed: u64::MAX,
        read_timestamp: Some(7),
        created_at: "2026-01-01T00:00:00Z".into(),
        databases: vec!["shop".into()],
        collections: vec![collection("books", 100), collection("films", 50)],
        max_rate: None,
    }
}

fn split(after: Option<&str>, until: Option<&str>) -> NewSplit {
    NewSplit {
        partition: Some("p".into()),
        after: after.map(str::to_owned),
        until: until.map(str::to_owned),
        rows_planned: 10,
    }
}

async fn begun(directory: &Path) -> (Ledger, Attempt) {
    let ledger = Ledger::open(directory).unwrap();
    ledger.create_job(job("j1")).await.unwrap();
    let attempt = ledger.begin_attempt("j1").await.unwrap();
    (ledger, attempt)
}

fn page(cursor: &str, intent: Option<&str>) -> Advance {
    Advance {
        cursor: Some(cursor.into()),
        progress: Progress { rows_read: 5, rows_written: 5, bytes: 50 },
        intent: intent.map(str::to_owned),
        samples: vec![cursor.into()],
    }
}

#[tokio::test]
async fn what_was_written_is_there_after_the_file_is_opened_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, attempt) = begun(directory.path()).await;
    let splits =
        ledger.plan_splits(&attempt, 0, vec![split(None, Some("m")), split(Some("m"), None)]).await.unwrap();
    let first = splits[0].split_id;
    ledger
        .advance(&attempt, first, Advance { intent: Some("e".into()), ..Advance::default() })
        .await
        .unwrap();
    ledger.advance(&attempt, first, page("e", Some("k"))).await.unwrap();
    for _ in 0..2 {
        ledger.record_doubt(&attempt, 0, Some("p".into()), None, Some("e".into())).await.unwrap();
    }
    ledger.record_database(&attempt, "shop").await.unwrap();
    ledger.intend_creation(&attempt, 0, Some(u64::MAX)).await.unwrap();
    ledger.record_creation(&attempt, 0, 42).await.unwrap();
    let bad = Quarantined {
        partition: "p".into(),
        key: "x\0\"".into(),
        reason: "too long".into(),
        in_doubt: false,
    };
    ledger.record_quarantined(&attempt, 0, bad.clone()).await.unwrap();
    drop((ledger, attempt));

    let ledger = Ledger::open(directory.path()).unwrap();
    let stored = ledger.job("j").await.unwrap();
    assert_eq!((stored.state.as_str(), stored.sample_seed, stored.attempt), ("IN_PROGRESS", u64::MAX, 1));
    let splits = ledger.splits("j1", 0).await.unwrap();
    assert_eq!((splits[0].cursor.as_deref(), splits[0].intent.as_deref()), (Some("e"), Some("k")));
    assert_eq!(splits[0].progress, Progress { rows_read: 5, rows_written: 5, bytes: 50 });
    assert_eq!(ledger.samples("j1", 0, Some("p")).await.unwrap(), ["e"]);
    let collection = ledger.collection("j1", 0).await.unwrap();
    assert_eq!((collection.target_id, collection.creation_timestamp), (Some(42), Some(u64::MAX)));
    assert_eq!(ledger.doubts("j1", 0).await.unwrap().len(), 1);
    assert_eq!(ledger.quarantined("j1", 0).await.unwrap(), [bad]);
    assert_eq!(ledger.databases("j1").await.unwrap(), [("shop".to_owned(), true)]);
    let mode = fs::metadata(directory.path().join("ledger.sqlite3")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn splits_are_planned_once() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, attempt) = begun(directory.path()).await;
    let first = ledger.plan_splits(&attempt, 0, vec![split(None, None)]).await.unwrap();
    let again =
        ledger.plan_splits(&attempt, 0, vec![split(None, Some("a")), split(Some("a"), None)]).await.unwrap();
    assert_eq!(first, again);
}

#[tokio::test]
async fn a_divided_split_leaves_no_gap_and_no_overlap() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, attempt) = begun(directory.path()).await;
    let whole = ledger.plan_splits(&attempt, 0, vec![split(Some("a"), Some("z"))]).await.unwrap()[0].clone();
    let upper = ledger.divide(&attempt, whole.split_id, "m".into(), (3, 4)).await.unwrap();
    let lower = ledger.split(whole.split_id).await.unwrap();
    assert_eq!(
        (lower.after.as_deref(), lower.until.as_deref(), lower.rows_planned),
        (Some("a"), Some("m"), 3)
    );
    assert_eq!(
        (upper.after.as_deref(), upper.until.as_deref(), upper.rows_planned),
        (Some("m"), Some("z"), 4)
    );
    assert_eq!(upper.partition, whole.partition);
    ledger.finish_split(&attempt, whole.split_id, Advance::default(), RangeCount::default()).await.unwrap();
    let error = ledger.divide(&attempt, whole.split_id, "b".into(), (1, 1)).await.unwrap_err();
    assert!(error.to_string().contains("is complete"), "{error}");
}

#[tokio::test]
async fn a_job_has_one_process_and_a_dead_attempt_may_not_write() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, zombie) = begun(directory.path()).await;
    let splits = ledger.plan_splits(&zombie, 0, vec![split(None, None)]).await.unwrap();
    let other = Ledger::open(directory.path()).unwrap();
    let error = other.begin_attempt("j1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::JobIsLive);
    assert!(error.to_string().contains("another process works on job j1"));
    assert!(other.jobs().await.unwrap()[0].live);
    // The lease ends with the process, which a test can only play by removing what the kernel locks.
    fs::remove_file(directory.path().join("leases/j1.lock")).unwrap();
    let newer = other.begin_attempt("j1").await.unwrap();
    assert_eq!(newer.number(), 2);
    let error = ledger.advance(&zombie, splits[0].split_id, page("e", None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Superseded);
    assert!(error.to_string().contains("attempt 2 of job j1 began"), "{error}");
    assert_eq!(other.split(splits[0].split_id).await.unwrap().cursor, None);
    other.advance(&newer, splits[0].split_id, page("e", None)).await.unwrap();
}

#[tokio::test]
async fn those_who_look_whether_a_job_runs_keep_nobody_from_going_on_with_it() {
    let directory = tempfile::tempdir().unwrap();
    drop(begun(directory.path()).await);
    let over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let lookers: Vec<_> = (0..3)
        .map(|_| {
            let (path, over) = (directory.path().to_owned(), std::sync::Arc::clone(&over));
            std::thread::spawn(move || {
                let ledger = Ledger::open(&path).unwrap();
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    ledger.is_live("j1").unwrap();
                    std::thread::yield_now();
                }
            })
        })
        .collect();
    let ledger = Ledger::open(directory.path()).unwrap();
    for number in 2..40 {
        assert_eq!(ledger.begin_attempt("j1").await.unwrap().number(), number);
    }
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    lookers.into_iter().for_each(|looker| looker.join().unwrap());
}

#[tokio::test]
async fn a_refused_change_does_not_take_others_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, attempt) = begun(directory.path()).await;
    let splits = ledger.plan_splits(&attempt, 0, vec![split(None, None)]).await.unwrap();
    let before = ledger.usage().commits;
    let good = ledger.advance(&attempt, splits[0].split_id, page("e", None));
    let bad = ledger.plan_splits(&attempt, 99, vec![split(None, None)]);
    let (good, bad) = tokio::join!(good, bad);
    good.unwrap();
    bad.unwrap_err();
    assert_eq!(ledger.split(splits[0].split_id).await.unwrap().cursor.as_deref(), Some("e"));
    assert!(ledger.usage().commits <= before + 2);
    assert!(ledger.usage().waited.as_nanos() > 0);
}

#[tokio::test]
async fn jobs_are_listed_newest_first_with_their_rows() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, attempt) = begun(directory.path()).await;
    ledger.create_job(job("j2")).await.unwrap();
    let splits = ledger.plan_splits(&attempt, 0, vec![split(None, None)]).await.unwrap();
    ledger.advance(&attempt, splits[0].split_id, page("e", None)).await.unwrap();
    ledger.record_done(&attempt, 0, "{}".into()).await.unwrap();
    ledger.end_attempt(&attempt, "FAILED", "{}".into(), "later".into()).await.unwrap();
    let jobs = ledger.jobs().await.unwrap();
    assert_eq!(jobs.iter().map(|job| job.job_id.as_str()).collect::<Vec<_>>(), ["j2", "j1"]);
    let first = &jobs[1];
    assert_eq!(
        (first.rows_done, first.rows_total, first.collections_done, first.collections_total),
        (5, 150, 1, 2)
    );
    assert_eq!((first.state.as_str(), first.ended_at.as_deref()), ("FAILED", Some("later")));
    let error = ledger.job("j").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::AmbiguousJob, "several jobs begin with `j`")
    );
    for unknown in ["x", ""] {
        assert!(matches!(
            ledger.job(unknown).await.unwrap_err().kind(),
            ErrorKind::UnknownJob | ErrorKind::AmbiguousJob
        ));
    }
}

#[tokio::test]
async fn a_running_job_can_be_told_what_others_want() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, attempt) = begun(directory.path()).await;
    let other = Ledger::open(directory.path()).unwrap();
    other.request_cancel("j1").await.unwrap();
    other.set_max_rate("j1", Some("5MB".into())).await.unwrap();
    let control = ledger.control("j1").await.unwrap();
    assert!(control.cancel);
    assert_eq!(control.max_rate.as_deref(), Some("5MB"));
    drop(attempt);
    let _again = ledger.begin_attempt("j1").await.unwrap();
    assert!(!ledger.control("j1").await.unwrap().cancel, "an old wish does not end a new attempt");
}

#[tokio::test]
async fn what_an_attempt_waits_for_is_seen_until_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, attempt) = begun(directory.path()).await;
    let other = Ledger::open(directory.path()).unwrap();
    let seen = async || {
        let job = other.jobs().await.unwrap().remove(0);
        (job.max_rate, job.bottleneck)
    };
    assert_eq!(seen().await, (None, None));
    ledger.record_bottleneck(&attempt, Some("target".into())).await.unwrap();
    other.set_max_rate("j1", Some("5MB/s".into())).await.unwrap();
    assert_eq!(seen().await, (Some("5MB/s".into()), Some("target".into())));
    ledger.end_attempt(&attempt, "FAILED", "{}".into(), "later".into()).await.unwrap();
    assert_eq!(seen().await, (Some("5MB/s".into()), None), "the limit holds for the next attempt");
}

#[tokio::test]
async fn a_ledger_of_the_first_version_is_taken_over_with_its_jobs() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, attempt) = begun(directory.path()).await;
    drop((ledger, attempt));
    // What the first version would have left.
    let file = directory.path().join("ledger.sqlite3");
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection
        .execute_batch(
            "DROP TABLE job_objects; DROP TABLE comparisons; ALTER TABLE jobs DROP COLUMN bottleneck; \
             ALTER TABLE splits DROP COLUMN counted; ALTER TABLE splits DROP COLUMN distinct_keys; \
             ALTER TABLE splits DROP COLUMN reopened; ALTER TABLE collections DROP COLUMN write_alias; \
             ALTER TABLE quarantine DROP COLUMN in_doubt; DROP TABLE reservations; \
             ALTER TABLE collections DROP COLUMN claims; ALTER TABLE collections DROP COLUMN claim; \
             ALTER TABLE collections DROP COLUMN removal_intended; ALTER TABLE collections DROP COLUMN drift_seen; \
             ALTER TABLE jobs DROP COLUMN cancel_beats; ALTER TABLE jobs DROP COLUMN worked_ms; \
             ALTER TABLE collections DROP COLUMN worked_ms; ALTER TABLE collections DROP COLUMN copied_ms; PRAGMA user_version = 1",
        )
        .unwrap();
    drop(connection);
    let ledger = Ledger::open(directory.path()).unwrap();
    let jobs = ledger.jobs().await.unwrap();
    assert_eq!((jobs.len(), jobs[0].state.as_str(), jobs[0].rows_total), (1, "IN_PROGRESS", 150));
    let attempt = ledger.begin_attempt("j1").await.unwrap();
    ledger.record_bottleneck(&attempt, Some("source".into())).await.unwrap();
    assert_eq!(ledger.jobs().await.unwrap()[0].bottleneck.as_deref(), Some("source"));
}

#[tokio::test]
async fn a_collection_that_is_gone_starts_again() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, attempt) = begun(directory.path()).await;
    ledger.intend_creation(&attempt, 0, None).await.unwrap();
    ledger.record_creation(&attempt, 0, 1).await.unwrap();
    let splits = ledger.plan_splits(&attempt, 0, vec![split(None, None)]).await.unwrap();
    ledger.advance(&attempt, splits[0].split_id, page("e", None)).await.unwrap();
    assert_eq!(ledger.intend_claim(&attempt, 0, Some(7)).await.unwrap(), 1);
    ledger.record_source_counts(&attempt, 0, "{}".into()).await.unwrap();
    for document in ["first", "second"] {
        ledger.record_drift_seen(&attempt, 0, document.into()).await.unwrap();
    }
    assert_eq!(ledger.collection("j1", 0).await.unwrap().drift_seen.as_deref(), Some("first"));
    ledger.record_rows_total(&attempt, 0, 90).await.unwrap();
    ledger.record_copied(&attempt, 0).await.unwrap();
    ledger.record_done(&attempt, 0, "{}".into()).await.unwrap();
    ledger.end_attempt(&attempt, "SUCCESSFUL", "{}".into(), "later".into()).await.unwrap();

    // Begun and not yet done: no success any more, and still the job's own.
    ledger.intend_removal(&attempt, 0).await.unwrap();
    let collection = ledger.collection("j1", 0).await.unwrap();
    assert_eq!((collection.done, collection.report, collection.target_id), (false, None, Some(1)));
    assert!(collection.removal_intended);
    assert_eq!(ledger.job("j1").await.unwrap().report, None);

    ledger.forget_creation(&attempt, 0, 100).await.unwrap();
    let collection = ledger.collection("j1", 0).await.unwrap();
    let other = ledger.collection("j1", 1).await.unwrap();
    // As one that never was begun, but for its names.
    let (source, target) = (collection.source.clone(), collection.target.clone());
    assert_eq!(
        collection,
        CollectionRecord { position: 0, source, target, rows_total: 100, claims: 1, ..other }
    );
    assert_eq!(ledger.intend_claim(&attempt, 0, None).await.unwrap(), 2, "no name is given twice");
    assert!(ledger.splits("j1", 0).await.unwrap().is_empty());
    assert!(ledger.samples("j1", 0, Some("p")).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_split_that_is_opened_again_is_in_doubt_up_to_its_intent() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, attempt) = begun(directory.path()).await;
    let splits =
        ledger.plan_splits(&attempt, 0, vec![split(None, Some("m")), split(Some("m"), None)]).await.unwrap();
    let (first, second) = (splits[0].split_id, splits[1].split_id);
    let count = RangeCount { counted: 6, distinct_keys: Some(5) };
    for split_id in [first, second] {
        ledger.advance(&attempt, split_id, page("e", Some("e"))).await.unwrap();
        ledger.finish_split(&attempt, split_id, Advance::default(), count).await.unwrap();
    }
    assert_eq!(ledger.split(first).await.unwrap().count, Some(count));
    let bad = |key: &str| Quarantined {
        partition: "p".into(),
        key: key.into(),
        reason: "no".into(),
        in_doubt: false,
    };
    for key in ["c", "x"] {
        ledger.record_quarantined(&attempt, 0, bad(key)).await.unwrap();
    }
    ledger.record_copied(&attempt, 0).await.unwrap();
    ledger.plan_comparisons(&attempt, 0, "one".into(), Vec::new()).await.unwrap();
    ledger.reopen_splits(&attempt, 0, vec![first], 3, vec![bad("c")]).await.unwrap();
    let opened = ledger.split(first).await.unwrap();
    assert_eq!((opened.cursor, opened.intent.as_deref(), opened.done), (None, Some("e"), false));
    assert_eq!((opened.progress, opened.count, opened.reopened), (Progress::default(), None, 3));
    let other = ledger.split(second).await.unwrap();
    assert!(other.done && other.count == Some(count) && other.progress.rows_read == 5);
    assert_eq!(ledger.quarantined("j1", 0).await.unwrap(), [bad("x")]);
    assert!(!ledger.collection("j1", 0).await.unwrap().copied);
}

#[tokio::test]
async fn no_name_that_a_collection_is_written_through_is_given_out_twice() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, attempt) = begun(directory.path()).await;
    assert_eq!(ledger.collection("j1", 0).await.unwrap().write_alias, 0);
    assert_eq!(ledger.next_write_alias(&attempt, 0).await.unwrap(), 1);
    ledger.forget_creation(&attempt, 0, 10).await.unwrap();
    assert_eq!(ledger.next_write_alias(&attempt, 0).await.unwrap(), 2);
    assert_eq!(ledger.next_write_alias(&attempt, 1).await.unwrap(), 1);
    drop((ledger, attempt));
    let ledger = Ledger::open(directory.path()).unwrap();
    let attempt = ledger.begin_attempt("j1").await.unwrap();
    assert_eq!(ledger.next_write_alias(&attempt, 0).await.unwrap(), 3);
    assert_eq!(ledger.collection("j1", 0).await.unwrap().write_alias, 3);
}

#[tokio::test]
async fn a_row_that_is_tried_again_is_in_doubt_until_its_end_is_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, attempt) = begun(directory.path()).await;
    let row =
        Quarantined { partition: String::new(), key: "i1".into(), reason: "no".into(), in_doubt: false };
    ledger.record_quarantined(&attempt, 0, row.clone()).await.unwrap();
    ledger.intend_retry(&attempt, 0, row.clone()).await.unwrap();
    assert!(ledger.quarantined("j1", 0).await.unwrap()[0].in_doubt);
    ledger.record_quarantined(&attempt, 0, row.clone()).await.unwrap();
    assert_eq!(ledger.quarantined("j1", 0).await.unwrap(), [row]);
}

#[tokio::test]
async fn a_name_of_a_target_belongs_to_one_job_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, first) = begun(directory.path()).await;
    ledger.create_job(job("j2")).await.unwrap();
    ledger.create_job(NewJob { target: "http://c:1".into(), ..job("j3") }).await.unwrap();
    let second = ledger.begin_attempt("j2").await.unwrap();
    let elsewhere = ledger.begin_attempt("j3").await.unwrap();
    assert_eq!(ledger.reserve_names(&first).await.unwrap(), []);
    assert_eq!(ledger.reserve_names(&first).await.unwrap(), [], "they are its own");
    assert_eq!(ledger.reserve_names(&elsewhere).await.unwrap(), [], "of another target");
    let held = ledger.reserve_names(&second).await.unwrap();
    let shown: Vec<_> = held.iter().map(|one| (one.name.as_str(), one.holder.as_str(), one.live)).collect();
    assert_eq!(shown, [("default.books", "j1", true), ("default.films", "j1", true)]);

    // It died when it had begun to make one of them: that one is still its own.
    ledger.intend_claim(&first, 1, None).await.unwrap();
    drop(first);
    let held = ledger.reserve_names(&second).await.unwrap();
    let shown: Vec<_> = held.iter().map(|one| (one.name.as_str(), one.position, one.live)).collect();
    assert_eq!(shown, [("default.films", 1, false)]);
    ledger.release_name(held[0].clone()).await.unwrap();
    assert_eq!(ledger.reserve_names(&second).await.unwrap(), []);
    let first = ledger.begin_attempt("j1").await.unwrap();
    assert_eq!(ledger.reserve_names(&first).await.unwrap().len(), 2, "and now they are the other one's");

    // A success holds nothing any more.
    ledger.intend_claim(&second, 0, None).await.unwrap();
    ledger.end_attempt(&second, "SUCCESSFUL", "{}".into(), "later".into()).await.unwrap();
    drop(second);
    assert_eq!(ledger.reserve_names(&first).await.unwrap(), []);
    ledger.remove_job(&first).await.unwrap();
    assert_eq!(ledger.jobs().await.unwrap().len(), 2);
}

#[tokio::test]
async fn objects_are_intended_then_made_then_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, attempt) = begun(directory.path()).await;
    let object = |kind: &str, name: &str| (kind.to_owned(), name.to_owned());
    let objects = vec![object("role", "reader"), object("user", "ann"), object("user", "bob")];
    ledger.intend_objects(&attempt, objects).await.unwrap();
    ledger.record_objects(&attempt, "user", vec!["ann".into(), "bob".into()]).await.unwrap();
    // What was made stays made, also if it is intended once more.
    ledger.intend_objects(&attempt, vec![object("user", "ann"), object("grant", "g")]).await.unwrap();
    ledger.forget_objects(&attempt, "user", vec!["bob".into()]).await.unwrap();
    let found = ledger.objects("j1").await.unwrap();
    let found: Vec<_> =
        found.iter().map(|found| (found.kind.as_str(), found.name.as_str(), found.created)).collect();
    assert_eq!(found, [("role", "reader", false), ("user", "ann", true), ("grant", "g", false)]);
    drop(attempt);
    let newer = ledger.begin_attempt("j1").await.unwrap();
    ledger.record_objects(&newer, "role", vec!["reader".into()]).await.unwrap();
    assert!(ledger.objects("j1").await.unwrap()[0].created);
}

#[test]
fn files_that_are_no_ledger_are_refused_and_left_alone() {
    let newer = tempfile::tempdir().unwrap();
    drop(Ledger::open(newer.path()).unwrap());
    let file = newer.path().join("ledger.sqlite3");
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = Ledger::open(newer.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Newer);
    assert!(error.to_string().contains("has version 99, this program knows up to "), "{error}");

    let garbage = tempfile::tempdir().unwrap();
    fs::set_permissions(garbage.path(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(
        garbage.path().join("ledger.sqlite3"),
        b"no database at all, but long enough to be read as one....",
    )
    .unwrap();
    assert_eq!(Ledger::open(garbage.path()).unwrap_err().kind(), ErrorKind::Corrupt);
    let kept = fs::read(garbage.path().join("ledger.sqlite3")).unwrap();
    assert!(kept.starts_with(b"no database at all"));

    let foreign = tempfile::tempdir().unwrap();
    fs::set_permissions(foreign.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let connection = rusqlite::Connection::open(foreign.path().join("ledger.sqlite3")).unwrap();
    connection.execute_batch("CREATE TABLE jobs (mine TEXT)").unwrap();
    drop(connection);
    let error = Ledger::open(foreign.path()).unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("not a ledger")), (ErrorKind::Corrupt, true));

    let damaged = tempfile::tempdir().unwrap();
    drop(Ledger::open(damaged.path()).unwrap());
    let path = damaged.path().join("ledger.sqlite3");
    let mut bytes = fs::read(&path).unwrap();
    for byte in bytes.iter_mut().skip(100).take(8000) {
        *byte ^= 0x5a;
    }
    fs::write(&path, &bytes).unwrap();
    assert_eq!(Ledger::open(damaged.path()).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_directory_that_cannot_be_made_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = Ledger::open(&file.join("state")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unusable);
    assert!(error.to_string().contains("file"), "{error}");
}

#[tokio::test]
async fn a_comparison_is_gone_on_with_only_for_the_state_that_it_was_made_for() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, attempt) = begun(directory.path()).await;
    let ranges = || {
        let range = |after: Option<&str>, until: Option<&str>| NewComparison {
            part: 0,
            after: after.map(str::to_owned),
            until: until.map(str::to_owned),
        };
        vec![range(None, Some("m")), range(Some("m"), None)]
    };
    let planned = ledger.plan_comparisons(&attempt, 0, "one".into(), ranges()).await.unwrap();
    ledger
        .advance_comparison(&attempt, planned[0].comparison_id, Some("c".into()), "{}".into())
        .await
        .unwrap();
    ledger.advance_comparison(&attempt, planned[1].comparison_id, None, "[]".into()).await.unwrap();
    let found = ledger.comparisons("j1", 0, "one").await.unwrap();
    assert_eq!(
        (found[0].cursor.as_deref(), found[0].outcome.as_deref(), found[0].done),
        (Some("c"), Some("{}"), false)
    );
    assert_eq!(
        (found[1].cursor.as_deref(), found[1].outcome.as_deref(), found[1].done),
        (None, Some("[]"), true)
    );
    assert_eq!(ledger.comparisons("j1", 0, "two").await.unwrap(), []);
    ledger.plan_comparisons(&attempt, 0, "two".into(), ranges()).await.unwrap();
    assert_eq!(ledger.comparisons("j1", 0, "one").await.unwrap(), []);
    ledger.forget_creation(&attempt, 0, 100).await.unwrap();
    assert_eq!(ledger.comparisons("j1", 0, "two").await.unwrap(), []);
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_new_directory_and_everything_in_it_is_for_its_owner_only() {
    let outer = tempfile::tempdir().unwrap();
    let directory = outer.path().join("deep").join("state");
    let (ledger, _attempt) = begun(&directory).await;
    for inner in [&directory, &directory.join("leases")] {
        assert_eq!(mode(inner), 0o700, "{}", inner.display());
    }
    for file in ["ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3-shm", "leases/j1.lock"] {
        assert_eq!(mode(&directory.join(file)), 0o600, "{file}");
    }
    assert_eq!(ledger.holder("j1"), Some(std::process::id()));
    // Also a file of an older version.
    drop(ledger);
    fs::set_permissions(directory.join("ledger.sqlite3"), fs::Permissions::from_mode(0o644)).unwrap();
    Ledger::open(&directory).unwrap();
    assert_eq!(mode(&directory.join("ledger.sqlite3")), 0o600);
}

#[test]
fn a_directory_that_others_may_look_into_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let set = |mode| fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
    let refused = |wide: u32| {
        set(wide);
        let error = Ledger::open(directory.path()).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Exposed, format!("{wide:o}")));
        assert_eq!(mode(directory.path()), wide);
    };
    // Somebody could be about to put a file there.
    [0o777, 0o770].into_iter().for_each(refused);
    // Just made, for this.
    set(0o755);
    drop(Ledger::open(directory.path()).unwrap());
    assert_eq!(mode(directory.path()), 0o700);
    let before = fs::read_dir(directory.path()).unwrap().count();
    [0o750, 0o701, 0o755, 0o777].into_iter().for_each(refused);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), before);
    set(0o700);
    Ledger::open(directory.path()).unwrap();
}

#[test]
fn a_directory_of_another_user_is_refused() {
    let outer = tempfile::tempdir().unwrap();
    let mine = outer.path().join("theirs");
    fs::create_dir(&mine).unwrap();
    fs::set_permissions(&mine, fs::Permissions::from_mode(0o700)).unwrap();
    // Only root may give a directory away; anybody else looks at one of root's.
    let theirs = match std::os::unix::fs::chown(&mine, Some(65_534), None) {
        Ok(()) => mine,
        Err(_) => "/proc/1".into(),
    };
    let error = Ledger::open(&theirs).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Foreign | ErrorKind::Unusable), "{error}");
    assert!(!theirs.join("ledger.sqlite3").exists());
}

#[tokio::test]
async fn nothing_is_made_or_opened_through_a_link() {
    let outer = tempfile::tempdir().unwrap();
    let elsewhere = outer.path().join("elsewhere");
    for name in ["ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3-shm", "ledger.sqlite3-journal"] {
        let directory = outer.path().join(format!("of {name}"));
        Ledger::open(&directory).unwrap();
        let file = directory.join(name);
        drop(fs::remove_file(&file));
        std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
        let error = Ledger::open(&directory).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unusable, "{name}: {error}");
        assert!(error.to_string().contains("it is a link"), "{name}: {error}");
    }
    let directory = outer.path().join("state");
    let ledger = Ledger::open(&directory).unwrap();
    ledger.create_job(job("j1")).await.unwrap();
    std::os::unix::fs::symlink(&elsewhere, directory.join("leases").join("j1.lock")).unwrap();
    assert_eq!(ledger.begin_attempt("j1").await.unwrap_err().kind(), ErrorKind::Unusable);
    assert!(!elsewhere.exists(), "it was made through a link");
    // The directory itself may be reached through one: that is for its owner to decide.
    drop(ledger);
    std::os::unix::fs::symlink(&directory, outer.path().join("by link")).unwrap();
    Ledger::open(&outer.path().join("by link")).unwrap();
}

#[tokio::test]
async fn the_time_of_all_attempts_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, first) = begun(directory.path()).await;
    let on = |worked, copied_for| WorkedOn {
        position: 0,
        worked: Duration::from_millis(worked),
        copied_for: Duration::from_millis(copied_for),
    };
    ledger.record_worked(&first, Duration::from_millis(2500), vec![on(900, 400)]).await.unwrap();
    ledger.end_attempt(&first, "CANCELED", "{}".into(), "later".into()).await.unwrap();
    let id = first.job_id().to_owned();
    drop(first);
    let second = ledger.begin_attempt(&id).await.unwrap();
    assert_eq!(ledger.job(&id).await.unwrap().worked, Duration::from_millis(2500));
    ledger.record_worked(&second, Duration::from_millis(4000), vec![on(1000, 500)]).await.unwrap();
    assert_eq!(ledger.jobs().await.unwrap()[0].worked, Duration::from_secs(4));
    let collections = ledger.collections(&id).await.unwrap();
    assert_eq!(
        (collections[0].worked, collections[0].copied_for),
        (Duration::from_secs(1), Duration::from_millis(500))
    );
    assert_eq!(collections[1].worked, Duration::ZERO);
}
