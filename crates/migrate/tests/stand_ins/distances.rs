//! Numeric keys whatever their distances: pages are asked for with a bound that the distances before suggest.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use prost::Message;
use vecferry_migrate::{Migration, Tuning, VerifyLevel};
use vecferry_milvus::proto::milvus as pb;
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::plain;
use vecferry_testkit::stand_in::{Interference, Key, Options, Version};

use super::{assert_arrived, assert_successful, carry_out, request};

/// Migrates rows of these keys in small pages, and returns the expressions of all pages of the source.
async fn pages(version: Version, keys: &BTreeSet<i64>) -> Vec<String> {
    let [source, target] = [(); 2].map(|()| StandIn::start(Options::new(version)));
    source.add(&plain("books", false, &[("_default", keys.iter().copied().map(Key::Long).collect())]));
    let mut wanted = request(&source, &target);
    wanted.verify = VerifyLevel::Count;
    let tuning = Tuning { page_bytes_target: 500, split_bytes_min: 26 * 100, ..Tuning::default() };
    let migration = Migration::prepare(wanted).await.unwrap().with_tuning(tuning);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    source.interfere(move |of| {
        if of.method == "Query" {
            let query = pb::QueryRequest::decode(of.message).unwrap();
            if query.output_fields.len() > 1 {
                noted.lock().unwrap().push(query.expr);
            }
        }
        Interference::None
    });
    let state = tempfile::tempdir().unwrap();
    let report = carry_out(migration, state.path()).await;
    source.interfere_no_more();
    assert_successful(&report, version.text());
    assert_arrived(&source, &target, "books", version.text());
    seen.lock().unwrap().clone()
}

#[tokio::test]
async fn pages_of_even_keys_are_asked_for_with_a_bound_of_their_own() {
    for version in [Version::V2_3, Version::V2_5] {
        let pages = pages(version, &(0..400).map(|number| number * 1000).collect()).await;
        let ends: BTreeSet<_> = pages.iter().filter_map(|page| page.split("<= ").nth(1)).collect();
        assert!(ends.len() > 16, "no more ends than splits: {pages:#?}");
    }
}

#[tokio::test]
async fn keys_in_clusters_and_at_the_ends_of_all_numbers_arrive() {
    let clusters = [i64::MIN, i64::MIN / 2, -70_000, -1, 0, 1 << 40, i64::MAX - 200];
    let keys = clusters.into_iter().flat_map(|first| (0..60).map(move |number| first + number)).collect();
    for version in [Version::V2_3, Version::V2_5] {
        pages(version, &keys).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn keys_of_any_distance_arrive(
        clusters in prop::collection::vec((any::<i64>(), 0_u32..62, 1_i64..80), 1..6),
    ) {
        let keys = clusters
            .iter()
            .flat_map(|&(first, distance, rows)| {
                (0..rows).filter_map(move |number| first.checked_add(number.checked_shl(distance)?))
            })
            // 2.3 and 2.5 don't answer it.
            .filter(|key| *key < i64::MAX)
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(pages(Version::V2_5, &keys));
    }
}
