//! Whole jobs that copy while somebody writes: a warm copy, two catch-ups and a cut-over, with faults in each.

use std::fmt;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use vecferry_store::{JobId, RoundKind, RoundRecord, RoundState};

use super::hit::{Hit, Moment};
use super::job::{Job, Outcome, Run};
use super::writer::{Application, Writer};
use super::{END_TIMEOUT, Side, Torture, data, whole};
use crate::bench::collection;
use crate::{Failure, output};

/// Faults in a warm copy, a catch-up or a cut-over.
const FAULTS_MAX: u32 = 3;
/// Runs after the last fault, until it has to be complete.
const RUNS_MAX: u32 = 6;
/// Cut-overs of a job that may say that somebody wrote, although nobody does: the source rewrote what it stores.
const REWRITTEN_MAX: u32 = 3;

/// What the rounds of all jobs came to.
#[derive(Debug, Default)]
struct Rounds {
    faults: u32,
    missed: u32,
    resumed: u32,
    begun_again: u32,
    rewritten: u32,
    /// Rows that catch-ups found to differ, those of the first and of the second.
    caught_up: [u64; 2],
    cut_over: u64,
    windows: Vec<f64>,
}

impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { faults, missed, resumed, begun_again, rewritten, caught_up, cut_over, windows } = self;
        writeln!(f, "faults that hit: {faults}, that missed: {missed}")?;
        writeln!(f, "rounds gone on with: {resumed}, begun again: {begun_again}")?;
        writeln!(f, "cut-overs that took something else for a write: {rewritten}")?;
        let [first, second] = caught_up;
        writeln!(
            f,
            "rows that differed: {first} in first catch-ups, {second} in second ones, {cut_over} in cut-overs"
        )?;
        let longest = windows.iter().copied().fold(0.0, f64::max);
        let mean = windows.iter().sum::<f64>() / windows.len().max(1) as f64;
        write!(f, "downtime windows, kills and resumes among them: {mean:.1} s, at most {longest:.1} s")
    }
}

/// What begins a round.
fn begins(kind: RoundKind, job: Option<&str>) -> Run<'_> {
    match (kind, job) {
        (_, None) => Run::MigrateWarm,
        (RoundKind::Warm, Some(job)) => Run::Resume(job),
        (RoundKind::CatchUp, Some(job)) => Run::CatchUp(job),
        (RoundKind::CutOver, Some(job)) => Run::CutOver(job),
    }
}

/// When something hits a round.
fn moment(kind: RoundKind) -> fn(&mut StdRng) -> Moment {
    match kind {
        RoundKind::Warm => Moment::draw,
        RoundKind::CatchUp | RoundKind::CutOver => Moment::of_round,
    }
}

impl Torture {
    pub(super) fn all_warm_rounds(&mut self, count: u32) -> Result<(), Failure> {
        let mut rounds = Rounds::default();
        let outcome = self.warm_jobs(&mut rounds, count);
        output::result(&rounds.to_string());
        outcome?;
        self.check_foreign(true)
    }

    fn warm_jobs(&mut self, rounds: &mut Rounds, count: u32) -> Result<(), Failure> {
        let random = StdRng::seed_from_u64(self.random.random());
        let mut application = Application::new(random, self.rows_each);
        for number in 1..=count {
            let begin = Instant::now();
            application = self.warm_round(rounds, application)?;
            let (deeds, seconds) = (application.deeds, begin.elapsed().as_secs());
            output::note(&format!("job {number}: {seconds} s; the application wrote {deeds} times so far"));
            self.check_foreign(false)?;
        }
        Ok(())
    }

    /// A whole job, and what is there behind it.
    fn warm_round(&mut self, rounds: &mut Rounds, application: Application) -> Result<Application, Failure> {
        let writer = Writer::start(self.direct(Side::Source)?, application);
        let job = self.rounds_of_a_writer(rounds);
        let application = writer.stop();
        // What the program says is told first: it may be why the other one ended.
        let (job, application) = (job?, application?);
        let (job, report) = self.reach(rounds, RoundKind::CutOver, Some(job))?;
        rounds.cut_over += rows_differing(&report);
        rounds.windows.extend(last_round(&report)["window_seconds"].as_f64());
        self.check_names(&job)?;
        let source = self.direct(Side::Source)?;
        self.runtime.block_on(data::reload(&source))?;
        self.check(&job, &report)?;
        Ok(application)
    }

    /// What is done while the application writes. Returns the job.
    fn rounds_of_a_writer(&mut self, rounds: &mut Rounds) -> Result<String, Failure> {
        let (mut job, _) = self.reach(rounds, RoundKind::Warm, None)?;
        for at in 0..rounds.caught_up.len() {
            let (same, report) = self.reach(rounds, RoundKind::CatchUp, Some(job))?;
            rounds.caught_up[at] += rows_differing(&report);
            job = same;
        }
        Ok(job)
    }

    /// Runs the program, with faults, until a round is complete.
    fn reach(
        &mut self,
        rounds: &mut Rounds,
        kind: RoundKind,
        mut job: Option<String>,
    ) -> Result<(String, Value), Failure> {
        let (mut faults, mut runs, mut rewritten) = (self.random.random_range(0..=FAULTS_MAX), 0, 0);
        let mut before = None;
        loop {
            let begin = Instant::now();
            let newest = job.as_deref().map(|job| self.newest_round(job)).transpose()?.flatten();
            let newest = newest.as_ref().filter(|_| kind != RoundKind::Warm);
            let before = *before.get_or_insert(newest.map_or(0, |round| round.number));
            // A warm copy can only be gone on with: what begins it does that too.
            let is_open =
                newest.is_some_and(|round| round.state == RoundState::Open && round.number > before);
            // What is open is gone on with, or given up for another one.
            let resumes = is_open && self.random.random_ratio(3, 4);
            let run = match job.as_deref().filter(|_| resumes) {
                Some(job) => Run::Resume(job),
                None => begins(kind, job.as_deref()),
            };
            rounds.resumed += u32::from(resumes);
            rounds.begun_again += u32::from(is_open && !resumes);
            let text = format!("{kind:?}, {run:?}");
            let (hit, outcome, number) = if faults > 0 {
                faults -= 1;
                let hit = Hit::of_warm(&mut self.random);
                let (has_hit, outcome, number) = self.round(hit, run, moment(kind))?;
                rounds.faults += u32::from(has_hit);
                rounds.missed += u32::from(!has_hit);
                (Some((hit, has_hit)), outcome, number)
            } else {
                runs += 1;
                let running = Job::start(self, run)?;
                let outcome = running.end(END_TIMEOUT)?;
                (None, outcome, None)
            };
            let told = match hit {
                Some((hit, true)) => format!(", {hit:?}"),
                Some((hit, false)) => format!(", {hit:?} (missed)"),
                None => String::new(),
            };
            output::note(&format!("  {text}{told}: {outcome}, {:.1} s", begin.elapsed().as_secs_f64()));
            job = job.or(number);
            match outcome {
                Outcome::Successful { number, report } if is_reached(kind, before, &report) => {
                    return Ok((number, report));
                }
                // Killed before its round began, a job is at rest.
                Outcome::Successful { number, .. } => job = Some(number),
                Outcome::Killed | Outcome::Failed { .. } => {}
                Outcome::Different { text } if kind == RoundKind::CutOver && text.contains("VF-0454") => {
                    rewritten += 1;
                    rounds.rewritten += 1;
                    if rewritten > REWRITTEN_MAX {
                        return Err(format!("nobody writes, and {rewritten} cut-overs saw it: {text}").into());
                    }
                }
                Outcome::Different { text } | Outcome::Refused { text } => {
                    return Err(format!("job {job:?}, {:?}: {text}", kind).into());
                }
            }
            if runs > RUNS_MAX {
                return Err(format!("job {job:?}: {:?} does not come to its end", kind).into());
            }
        }
    }

    fn newest_round(&self, job: &str) -> Result<Option<RoundRecord>, Failure> {
        let store = vecferry_store::sqlite::open(&self.state())?;
        Ok(self.runtime.block_on(store.round(&JobId::from(job)))?)
    }

    /// Partitions and aliases of both sides are the same.
    fn check_names(&mut self, job: &str) -> Result<(), Failure> {
        let (source, target) = (self.direct(Side::Source)?, self.direct(Side::Target)?);
        for name in data::COLLECTIONS.map(collection) {
            let both = async {
                let of_source = whole::Names::read(&source, &name).await?;
                Ok::<_, Failure>((of_source, whole::Names::read(&target, &name).await?))
            };
            let (of_source, of_target) = self.runtime.block_on(both)?;
            if of_source != of_target {
                let problem =
                    format!("after job {job}: {name} has {of_source:?}, on the target {of_target:?}");
                output::note(&problem);
                self.tally.false_success(problem);
            }
        }
        Ok(())
    }
}

fn last_round(report: &Value) -> &Value {
    report["rounds"].as_array().and_then(|rounds| rounds.last()).unwrap_or(&Value::Null)
}

/// Whether a report tells of a round behind another one that came to its end.
fn is_reached(kind: RoundKind, before: u64, report: &Value) -> bool {
    let last = last_round(report);
    last["number"].as_u64() > Some(before)
        && last["kind"] == kind.name()
        && last["state"] == RoundState::Done.name()
}

/// Rows that the last round of a report found to differ.
fn rows_differing(report: &Value) -> u64 {
    let found = &last_round(report)["caught_up"];
    let count = |name| found[name].as_u64().unwrap_or_default();
    ["rows_missing", "rows_changed", "rows_extra"].into_iter().map(count).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_report_of_the_round_before_does_not_count() {
        let report = json!({"rounds": [
            {"number": 1, "kind": "warm", "state": "done"},
            {"number": 2, "kind": "catch_up", "state": "done",
                "caught_up": {"rows_missing": 1, "rows_changed": 2, "rows_extra": 3}},
        ]});
        assert!(is_reached(RoundKind::CatchUp, 1, &report));
        assert!(!is_reached(RoundKind::CatchUp, 2, &report));
        assert!(!is_reached(RoundKind::CutOver, 1, &report));
        assert!(!is_reached(RoundKind::Warm, 0, &json!({})));
        assert_eq!(rows_differing(&report), 6);
    }
}
