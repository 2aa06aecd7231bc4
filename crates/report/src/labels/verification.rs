//! How a verification came out, and the rows that it found.

use vecferry_migrate::VerifyLevel;
use vecferry_words::Lang;

use super::{comma, some_rows};
use crate::figures;

vecferry_words::sentences! {
    pub,
    /// Verification was turned off.
    verified_none "none" "未校验";
    /// The verification did not run.
    not_verified "not verified" "未校验";
    /// Both sides are the same.
    equal "Source and target are equal in all that was compared." "在比对范围内，源集群和目标集群一致。";
    /// They are not, or it is not known.
    not_equal
        "Source and target could not be confirmed to be equal; see the errors."
        "未能确认源集群和目标集群一致；请查看错误信息。";
    /// Heading of the rows that differ.
    differing_rows "Rows that differ" "不一致的行";
    /// Heading of the rows that a repair found.
    mended_rows "Rows that differed before the repair" "修复前不一致的行";
    /// On the source only.
    missing "missing" "缺失";
    /// On the target only.
    extra "extra" "多余";
    /// With other values.
    changed "changed" "改变";
    /// Duplicate primary key in the source.
    repeated_keys "duplicate primary key in the source" "源集群中主键重复";
    /// Duplicate primary key on the target.
    repeated_on_target "duplicate primary key on the target" "目标集群中主键重复";
    /// In another partition.
    swapped "in the wrong partition" "位于错误的 Partition";
}

/// Name of a level, the same in both languages.
pub fn level(level: VerifyLevel) -> &'static str {
    match level {
        VerifyLevel::None => "none",
        VerifyLevel::Count => "count",
        VerifyLevel::Sample => "sample",
        VerifyLevel::Full => "full",
    }
}

/// How a job ended, and how it was verified.
pub fn job(lang: Lang, id: &str, state: &str, level: &str, seed: u64) -> String {
    let seed = match level {
        "sample" => format!("{}{} {seed}", comma(lang), lang.pick("seed", "种子")),
        _ => String::new(),
    };
    lang.pick(
        format!("Job {id}: {state} (verified: {level}{seed})"),
        format!("任务 {id}：{state}，校验：{level}{seed}"),
    )
}

/// How many rows a sample compared.
pub fn sample_passed(lang: Lang, rows: u64) -> String {
    format!("sample ✓ {}", some_rows(lang, rows))
}

/// How many rows a comparison of all rows compared.
pub fn full_passed(lang: Lang, rows: u64) -> String {
    format!("full ✓ {}", some_rows(lang, rows))
}

/// Duplicate primary keys.
pub fn duplicates(lang: Lang, rows: u64) -> String {
    let rows = figures::count(rows);
    lang.pick(format!("{rows} duplicates"), format!("{rows} 行重复"))
}

/// A row by partition and key, with what is to be said of it.
pub fn row(lang: Lang, partition: Option<&str>, key: &str, remarks: &[String]) -> String {
    let partition = partition.map(|partition| {
        lang.pick(format!(" in partition `{partition}`"), format!("，Partition `{partition}`"))
    });
    let mut text = format!("{} {key}{}", lang.pick("primary key", "主键"), partition.unwrap_or_default());
    if !remarks.is_empty() {
        let remarks = remarks.join(comma(lang));
        text.push_str(&lang.pick(format!(" ({remarks})"), format!("（{remarks}）")));
    }
    text
}
