//! Names that are longer than a terminal is wide.

use std::collections::BTreeMap;

use unicode_width::UnicodeWidthChar;
use vecferry_report::columns::width;

/// A text of at most so many columns: what is too much is left out of its middle, since names differ at their ends.
fn middle(text: &str, columns: usize) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
