//! An answer to a query as columns. Only the key column is decoded: for the cursor, the order check and the row count.

use bytes::Bytes;
use prost::Message;

use super::WireError;
use super::scan::{self, fields, take_varint};
use crate::key::Key;
use crate::proto::common::Status;

// Field numbers of `QueryResults`, `FieldData`, `ScalarField` and the arrays; see proto/.
const RESULT_STATUS: u32 = 1;
const RESULT_COLUMN: u32 = 2;
const RESULT_SESSION_TS: u32 = 5;
pub(super) const COLUMN_TYPE: u32 = 1;
pub(super) const COLUMN_NAME: u32 = 2;
pub(super) const COLUMN_SCALARS: u32 = 3;
pub(super) const COLUMN_VECTORS: u32 = 4;
pub(super) const COLUMN_IS_DYNAMIC: u32 = 6;
pub(super) const COLUMN_VALID: u32 = 7;
pub(super) const COLUMN_STRUCT: u32 = 8;
pub(super) const STRUCT_COLUMN: u32 = 1;
pub(super) const SCALAR_LONG: u32 = 3;
pub(super) const SCALAR_STRING: u32 = 6;
pub(super) const ARRAY_DATA: u32 = 1;

/// One column: an encoded `FieldData`.
#[derive(Clone, Debug)]
pub struct Column {
    /// The field's name; `$meta` for the dynamic field.
    pub name: String,
    /// The encoded message, without tag and length.
    pub body: Bytes,
}

/// The rows of one answer.
#[derive(Clone, Debug)]
pub struct Page {
    /// The columns, in the server's random order.
    pub columns: Vec<Column>,
    /// Number of rows, from the key column.
    pub rows: usize,
    /// First and last key; absent on an empty page.
    pub keys: Option<(Key, Key)>,
    /// Bytes of the whole answer.
    pub bytes: usize,
    /// Timestamp at which the server read, where it says one (2.4 and later); else 0.
    pub session_ts: u64,
}

/// The status inside an answer, to be checked before the columns mean anything.
pub fn status(answer: &[u8]) -> Result<Status, WireError> {
    for field in fields(answer) {
        let field = field?;
        if field.number == RESULT_STATUS {
            return Status::decode(field.bytes()?)
                .map_err(|_| WireError::Encoding("the status can't be decoded"));
        }
    }
    Err(WireError::Encoding("the response has no status"))
}

impl Page {
    /// Reads an answer whose keys must strictly increase and all be greater than `after`.
    pub fn read(answer: &Bytes, key_field: &str, after: Option<&Key>) -> Result<Self, WireError> {
        let mut columns = Vec::new();
        let mut session_ts = 0;
        for field in fields(answer) {
            let field = field?;
            match field.number {
                RESULT_COLUMN => columns.push(Column::read(answer.slice_ref(field.bytes()?))?),
                RESULT_SESSION_TS => session_ts = field.varint()?,
                _ => {}
            }
        }
        let mut page = Self { columns, rows: 0, keys: None, bytes: answer.len(), session_ts };
        let Some(key_column) = page.columns.iter().find(|column| column.name == key_field) else {
            // An empty answer may come without any column.
            if page.columns.is_empty() {
                return Ok(page);
            }
            let found = page.columns.iter().map(|column| column.name.clone()).collect();
            return Err(WireError::Columns { found, expected: vec![key_field.to_owned()] });
        };
        let mut cursor = Cursor { rows: 0, first: None, last: after.cloned() };
        key_column.read_keys(|key| cursor.advance(key))?;
        page.rows = cursor.rows;
        page.keys = cursor.first.zip(cursor.last);
        Ok(page)
    }

    /// Checks that exactly the columns asked for came: a field that is not loaded is left out silently by some servers.
    pub fn check_columns<'a>(&self, expected: impl IntoIterator<Item = &'a str>) -> Result<(), WireError> {
        let mut expected: Vec<_> = expected.into_iter().collect();
        let mut found: Vec<_> = self.columns.iter().map(|column| column.name.as_str()).collect();
        expected.sort_unstable();
        found.sort_unstable();
        if expected == found {
            return Ok(());
        }
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        Err(WireError::Columns { found: owned(found), expected: owned(expected) })
    }

    /// All keys of the page, in order.
    pub fn all_keys(&self, key_field: &str) -> Result<Vec<Key>, WireError> {
        let mut keys = Vec::with_capacity(self.rows);
        for column in self.columns.iter().filter(|column| column.name == key_field) {
            column.read_keys(|key| {
                keys.push(key.into_owned());
                Ok(())
            })?;
        }
        Ok(keys)
    }
}

impl Column {
    pub(super) fn read(body: Bytes) -> Result<Self, WireError> {
        let mut name = String::new();
        let mut is_dynamic = false;
        for field in fields(&body) {
            let field = field?;
            match field.number {
                COLUMN_NAME => {
                    name = std::str::from_utf8(field.bytes()?)
                        .map_err(|_| WireError::Encoding("a column's name is not UTF-8"))?
                        .to_owned();
                }
                COLUMN_IS_DYNAMIC => is_dynamic = field.varint()? != 0,
                _ => {}
            }
        }
        if is_dynamic {
            // Servers may send the dynamic column without a name.
            crate::schema::DYNAMIC_FIELD.clone_into(&mut name);
        }
        Ok(Self { name, body })
    }

    /// The columns of an array of structs, with their names in it.
    pub(super) fn inner(&self) -> Result<Vec<Self>, WireError> {
        let mut columns = Vec::new();
        for field in fields(&self.body) {
            let field = field?;
            if field.number != COLUMN_STRUCT {
                continue;
            }
            for inner in fields(field.bytes()?) {
                let inner = inner?;
                if inner.number == STRUCT_COLUMN {
                    columns.push(Self::read(self.body.slice_ref(inner.bytes()?))?);
                }
            }
        }
        Ok(columns)
    }

    fn read_keys(&self, mut each: impl FnMut(KeyRef<'_>) -> Result<(), WireError>) -> Result<(), WireError> {
        for field in fields(&self.body) {
            let field = field?;
            if field.number != COLUMN_SCALARS {
                continue;
            }
            for array in fields(field.bytes()?) {
                let array = array?;
                match array.number {
                    SCALAR_LONG => read_longs(array.bytes()?, &mut each)?,
                    SCALAR_STRING => read_strings(array.bytes()?, &mut each)?,
                    _ => return Err(WireError::Encoding("the key column holds neither integers nor texts")),
                }
            }
        }
        Ok(())
    }
}

fn read_longs(
    array: &[u8],
    each: &mut impl FnMut(KeyRef<'_>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    for data in fields(array) {
        match data?.payload {
            scan::Payload::Bytes(mut packed) => {
                while !packed.is_empty() {
                    each(KeyRef::Int(take_varint(&mut packed)? as i64))?;
                }
            }
            scan::Payload::Varint(value) => each(KeyRef::Int(value as i64))?,
            scan::Payload::Fixed32(_) | scan::Payload::Fixed64(_) => {
                return Err(WireError::Encoding("fixed-width keys"));
            }
        }
    }
    Ok(())
}

fn read_strings(
    array: &[u8],
    each: &mut impl FnMut(KeyRef<'_>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    for data in fields(array) {
        let text =
            std::str::from_utf8(data?.bytes()?).map_err(|_| WireError::Encoding("a key is not UTF-8"))?;
        each(KeyRef::Text(text))?;
    }
    Ok(())
}

/// A key still inside the page.
#[derive(Clone, Copy)]
enum KeyRef<'a> {
    Int(i64),
    Text(&'a str),
}

impl KeyRef<'_> {
    fn into_owned(self) -> Key {
        match self {
            KeyRef::Int(value) => Key::Int(value),
            KeyRef::Text(text) => Key::Text(text.to_owned()),
        }
    }

    fn is_after(self, key: &Key) -> bool {
        match (self, key) {
            (KeyRef::Int(value), Key::Int(last)) => value > *last,
            (KeyRef::Text(text), Key::Text(last)) => text > last.as_str(),
            (KeyRef::Int(_), Key::Text(_)) | (KeyRef::Text(_), Key::Int(_)) => false,
        }
    }
}

/// Where the walk over the keys stands.
struct Cursor {
    rows: usize,
    first: Option<Key>,
    last: Option<Key>,
}

impl Cursor {
    fn advance(&mut self, key: KeyRef<'_>) -> Result<(), WireError> {
        if let Some(last) = &self.last
            && !key.is_after(last)
        {
            let next = key.into_owned().to_string();
            return Err(WireError::KeyOrder { previous: last.to_string(), next });
        }
        match (&mut self.last, key) {
            // Texts reuse the allocation: this runs once a row.
            (Some(Key::Text(last)), KeyRef::Text(text)) => text.clone_into(last),
            (last, key) => *last = Some(key.into_owned()),
        }
        if self.first.is_none() {
            self.first.clone_from(&self.last);
        }
        self.rows += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::milvus::QueryResults;
    use crate::proto::schema::{
        FieldData, LongArray, ScalarField, StringArray, field_data::Field, scalar_field::Data,
    };

    fn column(name: &str, data: Data) -> FieldData {
        FieldData {
            field_name: name.into(),
            field: Some(Field::Scalars(ScalarField { data: Some(data) })),
            ..FieldData::default()
        }
    }

    fn answer(columns: Vec<FieldData>) -> Bytes {
        let results =
            QueryResults { status: Some(Status::default()), fields_data: columns, ..QueryResults::default() };
        Bytes::from(results.encode_to_vec())
    }

    fn ints(keys: &[i64]) -> Data {
        Data::LongData(LongArray { data: keys.to_vec() })
    }

    fn texts(keys: &[&str]) -> Data {
        Data::StringData(StringArray { data: keys.iter().map(|key| (*key).into()).collect() })
    }

    #[test]
    fn rows_and_bounds_come_from_the_key_column() {
        let page = Page::read(&answer(vec![column("id", ints(&[i64::MIN, -1, 7]))]), "id", None).unwrap();
        assert_eq!((page.rows, page.keys), (3, Some((Key::Int(i64::MIN), Key::Int(7)))));
        let page = Page::read(&answer(vec![column("id", texts(&["", "a", "渡"]))]), "id", None).unwrap();
        assert_eq!((page.rows, page.keys), (3, Some((Key::Text("".into()), Key::Text("渡".into())))));
        let page = Page::read(&answer(vec![column("id", texts(&["", "a", "渡"]))]), "id", None).unwrap();
        assert_eq!(page.all_keys("id").unwrap().len(), 3);
    }

    #[test]
    fn an_empty_page_may_have_no_columns() {
        for columns in [vec![], vec![column("id", ints(&[]))]] {
            let page = Page::read(&answer(columns), "id", Some(&Key::Int(3))).unwrap();
            assert_eq!((page.rows, page.keys), (0, None));
        }
    }

    #[test]
    fn keys_must_strictly_increase_beyond_the_cursor() {
        for (keys, after) in [(vec![1, 1], None), (vec![2, 1], None), (vec![3, 4], Some(Key::Int(3)))] {
            let error =
                Page::read(&answer(vec![column("id", ints(&keys))]), "id", after.as_ref()).unwrap_err();
            assert!(matches!(error, WireError::KeyOrder { .. }), "{error}");
        }
        assert!(
            Page::read(&answer(vec![column("id", texts(&["b"]))]), "id", Some(&Key::Text("b".into())))
                .is_err()
        );
    }

    #[test]
    fn missing_and_unexpected_columns_are_named() {
        let page =
            Page::read(&answer(vec![column("id", ints(&[1])), column("x", ints(&[1]))]), "id", None).unwrap();
        assert!(page.check_columns(["x", "id"]).is_ok());
        let error = page.check_columns(["id", "vec"]).unwrap_err();
        assert!(error.to_string().contains("vec") && error.to_string().contains('x'), "{error}");
        assert!(Page::read(&answer(vec![column("x", ints(&[1]))]), "id", None).is_err());
    }
}
