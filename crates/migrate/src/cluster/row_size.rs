//! How large rows are, field by field: by type where that fixes it, by real rows of the source elsewhere.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use vecferry_milvus::schema::{Family, FieldSpec, family, parameter};
use vecferry_milvus::wire::Page;
use vecferry_milvus::wire::values::{Value, column};
use vecferry_milvus::{Client, Consistency, Error, ErrorKind, Query, RowSelection};
use vecferry_policy::capacity::Load;

use crate::cluster::inventory::Found;

/// Rows that are looked at.
const SAMPLE_ROWS_MAX: u32 = 100;
/// Collections whose rows are looked at, at once.
const SAMPLES_PARALLEL: usize = 8;
/// Bytes of fixed size that they may have together.
const SAMPLE_BYTES_MAX: usize = 4 << 20;
/// Assumed size of a value that can be of any size.
const VALUE_BYTES_GUESS: f64 = 512.0;

/// The size of the rows of a collection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RowSize {
    /// Field by field.
    pub fields: Vec<FieldSize>,
    /// Rows that were looked at.
    pub sampled_rows: u64,
    /// Bytes of one of them on the wire, on average; 0 where none was looked at.
    pub wire_bytes: f64,
}

/// The size of a field's values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldSize {
    /// The field.
    pub field: String,
    /// Bytes of a value, on average.
    pub bytes: f64,
    /// How that is known.
    pub basis: SizeBasis,
    /// Whether the values are vectors.
    pub is_vector: bool,
}

/// How a size is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SizeBasis {
    /// The type fixes it.
    Type,
    /// The mean of some real rows.
    Sample,
    /// Assumed: no row could be looked at.
    Assumed,
}

impl RowSize {
    /// Bytes of a row.
    pub fn bytes(&self) -> f64 {
        self.fields.iter().map(|field| field.bytes).sum()
    }

    /// Bytes of the vectors of a row.
    pub fn vector_bytes(&self) -> f64 {
        self.fields.iter().filter(|field| field.is_vector).map(|field| field.bytes).sum()
    }

    /// So many rows of it.
    pub fn load(&self, rows: u64) -> Load {
        Load { rows, row_bytes: self.bytes(), vector_bytes: self.vector_bytes() }
    }

    /// Rows that fill so many bytes on the wire, by those that were looked at; 0 where these are too few to tell.
    pub(crate) fn rows_in(&self, bytes: usize) -> usize {
        let is_known = self.sampled_rows >= SAMPLED_ROWS_MIN && self.wire_bytes > 0.0;
        // The cast saturates.
        if is_known { (bytes as f64 / self.wire_bytes) as usize } else { 0 }
    }

    /// Bytes of a row on the wire, as far as that is known.
    pub(crate) fn wire_bytes_or_guess(&self) -> f64 {
        if self.wire_bytes > 0.0 { self.wire_bytes } else { self.bytes() }
    }
}

/// Fewer rows say little about the others.
const SAMPLED_ROWS_MIN: u64 = 32;

/// Looks at some rows of every collection, as of a moment.
pub(crate) async fn row_sizes(
    source: &Client,
    found: &[Found],
    now: Consistency,
) -> Result<Vec<RowSize>, Error> {
    let sizes: Vec<_> = found.iter().map(|found| row_size(source, found, now)).collect();
    stream::iter(sizes).buffered(SAMPLES_PARALLEL).try_collect().await
}

/// Finds the size of the rows of a collection. What is not loaded can't be looked at.
async fn row_size(source: &Client, found: &Found, consistency: Consistency) -> Result<RowSize, Error> {
    let columns = found.described.schema.columns();
    let page = if found.load.answers() && found.rows_estimate > 0 {
        sample(source, found, &columns, consistency).await?
    } else {
        None
    };
    let mut size = RowSize::default();
    if let Some(page) = page.as_ref().filter(|page| page.rows > 0) {
        size.sampled_rows = page.rows as u64;
        size.wire_bytes = page.bytes as f64 / page.rows as f64;
    }
    for spec in &columns {
        size.fields.push(field_size(spec, page.as_ref().filter(|page| page.rows > 0), found)?);
    }
    // What the target computes itself it stores, too.
    let outputs = found.described.schema.vector_fields().into_iter().filter(|spec| spec.is_function_output);
    for spec in outputs {
        size.fields.push(field_size(&spec, None, found)?);
    }
    Ok(size)
}

async fn sample(
    source: &Client,
    found: &Found,
    columns: &[FieldSpec],
    consistency: Consistency,
) -> Result<Option<Page>, Error> {
    let names: Vec<_> = columns.iter().map(|column| column.name.clone()).collect();
    let fixed: usize = columns.iter().filter_map(FieldSpec::fixed_bytes).sum();
    let mut rows =
        u32::try_from(SAMPLE_BYTES_MAX / fixed.max(1)).unwrap_or(u32::MAX).clamp(1, SAMPLE_ROWS_MAX);
    let key = found.described.schema.key_field().map(|field| field.name.clone()).unwrap_or_default();
    loop {
        let query = Query {
            collection: &found.described.name,
            collection_id: found.described.id,
            selection: RowSelection::Everything,
            columns: &names,
            partition: None,
            rows_max: Some(rows),
            consistency,
        };
        match source.query(&query).await {
            Ok(answer) => {
                let page = Page::read(&answer, &key, None);
                return page.map(Some).map_err(|error| Error::own(ErrorKind::Malformed, "Query", error));
            }
            Err(error) if error.kind() == ErrorKind::TooLarge && rows > 1 => rows = 1,
            // It was released meanwhile, or is loaded anew: the copy will say so.
            Err(error) if error.kind() == ErrorKind::NotLoaded => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

fn field_size(spec: &FieldSpec, page: Option<&Page>, found: &Found) -> Result<FieldSize, Error> {
    let of = |bytes, basis| FieldSize { field: spec.name.clone(), bytes, basis, is_vector: spec.is_vector() };
    if let Some(bytes) = type_bytes(spec) {
        return Ok(of(bytes, SizeBasis::Type));
    }
    let Some(page) = page else {
        let fields = &found.described.schema.decoded().fields;
        let longest = fields.iter().find(|field| field.name == spec.name);
        let longest = longest.and_then(|field| parameter(&field.type_params, "max_length")?.parse().ok());
        return Ok(of(
            longest.map_or(VALUE_BYTES_GUESS, |most: f64| most.min(VALUE_BYTES_GUESS)),
            SizeBasis::Assumed,
        ));
    };
    let values = column(page, spec).map_err(|error| Error::own(ErrorKind::Malformed, "Query", error))?;
    let bytes: usize = values
        .iter()
        .map(|value| match value {
            Value::Null => 0,
            Value::Bits(bits) | Value::Json(bits) => bits.len(),
        })
        .sum();
    Ok(of(bytes as f64 / values.len().max(1) as f64, SizeBasis::Sample))
}

/// Bytes of a value in a server's memory, where the type fixes them.
fn type_bytes(spec: &FieldSpec) -> Option<f64> {
    use vecferry_milvus::proto::schema::DataType;
    match family(spec.data_type) {
        // On the wire numbers are longer or shorter.
        Family::Fixed(most) => Some(match most {
            10 => 8.0,
            5 => 4.0,
            3 => 2.0,
            bytes => bytes as f64,
        }),
        Family::Dense { .. } => spec.vector_bytes().map(|bytes| bytes as f64),
        Family::Text if spec.data_type == DataType::Timestamptz => Some(8.0),
        Family::Text | Family::Json | Family::Array | Family::Sparse | Family::Nested => None,
    }
}
