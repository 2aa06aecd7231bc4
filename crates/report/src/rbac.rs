//! Roles and users, in the plan and in the report.

use std::path::Path;

use vecferry_migrate::rbac::{Left, Made, ObjectKind, Passwords, RbacPlan, RbacReport};
use vecferry_milvus::rbac::Grant;
use vecferry_words::Lang;

use crate::{figures, harmless, labels};

/// What there is to say of roles and users.
pub struct RbacText {
    /// How many of each kind.
    pub numbers: String,
    /// What becomes of passwords.
    pub passwords: Option<String>,
    /// What is worth a look one by one, under headings.
    pub lists: Vec<(&'static str, Vec<String>)>,
}

impl RbacText {
    /// What will be made.
    pub fn of_plan(lang: Lang, plan: &RbacPlan) -> Self {
        let of = |planned| Made { planned, made: planned };
        let numbers = [
            (ObjectKind::PrivilegeGroup, of(plan.privilege_groups.len())),
            (ObjectKind::Role, of(plan.roles.len())),
            (ObjectKind::Grant, of(plan.grants.len())),
            (ObjectKind::User, of(plan.users.len())),
            (ObjectKind::Membership, of(plan.memberships.len())),
        ];
        Self {
            numbers: shown(lang, numbers),
            passwords: passwords(lang, plan.passwords, plan.users_file.as_deref(), false),
            lists: lists(lang, &plan.outside, &plan.left),
        }
    }

    /// What was made.
    pub fn of_report(lang: Lang, report: &RbacReport) -> Self {
        let numbers = [
            (ObjectKind::PrivilegeGroup, report.privilege_groups),
            (ObjectKind::Role, report.roles),
            (ObjectKind::Grant, report.grants),
            (ObjectKind::User, report.users),
            (ObjectKind::Membership, report.memberships),
        ];
        // Where no user was made there may be no file.
        let passwords = passwords(lang, report.passwords, report.users_file.as_deref(), true);
        Self {
            numbers: shown(lang, numbers),
            passwords: passwords.filter(|_| report.users.made > 0),
            lists: lists(lang, &report.outside, &report.left),
        }
    }

    /// As lines, the first behind a heading; `cut` shortens and indents long lists.
    pub fn lines(self, heading: &str, cut: impl Fn(Vec<String>) -> Vec<String>) -> Vec<String> {
        let mut lines = vec![format!("{heading}{}", self.numbers)];
        lines.extend(self.passwords.map(|line| format!("  {line}")));
        for (heading, list) in self.lists {
            lines.push(format!("  {heading}"));
            lines.extend(cut(list).into_iter().map(|line| format!("  {line}")));
        }
        lines
    }
}

fn shown(lang: Lang, numbers: [(ObjectKind, Made); 5]) -> String {
    let shown = numbers.map(|(kind, Made { planned, made })| {
        let (all, done) = (figures::count(planned as u64), figures::count(made as u64));
        let number = if made == planned { all } else { labels::number_of(lang, &done, &all) };
        labels::rbac_objects(lang, kind, &number, planned == 1)
    });
    shown.join(labels::comma(lang))
}

fn passwords(lang: Lang, passwords: Passwords, file: Option<&Path>, made: bool) -> Option<String> {
    match passwords {
        Passwords::NoUsers => None,
        Passwords::Kept => Some(labels::passwords_kept(lang).to_owned()),
        Passwords::Generated => {
            let file = file.map(|file| file.display().to_string()).unwrap_or_default();
            Some(labels::passwords_generated(lang, &harmless(&file), made))
        }
    }
}

fn lists(lang: Lang, outside: &[Grant], left: &[Left]) -> Vec<(&'static str, Vec<String>)> {
    let outside = outside.iter().map(|grant| harmless(&grant.to_string())).collect();
    let left = left.iter().map(|left| harmless(&labels::rbac_left_line(lang, left))).collect();
    let all: [(_, Vec<String>); 2] = [(labels::rbac_outside(lang), outside), (labels::rbac_left(lang), left)];
    all.into_iter().filter(|(_, list)| !list.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use vecferry_migrate::rbac::{LeftReason, Method};

    use super::*;

    fn report() -> RbacReport {
        RbacReport {
            method: Method::SingleCalls,
            passwords: Passwords::Generated,
            users_file: Some("/state/users/j.json".into()),
            privilege_groups: Made::default(),
            roles: Made { planned: 1, made: 1 },
            grants: Made { planned: 12, made: 9 },
            users: Made { planned: 2, made: 1 },
            memberships: Made { planned: 2, made: 2 },
            outside: Vec::new(),
            left: vec![Left { kind: ObjectKind::Role, name: "r".into(), reason: LeftReason::Differs }],
        }
    }

    #[test]
    fn a_report_says_what_was_made_and_what_was_not() {
        let lines = RbacText::of_report(Lang::En, &report()).lines("", |list| list).join("\n");
        assert_eq!(
            lines,
            "0 privilege groups, 1 role, 9 of 12 grants, 1 of 2 users, 2 roles of users\n  \
             The users' new passwords are in /state/users/j.json (only its owner may read it).\n  \
             Not copied, or already there (what exists on the target is left unchanged)\n  \
             role r: exists on the target with other privileges"
        );
        let chinese = RbacText::of_report(Lang::Zh, &report()).lines("", |list| list).join("\n");
        assert!(chinese.contains("9 / 12 项授权，1 / 2 个用户"), "{chinese}");
    }

    #[test]
    fn no_file_is_spoken_of_where_no_user_was_made() {
        let report = RbacReport { users: Made { planned: 2, made: 0 }, ..report() };
        assert_eq!(RbacText::of_report(Lang::En, &report).passwords, None);
    }
}
