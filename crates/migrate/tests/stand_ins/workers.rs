//! Splits that several workers copy at once, of which one stands still for longer than its claims hold, and then goes on.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vecferry_migrate::{
    ByWorkers, Code, JobState, Limits, MigrateRequest, Migration, Report, Resources, SliceError, Tuning,
    VerifyLevel, Worker,
};
use vecferry_milvus::Endpoint;
use vecferry_store::{JobId, Store, sqlite};
use vecferry_testkit::fault_proxy::{Answer, Fault, FaultProxy, When};
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Key, Options, Version};
use vecferry_testkit::{DeniedBy, StandIn};

use super::{Silent, assert_arrived, assert_successful, endpoint};

const ROWS: i64 = 400;
const SOON: Duration = Duration::from_secs(60);

fn tuning() -> Tuning {
    Tuning {
        page_bytes_target: 500,
        split_bytes_min: 26 * 30,
        slice_time: Duration::ZERO,
        writer_ttl: Duration::from_millis(500),
        ..Tuning::default()
    }
}

fn books() -> Generated {
    let keys = (0..ROWS).map(|number| Key::Long(number * 1_000_003)).collect();
    Generated { loaded: true, ..plain("books", false, &[("_default", keys)]) }
}

/// Two servers, and a job between them that workers are to copy.
struct Scene {
    source: StandIn,
    target: StandIn,
    store: Arc<dyn Store>,
    job_id: JobId,
    job: tokio::task::JoinHandle<Result<Report, Vec<vecferry_migrate::Problem>>>,
    _state: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let source = StandIn::start(Options::new(Version::V2_6));
        let target = StandIn::start(Options::new(Version::V2_6));
        source.add(&books());
        let state = tempfile::tempdir().unwrap();
        let store = sqlite::open(state.path()).unwrap();
        let request = MigrateRequest {
            verify: VerifyLevel::Full,
            ..MigrateRequest::new(endpoint(&source), endpoint(&target))
        };
        let mut migration = Migration::prepare(request).await.unwrap().with_tuning(tuning());
        let cancel = CancellationToken::new();
        let job_id = migration.create(&*store, &cancel).await.unwrap();
        let migration = migration.with_dispatcher(Arc::new(ByWorkers::new(Arc::clone(&store))));
        let of_job = Arc::clone(&store);
        let job = tokio::spawn(async move { migration.run(&of_job, Arc::new(Silent), cancel).await });
        // A worker has nothing to do before an attempt is under way.
        while !store.job(&job_id).await.unwrap().state.is_open() {
            tokio::task::yield_now().await;
        }
        Self { source, target, store, job_id, job, _state: state }
    }

    async fn worker(&self, target: Endpoint) -> Worker {
        let sides = (endpoint(&self.source), target);
        let (resources, observer) = (Resources::new(Limits::default()), Arc::new(Silent));
        let (store, cancel) = (Arc::clone(&self.store), CancellationToken::new());
        let worker = Worker::open(store, &self.job_id, sides, &resources, observer, cancel).await.unwrap();
        worker.with_tuning(tuning())
    }

    async fn ended(self, context: &str) {
        let report = tokio::time::timeout(SOON, self.job).await.unwrap().unwrap().unwrap();
        assert_successful(&report, context);
        assert_eq!(report.collections[0].rows, ROWS.unsigned_abs(), "{context}");
        assert_arrived(&self.source, &self.target, "books", context);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_workers_copy_every_row_once() {
    let scene = Scene::new().await;
    let workers = [scene.worker(endpoint(&scene.target)).await, scene.worker(endpoint(&scene.target)).await];
    let [one, other] = &workers;
    let (first, second) = tokio::join!(one.work(), other.work());
    first.unwrap();
    second.unwrap();
    scene.ended("two workers").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stood_still_and_goes_on_writes_nothing_twice() {
    let scene = Scene::new().await;
    let to_target = FaultProxy::start(&scene.target.uri());
    // One of its inserts is on its way all the time.
    let held = to_target.arm("Insert", When::Nth(3), Fault::Hold(None));
    let stopped = scene.worker(Endpoint::parse(&to_target.uri()).unwrap()).await;
    let (tell_handle, handle) = channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tell_handle.send(runtime.handle().clone()).unwrap();
        runtime.block_on(stopped.work())
    });
    let handle = handle.recv().unwrap();
    let fired = tokio::task::spawn_blocking(move || (held.wait_until_fired(SOON), held)).await.unwrap();
    let (true, held) = fired else { panic!("it never wrote") };
    // Its only thread stands still, as that of a stopped process does.
    let (go_on, stands_still) = channel::<()>();
    handle.spawn(async move { stands_still.recv() });

    let other = scene.worker(endpoint(&scene.target)).await;
    other.work().await.unwrap();
    let late = tokio::task::spawn_blocking(move || held.release(SOON)).await.unwrap().unwrap();
    let status = late.status().unwrap();
    assert!(status.code == 100 || status.error_code == 4, "the late insert landed: {status:?}");
    go_on.send(()).unwrap();
    let ended = tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap();
    assert!(matches!(ended, Ok(()) | Err(SliceError::Fenced(_) | SliceError::Canceled)), "{ended:?}");
    scene.ended("one of them stood still").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_can_not_do_fails_the_job_with_its_own_code() {
    let scene = Scene::new().await;
    let to_target = FaultProxy::start(&scene.target.uri());
    to_target.arm(["Insert", "Upsert"], When::Always, Fault::Answer(Answer::Denied(DeniedBy::V2_5)));
    let worker = scene.worker(Endpoint::parse(&to_target.uri()).unwrap()).await;
    // It goes on until the job ends, which nobody has to tell it.
    worker.work().await.unwrap();
    let report = tokio::time::timeout(SOON, scene.job).await.unwrap().unwrap().unwrap();
    assert_eq!(report.state, JobState::Failed);
    let problems: Vec<_> = report.problems.iter().map(|problem| problem.code).collect();
    assert!(problems.contains(&Code::PermissionDenied), "{:?}", report.problems);
    assert_eq!(scene.store.workers(&scene.job_id).await.unwrap(), 0);
}
