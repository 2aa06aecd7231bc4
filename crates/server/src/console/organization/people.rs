//! Names of those whom records name by their IDs.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::Refusal;
use crate::console::frame::Visit;

/// Names of users, keys and projects by their IDs.
#[derive(Debug, Default)]
pub(super) struct People(BTreeMap<String, String>);

impl People {
    /// Those with some of these IDs; what is the ID of something else is passed over.
    pub(super) async fn of(visit: &Visit, ids: &[&str]) -> Result<Self, Refusal> {
        let ids: BTreeSet<&str> = ids.iter().copied().collect();
        let with = |prefix: &str| -> Vec<String> {
            ids.iter().filter(|id| id.starts_with(prefix)).map(|id| (*id).to_owned()).collect()
        };
        let tables = visit.service.tables();
        let mut names = tables.user_names(&visit.caller.org_id, &with("user-")).await?;
        names.extend(tables.key_names(&visit.caller.org_id, &with("key-")).await?);
        let projects = ids.iter().copied().filter(|id| id.starts_with("proj-"));
        names.extend(tables.project_names(&visit.caller.org_id, projects).await?);
        Ok(Self(names))
    }

    /// Their name, where it is known.
    pub(super) fn known(&self, id: &str) -> Option<&str> {
        self.0.get(id).map(String::as_str)
    }

    /// Their name, or else the ID.
    pub(super) fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.known(id).unwrap_or(id)
    }
}
