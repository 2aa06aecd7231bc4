//! Parts of plans and reports in words, for a cell or a line.

use vecferry_migrate::event::Phase;
use vecferry_migrate::report::{CaughtUp, CollectionReport, PaceReport, RoundReport, RoundState};
use vecferry_migrate::{JobState, Report, VerifyLevel};
use vecferry_milvus::CollectionName;
use vecferry_words::Lang;

use crate::{figures, harmless, labels};

/// Longer lists are cut; `--json` shows all.
pub const LIST_MAX: usize = 10;

/// Names in one line: the first of them, and how many were left out.
pub fn names(lang: Lang, names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(LIST_MAX).map(|name| harmless(name)).collect();
    let shown = shown.join(labels::comma(lang));
    match names.len().saturating_sub(LIST_MAX) {
        0 => shown,
        more => format!("{shown} {}", labels::more(lang, more)),
    }
}

/// The names; none where there are none, and the word for it where they are not known.
pub fn resource_groups(lang: Lang, groups: Option<&[String]>) -> Option<String> {
    match groups {
        None => Some(labels::not_told(lang).to_owned()),
        Some([]) => None,
        Some(all) => Some(names(lang, all)),
    }
}

/// How the proof of a collection came out.
pub fn verification(lang: Lang, report: &Report, collection: &CollectionReport) -> String {
    let codes = codes_of(report, &collection.source_name());
    let with_codes = |text: &str| format!("{text} {codes}").trim_end().to_owned();
    let Some(proof) = &collection.verification else {
        return match collection.phase {
            Phase::Failed => with_codes(labels::phase(lang, Phase::Failed)),
            Phase::Canceled => labels::phase(lang, Phase::Canceled).to_owned(),
            Phase::Done if report.verify == VerifyLevel::None => labels::verified_none(lang).to_owned(),
            Phase::Done
            | Phase::Waiting
            | Phase::LoadingSource
            | Phase::Creating
            | Phase::Copying
            | Phase::Flushing
            | Phase::Indexing
            | Phase::Verifying => with_codes(labels::not_verified(lang)),
        };
    };
    let mut cell = match (proof.passed, proof.level) {
        (true, VerifyLevel::None) => labels::verified_none(lang).to_owned(),
        (true, VerifyLevel::Count) => "count ✓".to_owned(),
        (true, VerifyLevel::Sample) => labels::sample_passed(lang, proof.rows_compared),
        (true, VerifyLevel::Full) => labels::full_passed(lang, proof.rows_compared),
        (false, failed) => with_codes(&format!("{} ✗", labels::level(failed))),
    };
    // Where the proof failed, nobody knows which of the rows too many are repeated keys.
    if proof.passed && proof.duplicate_rows > 0 {
        cell.push_str(labels::comma(lang));
        cell.push_str(&labels::duplicates(lang, proof.duplicate_rows));
    }
    cell
}

/// Codes of the problems that name a collection.
fn codes_of(report: &Report, collection: &CollectionName) -> String {
    let name = collection.to_string();
    let mut codes: Vec<_> = report
        .problems
        .iter()
        .filter(|problem| problem.values.iter().any(|(key, value)| key == "collection" && *value == name))
        .map(|problem| problem.code.to_string())
        .collect();
    codes.dedup();
    codes.join(" ")
}

/// What the copy waited for, in percent; parts that are less than one are left out.
pub fn wait_shares(lang: Lang, pace: &PaceReport) -> Option<String> {
    let percents = pace.waits.iter().map(|wait| (wait.on, (wait.share * 100.0).round() as u64));
    let percents: Vec<_> = percents.filter(|(_, percent)| *percent > 0).collect();
    (!percents.is_empty()).then(|| labels::shares(lang, &percents))
}

/// What a round did, in a line.
pub fn round(lang: Lang, round: &RoundReport) -> String {
    let (kind, state) = (labels::round_kind(lang, round.kind), labels::round_state(lang, round.state));
    let (rows, size) = (labels::some_rows(lang, round.rows), figures::size(round.bytes));
    let (number, time) = (round.number, figures::seconds(round.seconds));
    let window = round.window_seconds.map(figures::seconds);
    let of_window = |text: &str| window.as_deref().map(|time| format!("{text} {time}")).unwrap_or_default();
    lang.pick(
        format!(
            "Round {number}, {kind}: {state}, {rows} written ({size}) in {time}{}",
            of_window(", downtime window")
        ),
        format!(
            "第 {number} 轮（{kind}）：{state}，写入 {rows}（{size}），用时 {time}{}",
            of_window("，停机窗口")
        ),
    )
}

/// How far source and target were apart, as a round found it, if it compared them.
pub fn round_found(lang: Lang, round: &RoundReport) -> Option<String> {
    round.caught_up.as_ref().map(|found| caught_up(lang, found, round.state == RoundState::Done))
}

/// The same of a collection. It may be that not all of it could be made equal; then a problem names it.
pub fn collection_found(lang: Lang, report: &Report, collection: &CollectionReport) -> Option<String> {
    let is_equal = collection.phase == Phase::Done && codes_of(report, &collection.source_name()).is_empty();
    collection.caught_up.as_ref().map(|found| caught_up(lang, found, is_equal))
}

fn caught_up(lang: Lang, found: &CaughtUp, is_equal: bool) -> String {
    let mut compared = labels::rows_compared(lang, found.rows_compared);
    if found.rows_trusted > 0 {
        let sampled = labels::some_rows(lang, found.rows_trusted);
        compared += &lang.pick(
            format!(", {sampled} only sampled (--trust-unchanged)"),
            format!("，另有 {sampled}仅抽样比对（--trust-unchanged）"),
        );
    }
    let count = figures::count;
    let (missing, changed, extra) =
        (count(found.rows_missing), count(found.rows_changed), count(found.rows_extra));
    let total = match found.rows_differing() {
        0 => return format!("{compared}{}", lang.pick(", none differed", "，未发现差异")),
        total => count(total),
    };
    let equal = if is_equal { lang.pick("; made equal", "；已修正一致") } else { "" };
    lang.pick(
        format!("{compared}: {missing} missing, {changed} changed, {extra} extra ({total} in total){equal}"),
        format!("{compared}：缺失 {missing} 行，改变 {changed} 行，多余 {extra} 行（共 {total} 行）{equal}"),
    )
}

/// Of a job that is ready after a catch-up: how far source and target were apart, for whoever decides on another one.
pub fn apart(lang: Lang, report: &Report) -> Option<String> {
    let mut compared =
        report.rounds.iter().rev().filter_map(|round| Some((round, round.caught_up.as_ref()?)));
    let (last, found) = compared.next()?;
    let is_newest = report.rounds.last().is_some_and(|round| round.number == last.number);
    if report.state != JobState::Ready || !is_newest || last.state != RoundState::Done {
        return None;
    }
    let rows = found.rows_differing();
    if rows == 0 {
        return Some(
            lang.pick(
                "The last catch-up found no differences: another one hardly shortens the downtime window."
                    .to_owned(),
                "上一轮更新未发现差异，再次更新几乎不会缩短停机窗口。".to_owned(),
            ),
        );
    }
    let (rows, time) = (labels::some_rows(lang, rows), figures::seconds(last.seconds));
    let before = compared.next().map(|(_, found)| figures::count(found.rows_differing()));
    let of_before = |text: &str| before.as_deref().map(|rows| format!("{text}{rows}")).unwrap_or_default();
    Some(lang.pick(
        format!(
            "Source and target were {rows} apart at the last catch-up ({time}{}). Another one shortens the downtime \
             window if that number still falls.",
            of_before("; at the one before: ")
        ),
        format!(
            "上一轮更新时源集群与目标集群相差 {rows}（用时 {time}{}）。如果该数字仍在下降，再次更新可缩短停机窗口。",
            of_before("；再上一轮：")
        ),
    ))
}

/// What a person may do with a job that is ready, before the downtime window.
pub fn before_window(lang: Lang, job: &str) -> String {
    lang.pick(
        format!(
            "While the applications still write, `vecferry catch-up {job}` brings the target up to date, as often as you \
             like: the downtime window gets shorter."
        ),
        format!(
            "在应用继续写入期间，可多次运行 `vecferry catch-up {job}` 更新目标集群，以缩短停机窗口。"
        ),
    )
}

/// What is left of that once the job was cut over.
pub fn checklist_after(lang: Lang, target: &str) -> [String; 3] {
    lang.pick(
        [
            format!("Switch reads and writes to {target}."),
            "Let the writers continue, on the target.".to_owned(),
            "Keep the source until you are sure.".to_owned(),
        ],
        [
            format!("将读写切换到 {target}。"),
            "在目标集群上恢复写入。".to_owned(),
            "确认无误之前，请保留源集群。".to_owned(),
        ],
    )
}

/// What a person does with a job that is ready, in this order.
pub fn checklist(lang: Lang, job: &str, target: &str) -> [String; 5] {
    lang.pick(
        [
            "Stop all writers of the source.".to_owned(),
            format!("Run `vecferry cutover {job}`. It compares every row, copies what changed, and switches aliases."),
            format!("When it has succeeded, switch reads and writes to {target}."),
            "Let the writers continue.".to_owned(),
            "Keep the source until you are sure.".to_owned(),
        ],
        [
            "停止对源集群的所有写入。".to_owned(),
            format!("运行 `vecferry cutover {job}`：它会逐行比对、复制变化的数据并切换别名。"),
            format!("切换成功后，将读写切换到 {target}。"),
            "恢复写入。".to_owned(),
            "确认无误之前，请保留源集群。".to_owned(),
        ],
    )
}

/// What is on the target, complete and not loaded. Nothing is before a job is ended that is ready.
pub fn loadable(report: &Report) -> Vec<CollectionName> {
    if report.state == JobState::Ready {
        return Vec::new();
    }
    report
        .collections
        .iter()
        .filter(|collection| collection.phase == Phase::Done && collection.created && !collection.loaded)
        .map(CollectionReport::target_name)
        .collect()
}
