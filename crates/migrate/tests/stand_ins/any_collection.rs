//! Random collections of every type, between servers that make every difficulty a server can make.

use vecferry_migrate::{Migration, VerifyLevel};
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::{Shape, collection};
use vecferry_testkit::stand_in::{Options, Version};

use super::{assert_arrived, assert_successful, carry_out, request};

/// Collections a version; the seed of one that fails is in the failure's text.
const COLLECTIONS: u64 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_2_4_arrives() {
    migrate_many(Version::V2_4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_2_5_arrives() {
    migrate_many(Version::V2_5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_2_6_arrives() {
    migrate_many(Version::V2_6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_3_0_arrives() {
    migrate_many(Version::V3_0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_arrives_on_a_newer_version() {
    for (at, (version, newer)) in [
        (Version::V2_4, Version::V2_5),
        (Version::V2_4, Version::V3_0),
        (Version::V2_5, Version::V2_6),
        (Version::V2_6, Version::V3_0),
    ]
    .into_iter()
    .enumerate()
    {
        for seed in 0..COLLECTIONS / 4 {
            Box::pin(migrate_one(version, newer, 1000 + 100 * at as u64 + seed)).await;
        }
    }
}

async fn migrate_many(version: Version) {
    for seed in 0..COLLECTIONS {
        Box::pin(migrate_one(version, version, seed)).await;
    }
}

async fn migrate_one(version: Version, of_target: Version, seed: u64) {
    let context = format!("{version:?} to {of_target:?} with seed {seed}");
    let (mut of_source, mut of_target) =
        (Options::awkward(version, seed), Options::awkward(of_target, seed / 2 + 1));
    if seed % 5 == 4 {
        // Pages of some rows are too large, first for one server and then for the other.
        (of_source.answer_bytes_max, of_target.request_bytes_max) = (24 << 10, 16 << 10);
    }
    let (source, target) = (StandIn::start(of_source), StandIn::start(of_target));
    let generated = collection("books", Shape { version, seed, repeated_keys: seed.is_multiple_of(3) });
    source.add(&generated);
    let mut request = request(&source, &target);
    request.verify = [VerifyLevel::Count, VerifyLevel::Sample, VerifyLevel::Full][seed as usize % 3];
    let migration = Migration::prepare(request).await;
    let migration = migration.unwrap_or_else(|problems| panic!("{context}: {problems:#?}"));
    let state = tempfile::tempdir().unwrap();
    let report = carry_out(migration, state.path()).await;
    assert_successful(&report, &context);
    assert_arrived(&source, &target, "books", &context);
    assert_eq!(source.is_loaded("default", "books"), generated.loaded, "{context}: the source's load state");
}
