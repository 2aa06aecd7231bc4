//! What a user sees. Since 2.4 servers leave out of their lists of databases and collections what the user was granted
//! nothing on, without a word: whether a list is whole shows only in what the user may do.

use std::collections::BTreeSet;

use crate::client::Client;
use crate::error::{Error, ErrorKind};
use crate::rbac::{ANY, Grant};
use crate::version::Flavor;

/// The first release whose lists may be short; 2.3.5 lists all collections to everybody.
const FILTERS_SINCE: (u32, u32) = (2, 4);
/// Sees everything, whatever is granted.
const ROLE_ADMIN: &str = "admin";
/// Sees everything without any role, unless the server is set to bind it to its roles as well.
const USER_ROOT: &str = "root";
const OBJECT_COLLECTION: &str = "Collection";
const OBJECT_GLOBAL: &str = "Global";
/// Privilege and groups that are recorded as granted on `Global` and still open collections.
const PRIVILEGE_ALL: &str = "All";
const COLLECTION_GROUPS: [&str; 3] = ["CollectionReadOnly", "CollectionReadWrite", "CollectionAdmin"];

/// What a user sees of the databases and collections of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The user of the connection; absent for an API key and for a connection without credentials.
    pub user: Option<String>,
    seen: Seen,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Everything,
    Granted(Granted),
    Unknown(Doubt),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Granted {
    roles: BTreeSet<String>,
    grants: BTreeSet<Grant>,
    /// Those that the user sees.
    databases: Vec<String>,
}

/// Why it can't be shown that a user sees everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// An API key names no user whose roles could be asked for.
    ApiKey,
    /// The server names no roles of the user.
    NoRoles,
    /// The server does not let the user ask, with its words.
    NotTold {
        /// The call.
        call: &'static str,
        /// The server's words.
        message: String,
        /// The server's error number.
        code: i32,
    },
    /// These roles open a part only.
    Roles(BTreeSet<String>),
}

impl Sight {
    /// Why it can't be shown that the user sees every collection of every database; none if it is shown.
    pub fn doubt_of_everything(&self) -> Option<Doubt> {
        self.doubt(|granted| {
            // Any grant in all databases makes all of them visible, and those made later as well.
            granted.grants.iter().any(|grant| grant.db == ANY)
                && granted.databases.iter().all(|db| granted.opens(db))
        })
    }

    /// Why it can't be shown that the user sees every collection of a database; none if it is shown.
    pub fn doubt_of_database(&self, db: &str) -> Option<Doubt> {
        self.doubt(|granted| granted.opens(db))
    }

    fn doubt(&self, is_whole: impl FnOnce(&Granted) -> bool) -> Option<Doubt> {
        match &self.seen {
            Seen::Everything => None,
            Seen::Granted(granted) if is_whole(granted) => None,
            Seen::Granted(granted) => Some(Doubt::Roles(granted.roles.clone())),
            Seen::Unknown(doubt) => Some(doubt.clone()),
        }
    }
}

impl Granted {
    /// Whether every collection of a database is visible, by the rule of the servers (`showCollectionTask`). Where they may
    /// be more generous (groups that users made), this says no.
    fn opens(&self, db: &str) -> bool {
        self.grants.iter().any(|grant| {
            let on_every_collection = grant.object_name == ANY
                && (grant.object == OBJECT_COLLECTION
                    || COLLECTION_GROUPS.contains(&grant.privilege.as_str()));
            let on_everything = grant.object == OBJECT_GLOBAL && grant.privilege == PRIVILEGE_ALL;
            (grant.db == db || grant.db == ANY) && (on_every_collection || on_everything)
        })
    }
}

impl Client {
    /// Finds out what the user of this connection sees.
    ///
    /// # Errors
    /// The server can't be asked now. That it does not answer this user is a [`Doubt`].
    pub async fn sight(&self) -> Result<Sight, Error> {
        let user = self.endpoint().user().map(str::to_owned);
        let seen = self.seen(user.as_deref()).await?;
        Ok(Sight { user, seen })
    }

    async fn seen(&self, user: Option<&str>) -> Result<Seen, Error> {
        let version = self.version();
        let filters = version.release.is_none_or(|release| release >= FILTERS_SINCE);
        if version.flavor != Flavor::Milvus || !filters || self.asks_nobody().await? {
            return Ok(Seen::Everything);
        }
        let Some(user) = user else { return Ok(Seen::Unknown(Doubt::ApiKey)) };
        let granted = async {
            let Some(roles) = self.roles_of(user).await? else { return Ok(None) };
            let databases = self.databases().await?;
            let mut grants = BTreeSet::new();
            for role in roles.iter().filter(|role| *role != ROLE_ADMIN) {
                for db in databases.iter().map(String::as_str).chain([ANY]) {
                    grants.extend(self.grants(role, db).await?);
                }
            }
            Ok::<_, Error>(Some(Granted { roles, grants, databases }))
        };
        let granted = match granted.await {
            Ok(Some(granted)) => granted,
            Ok(None) => return Ok(Seen::Unknown(Doubt::NoRoles)),
            Err(error) => return not_told(error).map(Seen::Unknown),
        };
        if granted.roles.contains(ROLE_ADMIN) || user == USER_ROOT && self.is_above_roles(&granted).await? {
            return Ok(Seen::Everything);
        }
        Ok(Seen::Granted(granted))
    }

    /// Whether `root` may do what none of its roles allows: then it needs none. Where it is bound to its roles like any other
    /// user, it would see no database without one.
    async fn is_above_roles(&self, granted: &Granted) -> Result<bool, Error> {
        if granted.databases.is_empty()
            || granted.grants.iter().any(|grant| grant.object != OBJECT_COLLECTION)
        {
            return Ok(false);
        }
        match self.roles().await {
            Ok(_) => Ok(true),
            Err(error) => not_told(error).map(|_| false),
        }
    }
}

/// The answer of a server that does not tell this user; any other failure is one.
fn not_told(error: Error) -> Result<Doubt, Error> {
    let is_answer =
        matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported | ErrorKind::Rejected);
    if !is_answer {
        return Err(error);
    }
    let (call, message, code) = (error.call(), error.message().to_owned(), error.server_code());
    Ok(Doubt::NotTold { call, message, code })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(grants: &[(&str, &str, &str, &str)], databases: &[&str]) -> Sight {
        let grant = |(object, name, privilege, db): &(&str, &str, &str, &str)| Grant {
            role: "r".to_owned(),
            object: (*object).to_owned(),
            object_name: (*name).to_owned(),
            privilege: (*privilege).to_owned(),
            db: (*db).to_owned(),
        };
        let granted = Granted {
            roles: ["r".to_owned()].into(),
            grants: grants.iter().map(grant).collect(),
            databases: databases.iter().map(|db| (*db).to_owned()).collect(),
        };
        Sight { user: Some("u".to_owned()), seen: Seen::Granted(granted) }
    }

    #[test]
    fn only_grants_on_every_collection_show_that_all_are_seen() {
        for (grants, of_default, of_everything) in [
            (&[][..], false, false),
            (&[("Collection", "*", "Query", "default")], true, false),
            (&[("Collection", "*", "Query", "*")], true, true),
            (&[("Collection", "books", "Query", "*")], false, false),
            (&[("Global", "*", "CollectionReadOnly", "default")], true, false),
            (&[("Global", "*", "CollectionReadOnly", "*")], true, true),
            // As `grant_privilege_v2` and `grant_privilege` of 2.5.10 and 2.6.18 record what opens no collection.
            (&[("Global", "*", "ClusterReadOnly", "*")], false, false),
            (&[("Global", "*", "DescribeCollection", "default")], false, false),
            (&[("Global", "books", "my_group", "default")], false, false),
            (&[("Global", "*", "All", "*")], true, true),
            (&[("Global", "*", "ClusterReadOnly", "*"), ("Collection", "*", "Query", "default")], true, true),
        ] {
            let sight = sight(grants, &["default"]);
            assert_eq!(sight.doubt_of_database("default").is_none(), of_default, "{grants:?}");
            assert_eq!(sight.doubt_of_everything().is_none(), of_everything, "{grants:?}");
        }
        let every_database = ("Global", "*", "ClusterReadOnly", "*");
        let two = sight(&[every_database, ("Collection", "*", "Query", "default")], &["default", "shop"]);
        assert_eq!(two.doubt_of_everything(), Some(Doubt::Roles(["r".to_owned()].into())));
    }
}
