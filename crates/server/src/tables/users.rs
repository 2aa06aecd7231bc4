//! People.

use std::collections::BTreeMap;

use vecferry_store::{Change, Error, Record, Value};

use super::{Tables, places};

/// A person as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UserRecord {
    pub(crate) user_id: String,
    /// In lower case.
    pub(crate) email: String,
    pub(crate) name: String,
    /// The hash of the password; none before one was set.
    pub(crate) password: Option<String>,
}

const COLUMNS: &str = "user_id, email, name, password";

fn read(record: &Record) -> Result<UserRecord, Error> {
    Ok(UserRecord {
        user_id: record.text(0)?,
        email: record.text(1)?,
        name: record.text(2)?,
        password: record.text_or_none(3)?,
    })
}

/// A person without a password.
pub(super) fn added_user(user_id: &str, (email, name): (&str, &str), now: i64) -> Change {
    let sql = "INSERT INTO users (user_id, email, name, created_ms) VALUES ($1, $2, $3, $4)";
    Change::new(sql, [user_id.into(), email.to_lowercase().into(), name.into(), now.into()])
}

impl Tables {
    /// The person with an address.
    pub(crate) async fn user_by_email(&self, email: &str) -> Result<Option<UserRecord>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM users WHERE email = $1");
        self.row(&sql, [email.to_lowercase().into()], read).await
    }

    /// The names of people by their IDs. Only those who are members of an organization, or did something in it, are among
    /// them.
    pub(crate) async fn user_names(
        &self,
        org_id: &str,
        user_ids: &[String],
    ) -> Result<BTreeMap<String, String>, Error> {
        if user_ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let sql = format!(
            "SELECT user_id, name FROM users u WHERE user_id IN ({}) AND (EXISTS (SELECT 1 FROM members m \
             WHERE m.org_id = $1 AND m.user_id = u.user_id) OR EXISTS (SELECT 1 FROM audit a \
             WHERE a.org_id = $1 AND a.actor = u.user_id))",
            places(2, user_ids.len())
        );
        let values = [Value::from(org_id)].into_iter().chain(user_ids.iter().map(Value::from));
        let names = self.rows(&sql, values, |record| Ok((record.text(0)?, record.text(1)?))).await?;
        Ok(names.into_iter().collect())
    }

    /// A person.
    pub(crate) async fn user(&self, user_id: &str) -> Result<Option<UserRecord>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM users WHERE user_id = $1");
        self.row(&sql, [user_id.into()], read).await
    }

    /// Sets name and address. An address that somebody else has is [`vecferry_store::ErrorKind::Taken`].
    pub(crate) async fn change_user(&self, user_id: &str, email: &str, name: &str) -> Result<(), Error> {
        let sql = "UPDATE users SET email = $2, name = $3 WHERE user_id = $1";
        let values = [user_id.into(), email.to_lowercase().into(), name.into()];
        self.change([Change::new(sql, values).exactly(1)]).await.map(drop)
    }

    /// Sets a password and ends all sessions of its owner but one.
    pub(crate) async fn set_password(
        &self,
        user_id: &str,
        password: &str,
        kept_session: &str,
    ) -> Result<(), Error> {
        self.change([
            Change::new(
                "UPDATE users SET password = $2 WHERE user_id = $1",
                [user_id.into(), password.into()],
            )
            .exactly(1),
            Change::new(
                "DELETE FROM sessions WHERE user_id = $1 AND hash <> $2",
                [user_id.into(), kept_session.into()],
            ),
        ])
        .await
        .map(drop)
    }
}
