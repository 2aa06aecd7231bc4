//! Everything that a release can hold, item by item, to every release, older ones too: it arrives exactly, or is refused
//! before its first row, by the pre-check or by the target itself, which really can't hold it. The support matrix is made of
//! this.

use std::collections::{BTreeMap, BTreeSet};

use tokio_util::sync::CancellationToken;
use vecferry_migrate::{AutoId, Code, MigrateRequest, Migration, Problem, Selection, VerifyLevel};
use vecferry_milvus::schema::{differences, parameters};
use vecferry_milvus::{Client, CollectionName, NewCollection};
use vecferry_testkit::StandIn;
use vecferry_testkit::matrix::{Evidence, Outcome, held};
use vecferry_testkit::stand_in::museum::pieces;
use vecferry_testkit::stand_in::{Options, Version};

use super::{assert_successful, carry_out, endpoint, newest, request};

const DB: &str = "museum";
const VERSIONS: [Version; 4] = [Version::V2_4, Version::V2_5, Version::V2_6, Version::V3_0];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_of_2_4_arrives_or_is_refused() {
    show(Version::V2_4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_of_2_5_arrives_or_is_refused() {
    show(Version::V2_5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_of_2_6_arrives_or_is_refused() {
    show(Version::V2_6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_of_3_0_arrives_or_is_refused() {
    show(Version::V3_0).await;
}

/// As a real 2.3.5, which takes more than it can hold, and leaves out what it does not know: nothing of a later release
/// is lost on the way. No line of the matrix, because a real one is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_later_releases_is_lost_on_a_2_3() {
    for (seed, version) in VERSIONS.into_iter().enumerate() {
        let source = StandIn::start(Options::awkward(version, seed as u64));
        let target = StandIn::start(Options::awkward(Version::V2_3, seed as u64 + 1));
        // That 2.3.5 takes only objects for JSON shows with the rows, which are named.
        let pieces: Vec<_> = pieces(version, DB).into_iter().filter(|(item, _)| *item != "json").collect();
        pieces.iter().for_each(|(_, piece)| source.add(piece));
        let items: Vec<_> = pieces.iter().map(|(item, _)| *item).collect();
        let context = format!("{version:?} to 2.3");
        let refused = Box::pin(show_pair(&source, &target, &items, &context)).await;
        // Everything that 2.3.5 makes silently without, or can't index, and what harms it.
        let lost = [
            "nullable_scalar",
            "nullable_vector",
            "nullable_struct",
            "struct_array",
            "array_of_vector",
            "bm25",
            "embedding",
            "minhash",
            "clustering_key",
            "analyzer",
            "multi_analyzer",
            "sparse_vector",
            "text",
            "timestamptz",
            "geometry",
            "int8_vector",
            "scalar_index",
            "json_path_index",
            "auto_id",
            // One vector field is all it has.
            "float_vector",
            "float16_vector",
            "bfloat16_vector",
            "binary_vector",
        ];
        let expected: BTreeSet<_> =
            lost.into_iter().filter(|item| items.contains(item)).map(str::to_owned).collect();
        assert_eq!(refused, expected, "{context}");
    }
}

async fn show(version: Version) {
    for (seed, of_target) in VERSIONS.into_iter().enumerate() {
        let source = StandIn::start(Options::awkward(version, seed as u64));
        let target = StandIn::start(Options::awkward(of_target, seed as u64 + 1));
        let pieces = pieces(version, DB);
        pieces.iter().for_each(|(_, piece)| source.add(piece));
        source.set_database_properties(
            DB,
            &parameters(&[("database.replica.number", "2"), ("timezone", "UTC")]),
        );
        let items: Vec<_> = pieces.iter().map(|(item, _)| *item).collect();
        let context = format!("{version:?} to {of_target:?}");
        let refused = Box::pin(show_pair(&source, &target, &items, &context)).await;
        let outcome = |item: &&str| match refused.contains(*item) {
            true => ((*item).to_owned(), Outcome::Refused),
            false => ((*item).to_owned(), Outcome::Arrives),
        };
        let of_all = ["database", "database_property", "vector_index"];
        let outcomes: BTreeMap<_, _> = items.iter().chain(&of_all).map(outcome).collect();
        assert_eq!(source.database_properties(DB), target.database_properties(DB), "{context}");
        let (at_source, at_target) = (client(&source).await, client(&target).await);
        let version = |client: &Client| client.version().text.trim_start_matches('v').to_owned();
        let evidence = Evidence {
            servers: "stand-in",
            source: version(&at_source),
            target: version(&at_target),
            items: outcomes,
        };
        evidence.state();
    }
}

/// What was refused. All else has arrived.
async fn show_pair(
    source: &StandIn,
    target: &StandIn,
    items: &[&'static str],
    context: &str,
) -> BTreeSet<String> {
    let (at_source, at_target) = (client(source).await, client(target).await);
    let mut wanted = request(source, target);
    (wanted.auto_id, wanted.verify) = (AutoId::Keep, VerifyLevel::Full);
    let refused = refused(&wanted, context).await;
    for item in &refused {
        assert_is_impossible(&at_source, &at_target, item, context).await;
    }
    assert_eq!(target.names(DB), (Vec::new(), Vec::new()), "{context}: a refusal writes nothing");

    let excluded: Vec<_> = refused.iter().map(|item| format!("{DB}.{item}")).collect();
    wanted.selection = Selection::parse(&[format!("{DB}.*")], &excluded).unwrap();
    let migration = Migration::prepare(wanted).await;
    let migration = migration.unwrap_or_else(|problems| panic!("{context}: {problems:#?}"));
    let state = tempfile::tempdir().unwrap();
    let report = carry_out(migration, state.path()).await;
    assert_successful(&report, context);
    for item in items {
        let name = CollectionName::new(DB, *item);
        let shown = held(&at_source, &[name]).await.unwrap();
        assert!(shown.contains(item), "{context}: the piece `{item}` shows {shown:?}");
        if refused.contains(*item) {
            continue;
        }
        let context = format!("{context}, {item}");
        assert_eq!(newest(source.rows(DB, item)), target.rows(DB, item), "{context}");
        let (mut expected, made) = (source.definition(DB, item), target.definition(DB, item));
        // Since 2.6 a server gives it to every collection that has none.
        if let Some(zone) = made.properties.get("timezone") {
            expected.properties.entry("timezone".to_owned()).or_insert_with(|| zone.clone());
        }
        assert_eq!(expected, made, "{context}");
        assert!(!target.is_loaded(DB, item), "{context}");
    }
    refused
}

async fn client(server: &StandIn) -> Client {
    Client::connect(endpoint(server), 1).await.unwrap()
}

/// The items that the pre-check refuses, and those that the target refuses when it is asked for them; nothing but what the
/// target can't hold may be a reason.
async fn refused(wanted: &MigrateRequest, context: &str) -> BTreeSet<String> {
    let mut wanted = wanted.clone();
    let problems = Migration::prepare(wanted.clone()).await.err().unwrap_or_default();
    let mut refused = named(&problems, context);
    let excluded: Vec<_> = refused.iter().map(|item| format!("{DB}.{item}")).collect();
    wanted.selection = Selection::parse(&[format!("{DB}.*")], &excluded).unwrap();
    let mut migration = Migration::prepare(wanted).await.unwrap();
    let in_doubt: Vec<_> =
        migration.plan().warnings.iter().filter(|found| found.code == Code::TargetMayNotHold).collect();
    let in_doubt: BTreeSet<_> = in_doubt.into_iter().map(item_of).collect();
    let problems = migration.probe_write(&CancellationToken::new()).await.err().unwrap_or_default();
    let by_target = named(&problems, context);
    let unforeseen: BTreeSet<_> = by_target.difference(&in_doubt).collect();
    // That a 2.3 has one vector field is in no table.
    let known = |item: &str| item.ends_with("_vector") && context.ends_with("to 2.3");
    assert!(unforeseen.iter().all(|item| known(item)), "{context}: {unforeseen:?} came as a surprise");
    refused.extend(by_target);
    refused
}

fn named(problems: &[Problem], context: &str) -> BTreeSet<String> {
    let name = |problem: &Problem| {
        assert_eq!(problem.code, Code::TargetCannotHold, "{context}: {problem}");
        item_of(problem)
    };
    problems.iter().map(name).collect()
}

fn item_of(problem: &Problem) -> String {
    let name = problem.values.iter().find(|(key, _)| key == "collection").map(|(_, value)| value.clone());
    name.unwrap().trim_start_matches("museum.").to_owned()
}

/// What was refused the target really can't hold, asked directly: it refuses it, or makes something else.
async fn assert_is_impossible(source: &Client, target: &Client, item: &str, context: &str) {
    // Such a collection can be made there; rows with keys can't be inserted, which the tests of the stand-in show.
    let only_with_rows = item == "auto_id";
    // A real 2.3.5 keeps these without a word, and refuses rows of a geometry or dies of those of the others. Analyzers have no
    // meaning there.
    let kept_by_2_3 = ["geometry", "timestamptz", "text", "analyzer", "multi_analyzer"].contains(&item);
    if only_with_rows || kept_by_2_3 && context.ends_with("to 2.3") {
        return;
    }
    let described = source.describe(&CollectionName::new(DB, item)).await.unwrap();
    let name = CollectionName::new("default", item);
    let new = NewCollection {
        name: name.clone(),
        schema: described.schema.creation_bytes().unwrap(),
        shards: 1,
        consistency: described.consistency,
        properties: Vec::new(),
        num_partitions: 0,
    };
    let made = target.create_collection(&new).await;
    let mut is_possible = made.is_ok();
    if made.is_ok() {
        let found = target.describe(&name).await.unwrap();
        is_possible &= differences(&described.schema, &found.schema).unwrap().is_empty();
        for index in source.indexes(&described.name).await.unwrap() {
            is_possible &= target.create_index(&name, &index.field, &index.name, index.params).await.is_ok();
        }
        target.drop_collection(&name).await.unwrap();
    }
    assert!(!is_possible, "{context}: `{item}` is refused, and the target takes it");
}
