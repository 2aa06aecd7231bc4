//! Everything that a release can hold, item by item, to every release, older ones too: it arrives exactly, or is refused
//! before anything is written, and then the target really can't hold it. The support matrix is made of this.

use std::collections::{BTreeMap, BTreeSet};

use vecferry_migrate::{AutoId, Code, MigrateRequest, Migration, Selection, VerifyLevel};
use vecferry_milvus::schema::parameters;
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
        Box::pin(show_pair(&source, &target, &items, &format!("{version:?} to {of_target:?}"))).await;
    }
}

async fn show_pair(source: &StandIn, target: &StandIn, items: &[&'static str], context: &str) {
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
    let mut outcomes = BTreeMap::new();
    for item in items {
        let name = CollectionName::new(DB, *item);
        let shown = held(&at_source, &[name]).await.unwrap();
        assert!(shown.contains(item), "{context}: the piece `{item}` shows {shown:?}");
        if refused.contains(*item) {
            outcomes.insert((*item).to_owned(), Outcome::Refused);
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
        outcomes.insert((*item).to_owned(), Outcome::Arrives);
    }
    assert_eq!(source.database_properties(DB), target.database_properties(DB), "{context}");
    for item in ["database", "database_property", "vector_index"] {
        outcomes.insert(item.to_owned(), Outcome::Arrives);
    }
    let version = |client: &Client| client.version().text.trim_start_matches('v').to_owned();
    let evidence = Evidence {
        servers: "stand-in",
        source: version(&at_source),
        target: version(&at_target),
        items: outcomes,
    };
    evidence.state();
}

async fn client(server: &StandIn) -> Client {
    Client::connect(endpoint(server), 1).await.unwrap()
}

/// The items that the pre-check refuses; nothing but what the target can't hold may be a reason.
async fn refused(wanted: &MigrateRequest, context: &str) -> BTreeSet<String> {
    let Err(problems) = Migration::prepare(wanted.clone()).await else { return BTreeSet::new() };
    let collection = |problem: &vecferry_migrate::Problem| {
        assert_eq!(problem.code, Code::TargetCannotHold, "{context}: {problem}");
        let values = problem.values.iter();
        let name = values.filter(|(key, _)| key == "collection").map(|(_, value)| value.clone()).next();
        name.unwrap().trim_start_matches("museum.").to_owned()
    };
    problems.iter().map(collection).collect()
}

/// What was refused the target really refuses, asked directly.
async fn assert_is_impossible(source: &Client, target: &Client, item: &str, context: &str) {
    // Such a collection can be made there; rows with keys can't be inserted, which the tests of the stand-in show.
    if item == "auto_id" {
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
    let mut made = target.create_collection(&new).await;
    if made.is_ok() {
        for index in source.indexes(&described.name).await.unwrap() {
            let built = target.create_index(&name, &index.field, &index.name, index.params).await;
            made = made.and(built);
        }
        target.drop_collection(&name).await.unwrap();
    }
    assert!(made.is_err(), "{context}: `{item}` is refused, and the target takes it");
}
