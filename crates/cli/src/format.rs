//! Numbers as people read them. Sizes are decimal, as network rates are: 1 MB is 1,000,000 bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// `1,234,567`
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `512 B`, `1.5 KB`, `311.0 MB`, `2.0 GB`
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1e3;
    for unit in ["KB", "MB", "GB"] {
        // What would be rounded to 1000.0 belongs to the next unit.
        if value < 999.95 {
            return format!("{value:.1} {unit}");
        }
        value /= 1e3;
    }
    format!("{value:.1} TB")
}

/// A whole number a second: `12,345`.
pub(crate) fn per_second(number: u64, seconds: f64) -> u64 {
    if seconds > 0.0 { (number as f64 / seconds).round() as u64 } else { 0 }
}

/// `29.6 MB/s`; nothing to say of no time.
pub(crate) fn byte_rate(bytes: u64, seconds: f64) -> String {
    if bytes == 0 || seconds <= 0.0 {
        return "-".to_owned();
    }
    format!("{}/s", size(per_second(bytes, seconds)))
}

/// `0.42 s`, `12.3 s`, `4:05 min`, `2:03:04 h`
pub(crate) fn seconds(value: f64) -> String {
    if value < 9.995 {
        format!("{value:.2} s")
    } else if value < 99.95 {
        format!("{value:.1} s")
    } else {
        clock(Duration::from_secs_f64(value.min(1e9)))
    }
}

/// `0:05`, `4:05`, `2:03:04`
pub(crate) fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02} h")
    } else {
        format!("{minutes}:{seconds:02} min")
    }
}

/// Whole percents, never 100 before the end.
pub(crate) fn percent(part: u64, whole: u64) -> u64 {
    if whole == 0 || part >= whole {
        100
    } else {
        u64::try_from(u128::from(part) * 100 / u128::from(whole)).unwrap_or(100)
    }
}

/// Columns that a text takes on a terminal.
pub(crate) fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// A text filled up with spaces to a number of columns.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// A text of exactly so many columns: cut with an ellipsis or filled up with spaces.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return pad(text, columns);
    }
    let mut cut = String::new();
    let mut used = 1;
    for character in text.chars() {
        used += character.width().unwrap_or(0);
        if used > columns {
            break;
        }
        cut.push(character);
    }
    cut.push('…');
    pad(&cut, columns)
}

/// A text of at most so many columns: what is too much is left out of its middle, since names differ at their ends.
pub(crate) fn middle(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let keep = columns.saturating_sub(1);
    format!("{}…{}", head(text, keep - keep / 2), tail(text, keep / 2))
}

/// Texts of at most so many columns that can still be told apart: where two of them differ only in what [`middle`] leaves
/// out, the place where they begin to differ is shown too.
pub(crate) fn tellable(texts: &[String], columns: usize) -> Vec<String> {
    let mut shown: Vec<_> = texts.iter().map(|text| middle(text, columns)).collect();
    let mut alike: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, text) in shown.iter().enumerate().filter(|(at, text)| **text != texts[*at]) {
        alike.entry(text).or_default().push(at);
    }
    let mut told = Vec::new();
    for mut group in alike.into_values() {
        group.sort_by_key(|at| &texts[*at]);
        let neighbors = |place: usize| {
            let others = [place.checked_sub(1), Some(place + 1)];
            others.into_iter().flatten().filter_map(|other| group.get(other)).map(|other| &texts[*other])
        };
        for (place, &at) in group.iter().enumerate() {
            let differs_at = neighbors(place).filter(|other| **other != texts[at]);
            let differs_at = differs_at.map(|other| common_beginning(&texts[at], other)).max();
            told.extend(differs_at.map(|differs_at| (at, three_parts(&texts[at], differs_at, columns))));
        }
    }
    told.into_iter().for_each(|(at, text)| shown[at] = text);
    // Whatever is alike even so gets a number.
    let mut seen: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for (text, shown) in texts.iter().zip(&mut shown) {
        let same = seen.entry(shown.clone()).or_default();
        match same.iter().position(|known| *known == text) {
            Some(0) => {}
            Some(number) => *shown = numbered(shown, number, columns),
            None => {
                if !same.is_empty() {
                    *shown = numbered(shown, same.len(), columns);
                }
                same.push(text);
            }
        }
    }
    shown
}

fn numbered(text: &str, number: usize, columns: usize) -> String {
    let mark = format!("~{}", number + 1);
    format!("{}{mark}", head(text, columns.saturating_sub(mark.len())))
}

/// Bytes with which both begin.
fn common_beginning(one: &str, other: &str) -> usize {
    let same = one.char_indices().zip(other.chars()).take_while(|((_, one), other)| one == other);
    same.last().map_or(0, |((at, character), _)| at + character.len_utf8())
}

/// The beginning, what stands at a place, and the end.
fn three_parts(text: &str, place: usize, columns: usize) -> String {
    let part = columns.saturating_sub(2) / 3;
    let (first, last) = (head(text, part), tail(text, part));
    // A little of what both share shows where it is.
    let place = place.clamp(first.len(), text.len() - last.len());
    let (before, behind) = text[..text.len() - last.len()].split_at(place);
    let shared = tail(&before[first.len()..], part / 4);
    let differing = head(behind, part - width(&shared));
    format!("{first}…{shared}{differing}…{last}")
}

fn head(text: &str, columns: usize) -> String {
    let mut used = 0;
    let fits = |character: &char| {
        used += character.width().unwrap_or(0);
        used <= columns
    };
    text.chars().take_while(fits).collect()
}

fn tail(text: &str, columns: usize) -> String {
    let mut used = 0;
    let mut from = text.len();
    for (at, character) in text.char_indices().rev() {
        let wide = character.width().unwrap_or(0);
        used += wide;
        if used > columns {
            break;
        }
        // A mark without the character that it stands on would join what is before it.
        if wide > 0 {
            from = at;
        }
    }
    text[from..].to_owned()
}

/// Whether a character does something to a terminal, or turns the text around it: control characters (the escape of a
/// terminal's commands among them), the ends of lines, and the marks of bidirectional texts.
pub(crate) fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text of somebody else's (a server's message, a name, a key) in one line, without what would act on a terminal.
pub(crate) fn harmless(text: &str) -> String {
    let harmless = |character| match character {
        '\n' | '\r' | '\t' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
        character if acts(character) => '\u{fffd}',
        character => character,
    };
    text.chars().map(harmless).collect()
}

/// Commands that need to know where the job that they are about is recorded.
const COMMANDS_ABOUT_JOBS: [&str; 8] = [
    "vecferry jobs",
    "vecferry status",
    "vecferry resume",
    "vecferry rate",
    "vecferry cancel",
    "vecferry report",
    "vecferry verify",
    "vecferry load --job",
];

/// A text whose commands about jobs say where these are recorded, so that they work when they are typed as they stand there.
/// `record` is the options for it, with a space in front.
pub(crate) fn with_record(text: &str, record: Option<&str>) -> String {
    let Some(record) = record else { return text.to_owned() };
    let mut named = String::with_capacity(text.len() + record.len());
    let mut rest = text;
    while let Some(at) = rest.find("vecferry ") {
        let (before, command) = rest.split_at(at);
        named.push_str(before);
        let is_whole = |known: &&str| {
            let behind = command.strip_prefix(*known);
            behind.is_some_and(|behind| {
                !behind.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '-')
            })
        };
        let known = COMMANDS_ABOUT_JOBS.into_iter().find(is_whole);
        // Behind the name of the command.
        let length = match known {
            Some(known) => known.find(" --").unwrap_or(known.len()),
            None => "vecferry ".len(),
        };
        named.push_str(&command[..length]);
        if known.is_some() {
            named.push_str(record);
        }
        rest = &command[length..];
    }
    named.push_str(rest);
    named
}

/// An argument as it can be typed into a shell.
pub(crate) fn shell(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@%+=,".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_separators() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1234567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn sizes_are_decimal_and_never_show_a_thousand() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1500, "1.5 KB"),
            (999_949, "999.9 KB"),
            (999_950, "1.0 MB"),
            (311_000_000, "311.0 MB"),
            (2_000_000_000, "2.0 GB"),
            (5_000_000_000_000, "5.0 TB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn rates_of_no_time_are_no_number() {
        assert_eq!(byte_rate(100, 0.0), "-");
        assert_eq!(byte_rate(0, 1.0), "-");
        assert_eq!(byte_rate(30_000_000, 2.0), "15.0 MB/s");
        assert_eq!(per_second(10, 0.0), 0);
        assert_eq!(per_second(10, 4.0), 3);
    }

    #[test]
    fn durations_get_coarser() {
        for (value, text) in [
            (0.421, "0.42 s"),
            (9.999, "10.0 s"),
            (12.34, "12.3 s"),
            (245.0, "4:05 min"),
            (7384.0, "2:03:04 h"),
        ] {
            assert_eq!(seconds(value), text);
        }
        assert_eq!(clock(Duration::from_secs(5)), "0:05 min");
    }

    #[test]
    fn percents_end_at_the_end() {
        assert_eq!(percent(999, 1000), 99);
        assert_eq!(percent(1000, 1000), 100);
        assert_eq!(percent(0, 0), 100);
        assert_eq!(percent(u64::MAX - 1, u64::MAX), 99);
    }

    #[test]
    fn wide_characters_count_two_columns() {
        assert_eq!(width("集合"), 4);
        assert_eq!(pad("集合", 6), "集合  ");
        assert_eq!(fit("集合集合", 5), "集合…");
        assert_eq!(fit("集合集合", 6), "集合… ");
        assert_eq!(fit("abc", 5), "abc  ");
        assert_eq!(fit("abcdef", 5), "abcd…");
    }

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(middle("abcdefghij", 10), "abcdefghij");
        assert_eq!(middle("abcdefghijk", 10), "abcde…hijk");
        let wide = middle(&"集".repeat(200), 21);
        assert_eq!((wide.as_str(), width(&wide)), ("集集集集集…集集集集集", 21));
        assert!(width(&middle(&"集".repeat(200), 20)) <= 20);
        // A mark stays with its character, or goes with it.
        assert_eq!(middle("abcdefghije\u{301}", 4), "ab…e\u{301}");
    }

    #[test]
    fn names_that_differ_only_in_the_middle_are_told_apart() {
        let long = |middle: &str| format!("default.{}{middle}{}", "x".repeat(110), "y".repeat(110));
        let texts: Vec<_> =
            ["_a_", "_b_", "_b_", "_c1", "_c2", "集合", "集群"].iter().map(|part| long(part)).collect();
        let shown = tellable(&texts, 40);
        for (text, shown) in texts.iter().zip(&shown) {
            assert!(width(shown) <= 40, "{shown}");
            assert!(shown.starts_with("default.") && shown.ends_with('y'), "{text}: {shown}");
        }
        for (one, of_one) in texts.iter().zip(&shown) {
            for (other, of_other) in texts.iter().zip(&shown) {
                assert_eq!(one == other, of_one == of_other, "{of_one} {of_other}");
            }
        }
        // What differs at its ends is not touched by this.
        let plain = ["a".repeat(90), "b".repeat(90)];
        assert_eq!(tellable(&plain, 9), ["aaaa…aaaa", "bbbb…bbbb"]);
        // However narrow it is.
        let narrow = tellable(&texts, 12);
        assert!(narrow.iter().all(|shown| width(shown) <= 12), "{narrow:?}");
        assert_eq!(narrow.iter().collect::<std::collections::BTreeSet<_>>().len(), 6, "{narrow:?}");
    }

    #[test]
    fn foreign_texts_do_not_act_on_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\nc\td"), "a\u{fffd}[2Jb c d");
        for acting in [
            '\0', '\u{7}', '\u{7f}', '\u{9b}', '\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202e}',
            '\u{2066}', '\u{2069}',
        ] {
            assert_eq!(harmless(&acting.to_string()), "\u{fffd}", "{acting:?}");
        }
        assert_eq!(harmless("集合 é 👩\u{200d}🚀"), "集合 é 👩\u{200d}🚀");
    }

    #[test]
    fn commands_about_jobs_name_their_directory() {
        let text = "run `vecferry resume j`, `vecferry load --job j`, `vecferry load --target t`, \
                    `vecferry jobs` or `vecferry migrate`: vecferry cancel j --clean";
        assert_eq!(with_record(text, None), text);
        assert_eq!(
            with_record(text, Some(" --state-dir '/a b'")),
            "run `vecferry resume --state-dir '/a b' j`, `vecferry load --state-dir '/a b' --job j`, \
             `vecferry load --target t`, `vecferry jobs --state-dir '/a b'` or `vecferry migrate`: \
             vecferry cancel --state-dir '/a b' j --clean"
        );
        assert_eq!(with_record("vecferry resumed", Some(" --store a")), "vecferry resumed");
        assert_eq!(with_record("vecferry", Some(" --store a")), "vecferry");
    }

    #[test]
    fn arguments_survive_a_shell() {
        assert_eq!(shell("http://h:1"), "http://h:1");
        assert_eq!(shell("it's *"), r"'it'\''s *'");
        assert_eq!(shell(""), "''");
    }
}
