//! Names on targets.

use vecferry_store::{JobState, NewJob};

use crate::on_both_stores;
use crate::place::{Place, eventually};
use crate::sample::{FIRST, SECOND, begun, id, job};

on_both_stores!(
    a_name_of_a_target_belongs_to_one_job_at_once,
    of_two_jobs_that_ask_at_once_one_gets_the_names,
);

async fn a_name_of_a_target_belongs_to_one_job_at_once(place: Place) {
    let (store, first) = begun(&place).await;
    store.create_job(job("j2")).await.unwrap();
    store.create_job(NewJob { target: "http://c:1".into(), ..job("j3") }).await.unwrap();
    let second = store.begin_attempt(&id("j2")).await.unwrap();
    let elsewhere = store.begin_attempt(&id("j3")).await.unwrap();
    assert_eq!(store.reserve_names(&first).await.unwrap(), []);
    assert_eq!(store.reserve_names(&first).await.unwrap(), [], "they are its own");
    assert_eq!(store.reserve_names(&elsewhere).await.unwrap(), [], "of another target");
    let held = store.reserve_names(&second).await.unwrap();
    let shown: Vec<_> = held.iter().map(|one| (one.name.as_str(), one.holder.as_str(), one.live)).collect();
    assert_eq!(shown, [("default.books", "j1", true), ("default.films", "j1", true)]);
    assert_eq!((held[1].position, held[1].holder_position), (SECOND, SECOND));
    assert_eq!(held[0].holder_state, JobState::InProgress);

    // It died when it had begun to make one of them: that one is still its own.
    store.intend_named_creation(&first, SECOND, None).await.unwrap();
    drop(first);
    eventually("nobody works on the job", async || !store.is_live(&id("j1")).await.unwrap()).await;
    let held = store.reserve_names(&second).await.unwrap();
    let shown: Vec<_> = held.iter().map(|one| (one.name.as_str(), one.position, one.live)).collect();
    assert_eq!(shown, [("default.films", SECOND, false)]);
    store.release_name(held[0].clone()).await.unwrap();
    store.release_name(held[0].clone()).await.unwrap();
    assert_eq!(store.reserve_names(&second).await.unwrap(), []);
    let first = store.begin_attempt(&id("j1")).await.unwrap();
    assert_eq!(store.reserve_names(&first).await.unwrap().len(), 2, "and now they are the other one's");

    // A success holds nothing any more.
    store.intend_named_creation(&second, FIRST, None).await.unwrap();
    store.end_attempt(&second, JobState::Successful, "{}".into(), "later".into()).await.unwrap();
    drop(second);
    eventually("nobody works on the job", async || !store.is_live(&id("j2")).await.unwrap()).await;
    assert_eq!(store.reserve_names(&first).await.unwrap(), []);
    store.remove_job(&first).await.unwrap();
    assert_eq!(store.jobs(vecferry_store::JobPage::newest()).await.unwrap().len(), 2);
}

async fn of_two_jobs_that_ask_at_once_one_gets_the_names(place: Place) {
    let (one, first) = begun(&place).await;
    let other = place.open().await;
    other.create_job(job("j2")).await.unwrap();
    let second = other.begin_attempt(&id("j2")).await.unwrap();
    let (mine, theirs) = tokio::join!(one.reserve_names(&first), other.reserve_names(&second));
    let mut held = [mine.unwrap().len(), theirs.unwrap().len()];
    held.sort_unstable();
    assert_eq!(held, [0, 2]);
}
