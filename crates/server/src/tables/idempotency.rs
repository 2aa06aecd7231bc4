//! What was asked for under a name of the caller's own, so that asking again does it once.

use vecferry_store::{Change, Error, ErrorKind};

use super::Tables;

/// Names are remembered so long.
pub(super) const REMEMBERED_MS: i64 = 24 * 60 * 60 * 1000;
/// A request that made nothing for so long is not under way any more: its process ended.
const UNDER_WAY_MS: i64 = 12 * 60 * 1000;

/// What became of an earlier request with the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// The same: it made this job.
    Job(String),
    /// The same, and it is under way.
    Unfinished,
    /// Another body.
    Another,
}

/// Whether a request is the first with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It is.
    First,
    /// It is not.
    Again(Answered),
}

impl Tables {
    /// Reserves a name for a request, and the job ID for what it makes.
    pub(crate) async fn begin_request(
        &self,
        (org_id, caller, name): (&str, &str, &str),
        body_hash: &str,
        job_id: &str,
    ) -> Result<Begun, Error> {
        let now = self.now_ms().await?;
        let reserved = self
            .change([
                // The rest is removed in the background; this one would stand in the way.
                Change::new(
                    "DELETE FROM idempotency WHERE org_id = $1 AND caller = $2 AND name = $3 AND at_ms < $4",
                    [org_id.into(), caller.into(), name.into(), now.saturating_sub(REMEMBERED_MS).into()],
                ),
                Change::new(
                    "INSERT INTO idempotency (org_id, caller, name, body_hash, job_id, at_ms) \
                     VALUES ($1, $2, $3, $4, $5, $6)",
                    [org_id.into(), caller.into(), name.into(), body_hash.into(), job_id.into(), now.into()],
                ),
            ])
            .await;
        match reserved {
            Ok(_) => return Ok(Begun::First),
            Err(error) if error.kind() == ErrorKind::Taken => {}
            Err(error) => return Err(error),
        }
        let sql = "SELECT i.body_hash, i.job_id, i.at_ms, \
            (SELECT COUNT(*) FROM migrations m WHERE m.job_id = i.job_id) \
            FROM idempotency i WHERE i.org_id = $1 AND i.caller = $2 AND i.name = $3";
        let row = self.row(sql, [org_id.into(), caller.into(), name.into()], |record| {
            Ok((record.text(0)?, record.text(1)?, record.integer(2)?, record.integer(3)?))
        });
        match row.await? {
            Some((hash, _, _, _)) if hash != body_hash => Ok(Begun::Again(Answered::Another)),
            Some((_, job_id, _, 1)) => Ok(Begun::Again(Answered::Job(job_id))),
            Some((_, left, at_ms, _)) if now.saturating_sub(at_ms) > UNDER_WAY_MS => {
                let sql = "UPDATE idempotency SET job_id = $5, at_ms = $6 \
                    WHERE org_id = $1 AND caller = $2 AND name = $3 AND job_id = $4";
                let values =
                    [org_id.into(), caller.into(), name.into(), left.into(), job_id.into(), now.into()];
                let is_first = self.change([Change::new(sql, values)]).await?.first() == Some(&1);
                Ok(if is_first { Begun::First } else { Begun::Again(Answered::Unfinished) })
            }
            Some(_) | None => Ok(Begun::Again(Answered::Unfinished)),
        }
    }

    /// Gives a name free again whose request made nothing.
    pub(crate) async fn drop_request(&self, (org_id, caller, name): (&str, &str, &str)) -> Result<(), Error> {
        let sql = "DELETE FROM idempotency WHERE org_id = $1 AND caller = $2 AND name = $3";
        self.change([Change::new(sql, [org_id.into(), caller.into(), name.into()])]).await.map(drop)
    }
}
