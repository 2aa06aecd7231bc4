//! Makes the collections of popular applications and of public reports on real servers, migrates them, and compares what
//! arrived without Vecferry's code.
//!
//! `xtask/cases/` holds them in Python (its README lists them). Each case is migrated by a job of its own between two
//! servers of one kind. It ends equal, or with the one refusal that `expected.json` writes down for a collection; whatever
//! else happens is a failure.

mod expected;
mod job;
mod python;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use vecferry_sandbox::{Sandbox, SandboxSpec, ServerInfo, ServerKind, ServerSpec, SetupStep};

use crate::bench::build;
use crate::{Failure, output};
use expected::Expected;
use python::Python;

/// Cases that run at the same time on a Milvus, where they mostly wait for its coordinators.
const MILVUS_WORKERS: usize = 8;
/// Files of Milvus Lite don't bear two calls at once.
const LITE_WORKERS: usize = 1;
/// Longest text of a cell that says what went wrong.
const TEXT_MAX: usize = 300;

/// The cases of `--short`: most schemas, in a minute.
const SHORT: [(Pair, &[&str]); 2] = [
    (Pair::Milvus235, &["c01", "c05", "c21", "c24", "c25", "c35", "c40", "c42"]),
    (Pair::Lite322, &["c04", "c09", "c12", "c21", "c24", "c30", "c31", "c50", "c52", "c53", "c59"]),
];

/// Which cases, between which servers
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only cases whose names begin so: c24,c35
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only between servers of these kinds
    #[arg(long, value_delimiter = ',')]
    server: Vec<Pair>,
    /// A choice of cases on two kinds of servers, for every change
    #[arg(long, conflicts_with_all = ["only", "server"])]
    short: bool,
    /// A `vecferry` that is built already; without it, one is built as it is released
    #[arg(long)]
    program: Option<PathBuf>,
}

/// Two servers of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Pair {
    /// Milvus 2.3.5
    #[value(name = "2.3.5")]
    Milvus235,
    /// Milvus Lite 2.5.1
    #[value(name = "2.5.1")]
    Lite251,
    /// Milvus Lite 3.2.2
    #[value(name = "3.2.2")]
    Lite322,
}

impl Pair {
    fn name(self) -> &'static str {
        match self {
            Self::Milvus235 => "2.3.5",
            Self::Lite251 => "2.5.1",
            Self::Lite322 => "3.2.2",
        }
    }

    fn workers(self) -> usize {
        match self {
            Self::Milvus235 => MILVUS_WORKERS,
            Self::Lite251 | Self::Lite322 => LITE_WORKERS,
        }
    }

    fn server(self, side: &str) -> ServerSpec {
        let name = format!("{side}-{}", self.name().replace('.', "_"));
        match self {
            // Its coordinators look more often than by default whether there is something to do.
            Self::Milvus235 => ServerSpec::new(name, ServerKind::Milvus235)
                .with_authorization()
                .with_setting("dataCoord.segment.assignmentExpiration", 500)
                .with_setting("indexCoord.scheduler.interval", 100)
                .with_setting("queryCoord.checkChannelInterval", 100)
                .with_setting("queryCoord.checkSegmentInterval", 100)
                .with_setting("queryCoord.UpdateNextTargetInterval", 1)
                .with_setting("queryCoord.distPullInterval", 100),
            Self::Lite251 => ServerSpec::new(name, ServerKind::Lite251),
            Self::Lite322 => ServerSpec::new(name, ServerKind::Lite322),
        }
    }
}

/// What became of the collections of one job.
struct Line {
    pair: Pair,
    case: String,
    collections: usize,
    rows: u64,
    outcome: Outcome,
    seconds: f64,
}

enum Outcome {
    Equal,
    /// As it is written down.
    Refused(String),
    Different(String),
}

/// Runs the cases.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let program = match &arguments.program {
        Some(program) => program.canonicalize()?,
        None => build()?,
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let expected = expected::read(&folder)?;
    let pairs: Vec<_> = Pair::value_variants()
        .iter()
        .copied()
        .filter(|pair| match arguments.short {
            true => SHORT.iter().any(|(one, _)| one == pair),
            false => arguments.server.is_empty() || arguments.server.contains(pair),
        })
        .collect();
    let specs = pairs.iter().flat_map(|pair| [pair.server("source"), pair.server("target")]);
    let mut supervisor = std::process::Command::new(&program);
    supervisor.arg("sandbox");
    let on_step = |step: SetupStep| output::note(&step.to_string());
    let sandbox = Sandbox::start(supervisor, &SandboxSpec::new(specs).with_pymilvus(), &on_step)
        .map_err(|error| format!("{error}; {}", error.hint()))?;
    let cases = Cases { program, folder, sandbox, expected, lines: Mutex::default() };
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            pairs.iter().map(|pair| scope.spawn(|| cases.run_pair(scope, *pair, arguments))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })?;
    let lines = cases.lines.into_inner().unwrap_or_else(PoisonError::into_inner);
    conclude(lines, begin.elapsed().as_secs_f64())
}

struct Cases {
    program: PathBuf,
    folder: PathBuf,
    sandbox: Sandbox,
    expected: Vec<Expected>,
    lines: Mutex<Vec<Line>>,
}

impl Cases {
    fn python(&self) -> Result<Python, Failure> {
        Python::start(&self.folder, self.sandbox.pymilvus().ok_or("there is no pymilvus")?)
    }

    fn run_pair<'scope, 'env>(
        &'env self,
        scope: &'scope std::thread::Scope<'scope, 'env>,
        pair: Pair,
        arguments: &Arguments,
    ) -> Result<(), Failure> {
        let mut first = self.python()?;
        let names = first.ask(&json!({"do": "list", "server": pair.name()}))?;
        let prefixes: Vec<&str> = match arguments.short {
            true => SHORT
                .iter()
                .filter(|(one, _)| *one == pair)
                .flat_map(|(_, some)| some.iter().copied())
                .collect(),
            false => arguments.only.iter().map(String::as_str).collect(),
        };
        let chosen =
            |case: &&str| prefixes.is_empty() || prefixes.iter().any(|prefix| case.starts_with(prefix));
        let names = names.as_array().map(Vec::as_slice).unwrap_or_default();
        let todo: VecDeque<_> =
            names.iter().filter_map(Value::as_str).filter(chosen).map(str::to_owned).collect();
        let workers = pair.workers().min(todo.len());
        let todo = std::sync::Arc::new(Mutex::new(todo));
        let pythons = std::iter::once(Ok(first)).chain((1..workers).map(|_| self.python()));
        let threads: Vec<_> = pythons
            .take(workers)
            .map(|python| {
                let todo = std::sync::Arc::clone(&todo);
                scope.spawn(move || {
                    let mut worker = Worker { cases: self, pair, python: python? };
                    let next = || todo.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    while let Some(case) = next() {
                        worker.run(&case)?;
                    }
                    Ok::<_, Failure>(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    }

    /// What is written down for a collection.
    fn expected(&self, pair: Pair, collection: &str) -> Option<&Expected> {
        self.expected.iter().find(|one| one.server == pair.name() && one.collection == collection)
    }
}

/// Does one case after the other.
struct Worker<'a> {
    cases: &'a Cases,
    pair: Pair,
    python: Python,
}

impl Worker<'_> {
    fn info(&self, side: &str) -> Result<ServerInfo, Failure> {
        Ok(self.cases.sandbox.server(&self.pair.server(side).name)?.clone())
    }

    /// Makes a case's collections, migrates them, compares them and drops them.
    fn run(&mut self, case: &str) -> Result<(), Failure> {
        let begin = Instant::now();
        let mut request = json!({"do": "seed", "server": self.pair.name(), "case": case});
        for side in ["source", "target"] {
            let info = self.info(side)?;
            request[side] = json!({"uri": info.uri, "token": info.token.unwrap_or_default()});
        }
        let made = match self.python.ask(&request) {
            Ok(made) => made,
            Err(failure) => {
                let outcome = Outcome::Different(format!("it can't be made: {failure}"));
                self.add(case, begin, 0, 0, outcome);
                return Ok(());
            }
        };
        for note in made["notes"].as_array().map(Vec::as_slice).unwrap_or_default() {
            output::note(&format!("{} {case}: {}", self.pair.name(), note.as_str().unwrap_or_default()));
        }
        let collections = made["collections"].as_array().map(Vec::as_slice).unwrap_or_default();
        let (odd, plain): (Vec<_>, Vec<_>) = collections
            .iter()
            .cloned()
            .partition(|name| self.cases.expected(self.pair, &full_name(name)).is_some());
        if !plain.is_empty() {
            self.migrate(&mut request, case, &plain, None)?;
        }
        for name in odd {
            let expected = self.cases.expected(self.pair, &full_name(&name));
            self.migrate(&mut request, case, &[name], expected)?;
        }
        request["do"] = "drop".into();
        request["collections"] = collections.into();
        self.python.ask(&request)?;
        Ok(())
    }

    fn migrate(
        &mut self,
        request: &mut Value,
        case: &str,
        collections: &[Value],
        expected: Option<&Expected>,
    ) -> Result<(), Failure> {
        let begin = Instant::now();
        let names: Vec<_> = collections.iter().map(full_name).collect();
        let (source, target) = (self.info("source")?, self.info("target")?);
        let ended = job::migrate(&self.cases.program, &source, &target, &names)?;
        request["collections"] = collections.into();
        request["do"] = "there".into();
        let is_there = self.python.ask(request)?.as_array().is_some_and(|there| !there.is_empty());
        let refused = expected.filter(|_| !ended.successful);
        let outcome = match refused {
            Some(expected) if expected.left_out.is_none() && is_there => {
                Some(format!("{} left something on the target", expected.code))
            }
            Some(expected) => not_as_expected(expected, &ended),
            None if !ended.successful => Some(said(&ended)),
            None => None,
        };
        request["do"] = "compare".into();
        let (mut rows, mut outcome) = (0, outcome.map_or(Outcome::Equal, Outcome::Different));
        if is_there || ended.successful {
            let found = self.python.ask(request)?;
            let found = found.as_array().map(Vec::as_slice).unwrap_or_default();
            let left_out = refused.and_then(|expected| expected.left_out).unwrap_or_default();
            for (name, found) in names.iter().zip(found) {
                rows += found["rows"].as_u64().unwrap_or_default();
                let texts = |key: &str| {
                    let texts = found[key].as_array().map(Vec::as_slice).unwrap_or_default();
                    texts.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
                };
                for note in texts("notes") {
                    output::note(&format!("{} {name}: {note}", self.pair.name()));
                }
                let differences = texts("differences");
                let missing = found["missing"].as_u64().unwrap_or_default();
                if differences.len() != usize::from(left_out > 0) || missing != left_out {
                    let more = match &outcome {
                        Outcome::Different(text) => format!("{text}; "),
                        Outcome::Equal | Outcome::Refused(_) => String::new(),
                    };
                    let text = match differences.is_empty() {
                        true => format!("{left_out} rows should be left out"),
                        false => differences.join("; "),
                    };
                    outcome = Outcome::Different(format!("{more}{name}: {text}"));
                }
            }
        }
        if let (Some(expected), Outcome::Equal) = (refused, &outcome) {
            let text = ended.problems.first().map(|(_, text)| text.as_str()).unwrap_or_default();
            outcome = Outcome::Refused(format!("{}, {text}", expected.code));
        } else if let (Some(expected), Outcome::Equal) = (expected, &outcome) {
            output::note(&format!(
                "{} {}: it arrived, expected.json still says {}",
                self.pair.name(),
                expected.collection,
                expected.code
            ));
        }
        self.add(case, begin, names.len(), rows, outcome);
        Ok(())
    }

    fn add(&self, case: &str, begin: Instant, collections: usize, rows: u64, outcome: Outcome) {
        let line = Line {
            pair: self.pair,
            case: case.to_owned(),
            collections,
            rows,
            outcome,
            seconds: begin.elapsed().as_secs_f64(),
        };
        output::note(&line.to_string());
        self.cases.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

fn full_name(name: &Value) -> String {
    format!("{}.{}", name[0].as_str().unwrap_or_default(), name[1].as_str().unwrap_or_default())
}

/// Why a refusal is not the one that is written down.
fn not_as_expected(expected: &Expected, ended: &job::Ended) -> Option<String> {
    let only = ended.problems.iter().all(|(code, _)| *code == expected.code);
    let named = ended.problems.iter().all(|(_, text)| text.contains(&expected.collection));
    (!only || !named || ended.problems.is_empty()).then(|| {
        format!("{} that names `{}` was expected: {}", expected.code, expected.collection, said(ended))
    })
}

fn said(ended: &job::Ended) -> String {
    let texts: Vec<_> = ended.problems.iter().map(|(code, text)| format!("{code}, {text}")).collect();
    texts.join("; ")
}

impl std::fmt::Display for Line {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match &self.outcome {
            Outcome::Equal => "equal".to_owned(),
            Outcome::Refused(text) => format!("refused: {text}"),
            Outcome::Different(text) => format!("DIFFERENT: {text}"),
        };
        let text: String = text.chars().take(TEXT_MAX).collect();
        let (pair, case) = (self.pair.name(), &self.case);
        write!(
            out,
            "{pair}  {case:<32} {:>3} {:>7} {:>6.1}  {text}",
            self.collections, self.rows, self.seconds
        )
    }
}

/// Prints the table; an error if a case is neither equal nor refused as written down.
fn conclude(mut lines: Vec<Line>, seconds: f64) -> Result<(), Failure> {
    lines.sort_by(|one, other| (one.pair.name(), &one.case).cmp(&(other.pair.name(), &other.case)));
    output::result("server case                             collections rows seconds  result");
    for line in &lines {
        output::result(&line.to_string());
    }
    let count = |is: fn(&Outcome) -> bool| lines.iter().filter(|line| is(&line.outcome)).count();
    let equal = count(|outcome| matches!(outcome, Outcome::Equal));
    let refused = count(|outcome| matches!(outcome, Outcome::Refused(_)));
    let different = count(|outcome| matches!(outcome, Outcome::Different(_)));
    output::result(&format!(
        "{equal} equal, {refused} refused as expected, {different} different, {seconds:.0} s"
    ));
    match (lines.len(), different) {
        (0, _) => Err("no case has such a name there".into()),
        (_, 0) => Ok(()),
        (_, different) => Err(format!("{different} cases are different").into()),
    }
}
