//! Attempts to have a round claim what is not so, harm what is not its own, or come to an end from which nothing goes on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vecferry_migrate::event::{Event, Observer, Phase};
use vecferry_migrate::{
    JobState, MigrateRequest, Problem, Purpose, Report, Resumed, RoundOptions, Selection, cancel,
};
use vecferry_milvus::proto::common::Status;
use vecferry_milvus::{Client, CollectionName};
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Gate, Interference, Key, Options, Stop, Version};

use super::super::warm::{AT, codes, row, wanted, when};
use super::super::{Silent, endpoint, newest};
use super::{NOTHING_MORE, Scene, assert_caught_up, assert_cut_over};

fn refusal() -> Status {
    Status { code: 1100, error_code: 1, reason: "no more of them".to_owned(), ..Status::default() }
}

/// The user lacks a privilege.
fn not_permitted() -> Status {
    Status { code: 1401, error_code: 1, reason: "privilege not permitted".to_owned(), ..Status::default() }
}

/// A success has everything of the source on the target, and nothing else.
#[track_caller]
fn assert_honest(scene: &Scene, report: &Report, names: &[&str], context: &str) {
    if report.state != JobState::Successful {
        return;
    }
    for name in names {
        let (expected, found) =
            (newest(scene.source.rows("default", name)), scene.target.rows("default", name));
        assert!(
            found == expected,
            "{context}: SUCCESSFUL, and `{name}` differs; warnings: {:?}",
            codes(&report.warnings)
        );
    }
}

async fn resumed(scene: &Scene) -> Result<Report, Vec<Problem>> {
    let (job_id, store) = (scene.job_id().await, scene.store());
    let sides = (endpoint(&scene.source), endpoint(&scene.target));
    match vecferry_migrate::Migration::resume(&*store, &job_id, sides.0, sides.1).await? {
        Resumed::Ready(migration) => migration.run(&store, Arc::new(Silent), CancellationToken::new()).await,
        Resumed::Successful(report) | Resumed::AtRest(report) => Ok(*report),
    }
}

/// `books` and `films`, both copied.
async fn two(version: Version) -> Scene {
    let scene = Scene::new(version);
    scene.source.add(&plain("films", false, &[("_default", (0..40).map(Key::Long).collect())]));
    scene.warm().await;
    scene
}

const FILMS: (&str, &str) = ("default", "films");

/// A round of which `books`, which changed, fails, and `films`, which did not, is done.
async fn books_fails(scene: &Scene, purpose: Purpose) {
    scene.insert(4000, 1.0);
    scene.target.interfere(|seen| match seen.method {
        "CreateAlias" => Interference::Refused(refusal()),
        _ => Interference::None,
    });
    let report = scene.next(purpose, NOTHING_MORE, Arc::new(Silent)).await.unwrap();
    scene.target.interfere_no_more();
    assert_eq!(report.state, JobState::Failed, "{:?}", report.problems);
    let films = report.collections.iter().find(|one| one.collection == "films").unwrap();
    assert_eq!(films.phase, Phase::Done, "{:#?}", report.problems);
}

/// Refused once, others' rows are not removed by the same command given again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_others_stay_however_often_a_round_is_asked_for() {
    for purpose in [Purpose::CatchUp, Purpose::CutOver] {
        let scene = Scene::new(Version::V2_6);
        scene.warm().await;
        scene.target.insert(AT, "_default", row(7777, 2.0));
        let held = scene.target.rows(AT.0, AT.1);
        for _ in 0..2 {
            let refused = scene.next(purpose, NOTHING_MORE, Arc::new(Silent)).await.unwrap();
            assert!(
                scene.target.rows(AT.0, AT.1) == held,
                "{purpose:?}: removed without being asked: {:?}",
                refused.state
            );
            assert_eq!(codes(&refused.problems), ["VF-0247"], "{purpose:?}");
        }
    }
}

/// The same behind a cut-over in which somebody wrote to the source.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_others_stay_behind_a_failed_cut_over() {
    let scene = Scene::new(Version::V2_6);
    scene.warm().await;
    let source = Arc::clone(&scene.source);
    let observer = when(Phase::Indexing, move || source.insert(AT, "_default", row(4000, 1.0)));
    let report = scene.next(Purpose::CutOver, NOTHING_MORE, observer).await.unwrap();
    assert_eq!(codes(&report.problems)[0], "VF-0454");
    scene.target.insert(AT, "_default", row(7777, 2.0));
    let held = scene.target.rows(AT.0, AT.1);
    let refused = scene.catch_up().await;
    assert!(scene.target.rows(AT.0, AT.1).len() >= held.len(), "{:?}", refused.problems);
    assert_eq!(codes(&refused.problems), ["VF-0247"]);
}

/// Rows that others brought between two attempts of a round, of which the first one had sent some.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_others_stay_between_attempts_of_a_round() {
    let scene = Scene::new(Version::V2_6);
    scene.warm().await;
    scene.change();
    scene.target.interfere(|seen| match seen.method {
        "Delete" => Interference::Refused(not_permitted()),
        _ => Interference::None,
    });
    let report = scene.catch_up().await;
    assert_eq!(report.state, JobState::Failed, "{:?}", report.problems);
    scene.target.interfere_no_more();
    for key in 7000..7100 {
        scene.target.insert(AT, "_default", row(key, 2.0));
    }
    let report = resumed(&scene).await.unwrap();
    let there = ("_default".to_owned(), Key::Long(7000));
    assert!(
        scene.target.rows(AT.0, AT.1).contains_key(&there),
        "100 rows were removed, and 5 sent: {:?}",
        report.state
    );
}

/// A request that lets changes pass of the source was not made for a cut-over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_during_the_cut_over_is_not_let_pass() {
    let scene = Scene::new(Version::V2_6);
    let request = MigrateRequest { allow_drift: true, ..wanted(&scene.source, &scene.target) };
    let Ok(migration) = vecferry_migrate::Migration::prepare(request).await else { return };
    migration.run(&scene.store(), Arc::new(Silent), CancellationToken::new()).await.unwrap();
    let source = Arc::clone(&scene.source);
    let observer = when(Phase::Indexing, move || source.upsert(AT, "_default", row(299, 5.0)));
    let report = scene.next(Purpose::CutOver, NOTHING_MORE, observer).await.unwrap();
    assert_honest(&scene, &report, &["books"], "allow_drift");
}

/// A partition that went from the source makes no room for others' rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_others_stay_where_a_partition_went() {
    for place in ["_default", "more"] {
        let scene = Scene::new(Version::V2_6);
        scene.warm().await;
        scene.source.drop_partition(AT, "more");
        scene.target.insert(AT, place, row(7777, 2.0));
        let refused = scene.catch_up().await;
        let there = (place.to_owned(), Key::Long(7777));
        assert!(
            scene.target.rows(AT.0, AT.1).contains_key(&there),
            "in {place}: removed without being asked: {:?}",
            refused.state
        );
        assert_eq!(codes(&refused.problems), ["VF-0247"], "in {place}");
    }
}

/// Collections that go take others' rows along, which nobody accepted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_others_stay_where_a_collection_went() {
    for recreated in [false, true] {
        let scene = two(Version::V2_6).await;
        scene.source.remove(FILMS.0, FILMS.1);
        if recreated {
            scene.source.add(&plain("films", false, &[("_default", vec![Key::Long(1)])]));
        }
        scene.target.insert(FILMS, "_default", row(7777, 2.0));
        let options = RoundOptions { accept_dropped: !recreated, recopy: recreated, ..NOTHING_MORE };
        let report = scene.next(Purpose::CatchUp, options, Arc::new(Silent)).await.unwrap();
        assert!(
            scene.target.names("default").0.contains(&"films".to_owned())
                && scene
                    .target
                    .rows(FILMS.0, FILMS.1)
                    .contains_key(&("_default".to_owned(), Key::Long(7777))),
            "recreated {recreated}: {:?}",
            report.state
        );
    }
}

/// A collection that is copied again stays in the plan, whatever fails between its removal and its copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_collection_that_is_copied_again_is_not_forgotten() {
    let scene = Scene::new(Version::V2_6);
    scene.source.add(&plain("films", false, &[("_default", (0..40).map(Key::Long).collect())]));
    let selection = Selection::parse(&["books", "films"], &[]).unwrap();
    let request = MigrateRequest { selection, ..wanted(&scene.source, &scene.target) };
    scene.warm_as(request, Arc::new(Silent)).await;
    scene.source.remove(FILMS.0, FILMS.1);
    scene.source.add(&plain("films", false, &[("_default", (0..9).map(Key::Long).collect())]));
    let dropped = Arc::new(AtomicBool::new(false));
    let of_target = Arc::clone(&dropped);
    scene.target.interfere(move |seen| {
        of_target.fetch_or(seen.method == "DropCollection", Ordering::Relaxed);
        Interference::None
    });
    scene.source.interfere(move |seen| match seen.method {
        "DescribeCollection" if dropped.load(Ordering::Relaxed) => Interference::Refused(refusal()),
        _ => Interference::None,
    });
    let options = RoundOptions { recopy: true, ..NOTHING_MORE };
    let failed = scene.next(Purpose::CatchUp, options, Arc::new(Silent)).await.unwrap();
    assert_eq!(failed.state, JobState::Failed, "{:?}", failed.problems);
    scene.source.interfere_no_more();
    scene.target.interfere_no_more();
    let again = scene.next(Purpose::CatchUp, options, Arc::new(Silent)).await.unwrap();
    let report = scene.cut_over().await;
    assert!(
        report.state != JobState::Successful || scene.target.names("default").0.contains(&"films".to_owned()),
        "SUCCESSFUL without `films`; the catch-up before was {:?} with {} collection(s)",
        again.state,
        again.collections.len()
    );
}

/// What keeps a user from seeing what was written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_behind_the_comparison_is_seen_or_told_of_as_unseen() {
    let mut wrong = Vec::new();
    for version in [Version::V2_3, Version::V2_5, Version::V2_6] {
        for denied in ["GetPersistentSegmentInfo", "Flush", "GetFlushState"] {
            let scene = Scene::new(version);
            scene.warm().await;
            scene.source.interfere(move |seen| match seen.method == denied {
                true => Interference::Refused(not_permitted()),
                false => Interference::None,
            });
            let source = Arc::clone(&scene.source);
            let observer = when(Phase::Indexing, move || source.upsert(AT, "_default", row(299, 5.0)));
            let report = scene.next(Purpose::CutOver, NOTHING_MORE, observer).await.unwrap();
            if report.state == JobState::Successful
                && newest(scene.source.rows(AT.0, AT.1)) != scene.target.rows(AT.0, AT.1)
                && !codes(&report.warnings).contains(&"VF-0433".to_owned())
            {
                wrong.push(format!("{version:?}, {denied}: warnings {:?}", codes(&report.warnings)));
            }
        }
    }
    assert!(wrong.is_empty(), "false SUCCESSFUL: {wrong:#?}");
}

/// Servers since 2.5 take a flush in ten seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_behind_the_comparison_is_seen_where_flushes_are_limited() {
    let mut wrong = Vec::new();
    for version in [Version::V2_5, Version::V2_6] {
        let mut scene = Scene::new(version);
        let interval = Some(Duration::from_secs(3));
        let source = StandIn::start(Options { flush_interval: interval, ..Options::new(version) });
        source.add(&plain("books", false, &[("_default", (0..300).map(Key::Long).collect())]));
        scene.source = Arc::new(source);
        scene.warm().await;
        let source = Arc::clone(&scene.source);
        let observer = when(Phase::Indexing, move || source.upsert(AT, "_default", row(299, 5.0)));
        let report = scene.next(Purpose::CutOver, NOTHING_MORE, observer).await.unwrap();
        if report.state == JobState::Successful
            && newest(scene.source.rows(AT.0, AT.1)) != scene.target.rows(AT.0, AT.1)
        {
            wrong.push(format!("{version:?}: warnings {:?}", codes(&report.warnings)));
        }
    }
    assert!(wrong.is_empty(), "false SUCCESSFUL: {wrong:#?}");
}

/// A source that was loaded for the comparison only, and is released by its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_behind_the_comparison_are_seen_or_told_of_where_the_source_is_not_loaded() {
    let mut wrong = Vec::new();
    for version in [Version::V2_3, Version::V2_4, Version::V2_5, Version::V2_6] {
        for kind in 0..3 {
            let scene = Scene::loaded(version, false);
            scene.warm().await;
            let source = Arc::clone(&scene.source);
            let observer = when(Phase::Indexing, move || match kind {
                0 => source.insert(AT, "_default", row(4000, 1.0)),
                1 => source.upsert(AT, "_default", row(299, 5.0)),
                _ => source.delete(AT, "_default", &BTreeSet::from([Key::Long(298)])),
            });
            let report = scene.next(Purpose::CutOver, NOTHING_MORE, observer).await.unwrap();
            if report.state == JobState::Successful
                && newest(scene.source.rows(AT.0, AT.1)) != scene.target.rows(AT.0, AT.1)
                && !codes(&report.warnings).contains(&"VF-0438".to_owned())
            {
                wrong.push(format!("{version:?}, kind {kind}: warnings {:?}", codes(&report.warnings)));
            }
        }
    }
    assert!(wrong.is_empty(), "false SUCCESSFUL: {wrong:#?}");
}

/// Between two attempts of a cut-over, of which the first one has completed a collection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_between_attempts_of_a_cut_over_is_seen() {
    let mut wrong = Vec::new();
    for kind in 0..6 {
        let scene = two(Version::V2_6).await;
        if kind == 5 {
            scene.source.interfere(|seen| match seen.method {
                "GetPersistentSegmentInfo" => Interference::Refused(not_permitted()),
                _ => Interference::None,
            });
        }
        books_fails(&scene, Purpose::CutOver).await;
        let what = match kind {
            0 => {
                scene.source.upsert(FILMS, "_default", row(3, 5.0));
                "an update of the source"
            }
            1 => {
                scene.source.upsert(FILMS, "_default", row(3, 5.0));
                scene.source.seal(FILMS.0, FILMS.1);
                scene.source.compact(FILMS.0, FILMS.1);
                "an update of the source, compacted"
            }
            2 => {
                scene.target.upsert(FILMS, "_default", row(3, 5.0));
                "an update of the target"
            }
            3 => {
                scene.target.insert(FILMS, "_default", row(7777, 5.0));
                "an insert into the target"
            }
            4 => {
                scene.target.insert(FILMS, "_default", row(7777, 5.0));
                scene.target.delete(FILMS, "_default", &BTreeSet::from([Key::Long(3)]));
                "an insert and a delete on the target"
            }
            _ => {
                scene.source.upsert(FILMS, "_default", row(3, 5.0));
                "an update of the source, segments not told"
            }
        };
        let report = resumed(&scene).await.unwrap();
        let equal = newest(scene.source.rows(FILMS.0, FILMS.1)) == scene.target.rows(FILMS.0, FILMS.1);
        if report.state == JobState::Successful && !equal {
            wrong.push(format!("{what}: warnings {:?}", codes(&report.warnings)));
        }
    }
    assert!(wrong.is_empty(), "false SUCCESSFUL: {wrong:#?}");
}

/// An index that somebody dropped between two attempts of a cut-over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_went_between_attempts_of_a_cut_over_is_seen() {
    let scene = two(Version::V2_3).await;
    books_fails(&scene, Purpose::CutOver).await;
    let client = Client::connect(endpoint(&scene.target), 1).await.unwrap();
    let films = CollectionName::new(FILMS.0, FILMS.1);
    let index = client.indexes(&films).await.unwrap().remove(0);
    client.drop_index(&films, &index.field, &index.name).await.unwrap();
    let report = resumed(&scene).await.unwrap();
    assert!(
        report.state != JobState::Successful || !client.indexes(&films).await.unwrap().is_empty(),
        "SUCCESSFUL without the index of `films`"
    );
}

/// Segments are rewritten in each pass, and hide an update in each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_that_compaction_hides_in_every_pass_are_not_passed_over() {
    let scene = Scene::new(Version::V2_6);
    scene.warm().await;
    scene.source.seal(AT.0, AT.1);
    let (source, flushed) = (Arc::clone(&scene.source), AtomicU64::new(0));
    let part = AtomicU64::new(0);
    // The target is counted when all was read.
    scene.target.interfere(move |seen| {
        if seen.method == "Query" {
            let query = flushed.fetch_add(1, Ordering::Relaxed);
            if query > 4 {
                let part = part.fetch_add(1, Ordering::Relaxed);
                source.upsert(AT, "_default", row(0, part as f32));
                source.seal(AT.0, AT.1);
                source.compact(AT.0, AT.1);
            }
        }
        Interference::None
    });
    let report = scene.cut_over().await;
    scene.target.interfere_no_more();
    assert_honest(&scene, &report, &["books"], "hidden in every pass");
}

/// The same once, behind the comparison.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_that_compaction_hides_behind_the_comparison_is_not_passed_over() {
    let scene = Scene::new(Version::V2_6);
    scene.warm().await;
    scene.source.seal(AT.0, AT.1);
    let source = Arc::clone(&scene.source);
    let observer = when(Phase::Indexing, move || {
        source.upsert(AT, "_default", row(299, 5.0));
        source.seal(AT.0, AT.1);
        source.compact(AT.0, AT.1);
    });
    let report = scene.next(Purpose::CutOver, NOTHING_MORE, observer).await.unwrap();
    assert_honest(&scene, &report, &["books"], "hidden behind the comparison");
}

/// Nothing is left of the plan.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_without_any_collection_is_no_success() {
    let scene = Scene::new(Version::V2_6);
    scene.warm().await;
    scene.source.remove(AT.0, AT.1);
    let options = RoundOptions { accept_dropped: true, ..NOTHING_MORE };
    let report = scene.next(Purpose::CutOver, options, Arc::new(Silent)).await.unwrap();
    assert_ne!(report.state, JobState::Successful, "{} collections", report.collections.len());
}

/// A catch-up that is gone on with follows what changed since of what it had completed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resumed_catch_up_follows_what_it_had_completed() {
    for kind in 0..2 {
        let scene = two(Version::V2_6).await;
        books_fails(&scene, Purpose::CatchUp).await;
        match kind {
            0 => scene.source.add_partition(FILMS, "newer"),
            _ => scene.source.add_alias(FILMS, "cinema"),
        }
        let report = resumed(&scene).await.unwrap();
        assert_caught_up(&report, &format!("kind {kind}"));
    }
}

/// What was removed while a round is open is copied when that is gone on with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_that_is_open_goes_on_behind_a_clean_up() {
    for purpose in [Purpose::CatchUp, Purpose::CutOver] {
        let scene = two(Version::V2_6).await;
        books_fails(&scene, purpose).await;
        let (job_id, store) = (scene.job_id().await, scene.store());
        let sides = (Some(endpoint(&scene.source)), Some(endpoint(&scene.target)));
        cancel(&*store, &job_id, sides.0, sides.1, true).await.unwrap();
        drop(store);
        let report = resumed(&scene).await.unwrap();
        let problems = &report.problems;
        match purpose {
            Purpose::CatchUp => assert_caught_up(&report, &format!("{problems:?}")),
            Purpose::CutOver => assert_cut_over(&scene, &report, &format!("{problems:?}")),
        }
    }
}

/// An application loads the source between two attempts of a round that ended in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_application_loaded_between_attempts_stays_loaded() {
    let scene = Scene::loaded(Version::V2_6, false);
    scene.source.add(&plain("films", false, &[("_default", (0..40).map(Key::Long).collect())]));
    scene.warm().await;
    books_fails(&scene, Purpose::CatchUp).await;
    assert!(!scene.source.is_loaded(AT.0, AT.1), "it was put back");
    let client = Client::connect(endpoint(&scene.source), 1).await.unwrap();
    client.load_collection(&CollectionName::new(AT.0, AT.1), 1).await.unwrap();
    assert_caught_up(&resumed(&scene).await.unwrap(), "loaded meanwhile");
    assert!(scene.source.is_loaded(AT.0, AT.1), "an application has loaded it");
}

/// A source that could not be put back is not taken for one that others loaded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_was_not_put_back_is_put_back_by_the_next_round() {
    let scene = Scene::loaded(Version::V2_6, false);
    scene.warm().await;
    scene.source.interfere(|seen| match seen.method {
        "ReleaseCollection" | "ReleasePartitions" => Interference::Refused(refusal()),
        _ => Interference::None,
    });
    let source = Arc::clone(&scene.source);
    let observer = when(Phase::Indexing, move || source.insert(AT, "_default", row(4000, 1.0)));
    let report = scene.next(Purpose::CutOver, NOTHING_MORE, observer).await.unwrap();
    scene.source.interfere_no_more();
    assert!(scene.source.is_loaded(AT.0, AT.1), "{:?}", report.problems);
    let report = scene.catch_up().await;
    assert_caught_up(&report, "behind it");
    assert!(!scene.source.is_loaded(AT.0, AT.1), "the source is left loaded for good");
}

const TTL: &str = "collection.ttl.seconds";

async fn set_ttl(server: &StandIn, seconds: &str) {
    let client = Client::connect(endpoint(server), 1).await.unwrap();
    let ttl = vecferry_milvus::schema::parameters(&[(TTL, seconds)]);
    client.alter_collection(&CollectionName::new(AT.0, AT.1), ttl).await.unwrap();
}

/// Fails at the alias of `films`, when that of `books` is given.
async fn half_switched(version: Version) -> Scene {
    let scene = Scene::new(version);
    scene.source.add(&plain("films", false, &[("_default", (0..40).map(Key::Long).collect())]));
    scene.source.add_alias(FILMS, "cinema");
    set_ttl(&scene.source, "864000").await;
    scene.warm().await;
    scene.target.interfere(|seen| {
        let is_cinema = seen.message.windows(6).any(|part| part == b"cinema");
        match seen.method == "CreateAlias" && is_cinema {
            true => Interference::Refused(refusal()),
            false => Interference::None,
        }
    });
    let report = scene.cut_over().await;
    assert_eq!(report.state, JobState::Failed, "{:?}", report.problems);
    scene.target.interfere_no_more();
    assert_eq!(scene.target.names("default").1, ["library"]);
    scene
}

/// From the switch on, applications may use the target as they like.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_is_finished_whatever_applications_do_with_what_was_switched() {
    let mut wrong = Vec::new();
    for kind in 0..3 {
        let scene = half_switched(Version::V2_6).await;
        match kind {
            2 => set_ttl(&scene.target, "777").await,
            0 => {
                scene.target.add(&plain("books_v2", false, &[("_default", vec![Key::Long(1)])]));
                scene.target.move_alias(("default", "books_v2"), "library");
            }
            _ => scene.target.remove(AT.0, AT.1),
        }
        let ended = {
            let (job_id, store) = (scene.job_id().await, scene.store());
            let sides = (endpoint(&scene.source), endpoint(&scene.target));
            let next = vecferry_migrate::NextRound { purpose: Purpose::CutOver, options: NOTHING_MORE };
            match vecferry_migrate::Migration::next_round(&*store, &job_id, sides.0, sides.1, next).await {
                Ok(Resumed::Ready(migration)) => {
                    migration.run(&store, Arc::new(Silent), CancellationToken::new()).await
                }
                Ok(Resumed::Successful(report) | Resumed::AtRest(report)) => Ok(*report),
                Err(problems) => Err(problems),
            }
        };
        let end = ended.as_ref().map_or_else(
            |problems| format!("{:?}", codes(problems)),
            |report| format!("{:?} {:?}", report.state, codes(&report.problems)),
        );
        if kind == 2 && scene.target.property(AT.0, AT.1, TTL).as_deref() != Some("777") {
            wrong.push(format!("kind 2: {end}; the TTL of an application was set back"));
        }
        if !ended.is_ok_and(|report| report.state == JobState::Successful) {
            let (job_id, store) = (scene.job_id().await, scene.store());
            let sides = (Some(endpoint(&scene.source)), Some(endpoint(&scene.target)));
            let cleaned = cancel(&*store, &job_id, sides.0, sides.1, true).await;
            wrong.push(format!(
                "kind {kind}: {end}; cancel --clean: {:?}",
                cleaned.map_err(|all| codes(&all))
            ));
        }
    }
    assert!(wrong.is_empty(), "it can neither be finished nor ended: {wrong:#?}");
}

/// Aliases that can't both be given are refused before the switch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aliases_that_collide_on_the_target_are_refused_before_the_switch() {
    let scene = Scene::new(Version::V2_6);
    let films = plain("films", false, &[("_default", vec![Key::Long(1)])]);
    scene.source.add(&Generated { db: "other".to_owned(), ..films });
    let target_dbs = [("other".to_owned(), "default".to_owned())].into();
    let request = MigrateRequest { target_dbs, ..wanted(&scene.source, &scene.target) };
    scene.warm_as(request, Arc::new(Silent)).await;
    scene.source.add_alias(("other", "films"), "library");
    let report = scene.cut_over().await;
    assert_eq!(report.state, JobState::Failed, "{:?}", report.problems);
    let (job_id, store) = (scene.job_id().await, scene.store());
    let round = store.round(&job_id).await.unwrap().unwrap();
    assert!(!round.switch_intended, "it can't be finished: {:?}", report.problems);
}

/// A collection that got another name on the source, and its old one as an alias.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renamed_collection_with_its_old_name_as_an_alias_is_no_dead_end() {
    let scene = Scene::new(Version::V2_6);
    scene.warm().await;
    let client = Client::connect(endpoint(&scene.source), 1).await.unwrap();
    client.rename_collection(&CollectionName::new(AT.0, AT.1), "books_2").await.unwrap();
    scene.source.add_alias(("default", "books_2"), "books");
    for purpose in [Purpose::CatchUp, Purpose::CutOver] {
        let report = scene.next(purpose, NOTHING_MORE, Arc::new(Silent)).await.unwrap();
        let (job_id, store) = (scene.job_id().await, scene.store());
        let round = store.round(&job_id).await.unwrap().unwrap();
        assert!(
            !round.switch_intended || report.state == JobState::Successful,
            "it can't be finished: {:?}",
            report.problems
        );
    }
}

/// The same, copied again as it is called now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renamed_collection_is_copied_again_once() {
    let scene = Scene::new(Version::V2_6);
    scene.warm().await;
    let client = Client::connect(endpoint(&scene.source), 1).await.unwrap();
    client.rename_collection(&CollectionName::new(AT.0, AT.1), "books_2").await.unwrap();
    scene.source.add_alias(("default", "books_2"), "books");
    let options = RoundOptions { accept_dropped: true, ..NOTHING_MORE };
    for _ in 0..2 {
        let report = scene.next(Purpose::CatchUp, options, Arc::new(Silent)).await.unwrap();
        assert_caught_up(&report, "copied again");
        assert_eq!(report.collections.len(), 1);
    }
    let report = scene.next(Purpose::CutOver, options, Arc::new(Silent)).await.unwrap();
    assert_cut_over(&scene, &report, "copied again");
}

/// A database that went from the source with all that was in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_database_can_be_accepted() {
    for named in [false, true] {
        let scene = Scene::new(Version::V2_6);
        let films = plain("films", false, &[("_default", vec![Key::Long(1)])]);
        scene.source.add(&Generated { db: "other".to_owned(), ..films });
        let names: &[&str] = if named { &["default.*", "other.*"] } else { &[] };
        let selection = Selection::parse(names, &[]).unwrap();
        let request = MigrateRequest { selection, ..wanted(&scene.source, &scene.target) };
        scene.warm_as(request, Arc::new(Silent)).await;
        scene.source.remove("other", "films");
        let client = Client::connect(endpoint(&scene.source), 1).await.unwrap();
        client.drop_database("other").await.unwrap();
        let options = RoundOptions { accept_dropped: true, ..NOTHING_MORE };
        let report = scene.next(Purpose::CatchUp, options, Arc::new(Silent)).await.unwrap();
        assert_caught_up(&report, &format!("named: {named}"));
    }
}

/// Cancels when some rows were copied.
struct Cancels(CancellationToken);

impl Observer for Cancels {
    fn on_event(&self, event: Event) {
        if let Event::Copied { .. } = event {
            self.0.cancel();
        }
    }
}

/// `films` came to the source, and a round that copies it is canceled on its way.
async fn half_copied(version: Version, purpose: Purpose) -> Scene {
    let scene = Scene::new(version);
    scene.warm().await;
    scene.source.add(&plain("films", false, &[("_default", (0..300).map(Key::Long).collect())]));
    let token = CancellationToken::new();
    let (job_id, store) = (scene.job_id().await, scene.store());
    let next = vecferry_migrate::NextRound { purpose, options: NOTHING_MORE };
    let (source, target) = (endpoint(&scene.source), endpoint(&scene.target));
    let begun = vecferry_migrate::Migration::next_round(&*store, &job_id, source, target, next).await;
    let Resumed::Ready(migration) = begun.unwrap() else { panic!("it begins") };
    let migration = migration.with_tuning(super::super::warm::small_pages());
    let report = migration.run(&store, Arc::new(Cancels(token.clone())), token).await.unwrap();
    assert_eq!(report.state, JobState::Canceled, "{:?}", report.problems);
    let films =
        store.collections(&job_id).await.unwrap().into_iter().find(|one| one.source.ends_with("films"));
    assert!(films.is_some_and(|films| !films.copied && films.target_id.is_some()));
    scene
}

/// A copy of a new collection that a catch-up began, and a cut-over ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_a_catch_up_began_is_not_claimed_by_a_cut_over_that_saw_no_writes() {
    let scene = half_copied(Version::V2_6, Purpose::CatchUp).await;
    let source = Arc::clone(&scene.source);
    let observer: Arc<dyn Observer> = Arc::new(Behind(AtomicBool::new(false), move || {
        source.upsert(FILMS, "_default", row(299, 5.0));
    }));
    let report = scene.next(Purpose::CutOver, NOTHING_MORE, observer).await.unwrap();
    assert_honest(&scene, &report, &["films", "books"], "half copied");
}

/// Does something once when `films` comes to the last of its steps.
struct Behind<Act>(AtomicBool, Act);

impl<Act: Fn() + Send + Sync> Observer for Behind<Act> {
    fn on_event(&self, event: Event) {
        if let Event::Phase { collection, phase: Phase::Done } = event
            && collection.name == "films"
            && !self.0.swap(true, Ordering::Relaxed)
        {
            (self.1)();
        }
    }
}

/// Writes before a cut-over are none in it, also where an earlier round had begun to copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_copied_collection_makes_no_false_alarm_of_the_cut_over() {
    let mut wrong = Vec::new();
    for purpose in [Purpose::CatchUp, Purpose::CutOver] {
        for kind in 0..2 {
            let scene = half_copied(Version::V2_6, purpose).await;
            match kind {
                0 => scene.source.insert(FILMS, "_default", row(4000, 1.0)),
                _ => scene.source.upsert(FILMS, "_default", row(3, 5.0)),
            }
            let report = scene.cut_over().await;
            if report.state != JobState::Successful {
                wrong.push(format!("{purpose:?}, kind {kind}: {:?}", codes(&report.problems)));
            }
        }
    }
    assert!(wrong.is_empty(), "nobody wrote during the cut-over: {wrong:#?}");
}

/// Rows that a warm copy wrote without hearing of it are not others' rows when the source has them no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_warm_copy_that_was_cut_off_are_not_taken_for_those_of_others() {
    let (mut wrong, mut left) = (Vec::new(), 0);
    for at in (20..200).step_by(12) {
        let gate = Gate::new();
        let source = StandIn::start_behind(Options::new(Version::V2_6), gate.clone());
        let target = StandIn::start_behind(Options::new(Version::V2_6), gate.clone());
        source.add(&plain("books", false, &[("_default", (0..300).map(Key::Long).collect())]));
        let (source, target) = (Arc::new(source), Arc::new(target));
        let scene = Scene { source, target, state: tempfile::tempdir().unwrap() };
        let request = wanted(&scene.source, &scene.target);
        let migration = vecferry_migrate::Migration::prepare(request).await.unwrap();
        let migration = migration.with_tuning(super::super::warm::small_pages());
        gate.open(Some((at, Stop::After)));
        let store = scene.store();
        let work = Box::pin(migration.run(&store, Arc::new(Silent), CancellationToken::new()));
        let is_killed = tokio::select! {
            biased;
            () = gate.stopped() => true,
            _ = work => false,
        };
        drop(store);
        gate.open(None);
        if !is_killed {
            break;
        }
        if !scene.target.names("default").0.contains(&"books".to_owned()) {
            continue;
        }
        for ((partition, key), _) in scene.target.rows(AT.0, AT.1) {
            scene.source.delete(AT, &partition, &BTreeSet::from([key]));
        }
        let report = resumed(&scene).await.unwrap();
        assert_eq!(report.state, JobState::Ready, "{:?}", report.problems);
        left += u64::from(scene.target.rows(AT.0, AT.1).len() as u64 > report.rows());
        let report = scene.catch_up().await;
        if report.state != JobState::Ready {
            wrong.push(format!("killed at call {at}: {:?}", codes(&report.problems)));
        }
    }
    assert!(left > 0, "no kill left anything");
    assert!(wrong.is_empty(), "false alarms: {wrong:#?}");
}

/// A server that does not know its collections yet, and lists them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collection_that_is_listed_is_not_taken_for_dropped() {
    let scene = two(Version::V2_6).await;
    scene.source.interfere(|seen| {
        let is_films = seen.message.windows(5).any(|part| part == b"films");
        match seen.method == "DescribeCollection" && is_films {
            true => Interference::Refused(Status {
                code: 100,
                error_code: 4,
                reason: "collection not found[collection=films]".to_owned(),
                ..Status::default()
            }),
            false => Interference::None,
        }
    });
    let options = RoundOptions { accept_dropped: true, ..NOTHING_MORE };
    let report = scene.next(Purpose::CatchUp, options, Arc::new(Silent)).await.unwrap();
    assert!(
        scene.target.names("default").0.contains(&"films".to_owned()),
        "removed, though the source lists it: {:?}",
        report.state
    );
}

/// A collection of two can't be put back, and the other one is written to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_was_not_put_back_beside_a_write_is_put_back_by_the_next_round() {
    let scene = Scene::loaded(Version::V2_6, false);
    scene.source.add(&plain("films", false, &[("_default", (0..40).map(Key::Long).collect())]));
    scene.warm().await;
    scene.source.interfere(|seen| match seen.method {
        "ReleaseCollection" | "ReleasePartitions" => Interference::Refused(refusal()),
        _ => Interference::None,
    });
    let source = Arc::clone(&scene.source);
    let observer: Arc<dyn Observer> = Arc::new(Behind(AtomicBool::new(false), move || {
        source.insert(FILMS, "_default", row(4000, 1.0));
    }));
    let report = scene.next(Purpose::CutOver, NOTHING_MORE, observer).await.unwrap();
    scene.source.interfere_no_more();
    assert!(scene.source.is_loaded(AT.0, AT.1), "{:?}", report.problems);
    assert_eq!(codes(&report.problems)[0], "VF-0454", "{:?}", report.problems);
    let report = scene.catch_up().await;
    assert_caught_up(&report, "behind it");
    assert!(!scene.source.is_loaded(AT.0, AT.1), "the source is left loaded for good");
}

/// A target collection that somebody dropped between two rounds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_collection_that_went_can_be_copied_again() {
    let scene = two(Version::V2_6).await;
    scene.target.remove(FILMS.0, FILMS.1);
    let options = RoundOptions { recopy: true, overwrite_target: true, ..NOTHING_MORE };
    let report = scene.next(Purpose::CatchUp, options, Arc::new(Silent)).await;
    let report = report.unwrap_or_else(|problems| panic!("no round can begin: {:?}", codes(&problems)));
    assert_caught_up(&report, "made again");
}

/// A name of the target that is another's keeps nothing else from going on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_collection_that_cannot_be_copied_keeps_no_other_from_its_round() {
    let scene = Scene::new(Version::V2_6);
    scene.warm().await;
    scene.change();
    scene.target.add(&plain("films", false, &[("_default", vec![Key::Long(1)])]));
    scene.source.add(&plain("films", false, &[("_default", vec![Key::Long(1)])]));
    let report = scene.catch_up().await;
    assert_eq!(report.state, JobState::Ready, "{:?}", codes(&report.problems));
}

/// Killed anywhere while a collection is copied again, another one goes and a third one comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_collections_are_exchanged() {
    let mut wrong = Vec::new();
    for version in [Version::V2_3, Version::V2_6] {
        for purpose in [Purpose::CatchUp, Purpose::CutOver] {
            for at in (1..).step_by(17) {
                let context = format!("{version:?}, {purpose:?}, call {at}");
                let gate = Gate::new();
                gate.open(None);
                let source = StandIn::start_behind(Options::new(version), gate.clone());
                let target = StandIn::start_behind(Options::new(version), gate.clone());
                let named =
                    |name, keys: i64| plain(name, false, &[("_default", (0..keys).map(Key::Long).collect())]);
                source.add(&Generated {
                    aliases: vec!["library".to_owned()],
                    loaded: false,
                    ..named("books", 30)
                });
                source.add(&named("films", 40));
                let (source, target) = (Arc::new(source), Arc::new(target));
                let scene = Scene { source, target, state: tempfile::tempdir().unwrap() };
                scene.warm().await;
                scene.source.remove(AT.0, AT.1);
                scene.source.add(&Generated {
                    aliases: vec!["library".to_owned()],
                    loaded: false,
                    ..named("books", 9)
                });
                scene.source.remove(FILMS.0, FILMS.1);
                scene.source.add(&named("maps", 20));
                let options = RoundOptions { recopy: true, accept_dropped: true, ..NOTHING_MORE };
                let stop = [Stop::Before, Stop::After][(at % 2) as usize];
                gate.open(Some((at, stop)));
                let work = Box::pin(scene.next(purpose, options, Arc::new(Silent)));
                let is_killed = tokio::select! {
                    biased;
                    () = gate.stopped() => true,
                    report = work => {
                        gate.open(None);
                        assert!(report.is_ok_and(|report| report.problems.is_empty()), "{context}");
                        false
                    }
                };
                gate.open(None);
                if is_killed {
                    let mut last = String::new();
                    for _ in 0..4 {
                        let ended = match resumed(&scene).await {
                            Ok(report) if report.state == JobState::Ready && report.rounds.len() == 1 => {
                                scene.next(purpose, options, Arc::new(Silent)).await
                            }
                            ended => ended,
                        };
                        last = match &ended {
                            Ok(report) => format!("{:?} {:?}", report.state, codes(&report.problems)),
                            Err(problems) => format!("{:?}", codes(problems)),
                        };
                        if ended.is_ok_and(|report| report.problems.is_empty()) {
                            break;
                        }
                    }
                    if purpose == Purpose::CatchUp {
                        let report = scene.next(Purpose::CutOver, options, Arc::new(Silent)).await;
                        last += &report.map_or_else(
                            |all| format!("{:?}", codes(&all)),
                            |one| format!("{:?}", one.state),
                        );
                    }
                    let names = |server: &StandIn| server.names("default");
                    let equal = ["books", "maps"].iter().all(|name| {
                        names(&scene.target).0.contains(&(*name).to_owned())
                            && newest(scene.source.rows("default", name))
                                == scene.target.rows("default", name)
                    });
                    if !last.contains("Successful") || names(&scene.source) != names(&scene.target) || !equal
                    {
                        wrong.push(format!("{context}: {last} {:?}", names(&scene.target)));
                    }
                }
                if scene.source.is_loaded(AT.0, AT.1) || !scene.source.is_loaded("default", "maps") {
                    wrong.push(format!("{context}: load state"));
                }
                if !is_killed {
                    break;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Killed anywhere in a cut-over, and the source is written to before that goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_a_cut_over_before_a_write() {
    let mut wrong = Vec::new();
    for (version, loaded) in [(Version::V2_3, false), (Version::V2_6, true), (Version::V2_6, false)] {
        for at in (1..).step_by(17) {
            let context = format!("{version:?}, loaded {loaded}, call {at}");
            let gate = Gate::new();
            gate.open(None);
            let source = StandIn::start_behind(Options::new(version), gate.clone());
            let target = StandIn::start_behind(Options::new(version), gate.clone());
            let named =
                |name, keys: i64| plain(name, false, &[("_default", (0..keys).map(Key::Long).collect())]);
            source.add(&Generated { aliases: vec!["library".to_owned()], loaded, ..named("books", 30) });
            source.add(&named("films", 40));
            let (source, target) = (Arc::new(source), Arc::new(target));
            let scene = Scene { source, target, state: tempfile::tempdir().unwrap() };
            scene.warm().await;
            scene.insert(4000, 1.0);
            gate.open(Some((at, Stop::After)));
            let work = Box::pin(scene.next(Purpose::CutOver, NOTHING_MORE, Arc::new(Silent)));
            let is_killed = tokio::select! {
                biased;
                () = gate.stopped() => true,
                _ = work => false,
            };
            gate.open(None);
            if !is_killed {
                break;
            }
            let (job_id, store) = (scene.job_id().await, scene.store());
            let switching = store.round(&job_id).await.unwrap().is_some_and(|round| round.switch_intended);
            drop(store);
            if !switching {
                scene.update(3, 9.0);
                scene.delete(5);
                scene.source.upsert(FILMS, "_default", row(7, 9.0));
            }
            let mut ended = resumed(&scene).await;
            for _ in 0..3 {
                if let Ok(report) = &ended
                    && report.state == JobState::Successful
                {
                    break;
                }
                ended = scene.next(Purpose::CutOver, NOTHING_MORE, Arc::new(Silent)).await;
            }
            match ended {
                Ok(report) if report.state == JobState::Successful => {
                    for name in ["books", "films"] {
                        if newest(scene.source.rows("default", name)) != scene.target.rows("default", name) {
                            wrong.push(format!("{context}: `{name}` differs, SUCCESSFUL"));
                        }
                    }
                }
                Ok(report) => {
                    wrong.push(format!("{context}: {:?} {:?}", report.state, codes(&report.problems)))
                }
                Err(problems) => wrong.push(format!("{context}: {:?}", codes(&problems))),
            }
            if scene.source.is_loaded(AT.0, AT.1) != loaded {
                wrong.push(format!("{context}: load state"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
