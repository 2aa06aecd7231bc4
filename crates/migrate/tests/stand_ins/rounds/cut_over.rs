//! The cut-over: what keeps it from switching, and what it never touches.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use prost::Message;
use tokio_util::sync::CancellationToken;
use vecferry_migrate::event::{Event, Observer, Phase};
use vecferry_migrate::report::{RoundKind, RoundState};
use vecferry_migrate::{
    JobState, MigrateRequest, Migration, Purpose, RbacRequest, RbacUsers, Resumed, cancel,
};
use vecferry_milvus::proto::common::Status;
use vecferry_milvus::proto::milvus::CreateAliasRequest;
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::plain;
use vecferry_testkit::stand_in::{Interference, Key, Version};

use super::super::warm::{AT, codes, row, wanted, when};
use super::super::{Silent, endpoint};
use super::{NOTHING_MORE, Scene, apart, assert_caught_up, assert_cut_over, rows};

fn refusal() -> Status {
    Status { code: 1100, error_code: 1, reason: "no more of them".to_owned(), ..Status::default() }
}

/// Whether an alias is the one that users know.
fn is_of_library(message: &[u8]) -> bool {
    CreateAliasRequest::decode(message).is_ok_and(|request| request.alias == "library")
}

/// When somebody writes to the source in a cut-over.
#[derive(Clone, Copy, Debug)]
enum Late {
    /// While both sides are compared.
    Compared,
    /// Behind the comparison, before the switch.
    Behind,
}

/// Each kind of write, at each moment: nothing is switched to, nothing is claimed, and another cut-over ends well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_during_the_cut_over_keep_it_from_switching() {
    for version in [Version::V2_3, Version::V2_6] {
        for late in [Late::Compared, Late::Behind] {
            for kind in 0..3 {
                let context = format!("{version:?}, {late:?}, kind {kind}");
                let scene = Scene::new(version);
                scene.warm().await;
                scene.change();
                let source = Arc::clone(&scene.source);
                let write = move || match kind {
                    0 => source.insert(AT, "_default", row(4000, 1.0)),
                    1 => source.upsert(AT, "_default", row(299, 5.0)),
                    _ => source.delete(AT, "_default", &BTreeSet::from([Key::Long(298)])),
                };
                let report = match late {
                    Late::Behind => {
                        scene.next(Purpose::CutOver, NOTHING_MORE, when(Phase::Indexing, write)).await
                    }
                    Late::Compared => {
                        let (mut queries, done) = (0, AtomicBool::new(false));
                        scene.target.interfere(move |seen| {
                            queries += u64::from(seen.method == "Upsert");
                            if queries == 1 && !done.swap(true, Ordering::Relaxed) {
                                write();
                            }
                            Interference::None
                        });
                        scene.next(Purpose::CutOver, NOTHING_MORE, Arc::new(Silent)).await
                    }
                };
                let report = report.unwrap();
                scene.target.interfere_no_more();
                assert_eq!(report.state, JobState::Failed, "{context}");
                assert_eq!(codes(&report.problems)[0], "VF-0454", "{context}: {:#?}", report.problems);
                let last = report.rounds.last().unwrap();
                assert_eq!((last.kind, last.state), (RoundKind::CutOver, RoundState::Failed), "{context}");
                assert!(scene.target.names("default").1.is_empty(), "{context}: no alias");
                // There is nothing to go on with, and it is as ready as before.
                let Resumed::Ready(migration) = scene.resume().await else { panic!("{context}") };
                let rested =
                    migration.run(&scene.store(), Arc::new(Silent), CancellationToken::new()).await.unwrap();
                assert_eq!(rested.state, JobState::Ready, "{context}");
                let report = scene.cut_over().await;
                assert_cut_over(&scene, &report, &context);
            }
        }
    }
}

/// A partition, an alias or a collection that comes while nobody is to write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_to_the_source_during_the_cut_over_keeps_it_from_switching() {
    for kind in 0..3 {
        let scene = Scene::new(Version::V2_6);
        scene.warm().await;
        let source = Arc::clone(&scene.source);
        let change = move || match kind {
            0 => source.add_partition(AT, "late"),
            1 => source.add_alias(AT, "late"),
            _ => source.add(&plain("late", false, &[("_default", vec![Key::Long(1)])])),
        };
        let report =
            scene.next(Purpose::CutOver, NOTHING_MORE, when(Phase::Verifying, change)).await.unwrap();
        assert_eq!(report.state, JobState::Failed, "kind {kind}");
        assert_eq!(codes(&report.problems)[0], "VF-0454", "kind {kind}: {:#?}", report.problems);
        assert!(scene.target.names("default").1.is_empty(), "kind {kind}: no alias");
        assert_cut_over(&scene, &scene.cut_over().await, "again");
    }
}

/// Segments of the source that are rewritten may hide a write: all is compared once more, and it is no failure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_compacts_is_compared_once_more() {
    let scene = Scene::new(Version::V2_5);
    scene.warm().await;
    scene.change();
    scene.source.seal(AT.0, AT.1);
    let (source, queries) = (Arc::clone(&scene.source), Arc::new(AtomicU64::new(0)));
    let seen_queries = Arc::clone(&queries);
    let done = AtomicBool::new(false);
    scene.target.interfere(move |seen| {
        if seen.method == "Upsert" && !done.swap(true, Ordering::Relaxed) {
            source.compact(AT.0, AT.1);
        }
        seen_queries.fetch_add(u64::from(seen.method == "Query"), Ordering::Relaxed);
        Interference::None
    });
    let report = scene.cut_over().await;
    scene.target.interfere_no_more();
    assert_cut_over(&scene, &report, "compacted");
    assert_eq!(apart(&report, "books"), (2, 3, 1));
}

/// Compacts a collection of the source when it was compared.
struct Compared {
    source: Arc<StandIn>,
    done: AtomicBool,
}

impl Observer for Compared {
    fn on_event(&self, event: Event) {
        if let Event::Phase { collection, phase: Phase::Indexing } = event
            && collection.name == "books"
            && !self.done.swap(true, Ordering::Relaxed)
        {
            self.source.compact(AT.0, AT.1);
        }
    }
}

/// The same while other collections are compared, which may take hours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_compacts_while_others_are_compared_is_compared_once_more() {
    let scene = Scene::new(Version::V2_5);
    scene.source.add(&plain("films", false, &[("_default", (0..40).map(Key::Long).collect())]));
    scene.warm().await;
    scene.change();
    scene.source.seal(AT.0, AT.1);
    let source = Arc::clone(&scene.source);
    let observer = Arc::new(Compared { source, done: AtomicBool::new(false) });
    let report = scene.next(Purpose::CutOver, NOTHING_MORE, observer).await.unwrap();
    assert_cut_over(&scene, &report, "compacted");
    let codes = codes(&report.warnings);
    assert!(!codes.contains(&"VF-0434".to_owned()), "{codes:?}");
    let drift = report.collections[0].drift.as_ref().unwrap();
    assert_eq!(drift.writes, Some(vecferry_migrate::report::Writes::None));
}

/// A role that can't be made keeps the target from taking over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_without_its_roles_is_not_switched_to() {
    let scene = Scene::new(Version::V2_6);
    let mut access = scene.source.access();
    access.roles.push("reader".to_owned());
    scene.source.set_access(access);
    let rbac = RbacRequest { users: RbacUsers::Skip, users_file: None, users_dir: scene.state().to_owned() };
    let request = MigrateRequest { rbac: Some(rbac), ..wanted(&scene.source, &scene.target) };
    scene.warm_as(request, Arc::new(Silent)).await;
    scene.target.interfere(|seen| match seen.method {
        "CreateRole" => Interference::Refused(refusal()),
        _ => Interference::None,
    });
    let report = scene.cut_over().await;
    assert_eq!(report.state, JobState::Failed, "{:#?}", report.problems);
    assert!(scene.target.names("default").1.is_empty(), "no alias");
    scene.target.interfere_no_more();
    let Resumed::Ready(migration) = scene.resume().await else { panic!("it is open") };
    let report = migration.run(&scene.store(), Arc::new(Silent), CancellationToken::new()).await.unwrap();
    assert_cut_over(&scene, &report, "with its role");
}

/// An alias of somebody else's is seen before anything is switched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alias_of_others_keeps_all_collections_from_being_switched_to() {
    let scene = Scene::new(Version::V2_6);
    scene.source.add(&plain("films", false, &[("_default", vec![Key::Long(1)])]));
    scene.source.add_alias(("default", "films"), "cinema");
    scene.warm().await;
    scene.target.add(&plain("theirs", false, &[("_default", vec![Key::Long(1)])]));
    scene.target.add_alias(("default", "theirs"), "cinema");
    let report = scene.cut_over().await;
    assert_eq!((report.state, codes(&report.problems)), (JobState::Failed, vec!["VF-0215".to_owned()]));
    assert_eq!(scene.target.names("default").1, ["cinema"], "neither alias is given");
    scene.target.move_alias(("default", "books"), "cinema");
    let report = scene.cut_over().await;
    assert_eq!(report.state, JobState::Failed, "it is still another's");
}

/// From the switch on, applications may write to the target: what they wrote stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_the_switch_no_row_is_touched_or_judged() {
    let scene = Scene::new(Version::V2_6);
    scene.warm().await;
    scene.change();
    // The answer to the alias is lost, and with it the attempt.
    scene.target.interfere(|seen| match seen.method {
        "CreateAlias" if is_of_library(seen.message) => Interference::Refused(refusal()),
        _ => Interference::None,
    });
    let report = scene.cut_over().await;
    assert_eq!(report.state, JobState::Failed, "{:#?}", report.problems);
    assert_eq!(report.rounds.last().unwrap().state, RoundState::Open);
    scene.target.interfere_no_more();
    scene.target.insert(AT, "_default", row(8888, 1.0));
    scene.target.delete(AT, "_default", &BTreeSet::from([Key::Long(1)]));
    scene.insert(9999, 1.0);
    let held = rows(&scene.target);
    // Neither a catch-up nor a clean-up touches it now.
    let refused = scene.next(Purpose::CatchUp, NOTHING_MORE, Arc::new(Silent)).await.unwrap_err();
    assert_eq!(codes(&refused), ["VF-0244"]);
    let (job_id, store) = (scene.job_id().await, scene.store());
    let sides = (Some(endpoint(&scene.source)), Some(endpoint(&scene.target)));
    let refused = cancel(&*store, &job_id, sides.0, sides.1, true).await.unwrap_err();
    assert_eq!(codes(&refused), ["VF-0244"]);
    drop(store);
    let report = scene.cut_over().await;
    assert_eq!(report.state, JobState::Successful, "{:#?}", report.problems);
    assert_eq!(rows(&scene.target), held);
    assert_eq!(scene.target.names("default").1, ["library"]);
    assert_eq!(report.rounds.len(), 2, "it is the same round");
    let Resumed::Successful(again) = scene.resume().await else { panic!("it is complete") };
    assert_eq!(again.state, JobState::Successful);
    let (job_id, store) = (scene.job_id().await, scene.store());
    let next = vecferry_migrate::NextRound { purpose: Purpose::CutOver, options: NOTHING_MORE };
    let ended =
        Migration::next_round(&*store, &job_id, endpoint(&scene.source), endpoint(&scene.target), next);
    let Resumed::Successful(_) = ended.await.unwrap() else { panic!("it is complete") };
}

/// A catch-up between a cut-over that was given up and the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canceled_cut_over_goes_on_or_is_given_up_for_a_catch_up() {
    for goes_on in [false, true] {
        let scene = Scene::new(Version::V2_6);
        scene.warm().await;
        scene.change();
        let token = CancellationToken::new();
        let canceled = token.clone();
        let (job_id, store) = (scene.job_id().await, scene.store());
        let next = vecferry_migrate::NextRound { purpose: Purpose::CutOver, options: NOTHING_MORE };
        let (source, target) = (endpoint(&scene.source), endpoint(&scene.target));
        let begun = Migration::next_round(&*store, &job_id, source, target, next).await.unwrap();
        let Resumed::Ready(migration) = begun else { panic!("it begins") };
        let report =
            migration.run(&store, when(Phase::Verifying, move || canceled.cancel()), token).await.unwrap();
        assert_eq!(report.state, JobState::Canceled, "{:#?}", report.problems);
        assert_eq!(report.rounds.last().unwrap().state, RoundState::Open);
        assert!(!scene.target.is_loaded(AT.0, AT.1));
        drop(store);
        if goes_on {
            // Also what an attempt before found equal is compared again.
            scene.update(9, 33.0);
            scene.insert(6002, 2.0);
            let Resumed::Ready(migration) = scene.resume().await else { panic!("it is open") };
            let report =
                migration.run(&scene.store(), Arc::new(Silent), CancellationToken::new()).await.unwrap();
            assert_cut_over(&scene, &report, "resumed");
            continue;
        }
        scene.insert(6000, 2.0);
        assert_caught_up(&scene.catch_up().await, "instead");
        scene.insert(6001, 2.0);
        let report = scene.cut_over().await;
        assert_cut_over(&scene, &report, "at last");
        let states: Vec<_> = report.rounds.iter().map(|round| round.state).collect();
        assert_eq!(states, [RoundState::Done, RoundState::Failed, RoundState::Done, RoundState::Done]);
    }
}

/// An empty collection that can't be loaded, for want of an index.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_collection_without_an_index_is_cut_over_to() {
    let scene = Scene::new(Version::V2_6);
    let bare = plain("bare", false, &[("_default", Vec::new())]);
    scene.source.add(&vecferry_testkit::stand_in::generate::Generated {
        indexes: Vec::new(),
        loaded: false,
        ..bare
    });
    scene.warm().await;
    assert_caught_up(&scene.catch_up().await, "bare");
    assert_cut_over(&scene, &scene.cut_over().await, "bare");
}

/// Where a user trusts what the round before found equal, rows that came or went are seen all the same, and the report claims
/// no more than was looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_round_before_found_equal_is_only_sampled_where_that_is_allowed() {
    for text_keys in [false, true] {
        let scene = Scene::new(Version::V2_6);
        let key =
            |number: i64| if text_keys { Key::Text(format!("k{number:04}")) } else { Key::Long(number) };
        scene.source.add(&plain("films", text_keys, &[("_default", (0..400).map(key).collect())]));
        scene.warm().await;
        assert_caught_up(&scene.catch_up().await, "all of it is read");
        scene.change();
        scene.source.delete(("default", "films"), "_default", &BTreeSet::from([key(390)]));
        let rows_read = |report: &vecferry_migrate::Report| {
            let each = report.collections.iter().map(|collection| collection.caught_up.unwrap());
            each.fold((0, 0), |sum, one| (sum.0 + one.rows_compared, sum.1 + one.rows_trusted))
        };
        let options = vecferry_migrate::RoundOptions { trust_unchanged: true, ..NOTHING_MORE };
        let report = scene.next(Purpose::CutOver, options, Arc::new(Silent)).await.unwrap();
        assert_eq!(report.state, JobState::Successful, "{:#?}", report.problems);
        scene.assert_equal("books", "trusted");
        scene.assert_equal("films", "trusted");
        let (compared, trusted) = rows_read(&report);
        assert_eq!(compared + trusted, 351 + 399);
        assert!(trusted > 400 && compared > 0, "{compared} compared, {trusted} trusted");
        let sample = vecferry_migrate::VerifyLevel::Sample;
        assert_eq!((report.verify, report.verified), (sample, sample));
        for collection in &report.collections {
            let verification = collection.verification.as_ref().unwrap();
            assert_eq!((verification.level, collection.evidence.verified), (sample, Some(sample)));
        }
    }
}
