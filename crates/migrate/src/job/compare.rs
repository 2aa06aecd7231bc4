//! Two clusters are compared without copying anything.

use super::clock::Clock;
use super::comparison;
use super::conclusion::Shown;
use super::conclusion::conclude;
use crate::cluster::connect::connect_both;
use crate::cluster::connect::{cluster, refusal};
use crate::cluster::inventory::{self, Found};
use crate::cluster::retry::until_canceled;
use crate::cluster::visible;
use crate::cluster::waits::{self, observed};
use crate::event::Observer;
use crate::precheck::fields::unreadable_key;
use crate::problem::{Code, Problem, Side};
use crate::report::Report;
use crate::request::VerifyRequest;
use crate::tuning::Tuning;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use vecferry_milvus::{Client, CollectionName};
use vecferry_store::{JobId, JobKind, JobState};

/// Two clusters that are compared.
struct Compared {
    source: Client,
    target: Client,
    /// What the user of the source is shown to see.
    visible: visible::Visible,
    pairs: Vec<(Found, Found)>,
}

/// Both sides, and the collections that are to be compared.
async fn pairs(request: &VerifyRequest) -> Result<Compared, Vec<Problem>> {
    let (source, target) = connect_both(&request.source, &request.target).await?;
    let visible = visible::check(&source, Side::Source, &request.selection, request.visible_only).await?;
    let names = inventory::select(&source, Side::Source, &request.selection).await?;
    let of_source = |error: vecferry_milvus::Error| vec![refusal(Side::Source, &error)];
    let now = inventory::as_of_now(&source).await.map_err(of_source)?;
    let found = inventory::read(&source, &names, now).await.map_err(of_source)?;
    let target_name = |name: &CollectionName| {
        let db = request.target_dbs.get(&name.db).unwrap_or(&name.db);
        CollectionName::new(db, &name.name)
    };
    let mut pairs = Vec::new();
    let mut problems = Vec::new();
    for found in found {
        let name = target_name(&found.described.name);
        match inventory::find(&target, Side::Target, &name).await {
            Ok(of_target) => {
                problems.extend(unreadable_key(Side::Source, &source, &found));
                problems.extend(unreadable_key(Side::Target, &target, &of_target));
                pairs.push((found, of_target));
            }
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(Compared { source, target, visible, pairs }) } else { Err(problems) }
}

/// Compares two clusters without copying anything. Collections are loaded where that is needed, and released again.
///
/// # Errors
/// Every reason for which the comparison can't start.
pub async fn verify(
    request: VerifyRequest,
    observer: Arc<dyn Observer>,
    cancel: CancellationToken,
) -> Result<Report, Vec<Problem>> {
    let clock = Clock::start();
    let looked = until_canceled(&cancel, observed(Arc::clone(&observer), Box::pin(pairs(&request)))).await;
    let Compared { source, target, visible, pairs } =
        looked.unwrap_or_else(|| Err(vec![Problem::new(Code::VerifyCanceled)]))?;
    let mut report = Report {
        job_id: JobId::generate(),
        kind: JobKind::Plain,
        state: JobState::Failed,
        vecferry_version: env!("CARGO_PKG_VERSION").to_owned(),
        source: cluster(&source),
        target: cluster(&target),
        started_at: clock.started_at(),
        ended_at: String::new(),
        seconds: 0.0,
        last_attempt_seconds: 0.0,
        attempts: 1,
        verify: request.level,
        verified: request.level,
        sample_seed: rand::random(),
        rounds: Vec::new(),
        collections: Vec::new(),
        rbac: None,
        resource_groups: Some(Vec::new()),
        problems: Vec::new(),
        warnings: visible.sentence().into_iter().collect(),
        estimate: None,
        pace: None,
        quarantine_file: None,
    };
    for (of_source, of_target) in &pairs {
        let sides = comparison::Sides {
            source: &source,
            target: &target,
            level: request.level,
            repair: &request.repair,
            seed: report.sample_seed,
            observer: &*observer,
            cancel: &cancel,
        };
        let compared = comparison::compare_pair(&sides, of_source, of_target);
        let (name, tuning) = (&of_source.described.name, Tuning::default());
        let outcome = waits::of_collection(Arc::clone(&observer), name, tuning, compared).await;
        report.problems.extend(outcome.problems);
        report.warnings.extend(outcome.warnings);
        report.collections.push(outcome.report);
        if cancel.is_cancelled() {
            break;
        }
    }
    conclude(&mut report, Shown::Comparison(pairs.len()), cancel.is_cancelled());
    if report.state == JobState::Canceled {
        report.problems = vec![Problem::new(Code::VerifyCanceled)];
    }
    (report.ended_at, report.seconds) = (clock.now(), clock.seconds());
    report.last_attempt_seconds = report.seconds;
    Ok(report)
}
