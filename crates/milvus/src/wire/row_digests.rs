//! Sixteen bytes a row that are equal exactly if two servers hold the same row, made from a page without a value for each
//! of its cells.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128, xxh3_128_with_seed};

use super::digest::{DIGEST_BYTES, Digest};
use super::json_content::content;
use super::values::{Cell, for_each_cell};
use super::{Page, WireError};
use crate::schema::FieldSpec;

/// What a cell counts as, besides its bytes: null, nothing and `null` are three values.
const NULL: u8 = 0;
const BITS: u8 = 1;
const JSON: u8 = 2;
/// JSON that is none, compared as it is.
const TEXT: u8 = 3;

/// The digests of a page's rows, one a row. Fields count by their names, in whatever order they are asked for and came;
/// their values count as in [`super::digest::digest`].
///
/// # Errors
/// A field is not on the page, or can't be read.
pub fn row_digests(page: &Page, specs: &[FieldSpec]) -> Result<Vec<Digest>, WireError> {
    let mut rows = vec![0; page.rows];
    let mut specs: Vec<_> = specs.iter().collect();
    specs.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    for spec in specs {
        let name = xxh3_64(spec.name.as_bytes());
        let mut known = KnownJson::default();
        let mut next = rows.iter_mut();
        for_each_cell(page, spec, |cell| {
            if let Some(row) = next.next() {
                let (kind, digest) = match cell {
                    Cell::Null => (NULL, 0),
                    Cell::Bits(bits) => (BITS, xxh3_128(&bits)),
                    Cell::Json(text) => known.digest(text),
                };
                *row = folded(*row, name, kind, digest);
            }
        })?;
    }
    Ok(rows)
}

/// The digest of a row with one more field.
fn folded(row: Digest, name: u64, kind: u8, value: Digest) -> Digest {
    let mut bytes = [kind; 2 * DIGEST_BYTES + 1];
    bytes[..DIGEST_BYTES].copy_from_slice(&row.to_le_bytes());
    bytes[DIGEST_BYTES..2 * DIGEST_BYTES].copy_from_slice(&value.to_le_bytes());
    xxh3_128_with_seed(&bytes, name)
}

/// The last document of a column: most rows of a dynamic field without any value hold the same.
#[derive(Default)]
struct KnownJson {
    text: Vec<u8>,
    digest: Option<(u8, Digest)>,
}

impl KnownJson {
    fn digest(&mut self, text: &[u8]) -> (u8, Digest) {
        if let Some(digest) = self.digest.filter(|_| self.text == text) {
            return digest;
        }
        let digest = content(text).map_or_else(|| (TEXT, xxh3_128(text)), |content| (JSON, content));
        self.text.clear();
        self.text.extend_from_slice(text);
        self.digest = Some(digest);
        digest
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::proto::common::Status;
    use crate::proto::milvus::QueryResults;
    use crate::proto::schema::field_data::Field;
    use crate::proto::schema::scalar_field::Data;
    use crate::proto::schema::vector_field::Data as Vectors;
    use crate::proto::schema::{
        ArrayArray, BoolArray, DataType, DoubleArray, FieldData, FloatArray, IntArray, JsonArray, LongArray,
        ScalarField, SparseFloatArray, StringArray, StructArrayField, VectorArray, VectorField,
    };
    use crate::wire::digest::digest;
    use crate::wire::scan::{put_bytes, put_varint};
    use crate::wire::values::{Value, rows as values_of};

    /// One row, by the number of the value in a list of different ones; `None` is null.
    type Row = [Option<usize>; 20];
    /// Values of each field.
    const CHOICES: usize = 3;

    const FIELDS: [(&str, DataType); 20] = [
        ("bool", DataType::Bool),
        ("int8", DataType::Int8),
        ("int16", DataType::Int16),
        ("int32", DataType::Int32),
        ("int64", DataType::Int64),
        ("float", DataType::Float),
        ("double", DataType::Double),
        ("text", DataType::VarChar),
        ("time", DataType::Timestamptz),
        ("place", DataType::Geometry),
        ("json", DataType::Json),
        ("array", DataType::Array),
        ("floats", DataType::FloatVector),
        ("bits", DataType::BinaryVector),
        ("f16", DataType::Float16Vector),
        ("bf16", DataType::BFloat16Vector),
        ("int8s", DataType::Int8Vector),
        ("sparse", DataType::SparseFloatVector),
        ("vectors", DataType::ArrayOfVector),
        ("$meta", DataType::Json),
    ];
    const STRUCTS: &str = "structs";

    /// A document, in the ways that servers write it.
    const DOCUMENTS: [[&str; 2]; CHOICES] = [
        [r#"{"a":1,"b":[1.50,"渡"]}"#, r#"{ "b": [1.5, "\u6e21"], "a": 1 }"#],
        [r#"{"a":1.0,"b":[1.5,"渡"]}"#, r#"{"b":[15e-1,"渡"], "a":1.0}"#],
        ["{}", "{ }"],
    ];

    fn spec(name: &str, data_type: DataType) -> FieldSpec {
        FieldSpec {
            name: name.to_owned(),
            data_type,
            element_type: DataType::Int64,
            nullable: true,
            dim: Some(8),
            ..FieldSpec::default()
        }
    }

    fn specs() -> Vec<FieldSpec> {
        let mut specs: Vec<_> = FIELDS.iter().map(|(name, data_type)| spec(name, *data_type)).collect();
        let fields = vec![spec("n", DataType::Array), spec("v", DataType::ArrayOfVector)];
        specs.push(FieldSpec { fields, ..spec(STRUCTS, DataType::ArrayOfStruct) });
        specs
    }

    /// How a server writes.
    #[derive(Clone, Copy, Debug)]
    struct Style {
        /// JSON in another form.
        json: usize,
        /// Null rows have a placeholder; of vectors they never have one.
        placeholders: bool,
        /// A null mask also where no row is null.
        masks: bool,
        /// One number a field instead of all in one.
        unpacked: bool,
        /// The dynamic field without its name.
        unnamed: bool,
        /// An empty array with its member.
        typed_empty: bool,
        rotated: usize,
    }

    fn style() -> impl Strategy<Value = Style> {
        (0..2_usize, any::<[bool; 5]>(), 0..30_usize).prop_map(|(json, flags, rotated)| {
            let [placeholders, masks, unpacked, unnamed, typed_empty] = flags;
            Style { json, placeholders, masks, unpacked, unnamed, typed_empty, rotated }
        })
    }

    fn longs(numbers: &[i64]) -> ScalarField {
        ScalarField { data: Some(Data::LongData(LongArray { data: numbers.to_vec() })) }
    }

    fn floats(numbers: &[f32]) -> VectorField {
        VectorField { dim: 8, data: Some(Vectors::FloatVector(FloatArray { data: numbers.to_vec() })) }
    }

    /// An array of integers; none is written in one of two ways.
    fn list(choice: usize, style: Style) -> ScalarField {
        match (choice, style.typed_empty) {
            (0, false) => ScalarField::default(),
            (0, true) => longs(&[]),
            (1, _) => longs(&[1]),
            _ => longs(&[1, -1]),
        }
    }

    fn vector_list(choice: usize, style: Style) -> VectorField {
        match (choice, style.typed_empty) {
            (0, false) => VectorField { dim: 8, data: None },
            (0, true) => floats(&[]),
            (1, _) => floats(&[0.5; 8]),
            _ => floats(&[0.5; 16]),
        }
    }

    fn vector_lists(choices: &[usize], style: Style) -> Vectors {
        let data = choices.iter().map(|choice| vector_list(*choice, style)).collect();
        Vectors::VectorArray(VectorArray { dim: 8, data, element_type: DataType::FloatVector as i32 })
    }

    fn bytes_of(choices: &[usize], width: usize) -> Bytes {
        let bytes = choices.iter().flat_map(|choice| vec![[0, 0x80, 7][*choice]; width]);
        bytes.collect::<Vec<u8>>().into()
    }

    fn values(data_type: DataType, choices: &[usize], style: Style) -> Field {
        fn of<T: Clone>(choices: &[usize], all: [T; CHOICES]) -> Vec<T> {
            choices.iter().map(|choice| all[*choice].clone()).collect()
        }
        let texts = |all: [&str; CHOICES]| of(choices, all.map(str::to_owned));
        let scalars = |data| Field::Scalars(ScalarField { data: Some(data) });
        let vectors = |data| Field::Vectors(VectorField { dim: 8, data: Some(data) });
        match data_type {
            DataType::Bool => scalars(Data::BoolData(BoolArray { data: of(choices, [true, false, false]) })),
            DataType::Int8 | DataType::Int16 | DataType::Int32 => {
                scalars(Data::IntData(IntArray { data: of(choices, [0, -1, 7]) }))
            }
            DataType::Int64 => {
                scalars(Data::LongData(LongArray { data: of(choices, [0, i64::MIN, i64::MAX]) }))
            }
            DataType::Float => {
                scalars(Data::FloatData(FloatArray { data: of(choices, [0.0, -0.0, f32::NAN]) }))
            }
            DataType::Double => {
                scalars(Data::DoubleData(DoubleArray { data: of(choices, [0.0, -0.0, f64::NAN]) }))
            }
            DataType::VarChar => {
                scalars(Data::StringData(StringArray { data: texts(["", "a", "\0\u{10ffff}"]) }))
            }
            DataType::Timestamptz => scalars(Data::StringData(StringArray { data: texts(["1", "2", "3"]) })),
            DataType::Geometry => {
                scalars(Data::StringData(StringArray { data: texts(["POINT (1 2)", "POINT (2 1)", ""]) }))
            }
            DataType::Json => {
                let text = |choice: &usize| DOCUMENTS[*choice][style.json].as_bytes().into();
                scalars(Data::JsonData(JsonArray { data: choices.iter().map(text).collect() }))
            }
            DataType::Array => {
                let data = choices.iter().map(|choice| list(*choice, style)).collect();
                scalars(Data::ArrayData(ArrayArray { data, element_type: DataType::Int64 as i32 }))
            }
            DataType::FloatVector => {
                let data = choices.iter().flat_map(|choice| [[0.0; 8], [-0.0; 8], [1.5; 8]][*choice]);
                vectors(Vectors::FloatVector(FloatArray { data: data.collect() }))
            }
            DataType::BinaryVector => vectors(Vectors::BinaryVector(bytes_of(choices, 1))),
            DataType::Float16Vector => vectors(Vectors::Float16Vector(bytes_of(choices, 16))),
            DataType::BFloat16Vector => vectors(Vectors::Bfloat16Vector(bytes_of(choices, 16))),
            DataType::Int8Vector => vectors(Vectors::Int8Vector(bytes_of(choices, 8))),
            DataType::SparseFloatVector => {
                let all = [&b""[..], b"\x01\0\0\0\0\0\x80?", b"\x02\0\0\0\0\0\x80?"];
                let contents = of(choices, all).into_iter().map(Bytes::from_static).collect();
                vectors(Vectors::SparseFloatVector(SparseFloatArray { contents, dim: 9 }))
            }
            DataType::ArrayOfVector => vectors(vector_lists(choices, style)),
            DataType::None
            | DataType::String
            | DataType::Text
            | DataType::Mol
            | DataType::Date
            | DataType::Time
            | DataType::Decimal
            | DataType::ArrayOfStruct
            | DataType::Struct => panic!("{data_type:?}"),
        }
    }

    /// The numbers of a packed list, one a field.
    fn unpacked(message: &[u8]) -> Bytes {
        let mut out = BytesMut::new();
        // Column, values, list, numbers: each within the other.
        for field in crate::wire::scan::fields(message).map(Result::unwrap) {
            let is_scalars = field.number == 3;
            let Some(scalars) = field.bytes().ok().filter(|_| is_scalars) else {
                out.extend_from_slice(field.raw);
                continue;
            };
            let mut inner = BytesMut::new();
            for list in crate::wire::scan::fields(scalars).map(Result::unwrap) {
                let mut numbers = BytesMut::new();
                for packed in crate::wire::scan::fields(list.bytes().unwrap()).map(Result::unwrap) {
                    let mut rest = packed.bytes().unwrap();
                    while !rest.is_empty() {
                        let (tag, len) = match list.number {
                            1..=3 => (8, rest.iter().position(|byte| *byte < 0x80).unwrap() + 1),
                            4 => (13, 4),
                            _ => (9, 8),
                        };
                        put_varint(&mut numbers, tag);
                        numbers.extend_from_slice(&rest[..len]);
                        rest = &rest[len..];
                    }
                }
                put_bytes(&mut inner, list.number, &numbers);
            }
            put_bytes(&mut out, field.number, &inner);
        }
        out.freeze()
    }

    fn is_vector(data_type: DataType) -> bool {
        spec("", data_type).is_vector()
    }

    fn column(at: usize, rows: &[Row], style: Style) -> Bytes {
        let (name, data_type) = FIELDS[at];
        let is_null = |row: &&Row| row[at].is_none();
        let has_placeholders = style.placeholders && !is_vector(data_type);
        let choices: Vec<_> = rows
            .iter()
            .filter(|row| has_placeholders || !is_null(row))
            .map(|row| row[at].unwrap_or_default())
            .collect();
        let has_mask = style.masks || rows.iter().any(|row| is_null(&row));
        let is_dynamic = name == "$meta";
        let data = FieldData {
            r#type: data_type as i32,
            field_name: if is_dynamic && style.unnamed { String::new() } else { name.to_owned() },
            field_id: i64::try_from(style.rotated).unwrap(),
            is_dynamic,
            valid_data: rows.iter().filter(|_| has_mask).map(|row| row[at].is_some()).collect(),
            field: Some(values(data_type, &choices, style)),
        };
        let is_packed = matches!(
            data_type,
            DataType::Bool
                | DataType::Int8
                | DataType::Int16
                | DataType::Int32
                | DataType::Int64
                | DataType::Float
                | DataType::Double
        );
        let encoded = data.encode_to_vec();
        if style.unpacked && is_packed { unpacked(&encoded) } else { encoded.into() }
    }

    /// Arrays of structs of an array of numbers and an array of vectors, by the values of `array`.
    fn structs(rows: &[Row], style: Style) -> Bytes {
        let choices: Vec<_> = rows.iter().map(|row| row[11].unwrap_or_default()).collect();
        let data = choices.iter().map(|choice| list(*choice, style)).collect();
        let numbers = FieldData {
            r#type: DataType::Array as i32,
            field_name: if style.unnamed { "structs[n]".to_owned() } else { "n".to_owned() },
            field: Some(Field::Scalars(ScalarField {
                data: Some(Data::ArrayData(ArrayArray { data, element_type: DataType::Int64 as i32 })),
            })),
            ..FieldData::default()
        };
        let vectors = VectorField { dim: 8, data: Some(vector_lists(&choices, style)) };
        let vectors = FieldData {
            r#type: DataType::ArrayOfVector as i32,
            field_name: "v".to_owned(),
            field: Some(Field::Vectors(vectors)),
            ..FieldData::default()
        };
        let mut fields = vec![numbers, vectors];
        fields.rotate_left(style.rotated % 2);
        let data = FieldData {
            r#type: DataType::ArrayOfStruct as i32,
            field_name: STRUCTS.to_owned(),
            field: Some(Field::StructArrays(StructArrayField { fields })),
            ..FieldData::default()
        };
        data.encode_to_vec().into()
    }

    fn page(rows: &[Row], style: Style) -> Page {
        let keys = (0..i64::try_from(rows.len()).unwrap()).collect();
        let key = FieldData {
            r#type: DataType::Int64 as i32,
            field_name: "id".to_owned(),
            field: Some(Field::Scalars(ScalarField { data: Some(Data::LongData(LongArray { data: keys })) })),
            ..FieldData::default()
        };
        let mut columns = vec![Bytes::from(key.encode_to_vec()), structs(rows, style)];
        columns.extend((0..FIELDS.len()).map(|at| column(at, rows, style)));
        columns.rotate_left(style.rotated % columns_len());
        let status = QueryResults { status: Some(Status::default()), ..QueryResults::default() };
        let mut answer = BytesMut::from(&status.encode_to_vec()[..]);
        columns.iter().for_each(|column| put_bytes(&mut answer, 2, column));
        Page::read(&answer.freeze(), "id", None).unwrap()
    }

    fn columns_len() -> usize {
        FIELDS.len() + 2
    }

    /// As the other comparisons of this program see it.
    fn same(one: &[Value], other: &[Value]) -> bool {
        one.iter().zip(other).all(|(one, other)| match (one, other) {
            (Value::Json(_), Value::Json(_)) => digest(one) == digest(other),
            (one, other) => one == other,
        })
    }

    /// Two of the choices of a boolean are the same.
    fn model(row: &Row) -> Row {
        let mut row = *row;
        row[0] = row[0].map(|choice| choice.min(1));
        row
    }

    fn row() -> impl Strategy<Value = Row> {
        // Mostly equal rows, so that one field alone decides.
        let cell =
            || prop_oneof![6 => Just(Some(0)), 1 => Just(Some(1)), 1 => Just(Some(2)), 1 => Just(None)];
        let fields: Vec<_> = (0..FIELDS.len()).map(|_| cell()).collect();
        fields.prop_map(|cells| {
            let mut row = [None; FIELDS.len()];
            row.copy_from_slice(&cells);
            row
        })
    }

    fn nearly(base: Row) -> impl Strategy<Value = Row> {
        let edit = (0..FIELDS.len(), proptest::option::of(0..CHOICES));
        proptest::collection::vec(edit, 0..2).prop_map(move |edits| {
            let mut row = base;
            edits.into_iter().for_each(|(at, choice)| row[at] = choice);
            row
        })
    }

    proptest! {
        #[test]
        fn digests_are_equal_exactly_if_the_values_are_however_they_are_written(
            rows in row().prop_flat_map(|base| proptest::collection::vec(nearly(base), 1..6)),
            one in style(),
            other in style(),
            swapped in any::<bool>(),
        ) {
            let (specs, mut of_other) = (specs(), specs());
            if swapped {
                of_other.reverse();
            }
            let pages = [page(&rows, one), page(&rows, other)];
            let digests = [row_digests(&pages[0], &specs).unwrap(), row_digests(&pages[1], &of_other).unwrap()];
            let values = [values_of(&pages[0], &specs).unwrap(), values_of(&pages[1], &specs).unwrap()];
            for (at, row) in rows.iter().enumerate() {
                for (to, of_row) in rows.iter().enumerate() {
                    let is_equal = digests[0][at] == digests[1][to];
                    prop_assert_eq!(is_equal, same(&values[0][at], &values[1][to]), "{} {}", at, to);
                    prop_assert_eq!(is_equal, model(row) == model(of_row), "{:?} {:?}", row, of_row);
                }
            }
        }
    }

    #[test]
    fn null_nothing_and_text_that_is_no_json_differ() {
        let json = |texts: &[&str], valid: &[bool]| {
            let data = texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect();
            let column = FieldData {
                field_name: "j".to_owned(),
                valid_data: valid.to_vec(),
                field: Some(Field::Scalars(ScalarField { data: Some(Data::JsonData(JsonArray { data })) })),
                ..FieldData::default()
            };
            let column =
                crate::wire::page::Column { name: "j".to_owned(), body: column.encode_to_vec().into() };
            Page { columns: vec![column], rows: texts.len(), keys: None, bytes: 0, session_ts: 0 }
        };
        let texts = ["null", "", "{", "{}", "{ ", "[]", "\"\"", "null"];
        let page = json(&texts, &[true, true, true, true, true, true, true, false]);
        let digests = row_digests(&page, &[spec("j", DataType::Json)]).unwrap();
        let different: std::collections::BTreeSet<_> = digests.iter().collect();
        assert_eq!(different.len(), texts.len());
        // The same value in a field of another name is another row.
        let missing = row_digests(&page, &[spec("k", DataType::Json)]).unwrap_err();
        assert!(matches!(missing, WireError::Columns { .. }), "{missing}");
    }

    #[test]
    fn fields_do_not_stand_for_each_other() {
        let of = |one: i64, other: i64| {
            let column = |name: &str, value: i64| {
                let field = Some(Field::Scalars(longs(&[value])));
                let data = FieldData { field_name: name.to_owned(), field, ..FieldData::default() };
                crate::wire::page::Column { name: name.to_owned(), body: data.encode_to_vec().into() }
            };
            let columns = vec![column("a", one), column("b", other)];
            let page = Page { columns, rows: 1, keys: None, bytes: 0, session_ts: 0 };
            row_digests(&page, &[spec("a", DataType::Int64), spec("b", DataType::Int64)]).unwrap()[0]
        };
        assert_eq!(of(1, 2), of(1, 2));
        assert_ne!(of(1, 2), of(2, 1));
        assert_ne!(of(1, 1), of(2, 2));
    }
}
