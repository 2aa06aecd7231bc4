//! Records.

use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, Statement, ffi, params};

use super::SqliteStore;
use super::dialect::translated;
use super::rows::{signed_size, size};
use crate::error::{Error, ErrorKind};
use crate::records::{
    Change, ROWS_MAX, Record, Records, Value, check_changes, check_query, check_version, placeholders_differ,
    step_name, too_many,
};

#[async_trait]
impl Records for SqliteStore {
    async fn prepare(&self, name: &str, steps: &[&str]) -> Result<(), Error> {
        let of = name.to_owned();
        let mut version = self.read(move |connection| version_of(connection, &of)).await?;
        check_version(name, version, steps.len())?;
        while let Some(step) = steps.get(version) {
            let (of, number, step) = (name.to_owned(), version, translated(step));
            version = self.write(move |connection| step_up(connection, &of, number, &step)).await?;
            check_version(name, version, steps.len())?;
        }
        Ok(())
    }

    async fn select(&self, sql: &str, values: Vec<Value>) -> Result<Vec<Record>, Error> {
        check_query(sql, &values)?;
        let sql = sql.to_owned();
        self.read(move |connection| found(connection, &sql, &values)).await
    }

    async fn change(&self, changes: Vec<Change>) -> Result<Vec<u64>, Error> {
        check_changes(&changes)?;
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        self.write(move |connection| changes.iter().map(|change| make(connection, change)).collect()).await
    }

    async fn now_ms(&self) -> Result<i64, Error> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

fn version_of(connection: &Connection, name: &str) -> Result<usize, Error> {
    let version = connection
        .prepare_cached("SELECT version FROM record_schemas WHERE name = ?1")?
        .query_row(params![name], |row| size(row, 0))
        .optional()?;
    Ok(version.unwrap_or(0))
}

/// Makes a step, unless another process did so meanwhile. Returns the version that is there then.
fn step_up(connection: &Connection, name: &str, number: usize, step: &str) -> Result<usize, Error> {
    let version = version_of(connection, name)?;
    if version != number {
        return Ok(version);
    }
    let made = connection.execute_batch(step);
    made.map_err(|error| refused(error).within(&step_name(name, number)))?;
    connection.execute(
        "INSERT INTO record_schemas (name, version) VALUES (?1, ?2) \
         ON CONFLICT (name) DO UPDATE SET version = excluded.version",
        params![name, signed_size(number + 1)],
    )?;
    Ok(number + 1)
}

fn found(connection: &Connection, sql: &str, values: &[Value]) -> Result<Vec<Record>, Error> {
    let mut statement = connection.prepare_cached(sql)?;
    bind(&mut statement, sql, values)?;
    let columns = statement.column_count();
    let (mut rows, mut records) = (statement.raw_query(), Vec::new());
    while let Some(row) = rows.next()? {
        if records.len() == ROWS_MAX {
            return Err(too_many(sql));
        }
        records.push(record(row, columns)?);
    }
    Ok(records)
}

fn make(connection: &Connection, change: &Change) -> Result<u64, Error> {
    let mut statement = connection.prepare_cached(change.sql())?;
    bind(&mut statement, change.sql(), change.values())?;
    let rows = statement.raw_execute().map_err(refused)?;
    let rows = u64::try_from(rows).unwrap_or(u64::MAX);
    change.check_met(rows)?;
    Ok(rows)
}

/// Gives each placeholder its value. To SQLite `$2` is a name like any other, and not the second one.
fn bind(statement: &mut Statement<'_>, sql: &str, values: &[Value]) -> Result<(), Error> {
    let differ = || placeholders_differ(sql, values.len());
    let mut used = vec![false; values.len()];
    for index in 1..=statement.parameter_count() {
        let name = statement.parameter_name(index).ok_or_else(differ)?;
        let number: Option<usize> = name.strip_prefix('$').and_then(|number| number.parse().ok());
        let place = number.and_then(|number| number.checked_sub(1)).ok_or_else(differ)?;
        let value = values.get(place).ok_or_else(differ)?;
        statement.raw_bind_parameter(index, borrowed(value))?;
        used.get_mut(place).into_iter().for_each(|used| *used = true);
    }
    if used.contains(&false) { Err(differ()) } else { Ok(()) }
}

fn borrowed(value: &Value) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(match value {
        Value::Null => ValueRef::Null,
        Value::Integer(value) => ValueRef::Integer(*value),
        Value::Text(value) => ValueRef::Text(value.as_bytes()),
        Value::Bytes(value) => ValueRef::Blob(value),
    })
}

fn record(row: &Row<'_>, columns: usize) -> Result<Record, Error> {
    (0..columns).map(|column| value(row, column)).collect::<Result<_, _>>().map(Record)
}

fn value(row: &Row<'_>, column: usize) -> Result<Value, Error> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Integer(value),
        ValueRef::Text(_) => Value::Text(row.get(column)?),
        ValueRef::Blob(value) => Value::Bytes(value.to_owned()),
        ValueRef::Real(_) => {
            let text = format!("column {column} is a number with a fraction, which no record has");
            return Err(Error::new(ErrorKind::Corrupt, text));
        }
    })
}

/// A failure of a caller's statement. What a constraint refuses is no damage here.
fn refused(error: rusqlite::Error) -> Error {
    let kind = match error.sqlite_error().map(|error| error.extended_code) {
        Some(ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY) => ErrorKind::Taken,
        Some(ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => ErrorKind::Unmet,
        Some(_) | None => return error.into(),
    };
    Error::new(kind, error.to_string())
}
