//! The migrations of a project.

use std::collections::BTreeMap;

use askama::Template;
use serde::Deserialize;
use vecferry_migrate::{JobState, Problem};
use vecferry_report::figures;
use vecferry_store::{ErrorKind, JobId, JobSummary};

use super::words::{self, Chip};
use crate::api::jobs::{JobsQuery, found};
use crate::api::{Path, Query, Refusal};
use crate::console::frame::{Frame, Place, Visit};
use crate::console::page::{Shown, page as shown};
use crate::console::show::{Say, took};
use crate::jobs::{JobRequest, time};
use crate::tables::MigrationRecord;

/// Migrations of a page.
const ROWS: i64 = 20;
/// Clusters that the filter offers.
const CLUSTERS_MAX: i64 = 100;

/// Which migrations.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filter {
    /// `running`, `failed`, `finished`; anything else is all.
    status: String,
    /// A cluster on one side.
    cluster: String,
    /// Part of an ID or of a name.
    search: String,
    /// The last one of the page before.
    after: String,
}

impl Filter {
    fn states(&self) -> Option<String> {
        let states: &[JobState] = match self.status.as_str() {
            "running" => &[JobState::Pending, JobState::InProgress, JobState::Canceling, JobState::Ready],
            "failed" => &[JobState::Failed],
            "finished" => &[JobState::Successful, JobState::Canceled],
            _ => return None,
        };
        let names: Vec<_> = states.iter().map(|state| state.name()).collect();
        Some(names.join(","))
    }

    /// The query of an address, with another value for one of its fields.
    fn with(&self, name: &str, value: &str) -> String {
        let kept = [
            ("status", &self.status),
            ("cluster", &self.cluster),
            ("search", &self.search),
            ("after", &self.after),
        ];
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (known, kept) in kept {
            let value = if known == name { value } else { kept.as_str() };
            // Another filter begins with its first page.
            let is_behind = known == "after" && name != "after" && !name.is_empty();
            if !value.is_empty() && !is_behind {
                query.append_pair(known, value);
            }
        }
        query.finish()
    }

    fn is_any(&self) -> bool {
        [&self.status, &self.cluster, &self.search, &self.after].iter().any(|value| !value.is_empty())
    }
}

/// A link of the filter by state.
struct Segment {
    query: String,
    word: &'static str,
    mark: &'static str,
}

/// A migration in the list.
struct Row {
    job_id: String,
    source: String,
    target: String,
    relation: &'static str,
    collections: String,
    short: String,
    chip: Chip,
    remark: Option<String>,
    /// When it is to start.
    planned: Option<String>,
    percent: Option<i64>,
    left: Option<String>,
    rows: Option<String>,
    started: Option<String>,
    duration: Option<String>,
    created_by: String,
}

/// The part of the page that refreshes by itself.
struct Part {
    project_id: String,
    rows: Vec<Row>,
    /// The query of the next page.
    next: Option<String>,
    /// The query of the first page, where this is another.
    first: Option<String>,
    /// Whether nothing of it changes any more.
    is_over: bool,
    is_filtered: bool,
    may_create: bool,
}

#[derive(Template)]
#[template(path = "migrations_list.html")]
struct PartOnly {
    t: Say,
    part: Part,
}

#[derive(Template)]
#[template(path = "migrations.html")]
struct Page {
    frame: Frame,
    t: Say,
    filter: Filter,
    query: String,
    segments: Vec<Segment>,
    clusters: Vec<(String, String)>,
    /// How many clusters the filter does not offer.
    more_clusters: i64,
    part: Part,
}

/// The list with its filters.
pub(super) async fn page(
    visit: Visit,
    Path(project_id): Path<String>,
    Query(filter): Query<Filter>,
) -> Shown {
    let project = visit.project(&project_id).await?;
    let part = part(&visit, &project_id, &filter).await?;
    let own = [project_id];
    let tables = visit.service.tables();
    let (count, clusters) = tables.clusters(&visit.caller.org_id, Some(&own), "", (0, CLUSTERS_MAX)).await?;
    let mut clusters: Vec<_> =
        clusters.into_iter().map(|cluster| (cluster.cluster_id, cluster.name)).collect();
    let is_known = filter.cluster.is_empty() || clusters.iter().any(|(id, _)| *id == filter.cluster);
    if !is_known && let Some(cluster) = tables.cluster(&visit.caller.org_id, &filter.cluster).await? {
        let is_own = cluster.project_id == project.project_id;
        clusters.extend(is_own.then_some((cluster.cluster_id, cluster.name)));
    }
    let page = Page {
        frame: visit.frame_in(&project, Place::Migrations).await?,
        t: visit.t(),
        query: filter.with("", ""),
        segments: segments(visit.t(), &filter),
        more_clusters: (count - CLUSTERS_MAX).max(0),
        clusters,
        filter,
        part,
    };
    shown(&page)
}

/// The part of it that refreshes by itself.
pub(super) async fn live(
    visit: Visit,
    Path(project_id): Path<String>,
    Query(filter): Query<Filter>,
) -> Shown {
    visit.project(&project_id).await?;
    let part = part(&visit, &project_id, &filter).await?;
    shown(&PartOnly { t: visit.t(), part })
}

fn segments(t: Say, filter: &Filter) -> Vec<Segment> {
    let words = [
        ("", "All", "全部"),
        ("running", "Open", "未结束"),
        ("failed", "Failed", "失败"),
        ("finished", "Successful or canceled", "成功或已取消"),
    ];
    let known = words.iter().any(|(name, ..)| *name == filter.status);
    let one = |(name, en, zh): (&'static str, &'static str, &'static str)| Segment {
        query: filter.with("status", name),
        word: t.0.pick(en, zh),
        mark: if name == filter.status || (!known && name.is_empty()) { "page" } else { "false" },
    };
    words.into_iter().map(one).collect()
}

async fn part(visit: &Visit, project_id: &str, filter: &Filter) -> Result<Part, Refusal> {
    let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let query = JobsQuery {
        cursor: some(&filter.after),
        page_size: Some(ROWS),
        project_id: Some(project_id.to_owned()),
        cluster_id: some(&filter.cluster),
        status: filter.states(),
        search: some(&filter.search),
    };
    let (records, cursor) = found(&visit.service, &visit.caller, query).await?;
    let tables = visit.service.tables();
    let now_ms = tables.now_ms().await?;
    let names = tables.names(&visit.caller.org_id, records.iter().flat_map(words::named)).await?;
    let mut rows = Vec::with_capacity(records.len());
    for record in &records {
        let summary = summary(visit, record).await?;
        rows.push(Row::new(visit.t(), record, summary.as_ref(), (&names, now_ms)));
    }
    Ok(Part {
        project_id: project_id.to_owned(),
        rows,
        next: cursor.map(|cursor| filter.with("after", &cursor)),
        first: some(&filter.after).map(|_| filter.with("after", "")),
        is_over: !records.iter().any(|record| words::is_open(record.state)),
        is_filtered: filter.is_any(),
        may_create: visit.administers(project_id),
    })
}

/// What the engine recorded of a job; none before it began.
async fn summary(visit: &Visit, record: &MigrationRecord) -> Result<Option<JobSummary>, Refusal> {
    if record.started_ms.is_none() {
        return Ok(None);
    }
    match visit.service.store().summary(&JobId::from(record.job_id.as_str())).await {
        Ok(summary) => Ok(Some(summary)),
        Err(error) if error.kind() == ErrorKind::UnknownJob => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Row {
    fn new(
        t: Say,
        record: &MigrationRecord,
        summary: Option<&JobSummary>,
        (names, now_ms): (&BTreeMap<String, String>, i64),
    ) -> Self {
        let (source, target) = words::sides(record, names);
        let is_running = matches!(record.state, JobState::InProgress | JobState::Canceling);
        let left = summary.filter(|_| record.state == JobState::InProgress).and_then(|summary| {
            words::seconds_left(summary.rows_done, summary.rows_total, summary.worked.as_secs_f64())
        });
        Self {
            job_id: record.job_id.clone(),
            source,
            target,
            relation: words::relation(t, record),
            collections: words::collections(t, record, summary.map(|summary| summary.collections_total)),
            short: words::short(&record.job_id).to_owned(),
            chip: words::chip(t, record, now_ms),
            remark: remark(t, record),
            planned: words::is_scheduled(record, now_ms).then(|| time(record.start_ms)),
            percent: is_running.then_some(record.progress),
            left: left.map(|seconds| words::left(t, seconds)),
            rows: summary.filter(|_| !is_running).map(|summary| figures::count(summary.rows_done)),
            started: record.started_ms.map(time),
            duration: duration(record, summary, now_ms).map(|seconds| took(t.0, seconds)),
            created_by: names.get(&record.created_by).unwrap_or(&record.created_by).clone(),
        }
    }
}

/// What stands below the state.
fn remark(t: Say, record: &MigrationRecord) -> Option<String> {
    match record.state {
        JobState::Failed => {
            let problems: Vec<Problem> = serde_json::from_str(record.reason.as_deref()?).ok()?;
            problems.first().map(|problem| problem.code.to_string())
        }
        JobState::Successful => {
            let request: JobRequest = serde_json::from_str(&record.request).ok()?;
            let level = words::level(t.0, request.options.verify);
            Some(t.with("verified: {}", "校验：{}", level))
        }
        JobState::Ready => Some(t.say("waits for its cut-over", "等待切换").to_owned()),
        JobState::Pending | JobState::InProgress | JobState::Canceling | JobState::Canceled => None,
    }
}

/// Seconds that all attempts took; the time between them is nobody's work.
fn duration(record: &MigrationRecord, summary: Option<&JobSummary>, now_ms: i64) -> Option<f64> {
    let worked = summary.map(|summary| summary.worked.as_secs_f64()).filter(|seconds| *seconds > 0.0);
    let wall = || {
        let started = record.started_ms?;
        Some(record.ended_ms.unwrap_or(now_ms).saturating_sub(started) as f64 / 1000.0)
    };
    worked.or_else(wall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_filter_begins_with_its_first_page() {
        let text = |text: &str| text.to_owned();
        let filter =
            Filter { status: text("failed"), cluster: String::new(), search: text("a&b"), after: text("x") };
        assert_eq!(filter.with("", ""), "status=failed&search=a%26b&after=x");
        assert_eq!(filter.with("status", ""), "search=a%26b");
        assert_eq!(filter.with("after", "y"), "status=failed&search=a%26b&after=y");
        assert_eq!(Filter { status: text("nothing"), ..Filter::default() }.states(), None);
    }
}
