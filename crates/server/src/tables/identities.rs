//! Who is who at an identity provider. An e-mail address names somebody the first time only: later it may be another
//! person's, while a provider gives a subject to one person for ever.

use vecferry_store::{Change, Error};

use super::members::added_member;
use super::users::added_user;
use super::{Tables, new_id};
use crate::access::OrganizationRole;

fn added_identity((issuer, subject): (&str, &str), user_id: &str, now: i64) -> Change {
    Change::new(
        "INSERT INTO identities (issuer, subject, user_id, created_ms) VALUES ($1, $2, $3, $4)",
        [issuer.into(), subject.into(), user_id.into(), now.into()],
    )
}

impl Tables {
    /// The user that an identity belongs to.
    pub(crate) async fn user_of_identity(
        &self,
        (issuer, subject): (&str, &str),
    ) -> Result<Option<String>, Error> {
        let sql = "SELECT user_id FROM identities WHERE issuer = $1 AND subject = $2";
        self.row(sql, [issuer.into(), subject.into()], |record| record.text(0)).await
    }

    /// Gives a user an identity. One that is another user's, and a second one of the same issuer, is
    /// [`vecferry_store::ErrorKind::Taken`].
    pub(crate) async fn add_identity(&self, identity: (&str, &str), user_id: &str) -> Result<(), Error> {
        let now = self.now_ms().await?;
        self.change([added_identity(identity, user_id, now)]).await.map(drop)
    }

    /// Records a person with an identity, who is a member of an organization from now on.
    pub(crate) async fn add_member_by_identity(
        &self,
        org_id: &str,
        person: (&str, &str),
        identity: (&str, &str),
    ) -> Result<String, Error> {
        let (user_id, now) = (new_id("user"), self.now_ms().await?);
        self.change([
            added_user(&user_id, person, now),
            added_member(org_id, &user_id, OrganizationRole::Member, now),
            added_identity(identity, &user_id, now),
        ])
        .await?;
        Ok(user_id)
    }
}
