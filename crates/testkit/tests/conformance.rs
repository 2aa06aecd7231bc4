//! The stand-in, held to what real servers answered: every request that was recorded goes to a stand-in of that release in
//! the same order, and the answers are the same, but for numbers, times and free text.
//!
//! `recorded/` holds what real 2.5.10 and 2.6.18 answered to a client that tries types, names, indexes and errors, and to a
//! whole migration on both sides. One JSON object a line: `seq`, `method`, `db` (from the header), and the protobuf bytes of
//! `request` and `response` in base64, or `grpc_error`. Messages over 20 kB were left out, and repeated polls.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets an error has failed")]
#![allow(clippy::wildcard_enum_match_arm, reason = "of the many kinds of values few matter")]
#![allow(dead_code, reason = "the echo has more than is needed here")]

mod echo;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage, Value};
use vecferry_milvus::proto::milvus::CreateAliasRequest;
use vecferry_milvus::proto::schema::FieldSchema;
use vecferry_milvus::wire::scan::fields;
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::{Options, Version};

/// A recorded call.
struct Recorded {
    seq: i64,
    method: String,
    db: Option<String>,
    request: Vec<u8>,
    /// Bytes, or the gRPC status.
    answer: Result<Vec<u8>, String>,
}

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn recorded(file: &str) -> Vec<Recorded> {
    let text = fs::read_to_string(root().join("recorded").join(file)).unwrap();
    let one = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let bytes = |name: &str| line[name].as_str().map(|text| BASE64.decode(text).unwrap());
        Some(Recorded {
            seq: line["seq"].as_i64().unwrap(),
            method: line["method"].as_str().unwrap().to_owned(),
            db: line["db"].as_str().filter(|db| !db.is_empty()).map(str::to_owned),
            request: bytes("request")?,
            answer: match bytes("response") {
                Some(bytes) => Ok(bytes),
                None => Err(line["grpc_error"][0].as_str()?.to_owned()),
            },
        })
    };
    text.lines().filter_map(one).collect()
}

fn pool() -> DescriptorPool {
    let proto = root().join("../milvus/proto");
    let files = protox::compile(["milvus.proto"], [proto]).unwrap();
    DescriptorPool::from_file_descriptor_set(files).unwrap()
}

/// Fields that a server gives numbers, times and texts of its own.
const OWN: &[&str] = &[
    "reason",
    "field_id",
    "detail",
    "extra_info",
    "msg",
    "collectionID",
    "collection_id",
    "collection_ids",
    "partitionID",
    "partitionIDs",
    "segmentID",
    "fieldID",
    "dbID",
    "db_ids",
    "created_timestamp",
    "created_timestamps",
    "created_utc_timestamp",
    "created_utc_timestamps",
    "update_timestamp",
    "update_timestampStr",
    "virtual_channel_names",
    "physical_channel_names",
    "indexID",
    "timestamp",
    "session_ts",
    "coll_segIDs",
    "flush_coll_segIDs",
    "coll_seal_times",
    "coll_flush_ts",
    "channel_cps",
    "identifier",
    "server_info",
    "retriable",
    "replicaID",
    "node_ids",
    "nodeIds",
    "nodeID",
    "component_name",
    "response",
];

/// Calls that Vecferry does not make.
const NEVER_CALLED: &[&str] =
    &["AddCollectionField", "AlterAlias", "BackupRBAC", "GetIndexStatistics", "HasPartition"];

/// gRPC framing: one byte of flags, four of length.
const GRPC_HEADER_BYTES: usize = 5;
/// Differences of one answer that are shown, and characters of each side.
const SHOWN_MAX: usize = 4;
const SHOWN_CHARS: usize = 120;

/// Fields that say how far something is that a server does in the background.
const PROGRESS: &[(&str, &str)] = &[
    ("GetLoadingProgress", "progress"),
    ("GetFlushState", "flushed"),
    ("GetLoadState", "state"),
    ("DescribeIndex", "indexed_rows"),
    ("DescribeIndex", "pending_index_rows"),
    ("DescribeIndex", "state"),
];

fn flatten(prefix: &str, message: &DynamicMessage, out: &mut BTreeMap<String, String>) {
    for (field, value) in message.fields() {
        if OWN.contains(&field.name()) {
            continue;
        }
        put(&format!("{prefix}.{}", field.name()), value, out);
    }
}

fn put(path: &str, value: &Value, out: &mut BTreeMap<String, String>) {
    match value {
        Value::Message(inner) => flatten(path, inner, out),
        Value::List(list) => {
            let is_pairs = list
                .iter()
                .all(|one| matches!(one, Value::Message(pair) if pair.descriptor().name() == "KeyValuePair"));
            let mut named = BTreeSet::new();
            for (at, one) in list.iter().enumerate() {
                match one {
                    Value::Message(pair) if is_pairs => {
                        let text = |name: &str| {
                            pair.get_field_by_name(name)
                                .and_then(|v| v.as_str().map(str::to_owned))
                                .unwrap_or_default()
                        };
                        out.insert(format!("{path}[{}]", text("key")), text("value"));
                    }
                    Value::Message(inner) => {
                        let name =
                            ["field_name", "name", "index_name", "group_name"].iter().find_map(|name| {
                                let name = inner.get_field_by_name(name)?;
                                name.as_str().map(str::to_owned).filter(|name| !name.is_empty())
                            });
                        let name =
                            name.filter(|name| named.insert(name.clone())).unwrap_or_else(|| at.to_string());
                        put(&format!("{path}[{name}]"), one, out);
                    }
                    // Lists of names have no order.
                    Value::String(name) if path.ends_with("names") || path.ends_with("output_fields") => {
                        out.insert(format!("{path}[{name}]"), String::new());
                    }
                    _ => put(&format!("{path}[{at}]"), one, out),
                }
            }
        }
        Value::Map(map) => {
            for (key, value) in map {
                put(&format!("{path}[{key:?}]"), value, out);
            }
        }
        // A number that the server gave.
        Value::I64(number) if *number > 1 << 50 => {
            out.insert(path.to_owned(), "a number".to_owned());
        }
        Value::Bytes(bytes) => {
            out.insert(path.to_owned(), format!("{bytes:?}"));
        }
        other => {
            out.insert(path.to_owned(), format!("{other:?}"));
        }
    }
}

/// Numbers of the recorded server, and those that stand for them here.
fn pair_numbers(recorded: &DynamicMessage, here: &DynamicMessage, pairs: &mut BTreeMap<i64, i64>) {
    for (field, value) in recorded.fields() {
        let other = here.get_field(&field);
        pair_values(value, &other, pairs);
    }
}

fn pair_values(recorded: &Value, here: &Value, pairs: &mut BTreeMap<i64, i64>) {
    match (recorded, here) {
        (Value::I64(recorded), Value::I64(here)) if *recorded > 1 << 50 => {
            pairs.entry(*recorded).or_insert(*here);
        }
        (Value::Message(recorded), Value::Message(here)) => pair_numbers(recorded, here, pairs),
        (Value::List(recorded), Value::List(here)) => {
            for (recorded, here) in recorded.iter().zip(here) {
                pair_values(recorded, here, pairs);
            }
        }
        (Value::Map(recorded), Value::Map(here)) => {
            for (key, recorded) in recorded {
                if let Some(here) = here.get(key) {
                    pair_values(recorded, here, pairs);
                }
            }
        }
        _ => {}
    }
}

fn renumbered(value: &mut Value, pairs: &BTreeMap<i64, i64>) {
    match value {
        Value::I64(number) => {
            if let Some(here) = pairs.get(number) {
                *number = *here;
            }
        }
        // A parameter of a query.
        Value::String(text) => {
            if let Some(here) = text.parse().ok().and_then(|number: i64| pairs.get(&number)) {
                *text = here.to_string();
            }
        }
        Value::Message(message) => renumber(message, pairs),
        Value::List(list) => list.iter_mut().for_each(|value| renumbered(value, pairs)),
        _ => {}
    }
}

fn renumber(message: &mut DynamicMessage, pairs: &BTreeMap<i64, i64>) {
    message.fields_mut().for_each(|(_, value)| renumbered(value, pairs));
}

fn differences(files: &[&str], version: Version) -> Vec<String> {
    let stand_in = StandIn::start(Options { any_form: true, ..Options::new(version) });
    let mut pairs = BTreeMap::new();
    files.iter().flat_map(|file| play(&stand_in, file, version, &mut pairs)).collect()
}

/// Plays one recording. Tells what is answered otherwise.
fn play(stand_in: &StandIn, file: &str, version: Version, pairs: &mut BTreeMap<i64, i64>) -> Vec<String> {
    let pool = pool();
    let caller = echo::Caller::connect_as(&stand_in.uri(), None, None);
    let calls = recorded(file);
    assert!(calls.len() > 300, "only {} calls in {file}", calls.len());
    let mut found = Vec::new();
    for call in calls {
        if NEVER_CALLED.contains(&call.method.as_str()) {
            carry_out(stand_in, &call);
            continue;
        }
        let name = format!("{file} {} {}", call.seq, call.method);
        let Some((input, output)) = message_types(&pool, &call.method) else {
            found.push(format!("{name}: not in the protocol definition"));
            continue;
        };
        let request = request_of(&call, input, pairs);
        if call.method.ends_with("SegmentInfo") {
            // What a server stored is sorted a while later.
            let asked = ["collectionName", "collection_name"];
            let asked = asked.into_iter().find_map(|name| request.get_field_by_name(name)).unwrap();
            stand_in.sort("default", asked.as_str().unwrap());
        }
        let answered = caller.call(&call.method, &request.encode_to_vec()).unwrap();
        match (&call.answer, grpc_status(&answered).as_str()) {
            (Ok(recorded), "0") => {
                let recorded = DynamicMessage::decode(output.clone(), &**recorded).unwrap();
                let here = answered.body.get(GRPC_HEADER_BYTES..).unwrap_or_default();
                let here = DynamicMessage::decode(output, here).unwrap();
                // Its lists have no order.
                if call.method != "ShowCollections" {
                    pair_numbers(&recorded, &here, pairs);
                }
                let differing = compared(&call.method, file, version, &recorded, &here);
                found.extend(differing.into_iter().map(|differing| format!("{name}{differing}")));
            }
            (Ok(_), status) => found.push(format!("{name}: answered / gRPC {status}")),
            // The number of an unimplemented call; other errors of the transport were not recorded here.
            (Err(recorded), "12") if recorded == "UNIMPLEMENTED" => {}
            (Err(recorded), status) => found.push(format!("{name}: gRPC {recorded} / {status}")),
        }
    }
    found
}

/// What calls do that Vecferry never makes matters for those that follow.
fn carry_out(stand_in: &StandIn, call: &Recorded) {
    if call.method == "AlterAlias" {
        let asked = CreateAliasRequest::decode(&*call.request).unwrap();
        stand_in.move_alias(("default", &asked.collection_name), &asked.alias);
    }
    if call.method == "AddCollectionField" && call.answer.is_ok() {
        // The name of the collection is field 3 of the request, the new field is field 5.
        let part = |number| {
            let part = fields(&call.request).map(Result::unwrap).find(|field| field.number == number);
            part.unwrap().bytes().unwrap().to_vec()
        };
        let field = FieldSchema::decode(&*part(5)).unwrap();
        stand_in.add_field(("default", &String::from_utf8(part(3)).unwrap()), field);
    }
}

/// The messages of a call and of its answer.
fn message_types(pool: &DescriptorPool, method: &str) -> Option<(MessageDescriptor, MessageDescriptor)> {
    let named = |name: &str| pool.get_message_by_name(&format!("milvus.proto.milvus.{name}"));
    let answer = match method {
        "Insert" | "Upsert" | "Delete" => named("MutationResult"),
        "Query" => named("QueryResults"),
        _ => named(&format!("{method}Response"))
            .or_else(|| pool.get_message_by_name("milvus.proto.common.Status")),
    };
    Some((named(&format!("{method}Request"))?, answer?))
}

/// A recorded request, with the numbers of here.
fn request_of(call: &Recorded, input: MessageDescriptor, pairs: &BTreeMap<i64, i64>) -> DynamicMessage {
    let mut request = DynamicMessage::decode(input, &*call.request).unwrap();
    renumber(&mut request, pairs);
    // The recording client names the database in a header, Vecferry in the message.
    if let Some(field) = request.descriptor().get_field_by_name("db_name")
        && let Some(db) = &call.db
        && request.get_field(&field).as_str() == Some("")
    {
        request.set_field(&field, Value::String(db.clone()));
    }
    request
}

fn grpc_status(answered: &echo::Answered) -> String {
    let trailer = answered.trailers.as_ref().and_then(|trailers| trailers.get("grpc-status"));
    let status = trailer.or_else(|| answered.head.headers.get("grpc-status"));
    status.and_then(|status| status.to_str().ok()).unwrap_or("0").to_owned()
}

/// What two answers say differently.
fn compared(
    method: &str,
    file: &str,
    version: Version,
    recorded: &DynamicMessage,
    here: &DynamicMessage,
) -> Vec<String> {
    let (mut before, mut now) = (BTreeMap::new(), BTreeMap::new());
    flatten("", recorded, &mut before);
    flatten("", here, &mut now);
    // A proxy of 2.6.18 tells of aliases that were dropped a moment ago.
    let of_aliases = |path: &str| version >= Version::V2_6 && path.starts_with(".aliases");
    let is_passing = |path: &str| {
        method == "DescribeCollection" && of_aliases(path)
            // In which segments rows are is up to compaction, while others call.
            || file.contains("migration") && method.ends_with("SegmentInfo")
            || PROGRESS.iter().any(|(of, name)| *of == method && path.ends_with(&format!(".{name}")))
    };
    let paths: BTreeSet<_> = before.keys().chain(now.keys()).collect();
    let differing = paths.into_iter().filter(|path| !is_passing(path) && before.get(*path) != now.get(*path));
    let shown = |facts: &BTreeMap<String, String>, path: &String| {
        facts.get(path).map_or("absent".to_owned(), |text| text.chars().take(SHOWN_CHARS).collect())
    };
    let one = |path: &String| format!("{path}: {} / {}", shown(&before, path), shown(&now, path));
    differing.take(SHOWN_MAX).map(one).collect()
}

#[test]
fn as_2_5_10() {
    let found = differences(&["milvus-2.5.10.jsonl", "milvus-2.5.10-migration-source.jsonl"], Version::V2_5);
    assert!(found.is_empty(), "{}\n{} lines", found.join("\n"), found.len());
}

#[test]
fn as_2_5_10_target() {
    let found = differences(&["milvus-2.5.10-migration-target.jsonl"], Version::V2_5);
    assert!(found.is_empty(), "{}\n{} lines", found.join("\n"), found.len());
}

#[test]
fn as_2_6_18() {
    let found = differences(&["milvus-2.6.18.jsonl", "milvus-2.6.18-migration-source.jsonl"], Version::V2_6);
    assert!(found.is_empty(), "{}\n{} lines", found.join("\n"), found.len());
}

#[test]
fn as_2_6_18_target() {
    let found = differences(&["milvus-2.6.18-migration-target.jsonl"], Version::V2_6);
    assert!(found.is_empty(), "{}\n{} lines", found.join("\n"), found.len());
}
