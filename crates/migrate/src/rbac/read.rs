//! Reading all of it from a server.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use vecferry_milvus::rbac::{ANY, Grant, Rbac};
use vecferry_milvus::{Client, CollectionName, Error, ErrorKind};

/// Calls under way at once: there is one for each role and database.
const CALLS_PARALLEL: usize = 8;

/// Everything that says who may do what on a server, in these databases and in all.
pub(super) async fn all(client: &Client, dbs: impl IntoIterator<Item = String>) -> Result<Rbac, Error> {
    let roles = client.roles().await?;
    let mut dbs: BTreeSet<_> = dbs.into_iter().collect();
    dbs.insert(ANY.to_owned());
    Ok(Rbac {
        grants: grants(client, &roles, &dbs).await?,
        users: client.users().await?,
        groups: client.privilege_groups().await?,
        roles,
    })
}

/// What roles may do. A server answers for one database at a time, and adds what holds for all.
pub(super) async fn grants(
    client: &Client,
    roles: &BTreeSet<String>,
    dbs: &BTreeSet<String>,
) -> Result<BTreeSet<Grant>, Error> {
    let pairs = roles.iter().flat_map(|role| dbs.iter().map(move |db| (role.clone(), db.clone())));
    let answers: Vec<_> = pairs.map(|(role, db)| async move { client.grants(&role, &db).await }).collect();
    stream::iter(answers)
        .buffer_unordered(CALLS_PARALLEL)
        .try_fold(BTreeSet::new(), |mut all, found| async move {
            all.extend(found);
            Ok(all)
        })
        .await
}

/// The collections of some databases.
pub(super) async fn collections(
    client: &Client,
    dbs: &BTreeSet<String>,
) -> Result<BTreeSet<CollectionName>, Error> {
    let mut found = BTreeSet::new();
    for db in dbs {
        match client.collections(db).await {
            Ok(names) => found.extend(names.into_iter().map(|name| CollectionName::new(db, name))),
            // It went between the two calls.
            Err(error) if error.kind() == ErrorKind::DatabaseNotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
