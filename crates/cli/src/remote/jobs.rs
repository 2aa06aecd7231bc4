//! `vecferry jobs`, `vecferry status` and `vecferry report` with `--server`.

use serde_json::{Map, Value, json};
use vecferry_migrate::event::Bottleneck;
use vecferry_migrate::{Exit, JobState, Problem};
use vecferry_report::{figures, harmless, labels};

use super::answers::{Details, Job, Jobs, Progress};
use super::client::{Client, Failure};
use super::{find, follow};
use crate::args::{JobName, JobsArgs, ReportArgs};
use crate::commands::jobs::{shown, status_table, write};
use crate::output::Output;
use crate::present;
use crate::table::{Align, Table};
use crate::text::{self, Severity};

/// Jobs of a page.
const PAGE_JOBS: usize = 100;

/// Lists the jobs that the caller sees.
pub(crate) async fn list(output: &Output, args: &JobsArgs) -> Exit {
    let result = async {
        let client = Client::open(output, &args.server)?;
        let jobs = all_jobs(&client).await.map_err(Failure::problems)?;
        if output.json {
            output.json_line(&jobs.iter().map(summary).collect::<Vec<_>>());
        } else if jobs.is_empty() {
            output.result(text::no_jobs(output.lang));
        } else {
            let table = job_table(output, &jobs);
            table.lines(output.result_columns()).iter().for_each(|line| output.result(line));
        }
        Ok(())
    };
    shown(output, result.await)
}

/// All jobs, newest first.
async fn all_jobs(client: &Client) -> Result<Vec<Job>, Failure> {
    let mut all = Vec::new();
    let mut path = format!("/v2/jobs?pageSize={PAGE_JOBS}");
    loop {
        let Jobs { jobs, cursor } = client.get(&path).await?;
        all.extend(jobs);
        match cursor {
            Some(cursor) => path = format!("/v2/jobs?pageSize={PAGE_JOBS}&cursor={cursor}"),
            None => return Ok(all),
        }
    }
}

/// A job for machines, named as a job of this machine is.
fn summary(job: &Job) -> Value {
    json!({
        "job_id": job.job_id,
        "kind": job.kind().name(),
        "state": job.status,
        "percent": job.progress,
        "source": job.source_address,
        "target": job.target_address,
        "created_at": job.create_time,
        "ended_at": job.end_time,
    })
}

fn job_table(output: &Output, jobs: &[Job]) -> Table {
    let lang = output.lang;
    let mut table = Table::new([
        (labels::job_number(lang), Align::Left),
        (labels::job_state(lang), Align::Left),
        (text::progress_column(lang), Align::Right),
        (labels::started(lang), Align::Left),
        (labels::from(lang), Align::Name),
        (labels::to(lang), Align::Name),
    ]);
    for job in jobs {
        table.row(vec![
            harmless(&job.job_id),
            harmless(&labels::state_of_kind(lang, job.kind(), &job.status)),
            harmless(&format!("{} %", job.progress)),
            harmless(&job.create_time),
            harmless(&job.source_address),
            harmless(&job.target_address),
        ]);
    }
    table
}

/// Shows how far a job is.
pub(crate) async fn status(output: &Output, args: &JobName) -> Exit {
    let result = async {
        let client = Client::open(output, &args.server)?;
        let found = async { follow::details(&client, &find::job(&client, &args.job).await?).await };
        let details = found.await.map_err(Failure::problems)?;
        if output.json {
            output.json_line(&document(&details));
        } else {
            show_status(output, &client, &details);
        }
        Ok(())
    };
    shown(output, result.await)
}

/// What the engine says of a job, and over it what the service says: that knows of jobs that did not begin yet.
fn document(details: &Details) -> Value {
    let mut document = match &details.progress {
        Some(Value::Object(progress)) => progress.clone(),
        Some(_) | None => Map::from_iter([("collections".to_owned(), json!([]))]),
    };
    if let Value::Object(summary) = summary(&details.job) {
        document.extend(summary);
    }
    document.insert("problems".to_owned(), json!(details.problems));
    Value::Object(document)
}

fn show_status(output: &Output, client: &Client, details: &Details) {
    let columns = output.result_columns();
    let job = &details.job;
    let of_job = job_table(output, std::slice::from_ref(job));
    of_job.lines(columns).iter().for_each(|line| output.result(line));
    if let Some(progress) = details.progress() {
        output.result("");
        let table = status_table(output, &progress.collections, progress.live);
        table.lines(columns).iter().for_each(|line| output.result(line));
        progress_lines(output, &progress).iter().for_each(|line| output.result(line));
    }
    let problems = details.problems.iter().map(|problem| client.problem(problem));
    problems.for_each(|problem| output.problem(Severity::Error, &problem));
    if matches!(job.state(), Some(JobState::Failed | JobState::Canceled)) {
        output.note(&output.commands(&text::service_resume_hint(output.lang, &job.job_id)));
    }
}

fn progress_lines(output: &Output, progress: &Progress) -> Vec<String> {
    let lang = output.lang;
    let worked = figures::seconds(progress.worked_seconds);
    let worked = (progress.attempts > 0).then(|| labels::worked(lang, &worked, progress.attempts));
    let rate = progress.max_rate.as_deref().map(|rate| labels::max_rate(lang, Some(&harmless(rate))));
    let bottleneck = progress.bound_by.as_deref().filter(|_| progress.live).and_then(Bottleneck::of_name);
    let bound_by = bottleneck.map(|bottleneck| labels::bound_by(lang, bottleneck));
    let warnings = progress.warnings.iter().map(|warning| warning.what(lang));
    worked.into_iter().chain(rate).chain(bound_by).chain(warnings).collect()
}

/// Shows the report of a job.
pub(crate) async fn report(output: &Output, args: &ReportArgs) -> Exit {
    shown(output, reported(output, args).await)
}

async fn reported(output: &Output, args: &ReportArgs) -> Result<(), Vec<Problem>> {
    let client = Client::open(output, &args.job.server)?;
    let found = async {
        let job_id = find::job(&client, &args.job.job).await?;
        let report = follow::report(&client, &job_id).await?;
        let report = report.ok_or_else(|| Failure::Refused(vec![follow::no_report(&job_id)]))?;
        let page = match args.html {
            Some(_) => {
                let lang = output.lang.pick("en", "zh");
                Some(client.page(&format!("/v2/jobs/{job_id}/report?format=html&lang={lang}")).await?)
            }
            None => None,
        };
        Ok((report, page))
    };
    let (report, page) = found.await.map_err(Failure::problems)?;
    if let (Some(file), Some(page)) = (&args.html, page) {
        write(file, &page).map_err(|problem| vec![problem])?;
    }
    if output.json {
        output.json_line(&report);
    } else if args.html.is_none() {
        present::migration(output, &report, None);
    }
    Ok(())
}
