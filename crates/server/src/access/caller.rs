//! Whoever makes a request, and what they may do.

use std::collections::BTreeMap;
use std::fmt;

use super::{Action, OrganizationRole, ProjectRole};

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    /// A person, in a session or with a personal key.
    User(String),
    /// A customized key.
    Key(String),
}

impl fmt::Display for Actor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user_id) => formatter.write_str(user_id),
            Self::Key(key_id) => formatter.write_str(key_id),
        }
    }
}

/// What somebody may do in an organization, whether or not they make a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) role: OrganizationRole,
    pub(crate) projects: BTreeMap<String, ProjectRole>,
}

impl Rights {
    /// Whether something may be done in a project.
    pub(crate) fn may(&self, action: Action, project_id: &str) -> bool {
        let role = self.projects.get(project_id);
        self.role == OrganizationRole::Owner || role.is_some_and(|role| *role >= action.needs())
    }
}

/// Whoever makes a request, within one organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) org_id: String,
    pub(crate) actor: Actor,
    pub(crate) role: OrganizationRole,
    pub(crate) projects: BTreeMap<String, ProjectRole>,
    /// With what it was shown who that is.
    pub(crate) credential: Credential,
}

/// What a caller shows, by its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    /// A session, in its cookie.
    Session(String),
    /// An API key.
    Key(String),
}

impl Credential {
    /// Its hash.
    pub(crate) fn hash(&self) -> &str {
        match self {
            Self::Session(hash) | Self::Key(hash) => hash,
        }
    }
}

impl Caller {
    /// The hash of the session; none with a key.
    pub(crate) fn session(&self) -> Option<&str> {
        match &self.credential {
            Credential::Session(hash) => Some(hash),
            Credential::Key(_) => None,
        }
    }

    /// Whether everything in the organization is allowed.
    pub(crate) fn is_owner(&self) -> bool {
        self.role == OrganizationRole::Owner
    }

    /// The role in a project; none in one that is not visible.
    pub(crate) fn role_in(&self, project_id: &str) -> Option<ProjectRole> {
        match self.role {
            OrganizationRole::Owner => Some(ProjectRole::Admin),
            OrganizationRole::Member => self.projects.get(project_id).copied(),
        }
    }

    /// Whether something may be done in a project.
    pub(crate) fn may(&self, action: Action, project_id: &str) -> bool {
        self.role_in(project_id).is_some_and(|role| role >= action.needs())
    }

    /// The projects that are visible; none where all of the organization are.
    pub(crate) fn visible(&self) -> Option<Vec<String>> {
        match self.role {
            OrganizationRole::Owner => None,
            OrganizationRole::Member => Some(self.projects.keys().cloned().collect()),
        }
    }

    /// The projects in which something may be changed; none where that is so in all of the organization.
    pub(crate) fn administered(&self) -> Option<Vec<String>> {
        let is_administered = |project_id: &String| self.may(Action::Administer, project_id);
        self.visible().map(|projects| projects.into_iter().filter(is_administered).collect())
    }

    /// What the caller is in a project, as people say it.
    pub(crate) fn title_in(&self, project_id: &str) -> (&'static str, &'static str) {
        match (self.role, self.projects.get(project_id)) {
            (OrganizationRole::Member, Some(role)) => role.title(),
            (role, _) => role.title(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(role: OrganizationRole, projects: &[(&str, ProjectRole)]) -> Caller {
        let projects = projects.iter().map(|(id, role)| ((*id).to_owned(), *role)).collect();
        let (actor, credential) = (Actor::User("u".into()), Credential::Key("hash".into()));
        Caller { org_id: "o".into(), actor, role, projects, credential }
    }

    #[test]
    fn only_owners_and_project_admins_administer() {
        let owner = caller(OrganizationRole::Owner, &[("p", ProjectRole::ReadOnly)]);
        assert!(owner.may(Action::Administer, "p") && owner.may(Action::Administer, "any"));
        for role in ProjectRole::ALL {
            let member = caller(OrganizationRole::Member, &[("p", role)]);
            assert!(member.may(Action::Look, "p"));
            assert_eq!(member.may(Action::Administer, "p"), role == ProjectRole::Admin);
            assert!(!member.may(Action::Look, "q"));
            assert_eq!(member.visible(), Some(vec!["p".to_owned()]));
        }
        assert_eq!((owner.visible(), owner.administered()), (None, None));
        let roles = [("p", ProjectRole::ReadWrite), ("q", ProjectRole::Admin)];
        let member = caller(OrganizationRole::Member, &roles);
        assert_eq!(member.administered(), Some(vec!["q".to_owned()]));
    }

    #[test]
    fn titles_are_those_of_the_role_that_counts() {
        let member = caller(OrganizationRole::Member, &[("p", ProjectRole::ReadWrite)]);
        assert_eq!(member.title_in("p").0, "Project Read-Write");
        assert_eq!(member.title_in("q").0, "Organization Member");
        let owner = caller(OrganizationRole::Owner, &[("p", ProjectRole::ReadWrite)]);
        assert_eq!(owner.title_in("p").1, "组织管理员");
    }
}
