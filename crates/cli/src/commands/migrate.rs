//! `vecferry migrate`

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use vecferry_migrate::request::parse_target_db;
use vecferry_migrate::{
    ByWorkers, Code, DryRunReport, Exit, JobState, Lang, MaxRate, MigrateRequest, Migration, Plan, PlanFile,
    PlanHints, PlanSummary, Problem, RbacRequest, Report, Selection, VerifyLevel, words_of,
};
use vecferry_milvus::{CollectionName, Endpoint};
use vecferry_policy::Edition;
use vecferry_policy::deployment::is_cluster_id;
use vecferry_report::labels;
use vecferry_store::Store;
use vecferry_words::Told;

use crate::args::{
    ConnectionArgs, JobArgs, MigrateArgs, PaceArgs, PlansArgs, RbacArgs, SelectionArgs, TlsFiles, WithArg,
};
use crate::connection::{both, endpoint, reach};
use crate::output::{Output, Style};
use crate::present::Place;
use crate::progress::{Counted, Progress};
use crate::signals::Signals;
use crate::text::{self, Severity};
use crate::{present, state};

/// The last line of `--json`.
#[derive(Serialize)]
pub(crate) struct Finished<'a> {
    event: &'static str,
    report: &'a Report,
}

impl<'a> Finished<'a> {
    /// The line for a report.
    pub(crate) fn new(report: &'a Report) -> Self {
        Self { event: "report", report }
    }
}

/// A line of `--json` before the start.
#[derive(Serialize)]
pub(crate) struct PlanLine {
    event: &'static str,
    #[serde(flatten)]
    plan: PlanSummary,
}

impl PlanLine {
    /// The line for a plan.
    pub(crate) fn new(plan: PlanSummary) -> Self {
        Self { event: "plan", plan }
    }
}

/// A line of `--json` that has nothing more to say, as the last one where a job never began or was left.
#[derive(Serialize)]
struct Event {
    event: &'static str,
}

/// Migrates as the arguments say.
pub(crate) async fn run(output: &Output, signals: &mut Signals, args: &MigrateArgs) -> Exit {
    let store = match state::store(&args.state).await {
        Ok(store) => store,
        Err(problem) => return output.refuse(&[problem]),
    };
    let directory = store.files_directory().unwrap_or(Path::new("."));
    let Some(task) = signals.unless_signaled(Box::pin(task(args, directory))).await else {
        return not_started(output, text::stopped_before_start(output.lang));
    };
    let (task, max_rate) = match both(task, max_rate(&args.pace)) {
        Ok(checked) => checked,
        Err(problems) => return output.refuse(&problems),
    };
    let files = args.target(None).files;
    let target = task.target().clone();
    let begins = args.yes && !args.dry_run;
    let mut migration = match prepare(output, signals, task, store.directory(), begins).await {
        Ok(migration) => migration,
        Err(exit) => return exit,
    };
    if let Some(max_rate) = max_rate {
        migration.set_max_rate(max_rate);
    }
    if output.json && !output.quiet {
        output.json_line(&PlanLine::new(PlanSummary::of(migration.plan())));
    }
    if args.dry_run {
        return dry_run(output, signals, &migration).await;
    }
    let question = match migration.is_warm() {
        true => text::start_warm_question(output.lang),
        false => text::start_question(output.lang),
    };
    if !args.yes
        && let Err(exit) = ask(output, signals, question).await
    {
        return exit;
    }
    // The first write of all: what the job itself will need is tried on something that is gone again at once.
    match probe_write(output, signals, &mut migration).await {
        Ok(Ok(())) => {}
        Ok(Err(problems)) => return output.refuse(&problems),
        Err(exit) => return exit,
    }
    if migration.is_worth_measuring() {
        match measure_steps(output, signals, &mut migration).await {
            Ok(Ok(())) => {}
            Ok(Err(problems)) => return output.refuse(&problems),
            Err(exit) => return exit,
        }
        if let Some(estimate) = &migration.plan().duration
            && !output.quiet
        {
            present::duration_lines(output.lang, estimate).iter().for_each(|line| output.note(line));
        }
    }
    let migration = by_workers(&args.pace, migration, &store);
    match carry_out(output, signals, migration, &store, Counted::Copied).await {
        Ok(report) => {
            finish(output, &report, Some((&target, &files)));
            report.exit()
        }
        Err(exit) => exit,
    }
}

/// Finds out whether the target may be written to. The outer error is how the command ends that a person ended: what was
/// made is gone then, or named.
pub(super) async fn probe_write(
    output: &Output,
    signals: &mut Signals,
    migration: &mut Migration,
) -> Result<Result<(), Vec<Problem>>, Exit> {
    let cancel = CancellationToken::new();
    let names = migration.probe_names();
    let probed = with_scratches(output, signals, &cancel, migration.probe_write(&cancel)).await;
    probed.map_err(|stopped| stopped.tell(output, &names))
}

/// Measures on the target what collections cost whatever their rows. Ends as [`probe_write`] does.
pub(super) async fn measure_steps(
    output: &Output,
    signals: &mut Signals,
    migration: &mut Migration,
) -> Result<Result<(), Vec<Problem>>, Exit> {
    let cancel = CancellationToken::new();
    let names = migration.measured_names();
    let measuring = async { migration.measure_steps(&cancel).await.map_err(|problem| vec![problem]) };
    let measured = with_scratches(output, signals, &cancel, measuring).await;
    measured.map(|measured| measured.map(drop)).map_err(|stopped| stopped.tell(output, &names))
}

/// A person ended what makes scratch collections.
enum Stopped {
    /// After everything that could be removed was; those that could not are told of.
    Cleanly(Vec<Problem>),
    /// At once.
    AtOnce,
}

impl Stopped {
    fn tell(self, output: &Output, names: &[CollectionName]) -> Exit {
        let left: Vec<_> = match self {
            Self::Cleanly(problems) => problems,
            Self::AtOnce => {
                let left = |name| Problem::new(Code::ProbeLeft).with("collection", name);
                let detail = text::ended_before_removal;
                let detail = Told::both(detail(Lang::En), detail(Lang::Zh));
                names.iter().map(|name| left(name).told("detail", detail.clone())).collect()
            }
        };
        left.iter().for_each(|problem| output.problem(Severity::Warning, problem));
        not_started(output, text::stopped_before_start(output.lang))
    }
}

async fn with_scratches<Answer>(
    output: &Output,
    signals: &mut Signals,
    cancel: &CancellationToken,
    work: impl Future<Output = Result<Answer, Vec<Problem>>>,
) -> Result<Result<Answer, Vec<Problem>>, Stopped> {
    let work = Box::pin(Progress::while_preparing(output, work));
    match signals.cancelable(cancel, || output.note(text::ending(output.lang)), work).await {
        Some(done) if !cancel.is_cancelled() => Ok(done),
        Some(done) => Err(Stopped::Cleanly(done.err().unwrap_or_default())),
        None => Err(Stopped::AtOnce),
    }
}

/// The result of a dry run, for machines.
#[derive(Serialize)]
struct DryRun<'a> {
    event: &'static str,
    report: &'a DryRunReport,
}

/// Reads everything and writes nothing.
async fn dry_run(output: &Output, signals: &mut Signals, migration: &Migration) -> Exit {
    let progress = Progress::of_plan(output, migration.plan(), Counted::Copied);
    let cancel = CancellationToken::new();
    let work = Box::pin(migration.dry_run(Arc::new(progress.listener()), cancel.clone()));
    let result = signals.cancelable(&cancel, || progress.note(text::ending(output.lang)), work).await;
    progress.end();
    match result {
        Some(Ok(report)) if output.json => {
            output.json_line(&DryRun { event: "dry_run", report: &report });
            Exit::Done
        }
        Some(Ok(report)) => {
            present::dry_run_lines(output.lang, &report, output.result_columns())
                .iter()
                .for_each(|line| output.result(line));
            Exit::Done
        }
        Some(Err(problem)) => output.refuse(&[problem]),
        None => Exit::Canceled,
    }
}

/// What is to be prepared: something new, or a plan that was reviewed.
pub(crate) enum Task {
    New(Box<MigrateRequest>),
    Planned(Box<Planned>),
}

/// A plan that was reviewed, and how to be let into its clusters.
pub(crate) struct Planned {
    file: PlanFile,
    source: Endpoint,
    target: Endpoint,
    row_tolerance_percent: f64,
}

impl Task {
    fn target(&self) -> &Endpoint {
        match self {
            Self::New(request) => &request.target,
            Self::Planned(planned) => &planned.target,
        }
    }

    /// With `begins`, nobody looks at what was found before the job begins.
    async fn prepare(self, state_dir: Option<&Path>, begins: bool) -> Result<Migration, Vec<Problem>> {
        match self {
            Self::New(request) if begins => {
                Migration::check_and_begin(*request, state_dir).await.into_result()
            }
            Self::New(request) => Migration::check(*request, state_dir).await.into_result(),
            Self::Planned(planned) => {
                let Planned { file, source, target, row_tolerance_percent } = *planned;
                Migration::prepare_planned(file, source, target, row_tolerance_percent, state_dir).await
            }
        }
    }
}

/// What the arguments ask for, or everything that is wrong with them.
async fn task(args: &MigrateArgs, state_dir: &Path) -> Result<Task, Vec<Problem>> {
    let Some(path) = &args.plan else {
        let sides = (args.source(None), args.target(None));
        let mut request = request(&sides.0, &sides.1, &args.selection, &args.job, &args.plans).await?;
        request.rbac = rbac(&args.rbac, state_dir).map_err(|problem| vec![problem])?;
        return Ok(Task::New(Box::new(request)));
    };
    let text = std::fs::read_to_string(path).map_err(|error| {
        vec![Problem::new(Code::File).with("file", path.display()).told("detail", words_of(&error))]
    })?;
    let file = PlanFile::read(path, &text).map_err(|problem| vec![problem])?;
    let (of_source, of_target) = (file.plan().source.address.clone(), file.plan().target.address.clone());
    let (source, target) =
        both(endpoint(&args.source(Some(&of_source))), endpoint(&args.target(Some(&of_target))))?;
    let mut contradictions = Vec::new();
    for (given, planned) in [(args.source(None), &source), (args.target(None), &target)] {
        // An id leads to the address that was found for the plan.
        if given.uri.is_empty() || is_cluster_id(given.uri) {
            continue;
        }
        let side = given.side;
        match endpoint(&given) {
            Ok(given) if given.to_string() == planned.to_string() => {}
            Ok(given) => {
                let detail = Told::both(
                    format!("--{side} says {given}, the plan says {planned}"),
                    format!("--{side} 为 {given}，而计划中为 {planned}"),
                );
                contradictions.push(Problem::new(Code::Arguments).told("detail", detail));
            }
            Err(mut problems) => contradictions.append(&mut problems),
        }
    }
    if !contradictions.is_empty() {
        return Err(contradictions);
    }
    let row_tolerance_percent = args.row_tolerance;
    Ok(Task::Planned(Box::new(Planned { file, source, target, row_tolerance_percent })))
}

/// Asks whether to start. An error is how the command ends then.
pub(crate) async fn ask(output: &Output, signals: &mut Signals, question: &str) -> Result<(), Exit> {
    if !output.can_ask() {
        return Err(output.refuse(&[Problem::new(Code::NeedsYes)]));
    }
    match signals.unless_signaled(confirmed(output, question)).await {
        Some(true) => Ok(()),
        Some(false) => Err(not_started(output, text::not_started(output.lang))),
        None => {
            output.note("");
            Err(not_started(output, text::stopped_before_start(output.lang)))
        }
    }
}

/// Nothing began, and a person wanted that.
pub(crate) fn not_started(output: &Output, sentence: &str) -> Exit {
    output.note(sentence);
    if output.json {
        output.json_line(&Event { event: "not_started" });
    }
    Exit::Canceled
}

/// The request that some arguments make.
pub(crate) async fn request(
    source: &ConnectionArgs<'_>,
    target: &ConnectionArgs<'_>,
    selected: &SelectionArgs,
    job: &JobArgs,
    plans: &PlansArgs,
) -> Result<MigrateRequest, Vec<Problem>> {
    let (of_source, of_target) = tokio::join!(reach(source), reach(target));
    let sides = both(of_source, of_target);
    let policy = policy(&plans.policy).map_err(|problem| vec![problem]);
    let ((sides, policy), (selection, target_dbs)) = both(both(sides, policy), selection(selected))?;
    let (source, target) = sides;
    let JobArgs {
        verify,
        source_load,
        source_load_parallel,
        duplicates,
        on_bad_row,
        auto_id,
        allow_drift,
        keep_index_params,
        wait_index,
        warm,
        load_target,
    } = *job;
    let verify = level(verify.into(), warm).map_err(|problem| vec![problem])?;
    let source_plan =
        PlanHints { stated: plans.source_plan.map(Into::into), cloud: source.cloud, ..PlanHints::default() };
    let target_plan = PlanHints {
        stated: plans.target_plan.map(Into::into),
        cu: plans.target_cu,
        cu_type: plans.target_cu_type.map(Into::into),
        cloud: target.cloud,
    };
    Ok(MigrateRequest {
        source: source.endpoint,
        target: target.endpoint,
        selection,
        visible_only: selected.visible_only,
        target_dbs,
        verify,
        source_load: source_load.into(),
        source_load_parallel: usize::from(source_load_parallel),
        duplicates: duplicates.into(),
        on_bad_row: on_bad_row.into(),
        auto_id: auto_id.into(),
        keep_index_params,
        wait_index,
        allow_drift,
        warm,
        load_target,
        rbac: None,
        policy,
        source_plan,
        target_plan,
    })
}

/// How a job verifies. A warm copy is ended by a cut-over, which compares every row.
fn level(wanted: VerifyLevel, warm: bool) -> Result<VerifyLevel, Problem> {
    if !warm || wanted == VerifyLevel::Full {
        return Ok(wanted);
    }
    let detail = Told::both(
        "--warm can't be used with another level of --verify than `full`: the cut-over compares every row",
        "--warm 只能与 --verify full 一起使用：切换时会逐行比对",
    );
    Err(Problem::new(Code::Arguments).told("detail", detail))
}

/// A built-in policy, or one in a file.
fn policy(name: &str) -> Result<Edition, Problem> {
    if let Some(edition) = Edition::named(name) {
        return Ok(edition);
    }
    let failed = |error: &(dyn std::error::Error + 'static)| {
        Problem::new(Code::Policy).with("policy", name).told("detail", words_of(error))
    };
    let text = std::fs::read_to_string(name).map_err(|error| failed(&error))?;
    Edition::read(&text).map_err(|error| failed(&error))
}

/// How roles and users are copied. Paths are made absolute: `resume` may run in another directory.
pub(crate) fn rbac(args: &RbacArgs, state_dir: &Path) -> Result<Option<RbacRequest>, Problem> {
    let Some(WithArg::Rbac) = args.with else { return Ok(None) };
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(|error| {
            Problem::new(Code::FileNotWritten).with("file", path.display()).told("detail", words_of(&error))
        })
    };
    Ok(Some(RbacRequest {
        users: args.rbac_users.into(),
        users_file: args.users_file.as_deref().map(absolute).transpose()?,
        users_dir: absolute(&state_dir.join("users"))?,
    }))
}

/// The limit that is asked for, if one is; `none` asks for no limit.
pub(crate) fn max_rate(args: &PaceArgs) -> Result<Option<Option<MaxRate>>, Vec<Problem>> {
    rate(args.max_rate.as_deref())
}

/// The same of the value of `--max-rate`.
pub(crate) fn rate(text: Option<&str>) -> Result<Option<Option<MaxRate>>, Vec<Problem>> {
    text.map(MaxRate::parse).transpose().map_err(|problem| vec![problem])
}

/// Has the splits copied by other processes, if that is asked for.
pub(crate) fn by_workers(args: &PaceArgs, migration: Migration, store: &Arc<dyn Store>) -> Migration {
    match args.by_workers {
        true => migration.with_dispatcher(Arc::new(ByWorkers::new(Arc::clone(store)))),
        false => migration,
    }
}

/// Which collections are meant, and where their databases go.
pub(crate) fn selection(args: &SelectionArgs) -> Result<(Selection, BTreeMap<String, String>), Vec<Problem>> {
    let selection = Selection::parse(&args.collection, &args.exclude).map_err(|problem| vec![problem]);
    let target_dbs = target_dbs(&args.target_db).map_err(|problem| vec![problem]);
    both(selection, target_dbs)
}

fn target_dbs(texts: &[String]) -> Result<BTreeMap<String, String>, Problem> {
    let mut target_dbs = BTreeMap::new();
    for text in texts {
        let (source, target) = parse_target_db(text)?;
        if target_dbs.get(&source).is_some_and(|known| *known != target) {
            let problem = Problem::new(Code::Selector).with("selector", text);
            let detail = Told::both(
                format!("the database `{source}` is mapped to two databases"),
                format!("Database `{source}` 被映射到了两个 Database"),
            );
            return Err(problem.told("detail", detail));
        }
        target_dbs.insert(source, target);
    }
    Ok(target_dbs)
}

/// Checks both clusters and shows the plan. With `begins`, the job begins without a question.
pub(crate) async fn prepare(
    output: &Output,
    signals: &mut Signals,
    task: Task,
    state_dir: Option<&Path>,
    begins: bool,
) -> Result<Migration, Exit> {
    if !output.quiet {
        output.note(&output.styled_note(Style::Dim, text::checking(output.lang)));
    }
    let migration = match signals
        .unless_signaled(Box::pin(Progress::while_preparing(output, task.prepare(state_dir, begins))))
        .await
    {
        Some(Ok(migration)) => migration,
        Some(Err(problems)) => return Err(output.refuse(&problems)),
        None => return Err(not_started(output, text::stopped_before_start(output.lang))),
    };
    show(output, migration.plan());
    Ok(migration)
}

/// Shows a plan to a person.
pub(crate) fn show(output: &Output, plan: &Plan) {
    let sides = [Place::of(&plan.source), Place::of(&plan.target)];
    show_summary(output, &PlanSummary::of(plan), sides);
}

/// Shows the summary of a plan to a person.
pub(crate) fn show_summary(output: &Output, plan: &PlanSummary, sides: [Place<'_>; 2]) {
    if !output.quiet {
        output.note(&output.styled_note(Style::Strong, labels::plan(output.lang)));
        for line in present::plan_lines(output.lang, plan, sides, output.note_columns()) {
            output.note(&line);
        }
    }
    for warning in &plan.warnings {
        output.problem(Severity::Warning, warning);
    }
}

/// Asks, and waits for the answer.
async fn confirmed(output: &Output, question: &str) -> bool {
    output.ask(question);
    let (sender, answer) = oneshot::channel();
    // A thread of its own, because a read from a terminal can't be ended.
    let reader = std::thread::Builder::new().name("vecferry-question".to_owned()).spawn(move || {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        let line = read.map(|_| line).unwrap_or_default();
        let _ = sender.send(matches!(line.trim().to_lowercase().as_str(), "y" | "yes" | "是"));
    });
    reader.is_ok() && answer.await.unwrap_or(false)
}

/// Runs a migration with its progress.
///
/// # Errors
/// It did not begin, or a person did not want to wait for its end.
pub(crate) async fn carry_out(
    output: &Output,
    signals: &mut Signals,
    migration: Migration,
    store: &Arc<dyn Store>,
    counted: Counted,
) -> Result<Report, Exit> {
    let progress = Progress::of_plan(output, migration.plan(), counted);
    let cancel = CancellationToken::new();
    let work = Box::pin(migration.run(store, Arc::new(progress.listener()), cancel.clone()));
    let report = signals.cancelable(&cancel, || progress.note(text::ending(output.lang)), work).await;
    progress.end();
    match report {
        Some(Ok(report)) => Ok(report),
        Some(Err(problems)) => Err(output.refuse(&problems)),
        None => {
            output.note(&output.commands(text::ended_at_once(output.lang)));
            if output.json {
                output.json_line(&Event { event: "ended_at_once" });
            }
            Err(Exit::Canceled)
        }
    }
}

/// Shows how it ended.
pub(crate) fn finish(output: &Output, report: &Report, load_with: Option<(&Endpoint, &TlsFiles)>) {
    if output.json {
        present::problems(output, report);
        output.json_line(&Finished::new(report));
    } else {
        present::migration(output, report, load_with);
    }
    if !matches!(report.state, JobState::Ready | JobState::Successful) && load_with.is_some() {
        let (lang, job) = (output.lang, report.job_id.as_str());
        let hint = match report.rounds.last() {
            Some(round) => text::round_hint(lang, job, round.kind, round.state),
            None => text::resume_hint(lang, job),
        };
        output.note(&output.commands(&hint));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_goes_to_one_place() {
        let texts =
            |texts: &[&str]| target_dbs(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(texts(&["a=b", "c=b", "a=b"]).unwrap().len(), 2);
        assert_eq!(texts(&["a=b", "a=c"]).unwrap_err().code, Code::Selector);
    }

    #[test]
    fn everything_wrong_with_a_selection_is_named() {
        let args = SelectionArgs {
            collection: vec!["a.".into()],
            visible_only: false,
            exclude: Vec::new(),
            target_db: vec!["x".into()],
        };
        assert_eq!(selection(&args).unwrap_err().len(), 2);
    }
}
