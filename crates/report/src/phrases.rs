//! Parts of plans and reports in words, for a cell or a line.

use vecferry_migrate::event::Phase;
use vecferry_migrate::report::{CollectionReport, PaceReport, RoundReport};
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
    lang.pick(
        format!("Round {number}, {kind}: {state}, {rows} written ({size}) in {time}"),
        format!("第 {number} 轮（{kind}）：{state}，写入 {rows}（{size}），用时 {time}"),
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
