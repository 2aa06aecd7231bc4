//! `vecferry resume`

use vecferry_migrate::{Exit, Migration, Problem, Resumed, store_problem};
use vecferry_milvus::Endpoint;
use vecferry_store::{JobId, Store};

use super::migrate::{by_workers, carry_out, finish, max_rate};
use crate::args::{ResumeArgs, SourceAccess, TargetAccess};
use crate::connection::{both, endpoint};
use crate::output::{Output, Style};
use crate::progress::{Counted, Progress};
use crate::signals::Signals;
use crate::{state, text};

/// Goes on with a job.
pub(crate) async fn run(output: &Output, signals: &mut Signals, args: &ResumeArgs) -> Exit {
    let store = state::store(&args.job.state).await.map_err(|problem| vec![problem]);
    let (max_rate, store) = match both(max_rate(&args.pace), store) {
        Ok(checked) => checked,
        Err(problems) => return output.refuse(&problems),
    };
    let asked = async {
        let job_id = state::job(&*store, &args.job.job).await.map_err(|problem| vec![problem])?;
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
    let files = args.target.at("").files;
    let resume = Migration::resume(&*store, &job_id, source, target.clone());
    let resume = Box::pin(Progress::while_preparing(output, resume));
    let report = match signals.unless_signaled(resume).await {
        None => {
            output.note(text::stopped_before_start(output.lang));
            return Exit::Canceled;
        }
        Some(Err(problems)) => return output.refuse(&problems),
        Some(Ok(Resumed::Successful(report))) => {
            output.note(text::nothing_to_resume(output.lang));
            *report
        }
        Some(Ok(Resumed::AtRest(report))) => {
            output.note(text::at_rest(output.lang));
            *report
        }
        Some(Ok(Resumed::Ready(mut migration))) => {
            if let Some(max_rate) = max_rate {
                migration.set_max_rate(max_rate);
            }
            let counted = match state::newest_round(&*store, &job_id).await {
                Ok(round) => Counted::of_round(round.as_ref()),
                Err(problem) => return output.refuse(&[problem]),
            };
            let migration = by_workers(&args.pace, *migration, &store);
            match carry_out(output, signals, migration, &store, counted).await {
                Ok(report) => report,
                Err(exit) => return exit,
            }
        }
    };
    finish(output, &report, Some((&target, &files)));
    report.exit()
}

/// Both sides of a job: where they are is recorded, how to be let in is not.
pub(super) async fn endpoints(
    store: &dyn Store,
    job_id: &JobId,
    source: &SourceAccess,
    target: &TargetAccess,
) -> Result<(Endpoint, Endpoint), Vec<Problem>> {
    let record = store.job(job_id).await;
    let record = record.map_err(|error| vec![store_problem(store, job_id.as_str(), &error)])?;
    both(endpoint(&source.at(&record.source)), endpoint(&target.at(&record.target)))
}
