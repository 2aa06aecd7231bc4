//! `vecferry migrate --server`

use serde::Serialize;
use serde_json::Value;
use vecferry_migrate::{Exit, PlanSummary, Problem};
use vecferry_report::harmless;

use super::answers::{CheckOutcome, Cluster, JobMade};
use super::client::{AWAY_MAX, Client, Failure, patiently};
use super::find;
use super::follow::begin_and_follow;
use super::request::Asked;
use crate::args::MigrateArgs;
use crate::commands::migrate::{PlanLine, ask, not_started, show_summary};
use crate::connection::both;
use crate::output::{Output, Style};
use crate::present::Place;
use crate::signals::Signals;
use crate::text;

/// A line of `--json` about a job that was created.
#[derive(Serialize)]
struct Created<'a> {
    event: &'static str,
    job_id: &'a str,
}

/// A migration that the service can carry out.
struct Checked {
    sides: [Cluster; 2],
    body: Value,
    plan: PlanSummary,
}

/// Has a migration checked and carried out.
pub(crate) async fn run(output: &Output, signals: &mut Signals, args: &MigrateArgs) -> Exit {
    let (asked, client) = match both(Asked::of(args), Client::open(output, &args.server)) {
        Ok(opened) => opened,
        Err(problems) => return output.refuse(&problems),
    };
    if !output.quiet {
        output.note(&output.styled_note(Style::Dim, text::checking(output.lang)));
    }
    let check = Box::pin(check(&client, &asked, args));
    let checked = match signals.unless_signaled(check).await {
        Some(Ok(checked)) => checked,
        Some(Err(problems)) => return output.refuse(&problems),
        None => return not_started(output, text::stopped_before_start(output.lang)),
    };
    let places = checked
        .sides
        .each_ref()
        .map(|cluster| Place { address: &cluster.connect_address, version: &cluster.version });
    show_summary(output, &checked.plan, places);
    if output.json && !output.quiet {
        output.json_line(&PlanLine::new(checked.plan));
    }
    let question = match args.job.warm {
        true => text::start_warm_question(output.lang),
        false => text::start_question(output.lang),
    };
    if !args.yes
        && let Err(exit) = ask(output, signals, question).await
    {
        return exit;
    }
    let create = create(output, &client, &checked.body);
    begin_and_follow(output, signals, &client, create, None).await
}

/// Has both clusters checked.
async fn check(client: &Client, asked: &Asked, args: &MigrateArgs) -> Result<Checked, Vec<Problem>> {
    let sides = find::sides(client, args.source(None).uri, args.target(None).uri).await?;
    let body = asked.body(&sides);
    let checked: Result<CheckOutcome, _> = client.post("/v2/migrations/precheck", &body).await;
    let CheckOutcome { refusals, plan } = checked.map_err(Failure::problems)?;
    match plan {
        Some(plan) if refusals.is_empty() => Ok(Checked { sides, body, plan }),
        _ => Err(refusals),
    }
}

/// Creates the job, once, also where its answer is lost on the way.
async fn create(output: &Output, client: &Client, body: &Value) -> Result<String, Vec<Problem>> {
    let key = format!("vecferry-{:032x}", rand::random::<u128>());
    let mut tries = 0;
    let create = async || {
        tries += 1;
        match client.post_once::<JobMade>("/v2/migrations/toExisting", body, &key).await {
            // The first one is still under way there.
            Err(Failure::Refused(mut problems)) if tries > 1 && is_conflict(&problems) => {
                Err(Failure::Away(problems.remove(0)))
            }
            answered => answered,
        }
    };
    let JobMade { job_id } = patiently(output.lang, AWAY_MAX, |line| output.note(line), create).await?;
    if output.json && !output.quiet {
        output.json_line(&Created { event: "created", job_id: &job_id });
    } else if !output.quiet {
        output.note(&text::service_created(output.lang, &harmless(&job_id)));
    }
    Ok(job_id)
}

fn is_conflict(problems: &[Problem]) -> bool {
    problems.first().is_some_and(|problem| problem.code == vecferry_migrate::Code::Conflict)
}
