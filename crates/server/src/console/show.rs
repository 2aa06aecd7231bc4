//! How figures, times and problems are written on a page.

use vecferry_migrate::{Code, JobState, Problem};
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

    /// The state of a migration.
    pub(crate) fn state(&self, state: JobState) -> &'static str {
        match state {
            JobState::Pending => self.0.pick("Waiting", "等待中"),
            JobState::InProgress => self.0.pick("In progress", "进行中"),
            JobState::Canceling => self.0.pick("Canceling", "取消中"),
            JobState::Ready => self.0.pick("Ready", "就绪"),
            JobState::Successful => self.0.pick("Successful", "成功"),
            JobState::Failed => self.0.pick("Failed", "失败"),
            JobState::Canceled => self.0.pick("Canceled", "已取消"),
        }
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

/// How long something took, in two units at most.
pub(crate) fn took(lang: Lang, seconds: f64) -> String {
    let seconds = if seconds.is_finite() { seconds.clamp(0.0, 1e10).round() as u64 } else { 0 };
    if seconds == 0 {
        return lang.pick("under 1 s", "不到 1 秒").to_owned();
    }
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let unit = |number: u64, en: &'static str, zh: &'static str| format!("{number} {}", lang.pick(en, zh));
    let parts = match (days, hours, minutes) {
        (0, 0, 0) => [unit(seconds, "s", "秒"), String::new()],
        (0, 0, 1..10) => [unit(minutes, "min", "分"), unit(seconds % 60, "s", "秒")],
        (0, 0, _) => [unit(minutes, "min", "分钟"), String::new()],
        (0, _, _) => [unit(hours, "h", "小时"), unit(minutes, "min", "分")],
        _ => [unit(days, "d", "天"), unit(hours, "h", "小时")],
    };
    parts.join(" ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All templates, by their names.
    fn templates() -> Vec<(String, String)> {
        let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/templates"))];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => {
                        found.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()))
                    }
                }
            }
        }
        found
    }

    #[test]
    fn a_space_stands_between_chinese_and_latin_words_of_templates() {
        let is_chinese = |character: char| ('\u{4e00}'..='\u{9fff}').contains(&character);
        let is_latin = |character: char| character.is_ascii_alphanumeric();
        let templates = templates();
        assert!(templates.len() > 40);
        for (name, text) in templates {
            let characters: Vec<_> = text.chars().collect();
            for pair in characters.windows(2) {
                let stands_apart =
                    !(is_chinese(pair[0]) && is_latin(pair[1]) || is_latin(pair[0]) && is_chinese(pair[1]));
                assert!(stands_apart, "{name}: {}{}", pair[0], pair[1]);
            }
        }
    }

    #[test]
    fn times_get_coarser() {
        for (seconds, en, zh) in [
            (0.4, "under 1 s", "不到 1 秒"),
            (40.0, "40 s", "40 秒"),
            (125.0, "2 min 5 s", "2 分 5 秒"),
            (1800.0, "30 min", "30 分钟"),
            (4320.0, "1 h 12 min", "1 小时 12 分"),
            (90_000.0, "1 d 1 h", "1 天 1 小时"),
            (f64::NAN, "under 1 s", "不到 1 秒"),
        ] {
            assert_eq!((took(Lang::En, seconds).as_str(), took(Lang::Zh, seconds).as_str()), (en, zh));
        }
    }
}
