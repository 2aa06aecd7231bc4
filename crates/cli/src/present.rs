//! Plans and reports for people: tables and sentences.

use vecferry_migrate::capacity::CapacityReport;
use vecferry_migrate::checks::{Check, Outcome};
use vecferry_migrate::duration::{DurationEstimate, WriteBasis};
use vecferry_migrate::event::Phase;
use vecferry_migrate::report::{CollectionReport, Findings, LoadExtent, PaceReport, Verification};
use vecferry_migrate::size::SizeBasis;
use vecferry_migrate::{Change, Cluster, DryRunReport, Exit, JobState, Lang, Plan, Report, VerifyLevel};
use vecferry_milvus::{CollectionName, Endpoint};

use crate::args::TlsFiles;
use crate::output::{Output, Severity, Style};
use crate::table::{Align, Table};
use crate::{format, text};

mod rbac;

pub(crate) use rbac::RbacText;

/// Longer lists are cut; `--json` shows all.
const LIST_MAX: usize = 10;

/// A name, and where it goes if the database differs.
fn name(source: &CollectionName, target_db: &str) -> String {
    let shown = format::harmless(&source.to_string());
    if source.db == target_db { shown } else { text::destination(&shown, &format::harmless(target_db)) }
}

/// Names in one line: the first of them, and how many were left out.
pub(crate) fn names(lang: Lang, names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(LIST_MAX).map(|name| format::harmless(name)).collect();
    let shown = shown.join(text::comma(lang));
    match names.len().saturating_sub(LIST_MAX) {
        0 => shown,
        more => format!("{shown} {}", text::more(lang, more)),
    }
}

/// The first lines of a list, and how many were left out.
pub(crate) fn cut(lang: Lang, lines: Vec<String>) -> Vec<String> {
    let total = lines.len();
    let mut lines: Vec<_> = lines.into_iter().take(LIST_MAX).map(|line| format!("  {line}")).collect();
    if total > LIST_MAX {
        lines.push(format!("  {}", text::more(lang, total - LIST_MAX)));
    }
    lines
}

fn change_lines<'a>(changes: impl Iterator<Item = (CollectionName, &'a Change)>) -> Vec<String> {
    changes
        .map(|(collection, change)| {
            format::harmless(&format!("{collection}: {}: {} → {}", change.what, change.source, change.target))
        })
        .collect()
}

/// The lines of a plan.
pub(crate) fn plan_lines(lang: Lang, plan: &Plan, columns: Option<usize>) -> Vec<String> {
    let address = |label: &str, cluster: &vecferry_migrate::Cluster| {
        let width = format::width(text::from(lang)).max(format::width(text::to(lang)));
        format!(
            "  {} {} ({})",
            format::pad(label, width),
            cluster.address,
            format::harmless(&cluster.version)
        )
    };
    let mut lines =
        vec![address(text::from(lang), &plan.source), address(text::to(lang), &plan.target), String::new()];
    let mut table = Table::new([
        (text::collection(lang), Align::Name),
        (text::rows_estimated(lang), Align::Right),
        (text::partitions(lang), Align::Right),
        (text::aliases(lang), Align::Name),
        (text::remark(lang), Align::Left),
    ]);
    for collection in &plan.collections {
        table.row(vec![
            name(&collection.source, &collection.target.db),
            format::count(collection.rows_estimate),
            format::count(collection.partitions.len() as u64),
            names(lang, &collection.aliases),
            if collection.needs_load { text::loaded_for_copy(lang).to_owned() } else { String::new() },
        ]);
    }
    let rows = plan.collections.iter().map(|collection| collection.rows_estimate).sum();
    table.totals(vec![
        text::some_collections(lang, plan.collections.len()),
        format::count(rows),
        String::new(),
        String::new(),
        String::new(),
    ]);
    lines.extend(table.lines(columns));
    if !plan.new_databases.is_empty() {
        let names = names(lang, &plan.new_databases);
        lines.push(format!("{}{}{names}", text::new_databases(lang), text::colon(lang)));
    }
    let changes = plan.collections.iter().flat_map(|collection| {
        collection.changes.iter().map(move |change| (collection.source.clone(), change))
    });
    let changes = change_lines(changes);
    if !changes.is_empty() {
        lines.push(format!("{}{}", text::changes(lang), text::colon(lang).trim_end()));
        lines.extend(cut(lang, changes));
    }
    if let Some(rbac) = &plan.rbac {
        let heading = format!("{}{}", text::rbac(lang), text::colon(lang));
        lines.extend(RbacText::of_plan(lang, rbac).lines(&heading, |list| cut(lang, list)));
    }
    lines.extend(resource_group_line(lang, plan.resource_groups.as_deref()));
    lines.extend(plan.duration.iter().flat_map(|estimate| duration_lines(lang, estimate)));
    lines.push(text::plan_promise(lang).to_owned());
    lines
}

fn resource_group_line(lang: Lang, names: Option<&[String]>) -> Option<String> {
    let shown = resource_groups(lang, names)?;
    Some(format!("{}{}{}", text::resource_groups(lang), text::colon(lang), format::harmless(&shown)))
}

/// The names; none where there are none, and the word for it where they are not known.
pub(crate) fn resource_groups(lang: Lang, groups: Option<&[String]>) -> Option<String> {
    match groups {
        None => Some(text::not_told(lang).to_owned()),
        Some([]) => None,
        Some(all) => Some(names(lang, all)),
    }
}

/// The checks, one a line.
pub(crate) fn check_lines(lang: Lang, checks: &[Check]) -> Vec<String> {
    let width = checks.iter().map(|check| format::width(text::check(lang, check.id))).max().unwrap_or(0);
    let line = |check: &Check| {
        let mark = match check.outcome {
            Outcome::Pass => "✓",
            Outcome::Warn => "!",
            Outcome::Fail => "✗",
            Outcome::Skipped | Outcome::NotApplicable => "–",
        };
        let mut said: Vec<_> = check.facts.iter().filter(|fact| !fact.is_empty()).cloned().collect();
        match check.outcome {
            Outcome::Skipped => said.push(text::check_skipped(lang).to_owned()),
            Outcome::NotApplicable => said.push(text::check_not_applicable(lang).to_owned()),
            Outcome::Pass => {}
            Outcome::Warn | Outcome::Fail => {
                let mut codes: Vec<_> =
                    check.problems.iter().map(|problem| problem.code.to_string()).collect();
                codes.dedup();
                said.extend(codes);
            }
        }
        let name = format::pad(text::check(lang, check.id), width);
        format!("  {mark} {name}  {}", format::harmless(&said.join(text::comma(lang)))).trim_end().to_owned()
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
    let mut lines = vec![
        format!("{} ({})", format::harmless(&source.address), format::harmless(&source.version)),
        String::new(),
    ];
    let mut table = Table::new([
        (text::collection(lang), Align::Name),
        (text::rows_estimated(lang), Align::Right),
        (text::bytes_of_row(lang), Align::Right),
        (text::size(lang), Align::Right),
        (text::basis(lang), Align::Left),
    ]);
    for collection in &report.collections {
        let guessed = collection.fields.iter().any(|field| field.basis == SizeBasis::Assumed);
        table.row(vec![
            format::harmless(&collection.collection),
            format::count(collection.rows),
            format::count(collection.row_bytes.round() as u64),
            format::size(collection.bytes),
            if guessed {
                text::assumed(lang).to_owned()
            } else {
                text::sampled(lang, collection.sampled_rows)
            },
        ]);
    }
    table.totals(vec![
        text::some_collections(lang, report.collections.len()),
        format::count(report.rows),
        String::new(),
        format::size(report.bytes),
        String::new(),
    ]);
    lines.extend(table.lines(columns));
    lines.push(String::new());
    let mut units = Table::new([
        (text::cu_type(lang), Align::Left),
        (text::cu_filled(lang), Align::Right),
        (text::cu_to_order(lang), Align::Right),
    ]);
    for needed in &report.units {
        units.row(vec![
            needed.cu_type.to_string(),
            format!("{:.2}", needed.units),
            needed.size.map_or_else(|| "> 256".to_owned(), |size| size.to_string()),
        ]);
    }
    lines.extend(units.lines(columns));
    lines.push(text::cu_assumptions(lang, report.margin_percent));
    lines.extend(report.duration.iter().flat_map(|estimate| duration_lines(lang, estimate)));
    lines
}

/// What was read for nobody.
pub(crate) fn dry_run_lines(lang: Lang, report: &DryRunReport, columns: Option<usize>) -> Vec<String> {
    let mut table = Table::new([
        (text::collection(lang), Align::Name),
        (text::rows(lang), Align::Right),
        (text::size(lang), Align::Right),
        (text::time(lang), Align::Right),
        (text::rows_per_second(lang), Align::Right),
        (text::rate(lang), Align::Right),
    ]);
    let cells = |name: String, rows: u64, bytes: u64, seconds: f64| {
        vec![
            name,
            format::count(rows),
            format::size(bytes),
            format::seconds(seconds),
            format::count(format::per_second(rows, seconds)),
            format::byte_rate(bytes, seconds),
        ]
    };
    for read in &report.collections {
        table.row(cells(format::harmless(&read.collection), read.rows, read.bytes, read.seconds));
    }
    let all = text::some_collections(lang, report.collections.len());
    table.totals(cells(all, report.rows, report.bytes, report.seconds));
    let mut lines = table.lines(columns);
    if !report.not_loaded.is_empty() {
        let names = names(lang, &report.not_loaded);
        lines.push(format!("{}{}{names}", text::not_read(lang), text::colon(lang)));
    }
    lines.push(text::nothing_written(lang).to_owned());
    lines
}

/// How long a job takes, by which figures, and how long the indexes behind it.
pub(crate) fn duration_lines(lang: Lang, estimate: &DurationEstimate) -> Vec<String> {
    let rate = |bytes: f64| format!("{}/s", format::size(bytes as u64));
    let mut lines = vec![
        text::duration(lang, &format::seconds(estimate.seconds)),
        text::duration_of_copy(
            lang,
            &format::seconds(estimate.copy_seconds),
            (&rate(estimate.read_bytes_per_second), estimate.read_is_measured),
            (&rate(estimate.write_bytes_per_second), estimate.write_basis == WriteBasis::Quota),
            estimate.bottleneck,
        ),
        text::duration_of_steps(
            lang,
            &format::seconds(estimate.steps_seconds),
            estimate.steps.is_measured,
            &format::seconds(estimate.verify_seconds),
        ),
    ];
    // A moment needs no line.
    let of_indexes = estimate.index_seconds.filter(|seconds| *seconds >= 1.0);
    lines.extend(of_indexes.map(|seconds| text::searchable_after(lang, &format::seconds(seconds))));
    lines
}

/// Codes of the problems that name a collection.
fn codes_of(report: &Report, collection: &CollectionName) -> String {
    let name = collection.to_string();
    let mut codes: Vec<_> = report
        .problems
        .iter()
        .filter(|problem| problem.values.iter().any(|(key, value)| key == "collection" && *value == name))
        .map(|problem| problem.code.to_string())
        .collect();
    codes.dedup();
    codes.join(" ")
}

pub(crate) fn level(level: VerifyLevel) -> &'static str {
    match level {
        VerifyLevel::None => "none",
        VerifyLevel::Count => "count",
        VerifyLevel::Sample => "sample",
        VerifyLevel::Full => "full",
    }
}

/// How the proof of a collection came out.
pub(crate) fn verification(lang: Lang, report: &Report, collection: &CollectionReport) -> String {
    let codes = codes_of(report, &collection.source_name());
    let with_codes = |text: &str| format!("{text} {codes}").trim_end().to_owned();
    let Some(proof) = &collection.verification else {
        return match collection.phase {
            Phase::Failed => with_codes(text::phase(lang, Phase::Failed)),
            Phase::Canceled => text::phase(lang, Phase::Canceled).to_owned(),
            Phase::Done if report.verify == VerifyLevel::None => text::verified_none(lang).to_owned(),
            Phase::Done
            | Phase::Waiting
            | Phase::LoadingSource
            | Phase::Creating
            | Phase::Copying
            | Phase::Flushing
            | Phase::Indexing
            | Phase::Verifying => with_codes(text::not_verified(lang)),
        };
    };
    let mut cell = match (proof.passed, proof.level) {
        (true, VerifyLevel::None) => text::verified_none(lang).to_owned(),
        (true, VerifyLevel::Count) => "count ✓".to_owned(),
        (true, VerifyLevel::Sample) => text::sample_passed(lang, proof.rows_compared),
        (true, VerifyLevel::Full) => text::full_passed(lang, proof.rows_compared),
        (false, failed) => with_codes(&format!("{} ✗", level(failed))),
    };
    // Where the proof failed, nobody knows which of the rows too many are repeated keys.
    if proof.passed && proof.duplicate_rows > 0 {
        cell.push_str(text::comma(lang));
        cell.push_str(&text::duplicates(lang, proof.duplicate_rows));
    }
    cell
}

/// The table of a migration.
fn migration_table(lang: Lang, report: &Report) -> Table {
    let mut table = Table::new([
        (text::collection(lang), Align::Name),
        (text::rows(lang), Align::Right),
        (text::size(lang), Align::Right),
        (text::time(lang), Align::Right),
        (text::rows_per_second(lang), Align::Right),
        (text::rate(lang), Align::Right),
        (text::partitions(lang), Align::Right),
        (text::verification(lang), Align::Left),
    ]);
    let rate = |rows: u64, bytes: u64, seconds: f64| {
        let rows_rate =
            if rows == 0 { "-".to_owned() } else { format::count(format::per_second(rows, seconds)) };
        (rows_rate, format::byte_rate(bytes, seconds))
    };
    for collection in &report.collections {
        let (rows_rate, byte_rate) = rate(collection.rows, collection.bytes, collection.copy_seconds);
        table.row(vec![
            name(&collection.source_name(), &collection.target_db),
            format::count(collection.rows),
            format::size(collection.bytes),
            format::seconds(collection.seconds),
            rows_rate,
            byte_rate,
            format::count(collection.partitions.len() as u64),
            verification(lang, report, collection),
        ]);
    }
    let (rows_rate, byte_rate) = rate(report.rows(), report.bytes(), report.seconds);
    table.totals(vec![
        text::some_collections(lang, report.collections.len()),
        format::count(report.rows()),
        format::size(report.bytes()),
        format::seconds(report.seconds),
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
        (text::collection(lang), Align::Name),
        (text::source_rows(lang), Align::Right),
        (text::target_rows(lang), Align::Right),
        (text::time(lang), Align::Right),
        (text::verification(lang), Align::Left),
    ]);
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), format::count);
    let (mut source_rows, mut target_rows) = (0, 0);
    for collection in &report.collections {
        let proof = collection.verification.as_ref();
        source_rows += proof.map_or(0, |proof| proof.source_rows);
        target_rows += proof.map_or(0, |proof| proof.target_rows);
        table.row(vec![
            name(&collection.source_name(), &collection.target_db),
            number(proof.map(|proof| proof.source_rows)),
            number(proof.map(|proof| proof.target_rows)),
            format::seconds(collection.seconds),
            verification(lang, report, collection),
        ]);
    }
    table.totals(vec![
        text::some_collections(lang, report.collections.len()),
        format::count(source_rows),
        format::count(target_rows),
        format::seconds(report.seconds),
        String::new(),
    ]);
    table
}

fn index_lines(lang: Lang, report: &Report) -> Vec<String> {
    let lines = report.collections.iter().flat_map(|collection| {
        collection.indexes.iter().map(move |index| {
            let kind = format!("{} {}", index.index_type, index.metric_type);
            let state = text::index_state(lang, index.built_percent());
            let name = collection.target_name();
            format::harmless(&format!("{name}.{}: {}, {state}", index.field, kind.trim_end()))
        })
    });
    lines.collect()
}

/// The rows that a comparison of all rows found.
fn finding_lines(lang: Lang, collection: &CollectionReport, findings: &Findings) -> Vec<String> {
    let (name, colon) = (collection.source_name(), text::colon(lang));
    let kinds = [
        (text::missing(lang), &findings.missing),
        (text::extra(lang), &findings.extra),
        (text::changed(lang), &findings.changed),
        (text::repeated_keys(lang), &findings.repeated_keys),
        (text::repeated_on_target(lang), &findings.repeated_on_target),
    ];
    let rows = kinds.into_iter().flat_map(|(kind, found)| {
        let name = &name;
        found.first.iter().map(move |row| {
            let row = text::row(lang, row.partition.as_deref(), &row.key.to_string(), &row.fields);
            format::harmless(&format!("{name}{colon}{kind}{colon}{row}"))
        })
    });
    let swapped = findings.swapped.iter().map(|row| {
        let moved = text::destination(&row.source_partition, &row.target_partition);
        let row = text::row(lang, None, &row.key.to_string(), &[moved]);
        format::harmless(&format!("{name}{colon}{}{colon}{row}", text::swapped(lang)))
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
    let colon = text::colon(output.lang).trim_end();
    output.result(&format!("\n{}{colon}", output.styled(Style::Strong, heading)));
    for line in cut(output.lang, lines) {
        output.result(&line);
    }
}

/// Collections that a command names; more of them are named by their job.
pub(crate) const COMMAND_COLLECTIONS_MAX: usize = 10;

/// The command that loads what a job made, exactly as it can be typed.
pub(crate) fn load_command(
    job_id: &str,
    target: &Endpoint,
    files: &TlsFiles,
    collections: &[CollectionName],
) -> String {
    if collections.len() > COMMAND_COLLECTIONS_MAX {
        let mut command = format!("vecferry load --job {job_id}");
        add_files(&mut command, files);
        return command;
    }
    let mut command = format!("vecferry load --target {}", format::shell(&target.to_string()));
    add_files(&mut command, files);
    for collection in collections {
        command.push_str(&format!(" --collection {}", format::shell(&collection.to_string())));
    }
    command
}

fn add_files(command: &mut String, files: &TlsFiles) {
    for (flag, file) in
        [("--target-ca", &files.ca), ("--target-cert", &files.cert), ("--target-key", &files.key)]
    {
        if let Some(file) = file {
            command.push_str(&format!(" {flag} {}", format::shell(&file.to_string_lossy())));
        }
    }
}

/// What is on the target, complete and not loaded.
pub(crate) fn loadable(report: &Report) -> Vec<CollectionName> {
    report
        .collections
        .iter()
        .filter(|collection| collection.phase == Phase::Done && collection.created && !collection.loaded)
        .map(CollectionReport::target_name)
        .collect()
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
        JobState::Pending | JobState::InProgress | JobState::Canceling | JobState::Canceled => Style::Warning,
    };
    let state = output.styled(style, text::state(output.lang, report.state));
    text::job(output.lang, report.job_id.as_str(), &state, level(report.verified), report.sample_seed)
}

/// What the copy waited for, in percent; parts that are less than one are left out.
pub(crate) fn wait_shares(lang: Lang, pace: &PaceReport) -> Option<String> {
    let percents = pace.waits.iter().map(|wait| (wait.on, (wait.share * 100.0).round() as u64));
    let percents: Vec<_> = percents.filter(|(_, percent)| *percent > 0).collect();
    (!percents.is_empty()).then(|| text::shares(lang, &percents))
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
        (text::indexes(lang), index_lines(lang, report)),
        (
            text::changes(lang),
            change_lines(report.collections.iter().flat_map(|collection| {
                collection.changes.iter().map(move |change| (collection.source_name(), change))
            })),
        ),
    ];
    for (heading, lines) in sections {
        if !lines.is_empty() {
            output.result(&format!(
                "\n{}{}",
                output.styled(Style::Strong, heading),
                text::colon(lang).trim_end()
            ));
            for line in cut(lang, lines) {
                output.result(&line);
            }
        }
    }
    if let Some(rbac) = &report.rbac {
        let heading = output.styled(Style::Strong, text::rbac(lang));
        output.result(&format!("\n{heading}{}", text::colon(lang).trim_end()));
        let lines = RbacText::of_report(lang, rbac).lines("  ", |list| cut(lang, list));
        lines.iter().for_each(|line| output.result(line));
    }
    resource_group_line(lang, report.resource_groups.as_deref()).iter().for_each(|line| output.result(line));
    output.result(&format!("\n{}", job_line(output, report)));
    if report.attempts > 1 {
        let (all, last) = (format::seconds(report.seconds), format::seconds(report.last_attempt_seconds));
        output.result(&text::worked_in_attempts(lang, &all, report.attempts, &last));
    }
    if let Some(estimate) = &report.estimate
        && let Some(seconds) = estimate.copy_seconds
    {
        let (planned, took) = (format::seconds(estimate.copy_seconds_estimated), format::seconds(seconds));
        output.result(&text::estimate_kept(lang, &took, &planned));
    }
    if let Some(expected) = report.estimate.as_ref().and_then(|estimate| estimate.seconds_estimated) {
        let (took, expected) = (format::seconds(report.seconds), format::seconds(expected));
        output.result(&text::estimate_of_job_kept(lang, &took, &expected));
    }
    if let Some(pace) = &report.pace {
        let shares = wait_shares(lang, pace);
        shares.iter().for_each(|shares| output.result(&text::waited(lang, shares, pace.ledger_commits)));
        pace.max_rate
            .iter()
            .for_each(|rate| output.result(&text::max_rate(lang, Some(&format::harmless(rate)))));
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
}

/// Shows what a comparison found.
pub(crate) fn comparison(output: &Output, report: &Report) {
    let lang = output.lang;
    output.gap();
    problems(output, report);
    for line in comparison_table(lang, report).lines(output.result_columns()) {
        output.result(&line);
    }
    show_findings(output, text::mended_rows(lang), report, |proof| {
        proof.repair.as_ref().map(|repair| &repair.found)
    });
    show_findings(output, text::differing_rows(lang), report, |proof| proof.findings.as_ref());
    output.result(&format!("\n{}", job_line(output, report)));
    match report.exit() {
        Exit::Done => output.result(text::equal(lang)),
        Exit::Canceled => {}
        Exit::Usage | Exit::Refused | Exit::Failed | Exit::Different => output.result(text::not_equal(lang)),
    }
}
