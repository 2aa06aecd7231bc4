//! Any order of what workers do, against a model of what a store is to answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use vecferry_store::{
    Claim, ErrorKind, JobId, NewSplit, Progress, RangeCount, Split, SplitId, Step, Store, WorkerId, Writer,
};

use crate::place::Place;
use crate::sample::{FIRST, LONG, id, job};

const WORKERS: usize = 3;
const LAST: u32 = 64;

/// What happens next. Workers and splits are told by their numbers.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// A worker opens a writer in place of the one that it has.
    Open(usize),
    /// It stands still until its time is over.
    Expire(usize),
    Renew(usize),
    Claim(usize, usize),
    /// It does something under the claim of a split that it got last.
    Work(Work, usize, usize),
    /// Everybody is ended.
    Lose,
}

#[derive(Clone, Copy, Debug)]
enum Work {
    /// Records what it is about to send.
    Intend,
    /// Records what is written.
    Advance,
    /// The last of its steps once more.
    Repeat,
    /// The first of its steps once more.
    Late,
    Divide,
    Finish,
    Release,
}

fn act() -> impl Strategy<Value = Act> {
    let worker = 0..WORKERS;
    let split = 0..3_usize;
    let work = prop_oneof![
        6 => Just(Work::Intend),
        6 => Just(Work::Advance),
        2 => Just(Work::Repeat),
        2 => Just(Work::Late),
        1 => Just(Work::Divide),
        1 => Just(Work::Finish),
        1 => Just(Work::Release),
    ];
    prop_oneof![
        1 => worker.clone().prop_map(Act::Open),
        2 => worker.clone().prop_map(Act::Expire),
        1 => worker.clone().prop_map(Act::Renew),
        6 => (worker.clone(), split.clone()).prop_map(|(worker, split)| Act::Claim(worker, split)),
        19 => (work, worker, split).prop_map(|(work, worker, split)| Act::Work(work, worker, split)),
        1 => Just(Act::Lose),
    ]
}

/// A split as the model has it. Keys are numbers; 0 is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Modeled {
    after: u32,
    until: u32,
    cursor: u32,
    intent: u32,
    rows: u64,
    done: bool,
    epoch: i64,
    writer: u64,
}

impl Modeled {
    fn unrecorded(&self) -> Option<(u32, u32)> {
        let start = if self.cursor == 0 { self.after } else { self.cursor };
        (self.intent != 0 && self.intent != self.cursor).then_some((start, self.intent))
    }
}

/// What the model knows of a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Open,
    Over,
    Lost,
}

#[derive(Default)]
struct Model {
    splits: Vec<Modeled>,
    writers: BTreeMap<u64, Life>,
    doubts: BTreeSet<(u32, u32)>,
}

impl Model {
    fn doubt(&mut self, split: usize) {
        self.doubts.extend(self.splits[split].unrecorded());
    }

    fn lose(&mut self, writer: u64) {
        for split in 0..self.splits.len() {
            if self.splits[split].writer == writer {
                self.doubt(split);
                self.splits[split].epoch += 1;
                self.splits[split].writer = 0;
            }
        }
        self.writers.insert(writer, Life::Lost);
    }

    fn claim(&mut self, writer: u64, split: usize) -> Result<bool, ErrorKind> {
        if self.writers[&writer] == Life::Lost {
            return Err(ErrorKind::Fenced);
        }
        if self.splits[split].done {
            return Ok(false);
        }
        let holder = self.splits[split].writer;
        if holder != 0 && holder != writer {
            if self.writers[&holder] == Life::Open {
                return Err(ErrorKind::IsClaimed);
            }
            self.lose(holder);
        }
        self.doubt(split);
        self.splits[split].epoch += 1;
        self.splits[split].writer = writer;
        Ok(true)
    }

    fn check(&self, held: &Held) -> Result<(), ErrorKind> {
        let split = &self.splits[held.split];
        let holds = split.epoch == held.epoch && split.writer == held.claim.writer().number();
        if holds { Ok(()) } else { Err(ErrorKind::Fenced) }
    }

    fn step(&mut self, held: &Held, step: &Step) -> Result<(), ErrorKind> {
        self.check(held)?;
        let split = &mut self.splits[held.split];
        let number = |key: &Option<String>| key.as_ref().map_or(0, |key| key.parse::<u32>().unwrap());
        let from = (number(&step.cursor), number(&step.intent));
        let or = |to: u32, from: u32| if to == 0 { from } else { to };
        let to = (or(number(&step.to_cursor), from.0), or(number(&step.to_intent), from.1));
        match (split.cursor, split.intent) {
            now if now == to => Ok(()),
            now if now == from => {
                (split.cursor, split.intent) = to;
                split.rows += step.progress.rows_written;
                Ok(())
            }
            _ => Err(ErrorKind::Moved),
        }
    }
}

/// A claim that a worker has, or thinks that it has.
struct Held {
    split: usize,
    epoch: i64,
    claim: Claim,
    /// Where the worker thinks that the split is.
    seen: Split,
    steps: Vec<Step>,
}

struct Play {
    store: Arc<dyn Store>,
    job_id: JobId,
    model: Model,
    split_ids: Vec<SplitId>,
    writers: Vec<Writer>,
    held: BTreeMap<(usize, usize), Held>,
}

fn key(number: u32) -> Option<String> {
    (number != 0).then(|| format!("{number:03}"))
}

fn kind<Answer>(answer: Result<Answer, vecferry_store::Error>) -> Result<Answer, ErrorKind> {
    answer.map_err(|error| error.kind())
}

impl Play {
    async fn begin(store: Arc<dyn Store>) -> Self {
        static JOBS: AtomicU32 = AtomicU32::new(0);
        let job_id = id(&format!("job-{}", JOBS.fetch_add(1, Ordering::Relaxed)));
        store.create_job(job(job_id.as_str())).await.unwrap();
        let attempt = store.begin_attempt(&job_id).await.unwrap();
        let ends = [(0, LAST / 2), (LAST / 2, LAST)];
        let planned = ends.iter().map(|(after, until)| NewSplit {
            partition: None,
            after: key(*after),
            until: key(*until),
            rows_planned: 0,
        });
        let planned = store.plan_splits(&attempt, FIRST, planned.collect()).await.unwrap();
        let mut play = Self {
            store,
            job_id,
            model: Model::default(),
            split_ids: planned.iter().map(|split| split.split_id).collect(),
            writers: Vec::new(),
            held: BTreeMap::new(),
        };
        play.model.splits =
            ends.map(|(after, until)| Modeled { after, until, ..Modeled::default() }).to_vec();
        for _ in 0..WORKERS {
            let writer = play.open().await;
            play.writers.push(writer);
        }
        // Whether anybody holds the job does not matter to its workers.
        play
    }

    async fn open(&mut self) -> Writer {
        let opened = self.store.open_writer(&self.job_id, FIRST, &WorkerId::generate(), LONG).await.unwrap();
        self.model.writers.insert(opened.number(), Life::Open);
        opened
    }

    async fn act(&mut self, act: Act) {
        match act {
            Act::Open(worker) => self.writers[worker] = self.open().await,
            Act::Expire(worker) => self.renew(worker, Duration::ZERO, Life::Over).await,
            Act::Renew(worker) => self.renew(worker, LONG, Life::Open).await,
            Act::Claim(worker, split) => self.claim(worker, split).await,
            Act::Lose => self.lose().await,
            Act::Work(work, worker, split) => {
                if let Some(mut held) = self.held.remove(&(worker, split)) {
                    self.work(work, &mut held).await;
                    self.held.insert((worker, split), held);
                }
            }
        }
    }

    async fn renew(&mut self, worker: usize, ttl: Duration, life: Life) {
        let writer = &self.writers[worker];
        let known = self.model.writers.get_mut(&writer.number()).unwrap();
        let expected = if *known == Life::Lost { Err(ErrorKind::Fenced) } else { Ok(()) };
        if expected.is_ok() {
            *known = life;
        }
        assert_eq!(kind(self.store.renew_writer(writer, ttl).await), expected);
    }

    async fn claim(&mut self, worker: usize, split: usize) {
        if split >= self.split_ids.len() {
            return;
        }
        let writer = self.writers[worker].clone();
        let expected = self.model.claim(writer.number(), split);
        let found = kind(self.store.claim(&writer, self.split_ids[split]).await);
        assert_eq!(found.as_ref().map(Option::is_some).map_err(|kind| *kind), expected);
        if let Ok(Some((claim, seen))) = found {
            let epoch = self.model.splits[split].epoch;
            assert_eq!(claim.epoch(), epoch);
            self.held.insert((worker, split), Held { split, epoch, claim, seen, steps: Vec::new() });
        }
    }

    async fn lose(&mut self) {
        // Who begins an attempt ends everybody.
        let attempt = self.store.begin_attempt(&self.job_id).await.unwrap();
        let open = self.model.writers.iter().filter(|(_, life)| **life != Life::Lost);
        let open: Vec<u64> = open.map(|(number, _)| *number).collect();
        open.into_iter().for_each(|number| self.model.lose(number));
        drop(attempt);
        for worker in 0..WORKERS {
            self.writers[worker] = self.open().await;
        }
    }

    async fn work(&mut self, work: Work, held: &mut Held) {
        let at = |key: &Option<String>| key.as_ref().map_or(0, |key| key.parse::<u32>().unwrap());
        let (cursor, intent) = (at(&held.seen.cursor), at(&held.seen.intent));
        let start = cursor.max(intent).max(at(&held.seen.after));
        let has_more = start + 1 < at(&held.seen.until);
        let step = match work {
            Work::Intend => has_more.then(|| Step { to_intent: key(start + 1), ..Step::from(&held.seen) }),
            Work::Advance => {
                let progress = Progress { rows_read: 1, rows_written: 1, bytes: 1 };
                (intent > cursor).then(|| Step { to_cursor: key(intent), progress, ..Step::from(&held.seen) })
            }
            Work::Repeat => held.steps.last().cloned(),
            Work::Late => held.steps.first().cloned(),
            Work::Divide if has_more => return self.divide(held, start).await,
            Work::Divide => None,
            Work::Finish => return self.finish(held).await,
            Work::Release => return self.release(held).await,
        };
        if let Some(step) = step {
            self.send(held, step).await;
        }
    }

    async fn send(&mut self, held: &mut Held, step: Step) {
        let expected = self.model.step(held, &step);
        assert_eq!(kind(self.store.advance(&held.claim, step.clone()).await), expected, "{step:?}");
        if expected.is_ok() && !held.steps.contains(&step) {
            held.seen.cursor = step.to_cursor.clone().or(step.cursor.clone());
            held.seen.intent = step.to_intent.clone().or(step.intent.clone());
            held.steps.push(step);
        }
    }

    async fn divide(&mut self, held: &mut Held, start: u32) {
        let until: u32 = held.seen.until.as_ref().unwrap().parse().unwrap();
        let at = start + (until - start).div_ceil(2);
        let expected = self.model.check(held);
        let found = kind(self.store.divide(&held.claim, key(at).unwrap(), (0, 0)).await);
        assert_eq!(found.as_ref().map(drop).map_err(|kind| *kind), expected);
        let Ok(upper) = found else { return };
        if at < until {
            self.model.splits[held.split].until = at;
            self.model.splits.push(Modeled { after: at, until, ..Modeled::default() });
            self.split_ids.push(upper.split_id);
            held.seen.until = key(at);
        }
    }

    async fn finish(&mut self, held: &mut Held) {
        let step = Step::from(&held.seen);
        let split = &self.model.splits[held.split];
        let is_done = split.done && split.writer == 0 && split.epoch == held.epoch;
        let expected = if is_done { Ok(()) } else { self.model.check(held) };
        let found = self.store.finish_split(&held.claim, step, RangeCount::default()).await;
        assert_eq!(kind(found), expected);
        if expected.is_ok() {
            self.model.splits[held.split].done = true;
            self.model.splits[held.split].writer = 0;
        }
    }

    async fn release(&mut self, held: &mut Held) {
        let split = &mut self.model.splits[held.split];
        let mine = split.writer == held.claim.writer().number() || (split.writer == 0 && !split.done);
        let expected = if split.epoch == held.epoch && mine { Ok(()) } else { Err(ErrorKind::Fenced) };
        if expected.is_ok() {
            split.writer = 0;
        }
        assert_eq!(kind(self.store.release(&held.claim).await), expected);
    }

    async fn compare(&self) {
        let number = |key: Option<String>| key.map_or(0, |key| key.parse::<u32>().unwrap());
        let stored = self.store.splits(&self.job_id, FIRST).await.unwrap();
        let stored: Vec<Modeled> = stored
            .into_iter()
            .zip(&self.model.splits)
            .map(|(split, model)| Modeled {
                after: number(split.after),
                until: number(split.until),
                cursor: number(split.cursor),
                intent: number(split.intent),
                rows: split.progress.rows_written,
                done: split.done,
                // They are not shown.
                epoch: model.epoch,
                writer: model.writer,
            })
            .collect();
        assert_eq!(stored, self.model.splits);
        let doubts = self.store.doubts(&self.job_id, FIRST).await.unwrap();
        let doubts: Vec<_> =
            doubts.into_iter().map(|doubt| (number(doubt.after), number(doubt.until))).collect();
        let distinct: BTreeSet<_> = doubts.iter().copied().collect();
        assert_eq!((doubts.len(), &distinct), (self.model.doubts.len(), &self.model.doubts));
        let lost = self.store.lost_writers(&self.job_id, FIRST).await.unwrap();
        let modeled = self.model.writers.iter().filter(|(_, life)| **life == Life::Lost);
        assert_eq!(lost, modeled.map(|(number, _)| *number).collect::<Vec<_>>());
    }
}

fn plays(place: &Place, cases: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let store = runtime.block_on(place.open());
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let schedules = proptest::collection::vec(act(), 1..60);
    let done = runner.run(&schedules, |acts| {
        runtime.block_on(async {
            let mut play = Play::begin(Arc::clone(&store)).await;
            for act in acts {
                play.act(act).await;
            }
            play.compare().await;
        });
        Ok(())
    });
    done.unwrap();
    // Its connections end with the runtime that they began in.
    runtime.block_on(async { drop(store) });
}

#[test]
fn sqlite_does_what_the_model_does() {
    plays(&Place::sqlite(), 96);
}

#[test]
fn postgres_does_what_the_model_does() {
    plays(&Place::postgres(), 96);
}
