//! The limit that a person sets to a job's data rate.

use std::fmt;

use crate::problem::{Code, Problem, Told};

/// Units a person may write, largest first, so that a limit is shown in the largest one that divides it.
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];
/// Larger limits limit nothing; and the arithmetic with them stays exact.
const PER_SECOND_MAX: f64 = 1e12;

/// How much may be written in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxRate {
    /// Bytes on the wire; at least one.
    Bytes(u64),
    /// Rows; at least one.
    Rows(u64),
}

impl MaxRate {
    /// Reads `20MB/s` (also B, KB, GB, KiB, MiB, GiB), `5000rows/s`, or `none` for no limit.
    ///
    /// # Errors
    /// [`Code::MaxRate`].
    pub fn parse(text: &str) -> Result<Option<Self>, Problem> {
        let bad = |en: &str, zh: &str| {
            Problem::new(Code::MaxRate).with("rate", text).told("detail", Told::both(en, zh))
        };
        let not_by_second = || bad("it does not end with `/s`", "没有以 `/s` 结尾");
        let trimmed = text.trim();
        if trimmed.eq_ignore_ascii_case("none") {
            return Ok(None);
        }
        let Some((amount, second)) = trimmed.split_once('/') else {
            return Err(not_by_second());
        };
        if second.trim() != "s" {
            return Err(not_by_second());
        }
        let digits = amount.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let (number, unit) = amount.split_at(digits);
        let number: f64 =
            number.parse().map_err(|_| bad("it does not begin with a number", "没有以数字开头"))?;
        let unit = unit.trim();
        let is_rows = unit.eq_ignore_ascii_case("rows") || unit.eq_ignore_ascii_case("row");
        let size = if is_rows {
            1
        } else {
            let known = UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name));
            known.ok_or_else(|| bad("its unit is neither bytes nor rows", "单位既不是字节也不是行"))?.1
        };
        let per_second = (number * size as f64).round();
        if !(1.0..=PER_SECOND_MAX).contains(&per_second) {
            return Err(bad("it is too small or too large", "数值过小或过大"));
        }
        let per_second = per_second as u64;
        Ok(Some(if is_rows { Self::Rows(per_second) } else { Self::Bytes(per_second) }))
    }

    /// The part of one of several processes that keep to it together.
    pub(crate) fn share(self, processes: u64) -> Self {
        let of = |whole: u64| (whole / processes.max(1)).max(1);
        match self {
            Self::Bytes(bytes) => Self::Bytes(of(bytes)),
            Self::Rows(rows) => Self::Rows(of(rows)),
        }
    }

    /// As the store keeps it.
    pub(crate) fn stored(rate: Option<Self>) -> Option<String> {
        rate.map(|rate| rate.to_string())
    }

    /// From what [`MaxRate::stored`] gave.
    pub(crate) fn of_stored(text: Option<&str>) -> Result<Option<Self>, Problem> {
        text.map_or(Ok(None), Self::parse)
    }
}

/// As [`MaxRate::parse`] reads it.
impl fmt::Display for MaxRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(rows) => write!(f, "{rows}rows/s"),
            Self::Bytes(bytes) => {
                let whole = UNITS.iter().find(|(_, size)| bytes.is_multiple_of(*size));
                let (name, size) = whole.copied().unwrap_or(("B", 1));
                write!(f, "{}{name}/s", bytes / size)
            }
        }
    }
}

impl serde::Serialize for MaxRate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rates_are_bytes_or_rows_a_second() {
        for (text, rate) in [
            ("20MB/s", Some(MaxRate::Bytes(20_000_000))),
            ("20 MB/s", Some(MaxRate::Bytes(20_000_000))),
            ("1.5mb/s", Some(MaxRate::Bytes(1_500_000))),
            ("64KB/s", Some(MaxRate::Bytes(64_000))),
            ("64KiB/s", Some(MaxRate::Bytes(65_536))),
            ("3MiB/s", Some(MaxRate::Bytes(3 << 20))),
            ("1GB/s", Some(MaxRate::Bytes(1_000_000_000))),
            ("2GiB/s", Some(MaxRate::Bytes(2 << 30))),
            ("100B/s", Some(MaxRate::Bytes(100))),
            ("5000rows/s", Some(MaxRate::Rows(5000))),
            (" 1 row/s ", Some(MaxRate::Rows(1))),
            ("none", None),
            ("NONE", None),
        ] {
            assert_eq!(MaxRate::parse(text).unwrap(), rate, "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_reason() {
        for (text, why) in [
            ("", "`/s`"),
            ("20MB", "`/s`"),
            ("20MB/min", "`/s`"),
            ("MB/s", "number"),
            ("1.2.3MB/s", "number"),
            ("-1MB/s", "number"),
            ("5/s", "unit"),
            ("5Mbit/s", "unit"),
            ("0MB/s", "too small"),
            ("0.1rows/s", "too small"),
            ("99999999GB/s", "too large"),
        ] {
            let problem = MaxRate::parse(text).unwrap_err();
            assert_eq!(problem.code, Code::MaxRate, "{text}");
            assert!(problem.to_string().contains(why), "{problem}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_what_is_read(per_second in 1u64..1_000_000_000_000, of_rows: bool) {
            let rate = if of_rows { MaxRate::Rows(per_second) } else { MaxRate::Bytes(per_second) };
            prop_assert_eq!(MaxRate::parse(&rate.to_string()).unwrap(), Some(rate));
        }

        #[test]
        fn no_text_is_read_as_a_rate_of_nothing(text in "[0-9.]{0,6} ?[KMGkmg]?i?[Bb]?(rows)?/?s?") {
            if let Ok(Some(MaxRate::Bytes(per_second) | MaxRate::Rows(per_second))) = MaxRate::parse(&text) {
                prop_assert!(per_second >= 1);
            }
        }
    }
}
