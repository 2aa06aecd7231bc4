//! The clusters of a project.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use serde::Deserialize;

use super::shown::ClusterShown;
use crate::api::clusters::{self as api, ClustersQuery};
use crate::api::{Path, Query, Refusal, Signed};
use crate::console::frame::{Frame, Place, Visit};
use crate::console::page::{Shown, page};
use crate::console::show::Say;

/// Clusters of a page.
const ROWS: i64 = 20;

/// Which of them.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    q: String,
    page: Option<i64>,
    /// Only the table, for a page that is open already.
    #[serde(default)]
    part: String,
    /// How many were registered just now.
    imported: Option<u32>,
}

#[derive(Template)]
#[template(path = "cluster_list.html")]
struct ListPage {
    frame: Frame,
    t: Say,
    project_id: String,
    may_change: bool,
    imported: u32,
    part: Part,
    /// The address of the table alone.
    live: String,
}

/// The table alone.
#[derive(Template)]
#[template(path = "cluster_rows.html")]
struct Rows {
    t: Say,
    part: Part,
}

struct Part {
    project_id: String,
    clusters: Vec<ClusterShown>,
    count: i64,
    q: String,
    before: Option<String>,
    behind: Option<String>,
}

/// The list, or its table alone.
pub(super) async fn list(visit: Visit, Path(project): Path<String>, Query(wanted): Query<Wanted>) -> Shown {
    let project = visit.project(&project).await?;
    let part = part(&visit, &project.project_id, &wanted).await?;
    if !wanted.part.is_empty() {
        return page(&Rows { t: visit.t(), part });
    }
    page(&ListPage {
        frame: visit.frame_in(&project, Place::Clusters).await?,
        t: visit.t(),
        may_change: visit.administers(&project.project_id),
        imported: wanted.imported.unwrap_or(0),
        live: address(&project.project_id, &[("q", &part.q), ("page", &number(&wanted)), ("part", "rows")]),
        project_id: project.project_id,
        part,
    })
}

fn number(wanted: &Wanted) -> String {
    wanted.page.unwrap_or(1).to_string()
}

async fn part(visit: &Visit, project_id: &str, wanted: &Wanted) -> Result<Part, Refusal> {
    let current = wanted.page.unwrap_or(1);
    let query = ClustersQuery {
        page_size: Some(ROWS),
        current_page: Some(current),
        project_id: Some(project_id.to_owned()),
        search: Some(wanted.q.clone()),
    };
    let (state, signed) = (State(Arc::clone(&visit.service)), Signed(Arc::clone(&visit.caller)));
    let found = api::list(state, signed, Query(query)).await?.data;
    let to = |page: i64| address(project_id, &[("q", &wanted.q), ("page", &page.to_string())]);
    Ok(Part {
        project_id: project_id.to_owned(),
        count: found.count,
        clusters: found.clusters.into_iter().map(|cluster| ClusterShown::of(cluster, visit.t())).collect(),
        q: wanted.q.clone(),
        before: (current > 1).then(|| to(current - 1)),
        behind: (current.saturating_mul(ROWS) < found.count).then(|| to(current + 1)),
    })
}

/// The address of the list with what it is asked for.
fn address(project_id: &str, query: &[(&str, &str)]) -> String {
    let mut written = form_urlencoded::Serializer::new(String::new());
    written.extend_pairs(query.iter().filter(|(_, value)| !value.is_empty()));
    format!("/p/{project_id}/clusters?{}", written.finish())
}
