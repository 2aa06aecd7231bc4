//! Migrations that are prepared in the console and not started yet.

use vecferry_store::{Change, Error, Record};

use super::{Tables, new_id};

/// A draft that nobody changed for so long is removed.
const KEPT_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// Drafts of one person in an organization; a new one takes the place of the oldest.
const PER_PERSON_MAX: i64 = 20;
/// A start that came to nothing for so long is not under way any more: its process ended.
const STARTING_MS: i64 = 12 * 60 * 1000;

/// A draft to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewDraft {
    pub(crate) org_id: String,
    pub(crate) project_id: String,
    pub(crate) created_by: String,
    pub(crate) content: String,
}

/// The last check of a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckRun {
    pub(crate) run: String,
    /// What was checked, by its hash.
    pub(crate) of: String,
    pub(crate) begun_ms: i64,
    /// When it ended, and what it came to.
    pub(crate) ended: Option<(i64, String)>,
}

/// A draft as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DraftRecord {
    pub(crate) draft_id: String,
    pub(crate) project_id: String,
    pub(crate) created_by: String,
    /// What was chosen so far.
    pub(crate) content: String,
    /// Access to a source elsewhere, encrypted.
    pub(crate) secret: Option<Vec<u8>>,
    pub(crate) check: Option<CheckRun>,
}

const COLUMNS: &str = "draft_id, project_id, created_by, content, secret, check_run, check_of, check_begun_ms, \
    check_ended_ms, check_result";

fn read(record: &Record) -> Result<DraftRecord, Error> {
    let check = match record.text_or_none(5)? {
        None => None,
        Some(run) => Some(CheckRun {
            run,
            of: record.text(6)?,
            begun_ms: record.integer(7)?,
            ended: record.integer_or_none(8)?.zip(record.text_or_none(9)?),
        }),
    };
    Ok(DraftRecord {
        draft_id: record.text(0)?,
        project_id: record.text(1)?,
        created_by: record.text(2)?,
        content: record.text(3)?,
        secret: record.bytes_or_none(4)?,
        check,
    })
}

/// The purpose that the access of a draft's source is encrypted for.
pub(crate) fn draft_purpose(draft_id: &str) -> String {
    format!("draft/{draft_id}/source")
}

impl Tables {
    /// Makes a draft, and tells its ID. One of the same person that holds the same and nothing more is taken instead, so that
    /// a page that is opened again leaves none behind.
    pub(crate) async fn add_draft(&self, draft: NewDraft) -> Result<String, Error> {
        let now = self.now_ms().await?;
        let sql = "SELECT draft_id FROM drafts WHERE org_id = $1 AND created_by = $2 AND project_id = $3 AND content = $4 \
            AND secret IS NULL ORDER BY draft_id DESC LIMIT 1";
        let values = [
            (&draft.org_id).into(),
            (&draft.created_by).into(),
            (&draft.project_id).into(),
            (&draft.content).into(),
        ];
        if let Some(draft_id) = self.row(sql, values, |record| record.text(0)).await? {
            return Ok(draft_id);
        }
        let draft_id = new_id("draft");
        let values = [
            (&draft_id).into(),
            (&draft.org_id).into(),
            draft.project_id.into(),
            (&draft.created_by).into(),
            draft.content.into(),
            now.into(),
        ];
        let oldest = "DELETE FROM drafts WHERE org_id = $1 AND created_by = $2 AND draft_id NOT IN \
            (SELECT draft_id FROM drafts WHERE org_id = $1 AND created_by = $2 ORDER BY draft_id DESC LIMIT $3)";
        self.change([
            Change::new(
                "INSERT INTO drafts (draft_id, org_id, project_id, created_by, content, changed_ms) \
                 VALUES ($1, $2, $3, $4, $5, $6)",
                values,
            ),
            Change::new(oldest, [draft.org_id.into(), draft.created_by.into(), PER_PERSON_MAX.into()]),
        ])
        .await?;
        Ok(draft_id)
    }

    /// A draft of a project, for the one who made it: it may name clusters that others do not see, and holds a credential.
    pub(crate) async fn draft(
        &self,
        project_id: &str,
        draft_id: &str,
        created_by: &str,
    ) -> Result<Option<DraftRecord>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM drafts WHERE draft_id = $1 AND project_id = $2 AND created_by = $3"
        );
        self.row(&sql, [draft_id.into(), project_id.into(), created_by.into()], read).await
    }

    /// Records another content, where it is still the one that was read: otherwise [`vecferry_store::ErrorKind::Unmet`].
    pub(crate) async fn change_draft(&self, draft: &DraftRecord, content: &str) -> Result<(), Error> {
        let sql = "UPDATE drafts SET content = $3, secret = $4, changed_ms = $5 WHERE draft_id = $1 AND content = $2";
        let values = [
            (&draft.draft_id).into(),
            (&draft.content).into(),
            content.into(),
            draft.secret.clone().into(),
            self.now_ms().await?.into(),
        ];
        self.change([Change::new(sql, values).exactly(1)]).await.map(drop)
    }

    /// Records that a check of a draft began, in the place of the one before. Tells its ID.
    pub(crate) async fn begin_check(&self, draft_id: &str, of: &str) -> Result<String, Error> {
        let now = self.now_ms().await?;
        let run = new_id("check");
        let sql = "UPDATE drafts SET check_run = $2, check_of = $3, check_begun_ms = $4, check_ended_ms = NULL, \
            check_result = NULL, changed_ms = $4 WHERE draft_id = $1";
        let values = [draft_id.into(), (&run).into(), of.into(), now.into()];
        self.change([Change::new(sql, values).exactly(1)]).await?;
        Ok(run)
    }

    /// Whether a check of a draft is the last one that was asked for.
    pub(crate) async fn is_current_check(&self, draft_id: &str, run: &str) -> Result<bool, Error> {
        let sql = "SELECT draft_id FROM drafts WHERE draft_id = $1 AND check_run = $2";
        let found = self.row(sql, [draft_id.into(), run.into()], |record| record.text(0)).await?;
        Ok(found.is_some())
    }

    /// Records what a check came to, if no other one began meanwhile.
    pub(crate) async fn end_check(&self, draft_id: &str, run: &str, result: &str) -> Result<(), Error> {
        let now = self.now_ms().await?;
        let sql =
            "UPDATE drafts SET check_ended_ms = $3, check_result = $4 WHERE draft_id = $1 AND check_run = $2";
        let values = [draft_id.into(), run.into(), now.into(), result.into()];
        self.change([Change::new(sql, values)]).await.map(drop)
    }

    /// Reserves a draft for one start, which may check for minutes. Tells whether none is under way.
    pub(crate) async fn begin_start(&self, draft_id: &str, actor: &str) -> Result<bool, Error> {
        let now = self.now_ms().await?;
        let sql = "UPDATE drafts SET starting_by = $2, starting_ms = $3 WHERE draft_id = $1 \
            AND (starting_by IS NULL OR starting_ms < $4)";
        let values = [draft_id.into(), actor.into(), now.into(), now.saturating_sub(STARTING_MS).into()];
        Ok(self.change([Change::new(sql, values)]).await?.first() == Some(&1))
    }

    /// Gives a draft free again whose start was refused.
    pub(crate) async fn drop_start(&self, draft_id: &str) -> Result<(), Error> {
        let sql = "UPDATE drafts SET starting_by = NULL, starting_ms = NULL WHERE draft_id = $1";
        self.change([Change::new(sql, [draft_id.into()])]).await.map(drop)
    }

    /// Removes a draft with its secret.
    pub(crate) async fn remove_draft(&self, draft_id: &str) -> Result<(), Error> {
        self.change([removed(draft_id)]).await.map(drop)
    }

    /// The job that a draft of a project became, for as long as the names of requests are remembered.
    pub(crate) async fn job_of_draft(
        &self,
        (org_id, project_id): (&str, &str),
        name: &str,
    ) -> Result<Option<String>, Error> {
        let sql = "SELECT m.job_id FROM idempotency i JOIN migrations m ON m.job_id = i.job_id \
            WHERE i.org_id = $1 AND i.name = $2 AND m.project_id = $3";
        self.row(sql, [org_id.into(), name.into(), project_id.into()], |record| record.text(0)).await
    }

    /// Removes drafts that nobody changed for long, not more than some.
    pub(crate) async fn forget_drafts(&self, now_ms: i64, rows: i64) -> Result<u64, Error> {
        let before = now_ms.saturating_sub(KEPT_MS);
        let sql = "DELETE FROM drafts WHERE draft_id IN \
            (SELECT draft_id FROM drafts WHERE changed_ms < $1 ORDER BY changed_ms LIMIT $2)";
        let changed = self.change([Change::new(sql, [before.into(), rows.into()])]).await?;
        Ok(changed.first().copied().unwrap_or(0))
    }
}

/// That a draft is removed, with its secret.
pub(super) fn removed(draft_id: &str) -> Change {
    Change::new("DELETE FROM drafts WHERE draft_id = $1", [draft_id.into()])
}

#[cfg(test)]
mod tests {
    use vecferry_store::ErrorKind;

    use super::super::sealed::Sealed;
    use super::super::webhooks::tests::on_both;
    use super::*;

    fn draft(org_id: &str, content: &str) -> NewDraft {
        NewDraft {
            org_id: org_id.to_owned(),
            project_id: "project".into(),
            created_by: "user".into(),
            content: content.to_owned(),
        }
    }

    #[tokio::test]
    async fn drafts_are_bounded_and_forgotten() {
        on_both(drafts_are_bounded_and_forgotten_on).await;
    }

    async fn drafts_are_bounded_and_forgotten_on(tables: Tables, org_id: String) {
        let first = tables.add_draft(draft(&org_id, "{}")).await.unwrap();
        assert_eq!(tables.add_draft(draft(&org_id, "{}")).await.unwrap(), first, "it holds nothing yet");
        for number in 0..PER_PERSON_MAX {
            tables.add_draft(draft(&org_id, &number.to_string())).await.unwrap();
        }
        assert_eq!(tables.draft("project", &first, "user").await.unwrap(), None, "the oldest made room");
        let now = tables.now_ms().await.unwrap();
        assert_eq!(tables.forget_drafts(now, 500).await.unwrap(), 0);
        assert_eq!(tables.forget_drafts(now + KEPT_MS + 1000, 500).await.unwrap(), PER_PERSON_MAX as u64);
    }

    #[tokio::test]
    async fn two_tabs_do_not_overwrite_each_other() {
        on_both(two_tabs_do_not_overwrite_each_other_on).await;
    }

    async fn two_tabs_do_not_overwrite_each_other_on(tables: Tables, org_id: String) {
        let id = tables.add_draft(draft(&org_id, "{}")).await.unwrap();
        let mut seen = tables.draft("project", &id, "user").await.unwrap().unwrap();
        assert_eq!(tables.draft("another", &id, "user").await.unwrap(), None);
        assert_eq!(tables.draft("project", &id, "another").await.unwrap(), None);
        seen.secret = Some(vec![1, 2]);
        tables.change_draft(&seen, "1").await.unwrap();
        assert_eq!(tables.change_draft(&seen, "2").await.unwrap_err().kind(), ErrorKind::Unmet);
        let sealed = tables.sealed(Sealed::Drafts, "", 10).await.unwrap();
        assert_eq!(sealed, [(id.clone(), vec![1, 2])]);
        tables.reseal(Sealed::Drafts, &id, vec![9], vec![3]).await.unwrap();
        let run = tables.begin_check(&id, "a").await.unwrap();
        assert!(tables.is_current_check(&id, &run).await.unwrap());
        let later = tables.begin_check(&id, "b").await.unwrap();
        assert!(!tables.is_current_check(&id, &run).await.unwrap());
        tables.end_check(&id, &run, "late").await.unwrap();
        let now = tables.draft("project", &id, "user").await.unwrap().unwrap();
        assert_eq!((now.content.as_str(), now.secret.as_deref()), ("1", Some(&[1, 2][..])));
        assert_eq!(now.check.unwrap().ended, None, "that was another one");
        tables.end_check(&id, &later, "{}").await.unwrap();
        let check = tables.draft("project", &id, "user").await.unwrap().unwrap().check.unwrap();
        assert_eq!((check.of.as_str(), check.ended.unwrap().1.as_str()), ("b", "{}"));
    }

    #[tokio::test]
    async fn one_person_starts_a_draft() {
        on_both(one_person_starts_a_draft_on).await;
    }

    async fn one_person_starts_a_draft_on(tables: Tables, org_id: String) {
        let id = tables.add_draft(draft(&org_id, "{}")).await.unwrap();
        assert!(tables.begin_start(&id, "user").await.unwrap());
        assert!(!tables.begin_start(&id, "user").await.unwrap(), "it is under way");
        assert!(!tables.begin_start(&id, "another").await.unwrap());
        tables.drop_start(&id).await.unwrap();
        assert!(tables.begin_start(&id, "another").await.unwrap());
        tables.remove_draft(&id).await.unwrap();
        assert!(!tables.begin_start(&id, "user").await.unwrap());
        assert_eq!(tables.job_of_draft((&org_id, "project"), "console-draft").await.unwrap(), None);
    }
}
