//! From one release to the same or a later one: what a newer server adds by itself is no difference, and no table refuses
//! what the source holds.

use vecferry_migrate::{AutoId, Code, Migration, VerifyLevel};
use vecferry_milvus::schema::parameters;
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Key, Options, Version};

use super::keys::made_by_the_server;
use super::{assert_arrived, assert_successful, carry_out, request};

/// A collection with a partition of its day, a time-to-live and another property.
pub(crate) fn daily(name: &str, partition: &str) -> Generated {
    let keys = |first: i64| (first..first + 40).map(Key::Long).collect();
    let properties = parameters(&[("collection.ttl.seconds", "864000"), ("mmap.enabled", "true")]);
    Generated { properties, ..plain(name, false, &[("_default", keys(0)), (partition, keys(40))]) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_release_takes_what_an_earlier_one_holds() {
    for (from, to) in [
        (Version::V2_3, Version::V2_4),
        (Version::V2_3, Version::V2_5),
        (Version::V2_3, Version::V2_6),
        (Version::V2_4, Version::V2_5),
        (Version::V2_4, Version::V2_6),
        (Version::V2_5, Version::V2_5),
        (Version::V2_5, Version::V2_6),
        (Version::V2_6, Version::V2_6),
        (Version::V2_6, Version::V3_0),
    ] {
        let source = StandIn::start(Options::awkward(from, 1));
        let target = StandIn::start(Options::awkward(to, 2));
        let partition = if from < Version::V2_5 { "2024" } else { "2024-01-01" };
        source.add(&daily("books", partition));
        let keeps_keys = to >= Version::V2_6;
        if keeps_keys {
            source.add(&made_by_the_server(daily("made", partition)));
        }
        let mut request = request(&source, &target);
        request.verify = VerifyLevel::Full;
        request.auto_id = if keeps_keys { AutoId::Keep } else { AutoId::Refuse };
        let state = tempfile::tempdir().unwrap();
        let report = carry_out(Migration::prepare(request).await.unwrap(), state.path()).await;
        let context = format!("{from:?} to {to:?}");
        assert_successful(&report, &context);
        for collection in &report.collections {
            let name = collection.collection.as_str();
            assert_arrived(&source, &target, name, &context);
            assert_eq!(
                target.property("default", name, "collection.ttl.seconds").as_deref(),
                Some("864000"),
                "{context}"
            );
            assert_eq!(target.property("default", name, "allow_insert_auto_id"), None, "{context}");
            // Listed where the target added it.
            let zones: Vec<_> =
                collection.changes.iter().filter(|change| change.what == "property timezone").collect();
            let is_added = from < Version::V2_6 && to >= Version::V2_6;
            assert_eq!(zones.len(), usize::from(is_added), "{context}: {:?}", collection.changes);
            assert!(zones.iter().all(|change| change.target == "UTC"), "{context}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_of_the_expression_language_are_refused_as_names_only_where_they_harm() {
    let named = |key: &str, vector: &str| {
        let mut made = plain("books", false, &[("_default", (0..90).map(Key::Long).collect())]);
        made.schema.fields[0].name = key.to_owned();
        made.schema.fields[1].name = vector.to_owned();
        made.indexes[0].0 = vector.to_owned();
        made
    };
    for (to, key, vector, refused) in [
        (Version::V2_3, "id", "like", None),
        (Version::V2_5, "id", "like", Some(Code::FieldNotCreatable)),
        (Version::V2_3, "exists", "vector", None),
    ] {
        let source = StandIn::start(Options::awkward(Version::V2_3, 1));
        let target = StandIn::start(Options::awkward(to, 2));
        source.add(&named(key, vector));
        let mut request = request(&source, &target);
        request.verify = VerifyLevel::Full;
        match (Migration::prepare(request).await, refused) {
            (Ok(migration), None) => {
                let state = tempfile::tempdir().unwrap();
                assert_successful(&carry_out(migration, state.path()).await, vector);
                assert_arrived(&source, &target, "books", vector);
            }
            (Err(problems), Some(code)) => {
                assert_eq!(problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), [code]);
            }
            (prepared, _) => panic!("{key}, {vector}: {:?}", prepared.err()),
        }
    }
}
