//! A source that changed is followed: its rows, and what else belongs to it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use vecferry_migrate::event::Phase;
use vecferry_migrate::{JobState, MigrateRequest, Purpose, RoundOptions};
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::plain;
use vecferry_testkit::stand_in::{Interference, Key, Version};

use super::super::warm::{AT, FIRST, codes, row, wanted, when};
use super::super::{Silent, request};
use super::{NOTHING_MORE, Scene, apart, assert_caught_up, assert_cut_over};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_changed_are_made_equal_and_a_second_time_none_are() {
    for version in [Version::V2_3, Version::V2_4, Version::V2_5, Version::V2_6] {
        let context = format!("{version:?}");
        let scene = Scene::new(version);
        scene.warm().await;
        scene.change();
        let report = scene.catch_up().await;
        assert_caught_up(&report, &context);
        scene.assert_equal("books", &context);
        assert_eq!(apart(&report, "books"), (2, 3, 1), "{context}");
        assert_eq!(report.rows(), 351, "{context}");
        let of_round = report.rounds.last().unwrap();
        assert_eq!((of_round.number, of_round.rows), (2, 5), "{context}");
        let again = scene.catch_up().await;
        assert_caught_up(&again, &context);
        assert_eq!(apart(&again, "books"), (0, 0, 0), "{context}");
        assert!(!scene.target.is_loaded(AT.0, AT.1) && scene.source.is_loaded(AT.0, AT.1), "{context}");
        assert_eq!(scene.target.names("default").1, [""; 0], "{context}: no alias before the cut-over");
        scene.insert(2000, 4.0);
        let ended = scene.cut_over().await;
        assert_cut_over(&scene, &ended, &context);
        assert_eq!(apart(&ended, "books"), (1, 0, 0), "{context}");
        assert_eq!(ended.rounds.len(), 4, "{context}");
        assert_eq!(ended.collections[0].aliases, ["library"], "{context}");
    }
}

/// Everything that belongs to a source and can be followed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_aliases_and_new_collections_are_followed() {
    for version in [Version::V2_3, Version::V2_6] {
        for purpose in [Purpose::CatchUp, Purpose::CutOver] {
            let context = format!("{version:?}, {purpose:?}");
            let scene = Scene::new(version);
            scene.warm().await;
            scene.source.add_partition(AT, "newer");
            scene.source.insert(AT, "newer", row(5000, 3.0));
            scene.source.drop_partition(AT, "more");
            scene.source.add_alias(AT, "archive");
            scene.source.add(&plain("films", false, &[("_default", (0..40).map(Key::Long).collect())]));
            let report = scene.next(purpose, NOTHING_MORE, Arc::new(Silent)).await.unwrap();
            match purpose {
                Purpose::CatchUp => {
                    assert_caught_up(&report, &context);
                    scene.assert_equal("books", &context);
                    scene.assert_equal("films", &context);
                    assert_eq!(scene.target.names("default").1, [""; 0], "{context}");
                    let ended = scene.cut_over().await;
                    assert_cut_over(&scene, &ended, &context);
                }
                Purpose::CutOver => assert_cut_over(&scene, &report, &context),
            }
            assert_eq!(scene.target.names("default").1.len(), 2, "{context}");
            assert_eq!(report.collections.len(), 2, "{context}");
        }
    }
}

/// What a user may not have meant is refused by name, and nothing is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_or_another_is_refused_until_it_is_accepted() {
    for purpose in [Purpose::CatchUp, Purpose::CutOver] {
        for recreated in [false, true] {
            let context = format!("{purpose:?}, recreated: {recreated}");
            let scene = Scene::new(Version::V2_6);
            scene.source.add(&plain("films", false, &[("_default", (0..40).map(Key::Long).collect())]));
            scene.warm().await;
            let held = scene.target.rows(AT.0, AT.1);
            scene.source.remove(AT.0, AT.1);
            if recreated {
                scene.source.add(&plain("books", false, &[("_default", (0..9).map(Key::Long).collect())]));
            }
            let refused = scene.next(purpose, NOTHING_MORE, Arc::new(Silent)).await.unwrap();
            let code = if recreated { "VF-0246" } else { "VF-0245" };
            assert_eq!(codes(&refused.problems), [code], "{context}");
            assert!(refused.problems[0].to_string().contains("`default.books`"), "{context}");
            assert_eq!(refused.state, JobState::Failed, "{context}");
            assert_eq!(scene.target.rows(AT.0, AT.1), held, "{context}: nothing was removed");
            // The other flag does not accept it.
            let other = RoundOptions { accept_dropped: recreated, recopy: !recreated, ..NOTHING_MORE };
            let refused = scene.next(purpose, other, Arc::new(Silent)).await.unwrap();
            assert_eq!(codes(&refused.problems), [code], "{context}");
            let options = RoundOptions { accept_dropped: !recreated, recopy: recreated, ..NOTHING_MORE };
            let report = scene.next(purpose, options, Arc::new(Silent)).await.unwrap();
            if purpose == Purpose::CutOver {
                assert_cut_over(&scene, &report, &context);
            } else {
                assert_caught_up(&report, &context);
                scene.assert_equal("films", &context);
            }
            let names: Vec<_> = scene.target.names("default").0;
            assert_eq!(names.contains(&"books".to_owned()), recreated, "{context}: {names:?}");
            if recreated {
                scene.assert_equal("books", &context);
            }
            assert_eq!(report.collections.len(), 1 + usize::from(recreated), "{context}");
        }
    }
}

/// A source address that leads to an empty server must not empty the target.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_under_the_address_of_the_source_is_refused() {
    use vecferry_testkit::stand_in::Options;
    for same_name in [false, true] {
        let mut scene = Scene::new(Version::V2_6);
        scene.warm().await;
        let held = scene.target.rows(AT.0, AT.1);
        let other = StandIn::start(Options::new(Version::V2_6));
        if same_name {
            other.add(&plain("films", false, &[("_default", vec![Key::Long(1)])]));
            other.add(&plain("books", false, &[("_default", vec![Key::Long(1)])]));
        }
        scene.source = Arc::new(other);
        for purpose in [Purpose::CatchUp, Purpose::CutOver] {
            let refused = scene.next(purpose, NOTHING_MORE, Arc::new(Silent)).await.unwrap();
            assert_eq!(refused.state, JobState::Failed);
            let codes = codes(&refused.problems);
            let all_gone = ["VF-0211", "VF-0245"];
            assert!(codes == all_gone || codes == ["VF-0245"] || codes == ["VF-0246"], "{codes:?}");
            assert_eq!(scene.target.rows(AT.0, AT.1), held);
        }
    }
}

/// Whoever uses the target already must not lose rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_others_on_the_target_are_not_removed_unless_that_is_wanted() {
    for purpose in [Purpose::CatchUp, Purpose::CutOver] {
        for behind in [false, true] {
            let context = format!("{purpose:?}, behind a catch-up: {behind}");
            let scene = Scene::new(Version::V2_6);
            scene.warm().await;
            if behind {
                scene.change();
                assert_caught_up(&scene.catch_up().await, &context);
            }
            scene.target.insert(AT, "_default", row(7777, 2.0));
            let held = scene.target.rows(AT.0, AT.1);
            let refused = scene.next(purpose, NOTHING_MORE, Arc::new(Silent)).await.unwrap();
            assert_eq!(codes(&refused.problems), ["VF-0247"], "{context}");
            assert_eq!(scene.target.rows(AT.0, AT.1), held, "{context}");
            assert!(!scene.target.is_loaded(AT.0, AT.1), "{context}");
            let options = RoundOptions { overwrite_target: true, ..NOTHING_MORE };
            let report = scene.next(purpose, options, Arc::new(Silent)).await.unwrap();
            assert_eq!(apart(&report, "books"), (0, 0, 1), "{context}");
            scene.assert_equal("books", &context);
        }
    }
}

/// Writes whenever the source is asked something, as an application would that knows nothing of the job.
struct Busy {
    source: Arc<StandIn>,
    number: AtomicI64,
}

impl Busy {
    fn write(&self) {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        match number % 4 {
            0 => self.source.insert(AT, "_default", row(10_000 + number, 1.0)),
            1 => self.source.upsert(AT, "_default", row((number * 7) % 300, 2.0)),
            2 => {
                let key = Key::Long((number * 11) % 300);
                self.source.delete(AT, "_default", &BTreeSet::from([key]));
            }
            _ => {
                let key = Key::Long(10_000 + number - 3);
                self.source.delete(AT, "_default", &BTreeSet::from([key]));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_go_on_through_the_rounds_make_no_wrong_end() {
    for version in [Version::V2_3, Version::V2_5, Version::V2_6] {
        let context = format!("{version:?}");
        let scene = Scene::new(version);
        let busy = Arc::new(Busy { source: Arc::clone(&scene.source), number: AtomicI64::new(0) });
        // Behind each fourth answer of the target: then the source is asked nothing that waits for it.
        let (writer, mut calls) = (Arc::clone(&busy), 0_u64);
        scene.target.interfere(move |_| {
            calls += 1;
            if calls.is_multiple_of(4) {
                writer.write();
            }
            Interference::None
        });
        scene.warm().await;
        for round in 2..4 {
            let report = scene.catch_up().await;
            assert_caught_up(&report, &format!("{context}, round {round}"));
        }
        scene.target.interfere_no_more();
        assert!(busy.number.load(Ordering::Relaxed) > 20, "{context}");
        let report = scene.cut_over().await;
        assert_cut_over(&scene, &report, &context);
    }
}

/// A source that is not loaded is put back, whatever it was when the warm copy began.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_source_ends_in_the_load_state_that_each_round_found() {
    for version in [Version::V2_3, Version::V2_6] {
        let scene = Scene::loaded(version, false);
        scene.warm().await;
        scene.change();
        assert_caught_up(&scene.catch_up().await, "not loaded");
        assert!(!scene.source.is_loaded(AT.0, AT.1), "{version:?}");
        scene.assert_equal("books", "not loaded");
        scene.source.set_loading(AT, false);
        let client =
            vecferry_milvus::Client::connect(super::super::endpoint(&scene.source), 1).await.unwrap();
        client.load_collection(&vecferry_milvus::CollectionName::new(AT.0, AT.1), 1).await.unwrap();
        let report = scene.cut_over().await;
        assert_cut_over(&scene, &report, "loaded by now");
        assert!(scene.source.is_loaded(AT.0, AT.1), "{version:?}: its application loaded it meanwhile");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_target_is_left_loaded_where_that_is_asked_for() {
    for version in [Version::V2_3, Version::V2_6] {
        let scene = Scene::new(version);
        let request = MigrateRequest { load_target: true, ..wanted(&scene.source, &scene.target) };
        scene.warm_as(request, Arc::new(Silent)).await;
        scene.change();
        let report = scene.catch_up().await;
        assert_caught_up(&report, "loaded");
        assert!(report.collections[0].loaded && scene.target.is_loaded(AT.0, AT.1), "{version:?}");
        let report = scene.cut_over().await;
        assert_cut_over(&scene, &report, "loaded");
        assert!(report.collections[0].loaded && scene.target.is_loaded(AT.0, AT.1), "{version:?}");
    }
}

/// What the source dropped while it was copied is copied as it is now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_warm_copy_left_is_copied_by_the_next_round() {
    for purpose in [Purpose::CatchUp, Purpose::CutOver] {
        let scene = Scene::new(Version::V2_6);
        let of = Arc::clone(&scene.source);
        let observer = when(Phase::Copying, move || of.drop_partition(AT, "more"));
        let report = scene.warm_as(wanted(&scene.source, &scene.target), observer).await;
        assert!(report.collections[0].evidence.followed_later, "{:?}", report.warnings);
        let report = scene.next(purpose, NOTHING_MORE, Arc::new(Silent)).await.unwrap();
        scene.assert_equal("books", &format!("{purpose:?}"));
        assert_eq!(report.collections[0].rows, 300, "{purpose:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_round_begins_behind_a_job_that_has_none() {
    let scene = Scene::new(Version::V2_6);
    let plain = MigrateRequest { ..request(&scene.source, &scene.target) };
    let report =
        super::super::carry_out(vecferry_migrate::Migration::prepare(plain).await.unwrap(), scene.state())
            .await;
    assert_eq!(report.state, JobState::Successful);
    for purpose in [Purpose::CatchUp, Purpose::CutOver] {
        let refused = scene.next(purpose, NOTHING_MORE, Arc::new(Silent)).await.unwrap_err();
        assert_eq!(codes(&refused), ["VF-0242"]);
    }
    let scene = Scene::new(Version::V2_6);
    let migration = vecferry_migrate::Migration::prepare(wanted(&scene.source, &scene.target)).await.unwrap();
    let token = tokio_util::sync::CancellationToken::new();
    let canceled = token.clone();
    let observer = when(Phase::Copying, move || canceled.cancel());
    let report = migration.run(&scene.store(), observer, token).await.unwrap();
    assert_eq!(report.state, JobState::Canceled);
    for purpose in [Purpose::CatchUp, Purpose::CutOver] {
        let refused = scene.next(purpose, NOTHING_MORE, Arc::new(Silent)).await.unwrap_err();
        assert_eq!(codes(&refused), ["VF-0243"]);
    }
}

/// A row that the target refuses is tried again by each round, and forgotten when the source has it no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_rows_are_tried_again_by_each_round() {
    use super::super::killed::with_a_bad_row;
    use vecferry_testkit::stand_in::Options;
    let (bad, key) = with_a_bad_row();
    let scene = Scene {
        source: Arc::new(StandIn::start(Options::new(Version::V2_6))),
        target: Arc::new(StandIn::start(Options::new(Version::V2_6))),
        state: tempfile::tempdir().unwrap(),
    };
    scene.source.add(&bad);
    assert_eq!(scene.warm().await.collections[0].quarantined, 1);
    let report = scene.catch_up().await;
    assert_caught_up(&report, "still refused");
    assert_eq!(report.collections[0].quarantined, 1);
    assert!(codes(&report.warnings).contains(&"VF-0453".to_owned()), "{:?}", report.warnings);
    let report = scene.cut_over().await;
    assert_eq!(report.state, JobState::Failed);
    assert!(scene.target.names("default").1.is_empty(), "nothing is switched to");
    let store = scene.store();
    assert_eq!(store.quarantined(&report.job_id, FIRST).await.unwrap().len(), 1);
    scene.source.delete(AT, "_default", &BTreeSet::from([key]));
    let report = scene.cut_over().await;
    assert_cut_over(&scene, &report, "the row is gone");
    assert_eq!(store.quarantined(&report.job_id, FIRST).await.unwrap(), []);
}
