//! Do no harm: every call of the client that changes a server goes out in a form that real servers were seen to take, and
//! the stand-in fails whoever sends another.
#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost::Message;
use serde_json::Value;
use vecferry_milvus::proto::common::{KeyValuePair, Status};
use vecferry_milvus::proto::milvus as pb;
use vecferry_milvus::proto::schema::{CollectionSchema, DataType, FieldSchema, LongArray, scalar_field};
use vecferry_milvus::rbac::{Grant, GrantCalls, PrivilegeGroup};
use vecferry_milvus::schema::field;
use vecferry_milvus::wire::insert::{Rows, float_vectors, scalars};
use vecferry_milvus::wire::scan::fields;
use vecferry_milvus::{Client, CollectionName, Endpoint, NewCollection, Secret, WriteMode};
use vecferry_testkit::stand_in::{Options, Version};
use vecferry_testkit::{StandIn, seen};

/// Every call that the client writes with, and the test that sends it to a real Milvus 2.3.5, as file and function below
/// `crates/cli/tests/real`. 2.5.10 and 2.6.18, and what 2.3.5 does not know or was only recorded to take, are in the record
/// (`seen.json`).
const CALLS: &[(&str, Option<(&str, &str)>)] = &[
    ("AlterCollection", Some(("copy.rs", "every_type_every_attribute_and_every_row_arrive"))),
    ("CreateAlias", Some(("copy.rs", "every_type_every_attribute_and_every_row_arrive"))),
    ("CreateCollection", Some(("awkward.rs", "many_segments_partitions_and_rows_arrive"))),
    ("CreateCredential", Some(("rbac.rs", "roles_grants_and_users_arrive_and_the_new_passwords_work"))),
    ("CreateDatabase", Some(("rbac.rs", "roles_grants_and_users_arrive_and_the_new_passwords_work"))),
    ("CreateIndex", Some(("awkward.rs", "many_segments_partitions_and_rows_arrive"))),
    ("CreatePartition", Some(("awkward.rs", "many_segments_partitions_and_rows_arrive"))),
    ("CreatePrivilegeGroup", None),
    ("CreateRole", Some(("rbac.rs", "roles_grants_and_users_arrive_and_the_new_passwords_work"))),
    ("Delete", Some(("awkward.rs", "keys_of_any_characters_are_named_exactly_on_milvus"))),
    ("DeleteCredential", Some(("rbac.rs", "roles_grants_and_users_arrive_and_the_new_passwords_work"))),
    ("DropAlias", Some(("copy.rs", "every_type_every_attribute_and_every_row_arrive"))),
    ("DropCollection", Some(("resume.rs", "cleaning_up_removes_what_the_job_made_and_nothing_else"))),
    ("DropDatabase", Some(("resume.rs", "cleaning_up_removes_what_the_job_made_and_nothing_else"))),
    ("DropIndex", Some(("awkward.rs", "many_segments_partitions_and_rows_arrive"))),
    ("DropPartition", None),
    ("DropPrivilegeGroup", None),
    ("DropRole", Some(("rbac.rs", "roles_grants_and_users_arrive_and_the_new_passwords_work"))),
    ("Flush", Some(("awkward.rs", "many_segments_partitions_and_rows_arrive"))),
    ("Insert", Some(("awkward.rs", "many_segments_partitions_and_rows_arrive"))),
    (
        "LoadCollection",
        Some(("load_state.rs", "a_source_that_is_not_loaded_is_loaded_for_the_copy_and_released_again")),
    ),
    (
        "LoadPartitions",
        Some(("load_state.rs", "a_source_with_one_of_three_partitions_loaded_arrives_complete")),
    ),
    ("OperatePrivilege", Some(("rbac.rs", "roles_grants_and_users_arrive_and_the_new_passwords_work"))),
    ("OperatePrivilegeGroup", None),
    ("OperatePrivilegeV2", None),
    ("OperateUserRole", Some(("rbac.rs", "roles_grants_and_users_arrive_and_the_new_passwords_work"))),
    (
        "ReleaseCollection",
        Some(("load_state.rs", "a_source_that_is_not_loaded_is_loaded_for_the_copy_and_released_again")),
    ),
    (
        "ReleasePartitions",
        Some(("load_state.rs", "a_source_with_one_of_three_partitions_loaded_arrives_complete")),
    ),
    ("RenameCollection", Some(("awkward.rs", "many_segments_partitions_and_rows_arrive"))),
    ("Upsert", Some(("awkward.rs", "keys_of_any_characters_are_named_exactly_on_milvus"))),
];

/// Calls that do not go to 2.6: no 2.6 was seen to take them, and the stand-in of one fails whoever sends it one.
const BEFORE_2_6: [&str; 1] = ["DropIndex"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The calls that the client's source names, outside of its tests: literals in CamelCase where a call is made.
fn called() -> BTreeSet<String> {
    let mut files = vec![root().join("crates/milvus/src")];
    let mut called = BTreeSet::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let source = source.split("#[cfg(test)]").next().unwrap_or_default();
        let parts: Vec<_> = source.split('"').collect();
        for (at, text) in parts.iter().enumerate().skip(1).step_by(2) {
            let before = parts[at - 1].trim_end();
            let is_call = ["(", ",", "=", "=>"].iter().any(|end| before.ends_with(end));
            let is_name = text.starts_with(char::is_uppercase) && text.chars().all(char::is_alphanumeric);
            if is_call && is_name && text.len() > 4 && seen::is_writing(text) {
                called.insert((*text).to_owned());
            }
        }
    }
    // Names of privilege groups and kinds of objects, parameters, and alerts of TLS.
    let others = [
        "BadCertificate",
        "CertificateRequired",
        "Cluster",
        "Collection",
        "Database",
        "False",
        "Global",
        "Privilege",
    ];
    called.retain(|name| !others.iter().any(|other| name.starts_with(other)));
    called
}

#[test]
fn every_writing_call_of_the_client_is_listed_with_evidence_that_exists() {
    let listed: BTreeSet<_> = CALLS.iter().map(|(call, _)| (*call).to_owned()).collect();
    assert_eq!(called(), listed, "a writing call needs evidence from real servers before it is sent");
    for (call, of_235) in CALLS {
        match of_235 {
            Some((file, test)) => {
                let path = root().join("crates/cli/tests/real").join(file);
                let source =
                    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                assert!(source.contains(&format!("{test}(")), "{call}: there is no `{test}` in {file}");
            }
            None => assert!(
                is_unknown_to_2_3_5(call) == seen::forms(call, "2.3.5", "taken").is_empty(),
                "{call} on 2.3.5"
            ),
        }
        for release in ["2.5.10", "2.6.18"] {
            let is_beyond = seen::BEYOND.iter().any(|beyond| beyond.call == *call && beyond.field.is_empty());
            let is_taken = !seen::forms(call, release, "taken").is_empty();
            let is_kept_from_it = release == "2.6.18" && BEFORE_2_6.contains(call);
            assert!(is_beyond || is_taken != is_kept_from_it, "{call} on {release}");
        }
    }
}

fn is_unknown_to_2_3_5(call: &str) -> bool {
    !seen::forms(call, "2.3.5", "unimplemented").is_empty()
}

fn pair(key: &str, value: &str) -> KeyValuePair {
    KeyValuePair { key: key.into(), value: value.into() }
}

fn books() -> CollectionName {
    CollectionName::new("shop", "books")
}

fn new_collection() -> NewCollection {
    let key = FieldSchema { is_primary_key: true, ..field("id", DataType::Int64, &[]) };
    let vector = field("vector", DataType::FloatVector, &[("dim", "4")]);
    let schema =
        CollectionSchema { name: "books".into(), fields: vec![key, vector], ..CollectionSchema::default() };
    NewCollection {
        name: books(),
        schema: schema.encode_to_vec().into(),
        shards: 2,
        consistency: 2,
        properties: vec![pair("collection.ttl.seconds", "60")],
        num_partitions: 0,
    }
}

fn row() -> Rows {
    let keys = scalar_field::Data::LongData(LongArray { data: vec![7] });
    Rows::of(&[scalars("id", DataType::Int64, keys), float_vectors("vector", 4, vec![0.5; 4])], 1)
}

fn grant(object: &str, name: &str, privilege: &str, db: &str) -> Grant {
    Grant {
        role: "reader".into(),
        object: object.into(),
        object_name: name.into(),
        privilege: privilege.into(),
        db: db.into(),
    }
}

/// Makes every writing call, with every part of it filled that is ever filled.
async fn write_everything(client: &Client, calls: GrantCalls) {
    let (name, partitions) = (books(), ["p".to_owned()]);
    client.create_database("shop", vec![pair("database.replica.number", "1")]).await.unwrap();
    client.create_collection(&new_collection()).await.unwrap();
    client.rename_collection(&name, "volumes").await.unwrap();
    client.rename_collection(&CollectionName::new("shop", "volumes"), "books").await.unwrap();
    client.alter_collection(&name, vec![pair("mmap.enabled", "true")]).await.unwrap();
    client.drop_property(&name, "mmap.enabled").await.unwrap();
    client.create_partition(&name, "p").await.unwrap();
    client.create_alias(&name, "novels").await.unwrap();
    client.create_index(&name, "vector", "of_vector", vec![pair("metric_type", "L2")]).await.unwrap();
    for mode in [WriteMode::Insert, WriteMode::Upsert] {
        client.write(&name, Some("p"), &row(), mode).await.unwrap();
        client.write(&name, None, &row(), mode).await.unwrap();
    }
    client.flush("shop", &["books".to_owned()]).await.unwrap();
    client.load_partitions(&name, &partitions, 1).await.unwrap();
    client.load_collection(&name, 1).await.unwrap();
    for partition in [Some("p"), None] {
        client.delete(&name, partition, "id in [7]").await.unwrap();
    }
    client.release_partitions(&name, &partitions).await.unwrap();
    client.drop_partition(&name, "p").await.unwrap();
    client.release_collection(&name).await.unwrap();
    client.drop_alias("shop", "novels").await.unwrap();
    client.drop_collection(&name).await.unwrap();
    client.drop_database("shop").await.unwrap();

    client.may_write_rbac(Some("public"), calls).await.unwrap();
    client.create_role("reader").await.unwrap();
    client.create_user("ann", &Secret::new("Secret-1")).await.unwrap();
    client.add_to_role("ann", "reader").await.unwrap();
    let mut grants = vec![
        (grant("Collection", "books", "Query", "shop"), false),
        (grant("Global", "*", "CreateDatabase", "*"), false),
        (grant("User", "ann", "UpdateUser", "default"), false),
    ];
    if calls == GrantCalls::Both {
        let group = PrivilegeGroup { name: "readers".into(), privileges: ["Query".to_owned()].into() };
        client.create_privilege_group("readers").await.unwrap();
        client.fill_privilege_group(&group).await.unwrap();
        grants.push((grant("Global", "*", "readers", "shop"), true));
    }
    for (grant, of_group) in &grants {
        client.grant(grant, *of_group, calls).await.unwrap();
        client.revoke(grant, calls).await.unwrap();
    }
    if calls == GrantCalls::Both {
        client.drop_privilege_group("readers").await.unwrap();
    }
    client.drop_user("ann").await.unwrap();
    client.drop_role("reader").await.unwrap();
}

async fn connected(server: &StandIn) -> Client {
    Client::connect(Endpoint::parse(&server.uri()).unwrap(), 1).await.unwrap()
}

#[tokio::test]
async fn every_request_of_the_client_has_a_form_that_servers_took() {
    for version in [Version::V2_4, Version::V2_5, Version::V2_6] {
        let server = StandIn::start(Options::new(version));
        let client = connected(&server).await;
        let groups = client.privilege_groups().await.unwrap();
        write_everything(&client, GrantCalls::of(groups.as_ref())).await;
        assert_eq!(server.take_harm(), [""; 0], "{version:?}");
        let made = server.writes();
        for (call, _) in CALLS {
            let is_elsewhere =
                version == Version::V2_4 && is_unknown_to_2_3_5(call) || BEFORE_2_6.contains(call);
            assert!(made.contains(*call) || is_elsewhere, "{version:?}: {call}");
        }
    }
}

#[tokio::test]
async fn an_index_is_taken_away_before_2_6_alone() {
    for (version, harm) in [(Version::V2_3, 0), (Version::V2_5, 0), (Version::V2_6, 1)] {
        let server = StandIn::start(Options::new(version));
        let client = connected(&server).await;
        client.create_database("shop", Vec::new()).await.unwrap();
        client.create_collection(&new_collection()).await.unwrap();
        let dropped = client.drop_index(&books(), "vector", "none").await;
        assert_eq!((dropped.is_err(), server.take_harm().len()), (harm > 0, harm), "{version:?}");
    }
}

#[tokio::test]
async fn a_form_that_no_server_was_seen_to_take_fails_the_test_that_sent_it() {
    let server = StandIn::start(Options::new(Version::V2_5));
    let client = connected(&server).await;
    client.create_role("reader").await.unwrap();
    // With the database's name in the first call, as servers before 2.5 take it.
    let error = client.grant(&grant("Collection", "books", "Query", "shop"), false, GrantCalls::First).await;
    assert!(error.unwrap_err().to_string().contains("no real server was seen to take this"));
    let panic = catch_unwind(AssertUnwindSafe(|| drop(server))).unwrap_err();
    let said = panic.downcast_ref::<String>().expect("a text");
    assert!(said.contains("OperatePrivilege was never seen with `entity.db_name`"), "{said}");
}

#[test]
fn what_kills_servers_was_never_seen() {
    for release in seen::RELEASES {
        assert!(seen::judge("RestoreRBAC", &[release], &[]).is_err());
        let nobody = pb::OperatePrivilegeRequest::default().encode_to_vec();
        assert!(
            seen::judge("OperatePrivilege", &[release], &nobody).unwrap_err().contains("without `entity")
        );
    }
    let group = pb::CreatePrivilegeGroupRequest { group_name: "g".into() }.encode_to_vec();
    assert!(seen::judge("CreatePrivilegeGroup", &["2.3.5"], &group).is_err(), "it does not know the call");
    assert!(seen::judge("CreatePrivilegeGroup", &["2.5.10"], &group).is_ok());
}

/// What became of a recorded call; none of one that was denied, or failed in another way.
fn outcome(call: &str, line: &Value) -> Option<&'static str> {
    if let Some(status) = line["grpc_error"][0].as_str() {
        return (status == "UNIMPLEMENTED").then_some("unimplemented");
    }
    let answer = BASE64.decode(line["response"].as_str()?).unwrap();
    let has_more = ["Delete", "Flush", "Insert", "Upsert"].contains(&call);
    let inner = fields(&answer).map(Result::unwrap).find(|field| field.number == 1);
    let status = if has_more { inner.map_or(&[][..], |field| field.bytes().unwrap()) } else { &answer[..] };
    let status = Status::decode(status).unwrap();
    Some(if status.code == 0 && status.error_code == 0 { "taken" } else { "refused" })
}

#[test]
fn the_record_is_what_the_recorded_calls_say() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("recorded");
    let mut found: BTreeMap<(String, String, &str), BTreeSet<seen::Form>> = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().trim_end_matches(".jsonl");
        let Some(release) = name.strip_prefix("milvus-").and_then(|name| name.split('-').next()) else {
            continue;
        };
        for line in fs::read_to_string(&path).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let call = line["method"].as_str().unwrap();
            // Of messages over 20 kB only the size was kept.
            let Some(request) = line["request"].as_str().filter(|_| seen::is_writing(call)) else { continue };
            if let Some(outcome) = outcome(call, &line) {
                let form = seen::form_of(call, &BASE64.decode(request).unwrap()).unwrap();
                found.entry((call.to_owned(), release.to_owned(), outcome)).or_default().insert(form);
            }
        }
    }
    let mut recorded = BTreeMap::new();
    for call in seen::calls() {
        for release in seen::RELEASES {
            for outcome in ["taken", "refused", "unimplemented"] {
                let forms = seen::forms(call, release, outcome);
                if !forms.is_empty() {
                    recorded.insert((call.to_owned(), release.to_owned(), outcome), forms);
                }
            }
        }
    }
    assert!(found.len() > 80, "the recorded calls were read: {}", found.len());
    assert_eq!(found, recorded);
}
