//! A job from its beginning to its end, by every operation that writes, one after the other. Any of them can be repeated,
//! also by a process that knows nothing but its number.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use vecferry_store::{
    Attempt, ChangedPlan, Claim, ErrorKind, JobKind, JobState, NewComparison, NewJob, Position, Progress,
    RangeCount, Right, RoundKind, Split, SplitId, Step, Store, WorkedOn, WorkerId, Writer,
};

use crate::rounds::{ended_round, equal, mark, new_collection, new_round};
use crate::sample::{FIRST, LONG, SECOND, THIRD, id, job, refused, split};

/// Operations of the script.
pub(crate) const OPERATIONS: usize = 54 + OF_ROUNDS;

/// Those about rounds, and the first of them.
const OF_ROUNDS: usize = 20;
const FIRST_OF_ROUNDS: usize = 44;

/// A process that works on the job, and what it holds.
pub(crate) struct Run {
    store: Arc<dyn Store>,
    attempt: Option<Attempt>,
    writers: BTreeMap<Position, Writer>,
    claims: BTreeMap<SplitId, Claim>,
    /// The numbers of the writers that it opened.
    pub(crate) opened: Vec<u64>,
}

impl Run {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, attempt: None, writers: BTreeMap::new(), claims: BTreeMap::new(), opened: Vec::new() }
    }

    /// All operations from one of them on. Each is told before it begins.
    pub(crate) async fn run_from(&mut self, first: usize, tell: impl Fn(usize)) {
        for operation in first..OPERATIONS {
            tell(operation);
            self.run(operation).await;
        }
    }

    /// Goes on with the job as a new process, if it is there. What the old one had recorded as about to be sent, and not
    /// as written, is in doubt from then on.
    pub(crate) async fn go_on(&mut self) {
        if self.store.find_job("j1").await.is_err() {
            return;
        }
        let mut unrecorded = Vec::new();
        for collection in [FIRST, SECOND] {
            for split in self.store.splits(&id("j1"), collection).await.unwrap() {
                let start = split.cursor.clone().or(split.after.clone());
                if split.intent.is_some() && split.intent != split.cursor {
                    unrecorded.push((collection, split.split_id, start, split.intent));
                }
            }
        }
        self.attempt().await;
        for (collection, split_id, after, until) in unrecorded {
            // What nobody had claimed is in doubt as soon as it is claimed.
            let _ = self.claim_of(split_id).await;
            let doubts = self.store.doubts(&id("j1"), collection).await.unwrap();
            let found = doubts.iter().any(|doubt| doubt.after == after && doubt.until == until);
            assert!(found, "{after:?} to {until:?} of split {split_id} is not in doubt");
        }
    }

    async fn attempt(&mut self) -> Attempt {
        if self.attempt.is_none() {
            self.attempt = Some(self.store.begin_attempt(&id("j1")).await.unwrap());
        }
        self.attempt.clone().unwrap()
    }

    async fn writer_of(&mut self, collection: Position) -> Writer {
        self.attempt().await;
        if !self.writers.contains_key(&collection) {
            let worker = WorkerId::generate();
            let writer = self.store.open_writer(&id("j1"), collection, &worker, LONG).await.unwrap();
            self.opened.push(writer.number());
            self.writers.insert(collection, writer);
        }
        self.writers[&collection].clone()
    }

    /// The claim of a split; none if it is complete.
    async fn claim_of(&mut self, split_id: SplitId) -> Option<Claim> {
        let collection = self.store.split(split_id).await.unwrap().collection;
        let writer = self.writer_of(collection).await;
        if !self.claims.contains_key(&split_id) {
            let claim = self.store.claim(&writer, split_id).await.unwrap()?.0;
            self.claims.insert(split_id, claim);
        }
        Some(self.claims[&split_id].clone())
    }

    async fn split(&self, number: usize) -> Split {
        self.store.splits(&id("j1"), FIRST).await.unwrap().remove(number)
    }

    /// The claim of a split by its place in the plan.
    async fn claim(&mut self, number: usize) -> Option<Claim> {
        let split_id = self.split(number).await.split_id;
        self.claim_of(split_id).await
    }

    async fn step(&mut self, number: usize, from: (&str, &str), to: (&str, &str)) {
        let key = |key: &str| (!key.is_empty()).then(|| key.to_owned());
        let rows = if to.0.is_empty() { 0 } else { 3 };
        let step = Step {
            cursor: key(from.0),
            intent: key(from.1),
            to_cursor: key(to.0),
            to_intent: key(to.1),
            progress: Progress {
                rows_read: rows + u64::from(rows > 0),
                rows_written: rows,
                bytes: 10 * rows,
            },
            samples: key(to.0).into_iter().collect(),
            marks: key(to.0).map(|key| (key, rows)).into_iter().collect(),
        };
        let claim = self.claim(number).await.unwrap();
        self.store.advance(&claim, step).await.unwrap();
    }

    async fn finish(&mut self, number: usize, counted: u64) {
        // One that is complete already can't be claimed.
        if let Some(claim) = self.claim(number).await {
            let rest = Step::from(&self.split(number).await);
            let count = RangeCount { counted, distinct_keys: None };
            self.store.finish_split(&claim, rest, count).await.unwrap();
            self.claims.remove(&claim.split_id());
        }
    }

    async fn run(&mut self, operation: usize) {
        let store = Arc::clone(&self.store);
        match operation {
            0 => store.create_job(NewJob { kind: JobKind::Warm, ..job("j1") }).await.unwrap(),
            1 => drop(self.attempt().await),
            2..12 => self.prepare(operation).await,
            12..36 => self.copy(operation).await,
            36..FIRST_OF_ROUNDS => self.verify(operation).await,
            _ if operation - FIRST_OF_ROUNDS < OF_ROUNDS => self.round(operation - FIRST_OF_ROUNDS).await,
            _ => self.end(operation - OF_ROUNDS).await,
        }
    }

    async fn prepare(&mut self, operation: usize) {
        let (store, attempt) = (Arc::clone(&self.store), self.attempt().await);
        let object = |kind: &str, name: &str| (kind.to_owned(), name.to_owned());
        match operation {
            2 => {
                assert_eq!(store.reserve_names(&attempt).await.unwrap(), []);
                assert_eq!(store.record_read_timestamp(&attempt, Some(7)).await.unwrap(), Some(7));
            }
            3 => store.record_database(&attempt, "shop").await.unwrap(),
            4 => {
                let objects = vec![object("role", "reader"), object("user", "ann"), object("user", "bob")];
                store.intend_objects(&attempt, objects).await.unwrap();
            }
            5 => store.record_objects(&attempt, "user", vec!["ann".into()]).await.unwrap(),
            6 => store.intend_creation(&attempt, FIRST, Some(7)).await.unwrap(),
            7 => drop(store.intend_named_creation(&attempt, SECOND, Some(8)).await.unwrap()),
            8 => store.record_creation(&attempt, FIRST, 42).await.unwrap(),
            9 => store.record_creation(&attempt, SECOND, 43).await.unwrap(),
            10 => drop(store.record_source_counts(&attempt, FIRST, "counts".into()).await.unwrap()),
            _ => {
                let splits = vec![split(None, Some("m")), split(Some("m"), None)];
                store.plan_splits(&attempt, FIRST, splits).await.unwrap();
            }
        }
    }

    async fn copy(&mut self, operation: usize) {
        let (store, attempt) = (Arc::clone(&self.store), self.attempt().await);
        match operation {
            12 => drop(self.writer_of(FIRST).await),
            13 => {
                let writer = self.writer_of(FIRST).await;
                store.renew_writer(&writer, LONG).await.unwrap();
            }
            14 => drop(self.claim(0).await),
            15 => self.step(0, ("", ""), ("", "b")).await,
            16 => self.step(0, ("", "b"), ("b", "d")).await,
            17 => self.step(0, ("b", "d"), ("d", "")).await,
            18 => {
                let claim = self.claim(0).await.unwrap();
                store.record_quarantined(Right::Claim(&claim), refused("c")).await.unwrap();
            }
            19 => {
                let claim = self.claim(0).await.unwrap();
                store.record_quarantined(Right::Claim(&claim), refused("d")).await.unwrap();
            }
            20 => {
                let claim = self.claim(0).await.unwrap();
                store.divide(&claim, "g".into(), (4, 6)).await.unwrap();
            }
            21 => {
                let claim = self.claim(0).await.unwrap();
                store.release(&claim).await.unwrap();
                self.claims.clear();
            }
            22 => self.finish(0, 8).await,
            23 => drop(self.claim(1).await),
            24 => self.step(1, ("", ""), ("", "q")).await,
            25 => self.step(1, ("", "q"), ("q", "")).await,
            26 => {
                let claim = self.claim(1).await.unwrap();
                if self.split(1).await.reopened == 0 {
                    store.reopen_split(&claim, 1, vec![refused("d")]).await.unwrap();
                }
                self.claims.clear();
            }
            27 => self.step(1, ("", "q"), ("q", "")).await,
            28 => self.finish(1, 4).await,
            29 => self.step(2, ("", ""), ("", "i")).await,
            30 => self.step(2, ("", "i"), ("i", "")).await,
            31 => self.finish(2, 4).await,
            32 => {
                let writer = self.writer_of(FIRST).await;
                store.end_writer(&writer, Some("out of disk".into())).await.unwrap();
                store.lose_writers(&attempt, FIRST).await.unwrap();
                self.writers.clear();
                self.claims.clear();
            }
            33 => self.close_writers().await,
            34 => store.record_copied(&attempt, FIRST).await.unwrap(),
            _ => store.record_rows_total(&attempt, FIRST, 16).await.unwrap(),
        }
    }

    async fn verify(&mut self, operation: usize) {
        let (store, attempt) = (Arc::clone(&self.store), self.attempt().await);
        match operation {
            36 => {
                let reopened = vec![self.split(2).await.split_id];
                store.reopen_splits(&attempt, FIRST, reopened, Vec::new()).await.unwrap();
            }
            37 => {
                let doubt = store.record_doubt(Right::Attempt(&attempt, FIRST), None, None, None);
                doubt.await.unwrap();
            }
            38 => self.settle_doubts().await,
            39 => store.intend_retry(&attempt, FIRST, refused("c")).await.unwrap(),
            40 => store.release_quarantined(&attempt, FIRST, refused("c"), true).await.unwrap(),
            41 => {
                let range = |after: Option<&str>, until: Option<&str>| NewComparison {
                    part: 0,
                    after: after.map(str::to_owned),
                    until: until.map(str::to_owned),
                };
                let ranges = vec![range(None, Some("m")), range(Some("m"), None)];
                store.plan_comparisons(&attempt, FIRST, "state".into(), ranges).await.unwrap();
            }
            42 => {
                let first = store.comparisons(&id("j1"), FIRST, "state").await.unwrap()[0].comparison_id;
                store.advance_comparison(&attempt, first, Some("c".into()), "{}".into()).await.unwrap();
            }
            _ => store.record_drift_seen(&attempt, FIRST, "drift".into()).await.unwrap(),
        }
    }

    /// A warm copy and a cut-over, in which one collection goes and another one comes.
    async fn round(&mut self, operation: usize) {
        match operation {
            0..9 => self.warm(operation).await,
            _ => self.cut_over(operation).await,
        }
    }

    async fn warm(&mut self, operation: usize) {
        let (store, attempt) = (Arc::clone(&self.store), self.attempt().await);
        match operation {
            0 => drop(store.open_round(&attempt, new_round(RoundKind::Warm, "first")).await.unwrap()),
            1 => {
                let recorded = store.record_round_timestamp(&attempt, Some(9)).await.unwrap();
                assert_eq!(recorded, Some(9));
            }
            2 => {
                let marks = vec![mark(Some("c"), 2), mark(None, 0)];
                let removed = vec![Some("d".to_owned())];
                store.set_marks(&attempt, FIRST, Some("p".into()), removed, marks).await.unwrap();
            }
            3 => store.spans_equal(&attempt, FIRST, vec![equal(Some("c"), 3)]).await.unwrap(),
            4 => {
                let fact = store.record_round_fact(&attempt, FIRST, "looked", "once".into()).await.unwrap();
                assert_eq!(fact, "once");
            }
            5 => store.intend_rows(&attempt, FIRST, 40).await.unwrap(),
            6 => store.record_round_done(&attempt, FIRST, "first".into()).await.unwrap(),
            7 => store.record_round_done(&attempt, SECOND, "second".into()).await.unwrap(),
            _ => store.end_round(&attempt, ended_round(JobState::Ready, "second")).await.unwrap(),
        }
    }

    async fn cut_over(&mut self, operation: usize) {
        let (store, attempt) = (Arc::clone(&self.store), self.attempt().await);
        match operation {
            9 => drop(store.open_round(&attempt, new_round(RoundKind::CutOver, "third")).await.unwrap()),
            10 => {
                let change = ChangedPlan {
                    plan: "{\"changed\": true}".into(),
                    added: vec![(THIRD, new_collection("songs"))],
                    going: vec![SECOND],
                    databases: vec!["more".into()],
                };
                assert_eq!(store.change_plan(&attempt, change).await.unwrap(), []);
            }
            11 => drop(store.record_round_fact(&attempt, FIRST, "looked", "again".into()).await.unwrap()),
            12 => store.intend_removal(&attempt, SECOND).await.unwrap(),
            13 => store.forget_creation(&attempt, SECOND, 50).await.unwrap(),
            14 => store.record_gone(&attempt, SECOND).await.unwrap(),
            15 => store.record_round_done(&attempt, FIRST, "first, compared".into()).await.unwrap(),
            16 => store.record_round_done(&attempt, THIRD, "third, compared".into()).await.unwrap(),
            17 => store.spans_equal(&attempt, FIRST, vec![equal(None, 1)]).await.unwrap(),
            18 => store.intend_switch(&attempt).await.unwrap(),
            _ => store.end_round(&attempt, ended_round(JobState::Successful, "fourth")).await.unwrap(),
        }
    }

    async fn end(&mut self, operation: usize) {
        let (store, attempt) = (Arc::clone(&self.store), self.attempt().await);
        match operation {
            44 => store.record_done(&attempt, FIRST, "report".into()).await.unwrap(),
            45 => store.intend_removal(&attempt, SECOND).await.unwrap(),
            46 => store.forget_creation(&attempt, SECOND, 50).await.unwrap(),
            47 => store.forget_objects(&attempt, "user", vec!["bob".into()]).await.unwrap(),
            48 => {
                let on = WorkedOn {
                    position: FIRST,
                    worked: Duration::from_secs(2),
                    copied_for: Duration::from_secs(1),
                };
                store.record_worked(&attempt, Duration::from_secs(3), vec![on]).await.unwrap();
            }
            49 => store.record_event(&attempt, "then".into(), "event".into()).await.unwrap(),
            50 => store.set_max_rate(&id("j1"), Some("5MB/s".into())).await.unwrap(),
            51 => self.take_back_another_job().await,
            52 => {
                store.record_bottleneck(&attempt, Some("target".into())).await.unwrap();
                store.request_cancel(&id("j1")).await.unwrap();
                store.record_cancel_beat(&attempt).await.unwrap();
            }
            _ => {
                self.leave_nothing_open().await;
                let ended = store.end_attempt(&attempt, JobState::Canceled, "report".into(), "later".into());
                ended.await.unwrap();
            }
        }
    }

    /// A process that went on may have opened writers of its own.
    async fn leave_nothing_open(&mut self) {
        let attempt = self.attempt().await;
        for collection in [FIRST, SECOND] {
            self.store.lose_writers(&attempt, collection).await.unwrap();
        }
        self.close_writers().await;
        self.settle_doubts().await;
    }

    async fn close_writers(&mut self) {
        for collection in [FIRST, SECOND] {
            let lost = self.store.lost_writers(&id("j1"), collection).await.unwrap();
            self.store.close_lost_writers(&id("j1"), collection, lost).await.unwrap();
        }
    }

    async fn settle_doubts(&mut self) {
        let attempt = self.attempt().await;
        for collection in [FIRST, SECOND] {
            for doubt in self.store.doubts(&id("j1"), collection).await.unwrap() {
                self.store.settle_doubt(&attempt, doubt.doubt_id).await.unwrap();
            }
        }
    }

    /// A job that never begins to do anything.
    async fn take_back_another_job(&mut self) {
        self.store.create_job(job("j2")).await.unwrap();
        match self.store.begin_attempt(&id("j2")).await {
            Ok(attempt) => self.store.remove_job(&attempt).await.unwrap(),
            Err(error) => assert_eq!(error.kind(), ErrorKind::UnknownJob),
        }
    }
}
