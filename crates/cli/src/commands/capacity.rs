//! `vecferry capacity`

use serde::Serialize;
use vecferry_migrate::capacity::{CapacityReport, CapacityRequest, capacity, capacity_of_plan};
use vecferry_migrate::{Cluster, Code, Exit, PlanFile, Problem, Selection, words_of};

use crate::args::CapacityArgs;
use crate::connection::{both, reach};
use crate::output::{Output, Style};
use crate::present;
use crate::signals::Signals;
use crate::text::{self, Severity};

/// The result for machines.
#[derive(Serialize)]
struct Shown<'a> {
    event: &'static str,
    source: &'a Cluster,
    capacity: &'a CapacityReport,
}

/// Shows what the collections of a source, or of a plan, need.
pub(crate) async fn run(output: &Output, signals: &mut Signals, args: &CapacityArgs) -> Exit {
    let (source, report) = match signals.unless_signaled(Box::pin(look(output, args))).await {
        None => return Exit::Canceled,
        Some(Ok(found)) => found,
        Some(Err(problems)) => return output.refuse(&problems),
    };
    if output.json {
        output.json_line(&Shown { event: "capacity", source: &source, capacity: &report });
    } else {
        present::capacity_lines(output.lang, &source, &report, output.result_columns())
            .iter()
            .for_each(|line| output.result(line));
        report.warnings.iter().for_each(|warning| output.problem(Severity::Warning, warning));
    }
    Exit::Done
}

async fn look(output: &Output, args: &CapacityArgs) -> Result<(Cluster, CapacityReport), Vec<Problem>> {
    if let Some(path) = &args.plan {
        let text = std::fs::read_to_string(path).map_err(|error| {
            vec![Problem::new(Code::File).with("file", path.display()).told("detail", words_of(&error))]
        })?;
        let file = PlanFile::read(path, &text).map_err(|problem| vec![problem])?;
        return Ok((file.plan().source.clone(), capacity_of_plan(file.plan())));
    }
    let selection = Selection::parse(&args.collection, &args.exclude).map_err(|problem| vec![problem]);
    let (source, selection) = both(reach(&args.source()).await, selection)?;
    if !output.quiet {
        output.note(&output.styled_note(Style::Dim, text::looking(output.lang)));
    }
    let visible_only = args.visible_only;
    capacity(CapacityRequest { source: source.endpoint, selection, visible_only }).await
}
