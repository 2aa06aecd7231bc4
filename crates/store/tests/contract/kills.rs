//! A process that is killed before or after any of its commits, and another one that goes on: it ends as if nothing had
//! happened.

use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::process::{Signal, getpid, kill_process};
use vecferry_store::{Commit, at_commits};

use crate::child;
use crate::on_both_stores;
use crate::place::{Place, SERVER, for_each_number, open};
use crate::script::Run;
use crate::state::{Sameness, shown};

on_both_stores!(a_job_ends_the_same_whenever_its_process_is_killed);

const MOMENTS: [(&str, Commit); 2] = [("before", Commit::Before), ("after", Commit::After)];

async fn a_job_ends_the_same_whenever_its_process_is_killed(place: Place) {
    let is_postgres = matches!(place, Place::Postgres(_));
    let store = place.open().await;
    Run::new(Arc::clone(&store)).run_from(0, |_| {}).await;
    let commits = usize::try_from(store.usage().commits).unwrap();
    assert!(commits > 60, "there were {commits} commits");
    let expected = shown(&*store, Sameness::NewAttempt).await;
    let kill = move |number| {
        let expected = expected.clone();
        async move {
            for (moment, _) in MOMENTS {
                let place = if is_postgres { Place::postgres() } else { Place::sqlite() };
                let operation = killed_at(&place, number, moment).await;
                let found = gone_on_with(&place, operation).await;
                assert_eq!(found, expected, "killed {moment} commit {number}, in operation {operation:?}");
            }
        }
    };
    for_each_number(0..commits, kill).await;
}

/// Has another process killed, and returns in which operation it was; none before the first.
async fn killed_at(place: &Place, number: usize, moment: &str) -> Option<usize> {
    let mut command = child::to_be_killed(&place.name(), number, moment);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(Signal::KILL.as_raw()), "{moment} commit {number}: {text}");
    child::told(&output.stdout, "operation").map(|operation| usize::try_from(operation).unwrap())
}

/// Goes on as another process, from the operation of which nobody knows whether it was done.
async fn gone_on_with(place: &Place, operation: Option<usize>) -> String {
    let store = place.open().await;
    if let Place::Postgres(url) = place {
        // The time of the process that was killed is over.
        SERVER.query(url, "DELETE FROM vecferry.leases");
    }
    let mut run = Run::new(Arc::clone(&store));
    run.go_on().await;
    run.run_from(operation.unwrap_or(0), |_| {}).await;
    shown(&*store, Sameness::NewAttempt).await
}

static KILL_AT: OnceLock<(usize, Commit)> = OnceLock::new();
static COMMITS: AtomicUsize = AtomicUsize::new(0);

/// Runs the script in a process that ends at a commit, without a warning.
pub(crate) async fn child(place: &str, number: &str, moment: &str) {
    let (_, moment) = MOMENTS.into_iter().find(|(name, _)| *name == moment).unwrap();
    KILL_AT.set((number.parse().unwrap(), moment)).unwrap();
    at_commits(|commit| {
        let (number, moment) = KILL_AT.get().unwrap();
        if commit == *moment && COMMITS.fetch_add(1, Ordering::Relaxed) == *number {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
    });
    let tell = |operation| child::tell("operation", u64::try_from(operation).unwrap());
    Run::new(open(place).await).run_from(0, tell).await;
}
