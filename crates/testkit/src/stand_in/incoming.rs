//! The columns of a request, with their null masks from wherever they are.

use bytes::Bytes;
use prost::Message;
use vecferry_milvus::proto::schema::FieldData;
use vecferry_milvus::proto::schema::field_data;
use vecferry_milvus::wire::scan::{Payload, fields, take_varint};

use super::status::Refusal;

// Field numbers of requests and columns; see the protocol definition.
const REQUEST_COLUMN: u32 = 5;
const COLUMN_SCALARS: u32 = 3;
const COLUMN_VECTORS: u32 = 4;
const COLUMN_STRUCT: u32 = 8;
const STRUCT_COLUMN: u32 = 1;
/// `ScalarField.valid_data` of servers after 3.0.0.
pub(super) const SCALARS_MASK: u32 = 17;
/// `VectorField.valid_data` of servers after 3.0.0.
pub(super) const VECTORS_MASK: u32 = 9;

/// A column that came.
#[derive(Clone, Debug, Default)]
pub(super) struct Incoming {
    pub(super) data: FieldData,
    /// The mask beside the values.
    pub(super) nested_mask: Vec<bool>,
    /// The columns of a struct.
    pub(super) inner: Vec<Incoming>,
}

impl Incoming {
    /// All columns of an insert or upsert.
    pub(super) fn all(request: &Bytes) -> Result<Vec<Self>, Refusal> {
        let mut columns = Vec::new();
        for field in fields(request) {
            let field = field.map_err(broken)?;
            if field.number == REQUEST_COLUMN {
                columns.push(Self::read(field.bytes().map_err(broken)?)?);
            }
        }
        Ok(columns)
    }

    /// One column.
    pub(super) fn read(message: &[u8]) -> Result<Self, Refusal> {
        let data = FieldData::decode(message).map_err(broken)?;
        let mut column = Self { data, ..Self::default() };
        for field in fields(message) {
            let field = field.map_err(broken)?;
            match field.number {
                COLUMN_SCALARS => column.read_mask(field.bytes().map_err(broken)?, SCALARS_MASK)?,
                COLUMN_VECTORS => column.read_mask(field.bytes().map_err(broken)?, VECTORS_MASK)?,
                COLUMN_STRUCT => {
                    for inner in fields(field.bytes().map_err(broken)?) {
                        let inner = inner.map_err(broken)?;
                        if inner.number == STRUCT_COLUMN {
                            column.inner.push(Self::read(inner.bytes().map_err(broken)?)?);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(column)
    }

    fn read_mask(&mut self, values: &[u8], number: u32) -> Result<(), Refusal> {
        for field in fields(values) {
            let field = field.map_err(broken)?;
            if field.number == number
                && let Payload::Bytes(mut packed) = field.payload
            {
                while !packed.is_empty() {
                    self.nested_mask.push(take_varint(&mut packed).map_err(broken)? != 0);
                }
            }
        }
        Ok(())
    }

    /// Whether the column is a struct.
    pub(super) fn is_struct(&self) -> bool {
        matches!(self.data.field, Some(field_data::Field::StructArrays(_)))
    }
}

fn broken(error: impl std::fmt::Display) -> Refusal {
    Refusal::other(format!("the request does not decode: {error}"))
}
