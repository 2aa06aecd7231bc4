//! Rounds behind a warm copy: catch-ups while the source is written to, and the cut-over that ends the job.

mod attacked;
mod cut_over;
mod followed;
mod killed;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use vecferry_migrate::event::Observer;
use vecferry_migrate::report::{CaughtUp, JobKind, RoundKind, RoundState};
use vecferry_migrate::{
    JobState, MigrateRequest, Migration, NextRound, Problem, Purpose, Report, Resumed, RoundOptions,
    VerifyLevel,
};
use vecferry_store::{JobId, Store, sqlite};
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::{Key, Version};

use super::warm::{AT, codes, row, servers_of_loaded, small_pages, wanted};
use super::{Silent, assert_successful, endpoint, newest};

/// Two servers and the record of a job.
struct Scene {
    source: Arc<StandIn>,
    target: Arc<StandIn>,
    state: tempfile::TempDir,
}

/// What a round may do beside the usual.
const NOTHING_MORE: RoundOptions =
    RoundOptions { accept_dropped: false, recopy: false, overwrite_target: false, trust_unchanged: false };

impl Scene {
    /// Two partitions of 350 rows together, with an alias.
    fn new(version: Version) -> Self {
        Self::loaded(version, true)
    }

    fn loaded(version: Version, loaded: bool) -> Self {
        let (source, target) = servers_of_loaded(version, loaded);
        Self { source, target: Arc::new(target), state: tempfile::tempdir().unwrap() }
    }

    fn store(&self) -> Arc<dyn Store> {
        sqlite::open(self.state.path()).unwrap()
    }

    fn state(&self) -> &Path {
        self.state.path()
    }

    async fn warm(&self) -> Report {
        self.warm_as(wanted(&self.source, &self.target), Arc::new(Silent)).await
    }

    async fn warm_as(&self, request: MigrateRequest, observer: Arc<dyn Observer>) -> Report {
        let migration = Migration::prepare(request).await.unwrap().with_tuning(small_pages());
        let report = migration.run(&self.store(), observer, CancellationToken::new()).await.unwrap();
        assert_eq!(report.state, JobState::Ready, "{:#?}", report.problems);
        report
    }

    async fn job_id(&self) -> JobId {
        let store = self.store();
        store.jobs(vecferry_store::JobPage::newest()).await.unwrap()[0].job_id.clone()
    }

    /// A round, or why it may not begin.
    async fn next(
        &self,
        purpose: Purpose,
        options: RoundOptions,
        observer: Arc<dyn Observer>,
    ) -> Result<Report, Vec<Problem>> {
        let (job_id, store) = (self.job_id().await, self.store());
        let (source, target) = (endpoint(&self.source), endpoint(&self.target));
        let next = NextRound { purpose, options };
        let resumed = Migration::next_round(&*store, &job_id, source, target, next).await?;
        let Resumed::Ready(migration) = resumed else { panic!("{resumed:?}") };
        let migration = migration.with_tuning(small_pages());
        migration.run(&store, observer, CancellationToken::new()).await
    }

    async fn catch_up(&self) -> Report {
        self.next(Purpose::CatchUp, NOTHING_MORE, Arc::new(Silent)).await.unwrap()
    }

    async fn cut_over(&self) -> Report {
        self.next(Purpose::CutOver, NOTHING_MORE, Arc::new(Silent)).await.unwrap()
    }

    /// Goes on with whatever is open.
    async fn resume(&self) -> Resumed {
        let (job_id, store) = (self.job_id().await, self.store());
        Migration::resume(&*store, &job_id, endpoint(&self.source), endpoint(&self.target)).await.unwrap()
    }

    /// Both servers hold the same rows of a collection in the same partitions.
    #[track_caller]
    fn assert_equal(&self, name: &str, context: &str) {
        let (expected, found) =
            (newest(self.source.rows("default", name)), self.target.rows("default", name));
        let keys: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
        for key in keys {
            assert_eq!(found.get(key), expected.get(key), "{context}: {key:?} of `{name}`");
        }
        let partitions =
            |server: &StandIn| server.partitions("default", name).into_iter().collect::<BTreeSet<_>>();
        assert_eq!(partitions(&self.source), partitions(&self.target), "{context}: `{name}`");
    }

    fn insert(&self, key: i64, part: f32) {
        self.source.insert(AT, "_default", row(key, part));
    }

    fn update(&self, key: i64, part: f32) {
        self.source.upsert(AT, "_default", row(key, part));
    }

    fn delete(&self, key: i64) {
        self.source.delete(AT, "_default", &BTreeSet::from([Key::Long(key)]));
    }

    /// Two rows come, three change, one goes.
    fn change(&self) {
        for key in [1000, 1001] {
            self.insert(key, 1.0);
        }
        for key in [3, 5, 7] {
            self.update(key, 9.0);
        }
        self.delete(11);
    }
}

/// A round behind the warm copy came to its end, and nothing is claimed.
#[track_caller]
fn assert_caught_up(report: &Report, context: &str) {
    let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!((report.state, report.kind), (JobState::Ready, JobKind::Warm), "{context}: {problems:#?}");
    assert_eq!(report.verified, VerifyLevel::None, "{context}");
    assert_eq!(codes(&report.warnings)[0], "VF-0446", "{context}");
    let last = report.rounds.last().unwrap();
    assert_eq!((last.kind, last.state), (RoundKind::CatchUp, RoundState::Done), "{context}");
    for collection in &report.collections {
        let evidence = &collection.evidence;
        assert!(
            evidence.verified.is_none() && !evidence.finished && !evidence.source_looked_at_end,
            "{context}"
        );
        assert!(collection.verification.is_none() && collection.aliases.is_empty(), "{context}");
    }
}

/// A cut-over came to its end, with everything that a success takes.
#[track_caller]
fn assert_cut_over(scene: &Scene, report: &Report, context: &str) {
    assert_successful(report, context);
    assert_eq!((report.kind, report.verified), (JobKind::Warm, VerifyLevel::Full), "{context}");
    let last = report.rounds.last().unwrap();
    assert_eq!((last.kind, last.state), (RoundKind::CutOver, RoundState::Done), "{context}");
    assert!(last.window_seconds.is_some(), "{context}");
    for collection in &report.collections {
        scene.assert_equal(&collection.collection, context);
        let evidence = &collection.evidence;
        assert_eq!(evidence.verified, Some(VerifyLevel::Full), "{context}");
        assert!(evidence.finished && evidence.there_at_end && evidence.source_looked_at_end, "{context}");
    }
    assert_eq!(scene.source.names("default"), scene.target.names("default"), "{context}");
}

/// Missing, changed and extra rows of a collection.
fn apart(report: &Report, name: &str) -> (u64, u64, u64) {
    let of = |collection: &&vecferry_migrate::report::CollectionReport| collection.collection == name;
    let CaughtUp { rows_missing, rows_changed, rows_extra, .. } =
        report.collections.iter().find(of).unwrap().caught_up.unwrap();
    (rows_missing, rows_changed, rows_extra)
}

/// Rows by key of the whole collection, for those that are not to change any more.
fn rows(server: &StandIn) -> BTreeMap<(String, Key), usize> {
    server.rows(AT.0, AT.1).into_iter().map(|(key, copies)| (key, copies.len())).collect()
}
