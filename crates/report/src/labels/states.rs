//! States of jobs, stages of collections, and how far an index is.

use vecferry_migrate::JobState;
use vecferry_migrate::event::Phase;
use vecferry_migrate::report::{IndexReport, JobKind, RoundKind, RoundState};
use vecferry_words::Lang;

use crate::figures;

vecferry_words::sentences! {
    pub,
    /// Progress of a collection.
    collection_done "done" "已完成";
    /// Progress of a collection.
    collection_copied "copied, not yet verified" "已复制，尚未校验";
    /// Progress of a collection.
    collection_copying "copying" "复制中";
    /// Progress of a collection.
    collection_waiting "waiting" "等待中";
    /// What `load` found nothing of.
    nothing_loaded "no collection was loaded" "没有加载任何 Collection";
}

/// State of a job. The English word is the one that interfaces use, so it stays in both languages.
pub fn state(lang: Lang, state: JobState) -> &'static str {
    match state {
        JobState::Pending => lang.pick("PENDING", "PENDING（等待中）"),
        JobState::InProgress => lang.pick("IN_PROGRESS", "IN_PROGRESS（进行中）"),
        JobState::Canceling => lang.pick("CANCELING", "CANCELING（取消中）"),
        JobState::Ready => lang.pick("READY", "READY（就绪）"),
        JobState::Successful => lang.pick("SUCCESSFUL", "SUCCESSFUL（成功）"),
        JobState::Failed => lang.pick("FAILED", "FAILED（失败）"),
        JobState::Canceled => lang.pick("CANCELED", "CANCELED（已取消）"),
    }
}

/// State of a job as recorded; an open job without a process was interrupted.
pub fn recorded_state(lang: Lang, state: JobState, live: bool) -> String {
    match (state.is_open() || state == JobState::Pending, live) {
        (true, false) => lang.pick(format!("{state} (interrupted)"), format!("{state}（已中断）")),
        (true, true) | (false, _) => state.to_string(),
    }
}

/// The state of a job with how it copies, where that is not in one go.
pub fn state_of_kind(lang: Lang, kind: JobKind, state: &str) -> String {
    match kind {
        JobKind::Plain => state.to_owned(),
        JobKind::Warm => lang.pick(format!("{state}, warm"), format!("{state}，预复制")),
    }
}

/// What a round is for.
pub fn round_kind(lang: Lang, kind: RoundKind) -> &'static str {
    match kind {
        RoundKind::Warm => lang.pick("warm copy", "预复制"),
        RoundKind::CatchUp => lang.pick("catch-up", "更新"),
        RoundKind::CutOver => lang.pick("cut-over", "切换"),
    }
}

/// Where a round is.
pub fn round_state(lang: Lang, state: RoundState) -> &'static str {
    match state {
        RoundState::Open => lang.pick("not complete", "未完成"),
        RoundState::Done => lang.pick("complete", "已完成"),
        RoundState::Failed => lang.pick("failed", "失败"),
    }
}

/// A job and its state.
pub fn job_is(lang: Lang, job: &str, state: &str) -> String {
    lang.pick(format!("Job {job}: {state}"), format!("任务 {job}：{state}"))
}

/// A step of a collection.
pub fn phase(lang: Lang, phase: Phase) -> &'static str {
    match phase {
        Phase::Waiting => lang.pick("waiting", "等待中"),
        Phase::LoadingSource => lang.pick("loading", "加载中"),
        Phase::Creating => lang.pick("creating", "创建中"),
        Phase::Copying => lang.pick("copying", "复制中"),
        Phase::Flushing => lang.pick("flushing", "落盘中"),
        Phase::Indexing => lang.pick("indexing", "建索引中"),
        Phase::Verifying => lang.pick("verifying", "校验中"),
        Phase::Done => lang.pick("done", "完成"),
        Phase::Failed => lang.pick("failed", "失败"),
        Phase::Canceled => lang.pick("canceled", "已取消"),
    }
}

/// A step of a collection in a round that compares while the source may change: that verifies nothing.
pub fn phase_of_round(lang: Lang, step: Phase) -> &'static str {
    match step {
        Phase::Verifying => lang.pick("comparing", "比对中"),
        Phase::Waiting
        | Phase::LoadingSource
        | Phase::Creating
        | Phase::Copying
        | Phase::Flushing
        | Phase::Indexing
        | Phase::Done
        | Phase::Failed
        | Phase::Canceled => phase(lang, step),
    }
}

/// How far an index is built.
pub fn index_state(lang: Lang, index: &IndexReport) -> String {
    let percent = index.built_percent();
    match index.built_after_seconds.map(figures::seconds) {
        _ if percent < 100 => lang.pick(format!("{percent}% built"), format!("已构建 {percent}%")),
        Some(after) => {
            lang.pick(format!("built {after} after the start"), format!("开始后 {after} 已构建完成"))
        }
        None => lang.pick("built".to_owned(), "已构建".to_owned()),
    }
}
