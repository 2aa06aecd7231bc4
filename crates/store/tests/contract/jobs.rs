//! Jobs: recorded, begun, ended, listed, told what others want.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vecferry_store::{ErrorKind, JobId, JobPage, JobState, JobSummary, NewJob, Progress, Store, WorkedOn};

use crate::on_both_stores;
use crate::place::{Place, eventually};
use crate::sample::{FIRST, at, begun, claimed, id, job, planned, refused, step};

on_both_stores!(
    what_was_written_is_there_after_the_store_is_opened_again,
    a_job_has_one_process_and_a_dead_attempt_may_not_write,
    a_job_that_is_let_go_is_free_at_once,
    those_who_look_whether_a_job_runs_keep_nobody_from_going_on_with_it,
    a_job_is_recorded_once,
    jobs_that_are_not_there_are_said_to_be_unknown,
    jobs_are_listed_newest_first_with_their_rows,
    lists_come_in_pages,
    a_job_is_found_by_the_beginning_of_its_id,
    a_running_job_can_be_told_what_others_want,
    what_an_attempt_waits_for_is_seen_until_it_ends,
    the_time_of_all_attempts_is_kept,
    the_first_timestamp_of_reads_stays,
    events_are_read_on_behind_the_last_one,
    the_newest_events_come_first,
    waits_are_counted_but_for_those_who_work_beside,
);

async fn what_was_written_is_there_after_the_store_is_opened_again(place: Place) {
    let (store, attempt, splits) = planned(&place).await;
    let claim = claimed(&*store, &splits[0]).await;
    store.advance(&claim, step((None, None), (None, Some("e")))).await.unwrap();
    store.advance(&claim, step((None, Some("e")), (Some("e"), Some("k")))).await.unwrap();
    store.record_database(&attempt, "shop").await.unwrap();
    store.intend_creation(&attempt, FIRST, Some(u64::MAX)).await.unwrap();
    store.record_creation(&attempt, FIRST, 42).await.unwrap();
    let bad = refused("x\0\"");
    store.record_quarantined(vecferry_store::Right::Claim(&claim), bad.clone()).await.unwrap();
    drop((store, attempt));

    let store = place.open().await;
    assert_eq!(store.find_job("j").await.unwrap(), id("j1"));
    let stored = store.job(&id("j1")).await.unwrap();
    assert_eq!((stored.state, stored.sample_seed, stored.attempt), (JobState::InProgress, u64::MAX, 1));
    assert_eq!((stored.read_timestamp, stored.created_at.as_str()), (None, "2026-01-01T00:00:00Z"));
    let splits = store.splits(&id("j1"), FIRST).await.unwrap();
    assert_eq!(at(&splits[0]), (Some("e"), Some("k")));
    assert_eq!(splits[0].progress, Progress { rows_read: 5, rows_written: 5, bytes: 50 });
    assert_eq!(store.samples(&id("j1"), FIRST, Some("p")).await.unwrap(), ["e"]);
    let collection = store.collection(&id("j1"), FIRST).await.unwrap();
    assert_eq!((collection.target_id, collection.creation_timestamp), (Some(42), Some(u64::MAX)));
    assert_eq!(store.quarantined(&id("j1"), FIRST).await.unwrap(), [bad]);
    assert_eq!(store.databases(&id("j1")).await.unwrap(), [("shop".to_owned(), true)]);
    let made = store.made_collections().await.unwrap();
    assert_eq!(made, [("http://b:1".to_owned(), "default.books".to_owned(), 42)]);
}

async fn a_job_has_one_process_and_a_dead_attempt_may_not_write(place: Place) {
    let (store, zombie) = begun(&place).await;
    let other = place.open().await;
    let error = other.begin_attempt(&id("j1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::JobIsLive);
    assert!(error.to_string().contains("another process is running job j1"));
    assert!(other.is_live(&id("j1")).await.unwrap());
    assert!(listed(&*other).await[0].live);
    place.end_lease("j1");
    let newer = other.begin_attempt(&id("j1")).await.unwrap();
    assert_eq!((newer.number(), newer.job_id()), (2, &id("j1")));
    let error = store.record_creation(&zombie, FIRST, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Superseded);
    assert!(
        error.to_string().contains("attempt 2 of job j1 has started, so attempt 1 was stopped"),
        "{error}"
    );
    assert_eq!(other.collection(&id("j1"), FIRST).await.unwrap().target_id, None);
    other.record_creation(&newer, FIRST, 1).await.unwrap();
}

async fn a_job_that_is_let_go_is_free_at_once(place: Place) {
    let (store, attempt) = begun(&place).await;
    let same = attempt.clone();
    drop(attempt);
    assert!(store.is_live(&id("j1")).await.unwrap(), "clones are the same attempt");
    drop(same);
    let again = place.open().await.begin_attempt(&id("j1")).await.unwrap();
    drop((store, again));
    let store = place.open().await;
    eventually("nobody works on the job", async || !store.is_live(&id("j1")).await.unwrap()).await;
    assert!(!listed(&*store).await[0].live);
    assert_eq!(store.job(&id("j1")).await.unwrap().state, JobState::InProgress);
}

async fn those_who_look_whether_a_job_runs_keep_nobody_from_going_on_with_it(place: Place) {
    drop(begun(&place).await);
    let over = Arc::new(AtomicBool::new(false));
    let mut lookers = Vec::new();
    for _ in 0..3 {
        let (store, over) = (place.open().await, Arc::clone(&over));
        lookers.push(tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                store.is_live(&id("j1")).await.unwrap();
                tokio::task::yield_now().await;
            }
        }));
    }
    let store = place.open().await;
    for number in 2..20 {
        assert_eq!(store.begin_attempt(&id("j1")).await.unwrap().number(), number);
    }
    over.store(true, Ordering::Relaxed);
    for looker in lookers {
        looker.await.unwrap();
    }
}

async fn a_job_is_recorded_once(place: Place) {
    let (store, attempt) = begun(&place).await;
    store.intend_creation(&attempt, FIRST, None).await.unwrap();
    // Whoever did not hear that it was recorded.
    store.create_job(job("j1")).await.unwrap();
    assert_eq!(store.job(&id("j1")).await.unwrap().state, JobState::InProgress);
    assert!(store.collection(&id("j1"), FIRST).await.unwrap().creation_intended);
    let another = NewJob { plan: "{\"other\": 1}".into(), ..job("j1") };
    assert_eq!(store.create_job(another).await.unwrap_err().kind(), ErrorKind::Corrupt);

    store.create_job(job("j2")).await.unwrap();
    assert_eq!(store.job(&id("j2")).await.unwrap().state, JobState::Pending);
    let second = store.begin_attempt(&id("j2")).await.unwrap();
    for _ in 0..2 {
        store.remove_job(&second).await.unwrap();
    }
    let listed = listed(&*store).await;
    assert_eq!(listed.iter().map(|job| job.job_id.as_str()).collect::<Vec<_>>(), ["j1"]);
}

async fn jobs_that_are_not_there_are_said_to_be_unknown(place: Place) {
    let (store, _attempt) = begun(&place).await;
    let missing = id("j9");
    let page = JobPage { before: Some(missing.clone()), jobs_max: 1 };
    for error in [
        store.begin_attempt(&missing).await.unwrap_err(),
        store.job(&missing).await.unwrap_err(),
        store.control(&missing).await.unwrap_err(),
        store.cancel_beats(&missing).await.unwrap_err(),
        store.summary(&missing).await.unwrap_err(),
        store.jobs(page).await.unwrap_err(),
        store.find_job("j9").await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::UnknownJob);
        assert_eq!(error.to_string(), "there is no job `j9`");
    }
    assert!(!store.is_live(&missing).await.unwrap());
}

async fn jobs_are_listed_newest_first_with_their_rows(place: Place) {
    let (store, attempt, splits) = planned(&place).await;
    store.create_job(job("j2")).await.unwrap();
    let claim = claimed(&*store, &splits[0]).await;
    store.advance(&claim, step((None, None), (Some("e"), None))).await.unwrap();
    store.record_done(&attempt, FIRST, "{}".into()).await.unwrap();
    let counts =
        |job: &JobSummary| (job.rows_done, job.rows_total, job.collections_done, job.collections_total);
    let jobs = listed(&*store).await;
    assert_eq!(jobs.iter().map(|job| job.job_id.as_str()).collect::<Vec<_>>(), ["j2", "j1"]);
    assert_eq!(jobs.iter().map(counts).collect::<Vec<_>>(), [(0, 150, 0, 2), (5, 150, 1, 2)]);
    assert_eq!(jobs.iter().map(|job| job.live).collect::<Vec<_>>(), [false, true]);
    let ended = store.end_attempt(&attempt, JobState::Failed, "{}".into(), "later".into());
    ended.await.unwrap();
    let first = listed(&*store).await.remove(1);
    assert_eq!(counts(&first), (5, 150, 1, 2));
    assert_eq!((first.state, first.ended_at.as_deref()), (JobState::Failed, Some("later")));
}

async fn lists_come_in_pages(place: Place) {
    let store = place.open().await;
    let ids: Vec<JobId> = (0..7).map(|number| id(&format!("job-{number}"))).collect();
    for job_id in &ids {
        store.create_job(job(job_id.as_str())).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = store.jobs(JobPage { before, jobs_max: 3 }).await.unwrap();
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        before = Some(last.job_id.clone());
        seen.extend(page.into_iter().map(|job| job.job_id));
    }
    seen.reverse();
    assert_eq!(seen, ids);
}

async fn a_job_is_found_by_the_beginning_of_its_id(place: Place) {
    let store = place.open().await;
    assert_eq!(store.find_job("").await.unwrap_err().kind(), ErrorKind::UnknownJob);
    for job_id in ["0a", "0ab", "0b", "é1"] {
        store.create_job(job(job_id)).await.unwrap();
    }
    assert_eq!(store.find_job("0a").await.unwrap(), id("0a"), "an exact one is meant");
    assert_eq!(store.find_job("0ab").await.unwrap(), id("0ab"));
    assert_eq!(store.find_job("é").await.unwrap(), id("é1"));
    let error = store.find_job("0").await.unwrap_err();
    let expected = (ErrorKind::AmbiguousJob, "several job IDs begin with `0`");
    assert_eq!((error.kind(), error.to_string().as_str()), expected);
    assert_eq!(store.find_job("0A").await.unwrap_err().kind(), ErrorKind::UnknownJob);
    assert_eq!(store.find_job("").await.unwrap_err().kind(), ErrorKind::AmbiguousJob);
}

async fn a_running_job_can_be_told_what_others_want(place: Place) {
    let (store, attempt) = begun(&place).await;
    let other = place.open().await;
    other.request_cancel(&id("j1")).await.unwrap();
    other.set_max_rate(&id("j1"), Some("5MB".into())).await.unwrap();
    let control = store.control(&id("j1")).await.unwrap();
    assert!(control.cancel);
    assert_eq!(control.max_rate.as_deref(), Some("5MB"));
    assert_eq!(other.job(&id("j1")).await.unwrap().state, JobState::Canceling);
    assert_eq!(other.cancel_beats(&id("j1")).await.unwrap(), 0);
    for _ in 0..2 {
        store.record_cancel_beat(&attempt).await.unwrap();
    }
    assert_eq!(other.cancel_beats(&id("j1")).await.unwrap(), 2);
    drop(attempt);
    let _again = store.begin_attempt(&id("j1")).await.unwrap();
    assert!(!store.control(&id("j1")).await.unwrap().cancel, "an old wish does not end a new attempt");
    // A job that nobody works on has nobody to end it.
    other.create_job(job("j2")).await.unwrap();
    other.request_cancel(&id("j2")).await.unwrap();
    assert_eq!(other.job(&id("j2")).await.unwrap().state, JobState::Pending);
}

async fn what_an_attempt_waits_for_is_seen_until_it_ends(place: Place) {
    let (store, attempt) = begun(&place).await;
    let other = place.open().await;
    let seen = async || {
        let job = listed(&*other).await.remove(0);
        (job.max_rate, job.bottleneck)
    };
    assert_eq!(seen().await, (None, None));
    store.record_bottleneck(&attempt, Some("target".into())).await.unwrap();
    other.set_max_rate(&id("j1"), Some("5MB/s".into())).await.unwrap();
    assert_eq!(seen().await, (Some("5MB/s".into()), Some("target".into())));
    store.end_attempt(&attempt, JobState::Failed, "{}".into(), "later".into()).await.unwrap();
    assert_eq!(seen().await, (Some("5MB/s".into()), None), "the limit holds for the next attempt");
}

async fn the_time_of_all_attempts_is_kept(place: Place) {
    let (store, first) = begun(&place).await;
    let on = |worked, copied_for| WorkedOn {
        position: FIRST,
        worked: Duration::from_millis(worked),
        copied_for: Duration::from_millis(copied_for),
    };
    store.record_worked(&first, Duration::from_millis(2500), vec![on(900, 400)]).await.unwrap();
    store.end_attempt(&first, JobState::Canceled, "{}".into(), "later".into()).await.unwrap();
    drop(first);
    let second = store.begin_attempt(&id("j1")).await.unwrap();
    assert_eq!(store.job(&id("j1")).await.unwrap().worked, Duration::from_millis(2500));
    store.record_worked(&second, Duration::from_millis(4000), vec![on(1000, 500)]).await.unwrap();
    assert_eq!(listed(&*store).await[0].worked, Duration::from_secs(4));
    let collections = store.collections(&id("j1")).await.unwrap();
    let worked = (collections[0].worked, collections[0].copied_for);
    assert_eq!(worked, (Duration::from_secs(1), Duration::from_millis(500)));
    assert_eq!(collections[1].worked, Duration::ZERO);
}

async fn the_first_timestamp_of_reads_stays(place: Place) {
    let (store, attempt) = begun(&place).await;
    assert_eq!(store.record_read_timestamp(&attempt, None).await.unwrap(), None);
    for timestamp in [u64::MAX, 7] {
        let recorded = store.record_read_timestamp(&attempt, Some(timestamp)).await.unwrap();
        assert_eq!(recorded, Some(u64::MAX));
    }
    assert_eq!(store.job(&id("j1")).await.unwrap().read_timestamp, Some(u64::MAX));
}

async fn events_are_read_on_behind_the_last_one(place: Place) {
    let (store, attempt) = begun(&place).await;
    for number in 0..5 {
        let event = format!("{{\"number\": {number}}}");
        store.record_event(&attempt, format!("at {number}"), event).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let events = store.events(&id("j1"), after, 2).await.unwrap();
        let Some(last) = events.last() else { break };
        after = Some(last.event_id);
        seen.extend(events.into_iter().map(|event| (event.attempt, event.at)));
    }
    assert_eq!(seen, (0..5).map(|number| (1, format!("at {number}"))).collect::<Vec<_>>());
}

async fn the_newest_events_come_first(place: Place) {
    let (store, attempt) = begun(&place).await;
    for number in 0..5 {
        store.record_event(&attempt, format!("at {number}"), "{}".into()).await.unwrap();
    }
    let newest = async |skipped, events_max| {
        let events = store.newest_events(&id("j1"), skipped, events_max).await.unwrap();
        events.into_iter().map(|event| event.at).collect::<Vec<_>>()
    };
    assert_eq!(newest(0, 2).await, ["at 4", "at 3"]);
    assert_eq!(newest(3, 9).await, ["at 1", "at 0"]);
    assert_eq!(newest(5, 9).await, Vec::<String>::new());
    assert_eq!(store.events_total(&id("j1")).await.unwrap(), 5);
    assert_eq!(store.events_total(&id("none")).await.unwrap(), 0);
}

async fn waits_are_counted_but_for_those_who_work_beside(place: Place) {
    let (store, attempt) = begun(&place).await;
    let before = store.usage();
    assert!(before.waited > Duration::ZERO && before.busy > Duration::ZERO && before.commits >= 2);
    let beside = store.beside();
    beside.record_bottleneck(&attempt, None).await.unwrap();
    assert_eq!(store.usage().waited, before.waited);
    let waiting = store.waiting();
    drop(waiting);
    assert!(store.usage().waited > before.waited);
    assert!(beside.usage().waited > Duration::ZERO);
    assert_eq!(beside.place(), store.place());
}

async fn listed(store: &dyn Store) -> Vec<JobSummary> {
    let jobs = store.jobs(JobPage::newest()).await.unwrap();
    for job in &jobs {
        assert_eq!(store.summary(&job.job_id).await.unwrap(), *job);
    }
    jobs
}
