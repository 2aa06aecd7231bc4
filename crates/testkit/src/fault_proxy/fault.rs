//! What can go wrong, with which calls, and when.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use vecferry_milvus::proto::{common, milvus};

/// What happens to a call instead of being passed through.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The request, sent completely by the client, never reaches upstream; the client's connection breaks.
    CutBeforeSend(Cut),
    /// Upstream carries the request out and answers; then the client's connection breaks instead.
    CutAfterApply(Cut),
    /// Passed through, but that much later. A client that gives up meanwhile was never heard upstream.
    Delay(Duration),
    /// Upstream carries the request out; the answer is withheld until [`Armed::release`](super::Armed::release), and
    /// the connection stays open.
    HalfOpen,
    /// An answer made up here; upstream hears nothing.
    Answer(Answer),
    /// Upstream carries the request out, but its answer is replaced by a success of this many bytes.
    OversizeAnswer(u32),
    /// Upstream carries the request out, but its answer arrives damaged.
    Garbage(Garbage),
    /// Upstream's answer to a `Query` arrives without its rows, and without an error: as a server answers that is still
    /// loading. Counts, failures and answers that have no rows pass unchanged, and the fault does not fire for them.
    EmptiedPage,
    /// Upstream carries the request out, and the client is given this answer instead of upstream's.
    AnswerAfterApply(Answer),
    /// The request is captured; it reaches upstream only with [`Armed::release`](super::Armed::release), however long
    /// its client is dead by then. The client's connection breaks, or hangs where no cut is given.
    Hold(Option<Cut>),
}

/// How a call is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Only its HTTP/2 stream is reset; other calls of the connection go on.
    Stream,
    /// The whole TCP connection is dropped, with all calls on it.
    Connection,
}

/// An answer that no server gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Milvus' answer to a call above its rate: code 8, legacy code 49.
    RateLimit,
    /// Milvus' answer to a write while writes are denied: code 9, legacy code 48.
    ForceDeny,
    /// The gRPC status of a request above the server's message size.
    Oversize,
    /// Any Milvus status, in the message in which the call's answer carries it.
    Status(common::Status),
    /// Any gRPC status, without a message.
    Grpc {
        /// Its number.
        code: i32,
        /// Its text.
        message: String,
    },
}

/// How an answer is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garbage {
    /// A whole gRPC frame whose bytes are random and decode as no message. The seed decides them.
    Noise(u64),
    /// A frame of which only the first half arrives, followed by the trailers of a success.
    Truncated,
}

/// Which of the calls suffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    /// Every one.
    Always,
    /// The first so many that no fault armed earlier takes.
    Times(u64),
    /// Only this one, counted from 1 and from when the fault is armed.
    Nth(u64),
    /// Each with a probability from 0 to 1; the seed decides which, in order of arrival.
    Chance {
        /// 0 is never, 1 is always.
        probability: f64,
        /// The same seed picks the same calls.
        seed: u64,
    },
}

/// The methods a fault is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Calls {
    /// All.
    Any,
    /// Those with one of these names, such as `Insert`.
    Of(Vec<String>),
}

impl Calls {
    pub(super) fn contain(&self, method: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Of(names) => names.iter().any(|name| name == method),
        }
    }
}

impl From<&str> for Calls {
    fn from(name: &str) -> Self {
        Self::Of(vec![name.to_owned()])
    }
}

impl<const COUNT: usize> From<[&str; COUNT]> for Calls {
    fn from(names: [&str; COUNT]) -> Self {
        Self::Of(names.map(str::to_owned).into())
    }
}

impl Answer {
    /// The gRPC status and the message, if there is one, for a call of this method.
    pub(super) fn encode(&self, method: &str) -> (i32, String, Option<Bytes>) {
        let milvus = |error_code: common::ErrorCode, code, reason: &str| common::Status {
            error_code: error_code.into(),
            reason: reason.to_owned(),
            code,
            ..common::Status::default()
        };
        let status = match self {
            Self::RateLimit => milvus(common::ErrorCode::RateLimit, 8, "rate limit exceeded"),
            Self::ForceDeny => milvus(common::ErrorCode::ForceDeny, 9, "quota exceeded: deny to write"),
            Self::Status(status) => status.clone(),
            Self::Oversize => {
                let text = "grpc: received message larger than max (75497509 vs. 67108864)";
                return (RESOURCE_EXHAUSTED, text.to_owned(), None);
            }
            Self::Grpc { code, message } => return (*code, message.clone(), None),
        };
        (0, String::new(), Some(message_with(status, method).into()))
    }
}

impl Garbage {
    /// The bytes that take the place of the answer `message`, behind a frame header announcing the second part.
    pub(super) fn of(self, message: &Bytes) -> (Bytes, usize) {
        match self {
            Self::Noise(seed) => {
                let mut noise = [0; 256];
                StdRng::seed_from_u64(seed).fill(&mut noise);
                // No wire type 7 exists, so whatever follows this is no message.
                noise[0] = 7;
                (Bytes::copy_from_slice(&noise), noise.len())
            }
            Self::Truncated => (message.slice(..message.len() / 2), message.len().max(1)),
        }
    }
}

/// An answer to a `Query` without its rows; none if it has no rows, or is a count or a failure.
pub(super) fn emptied(message: &[u8]) -> Option<Bytes> {
    let mut answer = milvus::QueryResults::decode(message).ok()?;
    let status = answer.status.as_ref()?;
    let is_success = status.code == 0 && status.error_code == 0;
    let is_count = answer.fields_data.iter().any(|column| column.field_name == COUNT_COLUMN);
    if !is_success || is_count || answer.fields_data.is_empty() {
        return None;
    }
    answer.fields_data.clear();
    Some(answer.encode_to_vec().into())
}

const COUNT_COLUMN: &str = "count(*)";

const RESOURCE_EXHAUSTED: i32 = 8;

fn message_with(status: common::Status, method: &str) -> Vec<u8> {
    if STATUS_ONLY.contains(&method) {
        return status.encode_to_vec();
    }
    // Every other answer has its status in field 1, as this one.
    milvus::MutationResult { status: Some(status), ..milvus::MutationResult::default() }.encode_to_vec()
}

/// The status that an answer to a call of this method carries.
pub(super) fn status_in(message: &[u8], method: &str) -> Option<common::Status> {
    if STATUS_ONLY.contains(&method) {
        return common::Status::decode(message).ok();
    }
    OnlyStatus::decode(message).ok()?.status
}

/// Any answer with a status in field 1; what else it holds is skipped.
#[derive(Clone, PartialEq, Message)]
struct OnlyStatus {
    #[prost(message, optional, tag = "1")]
    status: Option<common::Status>,
}

/// The calls of `MilvusService` whose answer is the status itself (from the descriptors of pymilvus 3.0.2).
const STATUS_ONLY: &[&str] = &[
    "AddCollectionField",
    "AddCollectionFunction",
    "AddCollectionStructField",
    "AddFileResource",
    "AddUserTags",
    "AlterAlias",
    "AlterCollection",
    "AlterCollectionField",
    "AlterCollectionFunction",
    "AlterDatabase",
    "AlterIndex",
    "AlterRole",
    "BatchUpdateManifest",
    "CreateAlias",
    "CreateCollection",
    "CreateCredential",
    "CreateDatabase",
    "CreateIndex",
    "CreatePartition",
    "CreatePrivilegeGroup",
    "CreateResourceGroup",
    "CreateRole",
    "CreateRowPolicy",
    "CreateSnapshot",
    "DeleteCredential",
    "DeleteUserTags",
    "DropAlias",
    "DropCollection",
    "DropCollectionFunction",
    "DropDatabase",
    "DropIndex",
    "DropPartition",
    "DropPrivilegeGroup",
    "DropResourceGroup",
    "DropRole",
    "DropRowPolicy",
    "DropSnapshot",
    "LoadBalance",
    "LoadCollection",
    "LoadPartitions",
    "OperatePrivilege",
    "OperatePrivilegeGroup",
    "OperatePrivilegeV2",
    "OperateUserRole",
    "ReleaseCollection",
    "ReleasePartitions",
    "RemoveFileResource",
    "RenameCollection",
    "RestoreRBAC",
    "TransferNode",
    "TransferReplica",
    "UnpinSnapshotData",
    "UpdateCredential",
    "UpdateReplicateConfiguration",
    "UpdateResourceGroups",
];
