//! Sessions, and links that begin one.

use vecferry_store::{Change, Error};

use super::Tables;

/// A session ends so long after it began.
const SESSION_MS: i64 = 12 * 60 * 60 * 1000;
/// A link can be used so long.
const LINK_MS: i64 = 24 * 60 * 60 * 1000;

/// A link with which somebody can sign in once.
pub(super) fn added_link(hash: &str, user_id: &str, now: i64) -> Change {
    Change::new(
        "INSERT INTO links (hash, user_id, expires_ms) VALUES ($1, $2, $3)",
        [hash.into(), user_id.into(), now.saturating_add(LINK_MS).into()],
    )
}

impl Tables {
    /// Begins a session. Those that are over are removed.
    pub(crate) async fn add_session(&self, hash: &str, user_id: &str, org_id: &str) -> Result<i64, Error> {
        let now = self.now_ms().await?;
        let expires_ms = now.saturating_add(SESSION_MS);
        self.change([
            Change::new("DELETE FROM sessions WHERE expires_ms < $1", [now.into()]),
            Change::new(
                "INSERT INTO sessions (hash, user_id, org_id, created_ms, expires_ms) VALUES ($1, $2, $3, $4, $5)",
                [hash.into(), user_id.into(), org_id.into(), now.into(), expires_ms.into()],
            ),
        ])
        .await?;
        Ok(expires_ms)
    }

    /// The user and the organization of a session that is not over.
    pub(crate) async fn session(&self, hash: &str) -> Result<Option<(String, String)>, Error> {
        let now = self.now_ms().await?;
        let sql = "SELECT user_id, org_id FROM sessions WHERE hash = $1 AND expires_ms > $2";
        self.row(sql, [hash.into(), now.into()], |record| Ok((record.text(0)?, record.text(1)?))).await
    }

    /// Ends a session.
    pub(crate) async fn end_session(&self, hash: &str) -> Result<(), Error> {
        self.change([Change::new("DELETE FROM sessions WHERE hash = $1", [hash.into()])]).await.map(drop)
    }

    /// Makes a link with which somebody can sign in once.
    pub(crate) async fn add_link(&self, hash: &str, user_id: &str) -> Result<(), Error> {
        let now = self.now_ms().await?;
        self.change([
            Change::new("DELETE FROM links WHERE expires_ms < $1", [now.into()]),
            added_link(hash, user_id, now),
        ])
        .await
        .map(drop)
    }

    /// Uses a link up, and tells whose it was.
    pub(crate) async fn use_link(&self, hash: &str) -> Result<Option<String>, Error> {
        let now = self.now_ms().await?;
        let used = self
            .change([Change::new(
                "UPDATE links SET used_ms = $2 WHERE hash = $1 AND used_ms IS NULL AND expires_ms > $2",
                [hash.into(), now.into()],
            )])
            .await?;
        if used.first() != Some(&1) {
            return Ok(None);
        }
        let sql = "SELECT user_id FROM links WHERE hash = $1";
        self.row(sql, [hash.into()], |record| record.text(0)).await
    }
}
