//! What the service records of its own, in tables beside those of the engine: one file a kind of record.
//!
//! Times are milliseconds since 1970 by the store's clock. IDs are texts with a prefix that says what they are of.

mod audit;
mod clusters;
mod drafts;
mod idempotency;
mod identities;
mod keys;
mod members;
mod migrations;
mod pace;
mod projects;
mod retention;
mod rounds;
mod schema;
mod sealed;
mod sessions;
mod tasks;
mod users;
pub(crate) mod webhooks;

use std::fmt;
use std::sync::Arc;

use vecferry_store::{Change, Error, Record, Store, Value};

pub(crate) use audit::{AuditPage, AuditRecord};
pub(crate) use clusters::{ClusterRecord, ClusterStatus, NewCluster, Sight, token_purpose};
pub(crate) use drafts::{DraftRecord, NewDraft, draft_purpose};
pub(crate) use idempotency::{Answered, Begun};
pub(crate) use keys::{KEY_PREFIX, KeyGrant, KeyKind, KeyRecord, NewKey};
pub(crate) use migrations::{
    Along, MigrationPage, MigrationRecord, MigrationSource, NewMigration, QueueLimits, Stand, Taken, Wanted,
    source_purpose,
};
pub(crate) use pace::{Pace, Point};
pub(crate) use projects::{ProjectPage, ProjectRecord};
pub(crate) use rounds::WantedRound;
pub(crate) use sealed::Sealed;
pub(crate) use tasks::{NewTask, TaskEnd, TaskKind, TaskRecord, TaskState};
pub(crate) use users::UserRecord;
pub(crate) use webhooks::{DeliveryRecord, NewWebhook, Outcome, WebhookRecord, webhook_purpose};

/// Rows of a page, where nobody says how many.
pub(crate) const PAGE_ROWS: i64 = 100;

/// A time that lies further ahead than anything that holds or waits for so long tells that the clock was set back.
pub(crate) const CLOCK_STEP_MS: i64 = 2 * 60 * 1000;

/// The tables of the service in a store.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    store: Arc<dyn Store>,
}

impl Tables {
    /// Makes the tables where there are none, or brings them up to date.
    pub(crate) async fn open(store: Arc<dyn Store>) -> Result<Self, Error> {
        store.prepare("service", &schema::STEPS).await?;
        Ok(Self { store })
    }

    /// The store that they are in.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The store's clock.
    pub(crate) async fn now_ms(&self) -> Result<i64, Error> {
        self.store.now_ms().await
    }

    async fn rows<Row>(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
        read: impl Fn(&Record) -> Result<Row, Error>,
    ) -> Result<Vec<Row>, Error> {
        let records = self.store.select(sql, values.into_iter().collect()).await?;
        records.iter().map(read).collect()
    }

    async fn row<Row>(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
        read: impl Fn(&Record) -> Result<Row, Error>,
    ) -> Result<Option<Row>, Error> {
        Ok(self.rows(sql, values, read).await?.pop())
    }

    async fn change(&self, changes: impl IntoIterator<Item = Change>) -> Result<Vec<u64>, Error> {
        self.store.change(changes.into_iter().collect()).await
    }
}

/// A new ID. Later ones are greater.
pub(crate) fn new_id(prefix: &str) -> String {
    format!("{prefix}-{}", uuid::Uuid::now_v7().simple())
}

/// What a name in a column can't be read as.
pub(crate) fn unknown(column: &str, value: impl fmt::Display) -> Error {
    Error::unreadable(format!("`{value}` is no {column}"))
}

/// So many parameters of a statement, from a number on: `$2, $3, $4`.
fn places(first: usize, count: usize) -> String {
    let places: Vec<_> = (first..first + count).map(|place| format!("${place}")).collect();
    places.join(", ")
}
