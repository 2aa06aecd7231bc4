//! The stand-in, held to what real servers answered: every request that was recorded goes to a stand-in of that release in
//! the same order and by the same user, and the answers are the same, but for numbers, times and free text. What is left out
//! is named in [`NEVER_CALLED`] and [`LEFT_OUT`].
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets an error has failed")]
#![allow(clippy::wildcard_enum_match_arm, reason = "of the many kinds of values few matter")]
#![allow(dead_code, reason = "the echo has more than is needed here")]

mod echo;
mod recording;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage, Value};
use vecferry_milvus::proto::milvus::CreateAliasRequest;
use vecferry_milvus::proto::schema::FieldSchema;
use vecferry_milvus::wire::scan::fields;
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::{Limit, Options, Version};

use recording::{Answer, Recorded, recorded};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
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
    "replicaID",
    "node_ids",
    "nodeIds",
    "nodeID",
    "component_name",
    "response",
];

/// Calls that Vecferry does not make.
const NEVER_CALLED: &[&str] = &[
    "AddCollectionField",
    "AlterAlias",
    "BackupRBAC",
    "FlushAll",
    "GetIndexStatistics",
    "GetPartitionStatistics",
    "HasCollection",
    "HasPartition",
    "ManualCompaction",
];

/// A difference that is left out.
struct LeftOut {
    /// In the recordings whose names contain these.
    files: &'static [&'static str],
    /// The numbers of the calls.
    calls: &'static [i64],
    /// At this path or below it.
    path: &'static str,
    why: &'static str,
}

impl LeftOut {
    fn is_in(&self, file: &str) -> bool {
        self.files.iter().any(|part| file.contains(part))
    }
}

/// Of which calls the answers are not held to the recorded ones.
const LEFT_OUT: &[LeftOut] = &[
    LeftOut {
        files: &["-edges"],
        calls: &[28],
        path: ".infos",
        why: "rows that came a moment ago are told of as loaded a moment later",
    },
    LeftOut {
        files: &["2.5.10-edges", "2.6.18-edges"],
        calls: &[128, 131, 134, 137, 140, 143, 146, 149, 152, 155, 158, 161, 164],
        path: "",
        why: "Vecferry writes no expression with placeholders",
    },
    LeftOut { files: &["-edges"], calls: &[170], path: "", why: "Vecferry writes texts in double quotes" },
    LeftOut {
        files: &["2.5.10-edges", "2.6.18-edges"],
        calls: &[171],
        path: "",
        why: "Vecferry writes no patterns",
    },
    LeftOut {
        files: &["2.6.18-edges"],
        calls: &[211],
        path: ".fields_data",
        why: "asked at once after the partitions were to be loaded",
    },
    LeftOut {
        files: &["2.3.5-edges"],
        calls: &[211, 212, 213],
        path: ".fields_data",
        why: "the partitions that were to be loaded were not served five seconds later",
    },
    LeftOut {
        files: &["2.5.10-roles"],
        calls: &[60],
        path: "",
        why: "the server failed: etcd took its token no more",
    },
    LeftOut {
        files: &["2.5.10-limits"],
        calls: &[3, 64, 75],
        path: ".num_partitions",
        why: "two runs, one after the other, are mixed by their numbers",
    },
    LeftOut {
        files: &["2.6.18-limits"],
        calls: &[3, 63, 75],
        path: ".num_partitions",
        why: "two runs, one after the other, are mixed by their numbers",
    },
];

/// gRPC framing: one byte of flags, four of length.
const GRPC_HEADER_BYTES: usize = 5;
/// Differences of one answer that are shown, and characters of each side.
const SHOWN_MAX: usize = 4;
const SHOWN_CHARS: usize = 120;
/// Two answers of about 70 MB may differ by so many bytes: numbers are of different length.
const LENGTH_SLACK: usize = 100;

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

/// Plays recordings to one stand-in.
#[track_caller]
fn agrees(files: &[&str], options: Options) {
    let stand_in = StandIn::start(Options { any_form: true, ..options });
    let mut play = Play { stand_in: &stand_in, pairs: BTreeMap::new(), left_out: BTreeSet::new() };
    let mut found: Vec<_> = files.iter().flat_map(|file| play.recording(file)).collect();
    for left_out in LEFT_OUT {
        for file in files.iter().filter(|file| left_out.is_in(file)) {
            let met = |call: i64| play.left_out.contains(&(*file, call, left_out.path));
            let LeftOut { calls, path, why, .. } = left_out;
            let unmet = calls.iter().filter(|call| !met(**call));
            found.extend(unmet.map(|call| format!("{file} {call}{path}: no such difference ({why})")));
        }
    }
    assert!(found.is_empty(), "{}\n{} lines", found.join("\n"), found.len());
}

struct Play<'a> {
    stand_in: &'a StandIn,
    /// Numbers of the recorded server, and those that stand for them here.
    pairs: BTreeMap<i64, i64>,
    /// Which of [`LEFT_OUT`] were met: recording, call, path.
    left_out: BTreeSet<(&'a str, i64, &'static str)>,
}

impl<'a> Play<'a> {
    /// Plays one recording. Tells what is answered otherwise.
    fn recording(&mut self, file: &'a str) -> Vec<String> {
        let pool = pool();
        let calls = recorded(file);
        assert!(calls.len() >= 15, "only {} calls in {file}", calls.len());
        let mut callers = BTreeMap::new();
        let mut found = Vec::new();
        for call in calls {
            if NEVER_CALLED.contains(&call.method.as_str()) {
                carry_out(self.stand_in, &call);
                continue;
            }
            let Some(types) = message_types(&pool, &call.method) else {
                found.push(format!("{file} {} {}: not in the protocol definition", call.seq, call.method));
                continue;
            };
            let token = recording::token(file, call.seq);
            let caller = callers
                .entry(token)
                .or_insert_with(|| echo::Caller::connect_as(&self.stand_in.uri(), token, None));
            let differing = self.call(file, &call, caller, types);
            let kept = differing.into_iter().filter(|differing| !self.is_left_out(file, &call, differing));
            let kept: Vec<_> = kept.collect();
            let name = format!("{file} {} {}", call.seq, call.method);
            found.extend(kept.iter().take(SHOWN_MAX).map(|differing| format!("{name}{differing}")));
        }
        found
    }

    fn is_left_out(&mut self, file: &'a str, call: &Recorded, differing: &str) -> bool {
        let met = LEFT_OUT.iter().find(|left_out| {
            left_out.is_in(file) && left_out.calls.contains(&call.seq) && differing.starts_with(left_out.path)
        });
        met.map(|met| self.left_out.insert((file, call.seq, met.path))).is_some()
    }

    /// A recorded request, with the numbers of here.
    fn request_of(&self, file: &str, call: &Recorded, input: MessageDescriptor) -> Vec<u8> {
        let request = request_of(call, input, &self.pairs);
        if call.method.ends_with("SegmentInfo") && !file.contains("2.3.5") {
            // What a server stored is sorted a while later.
            let asked = ["collectionName", "collection_name"];
            let asked = asked.into_iter().find_map(|name| request.get_field_by_name(name)).unwrap();
            self.stand_in.sort("default", asked.as_str().unwrap());
        }
        request.encode_to_vec()
    }

    /// Makes one call. Tells what is answered otherwise.
    fn call(
        &mut self,
        file: &str,
        call: &Recorded,
        caller: &echo::Caller,
        (input, output): (MessageDescriptor, MessageDescriptor),
    ) -> Vec<String> {
        // A large one holds vectors and no numbers of the server.
        let is_large = call.request.len() > recording::KEPT_BYTES_MAX;
        let request = match is_large {
            true => call.request.clone(),
            false => self.request_of(file, call, input),
        };
        let decoded = match &call.answer {
            Answer::Message(bytes) => Some(DynamicMessage::decode(output.clone(), &**bytes).unwrap()),
            Answer::Large(_) | Answer::Failed { .. } => None,
        };
        if file.contains("-limits") {
            // When a limit is met is up to time.
            self.stand_in.limit(match decoded.as_ref().map_or(0, code) {
                8 => Limit::Rate,
                9 => Limit::Denied,
                _ => Limit::None,
            });
        }
        let answered = caller.call(&call.method, &request).unwrap();
        let (status, text) = (trailer(&answered, "grpc-status"), trailer(&answered, "grpc-message"));
        let here = answered.body.get(GRPC_HEADER_BYTES..).unwrap_or_default();
        match (&call.answer, status.as_str()) {
            (Answer::Message(_), "" | "0") => {
                let (recorded, here) = (decoded.unwrap(), DynamicMessage::decode(output, here).unwrap());
                // Its lists have no order.
                if call.method != "ShowCollections" {
                    pair_numbers(&recorded, &here, &mut self.pairs);
                }
                compared(&call.method, file, &recorded, &here)
            }
            (Answer::Large(bytes), "" | "0") => {
                let differing = bytes.abs_diff(here.len()) > LENGTH_SLACK;
                differing.then(|| format!(": {bytes} bytes / {}", here.len())).into_iter().collect()
            }
            (Answer::Message(_) | Answer::Large(_), status) => {
                vec![format!(": answered / gRPC {status} {text}")]
            }
            (Answer::Failed { status, text: said }, here)
                if *status != here || *status == "7" && *said != text =>
            {
                vec![format!(": gRPC {status} {said} / {here} {text}")]
            }
            (Answer::Failed { .. }, _) => Vec::new(),
        }
    }
}

/// The code of an answer.
fn code(answer: &DynamicMessage) -> i32 {
    let status = answer.get_field_by_name("status");
    let status = status.as_ref().and_then(|status| status.as_message()).unwrap_or(answer);
    status.get_field_by_name("code").and_then(|code| code.as_i32()).unwrap_or_default()
}

/// What calls do that Vecferry never makes matters for those that follow.
fn carry_out(stand_in: &StandIn, call: &Recorded) {
    if call.method == "AlterAlias" {
        let asked = CreateAliasRequest::decode(&*call.request).unwrap();
        stand_in.move_alias(("default", &asked.collection_name), &asked.alias);
    }
    // Field 3 of these requests is the name of the collection.
    let part = |number| {
        let part = fields(&call.request).map(Result::unwrap).find(|field| field.number == number);
        part.unwrap().bytes().unwrap().to_vec()
    };
    let text = |number| String::from_utf8(part(number)).unwrap();
    let is_done = matches!(&call.answer, Answer::Message(status) if fields(status).next().is_none());
    if call.method == "AddCollectionField" && is_done {
        let field = FieldSchema::decode(&*part(5)).unwrap();
        stand_in.add_field(("default", &text(3)), field);
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

/// A trailer, which a failed call has among its headers.
fn trailer(answered: &echo::Answered, name: &str) -> String {
    let trailer = answered.trailers.as_ref().and_then(|trailers| trailers.get(name));
    let trailer = trailer.or_else(|| answered.head.headers.get(name));
    trailer.and_then(|trailer| trailer.to_str().ok()).unwrap_or_default().to_owned()
}

/// What two answers say differently.
fn compared(method: &str, file: &str, recorded: &DynamicMessage, here: &DynamicMessage) -> Vec<String> {
    let (mut before, mut now) = (BTreeMap::new(), BTreeMap::new());
    flatten("", recorded, &mut before);
    flatten("", here, &mut now);
    // A proxy of 2.6.18 tells of aliases that were dropped a moment ago.
    let of_aliases = |path: &str| file.contains("2.6.18") && path.starts_with(".aliases");
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
    differing.map(one).collect()
}

#[test]
fn what_is_left_out_is_recorded_and_never_called() {
    let recorded: BTreeSet<_> =
        recording::all().iter().flat_map(|file| recorded(file)).map(|call| call.method).collect();
    let client = root().join("../milvus/src");
    let sources: Vec<_> = fs::read_dir(&client).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(sources.iter().any(|file| file.ends_with("client.rs")), "{sources:?}");
    let mut found = Vec::new();
    search(&client, &mut |file, text| {
        let is_called = |call: &&&str| text.contains(&format!("\"{call}\""));
        found.extend(
            NEVER_CALLED.iter().filter(is_called).map(|call| format!("{call} in {}", file.display())),
        );
    });
    assert!(found.is_empty(), "{found:?}");
    for call in NEVER_CALLED {
        assert!(recorded.contains(*call), "{call} is in no recording");
    }
    for file in LEFT_OUT.iter().flat_map(|left_out| left_out.files) {
        assert!(recording::all().iter().any(|name| name.contains(file)), "{file} is no recording");
    }
}

/// Every source file below a directory.
fn search(directory: &Path, look: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => search(&path, look),
            false => look(&path, &fs::read_to_string(&path).unwrap()),
        }
    }
}

/// The users of a recording that was made with authorization.
fn with_users(version: Version) -> Options {
    Options { authorization: true, ..Options::new(version) }
}

/// The same; a collection is flushed once in ten seconds, as by default since 2.5.
fn at_the_edges(version: Version) -> Options {
    let flush_interval = (version >= Version::V2_5).then_some(Duration::from_secs(10));
    Options { flush_interval, ..with_users(version) }
}

#[test]
fn as_2_3_5() {
    agrees(&["milvus-2.3.5.jsonl"], Options::new(Version::V2_3));
}

#[test]
fn as_2_3_5_at_the_edges() {
    agrees(&["milvus-2.3.5-edges.jsonl"], at_the_edges(Version::V2_3));
}

#[test]
fn as_2_3_5_with_roles() {
    agrees(&["milvus-2.3.5-roles.jsonl"], with_users(Version::V2_3));
}

#[test]
fn as_servers_with_rows_that_are_not_stored_yet() {
    agrees(&["milvus-2.3.5-growing.jsonl"], Options::new(Version::V2_3));
    agrees(&["milvus-2.5.10-growing.jsonl"], Options::new(Version::V2_5));
}

#[test]
fn as_servers_with_one_index_after_the_other() {
    agrees(&["milvus-2.3.5-index.jsonl"], Options::new(Version::V2_3));
    agrees(&["milvus-2.5.10-index.jsonl"], Options::new(Version::V2_5));
}

#[test]
fn as_servers_whose_rows_change_through_an_alias() {
    agrees(&["milvus-2.3.5-changes.jsonl"], Options::new(Version::V2_3));
    agrees(&["milvus-2.5.10-changes.jsonl"], Options::new(Version::V2_5));
}

#[test]
fn as_2_5_10() {
    let files = ["milvus-2.5.10.jsonl", "milvus-2.5.10-migration-source.jsonl"];
    agrees(&files, Options::new(Version::V2_5));
}

#[test]
fn as_2_5_10_target() {
    agrees(&["milvus-2.5.10-migration-target.jsonl"], Options::new(Version::V2_5));
}

#[test]
fn as_2_5_10_at_the_edges() {
    agrees(&["milvus-2.5.10-edges.jsonl"], at_the_edges(Version::V2_5));
}

#[test]
fn as_2_5_10_with_roles() {
    agrees(&["milvus-2.5.10-roles.jsonl"], with_users(Version::V2_5));
}

#[test]
fn as_2_5_10_within_limits() {
    agrees(&["milvus-2.5.10-limits.jsonl"], Options::new(Version::V2_5));
}

#[test]
fn as_2_6_18() {
    let files = ["milvus-2.6.18.jsonl", "milvus-2.6.18-migration-source.jsonl"];
    agrees(&files, Options::new(Version::V2_6));
}

#[test]
fn as_2_6_18_target() {
    agrees(&["milvus-2.6.18-migration-target.jsonl"], Options::new(Version::V2_6));
}

#[test]
fn as_2_6_18_at_the_edges() {
    agrees(&["milvus-2.6.18-edges.jsonl"], at_the_edges(Version::V2_6));
}

#[test]
fn as_2_6_18_with_roles() {
    agrees(&["milvus-2.6.18-roles.jsonl"], with_users(Version::V2_6));
}

#[test]
fn as_2_6_18_within_limits() {
    agrees(&["milvus-2.6.18-limits.jsonl"], Options::new(Version::V2_6));
}
