//! Answers that say less, or something else, than is true: pages without rows although there are some, and errors of
//! writes that were carried out. What arrives is complete and there once, or the job says that it is not.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use vecferry_migrate::{
    AutoId, Code, JobState, MigrateRequest, Migration, Report, Resumed, Tuning, VerifyLevel,
};
use vecferry_milvus::Endpoint;
use vecferry_milvus::proto::common;
use vecferry_store::{JobId, Position, WorkerId, sqlite};
use vecferry_testkit::StandIn;
use vecferry_testkit::fault_proxy::{Answer, Cut, Fault, FaultProxy, When};
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Key, Options, Version};

use super::keys::{made_by_the_server, without_keys};
use super::{Silent, assert_arrived, assert_successful};

const SOON: Duration = Duration::from_secs(60);

/// Two servers, each behind a proxy, and the record of a job.
struct Scene {
    source: StandIn,
    target: StandIn,
    to_source: FaultProxy,
    to_target: FaultProxy,
    state: TempDir,
    request: MigrateRequest,
    split_bytes_min: u64,
}

impl Scene {
    fn new(generated: &Generated, verify: VerifyLevel) -> Self {
        let source = StandIn::start(Options { short_pages: false, ..Options::awkward(Version::V2_6, 1) });
        let target = StandIn::start(Options::awkward(Version::V2_6, 2));
        source.add(generated);
        let (to_source, to_target) = (FaultProxy::start(&source.uri()), FaultProxy::start(&target.uri()));
        let endpoint = |proxy: &FaultProxy| Endpoint::parse(&proxy.uri()).unwrap();
        let mut request = MigrateRequest::new(endpoint(&to_source), endpoint(&to_target));
        request.verify = verify;
        let state = tempfile::tempdir().unwrap();
        Self { source, target, to_source, to_target, state, request, split_bytes_min: 26 * 30 }
    }

    fn tuning(&self) -> Tuning {
        Tuning {
            page_bytes_target: 500,
            split_bytes_min: self.split_bytes_min,
            slice_time: Duration::from_secs(30),
            ..Tuning::default()
        }
    }

    async fn migrate(&self) -> Report {
        Box::pin(self.carry_out(Migration::prepare(self.request.clone()).await.unwrap())).await
    }

    async fn resume(&self, job_id: &JobId) -> Report {
        let store = sqlite::open(self.state.path()).unwrap();
        let (source, target) = (self.request.source.clone(), self.request.target.clone());
        match Migration::resume(&*store, job_id, source, target).await.unwrap() {
            Resumed::Ready(migration) => Box::pin(self.carry_out(*migration)).await,
            Resumed::Successful(report) | Resumed::AtRest(report) => *report,
        }
    }

    async fn carry_out(&self, migration: Migration) -> Report {
        let store = sqlite::open(self.state.path()).unwrap();
        let migration = migration.with_tuning(self.tuning());
        migration.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap()
    }
}

fn books() -> Generated {
    let keys =
        |first: i64, rows: i64| (0..rows).map(|number| Key::Long((first + number) * 1_000_003)).collect();
    Generated { loaded: true, ..plain("books", false, &[("_default", keys(0, 60)), ("more", keys(60, 30))]) }
}

/// The first, the last, and any other, of the pages and of what else is read of either side. The job goes on by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_comes_without_its_rows_loses_none_and_fails_no_job() {
    let generated = books();
    for (verify, allow_drift, split_bytes_min) in [
        (VerifyLevel::None, true, 26 * 30),
        (VerifyLevel::Sample, false, 1 << 20),
        (VerifyLevel::Full, false, 1 << 20),
    ] {
        for of_source in [true, false] {
            let mut fired = 0;
            for at in 1.. {
                let mut scene = Scene::new(&generated, verify);
                (scene.request.allow_drift, scene.split_bytes_min) = (allow_drift, split_bytes_min);
                let proxy = if of_source { &scene.to_source } else { &scene.to_target };
                let fault = proxy.arm("Query", When::Nth(at), Fault::EmptiedPage);
                let report = scene.migrate().await;
                let side = if of_source { "source" } else { "target" };
                let context = format!("query {at} of the {side}, {verify:?}, drift allowed: {allow_drift}");
                assert_successful(&report, &context);
                assert_arrived(&scene.source, &scene.target, "books", &context);
                assert_eq!(report.collections[0].rows, 90, "{context}");
                if at > proxy.calls("Query") {
                    break;
                }
                fired += fault.fired();
            }
            let is_read = of_source || matches!(verify, VerifyLevel::Sample | VerifyLevel::Full);
            assert!(!is_read || fired > 2, "{verify:?}: only {fired} pages");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_returns_no_row_at_all_is_no_success_and_a_later_attempt_reads_it() {
    for (verify, auto_id) in [
        (VerifyLevel::None, AutoId::Refuse),
        (VerifyLevel::Count, AutoId::Refuse),
        (VerifyLevel::Sample, AutoId::Refuse),
        (VerifyLevel::None, AutoId::Regenerate),
    ] {
        let generated = if auto_id == AutoId::Refuse { books() } else { made_by_the_server(books()) };
        let mut scene = Scene::new(&generated, verify);
        (scene.request.allow_drift, scene.request.auto_id) = (true, auto_id);
        let fault = scene.to_source.arm("Query", When::Always, Fault::EmptiedPage);
        let mut report = scene.migrate().await;
        assert_eq!(report.state, JobState::Failed, "{verify:?} {auto_id:?}");
        fault.disarm();
        let mut reread = report.problems.iter().any(|problem| problem.code == Code::RowsMissing);
        for _ in 0..2 {
            if report.state == JobState::Failed {
                report = scene.resume(&report.job_id).await;
                reread |= report.problems.iter().any(|problem| problem.code == Code::RowsMissing);
            }
        }
        assert_successful(&report, &format!("{verify:?} {auto_id:?}"));
        assert_eq!(without_keys(&scene.source, "books"), without_keys(&scene.target, "books"));
        if auto_id == AutoId::Refuse {
            assert!(reread, "it was not said that rows are missing");
            assert_arrived(&scene.source, &scene.target, "books", "resumed");
        }
    }
}

/// Which looks at the end of a split does not go on for ever over: the source counts each copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_keys_are_told_from_rows_that_were_not_returned() {
    let keys: Vec<_> = (0..60).map(|number| Key::Long(number / 3 * 7)).collect();
    let generated = Generated { loaded: true, ..plain("books", false, &[("_default", keys)]) };
    for verify in [VerifyLevel::None, VerifyLevel::Sample] {
        let scene = Scene::new(&generated, verify);
        let report = scene.migrate().await;
        assert_successful(&report, "repeated keys");
        assert_arrived(&scene.source, &scene.target, "books", "repeated keys");
        let warning = report.warnings.iter().find(|warning| warning.code == Code::Duplicates).unwrap();
        assert!(
            warning.to_string().contains("40 rows of the source have a duplicate primary key"),
            "{warning}"
        );
        let store = sqlite::open(scene.state.path()).unwrap();
        let splits = store.splits(&report.job_id, Position(0)).await.unwrap();
        let counts = splits.iter().map(|split| split.count.unwrap());
        assert_eq!(counts.clone().map(|count| count.counted).sum::<u64>(), 60);
        assert_eq!(counts.map(|count| count.distinct_keys.unwrap()).sum::<u64>(), 20);
    }
}

fn says(code: i32, error_code: i32, reason: &str) -> Answer {
    let status = common::Status { code, error_code, reason: reason.into(), ..common::Status::default() };
    Answer::Status(status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_was_carried_out_and_answered_an_error_is_there_once() {
    let generated = books();
    let answers = [
        says(65535, 1, "one of the channels failed"),
        says(1100, 5, "invalid parameter"),
        says(1102, 5, "message larger than max"),
        says(1, 1, "not ready"),
        says(200, 1, "partition not found"),
    ];
    for (number, answer) in answers.into_iter().enumerate() {
        for at in (1 + number as u64..).step_by(2) {
            let verify = if at % 3 == 0 { VerifyLevel::Sample } else { VerifyLevel::None };
            let scene = Scene::new(&generated, verify);
            let fault = scene.to_target.arm("Insert", When::Nth(at), Fault::AnswerAfterApply(answer.clone()));
            let report = scene.migrate().await;
            let context = format!("insert {at}, {answer:?}, {verify:?}");
            assert_successful(&report, &context);
            assert_eq!((report.collections[0].rows, report.collections[0].quarantined), (90, 0), "{context}");
            assert_arrived(&scene.source, &scene.target, "books", &context);
            if fault.fired() == 0 {
                assert!(at > 3, "only {at} inserts");
                break;
            }
        }
    }
    // A server that does so with every insert.
    let scene = Scene::new(&generated, VerifyLevel::None);
    let lies = Fault::AnswerAfterApply(says(65535, 1, "one of the channels failed"));
    scene.to_target.arm("Insert", When::Always, lies);
    let report = scene.migrate().await;
    assert_successful(&report, "every insert");
    assert_arrived(&scene.source, &scene.target, "books", "every insert");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_server_makes_the_keys_such_a_write_is_there_once_too() {
    let generated = made_by_the_server(books());
    for auto_id in [AutoId::Regenerate, AutoId::Keep] {
        for (at, answer) in [
            (1, says(65535, 1, "one of the channels failed")),
            (3, says(1, 1, "not ready")),
            (4, says(200, 1, "no")),
        ] {
            let verify = if at == 3 { VerifyLevel::Sample } else { VerifyLevel::None };
            let mut scene = Scene::new(&generated, verify);
            scene.request.auto_id = auto_id;
            let fault = scene.to_target.arm("Insert", When::Nth(at), Fault::AnswerAfterApply(answer.clone()));
            let report = scene.migrate().await;
            let context = format!("{auto_id:?}, insert {at}, {answer:?}");
            assert_eq!(fault.fired(), 1, "{context}");
            assert_successful(&report, &context);
            assert_eq!(
                without_keys(&scene.source, "books"),
                without_keys(&scene.target, "books"),
                "{context}"
            );
            if auto_id == AutoId::Keep {
                assert_arrived(&scene.source, &scene.target, "books", &context);
            }
        }
    }
}

/// A write of the first round is still on its way when the second one writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collection_that_is_copied_again_is_written_through_another_name() {
    let generated = made_by_the_server(Generated {
        loaded: true,
        ..plain("books", false, &[("_default", (0..180).map(Key::Long).collect())])
    });
    let mut scene = Scene::new(&generated, VerifyLevel::None);
    (scene.request.auto_id, scene.split_bytes_min) = (AutoId::Regenerate, 1 << 30);
    let lost = scene.to_target.arm("Insert", When::Nth(1), Fault::Hold(Some(Cut::Stream)));
    let second = scene.to_target.arm("Insert", When::Nth(2), Fault::Hold(None));
    let late = tokio::task::spawn_blocking(move || {
        assert!(second.wait_until_fired(SOON), "no second round");
        let late = lost.release(SOON).unwrap();
        second.release(SOON).unwrap();
        late
    });
    let (report, late) = tokio::join!(scene.migrate(), late);
    let status = late.unwrap().status().unwrap();
    assert!(status.code == 100 || status.error_code == 4, "the write of the first round landed: {status:?}");
    assert_successful(&report, "copied again");
    assert_eq!(without_keys(&scene.source, "books"), without_keys(&scene.target, "books"));
    let store = sqlite::open(scene.state.path()).unwrap();
    let attempt = store.begin_attempt(&report.job_id).await.unwrap();
    let (worker, ttl) = (WorkerId::generate(), Duration::from_secs(1));
    let next = store.open_writer(attempt.job_id(), Position(0), &worker, ttl).await.unwrap();
    assert_eq!(next.number(), 3, "each round wrote under a name of its own");
}
