//! Collections whose keys the server makes, between servers of a version that can be told to take keys.

use vecferry_migrate::{AutoId, Migration, VerifyLevel};
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Key, Options, Version};

use super::{assert_arrived, assert_successful, carry_out, request};

pub(crate) fn made_by_the_server(generated: Generated) -> Generated {
    let mut generated = generated;
    generated
        .schema
        .fields
        .iter_mut()
        .filter(|field| field.is_primary_key)
        .for_each(|field| field.auto_id = true);
    generated
}

fn books() -> Generated {
    let keys = |first: i64| (0..90).map(|number| Key::Long((first + number) * 1_000_003)).collect();
    made_by_the_server(plain("books", false, &[("_default", keys(0)), ("more", keys(90))]))
}

/// Rows of each partition without their keys, sorted.
pub(crate) fn without_keys(server: &StandIn, name: &str) -> Vec<String> {
    let rows = server.rows("default", name);
    let text = |((partition, _), copies): (&(String, Key), &Vec<std::collections::BTreeMap<_, _>>)| {
        copies
            .iter()
            .map(|copy| {
                let fields: Vec<_> =
                    copy.iter().filter(|(field, _): &(&String, _)| field.as_str() != "id").collect();
                format!("{partition} {fields:?}")
            })
            .collect::<Vec<_>>()
    };
    let mut texts: Vec<_> = rows.iter().flat_map(text).collect();
    texts.sort();
    texts
}

async fn migrated(auto_id: AutoId, verify: VerifyLevel, properties: &[(&str, &str)]) -> (StandIn, StandIn) {
    let generated = Generated { properties: vecferry_milvus::schema::parameters(properties), ..books() };
    let source = StandIn::start(Options::awkward(Version::V2_6, 1));
    let target = StandIn::start(Options::awkward(Version::V2_6, 2));
    source.add(&generated);
    let mut request = request(&source, &target);
    (request.auto_id, request.verify) = (auto_id, verify);
    let state = tempfile::tempdir().unwrap();
    let report = carry_out(Migration::prepare(request).await.unwrap(), state.path()).await;
    assert_successful(&report, &format!("{auto_id:?} {verify:?} {properties:?}"));
    (source, target)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_kept_and_the_permission_is_taken_back() {
    const PERMISSION: &str = "allow_insert_auto_id";
    for (before, after) in [(None, None), (Some("false"), Some("false")), (Some("true"), Some("true"))] {
        let properties: Vec<_> = before.iter().map(|value| (PERMISSION, *value)).collect();
        let (source, target) = migrated(AutoId::Keep, VerifyLevel::Full, &properties).await;
        assert_arrived(&source, &target, "books", "kept keys");
        assert_eq!(target.property("default", "books", PERMISSION).as_deref(), after);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_made_anew() {
    for verify in [VerifyLevel::Sample, VerifyLevel::Full, VerifyLevel::None] {
        let (source, target) = migrated(AutoId::Regenerate, verify, &[]).await;
        assert_eq!(without_keys(&source, "books"), without_keys(&target, "books"));
    }
}
