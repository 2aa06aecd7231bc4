//! Writers and claims: opened, renewed, lost, taken over.

use std::time::Duration;

use vecferry_store::{
    Claim, ErrorKind, JobState, Position, RangeCount, Right, SplitId, Store, WorkerId, Writer,
};

use crate::on_both_stores;
use crate::place::{Place, eventually};
use crate::sample::{
    FIRST, LONG, SECOND, begun, claimed, id, job, planned, refused, rest, split, step, writer,
};

on_both_stores!(
    writers_are_opened_while_an_attempt_is_under_way,
    each_claim_has_a_greater_epoch,
    a_claim_belongs_to_its_writer_until_its_time_is_over,
    a_writer_that_is_renewed_keeps_its_claims,
    a_writer_that_nobody_took_over_may_go_on_after_its_time,
    taking_over_puts_the_unrecorded_range_in_doubt_first,
    a_writer_that_is_taken_over_loses_all_its_claims_of_the_collection,
    lost_writers_are_listed_until_they_are_closed,
    under_a_lost_claim_nothing_can_be_written,
    a_new_attempt_ends_all_claims,
    all_writers_of_a_collection_can_be_ended,
    a_claim_that_is_released_leaves_its_split_free,
    a_split_is_claimed_by_writers_of_its_own_collection,
    a_writer_that_fails_says_why_and_leaves_its_splits_free,
    workers_are_counted_while_they_hold_claims,
    workers_join_only_while_they_are_admitted,
    the_end_of_an_attempt_ends_all_writers,
);

/// As long as it takes to see that it is over.
const SHORT: Duration = Duration::from_millis(50);

async fn take(store: &dyn Store, writer: &Writer, split_id: SplitId) -> Claim {
    store.claim(writer, split_id).await.unwrap().unwrap().0
}

/// Waits until the time of whoever has a split is over.
async fn wait_until_free(store: &dyn Store, split_id: SplitId) {
    eventually("the split is free", async || {
        store.free_splits(&id("j1"), FIRST).await.unwrap().contains(&split_id)
    })
    .await;
}

async fn doubts(store: &dyn Store) -> Vec<(Option<String>, Option<String>)> {
    let doubts = store.doubts(&id("j1"), FIRST).await.unwrap();
    doubts.into_iter().map(|doubt| (doubt.after, doubt.until)).collect()
}

fn range(after: Option<&str>, until: &str) -> (Option<String>, Option<String>) {
    (after.map(str::to_owned), Some(until.to_owned()))
}

async fn writers_are_opened_while_an_attempt_is_under_way(place: Place) {
    let store = place.open().await;
    store.create_job(job("j1")).await.unwrap();
    let worker = WorkerId::generate();
    let open = |job_id: &'static str, collection| {
        let (store, worker) = (&store, &worker);
        async move { store.open_writer(&id(job_id), collection, worker, LONG).await }
    };
    assert_eq!(open("j1", FIRST).await.unwrap_err().kind(), ErrorKind::NotOpen, "it is pending");
    assert_eq!(open("j9", FIRST).await.unwrap_err().kind(), ErrorKind::NotOpen);
    let attempt = store.begin_attempt(&id("j1")).await.unwrap();
    for number in 1..4 {
        let writer = open("j1", FIRST).await.unwrap();
        assert_eq!((writer.number(), writer.collection(), writer.job_id()), (number, FIRST, &id("j1")));
    }
    assert_eq!(open("j1", SECOND).await.unwrap().number(), 1);
    assert!(open("j1", Position(9)).await.is_err());
    store.request_cancel(&id("j1")).await.unwrap();
    assert_eq!(open("j1", FIRST).await.unwrap().number(), 4, "it still ends what it began");
    store.end_attempt(&attempt, JobState::Canceled, "{}".into(), "later".into()).await.unwrap();
    assert_eq!(open("j1", FIRST).await.unwrap_err().kind(), ErrorKind::NotOpen);
}

async fn each_claim_has_a_greater_epoch(place: Place) {
    let (store, _attempt, splits) = planned(&place).await;
    let (first, split_id) = (writer(&*store, LONG).await, splits[0].split_id);
    let mut last = 0;
    for _ in 0..3 {
        let claim = take(&*store, &first, split_id).await;
        assert!(claim.epoch() > last);
        assert_eq!((claim.split_id(), claim.writer()), (split_id, &first));
        last = claim.epoch();
    }
    store.lose_writers(&_attempt, FIRST).await.unwrap();
    assert!(claimed(&*store, &splits[0]).await.epoch() > last);
}

async fn a_claim_belongs_to_its_writer_until_its_time_is_over(place: Place) {
    let (store, _attempt, splits) = planned(&place).await;
    let (other, split_id) = (place.open().await, splits[0].split_id);
    let first = writer(&*store, LONG).await;
    let claim = take(&*store, &first, split_id).await;
    assert_eq!(other.free_splits(&id("j1"), FIRST).await.unwrap(), [splits[1].split_id]);
    let second = writer(&*other, LONG).await;
    let error = other.claim(&second, split_id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IsClaimed);
    assert_eq!(error.to_string(), format!("split {split_id} is being copied by writer 1"));
    store.renew_writer(&first, SHORT).await.unwrap();
    wait_until_free(&*other, split_id).await;
    let newer = take(&*other, &second, split_id).await;
    assert!(newer.epoch() > claim.epoch());
    assert_eq!(store.advance(&claim, rest(&splits[0])).await.unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(store.renew_writer(&first, LONG).await.unwrap_err().kind(), ErrorKind::Fenced);
    let error = store.claim(&first, splits[1].split_id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "a lost writer claims nothing");
    other.advance(&newer, step((None, None), (None, Some("e")))).await.unwrap();
}

async fn a_writer_that_is_renewed_keeps_its_claims(place: Place) {
    let (store, _attempt, splits) = planned(&place).await;
    let first = writer(&*store, Duration::ZERO).await;
    let claim = take(&*store, &first, splits[0].split_id).await;
    assert_eq!(store.free_splits(&id("j1"), FIRST).await.unwrap().len(), 2, "its time is over");
    store.renew_writer(&first, LONG).await.unwrap();
    assert_eq!(store.free_splits(&id("j1"), FIRST).await.unwrap(), [splits[1].split_id]);
    let second = writer(&*store, Duration::MAX).await;
    let error = store.claim(&second, splits[0].split_id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IsClaimed);
    store.renew_writer(&second, Duration::MAX).await.unwrap();
    store.advance(&claim, step((None, None), (None, Some("e")))).await.unwrap();
}

async fn a_writer_that_nobody_took_over_may_go_on_after_its_time(place: Place) {
    let (store, _attempt, splits) = planned(&place).await;
    let first = writer(&*store, Duration::ZERO).await;
    let claim = take(&*store, &first, splits[0].split_id).await;
    store.advance(&claim, step((None, None), (None, Some("e")))).await.unwrap();
    take(&*store, &first, splits[1].split_id).await;
    assert_eq!(store.lost_writers(&id("j1"), FIRST).await.unwrap(), [0; 0]);
    assert_eq!(doubts(&*store).await, []);
}

async fn taking_over_puts_the_unrecorded_range_in_doubt_first(place: Place) {
    let (store, attempt, splits) = planned(&place).await;
    let first = writer(&*store, Duration::ZERO).await;
    let claim = take(&*store, &first, splits[0].split_id).await;
    store.advance(&claim, step((None, None), (None, Some("b")))).await.unwrap();
    store.advance(&claim, step((None, Some("b")), (Some("b"), Some("d\0")))).await.unwrap();
    let second = writer(&*store, LONG).await;
    let (newer, split) = store.claim(&second, splits[0].split_id).await.unwrap().unwrap();
    // With the claim, nothing in between.
    assert_eq!(doubts(&*store).await, [range(Some("b"), "d\0")]);
    assert_eq!(store.lost_writers(&id("j1"), FIRST).await.unwrap(), [1]);
    assert_eq!((split.cursor.as_deref(), split.intent.as_deref()), (Some("b"), Some("d\0")));
    // Claimed once more, it is the same range that is in doubt.
    take(&*store, &second, splits[0].split_id).await;
    assert_eq!(doubts(&*store).await.len(), 1);
    assert_eq!(store.doubts_total(&id("j1")).await.unwrap(), 1);
    // From the beginning of the range, where nothing is recorded yet; nothing, where everything is.
    let upper = take(&*store, &second, splits[1].split_id).await;
    store.advance(&upper, step((None, None), (None, Some("q")))).await.unwrap();
    store.lose_writers(&attempt, FIRST).await.unwrap();
    assert_eq!(doubts(&*store).await, [range(Some("b"), "d\0"), range(Some("m"), "q")]);
    let third = writer(&*store, LONG).await;
    let upper = take(&*store, &third, splits[1].split_id).await;
    store.advance(&upper, step((None, Some("q")), (Some("q"), None))).await.unwrap();
    store.lose_writers(&attempt, FIRST).await.unwrap();
    assert_eq!(doubts(&*store).await.len(), 2);
    assert_eq!(store.advance(&newer, rest(&split)).await.unwrap_err().kind(), ErrorKind::Fenced);
}

async fn a_writer_that_is_taken_over_loses_all_its_claims_of_the_collection(place: Place) {
    let (store, attempt, splits) = planned(&place).await;
    let films = store.plan_splits(&attempt, SECOND, vec![split(None, None)]).await.unwrap();
    let worker = WorkerId::generate();
    let of_films = store.open_writer(&id("j1"), SECOND, &worker, Duration::ZERO).await.unwrap();
    let first = store.open_writer(&id("j1"), FIRST, &worker, Duration::ZERO).await.unwrap();
    let film = take(&*store, &of_films, films[0].split_id).await;
    let lower = take(&*store, &first, splits[0].split_id).await;
    let upper = take(&*store, &first, splits[1].split_id).await;
    store.advance(&upper, step((None, None), (None, Some("q")))).await.unwrap();
    let second = writer(&*store, LONG).await;
    take(&*store, &second, splits[0].split_id).await;
    assert_eq!(doubts(&*store).await, [range(Some("m"), "q")], "of the split that nobody took");
    for claim in [&lower, &upper] {
        assert_eq!(store.release(claim).await.unwrap_err().kind(), ErrorKind::Fenced);
    }
    assert_eq!(store.free_splits(&id("j1"), FIRST).await.unwrap(), [splits[1].split_id]);
    store.advance(&film, step((None, None), (None, Some("a")))).await.unwrap();
    assert_eq!(store.lost_writers(&id("j1"), SECOND).await.unwrap(), [0; 0]);
}

async fn lost_writers_are_listed_until_they_are_closed(place: Place) {
    let (store, attempt) = begun(&place).await;
    let mut writers = Vec::new();
    for _ in 0..4 {
        writers.push(writer(&*store, LONG).await);
    }
    store.lose_writers(&attempt, FIRST).await.unwrap();
    let open = writer(&*store, LONG).await;
    let other = place.open().await;
    let lost = async || other.lost_writers(&id("j1"), FIRST).await.unwrap();
    assert_eq!(lost().await, [1, 2, 3, 4]);
    // Neither one that is open nor one that never was.
    for _ in 0..2 {
        store.close_lost_writers(&id("j1"), FIRST, vec![4, 2, open.number(), 99]).await.unwrap();
    }
    assert_eq!(lost().await, [1, 3]);
    for closed in &writers {
        assert_eq!(store.renew_writer(closed, LONG).await.unwrap_err().kind(), ErrorKind::Fenced);
    }
    store.renew_writer(&open, LONG).await.unwrap();
    assert_eq!(store.lost_writers(&id("j1"), SECOND).await.unwrap(), [0; 0]);
    store.close_lost_writers(&id("j1"), FIRST, lost().await).await.unwrap();
    assert_eq!(lost().await, [0; 0]);
}

/// Tries everything that a claim allows, and tells what each came to.
async fn all_writes(store: &dyn Store, claim: &Claim) -> Vec<Result<(), ErrorKind>> {
    let split = store.split(claim.split_id()).await.unwrap();
    let right = Right::Claim(claim);
    let done = [
        store.advance(claim, step((None, None), (None, Some("e")))).await,
        store.advance(claim, rest(&split)).await,
        store.finish_split(claim, rest(&split), RangeCount::default()).await,
        store.reopen_split(claim, 1, Vec::new()).await,
        store.divide(claim, "g".into(), (1, 1)).await.map(drop),
        store.record_doubt(right, None, None, None).await,
        store.record_quarantined(right, refused("a")).await,
        store.release(claim).await,
    ];
    done.into_iter().map(|done| done.map_err(|error| error.kind())).collect()
}

async fn assert_fenced(store: &dyn Store, claim: &Claim) {
    let before = store.splits(&id("j1"), FIRST).await.unwrap();
    let doubts = store.doubts(&id("j1"), FIRST).await.unwrap();
    assert_eq!(all_writes(store, claim).await, vec![Err(ErrorKind::Fenced); 8]);
    assert_eq!(store.splits(&id("j1"), FIRST).await.unwrap(), before);
    assert_eq!(store.doubts(&id("j1"), FIRST).await.unwrap(), doubts);
    assert_eq!(store.quarantined_total(&id("j1"), FIRST).await.unwrap(), 0);
}

async fn under_a_lost_claim_nothing_can_be_written(place: Place) {
    let (store, attempt, splits) = planned(&place).await;
    let first = writer(&*store, Duration::ZERO).await;
    let older = take(&*store, &first, splits[0].split_id).await;
    // Of the same writer.
    let claim = take(&*store, &first, splits[0].split_id).await;
    assert_fenced(&*store, &older).await;
    // Of another one.
    let second = writer(&*store, LONG).await;
    let newer = take(&*store, &second, splits[0].split_id).await;
    assert_fenced(&*store, &claim).await;
    // Of nobody.
    store.lose_writers(&attempt, FIRST).await.unwrap();
    assert_fenced(&*store, &newer).await;
}

async fn a_new_attempt_ends_all_claims(place: Place) {
    let (store, attempt, splits) = planned(&place).await;
    let films = store.plan_splits(&attempt, SECOND, vec![split(None, None)]).await.unwrap();
    let worker = WorkerId::generate();
    let first = writer(&*store, LONG).await;
    let of_films = store.open_writer(&id("j1"), SECOND, &worker, LONG).await.unwrap();
    let lower = take(&*store, &first, splits[0].split_id).await;
    let upper = take(&*store, &first, splits[1].split_id).await;
    let film = take(&*store, &of_films, films[0].split_id).await;
    store.advance(&lower, step((None, None), (None, Some("e")))).await.unwrap();
    store.advance(&film, step((None, None), (None, Some("a")))).await.unwrap();
    drop(attempt);
    let other = place.open().await;
    let _newer = other.begin_attempt(&id("j1")).await.unwrap();
    assert_eq!(doubts(&*store).await, [range(None, "e")]);
    assert_eq!(store.doubts(&id("j1"), SECOND).await.unwrap().len(), 1);
    for collection in [FIRST, SECOND] {
        assert_eq!(store.lost_writers(&id("j1"), collection).await.unwrap(), [1]);
    }
    for writer in [&first, &of_films] {
        assert_eq!(store.renew_writer(writer, LONG).await.unwrap_err().kind(), ErrorKind::Fenced);
    }
    assert_eq!(store.release(&film).await.unwrap_err().kind(), ErrorKind::Fenced);
    assert_fenced(&*store, &lower).await;
    assert_fenced(&*store, &upper).await;
    assert_eq!(other.free_splits(&id("j1"), FIRST).await.unwrap().len(), 2);
}

async fn all_writers_of_a_collection_can_be_ended(place: Place) {
    let (store, attempt, splits) = planned(&place).await;
    let films = store.plan_splits(&attempt, SECOND, vec![split(None, None)]).await.unwrap();
    let of_films = store.open_writer(&id("j1"), SECOND, &WorkerId::generate(), LONG).await.unwrap();
    let film = take(&*store, &of_films, films[0].split_id).await;
    let claims = [claimed(&*store, &splits[0]).await, claimed(&*store, &splits[1]).await];
    for _ in 0..2 {
        store.lose_writers(&attempt, FIRST).await.unwrap();
    }
    assert_eq!(store.lost_writers(&id("j1"), FIRST).await.unwrap(), [1, 2]);
    for claim in &claims {
        assert_fenced(&*store, claim).await;
    }
    store.release(&film).await.unwrap();
}

async fn a_claim_that_is_released_leaves_its_split_free(place: Place) {
    let (store, _attempt, splits) = planned(&place).await;
    let first = writer(&*store, LONG).await;
    let claim = take(&*store, &first, splits[0].split_id).await;
    store.advance(&claim, step((None, None), (None, Some("e")))).await.unwrap();
    store.advance(&claim, step((None, Some("e")), (Some("e"), None))).await.unwrap();
    // The second time nobody had told whoever asks.
    for _ in 0..2 {
        store.release(&claim).await.unwrap();
    }
    assert_eq!(store.free_splits(&id("j1"), FIRST).await.unwrap().len(), 2);
    let error = store.advance(&claim, step((Some("e"), Some("e")), (None, Some("k")))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    let second = writer(&*store, LONG).await;
    let newer = take(&*store, &second, splits[0].split_id).await;
    assert_eq!(doubts(&*store).await, [], "nothing of it was on its way");
    assert_eq!(store.lost_writers(&id("j1"), FIRST).await.unwrap(), [0; 0]);
    assert_eq!(store.release(&claim).await.unwrap_err().kind(), ErrorKind::Fenced, "it is another's by now");
    store.advance(&newer, step((Some("e"), Some("e")), (None, Some("k")))).await.unwrap();
}

async fn a_split_is_claimed_by_writers_of_its_own_collection(place: Place) {
    let (store, attempt, splits) = planned(&place).await;
    let of_films = store.open_writer(&id("j1"), SECOND, &WorkerId::generate(), LONG).await.unwrap();
    let error = store.claim(&of_films, splits[0].split_id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    let first = writer(&*store, LONG).await;
    store.forget_creation(&attempt, FIRST, 10).await.unwrap();
    let error = store.claim(&first, splits[0].split_id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    let text = format!("the collection has no split {} any more", splits[0].split_id);
    assert_eq!(error.to_string(), text);
}

async fn a_writer_that_fails_says_why_and_leaves_its_splits_free(place: Place) {
    let (store, attempt, splits) = planned(&place).await;
    let failures = async || store.failures(&id("j1"), FIRST).await.unwrap();
    let (first, second) = (writer(&*store, LONG).await, writer(&*store, LONG).await);
    let claim = take(&*store, &first, splits[0].split_id).await;
    store.advance(&claim, step((None, None), (None, Some("3")))).await.unwrap();
    store.end_writer(&first, Some("out of disk".into())).await.unwrap();
    store.end_writer(&first, Some("out of disk".into())).await.unwrap();
    assert_eq!(failures().await, ["out of disk"]);
    // What it may have sent is in doubt, and somebody else has to remove its name.
    assert_eq!(doubts(&*store).await, [range(None, "3")]);
    assert_eq!(store.lost_writers(&id("j1"), FIRST).await.unwrap(), [first.number()]);
    assert!(store.free_splits(&id("j1"), FIRST).await.unwrap().contains(&splits[0].split_id));
    let late = store.end_writer(&first, Some("something else".into())).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Fenced);
    store.end_writer(&second, Some("denied".into())).await.unwrap();
    assert_eq!(failures().await, ["out of disk", "denied"]);
    assert_eq!(store.failures(&id("j1"), SECOND).await.unwrap(), Vec::<String>::new());

    // Whoever begins again, with the collection or with the job, begins without them.
    store.lose_writers(&attempt, FIRST).await.unwrap();
    assert_eq!(failures().await, Vec::<String>::new());
    let third = writer(&*store, LONG).await;
    store.end_writer(&third, Some("denied".into())).await.unwrap();
    store.end_attempt(&attempt, JobState::Failed, "{}".into(), "later".into()).await.unwrap();
    drop(attempt);
    let _next = store.begin_attempt(&id("j1")).await.unwrap();
    assert_eq!(failures().await, Vec::<String>::new());
    assert_eq!(store.end_writer(&third, Some("late".into())).await.unwrap_err().kind(), ErrorKind::Fenced);
}

async fn workers_are_counted_while_they_hold_claims(place: Place) {
    let (store, attempt, splits) = planned(&place).await;
    let workers = async || store.workers(&id("j1")).await.unwrap();
    let (first, second) = (writer(&*store, LONG).await, writer(&*store, SHORT).await);
    assert_eq!(workers().await, 0);
    let claim = take(&*store, &first, splits[0].split_id).await;
    assert_eq!(workers().await, 1);
    take(&*store, &second, splits[1].split_id).await;
    wait_until_free(&*store, splits[1].split_id).await;
    assert_eq!(workers().await, 1, "the time of the other is over");
    store.renew_writer(&second, LONG).await.unwrap();
    assert_eq!(workers().await, 2);
    store.release(&claim).await.unwrap();
    assert_eq!(workers().await, 1);
    store.lose_writers(&attempt, FIRST).await.unwrap();
    assert_eq!(workers().await, 0);
}

async fn workers_join_only_while_they_are_admitted(place: Place) {
    let (store, attempt, splits) = planned(&place).await;
    let worker = WorkerId::generate();
    let join = async || store.join(&id("j1"), FIRST, &worker, LONG).await;
    assert_eq!(join().await.unwrap_err().kind(), ErrorKind::NotOpen);
    store.admit_workers(&attempt, FIRST).await.unwrap();
    let other = store.join(&id("j1"), SECOND, &worker, LONG).await;
    assert_eq!(other.unwrap_err().kind(), ErrorKind::NotOpen);
    let joined = join().await.unwrap();
    assert_eq!((joined.number(), joined.collection()), (1, FIRST));
    take(&*store, &joined, splits[0].split_id).await;

    store.lose_writers(&attempt, FIRST).await.unwrap();
    assert_eq!(join().await.unwrap_err().kind(), ErrorKind::NotOpen);
    store.admit_workers(&attempt, FIRST).await.unwrap();
    assert_eq!(join().await.unwrap().number(), 2);
    store.end_attempt(&attempt, JobState::Failed, "{}".into(), "later".into()).await.unwrap();
    assert_eq!(join().await.unwrap_err().kind(), ErrorKind::NotOpen);
    place.end_lease("j1");
    let next = store.begin_attempt(&id("j1")).await.unwrap();
    assert_eq!(join().await.unwrap_err().kind(), ErrorKind::NotOpen, "each attempt admits them anew");
    assert_eq!(store.admit_workers(&attempt, FIRST).await.unwrap_err().kind(), ErrorKind::Superseded);
    store.admit_workers(&next, FIRST).await.unwrap();
    assert_eq!(join().await.unwrap().number(), 3);
}

async fn the_end_of_an_attempt_ends_all_writers(place: Place) {
    let (store, attempt, splits) = planned(&place).await;
    let one = writer(&*store, LONG).await;
    let claim = take(&*store, &one, splits[0].split_id).await;
    store.advance(&claim, step((None, None), (None, Some("3")))).await.unwrap();
    store.end_attempt(&attempt, JobState::Canceled, "{}".into(), "later".into()).await.unwrap();
    let late = store.advance(&claim, step((None, Some("3")), (Some("3"), None))).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Fenced);
    assert_eq!(doubts(&*store).await, [range(None, "3")]);
    assert_eq!(store.lost_writers(&id("j1"), FIRST).await.unwrap(), [one.number()]);
}
