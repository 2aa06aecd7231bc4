//! What users may do and see, where authorization is on: as 2.3.5, 2.5.10 and 2.6.18 answered a user without privileges (the
//! last two agree), and as the lists of users with roles were seen to be filtered since 2.5. What neither shows of a user who is not
//! `root` or `admin` fails as loudly as an answer can.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use vecferry_milvus::wire::scan::fields;

use super::Version;
use super::access::{Access, GrantRow};
use super::calls::{Call, Outcome, Service};
use super::catalog::DB_DEFAULT;
use crate::denial::DeniedBy;

const USER_ROOT: &str = "root";
const PASSWORD_ROOT: &str = "Milvus";
const ROLE_ADMIN: &str = "admin";
const ROLE_PUBLIC: &str = "public";
const ANY: &str = "*";

const UNAUTHENTICATED: &str = "16";
const PERMISSION_DENIED: &str = "7";
const INTERNAL: &str = "13";

/// Calls that were answered, or carry nothing that could be denied (`AllocTimestamp`; `SelectUser` and `SelectGrant` are
/// looked at by what they ask for).
const FREE: [&str; 13] = [
    "AllocTimestamp",
    "Connect",
    "GetVersion",
    "CheckHealth",
    "GetMetrics",
    "ListDatabases",
    "ShowCollections",
    "DescribeCollection",
    "ListAliases",
    "DescribeIndex",
    "GetPersistentSegmentInfo",
    "GetQuerySegmentInfo",
    "GetReplicas",
];

/// Calls whose privilege is one on a collection, and the field of the request that names it.
const ON_COLLECTION: [(&str, u32); 16] = [
    ("ShowPartitions", 3),
    ("GetCollectionStatistics", 3),
    ("GetLoadState", 2),
    ("GetLoadingProgress", 2),
    ("Query", 3),
    ("Insert", 3),
    ("Upsert", 3),
    ("Delete", 3),
    ("Flush", 3),
    ("LoadCollection", 3),
    ("ReleaseCollection", 3),
    ("CreateIndex", 3),
    ("DropIndex", 3),
    ("CreateAlias", 3),
    ("CreatePartition", 3),
    ("DropPartition", 3),
];

/// Groups that every server has, as far as their privileges concern calls that are denied.
const GROUPS: [(&str, &[&str]); 3] = [
    ("CollectionReadOnly", &["Query", "GetLoadState", "ShowPartitions", "DescribeAlias", "GetStatistics"]),
    ("ClusterReadOnly", &["SelectOwnership"]),
    ("DatabaseReadOnly", &["DescribeDatabase"]),
];
/// Those that make collections visible.
const COLLECTION_GROUPS: [&str; 3] = ["CollectionReadOnly", "CollectionReadWrite", "CollectionAdmin"];

/// Who makes a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// May do and sees everything: `root`, `admin`, and anybody where nobody is asked.
    Anybody,
    /// A user with these roles.
    User { name: String, roles: BTreeSet<String> },
}

fn failed(grpc_status: &'static str, text: impl Into<String>) -> Outcome {
    Outcome::Failed { grpc_status, text: text.into() }
}

impl Access {
    /// With a user who can log in with a password.
    #[must_use]
    pub fn with_user(mut self, name: &str, password: &str, roles: &[&str]) -> Self {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        self.users.push((name.to_owned(), hash(password), roles));
        self
    }

    fn grants_of(&self, roles: &BTreeSet<String>, db: &str) -> impl Iterator<Item = &GrantRow> {
        self.grants
            .iter()
            .filter(move |grant| roles.contains(&grant.0) && (db == ANY || grant.4 == db || grant.4 == ANY))
    }

    fn includes(&self, granted: &str, privilege: &str) -> bool {
        let of_server =
            GROUPS.iter().find(|(name, _)| *name == granted).map(|(_, held)| held.contains(&privilege));
        let of_users = self.groups.iter().find(|(name, _)| name == granted);
        granted == privilege
            || of_server.unwrap_or(false)
            || of_users.is_some_and(|(_, held)| held.iter().any(|held| held == privilege))
    }

    /// Databases that somebody with these roles sees; none for all of them.
    fn visible_databases(&self, roles: &BTreeSet<String>) -> Option<BTreeSet<String>> {
        let seen: BTreeSet<_> = self.grants_of(roles, ANY).map(|grant| grant.4.clone()).collect();
        (!seen.contains(ANY)).then_some(seen)
    }

    /// The same of the collections of a database.
    fn visible_collections(&self, roles: &BTreeSet<String>, db: &str) -> Option<BTreeSet<String>> {
        let opens = |grant: &&GrantRow| {
            let (_, object, _, privilege, _) = grant;
            object == "Collection"
                || COLLECTION_GROUPS.contains(&privilege.as_str())
                || self.groups.iter().any(|(name, _)| name == privilege)
        };
        let seen: BTreeSet<_> =
            self.grants_of(roles, db).filter(opens).map(|grant| grant.2.clone()).collect();
        (!seen.contains(ANY)).then_some(seen)
    }
}

/// A hash as [`super::access`] makes them.
fn hash(password: &str) -> String {
    format!("hash of {}", BASE64.encode(password))
}

fn text_field(message: &[u8], number: u32) -> String {
    let found = fields(message).filter_map(Result::ok).find(|field| field.number == number);
    let bytes = found.and_then(|field| field.bytes().ok().map(<[u8]>::to_vec)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Service {
    /// Who makes a call, or what the call fails with.
    pub(super) fn caller(&self, call: &Call) -> Result<Caller, Outcome> {
        if !self.asks_for_users() || matches!(call.method.as_str(), "Connect" | "GetVersion") {
            return Ok(Caller::Anybody);
        }
        let unknown =
            || failed(UNAUTHENTICATED, "auth check failure, please check username and password are correct");
        let decoded = BASE64.decode(&call.authorization).ok().and_then(|token| String::from_utf8(token).ok());
        let (name, password) =
            decoded.as_deref().and_then(|token| token.split_once(':')).ok_or_else(unknown)?;
        if name == USER_ROOT {
            return if password == PASSWORD_ROOT { Ok(Caller::Anybody) } else { Err(unknown()) };
        }
        let access = self.access();
        let is_it =
            |(known, its_hash, _): &&super::access::Account| known == name && *its_hash == hash(password);
        let (.., roles) = access.users.iter().find(is_it).ok_or_else(unknown)?;
        if roles.iter().any(|role| role == ROLE_ADMIN) {
            return Ok(Caller::Anybody);
        }
        Ok(Caller::User { name: name.to_owned(), roles: roles.iter().cloned().collect() })
    }

    /// Whether somebody may make a call.
    pub(super) fn allowed(&self, caller: &Caller, call: &Call) -> Result<(), Outcome> {
        let Caller::User { name, roles } = caller else { return Ok(()) };
        let db = if call.db.is_empty() { DB_DEFAULT } else { &call.db };
        let words = DeniedBy::of(self.options().version);
        let denied = |privilege: &str| {
            let place = match words {
                DeniedBy::V2_3 => String::new(),
                DeniedBy::V2_5 => format!(" in the `{db}` database"),
            };
            let text = format!("Privilege{privilege}: permission deny to {name}{place}");
            failed(PERMISSION_DENIED, text)
        };
        let method = call.method.as_str();
        match method {
            // Everybody may ask for oneself, and for what one's own roles may do.
            "SelectUser" => {
                let asked = fields(&call.message).filter_map(Result::ok).find(|field| field.number == 2);
                let entity = asked.and_then(|field| field.bytes().ok().map(|bytes| text_field(bytes, 1)));
                return if entity.as_ref() == Some(name) { Ok(()) } else { Err(denied("SelectUser")) };
            }
            "SelectGrant" => {
                let entity = fields(&call.message).filter_map(Result::ok).find(|field| field.number == 2);
                let entity =
                    entity.and_then(|field| field.bytes().ok().map(<[u8]>::to_vec)).unwrap_or_default();
                let of = fields(&entity).filter_map(Result::ok).find(|field| field.number == 1);
                let role = of.and_then(|field| field.bytes().ok().map(|bytes| text_field(bytes, 1)));
                let role = role.unwrap_or_default();
                let is_own = role == ROLE_PUBLIC || roles.contains(&role);
                return if is_own { Ok(()) } else { Err(denied("SelectOwnership")) };
            }
            _ => {}
        }
        let Some(privilege) = words.privilege(method) else {
            // What a release does not have is no matter of privileges.
            if FREE.contains(&method) || !self.has_method(method) {
                return Ok(());
            }
            let text = format!(
                "the stand-in has no evidence of what {method} of a user without privileges is answered"
            );
            return Err(failed(INTERNAL, text));
        };
        let place = ON_COLLECTION.iter().find(|(known, _)| *known == method);
        let collection = place.map_or(ANY.to_owned(), |(_, place)| text_field(&call.message, *place));
        let access = self.access();
        let holds = |grant: &GrantRow| {
            (grant.2 == ANY || grant.2 == collection) && access.includes(&grant.3, privilege)
        };
        if access.grants_of(roles, db).any(holds) { Ok(()) } else { Err(denied(privilege)) }
    }

    /// The roles by which lists are filtered; 2.3.5 filters none.
    fn filters_lists_of<'a>(&self, caller: &'a Caller) -> Option<&'a BTreeSet<String>> {
        match caller {
            Caller::User { roles, .. } if self.options().version >= Version::V2_5 => Some(roles),
            Caller::User { .. } | Caller::Anybody => None,
        }
    }

    /// Whether somebody sees a database.
    pub(super) fn sees_database(&self, caller: &Caller, db: &str) -> bool {
        let Some(roles) = self.filters_lists_of(caller) else { return true };
        self.access().visible_databases(roles).is_none_or(|seen| seen.contains(db))
    }

    /// Whether somebody sees a collection of a database.
    pub(super) fn sees_collection(&self, caller: &Caller, db: &str, name: &str) -> bool {
        let Some(roles) = self.filters_lists_of(caller) else { return true };
        let db = if db.is_empty() { DB_DEFAULT } else { db };
        self.access().visible_collections(roles, db).is_none_or(|seen| seen.contains(name))
    }
}

/// Releases whose answers to a user without privileges were recorded.
pub(super) fn is_known(version: Version) -> bool {
    matches!(version, Version::V2_3 | Version::V2_5 | Version::V2_6)
}
