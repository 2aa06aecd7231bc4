//! What of it is copied: pure decisions on what both servers say.

use std::collections::{BTreeMap, BTreeSet};

use vecferry_milvus::CollectionName;
use vecferry_milvus::rbac::{
    ANY, Grant, PrivilegeGroup, Rbac, is_built_in_group, is_built_in_role, is_built_in_user,
};

use super::{Left, LeftReason, Membership, Method, ObjectKind, Passwords, RbacPlan};
use crate::request::RbacUsers;

/// What must be known of the migration around.
pub(super) struct Surroundings<'a> {
    /// Database of the target for a database of the source.
    pub(super) target_db: &'a dyn Fn(&str) -> String,
    /// Collections and aliases that the job makes on the target.
    pub(super) planned: BTreeSet<CollectionName>,
    /// Collections that the target has already.
    pub(super) existing: BTreeSet<CollectionName>,
    /// What becomes of the users.
    pub(super) users: RbacUsers,
}

/// How a role or a group of the source stands on the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// To be made.
    New,
    /// There, with the same contents.
    Same,
    /// There on every server; it may get more grants.
    BuiltIn,
    /// There with other contents, or impossible there.
    Left,
}

/// Decides what is made and what is left. How it is made is for the caller to add.
pub(super) fn decide(source: &Rbac, target: &Rbac, around: &Surroundings<'_>) -> RbacPlan {
    let mut plan = RbacPlan {
        method: Method::SingleCalls,
        passwords: Passwords::NoUsers,
        users_file: None,
        privilege_groups: Vec::new(),
        group_names: source.groups.iter().flatten().map(|group| group.name.clone()).collect(),
        roles: Vec::new(),
        grants: Vec::new(),
        users: Vec::new(),
        memberships: Vec::new(),
        outside: Vec::new(),
        left: Vec::new(),
    };
    let wanted: BTreeSet<_> = source.grants.iter().map(|grant| mapped(grant, around)).collect();
    let groups = groups(source, target, &mut plan);
    let roles = roles(source, target, &wanted, &mut plan);
    grants(&wanted, target, &roles, &groups, around, &mut plan);
    users(source, target, &roles, around, &mut plan);
    plan
}

/// A grant with the database's name on the target.
fn mapped(grant: &Grant, around: &Surroundings<'_>) -> Grant {
    let db = if grant.db == ANY { ANY.to_owned() } else { (around.target_db)(&grant.db) };
    Grant { db, ..grant.clone() }
}

fn groups(source: &Rbac, target: &Rbac, plan: &mut RbacPlan) -> BTreeMap<String, Standing> {
    let mut standings = BTreeMap::new();
    for group in source.groups.iter().flatten() {
        let there = |known: &&PrivilegeGroup| known.name == group.name;
        let (standing, reason) = match target.groups.as_ref().map(|groups| groups.iter().find(there)) {
            None => (Standing::Left, Some(LeftReason::GroupLeft)),
            Some(None) => (Standing::New, None),
            Some(Some(known)) if known == group => (Standing::Same, Some(LeftReason::Same)),
            Some(Some(_)) => (Standing::Left, Some(LeftReason::Differs)),
        };
        if standing == Standing::New {
            plan.privilege_groups.push(group.clone());
        }
        plan.left.extend(reason.map(|reason| Left::new(ObjectKind::PrivilegeGroup, &group.name, reason)));
        standings.insert(group.name.clone(), standing);
    }
    standings
}

fn roles(
    source: &Rbac,
    target: &Rbac,
    wanted: &BTreeSet<Grant>,
    plan: &mut RbacPlan,
) -> BTreeMap<String, Standing> {
    let of = |grants: &BTreeSet<Grant>, role: &str| -> BTreeSet<Grant> {
        grants.iter().filter(|grant| grant.role == role).cloned().collect()
    };
    let mut standings = BTreeMap::new();
    for role in &source.roles {
        let there = target.roles.contains(role);
        let standing = match (is_built_in_role(role), there) {
            (true, true) => Standing::BuiltIn,
            (true, false) => Standing::Left,
            (false, false) => Standing::New,
            (false, true) if of(wanted, role) == of(&target.grants, role) => Standing::Same,
            (false, true) => Standing::Left,
        };
        match standing {
            Standing::New => plan.roles.push(role.clone()),
            Standing::Same => plan.left.push(Left::new(ObjectKind::Role, role, LeftReason::Same)),
            Standing::Left if there => plan.left.push(Left::new(ObjectKind::Role, role, LeftReason::Differs)),
            Standing::Left => plan.left.push(Left::new(ObjectKind::Role, role, LeftReason::RoleLeft)),
            Standing::BuiltIn => {}
        }
        standings.insert(role.clone(), standing);
    }
    standings
}

fn grants(
    wanted: &BTreeSet<Grant>,
    target: &Rbac,
    roles: &BTreeMap<String, Standing>,
    groups: &BTreeMap<String, Standing>,
    around: &Surroundings<'_>,
    plan: &mut RbacPlan,
) {
    for grant in wanted.difference(&target.grants) {
        match roles.get(&grant.role) {
            Some(Standing::New | Standing::BuiltIn) => {}
            // What the role may do was compared as a whole.
            Some(Standing::Same | Standing::Left) | None => continue,
        }
        let group_is_there = match groups.get(&grant.privilege) {
            Some(standing) => *standing != Standing::Left,
            None => !is_built_in_group(&grant.privilege) || target.groups.is_some(),
        };
        let collection = CollectionName::new(&grant.db, &grant.object_name);
        // Of a privilege group, servers say `Global` whatever it is granted on.
        let is_on_collection = grant.object == "Collection" || plan.is_of_group(grant);
        let is_outside =
            is_on_collection && grant.object_name != ANY && !around.planned.contains(&collection);
        if !group_is_there {
            plan.left.push(Left::new(ObjectKind::Grant, grant.to_string(), LeftReason::GroupLeft));
        } else if is_outside && around.existing.contains(&collection) {
            plan.left.push(Left::new(ObjectKind::Grant, grant.to_string(), LeftReason::OtherCollection));
        } else {
            plan.grants.push(grant.clone());
            if is_outside {
                plan.outside.push(grant.clone());
            }
        }
    }
}

fn users(
    source: &Rbac,
    target: &Rbac,
    roles: &BTreeMap<String, Standing>,
    around: &Surroundings<'_>,
    plan: &mut RbacPlan,
) {
    for user in source.users.iter().filter(|user| !is_built_in_user(&user.name)) {
        let membership = |role: &str| Membership { user: user.name.clone(), role: role.to_owned() };
        let leave =
            |role: &str, reason| Left::new(ObjectKind::Membership, membership(role).to_string(), reason);
        if let Some(known) = target.users.iter().find(|known| known.name == user.name) {
            plan.left.push(Left::new(ObjectKind::User, &user.name, LeftReason::Exists));
            let missing = user.roles.difference(&known.roles);
            plan.left.extend(missing.map(|role| leave(role, LeftReason::UserLeft)));
            continue;
        }
        if around.users == RbacUsers::Skip {
            plan.left.push(Left::new(ObjectKind::User, &user.name, LeftReason::UsersSkipped));
            continue;
        }
        plan.users.push(user.name.clone());
        for role in &user.roles {
            match roles.get(role) {
                Some(Standing::New | Standing::Same | Standing::BuiltIn) => {
                    plan.memberships.push(membership(role));
                }
                Some(Standing::Left) | None => plan.left.push(leave(role, LeftReason::RoleLeft)),
            }
        }
    }
}

impl std::fmt::Display for Membership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} → {}", self.user, self.role)
    }
}

#[cfg(test)]
mod tests {
    use vecferry_milvus::rbac::User;

    use super::*;

    fn grant(role: &str, db: &str, collection: &str, privilege: &str) -> Grant {
        Grant {
            role: role.to_owned(),
            object: "Collection".to_owned(),
            object_name: collection.to_owned(),
            privilege: privilege.to_owned(),
            db: db.to_owned(),
        }
    }

    fn rbac(roles: &[&str], grants: &[Grant], users: &[(&str, &[&str])]) -> Rbac {
        let roles_of = |roles: &[&str]| roles.iter().map(|role| (*role).to_owned()).collect();
        Rbac {
            roles: ["admin", "public"].iter().chain(roles).map(|role| (*role).to_owned()).collect(),
            grants: grants.iter().cloned().collect(),
            users: users
                .iter()
                .map(|(name, roles)| User { name: (*name).to_owned(), roles: roles_of(roles) })
                .collect(),
            groups: None,
        }
    }

    fn around(target_db: &dyn Fn(&str) -> String) -> Surroundings<'_> {
        Surroundings {
            target_db,
            planned: [CollectionName::new("warehouse", "books")].into(),
            existing: [CollectionName::new("warehouse", "theirs")].into(),
            users: RbacUsers::Create,
        }
    }

    fn to_warehouse(db: &str) -> String {
        if db == "shop" { "warehouse".to_owned() } else { db.to_owned() }
    }

    fn left(plan: &RbacPlan) -> Vec<(ObjectKind, &str, LeftReason)> {
        plan.left.iter().map(|left| (left.kind, left.name.as_str(), left.reason)).collect()
    }

    #[test]
    fn databases_are_renamed_and_strangers_collections_stay_closed() {
        let source = rbac(
            &["reader"],
            &[
                grant("reader", "shop", "books", "Search"),
                grant("reader", "shop", "later", "Search"),
                grant("reader", "shop", "theirs", "Search"),
                grant("reader", "*", "*", "Query"),
            ],
            &[],
        );
        let plan = decide(&source, &rbac(&[], &[], &[]), &around(&to_warehouse));
        assert_eq!(plan.roles, ["reader"]);
        assert_eq!(
            plan.grants,
            [
                grant("reader", "*", "*", "Query"),
                grant("reader", "warehouse", "books", "Search"),
                grant("reader", "warehouse", "later", "Search"),
            ]
        );
        assert_eq!(plan.outside, [grant("reader", "warehouse", "later", "Search")]);
        let name = "reader: Search Collection warehouse.theirs";
        assert_eq!(left(&plan), [(ObjectKind::Grant, name, LeftReason::OtherCollection)]);
    }

    #[test]
    fn nobody_is_put_into_a_role_that_may_do_other_things() {
        let of_both = grant("same", "shop", "books", "Search");
        let source = rbac(
            &["same", "other"],
            &[of_both.clone(), grant("other", "shop", "books", "Query")],
            &[("ann", &["same", "other", "admin"]), ("bob", &["other", "same"]), ("root", &["admin"])],
        );
        let of_target = Grant { db: "warehouse".to_owned(), ..of_both };
        let target = rbac(
            &["same", "other"],
            &[of_target, grant("other", "*", "*", "*")],
            &[("bob", &["same"]), ("root", &[])],
        );
        let plan = decide(&source, &target, &around(&to_warehouse));
        assert!(plan.roles.is_empty() && plan.grants.is_empty());
        assert_eq!(plan.users, ["ann"]);
        let membership = |role: &str| Membership { user: "ann".to_owned(), role: role.to_owned() };
        assert_eq!(plan.memberships, [membership("admin"), membership("same")]);
        assert_eq!(
            left(&plan),
            [
                (ObjectKind::Role, "other", LeftReason::Differs),
                (ObjectKind::Role, "same", LeftReason::Same),
                (ObjectKind::Membership, "ann → other", LeftReason::RoleLeft),
                (ObjectKind::User, "bob", LeftReason::Exists),
                (ObjectKind::Membership, "bob → other", LeftReason::UserLeft),
            ]
        );
    }

    #[test]
    fn built_in_roles_get_only_what_they_lack() {
        let usual = grant("public", "*", "*", "IndexDetail");
        let more = grant("public", "shop", "books", "Search");
        let source = rbac(&["db_ro"], &[usual.clone(), more.clone(), grant("db_ro", "*", "*", "Query")], &[]);
        let plan = decide(&source, &rbac(&[], &[usual], &[]), &around(&str::to_owned));
        assert!(plan.roles.is_empty());
        assert_eq!(plan.grants, [more]);
        assert_eq!(left(&plan), [(ObjectKind::Role, "db_ro", LeftReason::RoleLeft)]);
    }

    #[test]
    fn grants_of_groups_follow_their_group() {
        let group = |name: &str, privilege: &str| PrivilegeGroup {
            name: name.to_owned(),
            privileges: [privilege.to_owned()].into(),
        };
        let of = |privilege: &str| grant("reader", "shop", "*", privilege);
        let mut source = rbac(&["reader"], &[of("new"), of("same"), of("other"), of("CollectionAdmin")], &[]);
        source.groups = Some(vec![group("new", "Query"), group("same", "Query"), group("other", "Query")]);
        let mut target = rbac(&[], &[], &[]);
        target.groups = Some(vec![group("same", "Query"), group("other", "Insert")]);
        let plan = decide(&source, &target, &around(&str::to_owned));
        assert_eq!(plan.privilege_groups, [group("new", "Query")]);
        assert_eq!(plan.grants, [of("CollectionAdmin"), of("new"), of("same")]);
        assert_eq!(
            left(&plan),
            [
                (ObjectKind::PrivilegeGroup, "same", LeftReason::Same),
                (ObjectKind::PrivilegeGroup, "other", LeftReason::Differs),
                (ObjectKind::Grant, "reader: other Collection shop.*", LeftReason::GroupLeft),
            ]
        );
        let on_theirs =
            Grant { object: "Global".to_owned(), ..grant("reader", "warehouse", "theirs", "same") };
        source.grants = [on_theirs].into();
        let plan = decide(&source, &target, &around(&str::to_owned));
        assert!(plan.grants.is_empty(), "a group opens somebody else's collection: {:?}", plan.grants);
        source.grants = [of("new")].into();
        target.groups = None;
        let plan = decide(&source, &target, &around(&str::to_owned));
        assert!(plan.privilege_groups.is_empty() && plan.grants.is_empty());
    }

    #[test]
    fn users_can_be_left_out() {
        let source = rbac(&["reader"], &[], &[("ann", &["reader"])]);
        let around = Surroundings { users: RbacUsers::Skip, ..around(&str::to_owned) };
        let plan = decide(&source, &rbac(&[], &[], &[]), &around);
        assert_eq!((plan.roles.len(), plan.users.len(), plan.memberships.len()), (1, 0, 0));
        assert_eq!(left(&plan), [(ObjectKind::User, "ann", LeftReason::UsersSkipped)]);
    }
}
