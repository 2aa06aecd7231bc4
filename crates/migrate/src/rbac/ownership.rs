//! Which objects are the job's own, as the store says.

use std::collections::BTreeMap;

use serde::Serialize;
use vecferry_milvus::rbac::Grant;
use vecferry_milvus::{Client, Error, ErrorKind, Secret};
use vecferry_store::{Attempt, JobId, Store};

use super::{Membership, ObjectKind, RbacPlan, read};
use crate::problem::Problem;
use crate::problem::store_failed;

/// Order in which objects are made.
const KINDS: [ObjectKind; 5] = [
    ObjectKind::PrivilegeGroup,
    ObjectKind::Role,
    ObjectKind::Grant,
    ObjectKind::User,
    ObjectKind::Membership,
];

/// The objects of a job, and whether each was made or only was about to be.
pub(super) struct Records {
    known: BTreeMap<(ObjectKind, String), bool>,
}

/// The text that a grant or a membership is recorded under.
pub(super) fn recorded_name(object: &impl Serialize) -> String {
    // Plain structs of texts: there is nothing in them that JSON can't hold.
    serde_json::to_string(object).unwrap_or_default()
}

impl Records {
    pub(super) async fn read(store: &dyn Store, job_id: &JobId) -> Result<Self, Problem> {
        let objects = store.objects(job_id).await.map_err(|error| store_failed(job_id, &error))?;
        let of_kind = |name: &str| KINDS.into_iter().find(|kind| kind.name() == name);
        let known = objects.into_iter().filter_map(|object| {
            let kind = of_kind(&object.kind)?;
            Some(((kind, object.name), object.created))
        });
        Ok(Self { known: known.collect() })
    }

    /// Whether an object is the job's, or about to be.
    pub(super) fn has(&self, kind: ObjectKind, name: &str) -> bool {
        self.known.contains_key(&(kind, name.to_owned()))
    }

    /// Whether an object was made.
    pub(super) fn is_made(&self, kind: ObjectKind, name: &str) -> bool {
        self.known.get(&(kind, name.to_owned())).copied().unwrap_or(false)
    }

    /// Whether an object was about to be made and perhaps was.
    pub(super) fn is_pending(&self, kind: ObjectKind, name: &str) -> bool {
        self.has(kind, name) && !self.is_made(kind, name)
    }

    /// How many of a kind were made.
    pub(super) fn made(&self, kind: ObjectKind) -> usize {
        self.known.iter().filter(|((known, _), made)| *known == kind && **made).count()
    }

    /// Whether nothing is recorded.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Records, before they are made, what is about to be made.
    pub(super) async fn intend(
        &mut self,
        store: &dyn Store,
        attempt: &Attempt,
        objects: Vec<(ObjectKind, String)>,
    ) -> Result<(), Problem> {
        let names = objects.iter().map(|(kind, name)| (kind.name().to_owned(), name.clone())).collect();
        let done = store.intend_objects(attempt, names).await;
        done.map_err(|error| store_failed(attempt.job_id(), &error))?;
        for object in objects {
            self.known.entry(object).or_insert(false);
        }
        Ok(())
    }

    /// Records what was made.
    pub(super) async fn record(
        &mut self,
        store: &dyn Store,
        attempt: &Attempt,
        kind: ObjectKind,
        names: Vec<String>,
    ) -> Result<(), Problem> {
        let done = store.record_objects(attempt, kind.name(), names.clone()).await;
        done.map_err(|error| store_failed(attempt.job_id(), &error))?;
        self.known.extend(names.into_iter().map(|name| ((kind, name), true)));
        Ok(())
    }

    /// Forgets what is gone, or was never the job's.
    pub(super) async fn forget(
        &mut self,
        store: &dyn Store,
        attempt: &Attempt,
        kind: ObjectKind,
        names: Vec<String>,
    ) -> Result<(), Problem> {
        let done = store.forget_objects(attempt, kind.name(), names.clone()).await;
        done.map_err(|error| store_failed(attempt.job_id(), &error))?;
        for name in names {
            self.known.remove(&(kind, name));
        }
        Ok(())
    }
}

impl RbacPlan {
    /// Whether the privilege of a grant is a group.
    pub(super) fn is_of_group(&self, grant: &Grant) -> bool {
        vecferry_milvus::rbac::is_built_in_group(&grant.privilege)
            || self.group_names.contains(&grant.privilege)
    }

    /// Roles that a user is to get.
    pub(super) fn memberships_of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = &'a Membership> {
        self.memberships.iter().filter(move |membership| membership.user == user)
    }
}

/// A role that was about to be made, and is there: it is the job's if nobody did anything with it yet, because its
/// record is written before anything else is.
pub(super) async fn is_unused_role(target: &Client, role: &str) -> Result<bool, Error> {
    if !target.users_of_role(role).await?.is_empty() {
        return Ok(false);
    }
    let dbs = target.databases().await?.into_iter().chain([vecferry_milvus::rbac::ANY.to_owned()]);
    Ok(read::grants(target, &[role.to_owned()].into(), &dbs.collect()).await?.is_empty())
}

/// A user that was about to be made, and is there: it is the job's if it has the job's password.
pub(super) async fn has_password(target: &Client, user: &str, password: &Secret) -> Result<bool, Error> {
    let token = Secret::new(format!("{user}:{}", password.reveal()));
    match Client::connect(target.endpoint().clone().with_token(Some(token)), 1).await {
        Ok(_) => Ok(true),
        // Let in, and then not allowed to look at anything.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(true),
        Err(error) if error.kind() == ErrorKind::Unauthenticated => Ok(false),
        Err(error) => Err(error),
    }
}

/// A privilege group that was about to be made, and is there: it is the job's if nothing else was put into it.
pub(super) async fn is_group_of_plan(target: &Client, plan: &RbacPlan, group: &str) -> Result<bool, Error> {
    let groups = target.privilege_groups().await?.unwrap_or_default();
    let planned = plan.privilege_groups.iter().find(|planned| planned.name == group);
    let found = groups.iter().find(|found| found.name == group);
    Ok(match (planned, found) {
        (Some(planned), Some(found)) => found.privileges.is_subset(&planned.privileges),
        _ => false,
    })
}
