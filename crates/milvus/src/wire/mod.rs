//! The data path: a page's columns from an answer into an insert, as the bytes they are.
//!
//! - [`scan`]: walks the fields of an encoded message without decoding it.
//! - [`page`]: an answer as columns; only the key column is decoded.
//! - [`rewrite`]: the few columns that an insert wants encoded differently.
//! - [`insert`]: the insert as slices of the page.
//! - [`pick`]: some rows of an answer, for keys that no expression can name.
//! - [`values`]: a row's value as bytes, to compare what two servers hold.
//! - [`digest`], [`row_digests`]: the same in sixteen bytes, of a value or of a whole row.

pub mod digest;
pub mod insert;
mod json_content;
pub mod page;
pub mod pick;
pub mod rewrite;
pub mod row_digests;
pub mod scan;
pub mod values;

pub use page::Page;

/// Bytes that do not follow the protocol, or a value that the protocol can't carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The encoding itself is broken.
    #[error("broken encoding: {0}")]
    Encoding(&'static str),
    /// A column that was asked for is missing, or one came that was not asked for.
    #[error("the response has the columns {found:?}, requested were {expected:?}")]
    Columns {
        /// Names that came.
        found: Vec<String>,
        /// Names that were asked for.
        expected: Vec<String>,
    },
    /// A column has another number of values than the page has rows.
    #[error("the column `{column}` has {values} values for {rows} rows")]
    RowCount {
        /// The column.
        column: String,
        /// Values in it.
        values: usize,
        /// Rows of the page.
        rows: usize,
    },
    /// Keys that do not strictly increase: the cursor would lose or repeat rows.
    #[error("the keys of the page are not in strictly increasing order: {next} comes after {previous}")]
    KeyOrder {
        /// The earlier key, as text.
        previous: String,
        /// The key that should be greater.
        next: String,
    },
    /// A null in a field with a default value: an insert would replace it by the default.
    #[error(
        "the field `{column}` holds a null, and the server would replace it by the field's default value"
    )]
    NullBecomesDefault {
        /// The column.
        column: String,
    },
}
