//! Two servers, the record of a job, and everything that a schedule does to them. Which calls arrive decides when
//! something happens: the servers ask here before they carry one out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use prost::Message;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use vecferry_migrate::event::{Event, Observer, Phase};
use vecferry_migrate::{AutoId, JobState, Migration, Report, Resumed, Tuning, cancel};
use vecferry_milvus::proto::common::{ErrorCode, Status};
use vecferry_milvus::proto::milvus as pb;
use vecferry_store::{JobPage, Store, sqlite};
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::{
    Definition, Gate, Interference, Key, Options, RowsByKey, Seen, Stop, Version,
};

use super::super::{endpoint, request};
use super::schedule::{
    ADDED, Element, Moment, NAMES, NUMBERS_ADDED, NUMBERS_FOREIGN, PARTITIONS, Schedule, Shape, Side,
    Tampering, Write, number, number_of,
};

/// Attempts beyond those that are killed.
const ATTEMPTS_MORE: usize = 4;
/// An attempt that takes longer waits for what does not come, such as a partition that is gone; the schedule ends with it.
const ATTEMPT_MAX: Duration = Duration::from_secs(15);
/// A partition that somebody adds on the target.
pub(crate) const THEIRS: &str = "of_somebody_else";
/// A collection of somebody else on the target.
const OTHERS: &str = "of_somebody_else";

/// See [`Schedule`].
pub(crate) struct Scene {
    pub(crate) schedule: Schedule,
    pub(crate) source: StandIn,
    pub(crate) target: StandIn,
    gate: Gate,
    directory: TempDir,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// An attempt is under way, and its pages and writes count.
    is_running: bool,
    /// Some attempt came so far.
    has_run: bool,
    calls: BTreeMap<&'static str, u32>,
    pages: u32,
    writes: u32,
    claims: BTreeMap<usize, u32>,
    /// Of each element: how many calls it saw, and whether it has happened.
    seen: Vec<u32>,
    done: Vec<bool>,
    numbers_added: u32,
    numbers_foreign: u32,
    generations: u32,
    foreign: Vec<Foreign>,
    touched: Touched,
    phases: BTreeMap<String, Phase>,
    written_to_source: BTreeSet<String>,
    happened: Vec<String>,
}

/// What somebody else has on the target.
struct Foreign {
    name: String,
    id: Option<i64>,
    rows: RowsByKey,
    definition: Definition,
}

/// What somebody else changed while the job was at work, by place of the collection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Touched {
    /// Rows that came or went.
    pub(crate) counted: BTreeSet<(usize, u32)>,
    /// Rows with other values.
    pub(crate) updated: BTreeSet<(usize, u32)>,
    pub(crate) partitions: BTreeSet<(usize, String)>,
    pub(crate) aliases: BTreeSet<usize>,
    /// The same of rows on the target.
    pub(crate) target_counted: BTreeSet<(usize, u32)>,
    pub(crate) target_updated: BTreeSet<(usize, u32)>,
    /// Collections with a partition of [`THEIRS`].
    pub(crate) target_partitions: BTreeSet<usize>,
    /// Rows of these that were changed after their collection was compared.
    pub(crate) target_late: BTreeSet<(usize, u32)>,
}

/// How an attempt ended.
enum Ending {
    Killed,
    TookTooLong,
    Refused(String),
    Report(Box<Report>),
    /// The job was complete before.
    Replayed,
}

/// How often what happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) successful: u32,
    pub(crate) failed: u32,
    pub(crate) refused: u32,
    pub(crate) killed: u32,
    pub(crate) took_too_long: u32,
    pub(crate) happened: u32,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.successful += other.successful;
        self.failed += other.failed;
        self.refused += other.refused;
        self.killed += other.killed;
        self.took_too_long += other.took_too_long;
        self.happened += other.happened;
    }
}

/// Tells the scene which steps the collections are in.
struct Watching(Weak<Scene>);

impl Observer for Watching {
    fn on_event(&self, event: Event) {
        if let Event::Phase { collection, phase } = event
            && let Some(scene) = self.0.upgrade()
        {
            scene.state().phases.insert(collection.name, phase);
        }
    }
}

impl Scene {
    pub(crate) fn new(schedule: &Schedule) -> Arc<Self> {
        let gate = Gate::new();
        let options = |seed| Options { short_pages: false, ..Options::awkward(Version::V2_6, seed) };
        let source = StandIn::start_behind(options(schedule.seed), gate.clone());
        let target = StandIn::start_behind(options(schedule.seed.wrapping_add(1)), gate.clone());
        for (shape, name) in schedule.collections.iter().zip(NAMES) {
            source.add(&shape.generated(name, schedule.auto_id));
        }
        let theirs = Shape { alias: true, ..Schedule::quiet().collections.remove(0) };
        target.add(&theirs.generated(OTHERS, AutoId::Refuse));
        let elements = schedule.elements.len();
        let state = State { seen: vec![0; elements], done: vec![false; elements], ..State::default() };
        let scene = Arc::new(Self {
            schedule: schedule.clone(),
            source,
            target,
            gate,
            directory: tempfile::tempdir().unwrap(),
            state: Mutex::new(state),
        });
        let foreign = scene.foreign(OTHERS);
        scene.state().foreign.push(foreign);
        for side in [Side::Source, Side::Target] {
            let weak = Arc::downgrade(&scene);
            scene.server(side).interfere(move |seen| {
                weak.upgrade().map_or(Interference::None, |scene| scene.call(side, seen))
            });
        }
        scene
    }

    fn server(&self, side: Side) -> &StandIn {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn touched(&self) -> Touched {
        self.state().touched.clone()
    }

    /// The whole schedule. An error says in which way the job was no good.
    pub(crate) async fn run(self: &Arc<Self>) -> Result<Tally, String> {
        let ran = self.attempts().await;
        for side in [Side::Source, Side::Target] {
            self.server(side).interfere_no_more();
        }
        ran.map_err(|error| format!("{error}\nwhat happened: {:#?}", self.state().happened))
    }

    async fn attempts(self: &Arc<Self>) -> Result<Tally, String> {
        let mut tally = Tally::default();
        let mut complete: Option<Vec<usize>> = None;
        let mut last = None;
        for attempt in 1..=self.schedule.kills.len() + ATTEMPTS_MORE {
            let kill = self.schedule.kills.get(attempt - 1).copied();
            let number = u32::try_from(attempt).unwrap();
            let ending = self.one_attempt(number, kill).await;
            self.state().is_running = false;
            self.log(match &ending {
                Ending::TookTooLong => format!("attempt {attempt} took too long"),
                Ending::Killed => format!("attempt {attempt} was killed"),
                Ending::Refused(why) => format!("attempt {attempt} was refused: {why}"),
                Ending::Report(report) => format!("attempt {attempt}: {}", said(report)),
                Ending::Replayed => format!("attempt {attempt}: it was complete"),
            });
            self.check_others()?;
            match &ending {
                Ending::Killed => tally.killed += 1,
                Ending::TookTooLong => tally.took_too_long += 1,
                Ending::Refused(_) => tally.refused += 1,
                Ending::Report(report) if report.state == JobState::Successful => {
                    tally.successful += 1;
                    self.judge(report)?;
                    complete = Some(self.counts());
                }
                Ending::Report(_) => tally.failed += 1,
                Ending::Replayed if complete.as_ref() == Some(&self.counts()) => {}
                Ending::Replayed => {
                    let (before, now) = (complete, self.counts());
                    return Err(format!("success is told again although {before:?} rows are now {now:?}"));
                }
            }
            let is_over = match &ending {
                Ending::Report(report) => report.state == JobState::Successful,
                Ending::Replayed | Ending::TookTooLong => true,
                Ending::Killed | Ending::Refused(_) => false,
            };
            last = Some(ending);
            let is_cleaned = self.clean(number).await;
            if is_over && !is_cleaned {
                break;
            }
        }
        if let Some(Ending::Report(report)) = &last {
            self.check_loads(report)?;
        }
        tally.happened = self.state().done.iter().map(|done| u32::from(*done)).sum();
        Ok(tally)
    }

    async fn one_attempt(self: &Arc<Self>, attempt: u32, kill: Option<(u64, Stop)>) -> Ending {
        self.gate.open(kill);
        let store = sqlite::open(self.directory.path()).unwrap();
        tokio::select! {
            // Before the engine sees what the call came to.
            biased;
            () = self.gate.stopped() => Ending::Killed,
            () = tokio::time::sleep(ATTEMPT_MAX) => {
                let where_it_is = {
                    let state = self.state();
                    format!("it took too long: {:?} after {:?} calls", state.phases, state.calls)
                };
                self.log(where_it_is);
                Ending::TookTooLong
            }
            ending = self.work(&store, attempt) => ending,
        }
    }

    async fn work(self: &Arc<Self>, store: &Arc<dyn Store>, attempt: u32) -> Ending {
        let refused = |problems: Vec<_>| {
            Ending::Refused(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        };
        let migration = match store.jobs(JobPage::newest()).await.unwrap().first() {
            None => {
                let mut request = request(&self.source, &self.target);
                request.verify = self.schedule.verify;
                request.auto_id = self.schedule.auto_id;
                request.allow_drift = self.schedule.allow_drift;
                match Migration::prepare(request).await {
                    Ok(migration) => migration,
                    Err(problems) => return refused(problems),
                }
            }
            Some(job) => {
                self.act(&mut self.state(), Moment::Start(attempt));
                let (source, target) = (endpoint(&self.source), endpoint(&self.target));
                match Migration::resume(&**store, &job.job_id, source, target).await {
                    Ok(Resumed::Ready(migration)) => *migration,
                    Ok(Resumed::Successful(_) | Resumed::AtRest(_)) => return Ending::Replayed,
                    Err(problems) => return refused(problems),
                }
            }
        };
        self.act(&mut self.state(), Moment::Start(attempt));
        {
            let mut state = self.state();
            (state.is_running, state.has_run) = (true, true);
        }
        let slice_time = if self.schedule.short_slices { Duration::ZERO } else { Duration::from_secs(30) };
        let tuning =
            Tuning { page_bytes_target: 400, split_bytes_min: 26 * 20, slice_time, ..Tuning::default() };
        let observer = Arc::new(Watching(Arc::downgrade(self)));
        match migration.with_tuning(tuning).run(store, observer, CancellationToken::new()).await {
            Ok(report) => Ending::Report(Box::new(report)),
            Err(problems) => refused(problems),
        }
    }

    /// Removes what the job made, if the schedule says so here.
    async fn clean(&self, attempt: u32) -> bool {
        let wanted = self.schedule.elements.contains(&Element::CancelClean { attempt });
        self.gate.open(None);
        let store = sqlite::open(self.directory.path()).unwrap();
        let jobs = store.jobs(JobPage::newest()).await.unwrap();
        let Some(job) = jobs.first().filter(|_| wanted) else { return false };
        let (source, target) = (endpoint(&self.source), endpoint(&self.target));
        let cleaned = cancel(&*store, &job.job_id, Some(source), Some(target), true);
        match tokio::time::timeout(ATTEMPT_MAX, cleaned).await {
            Ok(Ok(canceled)) => self.log(format!("cancel removed {:?}", canceled.removed)),
            Ok(Err(problems)) => self.log(format!("cancel failed: {problems:?}")),
            Err(_) => self.log("cancel took too long".to_owned()),
        }
        true
    }

    fn log(&self, line: String) {
        self.state().happened.push(line);
    }

    /// Rows of each collection of the target.
    fn counts(&self) -> Vec<usize> {
        let names = NAMES.iter().take(self.schedule.collections.len());
        let known = self.target.names("default").0;
        let count = |name: &&str| match known.iter().any(|known| known == *name) {
            true => self.target.rows("default", name).values().map(Vec::len).sum(),
            false => 0,
        };
        names.map(count).collect()
    }

    /// What is not the job's is as it was.
    fn check_others(&self) -> Result<(), String> {
        let state = self.state();
        for foreign in &state.foreign {
            let name = &foreign.name;
            if self.target.collection_id("default", name) != foreign.id {
                return Err(format!("`{name}` of somebody else is gone or another one"));
            }
            if self.target.rows("default", name) != foreign.rows {
                return Err(format!("`{name}` of somebody else has other rows"));
            }
            let now = self.target.definition("default", name);
            if now != foreign.definition {
                return Err(format!("`{name}` of somebody else is defined otherwise: {now:?}"));
            }
        }
        if state.written_to_source.is_empty() {
            return Ok(());
        }
        Err(format!("the source was written to: {:?}", state.written_to_source))
    }

    /// The source is loaded as it was, or the report says that it is not.
    fn check_loads(&self, report: &Report) -> Result<(), String> {
        for (shape, name) in self.schedule.collections.iter().zip(NAMES) {
            let is_told = report.problems.iter().any(|problem| {
                problem.code == vecferry_migrate::Code::SourceNotRestored
                    && problem.to_string().contains(name)
            });
            if self.source.is_loaded("default", name) != shape.loaded && !is_told {
                return Err(format!("`{name}` of the source is not loaded as it was"));
            }
        }
        Ok(())
    }

    fn foreign(&self, name: &str) -> Foreign {
        Foreign {
            name: name.to_owned(),
            id: self.target.collection_id("default", name),
            rows: self.target.rows("default", name),
            definition: self.target.definition("default", name),
        }
    }

    /// A call arrives at a server.
    fn call(&self, side: Side, seen: Seen<'_>) -> Interference {
        let mut state = self.state();
        let state = &mut *state;
        if side == Side::Source && WRITING.contains(&seen.method) {
            state.written_to_source.insert(seen.method.to_owned());
        }
        let calls = state.calls.entry(if side == Side::Source { "source" } else { "target" }).or_default();
        *calls += 1;
        let call = *calls;
        let (mut page, mut write) = (None, None);
        if state.is_running && side == Side::Source && is_page(seen) {
            state.pages += 1;
            page = Some(state.pages);
            self.act(state, Moment::Page(state.pages));
        }
        if state.is_running && side == Side::Target && matches!(seen.method, "Insert" | "Upsert") {
            state.writes += 1;
            write = Some(state.writes);
            self.act(state, Moment::Write(state.writes));
        }
        if side == Side::Target {
            self.race(state, seen);
        }
        for (at, element) in self.schedule.elements.iter().enumerate() {
            if state.done[at] {
                continue;
            }
            let limited = || {
                milvus_status(ErrorCode::RateLimit, 8, "request is rejected by grpc RateLimiter middleware")
            };
            let interference = match *element {
                Element::EmptiedPage { page: nth } if page == Some(nth) => Interference::EmptiedPage,
                Element::FailedAfter { write: nth } if write == Some(nth) => {
                    let reason = "service unavailable: a channel could not be written";
                    Interference::FailedAfter(milvus_status(ErrorCode::UnexpectedError, 65535, reason))
                }
                Element::Limited { side: Side::Source, nth } if page == Some(nth) => {
                    Interference::Refused(limited())
                }
                Element::Limited { side: Side::Target, nth } if write == Some(nth) => {
                    Interference::Refused(limited())
                }
                Element::Cut { side: of, call: nth, after } if of == side && nth == call => {
                    if after {
                        Interference::CutAfter
                    } else {
                        Interference::CutBefore
                    }
                }
                Element::Denied { side: of, method, nth, forever } if of == side && method == seen.method => {
                    state.seen[at] += 1;
                    if forever && state.seen[at] >= nth {
                        return Interference::Denied;
                    }
                    if state.seen[at] != nth {
                        continue;
                    }
                    Interference::Denied
                }
                Element::EmptiedPage { .. }
                | Element::FailedAfter { .. }
                | Element::Limited { .. }
                | Element::Cut { .. }
                | Element::Denied { .. }
                | Element::Raced { .. }
                | Element::OnSource { .. }
                | Element::OnTarget { .. }
                | Element::CancelClean { .. } => continue,
            };
            state.done[at] = true;
            state.happened.push(format!("{element:?} at {}", seen.method));
            return interference;
        }
        Interference::None
    }

    /// Somebody is faster with a name.
    fn race(&self, state: &mut State, seen: Seen<'_>) {
        let name = match seen.method {
            "CreateCollection" => pb::CreateCollectionRequest::decode(seen.message).unwrap().collection_name,
            "RenameCollection" => Renamed::decode(seen.message).unwrap().new_name,
            _ => return,
        };
        let Some(collection) = NAMES.iter().position(|known| *known == name) else { return };
        let claims = state.claims.entry(collection).or_default();
        *claims += 1;
        let claim = *claims;
        for (at, element) in self.schedule.elements.iter().enumerate() {
            let Element::Raced { collection: of, call, rows } = *element else { continue };
            let is_now = of == collection && call == claim && !state.done[at];
            if is_now && self.target.collection_id("default", &name).is_none() {
                state.done[at] = true;
                state.happened.push(format!("{element:?} at {}", seen.method));
                self.make_theirs(state, collection, rows);
            }
        }
    }

    /// A collection of somebody else under a name of the job, equal to what the job makes.
    fn make_theirs(&self, state: &mut State, collection: usize, rows: u32) {
        let (name, shape) = (NAMES[collection], &self.schedule.collections[collection]);
        let mut generated = shape.generated(name, self.schedule.auto_id);
        (generated.loaded, generated.aliases) = (false, Vec::new());
        let numbers = NUMBERS_FOREIGN + state.numbers_foreign..NUMBERS_FOREIGN + state.numbers_foreign + rows;
        state.numbers_foreign += rows;
        let columns = shape.columns(numbers, 0);
        generated.rows = if rows > 0 { vec![(PARTITIONS[0].to_owned(), columns)] } else { Vec::new() };
        self.target.add(&generated);
        state.foreign.push(self.foreign(name));
    }

    /// Everything that somebody does at a moment.
    fn act(&self, state: &mut State, now: Moment) {
        for (place, element) in self.schedule.elements.iter().enumerate() {
            let acted = match element {
                Element::OnSource { at, collection, write } if *at == now && !state.done[place] => {
                    self.on_source(state, *collection, write)
                }
                Element::OnTarget { at, collection, write } if *at == now && !state.done[place] => {
                    self.on_target(state, *collection, write)
                }
                Element::EmptiedPage { .. }
                | Element::FailedAfter { .. }
                | Element::Limited { .. }
                | Element::Cut { .. }
                | Element::Denied { .. }
                | Element::Raced { .. }
                | Element::OnSource { .. }
                | Element::OnTarget { .. }
                | Element::CancelClean { .. } => continue,
            };
            if acted.is_some() {
                state.done[place] = true;
                state.happened.push(format!("{element:?}"));
            }
        }
    }

    /// None where there is nothing that it could be done to.
    fn on_source(&self, state: &mut State, collection: usize, write: &Write) -> Option<()> {
        let shape = self.schedule.collections.get(collection)?;
        let place = ("default", NAMES[collection]);
        let partitions = self.source.partitions(place.0, place.1);
        let named = |at: usize| {
            let name = PARTITIONS[if shape.partition_key { 0 } else { at }];
            (shape.partition_key || partitions.iter().any(|known| known == name)).then_some(name)
        };
        let mut counted = BTreeSet::new();
        let mut updated = BTreeSet::new();
        match *write {
            Write::Insert { partition, rows } => {
                let partition = named(partition)?;
                counted = self.insert(state, place, partition, rows, shape);
            }
            Write::Delete { partition, row } => {
                let (partition, number) = (named(partition)?, first_row(shape, partition, row)?);
                self.source.delete(place, partition, &BTreeSet::from([shape.key(number)]));
                counted.insert(number);
            }
            Write::Update { partition, row } => {
                let (partition, number) = (named(partition)?, first_row(shape, partition, row)?);
                let key = shape.key(number);
                let rows = self.source.rows(place.0, place.1);
                let copies: usize =
                    rows.iter().filter(|((_, known), _)| *known == key).map(|(_, copies)| copies.len()).sum();
                state.generations += 1;
                let columns = shape.columns([number].into_iter(), 10 + state.generations);
                self.source.upsert(place, partition, columns);
                // A row that was gone, or there more than once, makes a difference in numbers.
                if copies == 1 {
                    updated.insert(number)
                } else {
                    counted.insert(number)
                };
            }
            Write::AddPartition { rows } => {
                if shape.partition_key || named_in(&partitions, ADDED) {
                    return None;
                }
                self.source.add_partition(place, ADDED);
                counted = self.insert(state, place, ADDED, rows, shape);
                self.touch_partition(state, collection, ADDED);
            }
            Write::DropPartition { partition } => {
                let partition = named(partition).filter(|_| !shape.partition_key)?;
                let rows = self.source.rows(place.0, place.1);
                let gone = rows.iter().filter(|((of, _), _)| of == partition);
                counted = gone.map(|(_, copies)| number_of(&copies[0]["vector"])).collect();
                self.source.drop_partition(place, partition);
                self.touch_partition(state, collection, partition);
            }
            Write::AddAlias => {
                self.source.add_alias(place, &format!("late_{}", place.1));
                if state.has_run {
                    state.touched.aliases.insert(collection);
                }
            }
        }
        if state.has_run {
            state.touched.counted.extend(counted.into_iter().map(|number| (collection, number)));
            state.touched.updated.extend(updated.into_iter().map(|number| (collection, number)));
        }
        Some(())
    }

    fn touch_partition(&self, state: &mut State, collection: usize, partition: &str) {
        if state.has_run {
            state.touched.partitions.insert((collection, partition.to_owned()));
        }
    }

    fn insert(
        &self,
        state: &mut State,
        place: (&str, &str),
        partition: &str,
        rows: u32,
        shape: &Shape,
    ) -> BTreeSet<u32> {
        let numbers = NUMBERS_ADDED + state.numbers_added..NUMBERS_ADDED + state.numbers_added + rows;
        state.numbers_added += rows;
        if rows > 0 {
            self.source.insert(place, partition, shape.columns(numbers.clone(), 0));
        }
        numbers.collect()
    }

    /// None where there is nothing that it could be done to.
    fn on_target(&self, state: &mut State, collection: usize, write: &Tampering) -> Option<()> {
        let shape = self.schedule.collections.get(collection)?;
        let name = NAMES[collection];
        let id = self.target.collection_id("default", name)?;
        let is_theirs = state.foreign.iter().any(|foreign| foreign.id == Some(id));
        if is_theirs || !named_in(&self.target.names("default").0, name) {
            return None;
        }
        let is_late = state.phases.get(name).is_some_and(|phase| *phase >= Phase::Verifying);
        let place = ("default", name);
        // A row that is there, with its partition and key.
        let find = |partition: usize, row: u32| {
            let number = first_row(shape, partition, row)?;
            let rows = self.target.rows("default", name);
            let found = rows.into_iter().find(|(_, copies)| number_of(&copies[0]["vector"]) == number);
            found.map(|((partition, key), _)| (partition, key, number))
        };
        match *write {
            Tampering::Insert { rows } | Tampering::AddPartition { rows } => {
                let mut partition = PARTITIONS[0];
                if matches!(write, Tampering::AddPartition { .. }) {
                    if shape.partition_key {
                        return None;
                    }
                    partition = THEIRS;
                    self.target.add_partition(place, partition);
                    state.touched.target_partitions.insert(collection);
                }
                let numbers =
                    NUMBERS_FOREIGN + state.numbers_foreign..NUMBERS_FOREIGN + state.numbers_foreign + rows;
                state.numbers_foreign += rows;
                if rows > 0 {
                    self.target.insert(place, partition, shape.columns(numbers.clone(), 0));
                }
                state.touched.target_counted.extend(numbers.map(|number| (collection, number)));
            }
            Tampering::Delete { partition, row } => {
                let (partition, key, number) = find(partition, row)?;
                self.target.delete(place, &partition, &BTreeSet::from([key]));
                state.touched.target_counted.insert((collection, number));
            }
            Tampering::Update { partition, row } => {
                let (partition, key, number) = find(partition, row)?;
                state.generations += 1;
                let mut columns = shape.columns([number].into_iter(), 10 + state.generations);
                if let Key::Long(key) = key {
                    columns[0] = vec![vecferry_testkit::stand_in::Value::Long(key)];
                }
                self.target.upsert(place, &partition, columns);
                state.touched.target_updated.insert((collection, number));
                if is_late {
                    state.touched.target_late.insert((collection, number));
                }
            }
            Tampering::Replace { rows } => {
                self.target.remove("default", name);
                self.make_theirs(state, collection, rows);
            }
            Tampering::Drop => self.target.remove("default", name),
        }
        Some(())
    }
}

/// `RenameCollectionRequest` as far as it is looked at.
#[derive(Clone, PartialEq, Message)]
struct Renamed {
    #[prost(string, tag = "4")]
    new_name: String,
}

/// The number of a row that a partition began with.
fn first_row(shape: &Shape, partition: usize, row: u32) -> Option<u32> {
    let at = if shape.partition_key { 0 } else { partition };
    let rows = *shape.rows.get(at)?;
    (rows > 0).then(|| number(at, row % rows))
}

fn named_in(names: &[String], name: &str) -> bool {
    names.iter().any(|known| known == name)
}

/// Calls that write to a cluster, load states aside.
const WRITING: &[&str] = &[
    "AlterCollection",
    "CreateAlias",
    "CreateCollection",
    "CreateDatabase",
    "CreateIndex",
    "CreatePartition",
    "Delete",
    "DropAlias",
    "DropCollection",
    "DropDatabase",
    "DropIndex",
    "DropPartition",
    "Insert",
    "RenameCollection",
    "Upsert",
];

/// Whether a call asks for rows.
fn is_page(seen: Seen<'_>) -> bool {
    let query = || pb::QueryRequest::decode(seen.message).unwrap();
    seen.method == "Query" && query().output_fields != ["count(*)"]
}

fn milvus_status(error_code: ErrorCode, code: i32, reason: &str) -> Status {
    Status { error_code: error_code.into(), code, reason: reason.to_owned(), ..Status::default() }
}

/// What a report says, in short.
pub(crate) fn said(report: &Report) -> String {
    let texts = |problems: &[vecferry_migrate::Problem]| {
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    format!(
        "{:?}, problems: {}, warnings: {}",
        report.state,
        texts(&report.problems),
        texts(&report.warnings)
    )
}
