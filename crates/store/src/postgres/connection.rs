//! The connections, and what happens when one is lost: every try is made again, on another one, until the server answers
//! or the time for that is over. A commit whose answer was lost is a try like any other: what is written is the same the
//! second time. The first may still be under way at the server then; it holds the rows that it changed, so that the second
//! waits for its end and sees it.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{Client, Hook, HookError, Manager, Pool, Runtime, Timeouts, Transaction};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::address::Address;
use super::failure::{Failure, Next};
use super::tls::Tls;
use crate::error::{Error, ErrorKind};
use crate::meter::Meter;

/// The parameters of a statement.
pub(super) type Of<'a> = &'a [&'a (dyn ToSql + Sync)];

/// How long one try may take, whatever the server does, and at least when the time for all of them is almost over.
const TRY_MAX: Duration = Duration::from_secs(45);
const TRY_MIN: Duration = Duration::from_secs(15);
const CONNECTION_WAIT_MAX: Duration = Duration::from_secs(15);
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What every connection is told first. A worker that stands still in the middle of a transaction loses it, so that others
/// don't wait for its rows; a commit is on the disk when it returns, because the copy relies on it.
pub(super) const SESSION: &str = "
    SET search_path = vecferry;
    SET lock_timeout = '10s';
    SET statement_timeout = '30s';
    SET idle_in_transaction_session_timeout = '10s';
    SET default_transaction_isolation = 'read committed';
    SET client_min_messages = 'warning';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')";

/// The connections of a store.
pub(super) struct Connections {
    pool: Pool,
    place: String,
    retry_for: Duration,
}

impl Connections {
    pub(super) fn of(address: &Address, connections_max: usize, retry_for: Duration) -> Result<Self, Error> {
        let manager = Manager::new(address.config.clone(), Tls::of(address)?);
        let told = Hook::async_fn(|client: &mut deadpool_postgres::ClientWrapper, _| {
            Box::pin(async move { client.batch_execute(SESSION).await.map_err(HookError::Backend) })
        });
        let wait = Some(CONNECTION_WAIT_MAX);
        let pool = Pool::builder(manager)
            .max_size(connections_max.max(1))
            .timeouts(Timeouts { wait, create: wait, recycle: wait })
            .runtime(Runtime::Tokio1)
            .post_create(told)
            .build()
            .map_err(|error| Error::new(ErrorKind::Unusable, error.to_string()))?;
        Ok(Self { pool, place: address.place(), retry_for })
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) async fn client(&self) -> Result<Client, Failure> {
        Ok(self.pool.get().await?)
    }

    /// Tries something until it succeeds or is answered with a failure that stays.
    pub(super) async fn retried<Answer, Try>(&self, once: impl Fn() -> Try) -> Result<Answer, Error>
    where
        Try: Future<Output = Result<Answer, Failure>>,
    {
        self.retried_for(self.retry_for, once).await
    }

    pub(super) async fn retried_for<Answer, Try>(
        &self,
        time: Duration,
        once: impl Fn() -> Try,
    ) -> Result<Answer, Error>
    where
        Try: Future<Output = Result<Answer, Failure>>,
    {
        let begin = Instant::now();
        let mut pause = PAUSE_MIN;
        loop {
            let late = Err(Failure::Late("the server did not answer", "服务器没有响应"));
            let try_max = time.saturating_sub(begin.elapsed()).clamp(TRY_MIN, TRY_MAX);
            let failure = match tokio::time::timeout(try_max, once()).await.unwrap_or(late) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let over = begin.elapsed() + pause > time;
            match failure.next() {
                Next::Final(kind) => return Err(failure.told(kind)),
                Next::Contended if over => return Err(failure.told(ErrorKind::Locked)),
                Next::Lost(ErrorKind::Unreachable) if over => {
                    return Err(self.unreachable(begin.elapsed(), failure));
                }
                Next::Lost(kind) if over => return Err(failure.told(kind)),
                Next::Contended => {}
                // Others that are idle may be lost as well without anybody having noticed.
                Next::Lost(_) => drop(self.pool.retain(|_, _| false)),
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn unreachable(&self, time: Duration, failure: Failure) -> Error {
        let seconds = time.as_secs().max(1);
        let error = failure.told(ErrorKind::Unreachable);
        error.within_both(
            &format!("{} did not answer within {seconds} s", self.place),
            &format!("{} 在 {seconds} 秒内没有响应", self.place),
        )
    }
}

/// Those who stood in each other's way do not meet again.
fn jittered(pause: Duration) -> Duration {
    let random = uuid::Uuid::now_v7().as_u128() % 512;
    pause.mul_f64(0.5 + f64::from(u16::try_from(random).unwrap_or(0)) / 512.0)
}

/// One transaction. What is not committed is undone.
pub(super) struct Change<'client> {
    transaction: Transaction<'client>,
    meter: Arc<Meter>,
}

impl<'client> Change<'client> {
    pub(super) async fn begin(client: &'client mut Client, meter: &Arc<Meter>) -> Result<Self, Failure> {
        Ok(Self { transaction: client.transaction().await?, meter: Arc::clone(meter) })
    }

    pub(super) async fn execute(&self, sql: &str, of: Of<'_>) -> Result<u64, Failure> {
        let statement = self.transaction.prepare_cached(sql).await?;
        Ok(self.transaction.execute(&statement, of).await?)
    }

    pub(super) async fn prepared(&self, sql: &str) -> Result<Statement, Failure> {
        Ok(self.transaction.prepare_cached(sql).await?)
    }

    pub(super) async fn execute_prepared(&self, statement: &Statement, of: Of<'_>) -> Result<u64, Failure> {
        Ok(self.transaction.execute(statement, of).await?)
    }

    pub(super) async fn rows(&self, sql: &str, of: Of<'_>) -> Result<Vec<Row>, Failure> {
        let statement = self.transaction.prepare_cached(sql).await?;
        Ok(self.transaction.query(&statement, of).await?)
    }

    pub(super) async fn row(&self, sql: &str, of: Of<'_>) -> Result<Option<Row>, Failure> {
        let statement = self.transaction.prepare_cached(sql).await?;
        Ok(self.transaction.query_opt(&statement, of).await?)
    }

    pub(super) async fn batch(&self, sql: &str) -> Result<(), Failure> {
        Ok(self.transaction.batch_execute(sql).await?)
    }

    pub(super) async fn commit<Answer>(self, answer: Answer) -> Result<Answer, Failure> {
        Meter::committing();
        self.transaction.commit().await?;
        self.meter.committed();
        Ok(answer)
    }
}
