//! The engine as a whole, in this process, between two stand-in servers whose memory is compared afterwards: nothing of
//! the comparison is Vecferry's own code.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that meets an error has failed")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use vecferry_migrate::event::{Event, Observer};
use vecferry_migrate::{JobState, MigrateRequest, Migration, Report};
use vecferry_milvus::Endpoint;
use vecferry_store::sqlite;
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::RowsByKey;

mod added_field;
mod any_collection;
mod any_difference;
mod any_schedule;
mod canceled;
mod changed_around;
mod chinese;
mod claim;
mod counted;
mod distances;
mod doubts;
mod every_row;
mod index_order;
mod kept_index;
mod keys;
mod killed;
mod loading;
mod museum;
mod odd_keys;
mod oversize;
mod probed;
mod rbac;
mod registered;
mod released;
mod releases;
mod restored;
mod rounds;
mod together;
mod untrue_answers;
mod updates;
mod vanished;
mod visible;
mod warm;
mod workers;

/// Nobody looks.
struct Silent;

impl Observer for Silent {
    fn on_event(&self, _: Event) {}
}

fn endpoint(server: &StandIn) -> Endpoint {
    Endpoint::parse(&server.uri()).unwrap()
}

fn request(source: &StandIn, target: &StandIn) -> MigrateRequest {
    MigrateRequest::new(endpoint(source), endpoint(target))
}

/// Carries a migration out that was prepared.
async fn carry_out(migration: Migration, state_dir: &Path) -> Report {
    let store = sqlite::open(state_dir).unwrap();
    let report = migration.run(&store, Arc::new(Silent), CancellationToken::new()).await;
    report.unwrap()
}

/// What the target must hold: of each key the newest copy.
fn newest(rows: RowsByKey) -> RowsByKey {
    let one = |copies: Vec<BTreeMap<_, _>>| copies.into_iter().next_back().into_iter().collect();
    rows.into_iter().map(|(key, copies)| (key, one(copies))).collect()
}

/// Compares a collection of both servers, row by row and field by field.
#[track_caller]
fn assert_arrived(source: &StandIn, target: &StandIn, name: &str, context: &str) {
    let (expected, found) = (newest(source.rows("default", name)), target.rows("default", name));
    for (key, row) in &expected {
        let arrived = found.get(key).unwrap_or_else(|| panic!("{context}: {key:?} is missing"));
        assert_eq!(arrived.len(), 1, "{context}: {key:?} is there {} times", arrived.len());
        assert_eq!(arrived, row, "{context}: {key:?} differs");
    }
    let extra = found.keys().find(|key| !expected.contains_key(key));
    assert!(extra.is_none(), "{context}: {extra:?} should not be there");
    let mut partitions = (source.partitions("default", name), target.partitions("default", name));
    partitions.0.sort();
    partitions.1.sort();
    assert_eq!(partitions.0, partitions.1, "{context}");
    assert_eq!(source.names("default"), target.names("default"), "{context}");
    assert!(!target.is_loaded("default", name), "{context}: the target stays loaded");
}

#[track_caller]
fn assert_successful(report: &Report, context: &str) {
    let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!(report.state, JobState::Successful, "{context}: {problems:#?}");
}
