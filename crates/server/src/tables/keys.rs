//! API keys.

use std::collections::BTreeMap;

use vecferry_store::{Change, Error, Record, Value};

use super::members::project_role;
use super::{PAGE_ROWS, Tables, new_id, places, unknown};
use crate::access::ProjectRole;

/// What the ID of a key begins with; those of people begin otherwise.
pub(crate) const KEY_PREFIX: &str = "key-";
/// Roles of keys that are read at once.
const GRANTS_MAX: i64 = 10_000;

/// Whose rights a key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    /// Those of its owner, whatever they are at the time.
    Personal,
    /// Those it was given.
    Customized,
}

impl KeyKind {
    /// Its name in records and answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Customized => "customized",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        [Self::Personal, Self::Customized].into_iter().find(|kind| kind.name() == name)
    }
}

/// What a customized key may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyGrant {
    /// What an Organization Owner may.
    Organization,
    /// What these roles allow in these projects.
    Projects(BTreeMap<String, ProjectRole>),
}

/// A key to be recorded.
#[derive(Clone, Debug)]
pub(crate) struct NewKey {
    pub(crate) org_id: String,
    /// Whose it is; none for a customized one.
    pub(crate) user_id: Option<String>,
    pub(crate) name: String,
    pub(crate) hash: String,
    /// The last characters, by which people tell keys apart.
    pub(crate) ending: String,
    /// Nothing for a personal one.
    pub(crate) grant: Option<KeyGrant>,
    pub(crate) created_by: String,
    pub(crate) expires_ms: Option<i64>,
}

/// A key as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyRecord {
    pub(crate) key_id: String,
    pub(crate) org_id: String,
    pub(crate) user_id: Option<String>,
    pub(crate) kind: KeyKind,
    pub(crate) name: String,
    pub(crate) ending: String,
    pub(crate) is_owner: bool,
    pub(crate) created_by: String,
    pub(crate) created_ms: i64,
    pub(crate) expires_ms: Option<i64>,
}

const COLUMNS: &str =
    "key_id, org_id, user_id, kind, name, ending, is_owner, created_by, created_ms, expires_ms";

fn read(record: &Record) -> Result<KeyRecord, Error> {
    let kind = record.text(3)?;
    Ok(KeyRecord {
        key_id: record.text(0)?,
        org_id: record.text(1)?,
        user_id: record.text_or_none(2)?,
        kind: KeyKind::of_name(&kind).ok_or_else(|| unknown("kind of key", kind))?,
        name: record.text(4)?,
        ending: record.text(5)?,
        is_owner: record.flag(6)?,
        created_by: record.text(7)?,
        created_ms: record.integer(8)?,
        expires_ms: record.integer_or_none(9)?,
    })
}

impl Tables {
    /// Records a key, and returns its ID.
    pub(crate) async fn add_key(&self, key: NewKey) -> Result<String, Error> {
        let (key_id, now) = (new_id("key"), self.now_ms().await?);
        let kind = if key.grant.is_some() { KeyKind::Customized } else { KeyKind::Personal };
        let is_owner = key.grant == Some(KeyGrant::Organization);
        let mut changes = vec![Change::new(
            "INSERT INTO api_keys (key_id, org_id, user_id, kind, name, hash, ending, is_owner, created_by, \
             created_ms, expires_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            [
                (&key_id).into(),
                key.org_id.into(),
                key.user_id.into(),
                kind.name().into(),
                key.name.into(),
                key.hash.into(),
                key.ending.into(),
                is_owner.into(),
                key.created_by.into(),
                now.into(),
                key.expires_ms.into(),
            ],
        )];
        if let Some(KeyGrant::Projects(roles)) = &key.grant {
            changes.extend(roles.iter().map(|(project_id, role)| {
                Change::new(
                    "INSERT INTO key_grants (key_id, project_id, role) VALUES ($1, $2, $3)",
                    [(&key_id).into(), project_id.into(), role.name().into()],
                )
            }));
        }
        self.change(changes).await?;
        Ok(key_id)
    }

    /// The key with a hash that is neither revoked nor over.
    pub(crate) async fn key_by_hash(&self, hash: &str) -> Result<Option<KeyRecord>, Error> {
        let now = self.now_ms().await?;
        let sql = format!(
            "SELECT {COLUMNS} FROM api_keys WHERE hash = $1 AND revoked_ms IS NULL \
             AND (expires_ms IS NULL OR expires_ms > $2)"
        );
        self.row(&sql, [hash.into(), now.into()], read).await
    }

    /// A key of an organization.
    pub(crate) async fn key(&self, org_id: &str, key_id: &str) -> Result<Option<KeyRecord>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM api_keys WHERE key_id = $1 AND org_id = $2 AND revoked_ms IS NULL"
        );
        self.row(&sql, [key_id.into(), org_id.into()], read).await
    }

    /// The keys of an organization, or those that are or were made by somebody; not more than a page, behind one of them.
    pub(crate) async fn keys(
        &self,
        org_id: &str,
        only: Option<&str>,
        after: &str,
    ) -> Result<Vec<KeyRecord>, Error> {
        let of = if only.is_some() { "AND (user_id = $4 OR created_by = $4)" } else { "" };
        let sql = format!(
            "SELECT {COLUMNS} FROM api_keys WHERE org_id = $1 AND revoked_ms IS NULL AND key_id > $2 {of} \
             ORDER BY key_id LIMIT $3"
        );
        let mut values = vec![org_id.into(), after.into(), PAGE_ROWS.into()];
        values.extend(only.map(Value::from));
        self.rows(&sql, values, read).await
    }

    /// Keys of an organization that count against its limit.
    pub(crate) async fn customized_keys(&self, org_id: &str) -> Result<i64, Error> {
        let sql =
            "SELECT COUNT(*) FROM api_keys WHERE org_id = $1 AND kind = 'customized' AND revoked_ms IS NULL";
        let count = self.row(sql, [org_id.into()], |record| record.integer(0)).await?;
        Ok(count.unwrap_or(0))
    }

    /// The names of keys of an organization by their IDs, also of those that are revoked.
    pub(crate) async fn key_names(
        &self,
        org_id: &str,
        key_ids: &[String],
    ) -> Result<BTreeMap<String, String>, Error> {
        if key_ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let sql = format!(
            "SELECT key_id, name FROM api_keys WHERE org_id = $1 AND key_id IN ({})",
            places(2, key_ids.len())
        );
        let values = [org_id.into()].into_iter().chain(key_ids.iter().map(Value::from));
        let names = self.rows(&sql, values, |record| Ok((record.text(0)?, record.text(1)?))).await?;
        Ok(names.into_iter().collect())
    }

    /// What the customized keys of an organization may do in its projects, as key, project and role.
    pub(crate) async fn grants(&self, org_id: &str) -> Result<Vec<(String, String, ProjectRole)>, Error> {
        let sql = "SELECT g.key_id, g.project_id, g.role FROM key_grants g \
            JOIN api_keys k ON k.key_id = g.key_id JOIN projects p ON p.project_id = g.project_id \
            WHERE k.org_id = $1 AND k.revoked_ms IS NULL AND p.removed_ms IS NULL \
            ORDER BY g.key_id, g.project_id LIMIT $2";
        self.rows(sql, [org_id.into(), GRANTS_MAX.into()], |record| {
            Ok((record.text(0)?, record.text(1)?, project_role(record, 2)?))
        })
        .await
    }

    /// What a customized key may do in which project.
    pub(crate) async fn key_roles(&self, key_id: &str) -> Result<BTreeMap<String, ProjectRole>, Error> {
        let sql = "SELECT g.project_id, g.role FROM key_grants g JOIN projects p ON p.project_id = g.project_id \
            WHERE g.key_id = $1 AND p.removed_ms IS NULL";
        let roles = self.rows(sql, [key_id.into()], |record| Ok((record.text(0)?, project_role(record, 1)?)));
        Ok(roles.await?.into_iter().collect())
    }

    /// Ends a key.
    pub(crate) async fn revoke_key(&self, key_id: &str) -> Result<(), Error> {
        let now = self.now_ms().await?;
        let sql = "UPDATE api_keys SET revoked_ms = $2 WHERE key_id = $1 AND revoked_ms IS NULL";
        self.change([Change::new(sql, [key_id.into(), now.into()])]).await.map(drop)
    }
}
