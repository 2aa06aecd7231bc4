//! How figures, times and problems are written on a page.

use vecferry_migrate::{Code, Problem};
use vecferry_words::{Lang, Surface};

use crate::access::{OrganizationRole, ProjectRole};

/// The language of a page, which its template picks texts with: `t.say("Clusters", "集群")`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Say(pub(crate) Lang);

impl Say {
    /// One of two texts.
    pub(crate) fn say<'a>(&self, en: &'a str, zh: &'a str) -> &'a str {
        self.0.pick(en, zh)
    }

    /// One of two texts in which `{}` stands for a value.
    pub(crate) fn with(&self, en: &str, zh: &str, value: impl std::fmt::Display) -> String {
        self.0.pick(en, zh).replacen("{}", &value.to_string(), 1)
    }

    /// A role in a project by its name.
    pub(crate) fn role(&self, name: &str) -> &'static str {
        let title = ProjectRole::of_name(name).map(ProjectRole::title);
        title.map_or("", |(en, zh)| self.0.pick(en, zh))
    }

    /// A role in the organization by its name.
    pub(crate) fn organization_role(&self, name: &str) -> &'static str {
        let title = OrganizationRole::of_name(name).map(OrganizationRole::title);
        title.map_or("", |(en, zh)| self.0.pick(en, zh))
    }

    /// The language as the `lang` attribute names it.
    pub(crate) fn tag(&self) -> &'static str {
        self.0.pick("en", "zh-CN")
    }
}

/// A problem as a page shows it.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) code: String,
    pub(crate) what: String,
    pub(crate) hint: String,
}

impl Trouble {
    /// A problem in a language, on the page of the form that it is about: what programs are told of requests that can't be
    /// read helps nobody there.
    pub(crate) fn of(problem: &Problem, lang: Lang) -> Self {
        if problem.code != Code::BadRequest {
            return Self::of_request(problem, lang);
        }
        let value =
            |wanted: &str| problem.values.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
        let detail = match lang {
            Lang::En => value("detail"),
            Lang::Zh => value("detail_zh").or_else(|| value("detail")),
        };
        Self {
            code: problem.code.to_string(),
            what: detail.cloned().unwrap_or_default(),
            hint: lang.pick("correct it below and send the form again", "请在下方修正后重新提交").to_owned(),
        }
    }

    /// A problem in a language, as programs are told it.
    pub(crate) fn of_request(problem: &Problem, lang: Lang) -> Self {
        Self {
            code: problem.code.to_string(),
            what: problem.what_on(Surface::Service, lang),
            hint: problem.hint_on(Surface::Service, lang),
        }
    }
}
