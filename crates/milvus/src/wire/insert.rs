//! An insert or upsert as slices: a small head, then the page's columns as they are.

use bytes::{BufMut, Bytes, BytesMut};

use prost::Message;

use super::scan::{put_bytes, put_header, put_number};
use crate::proto::schema::field_data::Field;
use crate::proto::schema::{
    DataType, FieldData, FloatArray, ScalarField, VectorField, scalar_field, vector_field,
};
use crate::transport::Slices;

// Field numbers of `InsertRequest` and `UpsertRequest`, equal in both as far as they are written here.
const DB: u32 = 2;
const COLLECTION: u32 = 3;
const PARTITION: u32 = 4;
const COLUMN: u32 = 5;
const NUM_ROWS: u32 = 7;

/// Columns up to this size are copied together: an HTTP/2 frame of its own would cost more than the copy.
const COPY_BYTES_MAX: usize = 8 << 10;

/// Rows on their way into a collection.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Encoded `FieldData` messages as [`super::rewrite::insertable`] makes them.
    pub columns: Vec<Bytes>,
    /// Number of rows.
    pub count: usize,
}

/// A scalar column of rows made by hand.
pub fn scalars(name: &str, data_type: DataType, data: scalar_field::Data) -> FieldData {
    FieldData {
        r#type: data_type as i32,
        field_name: name.to_owned(),
        field: Some(Field::Scalars(ScalarField { data: Some(data) })),
        ..FieldData::default()
    }
}

/// A column of float32 vectors made by hand; `data` holds them end to end.
pub fn float_vectors(name: &str, dim: usize, data: Vec<f32>) -> FieldData {
    let data = Some(vector_field::Data::FloatVector(FloatArray { data }));
    FieldData {
        r#type: DataType::FloatVector as i32,
        field_name: name.to_owned(),
        field: Some(Field::Vectors(VectorField { dim: dim as i64, data })),
        ..FieldData::default()
    }
}

impl Rows {
    /// Rows made by hand.
    pub fn of(columns: &[FieldData], count: usize) -> Self {
        Self { columns: columns.iter().map(|column| Bytes::from(column.encode_to_vec())).collect(), count }
    }

    /// Bytes of all columns.
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(Bytes::len).sum()
    }

    pub(crate) fn message(&self, db: &str, collection: &str, partition: &str) -> Slices {
        let mut slices = Slices::default();
        let mut small = BytesMut::with_capacity(256);
        for (number, text) in [(DB, db), (COLLECTION, collection), (PARTITION, partition)] {
            if !text.is_empty() {
                put_bytes(&mut small, number, text.as_bytes());
            }
        }
        put_number(&mut small, NUM_ROWS, self.count as u64);
        for column in &self.columns {
            put_header(&mut small, COLUMN, column.len());
            if column.len() <= COPY_BYTES_MAX {
                small.put_slice(column);
            } else {
                slices.push(small.split().freeze());
                slices.push(column.clone());
            }
        }
        slices.push(small.freeze());
        slices
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::milvus::InsertRequest;

    #[test]
    fn slices_are_the_message_that_prost_would_write() {
        let small = FieldData { field_name: "id".into(), ..FieldData::default() };
        let large = FieldData { field_name: "x".repeat(COPY_BYTES_MAX + 1), ..FieldData::default() };
        let expected = InsertRequest {
            db_name: "d".into(),
            collection_name: "c".into(),
            partition_name: "p".into(),
            fields_data: vec![small.clone(), large.clone(), small.clone()],
            num_rows: 300,
            ..InsertRequest::default()
        };
        let slices = Rows::of(&[small.clone(), large, small], 300).message("d", "c", "p");
        assert_eq!(slices.len(), expected.encoded_len());
        assert_eq!(InsertRequest::decode(slices.concat()).unwrap(), expected);
    }
}
