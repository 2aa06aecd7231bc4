//! What the collections of a cluster need in Zilliz Cloud. It takes a sample of the rows, so that it is made on request.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use vecferry_report::figures;

use super::shown::{ClusterShown, cu_type, of_address, trouble_in, troubles};
use crate::api::contents::{self as api, CapacityAsked};
use crate::api::{Body, Path, Query, Refusal, Signed};
use crate::console::frame::{Frame, Place, Visit};
use crate::console::page::{Shown, page};
use crate::console::show::{Say, Trouble, took};

/// Collections that are shown one by one.
const ROWS: usize = 200;

/// Of what.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    /// One collection, as `DB.NAME`; absent: everything.
    #[serde(default)]
    collection: String,
    /// The estimate alone.
    #[serde(default)]
    part: String,
    /// With the page, for browsers without scripts.
    #[serde(default)]
    whole: String,
}

#[derive(Template)]
#[template(path = "cluster_capacity.html")]
struct CapacityPage {
    frame: Frame,
    t: Say,
    project_id: String,
    cluster: ClusterShown,
    collection: String,
    part: Option<Estimate>,
    load: String,
    whole: String,
}

/// Compute units of a type.
#[derive(Debug)]
struct Units {
    kind: String,
    needed: String,
    /// None beyond the largest.
    size: Option<u64>,
}

#[derive(Debug)]
struct Row {
    name: String,
    rows: String,
    bytes: String,
    row_bytes: String,
    sampled: String,
    /// A collection that is not loaded is weighed by its schema.
    is_sampled: bool,
}

/// The estimate alone.
#[derive(Template)]
#[template(path = "cluster_estimate.html")]
struct EstimateAlone {
    t: Say,
    part: Estimate,
}

/// What was found.
struct Estimate {
    is_made: bool,
    count: usize,
    rows: String,
    bytes: String,
    margin: String,
    seconds: Option<String>,
    units: Vec<Units>,
    collections: Vec<Row>,
    warnings: Vec<Trouble>,
    again: String,
    troubles: Vec<Trouble>,
}

/// The page, or the estimate alone.
pub(super) async fn capacity(
    visit: Visit,
    Path(at): Path<(String, String)>,
    Query(asked): Query<Asked>,
) -> Shown {
    let (project, cluster) = of_address(&visit, (&at.0, &at.1)).await?;
    let to = |more: (&str, &str)| {
        let mut written = form_urlencoded::Serializer::new(String::new());
        let pairs = [("collection", asked.collection.as_str()), more];
        written.extend_pairs(pairs.iter().filter(|(_, value)| !value.is_empty()));
        format!("/p/{}/clusters/{}/capacity?{}", project.project_id, cluster.id, written.finish())
    };
    let (load, whole) = (to(("part", "1")), to(("whole", "1")));
    let mut part = match asked.part.is_empty() && asked.whole.is_empty() {
        true => None,
        false => Some(estimate(&visit, &cluster.id, &asked.collection, to(("", ""))).await),
    };
    if let Some(part) = part.take_if(|_| !asked.part.is_empty()) {
        return page(&EstimateAlone { t: visit.t(), part });
    }
    page(&CapacityPage {
        frame: visit.frame_in(&project, Place::Clusters).await?,
        t: visit.t(),
        project_id: project.project_id,
        cluster,
        collection: asked.collection,
        part,
        load,
        whole,
    })
}

async fn estimate(visit: &Visit, cluster_id: &str, collection: &str, again: String) -> Estimate {
    let t = visit.t();
    match asked_of(visit, cluster_id, collection).await {
        Ok(report) => Estimate { again, ..of_report(&report, t) },
        Err(refusal) => Estimate { again, troubles: troubles(&refusal, t), ..of_report(&Value::Null, t) },
    }
}

async fn asked_of(visit: &Visit, cluster_id: &str, collection: &str) -> Result<Value, Refusal> {
    let collections = Some(collection.to_owned()).filter(|name| !name.is_empty());
    let asked = CapacityAsked {
        cluster_id: cluster_id.to_owned(),
        collections: collections.into_iter().collect(),
        exclude: Vec::new(),
        visible_only: false,
    };
    let (state, signed) = (State(Arc::clone(&visit.service)), Signed(Arc::clone(&visit.caller)));
    Ok(Box::pin(api::estimate(state, signed, Body(asked))).await?.data.capacity)
}

/// What stands in a report, as a page writes it.
fn of_report(report: &Value, t: Say) -> Estimate {
    let list = |name: &str| report[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let count = |value: &Value| figures::count(value.as_u64().unwrap_or(0));
    let size = |value: &Value| figures::size(value.as_f64().unwrap_or(0.0).round() as u64);
    let row = |value: &Value| Row {
        name: value["collection"].as_str().unwrap_or_default().to_owned(),
        rows: count(&value["rows"]),
        bytes: size(&value["bytes"]),
        row_bytes: size(&value["row_bytes"]),
        sampled: count(&value["sampled_rows"]),
        is_sampled: value["sampled_rows"].as_u64() > Some(0),
    };
    let units = |value: &Value| Units {
        kind: cu_type(value["cu_type"].as_str().unwrap_or_default(), t),
        needed: needed(value["units"].as_f64().unwrap_or(0.0)),
        size: value["size"].as_u64(),
    };
    Estimate {
        is_made: report.is_object(),
        count: list("collections").len(),
        rows: count(&report["rows"]),
        bytes: size(&report["bytes"]),
        margin: format!("{:.0}", report["margin_percent"].as_f64().unwrap_or(0.0)),
        seconds: report["duration"]["seconds"].as_f64().map(|seconds| took(t.0, seconds)),
        units: list("units").iter().map(units).collect(),
        collections: list("collections").iter().take(ROWS).map(row).collect(),
        warnings: list("warnings").iter().map(|told| trouble_in(told, t)).collect(),
        again: String::new(),
        troubles: Vec::new(),
    }
}

/// Units with two places; a little is not nothing.
fn needed(units: f64) -> String {
    if units > 0.0 && units < 0.01 { "< 0.01".to_owned() } else { format!("{units:.2}") }
}
