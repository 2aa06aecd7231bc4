//! Everything that is recorded encrypted, for another key.

use vecferry_store::{Change, Error};

use super::{Tables, draft_purpose, source_purpose, token_purpose, webhook_purpose};

/// What is recorded encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sealed {
    /// Credentials of clusters.
    Clusters,
    /// Access to sources of jobs.
    Jobs,
    /// Access to sources of drafts.
    Drafts,
    /// Secrets of webhooks.
    Webhooks,
}

impl Sealed {
    /// All of it.
    pub(crate) const ALL: [Self; 4] = [Self::Clusters, Self::Jobs, Self::Drafts, Self::Webhooks];

    /// Its table, the column of the ID and that of the secret.
    fn place(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Clusters => ("clusters", "cluster_id", "token"),
            Self::Jobs => ("migrations", "job_id", "source_secret"),
            Self::Drafts => ("drafts", "draft_id", "secret"),
            Self::Webhooks => ("webhooks", "webhook_id", "secret"),
        }
    }

    /// What the secret of one is encrypted for.
    pub(crate) fn purpose(self, id: &str) -> String {
        match self {
            Self::Clusters => token_purpose(id),
            Self::Jobs => source_purpose(id),
            Self::Drafts => draft_purpose(id),
            Self::Webhooks => webhook_purpose(id),
        }
    }
}

impl Tables {
    /// Encrypted secrets behind one of them: IDs and what is encrypted.
    pub(crate) async fn sealed(
        &self,
        what: Sealed,
        after: &str,
        rows: i64,
    ) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let (table, id, secret) = what.place();
        let sql = format!(
            "SELECT {id}, {secret} FROM {table} WHERE {secret} IS NOT NULL AND {id} > $1 ORDER BY {id} LIMIT $2"
        );
        self.rows(&sql, [after.into(), rows.into()], |record| Ok((record.text(0)?, record.bytes(1)?))).await
    }

    /// Replaces an encrypted secret, if nobody else did meanwhile.
    pub(crate) async fn reseal(
        &self,
        what: Sealed,
        of: &str,
        old: Vec<u8>,
        new: Vec<u8>,
    ) -> Result<(), Error> {
        let (table, id, secret) = what.place();
        let sql = format!("UPDATE {table} SET {secret} = $3 WHERE {id} = $1 AND {secret} = $2");
        self.change([Change::new(sql, [of.into(), old.into(), new.into()])]).await.map(drop)
    }
}
