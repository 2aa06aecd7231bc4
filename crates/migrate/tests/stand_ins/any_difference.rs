//! A value of any type that differs on the target is found by a full comparison, and mended where that is asked for.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;
use vecferry_migrate::{Code, JobState, RepairScope, Report, Selection, VerifyLevel, VerifyRequest, verify};
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::{Shape, collection};
use vecferry_testkit::stand_in::{Key, Options, Value, Version};

use super::{Silent, endpoint, newest};

/// Collections a version.
const COLLECTIONS: u64 = 30;

/// Name of the field as users know it: a field of a struct is a part of it.
fn shown(field: &str) -> &str {
    field.split_once('[').map_or(field, |(of_struct, _)| of_struct)
}

async fn compare(source: &StandIn, target: &StandIn, repair: bool) -> Report {
    let request = VerifyRequest {
        source: endpoint(source),
        target: endpoint(target),
        selection: Selection::default(),
        visible_only: false,
        target_dbs: std::collections::BTreeMap::new(),
        level: VerifyLevel::Full,
        repair: if repair { RepairScope::Everything } else { RepairScope::Nothing },
    };
    verify(request, Arc::new(Silent), CancellationToken::new()).await.unwrap()
}

/// Alters values of up to three rows, any field but the key. Returns keys and fields.
fn alter(target: &StandIn, not_copied: &BTreeSet<String>, random: &mut StdRng) -> BTreeSet<(String, String)> {
    let rows: Vec<_> = target.rows("default", "books").into_iter().collect();
    let mut altered = BTreeSet::new();
    for ((partition, key), copies) in rows.choose_multiple(random, 3) {
        let fields: Vec<_> = copies[0]
            .iter()
            .filter(|(field, _)| field.as_str() != "id" && !not_copied.contains(*field))
            .filter_map(|(field, value)| Some((field, value.altered()?)))
            .collect();
        let Some((field, mut value)) = fields.choose(random).cloned() else { continue };
        // A null instead of a value where the field takes one, which only the server's answer shows.
        if field.starts_with('v') && target.is_nullable("default", "books", field) && random.random_bool(0.3)
        {
            value = Value::Null;
        }
        target.set(("default", "books"), (partition, key), field, &value);
        let key = match key {
            Key::Long(number) => number.to_string(),
            Key::Text(text) => format!("{text:?}"),
        };
        altered.insert((key, shown(field).to_owned()));
    }
    altered
}

async fn find_and_mend(version: Version) {
    for seed in 0..COLLECTIONS {
        let context = format!("{version:?} with seed {seed}");
        let generated = collection("books", Shape { version, seed, repeated_keys: false });
        let source = StandIn::start(Options::awkward(version, seed));
        let target = StandIn::start(Options::awkward(version, seed + 1));
        source.add(&generated);
        target.add(&generated);
        let outputs =
            generated.schema.functions.iter().flat_map(|function| function.output_field_names.clone());
        let inputs =
            generated.schema.functions.iter().flat_map(|function| function.input_field_names.clone());
        let by_key = generated.schema.fields.iter().filter(|field| field.is_partition_key);
        // What is computed is not compared, and a row whose partition key changes belongs elsewhere.
        let not_copied = outputs.chain(inputs).chain(by_key.map(|field| field.name.clone())).collect();
        let mut random = StdRng::seed_from_u64(seed);
        let altered = alter(&target, &not_copied, &mut random);
        let report = Box::pin(compare(&source, &target, false)).await;
        let findings = report.collections[0].verification.as_ref().and_then(|proof| proof.findings.clone());
        let changed = findings.map(|findings| findings.changed.first).unwrap_or_default();
        let found = changed
            .iter()
            .flat_map(|row| row.fields.iter().map(|field| (row.key.to_string(), field.clone())));
        assert_eq!(found.collect::<BTreeSet<_>>(), altered, "{context}: {:?}", report.problems);
        if altered.is_empty() {
            assert_eq!(report.state, JobState::Successful, "{context}: {:?}", report.problems);
            continue;
        }
        assert!(report.problems.iter().any(|problem| problem.code == Code::RowsChanged), "{context}");
        let mended = Box::pin(compare(&source, &target, true)).await;
        assert_eq!(mended.state, JobState::Successful, "{context}: {:?}", mended.problems);
        assert_eq!(newest(source.rows("default", "books")), target.rows("default", "books"), "{context}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_altered_value_of_2_5_is_found_and_mended() {
    find_and_mend(Version::V2_5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_altered_value_of_3_0_is_found_and_mended() {
    find_and_mend(Version::V3_0).await;
}
