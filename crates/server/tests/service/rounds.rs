//! Catch-ups and cut-overs through the API, carried out by the engine.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use vecferry_store::{RoundKind, RoundState};
use vecferry_testkit::StandIn;
use vecferry_testkit::fault_proxy::{Armed, Fault, FaultProxy, When};
use vecferry_testkit::stand_in::{Key, Value as Cell};

use crate::client::{World, settings, text};
use crate::flow::{books, server};
use crate::on_both_stores;
use crate::place::{Place, change, eventually};
use crate::warm::{Ready, wanted_round, warm};

on_both_stores!(
    a_job_catches_up_and_cuts_over,
    a_source_elsewhere_is_reached_until_the_cut_over,
    what_a_round_may_do_is_passed_on,
    a_round_in_the_queue_begins_once,
    a_killed_round_is_gone_on_with_and_no_other_begun,
    a_canceled_round_can_be_begun_again,
    a_cut_over_that_sees_writes_fails_and_another_one_is_begun,
);

const AT: (&str, &str) = ("default", "books");
const PATIENCE: Duration = Duration::from_secs(30);

fn row(key: i64, part: f32) -> Vec<Vec<Cell>> {
    let vector = [part; 4].iter().flat_map(|part| part.to_le_bytes()).collect();
    vec![vec![Cell::Long(key)], vec![Cell::Vector(vector)]]
}

/// A row more, one less, and one that is another one.
pub(crate) fn written_to(source: &StandIn, round: i64) {
    source.insert(AT, "_default", row(1_000 + round, 1.0));
    source.upsert(AT, "_default", row(round, 7.0));
    source.delete(AT, "_default", &BTreeSet::from([Key::Long(20 + round)]));
}

#[track_caller]
fn assert_equal(ready: &Ready) {
    assert_eq!(ready.target.rows(AT.0, AT.1), ready.source.rows(AT.0, AT.1));
}

/// Kinds and states of the rounds, oldest first.
async fn kinds(ready: &Ready) -> Vec<(RoundKind, RoundState)> {
    ready.rounds().await.iter().rev().map(|round| (round.kind, round.state)).collect()
}

const WARM: (RoundKind, RoundState) = (RoundKind::Warm, RoundState::Done);
const CATCH_UP: (RoundKind, RoundState) = (RoundKind::CatchUp, RoundState::Done);
const CUT_OVER: (RoundKind, RoundState) = (RoundKind::CutOver, RoundState::Done);

/// Asks for a round, and waits for what it comes to.
async fn carried_out(ready: &Ready, way: &str, body: Value, status: &str) -> Value {
    ready.world.owner.post(&ready.path(way), body).await.data();
    ready.settled(status).await
}

async fn a_job_catches_up_and_cuts_over(place: Place) {
    let ready = Ready::start(place).await;
    ready.source.add_alias(AT, "library");
    written_to(&ready.source, 1);
    let details = carried_out(&ready, "catch-up", json!({}), "READY").await;
    assert_eq!(details["problems"], json!([]), "{details:#}");
    assert_equal(&ready);
    assert_eq!(kinds(&ready).await, [WARM, CATCH_UP]);
    assert!(!ready.target.names("default").1.contains(&"library".to_owned()), "nothing is switched yet");

    written_to(&ready.source, 2);
    let details = carried_out(&ready, "cutover", json!({}), "SUCCESSFUL").await;
    assert_eq!((text(&details["job"]["progress"]), &details["problems"]), ("100".to_owned(), &json!([])));
    assert_equal(&ready);
    assert_eq!(kinds(&ready).await, [WARM, CATCH_UP, CUT_OVER]);
    assert!(ready.target.names("default").1.contains(&"library".to_owned()));
    let report = ready.world.owner.get(&ready.path("report")).await.data();
    assert_eq!(report["rounds"].as_array().map(Vec::len), Some(3), "{report:#}");
    assert!(report["rounds"][2]["window_seconds"].is_number(), "{report:#}");
    // It is over.
    for way in ["catch-up", "cutover", "resume"] {
        ready.world.owner.post(&ready.path(way), json!({})).await.assert_refused(409, "VF-0805");
    }
}

/// The service keeps the credential between the rounds, and erases it at the end.
async fn a_source_elsewhere_is_reached_until_the_cut_over(place: Place) {
    let world = World::start(place).await;
    let (source, target) = (server(), server());
    source.add(&books("books"));
    let target_id = world.register(&world.project_id, "target", &target.uri()).await;
    let mut body = warm("", &target_id);
    body["source"] = json!({"endpoint": source.uri(), "token": "root:secret"});
    let job_id = world.owner.migrate(body).await;
    world.wait_for(&job_id, "READY").await;
    let proxy = FaultProxy::start(&source.uri());
    let ready = Ready { world, source, target, proxy, ids: (String::new(), target_id), job_id };
    written_to(&ready.source, 1);
    carried_out(&ready, "catch-up", json!({}), "READY").await;
    assert_equal(&ready);
    written_to(&ready.source, 2);
    carried_out(&ready, "cutover", json!({}), "SUCCESSFUL").await;
    assert_equal(&ready);
    let sql = "SELECT source_secret FROM migrations WHERE job_id = $1";
    let found = crate::place::rows(&ready.world.store, sql, &[(&ready.job_id).into()]).await;
    assert_eq!(found[0].bytes_or_none(0).unwrap(), None);
}

async fn what_a_round_may_do_is_passed_on(place: Place) {
    let ready = Ready::start(place).await;
    // Made anew under its name: another collection.
    ready.source.remove(AT.0, AT.1);
    ready.source.add(&books("books"));
    written_to(&ready.source, 1);
    let details = carried_out(&ready, "catch-up", json!({}), "FAILED").await;
    assert_eq!(details["problems"][0]["code"], "VF-0246", "{details:#}");
    let details = carried_out(&ready, "catch-up", json!({"recopy": true}), "READY").await;
    assert_eq!(details["problems"], json!([]), "{details:#}");
    assert_equal(&ready);
}

/// A process recorded which round was the newest one, and was killed before the engine began the wanted one.
async fn a_round_in_the_queue_begins_once(place: Place) {
    let ready = Ready::start(place).await.queued().await;
    written_to(&ready.source, 1);
    ready.world.owner.post(&ready.path("catch-up"), json!({})).await.data();
    let mut wanted = wanted_round(&ready).await.unwrap();
    wanted["behind"] = json!(1);
    let sql = "UPDATE migrations SET next_round = $2 WHERE job_id = $1";
    change(&ready.world.store, sql, &[(&ready.job_id).into(), wanted.to_string().into()]).await;
    let ready = ready.again(settings()).await;
    ready.settled("READY").await;
    assert_equal(&ready);
    assert_eq!(kinds(&ready).await, [WARM, CATCH_UP]);
}

/// Begins a round, and waits until it is held where it reads its source.
pub(crate) async fn held(ready: &Ready, way: &str) -> Armed {
    let armed = ready.proxy.arm(["Query", "QueryIterator"], When::Always, Fault::HalfOpen);
    ready.world.owner.post(&ready.path(way), json!({})).await.data();
    let (fired, armed) =
        tokio::task::spawn_blocking(move || (armed.wait_until_fired(PATIENCE), armed)).await.unwrap();
    assert!(fired, "the round reads nothing");
    assert_eq!(ready.rounds().await.len(), 2, "it has begun");
    armed
}

/// Answers from now on, also what is held.
pub(crate) async fn release(armed: Armed) {
    armed.disarm();
    let released = move || {
        while armed.held() > 0 {
            // Whoever asked may be gone.
            let _ = armed.release(PATIENCE);
        }
    };
    tokio::task::spawn_blocking(released).await.unwrap();
}

/// Ends the service in the middle of a round.
async fn interrupted(ready: Ready, way: &str) -> Ready {
    let armed = held(&ready, way).await;
    let ready = ready.queued().await;
    release(armed).await;
    ready
}

async fn a_cut_over_that_sees_writes_fails_and_another_one_is_begun(place: Place) {
    let ready = Ready::start(place).await;
    let armed = held(&ready, "cutover").await;
    written_to(&ready.source, 1);
    release(armed).await;
    let details = ready.settled("FAILED").await;
    assert_eq!(details["problems"][0]["code"], "VF-0454", "{details:#}");
    carried_out(&ready, "catch-up", json!({}), "READY").await;
    assert_equal(&ready);
    carried_out(&ready, "cutover", json!({}), "SUCCESSFUL").await;
    let failed = (RoundKind::CutOver, RoundState::Failed);
    assert_eq!(kinds(&ready).await, [WARM, failed, CATCH_UP, CUT_OVER]);
}

async fn a_killed_round_is_gone_on_with_and_no_other_begun(place: Place) {
    let ready = Ready::start(place).await;
    written_to(&ready.source, 1);
    let ready = interrupted(ready, "cutover").await;
    let details = ready.world.owner.get(&ready.path("details")).await.data();
    assert_eq!(details["nextRound"]["kind"], "cut_over", "{details:#}");
    let ready = ready.again(settings()).await;
    let details = ready.settled("SUCCESSFUL").await;
    assert_eq!(details["problems"], json!([]), "{details:#}");
    assert_equal(&ready);
    assert_eq!(kinds(&ready).await, [WARM, CUT_OVER]);
}

async fn a_canceled_round_can_be_begun_again(place: Place) {
    let ready = Ready::start(place).await;
    written_to(&ready.source, 1);
    let ready = interrupted(ready, "catch-up").await;
    ready.world.owner.post(&ready.path("cancel"), json!({})).await.data();
    let ready = ready.again(settings()).await;
    ready.settled("CANCELED").await;
    carried_out(&ready, "catch-up", json!({}), "READY").await;
    assert_equal(&ready);
    written_to(&ready.source, 2);
    carried_out(&ready, "cutover", json!({}), "SUCCESSFUL").await;
    assert_equal(&ready);
    eventually("the last round is the newest one", async || {
        (kinds(&ready).await.last() == Some(&CUT_OVER)).then_some(())
    })
    .await;
}
