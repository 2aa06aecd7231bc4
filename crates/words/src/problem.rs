//! One thing that went wrong, and how it is told.

use std::borrow::Cow;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::catalogue::{CATALOGUE, Code};
use crate::language::Lang;

/// One of the two clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Where rows come from; only read.
    Source,
    /// Where they go.
    Target,
}

impl Side {
    /// Its name, for machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

/// What stands for the [`Side`] in the texts about a cluster that is neither source nor target yet.
pub const ANY_CLUSTER: &str = "cluster";

/// Where people are told, which decides how they act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// In a terminal: by commands and their options.
    CommandLine,
    /// Through REST or the console.
    Service,
}

/// How far things had gone, which decides the exit code of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// It worked, perhaps with warnings.
    Done,
    /// Arguments or configuration are unusable.
    Usage,
    /// Refused before anything was written.
    Refused,
    /// Failed after the first write.
    Failed,
    /// Verification found differences.
    Different,
    /// Canceled.
    Canceled,
}

impl Exit {
    /// The exit code of a process.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Failed => 4,
            Self::Different => 5,
            Self::Canceled => 130,
        }
    }
}

/// One thing that went wrong: its code, and the values that its texts name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which kind of problem.
    pub code: Code,
    /// The values that the texts name, by placeholder.
    pub values: Vec<(Cow<'static, str>, String)>,
}

impl Problem {
    /// A problem whose texts name no values yet.
    pub fn new(code: Code) -> Self {
        Self { code, values: Vec::new() }
    }

    /// With a value for the placeholder `{name}`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.values.push((Cow::Borrowed(name), value.to_string()));
        self
    }

    /// What happened, to what.
    pub fn what(&self, lang: Lang) -> String {
        self.what_on(Surface::CommandLine, lang)
    }

    /// What to do next, at a command line.
    pub fn hint(&self, lang: Lang) -> String {
        self.hint_on(Surface::CommandLine, lang)
    }

    /// What happened, to what.
    pub fn what_on(&self, surface: Surface, lang: Lang) -> String {
        self.fill(self.code.entry().text(lang).what, surface, lang)
    }

    /// What to do next.
    pub fn hint_on(&self, surface: Surface, lang: Lang) -> String {
        self.fill(self.code.entry().text(lang).hint_on(surface), surface, lang)
    }

    /// For machines whose readers act through this surface.
    pub fn on(&self, surface: Surface) -> OnSurface<'_> {
        OnSurface { problem: self, surface }
    }

    fn fill(&self, template: &str, surface: Surface, lang: Lang) -> String {
        let mut text = String::with_capacity(template.len() + 64);
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            let Some(close) = rest[open..].find('}') else { break };
            text.push_str(&rest[..open]);
            let name = &rest[open + 1..open + close];
            let value = self.value(name, surface, lang);
            debug_assert!(value.is_some(), "{:?} has no value for `{name}`", self.code);
            text.push_str(match (value, lang) {
                (None, _) => "?",
                // The one value that is a word of the language, and not a name or a server's message.
                (Some("source"), Lang::Zh) if name == "side" => "源",
                (Some("target"), Lang::Zh) if name == "side" => "目标",
                // The word for cluster stands behind the placeholder already.
                (Some(ANY_CLUSTER), Lang::Zh) if name == "side" => "",
                (Some(value), _) => value,
            });
            rest = &rest[open + close + 1..];
        }
        text.push_str(rest);
        text
    }

    /// The value of a placeholder. One that is a sentence of its own stands beside it as `{name}_zh`, and where it names a
    /// command or an option, for the service as `{name}_service` and `{name}_service_zh`. In Chinese, one that exists only
    /// without `_zh` is the same in both languages.
    fn value(&self, name: &str, surface: Surface, lang: Lang) -> Option<&str> {
        let suffixes: &[&str] = match (surface, lang) {
            (Surface::CommandLine, Lang::En) => &[""],
            (Surface::CommandLine, Lang::Zh) => &["_zh", ""],
            (Surface::Service, Lang::En) => &["_service", ""],
            (Surface::Service, Lang::Zh) => &["_service_zh", "_zh", "_service", ""],
        };
        suffixes.iter().find_map(|suffix| {
            let is_it = |known: &str| known.strip_prefix(name).is_some_and(|behind| behind == *suffix);
            self.values.iter().find(|(known, _)| is_it(known)).map(|(_, value)| value.as_str())
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.code, self.what(Lang::En), self.hint(Lang::En))
    }
}

impl std::error::Error for Problem {}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VF-{:04}", self.entry().number)
    }
}

/// A problem as machines get it: the code, both texts as a surface words them, and the values in them.
#[derive(Clone, Copy, Debug)]
pub struct OnSurface<'a> {
    problem: &'a Problem,
    surface: Surface,
}

impl Serialize for OnSurface<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let Self { problem, surface } = *self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("code", &problem.code.to_string())?;
        map.serialize_entry("message", &problem.what_on(surface, Lang::En))?;
        map.serialize_entry("hint", &problem.hint_on(surface, Lang::En))?;
        map.serialize_entry("message_zh", &problem.what_on(surface, Lang::Zh))?;
        map.serialize_entry("hint_zh", &problem.hint_on(surface, Lang::Zh))?;
        map.serialize_entry("values", &problem.values)?;
        map.end()
    }
}

/// For machines, as at a command line.
impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.on(Surface::CommandLine).serialize(serializer)
    }
}

/// From a stored report: the code and the values; the texts are those of this version.
impl<'de> Deserialize<'de> for Problem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Stored {
            code: String,
            values: Vec<(String, String)>,
        }
        let stored = Stored::deserialize(deserializer)?;
        let entry = CATALOGUE.iter().find(|entry| entry.code.to_string() == stored.code);
        let code = entry.ok_or_else(|| D::Error::custom(format!("unknown code `{}`", stored.code)))?.code;
        let values = stored.values.into_iter().map(|(name, value)| (Cow::Owned(name), value)).collect();
        Ok(Self { code, values })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::catalogue::Text;

    /// A value that is itself a sentence stands in Chinese under its name with `_zh`.
    fn placeholders(template: &str) -> BTreeSet<&str> {
        let names = template.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name);
        names.map(|name| name.strip_suffix("_zh").unwrap_or(name)).collect()
    }

    #[test]
    fn both_languages_name_the_same_values() {
        let named = |text: &Text| -> BTreeSet<_> {
            [text.what, text.hint].into_iter().flat_map(placeholders).collect()
        };
        for entry in CATALOGUE {
            assert_eq!(placeholders(entry.en.what), placeholders(entry.zh.what), "{:?}", entry.code);
            assert_eq!(named(&entry.en), named(&entry.zh), "{:?}", entry.code);
            for text in [&entry.en, &entry.zh] {
                assert!(!text.what.is_empty() && !text.hint.is_empty(), "{:?}", entry.code);
            }
        }
    }

    fn is_chinese(character: char) -> bool {
        ('\u{4e00}'..='\u{9fff}').contains(&character)
    }

    /// Where a Chinese word stands at a Latin one without a space.
    fn unspaced(text: &str) -> Option<String> {
        let is_latin = |character: char| character.is_ascii_alphanumeric() || character == '`';
        let characters: Vec<_> = text.chars().collect();
        let found = characters.windows(2).find(|pair| {
            is_chinese(pair[0]) && is_latin(pair[1]) || is_latin(pair[0]) && is_chinese(pair[1])
        });
        found.map(|pair| pair.iter().collect())
    }

    #[test]
    fn a_space_stands_between_chinese_and_latin_words() {
        for entry in CATALOGUE {
            for text in
                [Some(entry.zh.what), Some(entry.zh.hint), entry.zh.service_hint].into_iter().flatten()
            {
                assert_eq!(unspaced(text), None, "{:?}: {text}", entry.code);
            }
        }
        assert_eq!(unspaced("迁移到Free"), Some("到F".to_owned()));
    }

    #[test]
    fn plans_are_named_without_spaces_between_chinese_words() {
        for code in [Code::PlanPair, Code::PlanUpgrade, Code::PlanUpgradeNew] {
            let problem = Problem::new(code)
                .with("source", "self-hosted")
                .with("source_zh", "自建")
                .with("target", "Free")
                .with("reason", "no")
                .with("reason_zh", "否")
                .with("policy", "own");
            let told = problem.what(Lang::Zh);
            assert_eq!(told, "不支持“自建”到“Free”的迁移：否（策略 own）");
        }
    }

    #[test]
    fn codes_are_unique_and_complete() {
        let numbers: BTreeSet<_> = CATALOGUE.iter().map(|entry| entry.number).collect();
        assert_eq!(numbers.len(), CATALOGUE.len());
        for entry in CATALOGUE {
            assert_eq!(entry.code.entry().number, entry.number);
        }
    }

    #[test]
    fn values_are_filled_in_and_their_braces_left_alone() {
        let problem = Problem::new(Code::UnknownDatabase).with("side", "source").with("db", "{side}");
        assert!(problem.what(Lang::En).contains("{side}"), "{}", problem.what(Lang::En));
        assert!(problem.to_string().starts_with("VF-0201: "));
    }

    #[test]
    fn a_cluster_that_is_no_side_yet_is_a_cluster() {
        let problem = |code| {
            let problem = Problem::new(code).with("side", ANY_CLUSTER).with("id", "in01-a");
            problem.with("detail", "nothing listens on http://a:1")
        };
        for (code, en, zh) in [
            (Code::ConnectionRefused, "the cluster can't be reached: nothing", "无法连接集群：nothing"),
            (Code::UntrustedCertificate, "the cluster's certificate", "集群的证书不被信任"),
            (Code::NoPublicEndpoint, "the cluster `in01-a` has no", "集群 `in01-a` 没有公网"),
            (Code::CheckFailed, "checking the cluster failed", "检查集群时出错"),
        ] {
            let problem = problem(code);
            assert!(problem.what(Lang::En).starts_with(en), "{problem}");
            assert!(problem.what(Lang::Zh).starts_with(zh), "{}", problem.what(Lang::Zh));
        }
    }

    #[test]
    fn each_surface_has_its_hint_and_its_values() {
        let problem = Problem::new(Code::ForbiddenName)
            .with("name", "a-b")
            .with("kind", "collection")
            .with("detail", "not allowed")
            .with("way_out", "skip it with --exclude a-b")
            .with("way_out_zh", "用 --exclude a-b 跳过")
            .with("way_out_service", "leave it out")
            .with("way_out_service_zh", "跳过它");
        for (surface, lang, end) in [
            (Surface::CommandLine, Lang::En, "; skip it with --exclude a-b"),
            (Surface::CommandLine, Lang::Zh, "；用 --exclude a-b 跳过"),
            (Surface::Service, Lang::En, "; leave it out"),
            (Surface::Service, Lang::Zh, "；跳过它"),
        ] {
            let hint = problem.hint_on(surface, lang);
            assert!(hint.ends_with(end), "{surface:?} {lang:?}: {hint}");
        }

        let problem =
            Problem::new(Code::SourceFailed).with("collection", "a.b").with("detail", "at the command line");
        for lang in [Lang::En, Lang::Zh] {
            assert_eq!(problem.what_on(Surface::Service, lang), problem.what(lang));
            assert!(problem.hint_on(Surface::CommandLine, lang).contains("`vecferry resume JOB`"));
            assert!(!problem.hint_on(Surface::Service, lang).contains("vecferry"));
        }
        let problem = problem.with("detail_service", "12");
        for lang in [Lang::En, Lang::Zh] {
            assert!(problem.what(lang).ends_with("at the command line"));
            assert!(problem.what_on(Surface::Service, lang).ends_with("12"));
        }
    }
}
