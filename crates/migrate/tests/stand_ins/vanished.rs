//! Collections that are complete, and that somebody takes away before the job is.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use vecferry_migrate::event::{Event, Observer, Phase};
use vecferry_migrate::{JobState, Migration};
use vecferry_store::sqlite;
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::plain;
use vecferry_testkit::stand_in::{Key, Options, Version};

use super::{endpoint, request};

/// Takes a collection away as soon as it is complete.
struct Thief {
    target: Arc<StandIn>,
    name: &'static str,
}

impl Observer for Thief {
    fn on_event(&self, event: Event) {
        if let Event::Phase { collection, phase: Phase::Done } = event
            && collection.name == self.name
        {
            self.target.remove("default", self.name);
        }
    }
}

#[tokio::test]
async fn a_job_whose_complete_collection_is_gone_at_its_end_is_no_success() {
    let source = StandIn::start(Options::new(Version::V2_6));
    let target = Arc::new(StandIn::start(Options::new(Version::V2_6)));
    for name in ["kept", "stolen"] {
        source.add(&plain(name, false, &[("_default", (0..50).map(Key::Long).collect())]));
    }
    let state = tempfile::tempdir().unwrap();
    let store = sqlite::open(state.path()).unwrap();
    let migration = Migration::prepare(request(&source, &target)).await.unwrap();
    let thief = Arc::new(Thief { target: Arc::clone(&target), name: "stolen" });
    let report = migration.run(&store, thief, CancellationToken::new()).await.unwrap();

    assert_eq!(report.state, JobState::Failed);
    let [problem] = report.problems.as_slice() else { panic!("{:#?}", report.problems) };
    assert_eq!(problem.code.to_string(), "VF-0218");
    assert!(problem.to_string().contains("`default.stolen` on the target is not the one"), "{problem}");
    let phases: Vec<_> = report.collections.iter().map(|one| (one.collection.as_str(), one.phase)).collect();
    assert_eq!(phases, [("kept", Phase::Done), ("stolen", Phase::Failed)]);

    // The store has it as complete; that does not count while it is not there.
    let resumed = Migration::resume(&*store, &report.job_id, endpoint(&source), endpoint(&target)).await;
    let problems = resumed.unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].to_string().contains("`default.stolen` on the target is not the one"));
}
