//! What a job waits for, and its rate limit.

use vecferry_migrate::event::{Awaited, Bottleneck, Side, Wait};
use vecferry_words::Lang;

use super::{check, comma};
use crate::figures;

/// Why something waits.
pub fn wait(lang: Lang, wait: Wait) -> &'static str {
    match wait {
        Wait::SourceLimit => lang.pick("rate limit of the source", "源集群对读取限速"),
        Wait::SourceBusy => {
            lang.pick("the source is busy or unreachable, trying again", "源集群繁忙或无法连接，正在重试")
        }
        Wait::TargetLimit => lang.pick("rate limit of the target", "目标集群对写入限速"),
        Wait::TargetDenies => lang.pick(
            "the target rejects writes (memory, disk or quota), trying again",
            "目标集群拒绝写入（内存、磁盘或配额），正在重试",
        ),
        Wait::TargetBusy => {
            lang.pick("the target is busy or unreachable, trying again", "目标集群繁忙或无法连接，正在重试")
        }
    }
}

/// What is waited for, and for how long already.
pub fn awaited(lang: Lang, awaited: &Awaited, seconds: u64) -> String {
    let of = |of: Side| match of {
        Side::Source => lang.pick("the source", "源集群"),
        Side::Target => lang.pick("the target", "目标集群"),
    };
    let count = |rows: u64| figures::count(rows);
    let zh = lang == Lang::Zh;
    let what = match awaited {
        Awaited::Check { check: id } if zh => format!("检查“{}”仍在进行", check(lang, *id)),
        Awaited::Check { check: id } => format!("the check \"{}\" is still running", check(lang, *id)),
        Awaited::Load { side, percent } => {
            let told = format!("{}{}", of(*side), lang.pick(" is loading it", "正在加载"));
            match percent {
                Some(percent) if zh => format!("{told}：{percent} %"),
                Some(percent) => format!("{told}: {percent}%"),
                None => told,
            }
        }
        Awaited::Memory { side, rows_served, rows_stored } if zh => format!(
            "{}已将 {} / {} 行存储数据载入内存，正在等待其余部分",
            of(*side),
            count(*rows_served),
            count(*rows_stored)
        ),
        Awaited::Memory { side, rows_served, rows_stored } => format!(
            "{} serves {} of {} stored rows from memory; waiting for the rest",
            of(*side),
            count(*rows_served),
            count(*rows_stored)
        ),
        Awaited::Stored { side } if zh => format!("{}正在落盘（Flush）", of(*side)),
        Awaited::Stored { side } => format!("{} is flushing", of(*side)),
        Awaited::Sorted { side } if zh => format!("{}正在对新 Segment 排序", of(*side)),
        Awaited::Sorted { side } => format!("{} is sorting new segments", of(*side)),
        Awaited::Index { rows_built, rows_total } if zh => {
            format!("目标集群正在构建索引：{} / {} 行", count(*rows_built), count(*rows_total))
        }
        Awaited::Index { rows_built, rows_total } => {
            format!(
                "the target has built {} of {} rows of the indexes",
                count(*rows_built),
                count(*rows_total)
            )
        }
        Awaited::Turn { side } if zh => format!("等待轮到自己：{}正在加载其他 Collection", of(*side)),
        Awaited::Turn { side } => format!("waiting for its turn: {} is loading other collections", of(*side)),
        Awaited::Retry { detail } if zh => format!("正在重试：{detail}"),
        Awaited::Retry { detail } => format!("trying again: {detail}"),
        Awaited::Answer => lang.pick("waiting for a response", "正在等待响应").to_owned(),
    };
    if zh { format!("{what}，{seconds} 秒") } else { format!("{what}, {seconds} s") }
}

/// Something that the copy waits for.
pub fn bottleneck(lang: Lang, bottleneck: Bottleneck) -> &'static str {
    match bottleneck {
        Bottleneck::Source => lang.pick("source latency", "源集群响应延迟"),
        Bottleneck::SourceLimit => lang.pick("source rate limit", "源集群限速"),
        Bottleneck::Target => lang.pick("target ingest", "目标集群写入能力"),
        Bottleneck::TargetLimit => lang.pick("target rate limit", "目标集群限速"),
        Bottleneck::MaxRate => "--max-rate",
        Bottleneck::Ledger => lang.pick("job record", "任务记录"),
    }
}

/// What the copy waits for most.
pub fn bound_by(lang: Lang, by: Bottleneck) -> String {
    let by = bottleneck(lang, by);
    lang.pick(format!("bound by: {by}"), format!("受限于：{by}"))
}

/// What was waited for, in parts of the whole.
pub fn shares(lang: Lang, shares: &[(Bottleneck, u64)]) -> String {
    let unit = lang.pick("%", " %");
    let shares = shares.iter().map(|(on, percent)| format!("{} {percent}{unit}", bottleneck(lang, *on)));
    shares.collect::<Vec<_>>().join(comma(lang))
}

/// What an attempt waited for, and how often the job record was written.
pub fn waited(lang: Lang, shares: &str, commits: u64) -> String {
    let commits = figures::count(commits);
    lang.pick(
        format!("The copy waited for: {shares}; the job record was written {commits} times"),
        format!("复制的等待时间：{shares}；任务记录写入 {commits} 次"),
    )
}

/// The rate limit.
pub fn max_rate(lang: Lang, rate: Option<&str>) -> String {
    match rate {
        Some(rate) => {
            let rate = worded_rate(lang, rate);
            lang.pick(format!("rate limited to {rate}"), format!("限速：{rate}"))
        }
        None => lang.pick("no rate limit".to_owned(), "不限速".to_owned()),
    }
}

/// A limit as options and records have it, `20MB/s` or `5000rows/s`, in words.
fn worded_rate(lang: Lang, rate: &str) -> String {
    let unit_at = rate.find(|character: char| !character.is_ascii_digit()).unwrap_or(rate.len());
    let (number, unit) = rate.split_at(unit_at);
    let Ok(number) = number.parse() else { return rate.to_owned() };
    let count = figures::count(number);
    match (unit, number) {
        ("rows/s", 1) => lang.pick("1 row/s".to_owned(), "1 行/秒".to_owned()),
        ("rows/s", _) => lang.pick(format!("{count} rows/s"), format!("{count} 行/秒")),
        (_, _) => format!("{count} {unit}"),
    }
}

/// The limit of a job was recorded.
pub fn rate_set(lang: Lang, job: &str, rate: Option<&str>, live: bool) -> String {
    let limit = max_rate(lang, rate);
    let when = match live {
        true => lang.pick("from now on", "立即生效"),
        false => lang.pick("when it is resumed", "继续任务时生效"),
    };
    lang.pick(format!("Job {job}: {limit}, {when}"), format!("任务 {job}：{limit}，{when}"))
}
