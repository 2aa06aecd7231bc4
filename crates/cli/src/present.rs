//! Plans and reports for people: tables and sentences.

use vecferry_migrate::capacity::CapacityReport;
use vecferry_migrate::cluster::row_size::SizeBasis;
use vecferry_migrate::plan::estimate::{DurationEstimate, WriteBasis};
use vecferry_migrate::precheck::{Check, Outcome};
use vecferry_migrate::report::{CollectionReport, Findings, JobKind, LoadExtent, Verification};
use vecferry_migrate::{Change, Cluster, DryRunReport, Exit, JobState, Lang, PlanSummary, Report};
use vecferry_milvus::{CollectionName, Endpoint};
use vecferry_report::phrases::{self, LIST_MAX, loadable, names, resource_groups, verification, wait_shares};
use vecferry_report::rbac::RbacText;
use vecferry_report::{columns, figures, harmless, labels, typed};

use crate::args::TlsFiles;
use crate::output::{Output, Style};
use crate::table::{Align, Table};
use crate::text::{self, Severity};

/// A name, and where it goes if the database differs.
fn name(source: &CollectionName, target_db: &str) -> String {
    let shown = harmless(&source.to_string());
    if source.db == target_db { shown } else { labels::destination(&shown, &harmless(target_db)) }
}

/// The first lines of a list, and how many were left out.
pub(crate) fn cut(lang: Lang, lines: Vec<String>) -> Vec<String> {
    let total = lines.len();
    let mut lines: Vec<_> = lines.into_iter().take(LIST_MAX).map(|line| format!("  {line}")).collect();
    if total > LIST_MAX {
        lines.push(format!("  {}", labels::more(lang, total - LIST_MAX)));
    }
    lines
}

fn change_lines<'a>(
    lang: Lang,
    changes: impl Iterator<Item = (impl std::fmt::Display, &'a Change)>,
) -> Vec<String> {
    let colon = labels::colon(lang);
    changes
        .map(|(collection, change)| {
            let [what, source, target] = change.texts(lang);
            harmless(&format!("{collection}{colon}{what}{colon}{source} → {target}"))
        })
        .collect()
}

/// The address of a cluster, and the release that it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// Where it is.
    pub(crate) address: &'a str,
    /// What it runs.
    pub(crate) version: &'a str,
}

impl<'a> Place<'a> {
    /// Of a cluster that was looked at.
    pub(crate) fn of(cluster: &'a Cluster) -> Self {
        Self { address: &cluster.address, version: &cluster.version }
    }
}

/// The parts of a name in a summary, `db.name`: only names of collections hold dots.
fn parts(name: &str) -> (&str, &str) {
    name.split_once('.').unwrap_or(("", name))
}

/// The lines of a plan between a source and a target.
pub(crate) fn plan_lines(
    lang: Lang,
    plan: &PlanSummary,
    [source, target]: [Place<'_>; 2],
    columns: Option<usize>,
) -> Vec<String> {
    let address = |label: &str, place: Place<'_>| {
        let width = columns::width(labels::from(lang)).max(columns::width(labels::to(lang)));
        let label = columns::pad(label, width);
        format!("  {label} {} ({})", harmless(place.address), harmless(place.version))
    };
    let mut lines =
        vec![address(labels::from(lang), source), address(labels::to(lang), target), String::new()];
    let mut table = Table::new([
        (labels::collection(lang), Align::Name),
        (labels::rows_estimated(lang), Align::Right),
        (labels::partitions(lang), Align::Right),
        (labels::aliases(lang), Align::Name),
        (labels::remark(lang), Align::Left),
    ]);
    for collection in &plan.collections {
        let (db, of_source) = parts(&collection.collection);
        let (target_db, _) = parts(&collection.target);
        table.row(vec![
            name(&CollectionName::new(db, of_source), target_db),
            figures::count(collection.rows_estimate),
            figures::count(collection.partitions.len() as u64),
            names(lang, &collection.aliases),
            if collection.needs_load { labels::loaded_for_copy(lang).to_owned() } else { String::new() },
        ]);
    }
    let rows = plan.collections.iter().map(|collection| collection.rows_estimate).sum();
    table.totals(vec![
        labels::some_collections(lang, plan.collections.len()),
        figures::count(rows),
        String::new(),
        String::new(),
        String::new(),
    ]);
    lines.extend(table.lines(columns));
    if !plan.new_databases.is_empty() {
        let names = names(lang, &plan.new_databases);
        lines.push(format!("{}{}{names}", labels::new_databases(lang), labels::colon(lang)));
    }
    let changes = plan.collections.iter().flat_map(|collection| {
        collection.changes.iter().map(move |change| (collection.collection.clone(), change))
    });
    let changes = change_lines(lang, changes);
    if !changes.is_empty() {
        lines.push(format!("{}{}", labels::changes(lang), labels::colon(lang).trim_end()));
        lines.extend(cut(lang, changes));
    }
    if let Some(rbac) = &plan.rbac {
        let heading = format!("{}{}", labels::rbac(lang), labels::colon(lang));
        lines.extend(RbacText::of_plan(lang, rbac).lines(&heading, |list| cut(lang, list)));
    }
    lines.extend(resource_group_line(lang, plan.resource_groups.as_deref()));
    lines.extend(plan.duration.iter().flat_map(|estimate| duration_lines(lang, estimate)));
    lines.push(labels::plan_promise(lang).to_owned());
    lines
}

fn resource_group_line(lang: Lang, names: Option<&[String]>) -> Option<String> {
    let shown = resource_groups(lang, names)?;
    Some(format!("{}{}{}", labels::resource_groups(lang), labels::colon(lang), harmless(&shown)))
}

/// The checks, one a line.
pub(crate) fn check_lines(lang: Lang, checks: &[Check]) -> Vec<String> {
    let width = checks.iter().map(|check| columns::width(labels::check(lang, check.id))).max().unwrap_or(0);
    let line = |check: &Check| {
        let mark = match check.outcome {
            Outcome::Pass => "✓",
            Outcome::Warn => "!",
            Outcome::Fail => "✗",
            Outcome::Skipped | Outcome::NotApplicable => "–",
        };
        let facts = check.facts_in(lang).filter(|fact| !fact.is_empty());
        let mut said: Vec<_> = facts.map(str::to_owned).collect();
        match check.outcome {
            Outcome::Skipped => said.push(labels::check_skipped(lang).to_owned()),
            Outcome::NotApplicable => said.push(text::check_not_applicable(lang).to_owned()),
            Outcome::Pass => {}
            Outcome::Warn | Outcome::Fail => {
                let mut codes: Vec<_> =
                    check.problems.iter().map(|problem| problem.code.to_string()).collect();
                codes.dedup();
                said.extend(codes);
            }
        }
        let name = columns::pad(labels::check(lang, check.id), width);
        format!("  {mark} {name}  {}", harmless(&said.join(labels::comma(lang)))).trim_end().to_owned()
    };
    checks.iter().map(line).collect()
}

/// What the collections of a source need.
pub(crate) fn capacity_lines(
    lang: Lang,
    source: &Cluster,
    report: &CapacityReport,
    columns: Option<usize>,
) -> Vec<String> {
    let mut lines =
        vec![format!("{} ({})", harmless(&source.address), harmless(&source.version)), String::new()];
    let mut table = Table::new([
        (labels::collection(lang), Align::Name),
        (labels::rows_estimated(lang), Align::Right),
        (labels::bytes_of_row(lang), Align::Right),
        (labels::size(lang), Align::Right),
        (labels::basis(lang), Align::Left),
    ]);
    for collection in &report.collections {
        let guessed = collection.fields.iter().any(|field| field.basis == SizeBasis::Assumed);
        table.row(vec![
            harmless(&collection.collection),
            figures::count(collection.rows),
            figures::count(collection.row_bytes.round() as u64),
            figures::size(collection.bytes),
            if guessed {
                labels::assumed(lang).to_owned()
            } else {
                labels::sampled(lang, collection.sampled_rows)
            },
        ]);
    }
    table.totals(vec![
        labels::some_collections(lang, report.collections.len()),
        figures::count(report.rows),
        String::new(),
        figures::size(report.bytes),
        String::new(),
    ]);
    lines.extend(table.lines(columns));
    lines.push(String::new());
    let mut units = Table::new([
        (labels::cu_type(lang), Align::Left),
        (labels::cu_filled(lang), Align::Right),
        (labels::cu_to_order(lang), Align::Right),
    ]);
    for needed in &report.units {
        units.row(vec![
            needed.cu_type.to_string(),
            format!("{:.2}", needed.units),
            needed.size.map_or_else(|| "> 256".to_owned(), |size| size.to_string()),
        ]);
    }
    lines.extend(units.lines(columns));
    lines.push(labels::cu_assumptions(lang, report.margin_percent));
    lines.extend(report.duration.iter().flat_map(|estimate| duration_lines(lang, estimate)));
    lines
}

/// What was read for nobody.
pub(crate) fn dry_run_lines(lang: Lang, report: &DryRunReport, columns: Option<usize>) -> Vec<String> {
    let mut table = Table::new([
        (labels::collection(lang), Align::Name),
        (labels::rows(lang), Align::Right),
        (labels::size(lang), Align::Right),
        (labels::time(lang), Align::Right),
        (labels::rows_per_second(lang), Align::Right),
        (labels::rate(lang), Align::Right),
    ]);
    let cells = |name: String, rows: u64, bytes: u64, seconds: f64| {
        vec![
            name,
            figures::count(rows),
            figures::size(bytes),
            figures::seconds(seconds),
            figures::count(figures::per_second(rows, seconds)),
            figures::byte_rate(bytes, seconds),
        ]
    };
    for read in &report.collections {
        table.row(cells(harmless(&read.collection), read.rows, read.bytes, read.seconds));
    }
    let all = labels::some_collections(lang, report.collections.len());
    table.totals(cells(all, report.rows, report.bytes, report.seconds));
    let mut lines = table.lines(columns);
    if !report.not_loaded.is_empty() {
        let names = names(lang, &report.not_loaded);
        lines.push(format!("{}{}{names}", labels::not_read(lang), labels::colon(lang)));
    }
    lines.push(labels::nothing_written(lang).to_owned());
    lines
}

/// How long a job takes, by which figures, and how long the indexes behind it.
pub(crate) fn duration_lines(lang: Lang, estimate: &DurationEstimate) -> Vec<String> {
    let rate = |bytes: f64| format!("{}/s", figures::size(bytes as u64));
    let mut lines = vec![
        labels::duration(lang, &figures::seconds(estimate.seconds)),
        labels::duration_of_copy(
            lang,
            &figures::seconds(estimate.copy_seconds),
            (&rate(estimate.read_bytes_per_second), estimate.read_is_measured),
            (&rate(estimate.write_bytes_per_second), estimate.write_basis == WriteBasis::Quota),
            estimate.bottleneck,
        ),
        labels::duration_of_steps(
            lang,
            &figures::seconds(estimate.steps_seconds),
            estimate.steps.is_measured,
            &figures::seconds(estimate.verify_seconds),
        ),
    ];
    // A moment needs no line.
    let of_indexes = estimate.index_seconds.filter(|seconds| *seconds >= 1.0);
    lines.extend(of_indexes.map(|seconds| labels::searchable_after(lang, &figures::seconds(seconds))));
    lines
}

/// The table of a migration.
fn migration_table(lang: Lang, report: &Report) -> Table {
    let mut table = Table::new([
        (labels::collection(lang), Align::Name),
        (labels::rows(lang), Align::Right),
        (labels::size(lang), Align::Right),
        (labels::time(lang), Align::Right),
        (labels::rows_per_second(lang), Align::Right),
        (labels::rate(lang), Align::Right),
        (labels::partitions(lang), Align::Right),
        (labels::verification(lang), Align::Left),
    ]);
    let rate = |rows: u64, bytes: u64, seconds: f64| {
        let rows_rate =
            if rows == 0 { "-".to_owned() } else { figures::count(figures::per_second(rows, seconds)) };
        (rows_rate, figures::byte_rate(bytes, seconds))
    };
    for collection in &report.collections {
        let (rows_rate, byte_rate) = rate(collection.rows, collection.bytes, collection.copy_seconds);
        table.row(vec![
            name(&collection.source_name(), &collection.target_db),
            figures::count(collection.rows),
            figures::size(collection.bytes),
            figures::seconds(collection.seconds),
            rows_rate,
            byte_rate,
            figures::count(collection.partitions.len() as u64),
            verification(lang, report, collection),
        ]);
    }
    let (rows_rate, byte_rate) = rate(report.rows(), report.bytes(), report.seconds);
    table.totals(vec![
        labels::some_collections(lang, report.collections.len()),
        figures::count(report.rows()),
        figures::size(report.bytes()),
        figures::seconds(report.seconds),
        rows_rate,
        byte_rate,
        String::new(),
        String::new(),
    ]);
    table
}

/// The table of a comparison.
fn comparison_table(lang: Lang, report: &Report) -> Table {
    let mut table = Table::new([
        (labels::collection(lang), Align::Name),
        (labels::source_rows(lang), Align::Right),
        (labels::target_rows(lang), Align::Right),
        (labels::time(lang), Align::Right),
        (labels::verification(lang), Align::Left),
    ]);
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), figures::count);
    let (mut source_rows, mut target_rows) = (0, 0);
    for collection in &report.collections {
        let proof = collection.verification.as_ref();
        source_rows += proof.map_or(0, |proof| proof.source_rows);
        target_rows += proof.map_or(0, |proof| proof.target_rows);
        table.row(vec![
            name(&collection.source_name(), &collection.target_db),
            number(proof.map(|proof| proof.source_rows)),
            number(proof.map(|proof| proof.target_rows)),
            figures::seconds(collection.seconds),
            verification(lang, report, collection),
        ]);
    }
    table.totals(vec![
        labels::some_collections(lang, report.collections.len()),
        figures::count(source_rows),
        figures::count(target_rows),
        figures::seconds(report.seconds),
        String::new(),
    ]);
    table
}

fn index_lines(lang: Lang, report: &Report) -> Vec<String> {
    let lines = report.collections.iter().flat_map(|collection| {
        collection.indexes.iter().map(move |index| {
            let kind = format!("{} {}", index.index_type, index.metric_type);
            let state = labels::index_state(lang, index);
            let name = collection.target_name();
            harmless(&format!("{name}.{}: {}, {state}", index.field, kind.trim_end()))
        })
    });
    lines.collect()
}

/// The rows that a comparison of all rows found.
fn finding_lines(lang: Lang, collection: &CollectionReport, findings: &Findings) -> Vec<String> {
    let (name, colon) = (collection.source_name(), labels::colon(lang));
    let kinds = [
        (labels::missing(lang), &findings.missing),
        (labels::extra(lang), &findings.extra),
        (labels::changed(lang), &findings.changed),
        (labels::repeated_keys(lang), &findings.repeated_keys),
        (labels::repeated_on_target(lang), &findings.repeated_on_target),
    ];
    let rows = kinds.into_iter().flat_map(|(kind, found)| {
        let name = &name;
        found.first.iter().map(move |row| {
            let row = labels::row(lang, row.partition.as_deref(), &row.key.to_string(), &row.fields);
            harmless(&format!("{name}{colon}{kind}{colon}{row}"))
        })
    });
    let swapped = findings.swapped.iter().map(|row| {
        let moved = labels::destination(&row.source_partition, &row.target_partition);
        let row = labels::row(lang, None, &row.key.to_string(), &[moved]);
        harmless(&format!("{name}{colon}{}{colon}{row}", labels::swapped(lang)))
    });
    rows.chain(swapped).collect()
}

/// Shows rows under a heading.
fn show_findings<'a>(
    output: &Output,
    heading: &str,
    report: &'a Report,
    of: impl Fn(&'a Verification) -> Option<&'a Findings>,
) {
    let lines = report.collections.iter().flat_map(|collection| {
        let findings = collection.verification.as_ref().and_then(&of);
        findings.map(|findings| finding_lines(output.lang, collection, findings)).unwrap_or_default()
    });
    let lines: Vec<_> = lines.collect();
    if lines.is_empty() {
        return;
    }
    let colon = labels::colon(output.lang).trim_end();
    output.result(&format!("\n{}{colon}", output.styled(Style::Strong, heading)));
    for line in cut(output.lang, lines) {
        output.result(&line);
    }
}

/// The command that loads what a job made, exactly as it can be typed.
pub(crate) fn load_command(
    job_id: &str,
    target: &Endpoint,
    files: &TlsFiles,
    collections: &[CollectionName],
) -> String {
    if collections.len() > typed::COLLECTIONS_MAX {
        let mut command = format!("vecferry load --job {job_id}");
        add_files(&mut command, files);
        return command;
    }
    let mut command = format!("vecferry load --target {}", typed::shell(&target.to_string()));
    add_files(&mut command, files);
    for collection in collections {
        command.push_str(&format!(" --collection {}", typed::shell(&collection.to_string())));
    }
    command
}

fn add_files(command: &mut String, files: &TlsFiles) {
    for (flag, file) in
        [("--target-ca", &files.ca), ("--target-cert", &files.cert), ("--target-key", &files.key)]
    {
        if let Some(file) = file {
            command.push_str(&format!(" {flag} {}", typed::shell(&file.to_string_lossy())));
        }
    }
}

/// Problems and warnings of a report, on stderr.
pub(crate) fn problems(output: &Output, report: &Report) {
    for warning in &report.warnings {
        output.problem(Severity::Warning, warning);
    }
    for problem in &report.problems {
        output.problem(Severity::Error, problem);
    }
}

/// How a job ended, in the color it deserves.
fn job_line(output: &Output, report: &Report) -> String {
    let style = match report.state {
        JobState::Successful => Style::Success,
        JobState::Failed => Style::Error,
        JobState::Pending
        | JobState::InProgress
        | JobState::Canceling
        | JobState::Ready
        | JobState::Canceled => Style::Warning,
    };
    let state = output.styled(style, labels::state(output.lang, report.state));
    labels::job(
        output.lang,
        report.job_id.as_str(),
        &state,
        labels::level(report.verified),
        report.sample_seed,
    )
}

/// Shows what a migration did. With an endpoint it also says how to load.
pub(crate) fn migration(output: &Output, report: &Report, load_with: Option<(&Endpoint, &TlsFiles)>) {
    let lang = output.lang;
    // What came before stands on stderr; on a terminal the result begins with a gap.
    output.gap();
    problems(output, report);
    for line in migration_table(lang, report).lines(output.result_columns()) {
        output.result(&line);
    }
    let sections = [
        (labels::indexes(lang), index_lines(lang, report)),
        (
            labels::changes(lang),
            change_lines(
                lang,
                report.collections.iter().flat_map(|collection| {
                    collection.changes.iter().map(move |change| (collection.source_name(), change))
                }),
            ),
        ),
        (labels::differences_found(lang), found_lines(lang, report)),
    ];
    for (heading, lines) in sections {
        if !lines.is_empty() {
            output.result(&format!(
                "\n{}{}",
                output.styled(Style::Strong, heading),
                labels::colon(lang).trim_end()
            ));
            for line in cut(lang, lines) {
                output.result(&line);
            }
        }
    }
    if let Some(rbac) = &report.rbac {
        let heading = output.styled(Style::Strong, labels::rbac(lang));
        output.result(&format!("\n{heading}{}", labels::colon(lang).trim_end()));
        let lines = RbacText::of_report(lang, rbac).lines("  ", |list| cut(lang, list));
        lines.iter().for_each(|line| output.result(line));
    }
    resource_group_line(lang, report.resource_groups.as_deref()).iter().for_each(|line| output.result(line));
    output.result(&format!("\n{}", job_line(output, report)));
    if report.attempts > 1 {
        let (all, last) = (figures::seconds(report.seconds), figures::seconds(report.last_attempt_seconds));
        output.result(&labels::worked_in_attempts(lang, &all, report.attempts, &last));
    }
    if let Some(estimate) = &report.estimate
        && let Some(seconds) = estimate.copy_seconds
    {
        let (planned, took) = (figures::seconds(estimate.copy_seconds_estimated), figures::seconds(seconds));
        output.result(&labels::estimate_kept(lang, &took, &planned));
    }
    if let Some(expected) = report.estimate.as_ref().and_then(|estimate| estimate.seconds_estimated) {
        let (took, expected) = (figures::seconds(report.seconds), figures::seconds(expected));
        output.result(&labels::estimate_of_job_kept(lang, &took, &expected));
    }
    if let Some(pace) = &report.pace {
        let shares = wait_shares(lang, pace);
        shares.iter().for_each(|shares| output.result(&labels::waited(lang, shares, pace.ledger_commits)));
        pace.max_rate.iter().for_each(|rate| output.result(&labels::max_rate(lang, Some(&harmless(rate)))));
    }
    for line in round_lines(lang, report) {
        output.result(&line);
    }
    if report.state == JobState::Ready {
        ready_lines(lang, report).iter().for_each(|line| output.result(&output.commands(line)));
        return;
    }
    let loadable = loadable(report);
    if let Some((target, files)) = load_with.filter(|_| !loadable.is_empty()) {
        output.result(text::load_hint(lang));
        let command = load_command(report.job_id.as_str(), target, files, &loadable);
        output.result(&format!("  {}", output.commands(&command)));
        if report.former_loads().iter().any(|(_, former)| former.extent != LoadExtent::Nothing) {
            output.result(text::load_as_on_source(lang));
            let mut command = format!("vecferry load --job {}", report.job_id);
            add_files(&mut command, files);
            output.result(&format!("  {}", output.commands(&command)));
        }
        if target.has_token() {
            output.result(&format!("  {}", text::load_hint_token(lang)));
        }
    }
    if report.kind == JobKind::Warm && report.state == JobState::Successful {
        let steps = phrases::checklist_after(lang, &harmless(&report.target.address));
        checklist_lines(lang, &steps).iter().for_each(|line| output.result(line));
    }
}

/// What was done in which round; nothing of a job that copies in one go.
fn round_lines(lang: Lang, report: &Report) -> Vec<String> {
    let of_round = |round| {
        let found = phrases::round_found(lang, round).map(|found| format!("  {found}"));
        std::iter::once(phrases::round(lang, round)).chain(found)
    };
    report.rounds.iter().flat_map(of_round).collect()
}

/// How far the collections were apart that were, when the last round compared them.
fn found_lines(lang: Lang, report: &Report) -> Vec<String> {
    let differed = report
        .collections
        .iter()
        .filter(|collection| collection.caught_up.is_some_and(|found| found.rows_differing() > 0));
    let lines = differed.filter_map(|collection| {
        let found = phrases::collection_found(lang, report, collection)?;
        Some(harmless(&format!("{}{}{found}", collection.source_name(), labels::colon(lang))))
    });
    lines.collect()
}

/// What is left to be done once a job is ready.
fn ready_lines(lang: Lang, report: &Report) -> Vec<String> {
    let job_id = report.job_id.as_str();
    let steps = phrases::checklist(lang, job_id, &harmless(&report.target.address));
    let before = phrases::before_window(lang, job_id);
    let before = phrases::apart(lang, report).into_iter().chain([format!("\n{before}")]);
    before.chain(checklist_lines(lang, &steps)).collect()
}

/// Steps under their heading.
fn checklist_lines(lang: Lang, steps: &[String]) -> Vec<String> {
    let heading = format!("\n{}{}", labels::checklist(lang), labels::colon(lang).trim_end());
    let steps = steps.iter().enumerate().map(|(at, step)| format!("  {}. {step}", at + 1));
    std::iter::once(heading).chain(steps).collect()
}

/// Shows what a comparison found.
pub(crate) fn comparison(output: &Output, report: &Report) {
    let lang = output.lang;
    output.gap();
    problems(output, report);
    for line in comparison_table(lang, report).lines(output.result_columns()) {
        output.result(&line);
    }
    show_findings(output, labels::mended_rows(lang), report, |proof| {
        proof.repair.as_ref().map(|repair| &repair.found)
    });
    show_findings(output, labels::differing_rows(lang), report, |proof| proof.findings.as_ref());
    output.result(&format!("\n{}", job_line(output, report)));
    match report.exit() {
        Exit::Done => output.result(labels::equal(lang)),
        Exit::Canceled => {}
        Exit::Usage | Exit::Refused | Exit::Failed | Exit::Different => {
            output.result(labels::not_equal(lang))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn round(number: u64, kind: &str, found: Option<[u64; 3]>) -> Value {
        let mut round = json!({
            "number": number, "kind": kind, "state": "done", "started_at": "2026-07-28T23:10:05Z", "seconds": 42.0,
            "rows": 15, "bytes": 48_000,
        });
        if let Some([missing, changed, extra]) = found {
            round["caught_up"] = json!({
                "rows_compared": 20_000, "rows_missing": missing, "rows_changed": changed, "rows_extra": extra,
            });
        }
        if kind == "cut_over" {
            round["window_seconds"] = json!(48.0);
        }
        round
    }

    fn report(state: &str, rounds: &[Value]) -> Report {
        let cluster = json!({"address": "http://new:19530", "version": "Milvus 2.5.10"});
        let collection = |name: &str, found: &Value| {
            json!({
                "source_db": "default", "collection": name, "target_db": "default", "phase": "done", "rows": 15,
                "bytes": 48_000, "copy_seconds": 1.0, "seconds": 2.0, "partitions": [], "verification": null,
                "indexes": [], "aliases": [], "changes": [], "loaded": true, "created": true, "caught_up": found,
            })
        };
        let nothing = json!({"rows_compared": 7});
        let found = rounds.last().map_or(&Value::Null, |round| &round["caught_up"]);
        serde_json::from_value(json!({
            "job_id": "j", "kind": "warm", "state": state, "vecferry_version": "0", "source": cluster,
            "target": cluster, "started_at": "2026-07-28T23:10:05Z", "ended_at": "2026-07-28T23:12:05Z",
            "seconds": 120.0, "last_attempt_seconds": 42.0, "attempts": 2, "verify": "full", "verified": "none",
            "sample_seed": 1, "rounds": rounds, "collections": [collection("books", found), collection("same", &nothing)],
            "problems": [], "warnings": [],
        }))
        .unwrap()
    }

    #[test]
    fn rounds_say_what_they_found() {
        let rounds = [
            round(1, "warm", None),
            round(2, "catch_up", Some([5000, 300, 1])),
            round(3, "cut_over", Some([12, 3, 1])),
        ];
        let report = report("SUCCESSFUL", &rounds);
        assert_eq!(
            round_lines(Lang::En, &report),
            [
                "Round 1, warm copy: complete, 15 rows written (48.0 KB) in 42.0 s",
                "Round 2, catch-up: complete, 15 rows written (48.0 KB) in 42.0 s",
                "  20,000 rows compared: 5,000 missing, 300 changed, 1 extra (5,301 in total); made equal",
                "Round 3, cut-over: complete, 15 rows written (48.0 KB) in 42.0 s, downtime window 48.0 s",
                "  20,000 rows compared: 12 missing, 3 changed, 1 extra (16 in total); made equal",
            ]
        );
        let chinese = round_lines(Lang::Zh, &report);
        assert_eq!(
            chinese[3],
            "第 3 轮（切换）：已完成，写入 15 行（48.0 KB），用时 42.0 s，停机窗口 48.0 s"
        );
        // Of a collection that did not differ, nothing needs to be said.
        assert_eq!(
            found_lines(Lang::En, &report),
            ["default.books: 20,000 rows compared: 12 missing, 3 changed, 1 extra (16 in total); made equal"]
        );
    }

    #[test]
    fn a_ready_job_says_whether_another_catch_up_pays() {
        let warm = report("READY", &[round(1, "warm", None)]);
        let lines = ready_lines(Lang::En, &warm);
        assert!(
            lines[0].starts_with("\nWhile the applications still write, `vecferry catch-up j`"),
            "{lines:?}"
        );
        assert_eq!((lines[1].as_str(), lines.len()), ("\nTo switch:", 7));
        let caught_up = report("READY", &[round(1, "warm", None), round(2, "catch_up", Some([12, 3, 1]))]);
        for (lang, says) in [
            (Lang::En, "Source and target were 16 rows apart at the last catch-up (42.0 s)."),
            (Lang::Zh, "上一轮更新时源集群与目标集群相差 16 行（用时 42.0 s）。"),
        ] {
            let lines = ready_lines(lang, &caught_up);
            assert!(lines[0].starts_with(says), "{lines:?}");
        }
    }
}
