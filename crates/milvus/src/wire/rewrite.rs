//! The columns whose encoding differs between an answer and an insert (protocol notes 0.4, 0.5). All other columns
//! are passed on untouched, and for those only the null mask is looked at.

use bytes::{BufMut, Bytes, BytesMut};

use super::WireError;
use super::page::{
    ARRAY_DATA, COLUMN_IS_DYNAMIC, COLUMN_NAME, COLUMN_SCALARS, COLUMN_STRUCT, COLUMN_TYPE, COLUMN_VALID,
    COLUMN_VECTORS, Column, STRUCT_COLUMN,
};
use super::scan::{fields, put_bytes, put_header, put_number};
use super::values::{
    Layout, SCALARS_MASK, VECTOR_ARRAY, VECTOR_ARRAY_DATA, VECTORS_MASK, Values, find_in_struct, null_mask,
};
use crate::proto::schema::DataType;
use crate::schema::FieldSpec;

/// The column as an insert wants it.
///
/// - A nullable scalar, or array of vectors, comes with a placeholder in every null row, and must go without: as many
///   values as rows that are not null. Vectors are compact both ways.
/// - An empty array comes without its typed member, and must go with it: 2.3.5 crashes on the bare one.
/// - A field with a default value comes without a null mask where it is not nullable, and must go with one: servers of
///   2.5 and 2.6 refuse it otherwise.
/// - A dynamic field comes with a null mask from servers since 2.6 although no row of it is null, and goes without: older
///   servers know none there.
/// - A null mask beside the values must go where every server looks.
/// - The fields of an array of structs go by their own names.
///
/// # Errors
/// A null in a field with a default value can't be inserted: the server would put the default in its place.
pub fn insertable(column: &Column, spec: &FieldSpec, rows: usize) -> Result<Bytes, WireError> {
    if spec.data_type == DataType::ArrayOfStruct {
        return insertable_struct(column, spec, rows);
    }
    let mask = null_mask(column)?;
    let has_null = spec.nullable && mask.valid.contains(&false);
    if has_null && spec.has_default {
        return Err(WireError::NullBecomesDefault { column: column.name.clone() });
    }
    let is_array = spec.data_type == DataType::Array;
    if has_null && !spec.is_vector() || is_array && has_bare_array(column)? {
        let mut values = Values::read(column, spec)?;
        drop_placeholders(&mut values, &column.name, rows)?;
        if spec.data_type == DataType::ArrayOfVector {
            return Ok(encode_vector_arrays(column, &values)?.freeze());
        }
        let empty_array = if is_array { typed_empty(spec.element_type) } else { &[] };
        return Ok(encode(column, &values, empty_array)?.freeze());
    }
    if spec.has_default && mask.valid.is_empty() {
        return Ok(with_mask(column, &vec![true; rows])?.freeze());
    }
    if !spec.nullable && !spec.has_default && !mask.valid.is_empty() && !mask.valid.contains(&false) {
        return Ok(with_mask(column, &[])?.freeze());
    }
    if mask.is_nested {
        return Ok(with_mask(column, &mask.valid)?.freeze());
    }
    Ok(column.body.clone())
}

fn insertable_struct(column: &Column, spec: &FieldSpec, rows: usize) -> Result<Bytes, WireError> {
    let inner = column.inner()?;
    let mut is_same = true;
    let mut columns = Vec::with_capacity(inner.len());
    for of_field in &spec.fields {
        let column = find_in_struct(&inner, of_field)?;
        let body = insertable(column, of_field, rows)?;
        is_same &= body.as_ptr() == column.body.as_ptr() && column.name == of_field.name;
        columns.push((body, &of_field.name));
    }
    if is_same && columns.len() == inner.len() {
        return Ok(column.body.clone());
    }
    let mut structs = BytesMut::with_capacity(column.body.len());
    for (body, name) in columns {
        let mut renamed = BytesMut::with_capacity(body.len());
        put_bytes(&mut renamed, COLUMN_NAME, name.as_bytes());
        for field in fields(&body) {
            let field = field?;
            if field.number != COLUMN_NAME {
                renamed.put_slice(field.raw);
            }
        }
        put_bytes(&mut structs, STRUCT_COLUMN, &renamed);
    }
    let mut out = head(column, structs.len())?;
    put_bytes(&mut out, COLUMN_STRUCT, &structs);
    Ok(out.freeze())
}

/// What a column says of itself beside its values, with room for them.
fn head(column: &Column, room: usize) -> Result<BytesMut, WireError> {
    let mut out = BytesMut::with_capacity(room + 64);
    for field in fields(&column.body) {
        let field = field?;
        if matches!(field.number, COLUMN_TYPE | COLUMN_NAME | COLUMN_IS_DYNAMIC) {
            out.put_slice(field.raw);
        }
    }
    Ok(out)
}

/// The column with this null mask, in the place where every server looks, and no other. The values stay as they are.
fn with_mask(column: &Column, valid: &[bool]) -> Result<BytesMut, WireError> {
    let mut out = BytesMut::with_capacity(column.body.len() + valid.len() + 16);
    for field in fields(&column.body) {
        let field = field?;
        let beside = match field.number {
            COLUMN_VALID => continue,
            COLUMN_SCALARS => SCALARS_MASK,
            COLUMN_VECTORS => VECTORS_MASK,
            _ => {
                out.put_slice(field.raw);
                continue;
            }
        };
        let members = || fields_but(field.bytes()?, beside);
        put_header(&mut out, field.number, members()?.iter().map(|raw| raw.len()).sum());
        members()?.iter().for_each(|raw| out.put_slice(raw));
    }
    if !valid.is_empty() {
        put_mask(&mut out, valid);
    }
    Ok(out)
}

/// All fields of a message but those of one number, as they stand.
fn fields_but(message: &[u8], number: u32) -> Result<Vec<&[u8]>, WireError> {
    let mut kept = Vec::new();
    for field in fields(message) {
        let field = field?;
        if field.number != number {
            kept.push(field.raw);
        }
    }
    Ok(kept)
}

fn put_mask(out: &mut BytesMut, valid: &[bool]) {
    put_header(out, COLUMN_VALID, valid.len());
    out.extend(valid.iter().map(|valid| u8::from(*valid)));
}

fn has_bare_array(column: &Column) -> Result<bool, WireError> {
    for field in fields(&column.body) {
        let field = field?;
        if field.number != COLUMN_SCALARS {
            continue;
        }
        for member in fields(field.bytes()?) {
            let member = member?;
            if member.number != SCALAR_ARRAY {
                continue;
            }
            for row in fields(member.bytes()?) {
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
    let mut out = head(column, array.len() + values.valid.len())?;
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
        put_mask(&mut out, &values.valid);
    }
    Ok(out)
}

/// Arrays of vectors with other rows; what is said of them all stays as it is.
fn encode_vector_arrays(column: &Column, values: &Values<'_>) -> Result<BytesMut, WireError> {
    let mut vectors = BytesMut::with_capacity(column.body.len());
    for field in fields(&column.body) {
        let field = field?;
        if field.number != COLUMN_VECTORS {
            continue;
        }
        for member in fields(field.bytes()?) {
            let member = member?;
            if member.number == VECTOR_ARRAY {
                let mut array = BytesMut::with_capacity(column.body.len());
                let others = fields_but(member.bytes()?, VECTOR_ARRAY_DATA)?;
                others.iter().for_each(|raw| array.put_slice(raw));
                values.cells.iter().for_each(|cell| put_bytes(&mut array, VECTOR_ARRAY_DATA, cell));
                put_bytes(&mut vectors, VECTOR_ARRAY, &array);
            } else if member.number != VECTORS_MASK {
                vectors.put_slice(member.raw);
            }
        }
    }
    let mut out = head(column, vectors.len() + values.valid.len())?;
    put_bytes(&mut out, COLUMN_VECTORS, &vectors);
    if !values.valid.is_empty() {
        put_mask(&mut out, &values.valid);
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
            let member = member?;
            if member.number != SCALAR_ARRAY {
                continue;
            }
            for part in fields(member.bytes()?) {
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
        ArrayArray, FieldData, FloatArray, JsonArray, LongArray, ScalarField, StringArray, StructArrayField,
        VectorArray, VectorField, field_data::Field, scalar_field::Data, vector_field,
    };

    fn spec(data_type: DataType, element_type: DataType, has_default: bool) -> FieldSpec {
        FieldSpec {
            name: "f".into(),
            data_type,
            element_type,
            nullable: true,
            has_default,
            ..FieldSpec::default()
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
    fn a_mask_of_a_field_that_takes_no_null_goes() {
        let values = || Data::LongData(LongArray { data: vec![1, 2] });
        let of_field = FieldSpec { nullable: false, ..spec(DataType::Int64, DataType::None, false) };
        let masked = column(Some(values()), &[true, true]);
        assert_eq!(rewritten(&masked, &of_field, 2), (values(), vec![]));
        let bare = column(Some(values()), &[]);
        assert_eq!(insertable(&bare, &of_field, 2).unwrap().as_ptr(), bare.body.as_ptr(), "passed on");
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
    fn a_default_goes_with_a_mask_also_where_no_row_can_be_null() {
        let column = column(Some(Data::LongData(LongArray { data: vec![1, 2] })), &[]);
        let not_null = FieldSpec { nullable: false, ..spec(DataType::Int64, DataType::None, true) };
        let (values, mask) = rewritten(&column, &not_null, 2);
        assert_eq!((values, mask), (Data::LongData(LongArray { data: vec![1, 2] }), vec![true, true]));
    }

    /// The column as servers after 3.0.0 write it.
    fn with_nested_mask(column: &Column, valid: &[bool], keep_legacy: bool) -> Column {
        let mask: Vec<_> = valid.iter().map(|valid| u8::from(*valid)).collect();
        let mut body = BytesMut::new();
        for field in fields(&column.body) {
            let field = field.unwrap();
            let number = match field.number {
                COLUMN_SCALARS => SCALARS_MASK,
                COLUMN_VECTORS => VECTORS_MASK,
                COLUMN_VALID if !keep_legacy => continue,
                _ => {
                    body.put_slice(field.raw);
                    continue;
                }
            };
            let mut values = BytesMut::from(field.bytes().unwrap());
            put_bytes(&mut values, number, &mask);
            put_bytes(&mut body, field.number, &values);
        }
        Column { name: column.name.clone(), body: body.freeze() }
    }

    #[test]
    fn a_mask_beside_the_values_goes_where_every_server_looks() {
        let longs = |data: &[i64]| Some(Data::LongData(LongArray { data: data.to_vec() }));
        let spec = spec(DataType::Int64, DataType::None, false);
        for (data, valid, compact) in [([7, 0], [true, false], &[7][..]), ([7, 8], [true, true], &[7, 8])] {
            let legacy = column(longs(&data), &valid);
            let expected = insertable(&legacy, &spec, 2).unwrap();
            for keep_legacy in [false, true] {
                let nested = with_nested_mask(&legacy, &valid, keep_legacy);
                let (values, mask) = rewritten(&nested, &spec, 2);
                assert_eq!((Some(values), mask), (longs(compact), valid.to_vec()));
                let body = insertable(&nested, &spec, 2).unwrap();
                assert_eq!(
                    FieldData { field_id: 0, ..FieldData::decode(body.clone()).unwrap() },
                    FieldData { field_id: 0, ..FieldData::decode(expected.clone()).unwrap() }
                );
                assert!(body.len() <= nested.body.len() + 4, "the mask is there once");
            }
        }
    }

    #[test]
    fn two_masks_that_differ_are_refused() {
        let legacy = column(Some(Data::LongData(LongArray { data: vec![7, 0] })), &[true, false]);
        let both = with_nested_mask(&legacy, &[false, true], true);
        let error = insertable(&both, &spec(DataType::Int64, DataType::None, false), 2).unwrap_err();
        assert_eq!(error, WireError::Encoding("two different null masks of one column"));
    }

    fn struct_of(arrays: FieldData, vectors: FieldData) -> Column {
        let data = FieldData {
            r#type: DataType::ArrayOfStruct as i32,
            field_name: "s".into(),
            field: Some(Field::StructArrays(StructArrayField { fields: vec![arrays, vectors] })),
            ..FieldData::default()
        };
        Column { name: "s".into(), body: Bytes::from(data.encode_to_vec()) }
    }

    #[test]
    fn fields_of_structs_are_rewritten_and_go_by_their_own_names() {
        let scalars_of = |rows: Vec<ScalarField>| {
            let rows = ArrayArray { data: rows, element_type: DataType::Int64 as i32 };
            Some(Field::Scalars(ScalarField { data: Some(Data::ArrayData(rows)) }))
        };
        let vectors_of = |data: Vec<VectorField>| {
            let array = VectorArray { dim: 1, data, element_type: DataType::FloatVector as i32 };
            Some(Field::Vectors(VectorField { dim: 1, data: Some(vector_field::Data::VectorArray(array)) }))
        };
        let longs =
            |data: &[i64]| ScalarField { data: Some(Data::LongData(LongArray { data: data.to_vec() })) };
        let floats = |data: &[f32]| VectorField {
            dim: 1,
            data: Some(vector_field::Data::FloatVector(FloatArray { data: data.to_vec() })),
        };
        let column_of = |name: &str, field, valid: &[bool]| FieldData {
            field_name: name.to_owned(),
            field,
            valid_data: valid.to_vec(),
            ..FieldData::default()
        };
        let of_field = |name: &str, data_type, nullable| FieldSpec {
            name: name.to_owned(),
            nullable,
            dim: Some(1),
            ..spec(data_type, DataType::Int64, false)
        };
        let spec_of = |nullable| FieldSpec {
            name: "s".into(),
            nullable,
            fields: vec![
                of_field("a", DataType::Array, nullable),
                of_field("w", DataType::ArrayOfVector, nullable),
            ],
            ..spec(DataType::ArrayOfStruct, DataType::None, false)
        };
        let valid = [true, false, true];
        let came = struct_of(
            column_of("s[a]", scalars_of(vec![longs(&[1]), longs(&[]), ScalarField { data: None }]), &valid),
            column_of("s[w]", vectors_of(vec![floats(&[0.5]), floats(&[]), floats(&[])]), &valid),
        );
        let goes = struct_of(
            column_of("a", scalars_of(vec![longs(&[1]), longs(&[])]), &valid),
            column_of("w", vectors_of(vec![floats(&[0.5]), floats(&[])]), &valid),
        );
        let rewritten = FieldData::decode(insertable(&came, &spec_of(true), 3).unwrap()).unwrap();
        assert_eq!(rewritten, FieldData::decode(goes.body).unwrap());
        let plain = struct_of(
            column_of("a", scalars_of(vec![longs(&[1])]), &[]),
            column_of("w", vectors_of(vec![floats(&[0.5])]), &[]),
        );
        let body = insertable(&plain, &spec_of(false), 1).unwrap();
        assert_eq!(body.as_ptr(), plain.body.as_ptr(), "nothing to do");
    }

    #[test]
    fn a_mask_of_another_length_is_refused() {
        let column = column(Some(Data::LongData(LongArray { data: vec![1, 0, 3] })), &[true, false]);
        let error = insertable(&column, &spec(DataType::Int64, DataType::None, false), 3).unwrap_err();
        assert!(matches!(error, WireError::RowCount { rows: 3, .. }));
    }
}
