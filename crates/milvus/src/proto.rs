//! Message types generated from `proto/*.proto`, a documented subset of Milvus' own definition.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated code; the documentation is in proto/"
)]

/// Package `milvus.proto.common`.
pub mod common {
    include!(concat!(env!("OUT_DIR"), "/milvus.proto.common.rs"));
}
/// Package `milvus.proto.schema`.
pub mod schema {
    include!(concat!(env!("OUT_DIR"), "/milvus.proto.schema.rs"));
}
/// Package `milvus.proto.milvus`.
pub mod milvus {
    include!(concat!(env!("OUT_DIR"), "/milvus.proto.milvus.rs"));
}
