//! Rounds that are killed anywhere, as by `kill -9`, and go on.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio_util::sync::CancellationToken;
use vecferry_migrate::{JobState, Migration, NextRound, Purpose, Report, Resumed};
use vecferry_store::{Store, sqlite};
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Gate, Key, Options, Stop, Version};

use super::super::warm::{AT, row, small_pages};
use super::super::{Silent, endpoint};
use super::{NOTHING_MORE, Scene, assert_caught_up, assert_cut_over};

/// Where an attempt ends.
#[derive(Clone, Copy, Debug)]
enum Kill {
    Call(u64, Stop),
    Commit(u64),
    Never,
}

/// A job that is READY, of which the source changed since.
struct Ready {
    scene: Scene,
    gate: Gate,
}

async fn ready(version: Version, loaded: bool) -> Ready {
    let gate = Gate::new();
    gate.open(None);
    let source = StandIn::start_behind(Options::new(version), gate.clone());
    let target = StandIn::start_behind(Options::new(version), gate.clone());
    let keys = |first: i64| (first..first + 30).map(Key::Long).collect();
    let books = plain("books", false, &[("_default", keys(0)), ("more", keys(100))]);
    source.add(&Generated { aliases: vec!["library".to_owned()], loaded, ..books });
    let (source, target) = (Arc::new(source), Arc::new(target));
    let scene = Scene { source, target, state: tempfile::tempdir().unwrap() };
    scene.warm().await;
    scene.insert(50, 1.0);
    scene.update(3, 2.0);
    scene.delete(4);
    scene.source.add_partition(AT, "newer");
    scene.source.insert(AT, "newer", row(300, 3.0));
    scene.source.drop_partition(AT, "more");
    scene.source.add(&plain("films", false, &[("_default", vec![Key::Long(1)])]));
    Ready { scene, gate }
}

impl Ready {
    /// Begins the round, or goes on with what is open. None if it was killed.
    async fn attempt(&self, purpose: Purpose, kill: Kill) -> Option<Report> {
        self.gate.open(if let Kill::Call(at, stop) = kill { Some((at, stop)) } else { None });
        let job_id = self.scene.job_id().await;
        let store: Arc<dyn Store> = sqlite::open(self.scene.state()).unwrap();
        let commits_max = if let Kill::Commit(commits) = kill { commits } else { u64::MAX };
        let work = async {
            let sides = || (endpoint(&self.scene.source), endpoint(&self.scene.target));
            let resumed = Migration::resume(&*store, &job_id, sides().0, sides().1).await.unwrap();
            let migration = match resumed {
                Resumed::Successful(report) => return *report,
                Resumed::AtRest(report) if report.rounds.len() == 2 => return *report,
                Resumed::AtRest(_) => {
                    let next = NextRound { purpose, options: NOTHING_MORE };
                    let begun = Migration::next_round(&*store, &job_id, sides().0, sides().1, next).await;
                    let Resumed::Ready(migration) = begun.unwrap() else { panic!("it begins") };
                    migration
                }
                Resumed::Ready(migration) => migration,
            };
            let migration = migration.with_tuning(small_pages());
            migration.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap()
        };
        let work = until_committed(&store, commits_max, work);
        tokio::select! {
            biased;
            () = self.gate.stopped() => None,
            report = work => report,
        }
    }

    /// An attempt that died before its round began leaves the job at rest.
    async fn to_its_end(&self, purpose: Purpose) -> Report {
        for _ in 0..3 {
            let report = Box::pin(self.attempt(purpose, Kill::Never)).await.unwrap();
            if report.state != JobState::Ready || report.rounds.len() == 2 {
                return report;
            }
        }
        panic!("it does not begin")
    }
}

/// Drops the work as soon as the record was committed so often, before the work sees it.
async fn until_committed<Work: Future>(
    store: &Arc<dyn Store>,
    commits: u64,
    work: Work,
) -> Option<Work::Output> {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        if store.usage().commits >= commits {
            return Poll::Ready(None);
        }
        work.as_mut().poll(context).map(Some)
    })
    .await
}

/// Kills at some of the numbers until a run is over before it comes to it. Returns how many there were.
async fn kill_at_some(purpose: Purpose, loaded: bool, step: u64, kill: impl Fn(u64) -> Kill) -> u64 {
    for at in (1..).step_by(usize::try_from(step).unwrap()) {
        let context = format!("{purpose:?}, {:?}", kill(at));
        let ready = ready(Version::V2_6, loaded).await;
        let scene = &ready.scene;
        let killed = Box::pin(ready.attempt(purpose, kill(at))).await.is_none();
        ready.gate.open(None);
        if killed {
            let switched = is_switching(scene).await;
            if switched {
                // An application that found its alias, and one that knows the name.
                scene.target.insert(AT, "_default", row(7777, 1.0));
            }
            let report = ready.to_its_end(purpose).await;
            if switched {
                let there = (("_default").to_owned(), Key::Long(7777));
                assert!(scene.target.rows(AT.0, AT.1).contains_key(&there), "{context}: it was removed");
                scene.target.delete(AT, "_default", &BTreeSet::from([Key::Long(7777)]));
            }
            check(scene, purpose, &report, &context);
        }
        assert_eq!(scene.source.is_loaded(AT.0, AT.1), loaded, "{context}");
        let left: Vec<_> =
            scene.target.names("default").1.into_iter().filter(|name| name.starts_with("vf_")).collect();
        assert_eq!(left, [""; 0], "{context}");
        if !killed {
            return at;
        }
    }
    unreachable!("numbers have no end")
}

async fn is_switching(scene: &Scene) -> bool {
    let (job_id, store) = (scene.job_id().await, scene.store());
    store.round(&job_id).await.unwrap().is_some_and(|round| round.switch_intended)
}

#[track_caller]
fn check(scene: &Scene, purpose: Purpose, report: &Report, context: &str) {
    match purpose {
        Purpose::CatchUp => {
            assert_caught_up(report, context);
            scene.assert_equal("books", context);
            scene.assert_equal("films", context);
        }
        Purpose::CutOver => assert_cut_over(scene, report, context),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_a_catch_up() {
    let calls = kill_at_some(Purpose::CatchUp, true, 11, |at| {
        Kill::Call(at, [Stop::Before, Stop::After][(at % 2) as usize])
    })
    .await;
    assert!(calls > 50, "only {calls} calls");
    let commits = kill_at_some(Purpose::CatchUp, false, 7, Kill::Commit).await;
    assert!(commits > 10, "only {commits} commits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_a_cut_over() {
    let calls = kill_at_some(Purpose::CutOver, false, 9, |at| {
        Kill::Call(at, [Stop::Before, Stop::After][(at % 2) as usize])
    })
    .await;
    assert!(calls > 50, "only {calls} calls");
    let commits = kill_at_some(Purpose::CutOver, true, 5, Kill::Commit).await;
    assert!(commits > 10, "only {commits} commits");
}
