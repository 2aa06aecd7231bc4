//! A job whose record was restored from an older copy: it knows nothing of what was written after that.

use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;
use vecferry_migrate::event::{Event, Observer};
use vecferry_migrate::{JobState, Migration, Resumed, Tuning, VerifyLevel};
use vecferry_store::sqlite;
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Key, Options, Version};

use super::{Silent, assert_arrived, assert_successful, endpoint, request};

/// Ends the job when the first rows arrived.
struct AtFirstRows(CancellationToken, Mutex<bool>);

impl Observer for AtFirstRows {
    fn on_event(&self, event: Event) {
        if let Event::Copied { .. } = event {
            *self.1.lock().unwrap() = true;
            self.0.cancel();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_an_older_record_writes_again_are_there_once() {
    for verify in [VerifyLevel::Count, VerifyLevel::Sample, VerifyLevel::Full] {
        let source = StandIn::start(Options::awkward(Version::V2_6, 1));
        let target = StandIn::start(Options::awkward(Version::V2_6, 2));
        let keys = (0..400).map(Key::Long).collect();
        source.add(&Generated { loaded: true, ..plain("books", false, &[("_default", keys)]) });
        let mut request = request(&source, &target);
        request.verify = verify;
        let tuning = Tuning { page_bytes_target: 500, split_bytes_min: 26 * 100, ..Tuning::default() };
        let state = tempfile::tempdir().unwrap();
        let older = tempfile::tempdir().unwrap();
        let store = sqlite::open(state.path()).unwrap();
        let cancel = CancellationToken::new();
        let observer = Arc::new(AtFirstRows(cancel.clone(), Mutex::new(false)));
        let migration = Migration::prepare(request).await.unwrap().with_tuning(tuning);
        let report = migration.run(&store, Arc::<AtFirstRows>::clone(&observer), cancel).await.unwrap();
        assert!(*observer.1.lock().unwrap(), "{verify:?}: no row arrived");
        assert_eq!(report.state, JobState::Canceled, "{verify:?}");
        drop(store);
        std::fs::set_permissions(older.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        for entry in std::fs::read_dir(state.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::copy(&path, older.path().join(path.file_name().unwrap())).unwrap();
            }
        }
        for (directory, context) in [(&state, "the record"), (&older, "an older copy of it")] {
            let store = sqlite::open(directory.path()).unwrap();
            let resumed =
                Migration::resume(&*store, &report.job_id, endpoint(&source), endpoint(&target)).await;
            let Ok(Resumed::Ready(migration)) = resumed else { panic!("{resumed:?}") };
            let migration = migration.with_tuning(tuning);
            let report = migration.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap();
            let context = format!("{verify:?}, by {context}");
            assert_successful(&report, &context);
            assert_arrived(&source, &target, "books", &context);
        }
    }
}
