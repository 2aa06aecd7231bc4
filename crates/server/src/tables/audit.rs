//! Who did what, when, from where, and how it ended.

use vecferry_store::{Change, Error, Record, Value};

use super::{Tables, new_id};

/// An entry as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuditRecord {
    pub(crate) audit_id: String,
    pub(crate) at_ms: i64,
    /// `user:…`, `key:…` or `service`.
    pub(crate) actor: String,
    pub(crate) action: String,
    pub(crate) object: String,
    /// The name with which it was made, where it was.
    pub(crate) object_name: Option<String>,
    /// `done`, or the code of what stood in the way.
    pub(crate) outcome: String,
    pub(crate) address: String,
    pub(crate) request_id: String,
}

/// Which entries, newest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuditPage {
    pub(crate) before: Option<String>,
    pub(crate) actor: Option<String>,
    pub(crate) action: Option<String>,
    pub(crate) rows: i64,
}

/// The column of an object: an ID or address, which has no space, and behind one the name.
fn column(object: &str, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{object} {name}"),
        None => object.to_owned(),
    }
}

fn of_column(column: &str) -> (String, Option<String>) {
    match column.split_once(' ') {
        Some((object, name)) => (object.to_owned(), Some(name.to_owned())),
        None => (column.to_owned(), None),
    }
}

fn read(record: &Record) -> Result<AuditRecord, Error> {
    let (object, object_name) = of_column(&record.text(4)?);
    Ok(AuditRecord {
        audit_id: record.text(0)?,
        at_ms: record.integer(1)?,
        actor: record.text(2)?,
        action: record.text(3)?,
        object,
        object_name,
        outcome: record.text(5)?,
        address: record.text(6)?,
        request_id: record.text(7)?,
    })
}

impl Tables {
    /// Records an entry; its ID and time are made here.
    pub(crate) async fn add_audit(&self, org_id: &str, entry: AuditRecord) -> Result<(), Error> {
        let now = self.now_ms().await?;
        let sql = "INSERT INTO audit (audit_id, org_id, at_ms, actor, action, object, outcome, address, request_id) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let AuditRecord { actor, action, object, object_name, outcome, address, request_id, .. } = entry;
        let object = column(&object, object_name.as_deref());
        let texts = [actor, action, object, outcome, address, request_id];
        let mut values: Vec<Value> = vec![new_id("audit").into(), org_id.into(), now.into()];
        values.extend(texts.into_iter().map(Value::from));
        self.change([Change::new(sql, values)]).await.map(drop)
    }

    /// A page of the entries of an organization.
    pub(crate) async fn audit(&self, org_id: &str, page: AuditPage) -> Result<Vec<AuditRecord>, Error> {
        let mut sql =
            "SELECT audit_id, at_ms, actor, action, object, outcome, address, request_id FROM audit \
            WHERE org_id = $1"
                .to_owned();
        let mut values: Vec<Value> = vec![org_id.into()];
        let filters = [("audit_id <", page.before), ("actor =", page.actor), ("action =", page.action)];
        for (condition, value) in filters {
            if let Some(value) = value {
                values.push(value.into());
                sql.push_str(&format!(" AND {condition} ${}", values.len()));
            }
        }
        values.push(page.rows.into());
        sql.push_str(&format!(" ORDER BY audit_id DESC LIMIT ${}", values.len()));
        self.rows(&sql, values, read).await
    }

    /// Removes entries that are older than a time, not more than some.
    pub(crate) async fn forget_audit(&self, before_ms: i64, rows: i64) -> Result<u64, Error> {
        let sql = "DELETE FROM audit WHERE audit_id IN \
            (SELECT audit_id FROM audit WHERE at_ms < $1 ORDER BY at_ms LIMIT $2)";
        let changed = self.change([Change::new(sql, [before_ms.into(), rows.into()])]).await?;
        Ok(changed.first().copied().unwrap_or(0))
    }
}
