//! `vecferry catch-up` and `vecferry cutover`: the rounds behind a warm copy.

use vecferry_migrate::{Exit, Migration, NextRound, Problem, Purpose, Resumed};

use super::migrate::{ask, carry_out, finish, not_started, rate};
use super::resume::endpoints;
use crate::args::{CatchUpArgs, CutoverArgs, RoundArgs};
use crate::connection::both;
use crate::output::{Output, Style};
use crate::progress::{Counted, Progress};
use crate::signals::Signals;
use crate::{state, text};

/// Brings the target up to date, while the source may change.
pub(crate) async fn catch_up(output: &Output, signals: &mut Signals, args: &CatchUpArgs) -> Exit {
    run(output, signals, &args.round, Purpose::CatchUp, None).await
}

/// Ends the job: the target takes over.
pub(crate) async fn cut_over(output: &Output, signals: &mut Signals, args: &CutoverArgs) -> Exit {
    let question = (!args.yes).then(|| text::cut_over_question(output.lang));
    run(output, signals, &args.round, Purpose::CutOver, question).await
}

/// Carries a round out, once the question is answered with yes, if there is one.
async fn run(
    output: &Output,
    signals: &mut Signals,
    args: &RoundArgs,
    purpose: Purpose,
    question: Option<&str>,
) -> Exit {
    let store = state::store(&args.state).await.map_err(|problem| vec![problem]);
    let (max_rate, store) = match both(rate(args.max_rate.as_deref()), store) {
        Ok(checked) => checked,
        Err(problems) => return output.refuse(&problems),
    };
    let asked = async {
        let job_id = state::job(&*store, &args.job).await.map_err(|problem| vec![problem])?;
        let (source, target) = endpoints(&*store, &job_id, &args.source, &args.target).await?;
        Ok::<_, Vec<Problem>>((job_id, source, target))
    };
    let (job_id, source, target) = match asked.await {
        Ok(asked) => asked,
        Err(problems) => return output.refuse(&problems),
    };
    if !output.quiet {
        output.note(&output.styled_note(Style::Dim, text::checking(output.lang)));
    }
    let next = NextRound { purpose, options: args.accepted.into() };
    let opened = Migration::next_round(&*store, &job_id, source, target.clone(), next);
    let opened = Box::pin(Progress::while_preparing(output, opened));
    let report = match signals.unless_signaled(opened).await {
        None => return not_started(output, text::stopped_before_start(output.lang)),
        Some(Err(problems)) => return output.refuse(&problems),
        Some(Ok(Resumed::Successful(report) | Resumed::AtRest(report))) => {
            output.note(text::nothing_to_round(output.lang));
            *report
        }
        Some(Ok(Resumed::Ready(mut migration))) => {
            if let Some(max_rate) = max_rate {
                migration.set_max_rate(max_rate);
            }
            if let Some(question) = question
                && let Err(exit) = ask(output, signals, question).await
            {
                return exit;
            }
            match carry_out(output, signals, *migration, &store, Counted::Compared).await {
                Ok(report) => report,
                Err(exit) => return exit,
            }
        }
    };
    finish(output, &report, Some((&target, &args.target.at("").files)));
    report.exit()
}
