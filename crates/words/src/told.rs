//! Lists in messages: the first ten, how many more there are, and where all of them are.
//!
//! A message that holds a whole list is not read: not ten thousand partitions, and not a hundred keys. What is cut off is
//! a value of the problem all the same, which the JSON output shows.

use std::fmt;

use crate::language::Lang;
use crate::problem::Problem;

/// Items of a list that a message spells out.
const ITEMS_MAX: usize = 10;

/// A part of a message that may hold lists: as it is shown, and with nothing cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    en: String,
    zh: String,
    all: String,
    /// In English and Chinese, where the service is told something else than the command line.
    of_service: Option<Box<(String, String)>>,
}

impl Told {
    /// Items behind each other, as they are.
    pub fn items<Item: fmt::Display>(items: &[Item]) -> Self {
        Self::first_of(items, items.len() as u64)
    }

    /// The first of so many items.
    pub fn first_of<Item: fmt::Display>(items: &[Item], total: u64) -> Self {
        Self::list(items, total, "; ", "；")
    }

    /// The first of so many items that have words in them, each in English and Chinese.
    pub fn first_of_both(items: &[(String, String)], total: u64) -> Self {
        let (en, zh): (Vec<_>, Vec<_>) = items.iter().map(|(en, zh)| (en, zh)).unzip();
        let zh = Self::first_of(&zh, total).zh;
        Self { zh, ..Self::first_of(&en, total) }
    }

    /// Names, in backticks.
    pub fn names<Name: fmt::Display>(names: &[Name]) -> Self {
        let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        Self::list(&quoted, quoted.len() as u64, ", ", "、")
    }

    /// Parts behind each other, each with lists of its own.
    pub fn parts(parts: &[Self]) -> Self {
        let of = |text: fn(&Self) -> &String| parts.iter().map(text).collect::<Vec<_>>();
        Self {
            en: Self::items(&of(|part| &part.en)).en,
            zh: Self::items(&of(|part| &part.zh)).zh,
            all: Self::items(&of(|part| &part.all)).all,
            of_service: None,
        }
    }

    /// A sentence in both languages.
    pub fn both(en: impl Into<String>, zh: impl Into<String>) -> Self {
        let en = en.into();
        Self { all: en.clone(), en, zh: zh.into(), of_service: None }
    }

    /// The same, where the service is told something else, because this names a command or an option. Not kept by what puts
    /// parts together.
    #[must_use]
    pub fn or_in_service(mut self, en: impl Into<String>, zh: impl Into<String>) -> Self {
        self.of_service = Some(Box::new((en.into(), zh.into())));
        self
    }

    /// Inside of a sentence in both languages.
    pub fn within(self, en: impl Fn(&str) -> String, zh: impl Fn(&str) -> String) -> Self {
        Self { en: en(&self.en), zh: zh(&self.zh), all: en(&self.all), of_service: None }
    }

    /// With a text before it, in both languages.
    pub fn behind(self, en: &str, zh: &str) -> Self {
        self.within(|told| format!("{en}{told}"), |told| format!("{zh}{told}"))
    }

    /// A few parts that are one phrase, so that none is cut off.
    pub fn phrase(parts: &[Self], comma: &str, comma_zh: &str) -> Self {
        let of =
            |text: fn(&Self) -> &String| parts.iter().map(|part| text(part).as_str()).collect::<Vec<_>>();
        Self {
            en: of(|part| &part.en).join(comma),
            zh: of(|part| &part.zh).join(comma_zh),
            all: of(|part| &part.all).join(comma),
            of_service: None,
        }
    }

    /// As it is shown in a language.
    pub fn text(&self, lang: Lang) -> &str {
        lang.pick(&self.en, &self.zh)
    }

    /// With nothing cut off.
    pub fn all(&self) -> &str {
        &self.all
    }

    fn list<Item: fmt::Display>(items: &[Item], total: u64, comma: &str, comma_zh: &str) -> Self {
        let texts: Vec<_> = items.iter().map(ToString::to_string).collect();
        let shown = &texts[..texts.len().min(ITEMS_MAX)];
        let (known, more) = (texts.len() as u64, total.saturating_sub(shown.len() as u64));
        let (place, place_zh) = match known {
            _ if known == total => {
                (" (all are in the JSON output)".to_owned(), "（完整列表见 JSON 输出）".to_owned())
            }
            _ if known == shown.len() as u64 => Default::default(),
            _ => (
                format!(" (the JSON output has the first {known})"),
                format!("（JSON 输出列出前 {known} 项）"),
            ),
        };
        let (tail, tail_zh) = match more {
            0 => Default::default(),
            _ => (format!(" and {more} more{place}"), format!("，另有 {more} 项{place_zh}")),
        };
        Self {
            en: format!("{}{tail}", shown.join(comma)),
            zh: format!("{}{tail_zh}", shown.join(comma_zh)),
            all: texts.join(comma),
            of_service: None,
        }
    }
}

impl<Text: Into<String>> From<Text> for Told {
    fn from(text: Text) -> Self {
        let text = text.into();
        Self { en: text.clone(), zh: text.clone(), all: text, of_service: None }
    }
}

/// As it is shown in English.
impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.en)
    }
}

impl Problem {
    /// With a value that may hold lists; what is cut off in the message is a value behind `all_`.
    #[must_use]
    pub fn told(mut self, name: &'static str, told: impl Into<Told>) -> Self {
        let Told { en, zh, all, of_service } = told.into();
        let is_cut = all != en;
        let mut more = Vec::new();
        if zh != en {
            more.push((format!("{name}_zh").into(), zh));
        }
        if is_cut {
            more.push((format!("all_{name}").into(), all));
        }
        if let Some(of_service) = of_service {
            let (en, zh) = *of_service;
            more.push((format!("{name}_service").into(), en));
            more.push((format!("{name}_service_zh").into(), zh));
        }
        self.values.push((name.into(), en));
        self.values.append(&mut more);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Code;
    use crate::problem::Surface;

    fn value<'a>(problem: &'a Problem, name: &str) -> Option<&'a str> {
        problem.values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_message_holds_ten_and_the_values_all() {
        let names: Vec<_> = (0..100).map(|number| format!("p{number}")).collect();
        let detail = Told::parts(&[
            "its properties changed".into(),
            Told::names(&names).behind("partitions: ", "Partition："),
        ]);
        let problem =
            Problem::new(Code::SourceObjectsChanged).with("collection", "a.b").told("detail", detail);
        let (en, zh) = (problem.what(Lang::En), problem.what(Lang::Zh));
        assert!(en.ends_with("its properties changed; partitions: `p0`, `p1`, `p2`, `p3`, `p4`, `p5`, `p6`, `p7`, `p8`, `p9` and 90 more (all are in the JSON output)"), "{en}");
        assert!(zh.ends_with("`p8`、`p9`，另有 90 项（完整列表见 JSON 输出）"), "{zh}");
        let all = value(&problem, "all_detail").unwrap();
        assert!(all.ends_with("`p98`, `p99`") && !all.contains("more"), "{all}");
        let document = serde_json::to_value(&problem).unwrap();
        assert!(document["values"].to_string().contains("`p99`"), "{document}");
    }

    #[test]
    fn the_service_is_told_in_its_own_words() {
        let told = Told::both("add --yes", "请加上 --yes").or_in_service("confirm it", "请确认");
        let problem = Problem::new(Code::NotRepairable).with("collection", "a.b").told("detail", told);
        let ends = |surface, lang| problem.what_on(surface, lang);
        assert!(ends(Surface::CommandLine, Lang::En).ends_with("add --yes"));
        assert!(ends(Surface::CommandLine, Lang::Zh).ends_with("请加上 --yes"));
        assert!(ends(Surface::Service, Lang::En).ends_with("confirm it"));
        assert!(ends(Surface::Service, Lang::Zh).ends_with("请确认"));
    }

    #[test]
    fn ten_are_not_cut_and_of_more_than_are_known_no_more_is_promised() {
        let keys: Vec<_> = (0..10).collect();
        let problem = Problem::new(Code::Duplicates).told("keys", Told::items(&keys));
        assert_eq!(value(&problem, "keys"), Some("0; 1; 2; 3; 4; 5; 6; 7; 8; 9"));
        assert_eq!(value(&problem, "all_keys"), None);
        assert_eq!(Told::first_of(&keys[..2], 5).to_string(), "0; 1 and 3 more");
        let hundred: Vec<_> = (0..100).collect();
        let shown = Told::first_of(&hundred, 500).to_string();
        assert!(shown.ends_with("9 and 490 more (the JSON output has the first 100)"), "{shown}");
    }
}
