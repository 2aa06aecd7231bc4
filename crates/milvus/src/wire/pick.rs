//! Some rows of an answer, picked by their primary key: for keys that no expression can name, so that the server can only be
//! asked for all rows. Decodes what it picks from; not for pages of a copy that a server can be asked for.

use crate::key::{Key, KeyRange};
use crate::proto::milvus::QueryResults;
use crate::proto::schema::field_data::Field;
use crate::proto::schema::scalar_field::Data as Scalars;
use crate::proto::schema::vector_field::Data as Vectors;
use crate::proto::schema::{FieldData, ScalarField, VectorField};

use super::WireError;

/// Which keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Picked {
    /// Those of a range.
    Range(KeyRange),
    /// Those of a list.
    AnyOf(Vec<Key>),
}

impl Picked {
    fn holds(&self, key: &Key) -> bool {
        match self {
            Self::Range(range) => {
                range.after.as_ref().is_none_or(|after| key > after)
                    && range.until.as_ref().is_none_or(|until| key <= until)
            }
            Self::AnyOf(keys) => keys.contains(key),
        }
    }
}

/// Number of rows of an answer, by its key column.
pub(crate) fn rows(answer: &QueryResults, key_field: &str) -> Result<usize, WireError> {
    Ok(keys(answer, key_field)?.len())
}

/// The rows of some keys in the order of these, at most so many.
pub(crate) fn pick(
    answer: QueryResults,
    key_field: &str,
    picked: &Picked,
    rows_max: Option<u32>,
) -> Result<QueryResults, WireError> {
    let keys = keys(&answer, key_field)?;
    let mut rows: Vec<usize> = (0..keys.len()).filter(|row| picked.holds(&keys[*row])).collect();
    rows.sort_by(|one, other| keys[*one].cmp(&keys[*other]));
    rows.truncate(rows_max.map_or(usize::MAX, |rows_max| rows_max as usize));
    let number = keys.len();
    let fields_data = answer.fields_data.into_iter().map(|column| cut(column, number, &rows));
    let fields_data = fields_data.collect::<Result<_, _>>()?;
    Ok(QueryResults { fields_data, ..answer })
}

fn keys(answer: &QueryResults, key_field: &str) -> Result<Vec<Key>, WireError> {
    let column = answer.fields_data.iter().find(|column| column.field_name == key_field);
    match column.and_then(|column| column.field.as_ref()) {
        Some(Field::Scalars(ScalarField { data: Some(Scalars::LongData(longs)) })) => {
            Ok(longs.data.iter().copied().map(Key::Int).collect())
        }
        Some(Field::Scalars(ScalarField { data: Some(Scalars::StringData(texts)) })) => {
            Ok(texts.data.iter().cloned().map(Key::Text).collect())
        }
        // No column, or one without values: no row.
        None if answer.fields_data.iter().all(|column| column.field.is_none()) => Ok(Vec::new()),
        Some(Field::Scalars(ScalarField { data: None })) => Ok(Vec::new()),
        Some(_) | None => {
            let found = answer.fields_data.iter().map(|column| column.field_name.clone()).collect();
            Err(WireError::Columns { found, expected: vec![key_field.to_owned()] })
        }
    }
}

fn cut(column: FieldData, number: usize, rows: &[usize]) -> Result<FieldData, WireError> {
    let name = &column.field_name;
    let wrong = |values: usize| WireError::RowCount { column: name.clone(), values, rows: number };
    if !column.valid_data.is_empty() {
        // Nulls lie apart from the values, in more than one form.
        return Err(wrong(column.valid_data.len()));
    }
    let field = match column.field {
        Some(Field::Scalars(ScalarField { data: Some(data) })) => {
            let data = scalars(data, number, rows).map_err(wrong)?;
            Some(Field::Scalars(ScalarField { data: Some(data) }))
        }
        Some(Field::Vectors(VectorField { dim, data: Some(data) })) => {
            let data = vectors(data, number, rows).map_err(wrong)?;
            Some(Field::Vectors(VectorField { dim, data: Some(data) }))
        }
        empty @ (None
        | Some(
            Field::Scalars(ScalarField { data: None }) | Field::Vectors(VectorField { data: None, .. }),
        )) if number == 0 => empty,
        Some(Field::Scalars(_) | Field::Vectors(_) | Field::StructArrays(_)) | None => return Err(wrong(0)),
    };
    Ok(FieldData { field, ..column })
}

/// Values of some rows, where one follows the other; the error is how many there are if that is not one a row.
fn of_rows<Value: Clone>(values: &[Value], number: usize, rows: &[usize]) -> Result<Vec<Value>, usize> {
    if values.len() != number {
        return Err(values.len());
    }
    Ok(rows.iter().map(|row| values[*row].clone()).collect())
}

/// The same for values of equally many parts each.
fn cells<Part: Copy>(parts: &[Part], number: usize, rows: &[usize]) -> Result<Vec<Part>, usize> {
    if number == 0 || !parts.len().is_multiple_of(number) {
        return if number == 0 && parts.is_empty() { Ok(Vec::new()) } else { Err(parts.len()) };
    }
    let width = parts.len() / number;
    Ok(rows.iter().flat_map(|row| parts[row * width..(row + 1) * width].iter().copied()).collect())
}

fn scalars(data: Scalars, number: usize, rows: &[usize]) -> Result<Scalars, usize> {
    macro_rules! cut {
        ($array:expr, $member:ident) => {{
            let mut array = $array;
            array.data = of_rows(&array.data, number, rows)?;
            Scalars::$member(array)
        }};
    }
    Ok(match data {
        Scalars::BoolData(array) => cut!(array, BoolData),
        Scalars::IntData(array) => cut!(array, IntData),
        Scalars::LongData(array) => cut!(array, LongData),
        Scalars::FloatData(array) => cut!(array, FloatData),
        Scalars::DoubleData(array) => cut!(array, DoubleData),
        Scalars::StringData(array) => cut!(array, StringData),
        Scalars::BytesData(array) => cut!(array, BytesData),
        Scalars::ArrayData(array) => cut!(array, ArrayData),
        Scalars::JsonData(array) => cut!(array, JsonData),
        Scalars::GeometryData(array) => cut!(array, GeometryData),
        Scalars::TimestamptzData(array) => cut!(array, TimestamptzData),
        Scalars::GeometryWktData(array) => cut!(array, GeometryWktData),
    })
}

fn vectors(data: Vectors, number: usize, rows: &[usize]) -> Result<Vectors, usize> {
    let bytes = |bytes: bytes::Bytes| cells(&bytes, number, rows).map(bytes::Bytes::from);
    Ok(match data {
        Vectors::FloatVector(mut array) => {
            array.data = cells(&array.data, number, rows)?;
            Vectors::FloatVector(array)
        }
        Vectors::BinaryVector(data) => Vectors::BinaryVector(bytes(data)?),
        Vectors::Float16Vector(data) => Vectors::Float16Vector(bytes(data)?),
        Vectors::Bfloat16Vector(data) => Vectors::Bfloat16Vector(bytes(data)?),
        Vectors::Int8Vector(data) => Vectors::Int8Vector(bytes(data)?),
        Vectors::SparseFloatVector(mut array) => {
            array.contents = of_rows(&array.contents, number, rows)?;
            Vectors::SparseFloatVector(array)
        }
        Vectors::VectorArray(mut array) => {
            array.data = of_rows(&array.data, number, rows)?;
            Vectors::VectorArray(array)
        }
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::proto::schema::{DataType, LongArray, SparseFloatArray, StringArray};
    use crate::wire::insert::{float_vectors, scalars};

    /// Three rows, out of order.
    fn answer() -> QueryResults {
        let longs = LongArray { data: vec![7, -3, i64::MIN] };
        let texts = StringArray { data: ["seven", "three", "least"].map(str::to_owned).to_vec() };
        let sparse = SparseFloatArray {
            contents: [b"7", b"3", b"l"].map(|cell| Bytes::from_static(cell)).to_vec(),
            dim: 9,
        };
        let vectors = |data| Some(Field::Vectors(VectorField { dim: 16, data: Some(data) }));
        let column =
            |name: &str, field| FieldData { field_name: name.to_owned(), field, ..FieldData::default() };
        QueryResults {
            fields_data: vec![
                scalars("like", DataType::Int64, Scalars::LongData(longs)),
                scalars("text", DataType::VarChar, Scalars::StringData(texts)),
                float_vectors("vector", 2, vec![7.0, 7.5, 3.0, 3.5, 0.0, 0.5]),
                column("bits", vectors(Vectors::BinaryVector(Bytes::from_static(b"77330.")))),
                column("sparse", vectors(Vectors::SparseFloatVector(sparse))),
            ],
            ..QueryResults::default()
        }
    }

    fn texts(answer: &QueryResults) -> Vec<String> {
        match &answer.fields_data[1].field {
            Some(Field::Scalars(ScalarField { data: Some(Scalars::StringData(texts)) })) => {
                texts.data.clone()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rows_are_picked_in_the_order_of_their_keys_column_by_column() {
        let range = |after, until| Picked::Range(KeyRange { after, until });
        let int = |key| Some(Key::Int(key));
        for (picked, rows_max, found) in [
            (range(None, None), None, vec!["least", "three", "seven"]),
            (range(None, None), Some(2), vec!["least", "three"]),
            (range(int(i64::MIN), int(7)), None, vec!["three", "seven"]),
            (range(int(-3), None), None, vec!["seven"]),
            (range(int(7), None), None, vec![]),
            (Picked::AnyOf(vec![Key::Int(7), Key::Int(8), Key::Int(i64::MIN)]), None, vec!["least", "seven"]),
        ] {
            let answer = pick(answer(), "like", &picked, rows_max).unwrap();
            assert_eq!(texts(&answer), found, "{picked:?}");
            assert_eq!(rows(&answer, "like").unwrap(), found.len());
        }
        let picked = pick(answer(), "like", &range(int(-3), None), None).unwrap();
        let vectors = picked.fields_data.iter().filter_map(|column| match &column.field {
            Some(Field::Vectors(vectors)) => vectors.data.clone(),
            Some(Field::Scalars(_) | Field::StructArrays(_)) | None => None,
        });
        let of_one = |data: &Vectors| match data {
            Vectors::FloatVector(array) => format!("{:?}", array.data),
            Vectors::BinaryVector(data) => format!("{data:?}"),
            Vectors::SparseFloatVector(array) => format!("{:?}", array.contents),
            Vectors::Float16Vector(_)
            | Vectors::Bfloat16Vector(_)
            | Vectors::Int8Vector(_)
            | Vectors::VectorArray(_) => panic!("{data:?}"),
        };
        let found: Vec<_> = vectors.map(|data| of_one(&data)).collect();
        assert_eq!(found, ["[7.0, 7.5]", "b\"77\"", "[b\"7\"]"]);
    }

    #[test]
    fn what_can_not_be_cut_row_by_row_is_an_error() {
        let all = Picked::Range(KeyRange::default());
        let mut masked = answer();
        masked.fields_data[1].valid_data = vec![true, false, true];
        let mut short = answer();
        short.fields_data[2] = float_vectors("vector", 2, vec![1.0; 4]);
        for wrong in [masked, short] {
            let error = pick(wrong, "like", &all, None).unwrap_err();
            assert!(matches!(error, WireError::RowCount { rows: 3, .. }), "{error}");
        }
        let error = pick(answer(), "exists", &all, None).unwrap_err();
        assert!(error.to_string().contains("requested were [\"exists\"]"), "{error}");
        let empty = pick(QueryResults::default(), "like", &all, None).unwrap();
        assert_eq!(rows(&empty, "like").unwrap(), 0);
    }
}
