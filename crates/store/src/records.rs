//! Records: tables of the caller's own beside those of jobs.
//!
//! The store knows nothing about them but their SQL. It may not know what their rows mean, and secrets are encrypted
//! before they get here.

use std::fmt;

use async_trait::async_trait;

use crate::error::{Error, ErrorKind};

/// Rows of an answer at most: a caller that wants more asks page by page.
pub(crate) const ROWS_MAX: usize = 10_000;

/// A value of a parameter or of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A `BIGINT`.
    Integer(i64),
    /// A `TEXT`, without the character NUL.
    Text(String),
    /// A `BYTEA`.
    Bytes(Vec<u8>),
}

impl Value {
    fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Integer(_) => "an integer",
            Self::Text(_) => "a text",
            Self::Bytes(_) => "bytes",
        }
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Integer(i64::from(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl<Inner: Into<Self>> From<Option<Inner>> for Value {
    fn from(value: Option<Inner>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row of an answer: its columns by place, from 0. Each getter fails with [`ErrorKind::Corrupt`] where the column is
/// missing or of another type.
#[derive(Clone, Debug, PartialEq)]
pub struct Record(pub(crate) Vec<Value>);

impl Record {
    /// An integer.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`].
    pub fn integer(&self, column: usize) -> Result<i64, Error> {
        self.integer_or_none(column)?.ok_or_else(|| is_null(column))
    }

    /// A text.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`].
    pub fn text(&self, column: usize) -> Result<String, Error> {
        self.text_or_none(column)?.ok_or_else(|| is_null(column))
    }

    /// Bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`].
    pub fn bytes(&self, column: usize) -> Result<Vec<u8>, Error> {
        self.bytes_or_none(column)?.ok_or_else(|| is_null(column))
    }

    /// An integer, or none where the column is null.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`].
    pub fn integer_or_none(&self, column: usize) -> Result<Option<i64>, Error> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Integer(value) => Ok(Some(*value)),
            other @ (Value::Text(_) | Value::Bytes(_)) => Err(is_not(column, other, "an integer")),
        }
    }

    /// A text, or none where the column is null.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`].
    pub fn text_or_none(&self, column: usize) -> Result<Option<String>, Error> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Text(value) => Ok(Some(value.clone())),
            other @ (Value::Integer(_) | Value::Bytes(_)) => Err(is_not(column, other, "a text")),
        }
    }

    /// Bytes, or none where the column is null.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`].
    pub fn bytes_or_none(&self, column: usize) -> Result<Option<Vec<u8>>, Error> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Bytes(value) => Ok(Some(value.clone())),
            other @ (Value::Integer(_) | Value::Text(_)) => Err(is_not(column, other, "bytes")),
        }
    }

    /// Whether an integer is 1 and not 0. Comparisons in a query are such, too.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`].
    pub fn flag(&self, column: usize) -> Result<bool, Error> {
        match self.integer(column)? {
            0 => Ok(false),
            1 => Ok(true),
            other => {
                Err(Error::new(ErrorKind::Corrupt, format!("column {column} is {other}, but must be 0 or 1")))
            }
        }
    }

    fn value(&self, column: usize) -> Result<&Value, Error> {
        let missing = || Error::new(ErrorKind::Corrupt, format!("there is no column {column} in the answer"));
        self.0.get(column).ok_or_else(missing)
    }
}

fn is_null(column: usize) -> Error {
    Error::new(ErrorKind::Corrupt, format!("column {column} is null"))
}

fn is_not(column: usize, value: &Value, wanted: &str) -> Error {
    let text = format!("column {column} is {}, but must be {wanted}", value.type_name());
    Error::new(ErrorKind::Corrupt, text)
}

/// How many rows a change must meet.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Any,
    Exactly(u64),
    AtLeastOne,
}

/// A statement that changes rows, and how many rows it must change.
#[derive(Clone)]
pub struct Change {
    sql: String,
    values: Vec<Value>,
    rows: Expected,
}

/// Without the values, which may be hashes of passwords.
impl fmt::Debug for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let change = &mut formatter.debug_struct("Change");
        change.field("sql", &self.sql).field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Change {
    /// An `INSERT`, `UPDATE` or `DELETE` of any number of rows.
    pub fn new(sql: impl Into<String>, values: impl IntoIterator<Item = Value>) -> Self {
        Self { sql: sql.into(), values: values.into_iter().collect(), rows: Expected::Any }
    }

    /// Exactly this number of rows; otherwise nothing of the whole transaction is done: [`ErrorKind::Unmet`].
    #[must_use]
    pub fn exactly(self, rows: u64) -> Self {
        Self { rows: Expected::Exactly(rows), ..self }
    }

    /// One row or more; otherwise as with [`Change::exactly`].
    #[must_use]
    pub fn at_least_one(self) -> Self {
        Self { rows: Expected::AtLeastOne, ..self }
    }

    pub(crate) fn sql(&self) -> &str {
        &self.sql
    }

    pub(crate) fn values(&self) -> &[Value] {
        &self.values
    }

    /// Refuses a number of rows that is not the expected one.
    pub(crate) fn check_met(&self, rows: u64) -> Result<(), Error> {
        let wanted = match self.rows {
            Expected::Any => return Ok(()),
            Expected::Exactly(expected) if rows == expected => return Ok(()),
            Expected::AtLeastOne if rows > 0 => return Ok(()),
            Expected::Exactly(expected) => expected.to_string(),
            Expected::AtLeastOne => "at least 1".to_owned(),
        };
        let text = format!("expected to change {wanted} rows, but changed {rows}: {}", self.sql);
        Err(Error::new(ErrorKind::Unmet, text))
    }
}

/// Tables of the caller's own, with SQL that means the same to both stores.
///
/// What is portable:
/// - Types are `BIGINT`, `TEXT` and `BYTEA`. A flag is a `BIGINT` of 0 or 1; a `sum` is cast to `BIGINT`. `INTEGER PRIMARY
///   KEY` and types that number rows by themselves are not used: IDs are the caller's.
/// - `TEXT` columns that are sorted or compared by `<` are declared `TEXT COLLATE "C"`: that is byte by byte on both.
/// - Placeholders are `$1`, `$2`, …; each value has one, and may have several. `$1::BIGINT` is not used; where the type
///   does not follow from a column, it is `CAST($1 AS BIGINT)`. A value has the type of its column.
/// - Statements are constant: what differs between calls is in the values. Each is one `SELECT`, `INSERT`, `UPDATE` or
///   `DELETE`, perhaps after `WITH`, and names its columns instead of `*`. `ON CONFLICT … DO NOTHING` and `DO UPDATE` may
///   be used, `RETURNING` may not.
/// - Foreign keys are checked at once; `DEFERRABLE` is not used.
/// - Names of tables and indexes are not those of the store's own.
#[async_trait]
pub trait Records {
    /// Makes or updates the caller's tables: `steps[n]` leads from version n to version n + 1 of the schema called `name`.
    /// Each runs once, in a transaction of its own, also when several processes start at the same time. A step that was
    /// released is never edited.
    ///
    /// # Errors
    /// [`ErrorKind::Newer`] if the recorded version is greater than the number of steps.
    async fn prepare(&self, name: &str, steps: &[&str]) -> Result<(), Error>;

    /// The rows that a query finds.
    ///
    /// # Errors
    /// [`ErrorKind::Unusable`] if there are more than 10,000 of them; [`ErrorKind::Corrupt`] if values and placeholders do
    /// not fit each other.
    async fn select(&self, sql: &str, values: Vec<Value>) -> Result<Vec<Record>, Error>;

    /// Makes all changes in one transaction, or none of them. Returns how many rows each changed.
    ///
    /// When the connection is lost during the commit, the store finds out whether it was made: one call is done once. Only
    /// after [`ErrorKind::Unreachable`] the caller does not know; another call is another change.
    ///
    /// # Errors
    /// [`ErrorKind::Unmet`] if a change met another number of rows than it expected, or a foreign key refused it;
    /// [`ErrorKind::Taken`] if a `UNIQUE` or `PRIMARY KEY` refused it; [`ErrorKind::Corrupt`] as with
    /// [`Records::select`].
    async fn change(&self, changes: Vec<Change>) -> Result<Vec<u64>, Error>;

    /// The time since 1970 in milliseconds, by the clock of the store: that of the database, or of this machine.
    async fn now_ms(&self) -> Result<i64, Error>;
}

/// Refuses what one of the stores would do something else with than the other.
pub(crate) fn check_query(sql: &str, values: &[Value]) -> Result<(), Error> {
    check_verb(sql, &["SELECT", "WITH"])?;
    check_values(values)
}

/// As [`check_query`].
pub(crate) fn check_changes(changes: &[Change]) -> Result<(), Error> {
    changes.iter().try_for_each(|change| {
        check_verb(change.sql(), &["INSERT", "UPDATE", "DELETE", "WITH"])?;
        check_values(change.values())
    })
}

fn check_verb(sql: &str, verbs: &[&str]) -> Result<(), Error> {
    let first = sql.split_whitespace().next().unwrap_or_default();
    if verbs.iter().any(|verb| first.eq_ignore_ascii_case(verb)) {
        return Ok(());
    }
    let text = format!("`{first}` is not one of {}: {sql}", verbs.join(", "));
    Err(Error::new(ErrorKind::Unusable, text))
}

/// PostgreSQL can't hold the character.
fn check_values(values: &[Value]) -> Result<(), Error> {
    if values.iter().any(|value| matches!(value, Value::Text(text) if text.contains('\0'))) {
        return Err(Error::new(ErrorKind::Corrupt, "a text contains the character NUL"));
    }
    Ok(())
}

/// Refuses values and placeholders that don't fit each other.
pub(crate) fn placeholders_differ(sql: &str, values: usize) -> Error {
    let text = format!("the placeholders do not match the {values} values that were given: {sql}");
    Error::new(ErrorKind::Corrupt, text)
}

pub(crate) fn too_many(sql: &str) -> Error {
    Error::new(ErrorKind::Unusable, format!("the query finds more than 10,000 rows: {sql}"))
}

pub(crate) fn check_version(name: &str, version: usize, steps: usize) -> Result<(), Error> {
    if version <= steps {
        return Ok(());
    }
    let text = format!("the schema `{name}` has version {version}; this program supports up to {steps}");
    Err(Error::new(ErrorKind::Newer, text))
}

/// What a step of a schema is to be found by in a message.
pub(crate) fn step_name(name: &str, number: usize) -> String {
    format!("step {} of the schema `{name}`", number + 1)
}
