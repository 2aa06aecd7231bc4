//! Recorded calls: `recorded/` holds what real 2.3.5, 2.5.10 and 2.6.18 answered to a client that tries types, names,
//! indexes and errors, to users with and without privileges, under limits, and to a whole migration on both sides.
//!
//! One JSON object a line: `seq`, `method`, `db` (from the header), and the protobuf bytes of `request` and `response` in
//! base64, or `grpc_error`. Of messages over 20 kB only the length was kept, and repeated polls were left out. Who called was
//! not recorded: see [`CALLERS`].

use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::BytesMut;
use prost::Message;
use vecferry_milvus::proto::milvus::{InsertRequest, MutationResult};
use vecferry_milvus::proto::schema::{
    DataType, FieldData, FloatArray, LongArray, ScalarField, VectorField, field_data, i_ds, scalar_field,
};
use vecferry_milvus::wire::scan::put_bytes;

// Field numbers: of the columns of an insert, of the vectors of a column, of the floats of the vectors, of their data.
const REQUEST_COLUMNS: u32 = 5;
const COLUMN_VECTORS: u32 = 4;
const VECTORS_FLOATS: u32 = 2;
const FLOATS_DATA: u32 = 1;

/// Longest messages that were recorded as they are.
pub(crate) const KEPT_BYTES_MAX: usize = 20_000;

/// `root:Milvus`.
pub(crate) const ROOT: &str = "cm9vdDpNaWx2dXM=";
/// `e_user:Pass.1234`, without any privilege.
const E_USER: &str = "ZV91c2VyOlBhc3MuMTIzNA==";
/// `alice:Secret_123`, a reader.
const ALICE: &str = "YWxpY2U6U2VjcmV0XzEyMw==";

/// Calls that were made by somebody else than `root`: recording, numbers, token.
const CALLERS: &[(&str, RangeInclusive<i64>, Option<&str>)] = &[
    ("-edges", 1..=1, None),
    ("-edges", 15..=58, Some(E_USER)),
    ("2.3.5-roles", 82..=88, Some(ALICE)),
    ("2.5.10-roles", 60..=66, Some(ALICE)),
    ("2.6.18-roles", 67..=73, Some(ALICE)),
];

/// Who made a call.
pub(crate) fn token(file: &str, seq: i64) -> Option<&'static str> {
    let by = CALLERS.iter().find(|(of, calls, _)| file.contains(of) && calls.contains(&seq));
    by.map_or(Some(ROOT), |(.., token)| *token)
}

/// Rows of requests of which only the length was kept, as the client made them: collection, first key, rows, dimension.
const LARGE: &[(usize, &str, i64, i64, i64)] = &[
    (82_045, "l_a", 0, 80, 256),
    (82_077, "l_a", 80, 80, 256),
    (82_129, "l_a", 160, 80, 256),
    (4_104_054, "l_a", 5_000, 4_000, 256),
    (24_581_926, "e_o", 0, 3_000, 2_048),
    (24_582_054, "e_o", 3_000, 3_000, 2_048),
    (73_745_930, "e_o", 0, 9_000, 2_048),
];

/// What was answered.
pub(crate) enum Answer {
    /// A message.
    Message(Vec<u8>),
    /// A message of so many bytes.
    Large(usize),
    /// An error of the transport.
    Failed {
        /// Its number.
        status: &'static str,
        /// What it says.
        text: String,
    },
}

/// A recorded call.
pub(crate) struct Recorded {
    pub(crate) seq: i64,
    pub(crate) method: String,
    pub(crate) db: Option<String>,
    pub(crate) request: Vec<u8>,
    pub(crate) answer: Answer,
}

fn directory() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recorded")
}

/// All recordings.
pub(crate) fn all() -> Vec<String> {
    let files = fs::read_dir(directory()).unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

pub(crate) fn recorded(file: &str) -> Vec<Recorded> {
    let text = fs::read_to_string(directory().join(file)).unwrap();
    text.lines().map(|line| one(&serde_json::from_str(line).unwrap())).collect()
}

fn one(line: &serde_json::Value) -> Recorded {
    let bytes = |name: &str| line[name].as_str().map(|text| BASE64.decode(text).unwrap());
    let length = |name: &str| usize::try_from(line[name].as_u64().unwrap()).unwrap();
    let answer = match (&line["grpc_error"], bytes("response")) {
        (serde_json::Value::Array(error), _) => Answer::Failed {
            status: grpc_status(error[0].as_str().unwrap()).expect("one that is known here"),
            text: error[1].as_str().unwrap().to_owned(),
        },
        (_, Some(bytes)) => Answer::Message(bytes),
        (_, None) => Answer::Large(length("response_bytes")),
    };
    let request = bytes("request").unwrap_or_else(|| large(length("request_bytes"), &answer));
    Recorded {
        seq: line["seq"].as_i64().unwrap(),
        method: line["method"].as_str().unwrap().to_owned(),
        db: line["db"].as_str().filter(|db| !db.is_empty()).map(str::to_owned),
        request,
        answer,
    }
}

fn grpc_status(name: &str) -> Option<&'static str> {
    Some(match name {
        "PERMISSION_DENIED" => "7",
        "RESOURCE_EXHAUSTED" => "8",
        "UNIMPLEMENTED" => "12",
        "UNAUTHENTICATED" => "16",
        _ => return None,
    })
}

/// A request as the client made it; which keys it had is in the answer, if they were taken.
fn large(length: usize, answer: &Answer) -> Vec<u8> {
    let made = LARGE.iter().find(|(known, ..)| *known == length).expect("a request of the scenarios");
    let (_, collection, first, rows, dim) = *made;
    let first = taken(answer).unwrap_or(first);
    let ids = LongArray { data: (first..first + rows).collect() };
    let id = FieldData {
        r#type: DataType::Int64 as i32,
        field_name: "id".to_owned(),
        field: Some(field_data::Field::Scalars(ScalarField {
            data: Some(scalar_field::Data::LongData(ids)),
        })),
        ..FieldData::default()
    };
    let head = FieldData {
        r#type: DataType::FloatVector as i32,
        field_name: "v".to_owned(),
        ..FieldData::default()
    };
    let numbers = 0.5_f32.to_le_bytes().repeat(usize::try_from(rows * dim).unwrap());
    let vectors = VectorField { dim, data: None };
    let vectors = with(&vectors, VECTORS_FLOATS, &with(&FloatArray::default(), FLOATS_DATA, &numbers));
    let v = with(&head, COLUMN_VECTORS, &vectors);
    let request = InsertRequest { collection_name: collection.to_owned(), ..InsertRequest::default() };
    let request = with(&request, REQUEST_COLUMNS, &id.encode_to_vec());
    let count = InsertRequest { num_rows: u32::try_from(rows).unwrap(), ..InsertRequest::default() };
    let mut request = BytesMut::from(&request[..]);
    put_bytes(&mut request, REQUEST_COLUMNS, &v);
    request.extend_from_slice(&count.encode_to_vec());
    assert_eq!(request.len(), length, "{collection} from {first}");
    request.to_vec()
}

/// A message with one more field behind the others.
fn with(message: &impl Message, number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::from(&message.encode_to_vec()[..]);
    put_bytes(&mut out, number, bytes);
    out.to_vec()
}

/// The first key that was taken.
fn taken(answer: &Answer) -> Option<i64> {
    let Answer::Message(message) = answer else { return None };
    match MutationResult::decode(&**message).unwrap().i_ds?.id_field? {
        i_ds::IdField::IntId(ids) => ids.data.first().copied(),
        i_ds::IdField::StrId(_) => None,
    }
}
