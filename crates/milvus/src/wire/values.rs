//! The values of a column, row by row, as slices of the page: for rewriting the few columns that need it, and for
//! comparing what two servers hold.

use std::borrow::Cow;

use super::WireError;
use super::page::{
    ARRAY_DATA, COLUMN_SCALARS, COLUMN_STRUCT, COLUMN_VALID, COLUMN_VECTORS, Column, Page, SCALAR_LONG,
    SCALAR_STRING,
};
use super::scan::{self, Payload, fields, take_varint};
use crate::proto::schema::DataType;
use crate::schema::{Family, FieldSpec, bare_name, family};

// Members of `ScalarField`'s oneof that are laid out differently; see proto/schema.proto.
const SCALAR_BOOL: u32 = 1;
const SCALAR_INT: u32 = 2;
const SCALAR_FLOAT: u32 = 4;
const SCALAR_DOUBLE: u32 = 5;
const SCALAR_TIMESTAMPTZ: u32 = 11;
const SCALAR_DATE: u32 = 15;
const SCALAR_TIME: u32 = 16;
/// `ScalarField.valid_data`: servers after 3.0.0 have the null mask beside the values.
pub(super) const SCALARS_MASK: u32 = 17;
/// `VectorField.valid_data`, the same.
pub(super) const VECTORS_MASK: u32 = 9;
// Members of `VectorField`.
const VECTOR_DIM: u32 = 1;
const VECTOR_FLOAT: u32 = 2;
const VECTOR_SPARSE: u32 = 6;
pub(super) const VECTOR_ARRAY: u32 = 8;
/// `VectorArray.data`; in every other array the data come first.
pub(super) const VECTOR_ARRAY_DATA: u32 = 2;

/// How the values of a column lie one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Numbers of varying length, packed.
    Varint,
    /// Values of this many bytes each, packed.
    Fixed(usize),
    /// Values with tag and length each.
    Delimited,
}

/// A column taken apart: the null mask, and the values without it.
#[derive(Debug)]
pub(super) struct Values<'a> {
    /// Number of the member that holds the values inside `ScalarField` or `VectorField`; 0 if there are no values.
    pub(super) member: u32,
    /// How `cells` were cut.
    pub(super) layout: Layout,
    /// One entry a row; empty if no row is null as far as the page says.
    pub(super) valid: Vec<bool>,
    /// The values that are there, in order.
    pub(super) cells: Vec<&'a [u8]>,
}

/// The null mask of a column.
#[derive(Debug, Default)]
pub(super) struct Mask {
    /// One entry a row, `false` is null. Empty where no row is null as far as the page says.
    pub(super) valid: Vec<bool>,
    /// It stands beside the values, where servers up to 3.0.0 don't look.
    pub(super) is_nested: bool,
}

/// The null mask of a column, from either of its two places. Servers that write both write the same into both.
pub(super) fn null_mask(column: &Column) -> Result<Mask, WireError> {
    let (mut valid, mut nested) = (Vec::new(), Vec::new());
    for field in fields(&column.body) {
        let field = field?;
        let beside = match field.number {
            COLUMN_VALID => {
                read_mask(field.payload, &mut valid)?;
                continue;
            }
            COLUMN_SCALARS => SCALARS_MASK,
            COLUMN_VECTORS => VECTORS_MASK,
            _ => continue,
        };
        for member in fields(field.bytes()?) {
            let member = member?;
            if member.number == beside {
                read_mask(member.payload, &mut nested)?;
            }
        }
    }
    let is_nested = !nested.is_empty();
    if is_nested && !valid.is_empty() && nested != valid {
        return Err(WireError::Encoding("two different null masks of one column"));
    }
    Ok(Mask { valid: if is_nested { nested } else { valid }, is_nested })
}

fn read_mask(payload: Payload<'_>, valid: &mut Vec<bool>) -> Result<(), WireError> {
    match payload {
        Payload::Bytes(mut packed) => {
            while !packed.is_empty() {
                valid.push(take_varint(&mut packed)? != 0);
            }
        }
        Payload::Varint(value) => valid.push(value != 0),
        Payload::Fixed32(_) | Payload::Fixed64(_) => return Err(WireError::Encoding("null mask")),
    }
    Ok(())
}

impl<'a> Values<'a> {
    pub(super) fn read(column: &'a Column, spec: &FieldSpec) -> Result<Self, WireError> {
        let mut values =
            Self { member: 0, layout: Layout::Delimited, valid: null_mask(column)?.valid, cells: Vec::new() };
        for field in fields(&column.body) {
            let field = field?;
            match field.number {
                COLUMN_SCALARS => values.read_scalars(field.bytes()?)?,
                COLUMN_VECTORS => values.read_vectors(field.bytes()?, spec)?,
                _ => {}
            }
        }
        Ok(values)
    }

    fn read_scalars(&mut self, scalars: &'a [u8]) -> Result<(), WireError> {
        for array in fields(scalars) {
            let array = array?;
            let Some(layout) = scalar_layout(array.number) else { continue };
            (self.member, self.layout) = (array.number, layout);
            self.read_array(array.bytes()?, ARRAY_DATA)?;
        }
        Ok(())
    }

    fn read_vectors(&mut self, vectors: &'a [u8], spec: &FieldSpec) -> Result<(), WireError> {
        for array in fields(vectors) {
            let array = array?;
            match array.number {
                VECTOR_DIM | VECTORS_MASK => {}
                VECTOR_SPARSE | VECTOR_ARRAY => {
                    (self.member, self.layout) = (array.number, Layout::Delimited);
                    let data = if array.number == VECTOR_ARRAY { VECTOR_ARRAY_DATA } else { ARRAY_DATA };
                    self.read_array(array.bytes()?, data)?;
                }
                member => {
                    let width =
                        spec.vector_bytes().ok_or(WireError::Encoding("a vector without a dimension"))?;
                    (self.member, self.layout) = (member, Layout::Fixed(width));
                    if member == VECTOR_FLOAT {
                        self.read_array(array.bytes()?, ARRAY_DATA)?;
                    } else {
                        self.cut(array.bytes()?)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn read_array(&mut self, array: &'a [u8], number: u32) -> Result<(), WireError> {
        for data in fields(array) {
            let data = data?;
            if data.number != number {
                continue;
            }
            match (self.layout, data.payload) {
                (_, Payload::Bytes(bytes)) => self.cut(bytes)?,
                (Layout::Varint, Payload::Varint(_))
                | (Layout::Fixed(4), Payload::Fixed32(_))
                | (Layout::Fixed(8), Payload::Fixed64(_)) => {
                    // One value a field, which protobuf allows besides packing.
                    let tag_bytes = scan::varint_len(u64::from(data.number) << 3);
                    self.cells.push(&data.raw[tag_bytes..]);
                }
                _ => return Err(WireError::Encoding("values of another kind than the column")),
            }
        }
        Ok(())
    }

    fn cut(&mut self, mut packed: &'a [u8]) -> Result<(), WireError> {
        match self.layout {
            Layout::Delimited => self.cells.push(packed),
            Layout::Fixed(width) => {
                if width == 0 || !packed.len().is_multiple_of(width) {
                    return Err(WireError::Encoding("the length is no multiple of the value's width"));
                }
                self.cells.extend(packed.chunks_exact(width));
            }
            Layout::Varint => {
                while !packed.is_empty() {
                    let start = packed;
                    take_varint(&mut packed)?;
                    self.cells.push(&start[..start.len() - packed.len()]);
                }
            }
        }
        Ok(())
    }
}

fn scalar_layout(member: u32) -> Option<Layout> {
    match member {
        SCALAR_BOOL | SCALAR_INT | SCALAR_LONG | SCALAR_TIMESTAMPTZ | SCALAR_DATE | SCALAR_TIME => {
            Some(Layout::Varint)
        }
        SCALAR_FLOAT => Some(Layout::Fixed(4)),
        SCALAR_DOUBLE => Some(Layout::Fixed(8)),
        SCALAR_STRING..=10 | 12..=14 => Some(Layout::Delimited),
        _ => None,
    }
}

/// A row's value of one field, in a form in which equal values are equal.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// The bytes as the server keeps them: numbers and vectors by their bits, texts by their bytes.
    Bits(Vec<u8>),
    /// A JSON document, as the text the server keeps. Servers may write one anew, with other white space or another
    /// order of keys.
    Json(Vec<u8>),
}

/// All values of a page, a list a row, in the order of `specs`.
pub fn rows(page: &Page, specs: &[FieldSpec]) -> Result<Vec<Vec<Value>>, WireError> {
    let mut rows = vec![Vec::with_capacity(specs.len()); page.rows];
    for spec in specs {
        for (row, value) in rows.iter_mut().zip(column(page, spec)?) {
            row.push(value);
        }
    }
    Ok(rows)
}

/// The values of one field, one a row.
pub fn column(page: &Page, spec: &FieldSpec) -> Result<Vec<Value>, WireError> {
    values_of(find(page, spec)?, spec, page.rows)
}

fn values_of(column: &Column, spec: &FieldSpec, rows: usize) -> Result<Vec<Value>, WireError> {
    let mut values = Vec::with_capacity(rows);
    for_each(column, spec, rows, |cell| {
        values.push(match cell {
            Cell::Null => Value::Null,
            Cell::Bits(bits) => Value::Bits(bits.into_owned()),
            Cell::Json(text) => Value::Json(text.to_vec()),
        });
    })?;
    Ok(values)
}

/// A [`Value`] that stays on the page where it can.
#[derive(Clone, Debug)]
pub(super) enum Cell<'a> {
    Null,
    Bits(Cow<'a, [u8]>),
    Json(&'a [u8]),
}

/// The values of one field, one a row, in order.
pub(super) fn for_each_cell(
    page: &Page,
    spec: &FieldSpec,
    each: impl FnMut(Cell<'_>),
) -> Result<(), WireError> {
    for_each(find(page, spec)?, spec, page.rows, each)
}

fn for_each(
    column: &Column,
    spec: &FieldSpec,
    rows: usize,
    mut each: impl FnMut(Cell<'_>),
) -> Result<(), WireError> {
    if spec.data_type == DataType::ArrayOfStruct {
        let structs = structs_of(column, spec, rows)?.into_iter();
        structs.for_each(|bits| each(bits.map_or(Cell::Null, |bits| Cell::Bits(Cow::Owned(bits)))));
        return Ok(());
    }
    let values = Values::read(column, spec)?;
    let all_there = values.cells.len() == rows;
    let nulls = values.valid.iter().filter(|valid| !**valid).count();
    let compact = !all_there && values.cells.len() + nulls == rows && values.valid.len() == rows;
    if !all_there && !compact {
        return Err(WireError::RowCount { column: spec.name.clone(), values: values.cells.len(), rows });
    }
    let mut next = 0;
    for index in 0..rows {
        let is_null = values.valid.get(index) == Some(&false);
        each(if is_null { Cell::Null } else { cell(values.cells[next], spec) });
        next += usize::from(all_there || !is_null);
    }
    Ok(())
}

/// The values of an array of structs: those of its fields, one behind the other, each with its length.
fn structs_of(column: &Column, spec: &FieldSpec, rows: usize) -> Result<Vec<Option<Vec<u8>>>, WireError> {
    let inner = column.inner()?;
    let mut structs = vec![None::<Vec<u8>>; rows];
    for of_field in &spec.fields {
        let column = find_in_struct(&inner, of_field)?;
        for (row, value) in structs.iter_mut().zip(values_of(column, of_field, rows)?) {
            // A struct is null as a whole.
            if let Value::Bits(bits) | Value::Json(bits) = value {
                let row = row.get_or_insert_default();
                row.extend((bits.len() as u64).to_le_bytes());
                row.extend(bits);
            }
        }
    }
    Ok(structs)
}

/// The column of a field of a struct.
pub(super) fn find_in_struct<'a>(inner: &'a [Column], spec: &FieldSpec) -> Result<&'a Column, WireError> {
    inner.iter().find(|column| bare_name(&column.name) == spec.name).ok_or_else(|| WireError::Columns {
        found: inner.iter().map(|column| column.name.clone()).collect(),
        expected: vec![spec.name.clone()],
    })
}

/// Whether the columns of one field hold the same bytes on two pages: then all their values are equal. If not, they may
/// still be, because servers write nulls, empty arrays and JSON in more than one way.
pub fn same_bytes(one: &Page, other: &Page, spec: &FieldSpec) -> Result<bool, WireError> {
    let (mut one, mut other) = (payload(find(one, spec)?), payload(find(other, spec)?));
    loop {
        match (one.next().transpose()?, other.next().transpose()?) {
            (None, None) => return Ok(true),
            (Some(part), Some(of_other)) if part == of_other => {}
            _ => return Ok(false),
        }
    }
}

/// The parts of a column that hold values. The rest is its name and what every server numbers anew.
fn payload(column: &Column) -> impl Iterator<Item = Result<(u32, &[u8]), WireError>> {
    fields(&column.body).filter_map(|field| match field {
        Ok(field)
            if matches!(field.number, COLUMN_SCALARS | COLUMN_VECTORS | COLUMN_VALID | COLUMN_STRUCT) =>
        {
            Some(Ok((field.number, field.raw)))
        }
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
}

fn find<'a>(page: &'a Page, spec: &FieldSpec) -> Result<&'a Column, WireError> {
    page.columns.iter().find(|column| column.name == spec.name).ok_or_else(|| WireError::Columns {
        found: page.columns.iter().map(|column| column.name.clone()).collect(),
        expected: vec![spec.name.clone()],
    })
}

fn cell<'a>(cell: &'a [u8], spec: &FieldSpec) -> Cell<'a> {
    match family(spec.data_type) {
        Family::Json => Cell::Json(cell),
        // An empty array comes as no member at all or as an empty one.
        Family::Array if fields(cell).all(|field| field.is_ok_and(|field| field.bytes() == Ok(&[]))) => {
            Cell::Bits(Cow::Borrowed(&[]))
        }
        Family::Nested if is_empty_list(cell) => Cell::Bits(Cow::Borrowed(&[])),
        Family::Array
        | Family::Fixed(_)
        | Family::Text
        | Family::Dense { .. }
        | Family::Sparse
        | Family::Nested => Cell::Bits(Cow::Borrowed(cell)),
    }
}

/// Whether a row of an array of vectors holds none, however that is written.
fn is_empty_list(cell: &[u8]) -> bool {
    let is_nothing = |bytes: &[u8]| bytes.is_empty() || bytes == [8 * ARRAY_DATA as u8 + 2, 0];
    fields(cell).all(|field| {
        field.is_ok_and(|field| field.number == VECTOR_DIM || field.bytes().is_ok_and(is_nothing))
    })
}
