//! What happens at a PostgreSQL while another transaction is in the middle of something: each call waits for what decides
//! about it, and then goes by what that left.

use std::future::Future;

use vecferry_store::{ErrorKind, RangeCount, Store, WorkerId};

use crate::place::{Place, SERVER, eventually};
use crate::sample::{FIRST, LONG, id, planned, rest, step, writer};

/// Waits for a while until a store waits for a lock.
const UNTIL_A_STORE_WAITS: &str = "\
    DO $$ BEGIN FOR i IN 1..2000 LOOP \
    PERFORM pg_stat_clear_snapshot(); \
    IF EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() \
        AND application_name = 'vecferry' AND wait_event_type = 'Lock') THEN RETURN; END IF; \
    PERFORM pg_sleep(0.005); END LOOP; RAISE EXCEPTION 'nobody waited'; END $$";

/// Calls the store in the middle of another transaction, which goes on when the call waits for it.
async fn meanwhile<Answer>(
    place: &Place,
    first: &str,
    then: &str,
    call: impl Future<Output = Answer>,
) -> Answer {
    let url = place.name();
    let other = format!("SET search_path = vecferry; BEGIN; {first}; {UNTIL_A_STORE_WAITS}; {then}; COMMIT");
    let transaction = {
        let url = url.clone();
        tokio::task::spawn_blocking(move || SERVER.query(&url, &other))
    };
    let begun = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                 AND wait_event = 'PgSleep'";
    eventually("the other transaction began", async || SERVER.query(&url, begun) != "0").await;
    let answer = call.await;
    transaction.await.unwrap();
    answer
}

async fn claims(store: &dyn Store, place: &Place) -> (usize, String) {
    let free = store.free_splits(&id("j1"), FIRST).await.unwrap().len();
    (free, SERVER.query(&place.name(), "SELECT count(*) FROM vecferry.splits WHERE writer = 1"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_claims_while_it_is_taken_over_loses_that_claim_as_well() {
    let place = Place::postgres();
    let (store, _attempt, splits) = planned(&place).await;
    let over = writer(&*store, std::time::Duration::ZERO).await;
    store.claim(&over, splits[0].split_id).await.unwrap().unwrap();
    let second = writer(&*store, LONG).await;
    let first = "SELECT 1 FROM writers WHERE number = 1 FOR NO KEY UPDATE";
    let then =
        format!("UPDATE splits SET writer = 1, epoch = epoch + 1 WHERE split_id = {}", splits[1].split_id);
    let claim = store.claim(&second, splits[0].split_id);
    meanwhile(&place, first, &then, claim).await.unwrap().unwrap();
    assert_eq!(claims(&*store, &place).await, (1, "0".to_owned()));
    assert_eq!(store.lost_writers(&id("j1"), FIRST).await.unwrap(), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_renews_in_time_is_not_taken_over() {
    let place = Place::postgres();
    let (store, _attempt, splits) = planned(&place).await;
    let over = writer(&*store, std::time::Duration::ZERO).await;
    let claim = store.claim(&over, splits[0].split_id).await.unwrap().unwrap().0;
    let second = writer(&*store, LONG).await;
    let renew = "UPDATE writers SET expires = clock_timestamp() + interval '5 minutes' WHERE number = 1";
    let taken = meanwhile(&place, renew, "SELECT 1", store.claim(&second, splits[0].split_id)).await;
    assert_eq!(taken.unwrap_err().kind(), ErrorKind::IsClaimed);
    store.advance(&claim, step((None, None), (None, Some("e")))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_that_another_claims_first_is_not_taken_from_it() {
    let place = Place::postgres();
    let (store, _attempt, splits) = planned(&place).await;
    let (first, second) = (writer(&*store, LONG).await, writer(&*store, LONG).await);
    let other =
        format!("UPDATE splits SET writer = 1, epoch = epoch + 1 WHERE split_id = {}", splits[0].split_id);
    let claimed = meanwhile(&place, &other, "SELECT 1", store.claim(&second, splits[0].split_id)).await;
    assert_eq!(claimed.unwrap_err().kind(), ErrorKind::IsClaimed);
    assert_eq!(claims(&*store, &place).await, (1, "1".to_owned()));
    store.renew_writer(&first, LONG).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_recorded_as_about_to_be_sent_while_it_is_taken_over_is_in_doubt() {
    let place = Place::postgres();
    let (store, _attempt, splits) = planned(&place).await;
    let over = writer(&*store, std::time::Duration::ZERO).await;
    store.claim(&over, splits[0].split_id).await.unwrap().unwrap();
    let second = writer(&*store, LONG).await;
    let intend = format!("UPDATE splits SET intent = 'e' WHERE split_id = {}", splits[0].split_id);
    let claim = store.claim(&second, splits[0].split_id);
    let (_, split) = meanwhile(&place, &intend, "SELECT 1", claim).await.unwrap().unwrap();
    assert_eq!(split.intent.as_deref(), Some("e"));
    let doubts = store.doubts(&id("j1"), FIRST).await.unwrap();
    assert_eq!((doubts.len(), doubts[0].until.as_deref()), (1, Some("e")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_is_made_while_an_attempt_begins_is_ended_by_it() {
    let place = Place::postgres();
    let (store, attempt, splits) = planned(&place).await;
    writer(&*store, LONG).await;
    drop(attempt);
    place.end_lease("j1");
    let first = "SELECT 1 FROM writers WHERE number = 1 FOR NO KEY UPDATE";
    let then = format!(
        "UPDATE splits SET writer = 1, epoch = epoch + 1, intent = 'e' WHERE split_id = {}",
        splits[0].split_id
    );
    let job_id = id("j1");
    let _newer = meanwhile(&place, first, &then, store.begin_attempt(&job_id)).await.unwrap();
    assert_eq!(claims(&*store, &place).await, (2, "0".to_owned()));
    assert_eq!(store.doubts(&id("j1"), FIRST).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_is_opened_while_an_attempt_begins_is_ended_by_it() {
    let place = Place::postgres();
    let (store, attempt, _) = planned(&place).await;
    drop(attempt);
    place.end_lease("j1");
    let open = "SELECT 1 FROM jobs FOR SHARE; \
                INSERT INTO writers (job_id, collection, number, worker, state, expires, call) \
                VALUES ('j1', 0, 1, 'w', 'open', clock_timestamp() + interval '1 hour', 'c')";
    let job_id = id("j1");
    let _newer = meanwhile(&place, open, "SELECT 1", store.begin_attempt(&job_id)).await.unwrap();
    assert_eq!(store.lost_writers(&id("j1"), FIRST).await.unwrap(), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_is_superseded_meanwhile_writes_nothing() {
    let place = Place::postgres();
    let (store, attempt, _) = planned(&place).await;
    let begin = "UPDATE jobs SET attempt = attempt + 1";
    let written = meanwhile(&place, begin, "SELECT 1", store.record_copied(&attempt, FIRST)).await;
    assert_eq!(written.unwrap_err().kind(), ErrorKind::Superseded);
    assert!(!store.collection(&id("j1"), FIRST).await.unwrap().copied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_waits_for_whoever_takes_its_split_over() {
    let place = Place::postgres();
    let (store, _attempt, splits) = planned(&place).await;
    let first = writer(&*store, LONG).await;
    let claim = store.claim(&first, splits[0].split_id).await.unwrap().unwrap().0;
    let take_over =
        format!("UPDATE splits SET writer = 2, epoch = epoch + 1 WHERE split_id = {}", splits[0].split_id);
    let advance = store.advance(&claim, step((None, None), (Some("e"), None)));
    let advanced = meanwhile(&place, &take_over, "SELECT 1", advance).await;
    assert_eq!(advanced.unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(store.split(splits[0].split_id).await.unwrap().cursor, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_that_is_taken_over_meanwhile_is_neither_finished_nor_divided() {
    for divides in [false, true] {
        let place = Place::postgres();
        let (store, _attempt, splits) = planned(&place).await;
        let first = writer(&*store, LONG).await;
        let claim = store.claim(&first, splits[0].split_id).await.unwrap().unwrap().0;
        let take_over = format!(
            "UPDATE splits SET writer = 2, epoch = epoch + 1 WHERE split_id = {}",
            splits[0].split_id
        );
        let write = async {
            match divides {
                true => store.divide(&claim, "e".into(), (1, 1)).await.map(drop),
                false => store.finish_split(&claim, rest(&splits[0]), RangeCount::default()).await,
            }
        };
        let written = meanwhile(&place, &take_over, "SELECT 1", write).await;
        assert_eq!(written.unwrap_err().kind(), ErrorKind::Fenced);
        assert_eq!(store.splits(&id("j1"), FIRST).await.unwrap(), splits);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_writer_is_opened_when_the_attempt_ends_meanwhile() {
    let place = Place::postgres();
    let (store, _attempt, _) = planned(&place).await;
    let (job_id, worker) = (id("j1"), WorkerId::generate());
    let open = store.open_writer(&job_id, FIRST, &worker, LONG);
    let opened = meanwhile(&place, "UPDATE jobs SET state = 'FAILED'", "SELECT 1", open).await;
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::NotOpen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_the_server_ends_is_begun_again() {
    let place = Place::postgres();
    let (store, _attempt, splits) = planned(&place).await;
    let first = writer(&*store, LONG).await;
    let claim = store.claim(&first, splits[0].split_id).await.unwrap().unwrap().0;
    let end = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
               AND application_name = 'vecferry' AND wait_event_type = 'Lock'";
    let advance = store.advance(&claim, step((None, None), (Some("e"), None)));
    let held = "SELECT 1 FROM splits FOR NO KEY UPDATE";
    meanwhile(&place, held, end, advance).await.unwrap();
    assert_eq!(store.split(splits[0].split_id).await.unwrap().progress.rows_written, 5);
}
