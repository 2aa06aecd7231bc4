//! Records.
//!
//! A call that changes records has an ID of its own, under which its transaction records how many rows it changed. A try
//! after a lost commit waits at that row for the end of the one before, and finds its answer there.

use std::pin::pin;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, Statement};

use super::PostgresStore;
use super::connection;
use super::failure::{Failure, Next};
use super::rows::{damaged, get, one, signed_size};
use super::schema::LOCK;
use crate::error::{Error, ErrorKind};
use crate::records::{
    Change, ROWS_MAX, Record, Records, Value, check_changes, check_query, check_version, placeholders_differ,
    step_name, too_many,
};

/// Begins a call, unless it was made already. No call is tried for as long as a day; those before are removed some at a
/// time, so that no call pays for many.
const BEGIN: &str = "WITH old AS (DELETE FROM record_calls WHERE call IN (SELECT call FROM record_calls \
                     WHERE made_at < now() - interval '1 day' ORDER BY made_at LIMIT 16 FOR UPDATE SKIP LOCKED)) \
                     INSERT INTO record_calls (call) VALUES ($1) ON CONFLICT (call) DO NOTHING";

#[async_trait]
impl Records for PostgresStore {
    async fn prepare(&self, name: &str, steps: &[&str]) -> Result<(), Error> {
        let version = "SELECT coalesce(max(version), 0) FROM record_schemas WHERE name = $1";
        let version = self.read(version, &[&name], |rows| one::<i64>(rows.first())).await?;
        let mut version = usize::try_from(version).unwrap_or(usize::MAX);
        check_version(name, version, steps.len())?;
        while let Some(step) = steps.get(version) {
            version = self.write(|| self.step_up(name, version, step)).await?;
            check_version(name, version, steps.len())?;
        }
        Ok(())
    }

    async fn select(&self, sql: &str, values: Vec<Value>) -> Result<Vec<Record>, Error> {
        check_query(sql, &values)?;
        let _waiting = self.meter.waiting();
        self.connections.retried(|| self.found(sql, &values)).await
    }

    async fn change(&self, changes: Vec<Change>) -> Result<Vec<u64>, Error> {
        check_changes(&changes)?;
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let call = super::call();
        self.write(|| self.make_all(&call, &changes)).await
    }

    async fn now_ms(&self) -> Result<i64, Error> {
        let sql = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        self.read(sql, &[], |rows| one(rows.first())).await
    }
}

impl PostgresStore {
    /// Makes a step, unless another process or an earlier try did so meanwhile. Returns the version that is there then.
    async fn step_up(&self, name: &str, number: usize, step: &str) -> Result<usize, Failure> {
        let mut client = self.client().await?;
        let change = self.begin(&mut client).await?;
        change.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
        let row = change.row("SELECT version FROM record_schemas WHERE name = $1", &[&name]).await?;
        let version = row.map(|row| super::rows::size(&row, 0)).transpose()?.unwrap_or(0);
        if version != number {
            return Ok(version);
        }
        let made = change.batch(step).await.map_err(refused);
        made.map_err(|failure| within(failure, &step_name(name, number)))?;
        let record = "INSERT INTO record_schemas (name, version) VALUES ($1, $2) \
                      ON CONFLICT (name) DO UPDATE SET version = excluded.version";
        change.execute(record, &[&name, &signed_size(number + 1)]).await?;
        change.commit(number + 1).await
    }

    async fn found(&self, sql: &str, values: &[Value]) -> Result<Vec<Record>, Failure> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql).await.map_err(|error| refused(error.into()))?;
        let parameters = parameters(&statement, sql, values)?;
        let rows = client.query_raw(&statement, parameters).await.map_err(|error| refused(error.into()))?;
        let (mut rows, mut records) = (pin!(rows), Vec::new());
        while let Some(row) = rows.try_next().await.map_err(|error| refused(error.into()))? {
            if records.len() == ROWS_MAX {
                return Err(too_many(sql).into());
            }
            records.push(record(&row)?);
        }
        Ok(records)
    }

    async fn make_all(&self, call: &str, changes: &[Change]) -> Result<Vec<u64>, Failure> {
        let mut client = self.client().await?;
        let change = self.begin(&mut client).await?;
        if change.execute(BEGIN, &[&call]).await? == 0 {
            let row = change.row("SELECT changed FROM record_calls WHERE call = $1", &[&call]).await?;
            let changed: Vec<i64> = one(row.as_ref())?;
            return Ok(changed.into_iter().map(i64::cast_unsigned).collect());
        }
        let mut changed = Vec::with_capacity(changes.len());
        for one in changes {
            changed.push(make(&change, one).await?.cast_signed());
        }
        let record = "UPDATE record_calls SET changed = $2 WHERE call = $1";
        change.execute(record, &[&call, &changed]).await?;
        change.commit(changed.into_iter().map(i64::cast_unsigned).collect()).await
    }
}

async fn make(change: &connection::Change<'_>, one: &Change) -> Result<u64, Failure> {
    let statement = change.prepared(one.sql()).await.map_err(refused)?;
    let parameters = parameters(&statement, one.sql(), one.values())?;
    let of: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|one| &**one as &(dyn ToSql + Sync)).collect();
    let rows = change.execute_prepared(&statement, &of).await.map_err(refused)?;
    one.check_met(rows)?;
    Ok(rows)
}

/// A failure of a caller's statement. What a constraint refuses is no damage here; and what the server tells beside its
/// message may have the values in it.
fn refused(failure: Failure) -> Failure {
    let Next::Final(kind) = failure.next() else { return failure };
    let kind = match failure.code() {
        Some(&SqlState::UNIQUE_VIOLATION) => ErrorKind::Taken,
        Some(&SqlState::FOREIGN_KEY_VIOLATION) => ErrorKind::Unmet,
        // A value that no placeholder uses.
        Some(&SqlState::INDETERMINATE_DATATYPE) => ErrorKind::Corrupt,
        Some(_) | None => kind,
    };
    Failure::Refused(failure.told(kind).repeated())
}

fn within(failure: Failure, what: &str) -> Failure {
    if let Failure::Refused(error) = failure { Failure::Refused(error.within(what)) } else { failure }
}

/// A value as the server wants it.
type Parameter<'value> = Box<dyn ToSql + Sync + Send + 'value>;

/// Values of the types that the server found for their placeholders. Others are refused here, where it can be said which
/// one it is.
fn parameters<'value>(
    statement: &Statement,
    sql: &str,
    values: &'value [Value],
) -> Result<Vec<Parameter<'value>>, Failure> {
    if statement.params().len() != values.len() {
        return Err(placeholders_differ(sql, values.len()).into());
    }
    let of_types = (1..).zip(values.iter().zip(statement.params()));
    of_types
        .map(|(number, (value, wanted))| {
            let misfit = || damaged(&format!("the value of `${number}` is no {wanted}: {sql}"));
            parameter(value, wanted).ok_or_else(misfit)
        })
        .collect()
}

/// None if the value is not of the type.
fn parameter<'value>(value: &'value Value, wanted: &Type) -> Option<Parameter<'value>> {
    match (value, wanted) {
        (Value::Null, &Type::INT8) => Some(Box::new(None::<i64>)),
        (Value::Null, &Type::INT4) => Some(Box::new(None::<i32>)),
        (Value::Null, &Type::BOOL) => Some(Box::new(None::<bool>)),
        (Value::Null, &Type::BYTEA) => Some(Box::new(None::<&[u8]>)),
        (Value::Null, wanted) if is_text(wanted) => Some(Box::new(None::<&str>)),
        (Value::Integer(value), &Type::INT8) => Some(Box::new(value)),
        (Value::Integer(value), &Type::INT4) => Some(Box::new(i32::try_from(*value).ok()?)),
        (Value::Integer(value @ 0..=1), &Type::BOOL) => Some(Box::new(*value == 1)),
        (Value::Text(value), wanted) if is_text(wanted) => Some(Box::new(value)),
        (Value::Bytes(value), &Type::BYTEA) => Some(Box::new(value)),
        (Value::Null | Value::Integer(_) | Value::Text(_) | Value::Bytes(_), _) => None,
    }
}

fn is_text(of: &Type) -> bool {
    [Type::TEXT, Type::VARCHAR].contains(of)
}

fn record(row: &Row) -> Result<Record, Failure> {
    (0..row.len()).map(|column| value(row, column)).collect::<Result<_, _>>().map(Record)
}

fn value(row: &Row, column: usize) -> Result<Value, Failure> {
    let of = row.columns().get(column).map(tokio_postgres::Column::type_);
    Ok(match of {
        Some(&Type::INT8) => get::<Option<i64>>(row, column)?.into(),
        Some(&Type::INT4) => get::<Option<i32>>(row, column)?.map(i64::from).into(),
        Some(&Type::BOOL) => get::<Option<bool>>(row, column)?.into(),
        Some(of) if is_text(of) => get::<Option<String>>(row, column)?.into(),
        Some(&Type::BYTEA) => get::<Option<Vec<u8>>>(row, column)?.into(),
        Some(other) => {
            return Err(damaged(&format!("column {column} is of the type {other}, which no record has")));
        }
        None => return Err(damaged(&format!("there is no column {column} in the answer"))),
    })
}
