//! States, names and times of migrations as the console words them.

use std::collections::BTreeMap;

use vecferry_migrate::{JobState, VerifyLevel};
use vecferry_report::{figures, labels};
use vecferry_store::JobKind;
use vecferry_words::Lang;

use crate::console::show::{Say, took};
use crate::jobs::JobRequest;
use crate::tables::{MigrationRecord, MigrationSource};

/// A state: a word, and the name of its color.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chip {
    pub(super) word: &'static str,
    pub(super) tone: &'static str,
}

/// The state of a job at a time. One that is to start later is not late.
pub(super) fn chip(t: Say, record: &MigrationRecord, now_ms: i64) -> Chip {
    let (tone, word) = match record.state {
        JobState::Pending if is_scheduled(record, now_ms) => ("idle", t.0.pick("Scheduled", "已预约")),
        JobState::Pending | JobState::Canceled => ("idle", t.state(record.state)),
        JobState::InProgress | JobState::Canceling => ("live", t.state(record.state)),
        JobState::Ready => ("caution", t.state(record.state)),
        JobState::Successful => ("good", t.state(record.state)),
        JobState::Failed => ("bad", t.state(record.state)),
    };
    Chip { word, tone }
}

/// Whether a job is to start at a later time.
pub(super) fn is_scheduled(record: &MigrationRecord, now_ms: i64) -> bool {
    record.state == JobState::Pending && record.start_ms > now_ms
}

/// Whether a job is not at its end, nor at rest.
pub(super) fn is_open(state: JobState) -> bool {
    match state {
        JobState::Pending | JobState::InProgress | JobState::Canceling => true,
        JobState::Ready | JobState::Successful | JobState::Failed | JobState::Canceled => false,
    }
}

/// What a cluster is called: by its name, or by the host of its address.
fn called(names: &BTreeMap<String, String>, cluster_id: Option<&str>, address: &str) -> String {
    let name = cluster_id.and_then(|id| names.get(id));
    name.cloned().unwrap_or_else(|| host(address).to_owned())
}

/// The host and port of an address.
fn host(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// The names of both clusters of a job.
pub(super) fn sides(record: &MigrationRecord, names: &BTreeMap<String, String>) -> (String, String) {
    let source_id = match &record.source {
        MigrationSource::Cluster { cluster_id, .. } => Some(cluster_id.as_str()),
        MigrationSource::Elsewhere { .. } => None,
    };
    let source = called(names, source_id, &record.source_address);
    (source, called(names, Some(&record.target_cluster_id), &record.target_address))
}

/// IDs of everything that is named of a job.
pub(super) fn named(record: &MigrationRecord) -> impl Iterator<Item = &str> {
    let source = match &record.source {
        MigrationSource::Cluster { cluster_id, .. } => Some(cluster_id.as_str()),
        MigrationSource::Elsewhere { .. } => None,
    };
    [record.target_cluster_id.as_str(), record.created_by.as_str()].into_iter().chain(source)
}

/// How far apart both clusters are.
pub(super) fn relation(t: Say, record: &MigrationRecord) -> &'static str {
    match &record.source {
        MigrationSource::Cluster { project_id, .. } if *project_id == record.project_id => {
            t.0.pick("same project", "同项目")
        }
        MigrationSource::Cluster { .. } => t.0.pick("other project", "跨项目"),
        MigrationSource::Elsewhere { .. } => t.0.pick("other organization", "跨组织"),
    }
}

/// How a job copies, where that is not in one go.
pub(super) fn kind(t: Say, record: &MigrationRecord) -> Option<&'static str> {
    match record.kind {
        JobKind::Plain => None,
        JobKind::Warm => Some(t.0.pick("copy now, switch later", "先复制，后切换")),
    }
}

/// How many collections a job is about: as recorded, or else as asked for.
pub(super) fn collections(t: Say, record: &MigrationRecord, recorded: Option<u64>) -> String {
    let some = |count: u64| match count {
        1 => labels::some_collections(t.0, 1),
        _ => t.with("{} collections", "{} 个 Collection", figures::count(count)),
    };
    if let Some(count) = recorded.filter(|count| *count > 0) {
        return some(count);
    }
    let request: JobRequest = serde_json::from_str(&record.request).unwrap_or_default();
    let is_named = |databases: &[crate::jobs::Database]| databases.iter().all(|db| db.collections.is_some());
    match &request.databases {
        Some(databases) if is_named(databases) => some(request.named() as u64),
        Some(_) | None => t.0.pick("all collections", "全部 Collection").to_owned(),
    }
}

/// Characters of an ID that tell jobs apart.
const SHORT: usize = 8;

/// The part of an ID by which people tell jobs apart: its end, for it begins with the time.
pub(super) fn short(job_id: &str) -> &str {
    job_id.len().checked_sub(SHORT).and_then(|from| job_id.get(from..)).unwrap_or(job_id)
}

/// A level of verification in a word.
pub(super) fn level(lang: Lang, level: VerifyLevel) -> &'static str {
    match level {
        VerifyLevel::None => lang.pick("none", "不校验"),
        VerifyLevel::Count => lang.pick("row counts", "行数"),
        VerifyLevel::Sample => lang.pick("row counts and a sample", "行数与抽样"),
        VerifyLevel::Full => lang.pick("every row", "逐行"),
    }
}

/// A time that is left, as coarse as it is known.
pub(super) fn left(t: Say, seconds: f64) -> String {
    if seconds < 60.0 {
        return t.say("less than a minute left", "剩余不到 1 分钟").to_owned();
    }
    let time = took(t.0, (seconds / 60.0).ceil() * 60.0);
    // Seconds would be more than anybody knows.
    let time = time.strip_suffix(t.0.pick(" 0 s", " 0 秒")).unwrap_or(&time);
    t.with("about {} left", "预计剩余 {}", time)
}

/// Seconds that are left at the pace so far, once that says something.
pub(super) fn seconds_left(rows: u64, rows_total: u64, worked_seconds: f64) -> Option<f64> {
    let is_known = rows > 0 && rows_total > rows && worked_seconds > 1.0;
    is_known.then(|| worked_seconds * (rows_total - rows) as f64 / rows as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_coarse() {
        assert_eq!(left(Say(Lang::En), 59.0), "less than a minute left");
        assert_eq!(left(Say(Lang::En), 61.0), "about 2 min left");
        assert_eq!(left(Say(Lang::Zh), 4320.0), "预计剩余 1 小时 12 分");
    }

    #[test]
    fn what_is_left_is_only_told_when_something_is_known() {
        assert_eq!(seconds_left(0, 10, 5.0), None);
        assert_eq!(seconds_left(10, 10, 5.0), None);
        assert_eq!(seconds_left(5, 10, 0.5), None);
        assert_eq!(seconds_left(5, 20, 10.0), Some(30.0));
    }

    #[test]
    fn clusters_without_a_name_are_called_by_their_host() {
        let names = BTreeMap::from([("a".to_owned(), "search".to_owned())]);
        assert_eq!(called(&names, Some("a"), "https://x:443"), "search");
        assert_eq!(called(&names, None, "https://in01.example.com:443/"), "in01.example.com:443");
    }
}
