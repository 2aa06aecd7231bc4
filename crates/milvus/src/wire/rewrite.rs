//! The columns whose encoding differs between an answer and an insert (protocol notes 0.4, 0.5). All other columns
//! are passed on untouched, and for those only the null mask is looked at.

use bytes::{BufMut, Bytes, BytesMut};

use super::WireError;
use super::page::{
    ARRAY_DATA, COLUMN_IS_DYNAMIC, COLUMN_NAME, COLUMN_SCALARS, COLUMN_TYPE, COLUMN_VALID, Column,
};
use super::scan::{fields, put_bytes, put_header, put_number};
use super::values::{Layout, Values, null_mask};
use crate::proto::schema::DataType;
use crate::schema::FieldSpec;

/// The column as an insert wants it.
///
/// - A nullable scalar comes with a placeholder in every null row, and must go without: as many values as rows that
///   are not null. Vectors are compact both ways.
/// - An empty array comes without its typed member, and must go with it: 2.3.5 crashes on the bare one.
///
/// # Errors
/// A null in a field with a default value can't be inserted: the server would put the default in its place.
pub fn insertable(column: &Column, spec: &FieldSpec, rows: usize) -> Result<Bytes, WireError> {
    let has_null = spec.nullable && null_mask(column)?.contains(&false);
    if has_null && spec.has_default {
        return Err(WireError::NullBecomesDefault { column: column.name.clone() });
    }
    let is_array = spec.data_type == DataType::Array;
    if spec.is_vector() || !(has_null || is_array && has_bare_array(column)?) {
        return Ok(column.body.clone());
    }
    let mut values = Values::read(column, spec)?;
    drop_placeholders(&mut values, &column.name, rows)?;
    let empty_array = if is_array { typed_empty(spec.element_type) } else { &[] };
    Ok(encode(column, &values, empty_array)?.freeze())
}

fn has_bare_array(column: &Column) -> Result<bool, WireError> {
    for field in fields(&column.body) {
        let field = field?;
        if field.number != COLUMN_SCALARS {
            continue;
        }
        for member in fields(field.bytes()?) {
            for row in fields(member?.bytes()?) {
                let row = row?;
                if row.number == ARRAY_DATA && row.bytes()?.is_empty() {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

fn drop_placeholders(values: &mut Values<'_>, name: &str, rows: usize) -> Result<(), WireError> {
    if values.valid.is_empty() {
        return Ok(());
    }
    let valid_rows = values.valid.iter().filter(|valid| **valid).count();
    if values.valid.len() != rows || values.cells.len() != rows && values.cells.len() != valid_rows {
        return Err(WireError::RowCount { column: name.to_owned(), values: values.cells.len(), rows });
    }
    if values.cells.len() == rows {
        let mut valid = values.valid.iter();
        values.cells.retain(|_| valid.next() == Some(&true));
    }
    Ok(())
}

/// An empty array of a type: the member of `ScalarField` that would hold its elements, with nothing in it.
fn typed_empty(element: DataType) -> &'static [u8] {
    const EMPTY: [(DataType, [u8; 2]); 10] = [
        (DataType::Bool, [0x0a, 0]),
        (DataType::Int8, [0x12, 0]),
        (DataType::Int16, [0x12, 0]),
        (DataType::Int32, [0x12, 0]),
        (DataType::Int64, [0x1a, 0]),
        (DataType::Float, [0x22, 0]),
        (DataType::Double, [0x2a, 0]),
        (DataType::String, [0x32, 0]),
        (DataType::VarChar, [0x32, 0]),
        (DataType::Timestamptz, [0x5a, 0]),
    ];
    EMPTY.iter().find(|(data_type, _)| *data_type == element).map_or(&[], |(_, bytes)| bytes)
}

fn encode(column: &Column, values: &Values<'_>, empty_array: &[u8]) -> Result<BytesMut, WireError> {
    let mut array = BytesMut::with_capacity(column.body.len());
    match values.layout {
        Layout::Delimited => {
            for cell in &values.cells {
                put_bytes(&mut array, ARRAY_DATA, if cell.is_empty() { empty_array } else { cell });
            }
        }
        Layout::Varint | Layout::Fixed(_) => {
            put_header(&mut array, ARRAY_DATA, values.cells.iter().map(|cell| cell.len()).sum());
            values.cells.iter().for_each(|cell| array.put_slice(cell));
        }
    }
    let mut out = BytesMut::with_capacity(array.len() + values.valid.len() + 64);
    for field in fields(&column.body) {
        let field = field?;
        match field.number {
            COLUMN_TYPE | COLUMN_NAME | COLUMN_IS_DYNAMIC => out.put_slice(field.raw),
            _ => {}
        }
    }
    if values.member != 0 {
        let mut scalars = BytesMut::with_capacity(array.len() + 16);
        put_bytes(&mut scalars, values.member, &array);
        if values.member == SCALAR_ARRAY {
            // `ArrayArray.element_type`, which the servers fill in from the schema; sent all the same.
            put_element_type(&mut scalars, column, &array)?;
        }
        put_bytes(&mut out, COLUMN_SCALARS, &scalars);
    }
    if !values.valid.is_empty() {
        put_header(&mut out, COLUMN_VALID, values.valid.len());
        out.extend(values.valid.iter().map(|valid| u8::from(*valid)));
    }
    Ok(out)
}

/// `ScalarField.array_data`.
const SCALAR_ARRAY: u32 = 8;
/// `ArrayArray.element_type`.
const ARRAY_ELEMENT_TYPE: u32 = 2;

/// Writes `array_data` again with the element type that the answer gave.
fn put_element_type(scalars: &mut BytesMut, column: &Column, array: &[u8]) -> Result<(), WireError> {
    for field in fields(&column.body) {
        let field = field?;
        if field.number != COLUMN_SCALARS {
            continue;
        }
        for member in fields(field.bytes()?) {
            for part in fields(member?.bytes()?) {
                let part = part?;
                if part.number == ARRAY_ELEMENT_TYPE {
                    let mut with_type = BytesMut::with_capacity(array.len() + 4);
                    with_type.put_slice(array);
                    put_number(&mut with_type, ARRAY_ELEMENT_TYPE, part.varint()?);
                    scalars.clear();
                    put_bytes(scalars, SCALAR_ARRAY, &with_type);
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::proto::schema::{
        ArrayArray, FieldData, FloatArray, JsonArray, LongArray, ScalarField, StringArray, field_data::Field,
        scalar_field::Data,
    };

    fn spec(data_type: DataType, element_type: DataType, has_default: bool) -> FieldSpec {
        FieldSpec {
            name: "f".into(),
            data_type,
            element_type,
            nullable: true,
            has_default,
            dim: None,
            is_function_output: false,
        }
    }

    fn column(data: Option<Data>, valid: &[bool]) -> Column {
        let data = FieldData {
            r#type: DataType::Int64 as i32,
            field_name: "f".into(),
            field: Some(Field::Scalars(ScalarField { data })),
            field_id: 101,
            is_dynamic: false,
            valid_data: valid.to_vec(),
        };
        Column { name: "f".into(), body: Bytes::from(data.encode_to_vec()) }
    }

    fn rewritten(column: &Column, spec: &FieldSpec, rows: usize) -> (Data, Vec<bool>) {
        let data = FieldData::decode(insertable(column, spec, rows).unwrap()).unwrap();
        let Some(Field::Scalars(ScalarField { data: Some(values) })) = data.field else {
            panic!("no scalars")
        };
        (values, data.valid_data)
    }

    #[test]
    fn placeholders_of_null_rows_go() {
        let valid = [true, false, true, false];
        let cases = [
            (
                DataType::Int64,
                Data::LongData(LongArray { data: vec![i64::MIN, 0, -1, 0] }),
                Data::LongData(LongArray { data: vec![i64::MIN, -1] }),
            ),
            (
                DataType::Float,
                Data::FloatData(FloatArray { data: vec![0.5, 0.0, -0.0, 0.0] }),
                Data::FloatData(FloatArray { data: vec![0.5, -0.0] }),
            ),
            (
                DataType::VarChar,
                Data::StringData(StringArray { data: vec!["".into(), "".into(), "渡".into(), "".into()] }),
                Data::StringData(StringArray { data: vec!["".into(), "渡".into()] }),
            ),
            (
                DataType::Json,
                Data::JsonData(JsonArray { data: vec!["1".into(), "".into(), "null".into(), "".into()] }),
                Data::JsonData(JsonArray { data: vec!["1".into(), "null".into()] }),
            ),
        ];
        for (data_type, full, compact) in cases {
            let (values, mask) =
                rewritten(&column(Some(full), &valid), &spec(data_type, DataType::None, false), 4);
            assert_eq!((values, mask), (compact.clone(), valid.to_vec()));
            let (values, mask) =
                rewritten(&column(Some(compact.clone()), &valid), &spec(data_type, DataType::None, false), 4);
            assert_eq!((values, mask), (compact, valid.to_vec()), "already compact");
        }
    }

    #[test]
    fn a_column_without_nulls_is_the_very_bytes_that_came() {
        let column = column(Some(Data::LongData(LongArray { data: vec![1, 2] })), &[true, true]);
        let body = insertable(&column, &spec(DataType::Int64, DataType::None, true), 2).unwrap();
        assert_eq!(body.as_ptr(), column.body.as_ptr());
    }

    #[test]
    fn empty_arrays_get_their_member_back() {
        let longs =
            |data: &[i64]| ScalarField { data: Some(Data::LongData(LongArray { data: data.to_vec() })) };
        let rows = ArrayArray {
            data: vec![longs(&[1, 2]), ScalarField { data: None }, longs(&[])],
            element_type: DataType::Int64 as i32,
        };
        let column = column(Some(Data::ArrayData(rows)), &[]);
        let (values, _) = rewritten(&column, &spec(DataType::Array, DataType::Int64, false), 3);
        let expected = ArrayArray {
            data: vec![longs(&[1, 2]), longs(&[]), longs(&[])],
            element_type: DataType::Int64 as i32,
        };
        assert_eq!(values, Data::ArrayData(expected));
    }

    #[test]
    fn null_arrays_go_and_empty_arrays_stay() {
        let bare = ScalarField { data: None };
        let rows = ArrayArray { data: vec![bare.clone(), bare], element_type: DataType::VarChar as i32 };
        let column = column(Some(Data::ArrayData(rows)), &[false, true]);
        let (values, mask) = rewritten(&column, &spec(DataType::Array, DataType::VarChar, false), 2);
        let empty = ScalarField { data: Some(Data::StringData(StringArray::default())) };
        let expected = ArrayArray { data: vec![empty], element_type: DataType::VarChar as i32 };
        assert_eq!((values, mask), (Data::ArrayData(expected), vec![false, true]));
    }

    #[test]
    fn a_null_that_would_become_the_default_is_refused() {
        let column = column(Some(Data::LongData(LongArray { data: vec![1, 0] })), &[true, false]);
        let error = insertable(&column, &spec(DataType::Int64, DataType::None, true), 2).unwrap_err();
        assert_eq!(error, WireError::NullBecomesDefault { column: "f".into() });
    }

    #[test]
    fn a_mask_of_another_length_is_refused() {
        let column = column(Some(Data::LongData(LongArray { data: vec![1, 0, 3] })), &[true, false]);
        let error = insertable(&column, &spec(DataType::Int64, DataType::None, false), 3).unwrap_err();
        assert!(matches!(error, WireError::RowCount { rows: 3, .. }));
    }
}
