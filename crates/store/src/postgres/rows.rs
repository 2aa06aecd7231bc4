//! Values as PostgreSQL has them. Numbers have a sign; keys are bytes, because texts can't hold the character NUL there.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::failure::Failure;
use crate::claims::WRITER_TTL_MAX;
use crate::collections::Presence;
use crate::error::{Error, ErrorKind};
use crate::id::{JobId, Position, SplitId};
use crate::jobs::{JobKind, JobState};

pub(super) fn signed_size(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn at(position: Position) -> i64 {
    i64::from(position.0)
}

pub(super) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// How long a writer holds, in milliseconds.
pub(super) fn ttl(duration: Duration) -> i64 {
    milliseconds(duration.min(WRITER_TTL_MAX))
}

pub(super) fn bytes(key: &Option<String>) -> Option<&[u8]> {
    key.as_ref().map(String::as_bytes)
}

/// A text that people read. It is shown with a mark where the character was.
pub(super) fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

pub(super) fn get<'row, Value: FromSql<'row>>(row: &'row Row, column: usize) -> Result<Value, Failure> {
    Ok(row.try_get(column)?)
}

pub(super) fn unsigned(row: &Row, column: usize) -> Result<u64, Failure> {
    Ok(get::<i64>(row, column)?.cast_unsigned())
}

pub(super) fn unsigned_or_none(row: &Row, column: usize) -> Result<Option<u64>, Failure> {
    Ok(get::<Option<i64>>(row, column)?.map(i64::cast_unsigned))
}

pub(super) fn duration(row: &Row, column: usize) -> Result<Duration, Failure> {
    Ok(Duration::from_millis(u64::try_from(get::<i64>(row, column)?).unwrap_or_default()))
}

pub(super) fn size(row: &Row, column: usize) -> Result<usize, Failure> {
    usize::try_from(get::<i64>(row, column)?).map_err(|_| damaged("a size is negative"))
}

pub(super) fn position(row: &Row, column: usize) -> Result<Position, Failure> {
    u32::try_from(get::<i64>(row, column)?).map(Position).map_err(|_| damaged("a position is out of range"))
}

pub(super) fn job_id(row: &Row, column: usize) -> Result<JobId, Failure> {
    Ok(JobId::from(get::<String>(row, column)?))
}

pub(super) fn split_id(row: &Row, column: usize) -> Result<SplitId, Failure> {
    Ok(SplitId(get(row, column)?))
}

pub(super) fn state(row: &Row, column: usize) -> Result<JobState, Failure> {
    named(row, column, JobState::of_name)
}

pub(super) fn kind(row: &Row, column: usize) -> Result<JobKind, Failure> {
    named(row, column, JobKind::of_name)
}

pub(super) fn presence(row: &Row, column: usize) -> Result<Presence, Failure> {
    named(row, column, Presence::of_name)
}

/// One of several things that have names.
pub(super) fn named<Named>(
    row: &Row,
    column: usize,
    of_name: impl Fn(&str) -> Option<Named>,
) -> Result<Named, Failure> {
    let name: &str = get(row, column)?;
    of_name(name).ok_or_else(|| damaged(&format!("nothing is known of the name `{name}`")))
}

pub(super) fn key(row: &Row, column: usize) -> Result<String, Failure> {
    String::from_utf8(get(row, column)?).map_err(|_| damaged("a key is not UTF-8"))
}

pub(super) fn key_or_none(row: &Row, column: usize) -> Result<Option<String>, Failure> {
    let bytes: Option<Vec<u8>> = get(row, column)?;
    bytes.map(String::from_utf8).transpose().map_err(|_| damaged("a key is not UTF-8"))
}

/// Reads all rows.
pub(super) fn all<Value>(
    rows: &[Row],
    read: impl Fn(&Row) -> Result<Value, Failure>,
) -> Result<Vec<Value>, Failure> {
    rows.iter().map(read).collect()
}

/// The first column of a row that must be there.
pub(super) fn one<'row, Value: FromSql<'row>>(row: Option<&'row Row>) -> Result<Value, Failure> {
    get(row.ok_or_else(|| damaged("something that was recorded is not there"))?, 0)
}

pub(super) fn damaged(what: &str) -> Failure {
    Failure::Refused(Error::new(ErrorKind::Corrupt, what))
}

pub(super) fn duration_or_none(row: &Row, column: usize) -> Result<Option<Duration>, Failure> {
    let milliseconds: Option<i64> = get(row, column)?;
    Ok(milliseconds
        .map(|milliseconds| Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default())))
}
