//! `vecferry verify`

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use vecferry_migrate::{Code, Exit, Problem, VerifyRequest, verify};

use crate::args::{ComparisonArgs, LevelArg, VerifyArgs};
use crate::commands::migrate::{Finished, ask, selection};
use crate::connection::{both, endpoint};
use crate::output::Output;
use crate::progress::Progress;
use crate::signals::Signals;
use crate::{present, text};

/// Compares as the arguments say.
pub(crate) async fn run(output: &Output, signals: &mut Signals, args: &VerifyArgs) -> Exit {
    let request = match request(args) {
        Ok(request) => request,
        Err(problems) => return output.refuse(&problems),
    };
    if args.comparison.repair
        && !args.comparison.yes
        && let Err(exit) = ask(output, signals, text::repair_question(output.lang)).await
    {
        return exit;
    }
    let progress = Progress::start(output, None);
    let cancel = CancellationToken::new();
    let work = Box::pin(verify(request, Arc::new(progress.listener()), cancel.clone()));
    let result = signals.cancelable(&cancel, || progress.note(text::ending(output.lang)), work).await;
    progress.end();
    match result {
        Some(Ok(report)) => {
            if output.json {
                present::problems(output, &report);
                output.json_line(&Finished::new(&report));
            } else {
                present::comparison(output, &report);
            }
            report.exit()
        }
        Some(Err(problems)) => output.refuse(&problems),
        None => {
            output.note(text::ended_at_once(output.lang));
            Exit::Canceled
        }
    }
}

fn request(args: &VerifyArgs) -> Result<VerifyRequest, Vec<Problem>> {
    let endpoints = both(endpoint(&args.source.connection()), endpoint(&args.target.connection()));
    let ((source, target), (selection, target_dbs)) = both(endpoints, selection(&args.selection))?;
    let ComparisonArgs { level, repair, .. } = args.comparison;
    if repair && level != LevelArg::Full {
        let problem = Problem::new(Code::Arguments);
        return Err(vec![
            problem.with("detail", "--repair needs --level full: only then all differences are known"),
        ]);
    }
    Ok(VerifyRequest { source, target, selection, target_dbs, level: level.into(), repair })
}
