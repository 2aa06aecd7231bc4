//! Numbers as SQLite has them: with a sign.

use std::time::Duration;

use rusqlite::Row;

use crate::collections::Presence;
use crate::id::{JobId, Position};
use crate::jobs::{JobKind, JobState};

/// The bits come back as they were.
pub(super) fn signed(value: u64) -> i64 {
    value.cast_signed()
}

pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.cast_unsigned())
}

pub(super) fn unsigned_or_none(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(i64::cast_unsigned))
}

pub(super) fn signed_size(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn size(row: &Row<'_>, column: usize) -> rusqlite::Result<usize> {
    let value: i64 = row.get(column)?;
    usize::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

pub(super) fn position(row: &Row<'_>, column: usize) -> rusqlite::Result<Position> {
    let value: i64 = row.get(column)?;
    u32::try_from(value).map(Position).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

pub(super) fn job_id(row: &Row<'_>, column: usize) -> rusqlite::Result<JobId> {
    Ok(JobId::from(row.get::<_, String>(column)?))
}

pub(super) fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<JobState> {
    named(row, column, JobState::of_name)
}

pub(super) fn kind(row: &Row<'_>, column: usize) -> rusqlite::Result<JobKind> {
    named(row, column, JobKind::of_name)
}

pub(super) fn presence(row: &Row<'_>, column: usize) -> rusqlite::Result<Presence> {
    named(row, column, Presence::of_name)
}

/// One of several things that have names.
pub(super) fn named<Named>(
    row: &Row<'_>,
    column: usize,
    of_name: impl Fn(&str) -> Option<Named>,
) -> rusqlite::Result<Named> {
    let name: String = row.get(column)?;
    let unknown = || {
        let text = format!("nothing is known of the name `{name}`");
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, text.into())
    };
    of_name(&name).ok_or_else(unknown)
}

pub(super) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn duration(row: &Row<'_>, column: usize) -> rusqlite::Result<Duration> {
    Ok(Duration::from_millis(u64::try_from(row.get::<_, i64>(column)?).unwrap_or_default()))
}

pub(super) fn duration_or_none(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Duration>> {
    let milliseconds: Option<i64> = row.get(column)?;
    Ok(milliseconds
        .map(|milliseconds| Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default())))
}
