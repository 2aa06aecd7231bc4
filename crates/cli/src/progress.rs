//! Shows what happens while a job runs: bars on a terminal, plain lines elsewhere, or lines of JSON.
//!
//! Events arrive from many tasks and are only passed on; one thread owns all numbers and everything that is written,
//! so that neither a slow terminal nor a stopped pipe holds a copy up.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use vecferry_migrate::event::{Awaited, Bottleneck, Event, Observer, Phase, Wait};
use vecferry_migrate::{Lang, MaxRate, Plan, observed};
use vecferry_milvus::CollectionName;
use vecferry_report::{columns, figures, harmless, labels};
use vecferry_store::{RoundKind, RoundRecord, RoundState};

use crate::output::{Output, Style};

/// Columns for a name in front of its bar.
const NAME_COLUMNS_MAX: usize = 24;
/// Bars that are shown at once.
const BARS_MAX: usize = 10;
/// How often bars are drawn anew.
const BARS_INTERVAL: Duration = Duration::from_millis(200);
/// How often a plain line of progress is written.
const LINES_INTERVAL: Duration = Duration::from_secs(5);
/// How often a JSON line of progress is written.
const JSON_INTERVAL: Duration = Duration::from_secs(1);
/// Rates are those of the last seconds.
const RATE_WINDOW: Duration = Duration::from_secs(10);
/// The same reason to wait is told so often at most.
const WAIT_INTERVAL: Duration = Duration::from_secs(30);
/// What is awaited is told once a second; a wait of which nothing was heard for so long is over.
const AWAITED_FRESH: Duration = Duration::from_secs(3);
/// Answers that take less are no news beside the step that asks for them.
const ANSWER_SECONDS_MIN: u64 = 10;
/// Neither are checks: one of them looks twice, a second apart.
const CHECK_SECONDS_MIN: u64 = 2;

/// What the thread is told.
enum Message {
    Happened(Event),
    Note(String),
    End,
}

/// Which rows say how far something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Those that are copied. They are compared behind that.
    Copied,
    /// Those that are compared; of a collection that is copied only now, first those that are copied.
    Compared,
    /// All that is told of.
    Both,
}

impl Counted {
    /// Of a job that goes on with its newest round, if it has rounds.
    pub(crate) fn of_round(newest: Option<&RoundRecord>) -> Self {
        match newest.filter(|round| round.state == RoundState::Open).map(|round| round.kind) {
            None | Some(RoundKind::Warm) => Self::Copied,
            Some(RoundKind::CatchUp | RoundKind::CutOver) => Self::Compared,
        }
    }

    /// Whether comparing moves the figures on.
    fn compares(self) -> bool {
        match self {
            Self::Copied => false,
            Self::Compared | Self::Both => true,
        }
    }
}

/// The display of a running job.
pub(crate) struct Progress {
    sender: Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

/// The end that the job sees.
pub(crate) struct Listener {
    sender: Sender<Message>,
}

impl Observer for Listener {
    fn on_event(&self, event: Event) {
        // Events after the end (a task that was still on its way) interest nobody.
        let _ = self.sender.send(Message::Happened(event));
    }
}

impl Progress {
    /// Begins to show what has no plan.
    pub(crate) fn start(output: &Output) -> Self {
        Self::show(output, Job::empty())
    }

    /// Begins to show a job, of which the plan says what is to be expected.
    pub(crate) fn of_plan(output: &Output, plan: &Plan, counted: Counted) -> Self {
        Self::show(output, Job::new(plan, counted))
    }

    fn show(output: &Output, job: Job) -> Self {
        let (sender, receiver) = channel();
        let view = View::new(output.clone());
        let thread = std::thread::Builder::new()
            .name("vecferry-progress".to_owned())
            .spawn(move || show(&receiver, job, view))
            // Without a thread there is no progress to see; the job itself can do without.
            .ok();
        Self { sender, thread }
    }

    /// Does what comes before a job, and shows what it waits for.
    pub(crate) async fn while_preparing<Answer>(
        output: &Output,
        work: impl Future<Output = Answer>,
    ) -> Answer {
        let progress = Self::start(output);
        let done = observed(Arc::new(progress.listener()), work).await;
        progress.end();
        done
    }

    /// For the job.
    pub(crate) fn listener(&self) -> Listener {
        Listener { sender: self.sender.clone() }
    }

    /// Says something in between, on stderr.
    pub(crate) fn note(&self, line: &str) {
        let _ = self.sender.send(Message::Note(line.to_owned()));
    }

    /// Ends the display; everything it had to say is written by then.
    pub(crate) fn end(mut self) {
        let _ = self.sender.send(Message::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn show(receiver: &Receiver<Message>, mut job: Job, mut view: View) {
    let interval = view.interval();
    let mut next = Instant::now() + interval;
    loop {
        match receiver.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Message::Happened(event)) => {
                let now = Instant::now();
                if let Some(news) = job.take(event, now) {
                    view.tell(&news, &job, now);
                }
            }
            Ok(Message::Note(line)) => view.note(&line),
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => break,
        }
        let now = Instant::now();
        if now >= next {
            job.sample(now);
            view.tick(&job, now);
            next = now + interval;
        }
    }
    view.end();
}

/// Rows and bytes over the last seconds.
#[derive(Debug, Default)]
struct Meter {
    rows: u64,
    bytes: u64,
    samples: VecDeque<(Instant, u64, u64)>,
}

impl Meter {
    fn add(&mut self, rows: u64, bytes: u64) {
        self.rows += rows;
        self.bytes += bytes;
    }

    /// Rows that do not count any more.
    fn take_back(&mut self, rows: u64, bytes: u64, now: Instant) {
        (self.rows, self.bytes) = (self.rows.saturating_sub(rows), self.bytes.saturating_sub(bytes));
        self.samples.clear();
        self.sample(now);
    }

    /// Rows that were there before: they count, but not for the rate.
    fn found(&mut self, rows: u64, bytes: u64, now: Instant) {
        self.add(rows, bytes);
        self.samples.clear();
        self.sample(now);
    }

    fn sample(&mut self, now: Instant) {
        self.samples.push_back((now, self.rows, self.bytes));
        while self.samples.len() > 2
            && self.samples.get(1).is_some_and(|(time, ..)| now.duration_since(*time) >= RATE_WINDOW)
        {
            self.samples.pop_front();
        }
    }

    /// Rows and bytes a second.
    fn rates(&self, now: Instant) -> (f64, f64) {
        let Some((time, rows, bytes)) = self.samples.front() else { return (0.0, 0.0) };
        let seconds = now.duration_since(*time).as_secs_f64();
        if seconds < 0.1 {
            return (0.0, 0.0);
        }
        ((self.rows - rows) as f64 / seconds, (self.bytes - bytes) as f64 / seconds)
    }

    /// Time until so many rows are done; `None` while nothing moves.
    fn left(&self, total: u64, now: Instant) -> Option<Duration> {
        let (rows_rate, _) = self.rates(now);
        (rows_rate > 0.0 && total > 0)
            .then(|| Duration::from_secs_f64((total.saturating_sub(self.rows) as f64 / rows_rate).min(1e8)))
    }
}

/// One collection.
#[derive(Debug)]
struct Item {
    phase: Phase,
    rows_total: u64,
    meter: Meter,
    /// Rows and bytes in the meter that were copied, in a round that compares.
    copied: (u64, u64),
    waited: Option<(Wait, Instant)>,
    awaiting: Awaiting,
}

/// What is waited for, and what was said of it.
#[derive(Debug, Default)]
struct Awaiting {
    now: Option<(Awaited, u64, Instant)>,
    said: Option<(Awaited, Instant)>,
}

impl Awaiting {
    /// Takes what is waited for. Tells whether that is worth a line.
    fn take(&mut self, awaited: Awaited, seconds: u64, now: Instant) -> bool {
        let is_answer = awaited == Awaited::Answer;
        // An answer is the least that can be said of a wait.
        if is_answer && self.fresh(now).is_some_and(|(known, _)| *known != Awaited::Answer) {
            return false;
        }
        let is_same = |known: &Awaited| std::mem::discriminant(known) == std::mem::discriminant(&awaited);
        let was_said = self
            .said
            .as_ref()
            .is_some_and(|(known, time)| is_same(known) && now.duration_since(*time) < WAIT_INTERVAL);
        let seconds_min = match awaited {
            Awaited::Answer => ANSWER_SECONDS_MIN,
            Awaited::Check { .. } => CHECK_SECONDS_MIN,
            Awaited::Load { .. }
            | Awaited::Memory { .. }
            | Awaited::Stored { .. }
            | Awaited::Sorted { .. }
            | Awaited::Index { .. }
            | Awaited::Turn { .. }
            | Awaited::Retry { .. } => 0,
        };
        let is_news = !was_said && seconds >= seconds_min;
        if is_news {
            self.said = Some((awaited.clone(), now));
        }
        self.now = Some((awaited, seconds, now));
        is_news
    }

    /// What is waited for at this moment, and for how many seconds.
    fn fresh(&self, now: Instant) -> Option<(&Awaited, u64)> {
        let (awaited, seconds, time) = self.now.as_ref()?;
        (now.duration_since(*time) < AWAITED_FRESH).then_some((awaited, *seconds))
    }
}

impl Item {
    fn new(rows_total: u64) -> Self {
        Self {
            phase: Phase::Waiting,
            rows_total,
            meter: Meter::default(),
            copied: (0, 0),
            waited: None,
            awaiting: Awaiting::default(),
        }
    }

    fn is_copying(&self) -> bool {
        self.phase == Phase::Copying
    }

    /// Whether its figures move.
    fn is_measured(&self, counted: Counted) -> bool {
        self.is_copying() || counted.compares() && self.phase == Phase::Verifying
    }

    /// Rows that are expected of it. A round that compares has nothing left of one that ended, whatever the estimate was.
    fn rows_expected(&self, counted: Counted) -> u64 {
        match counted {
            Counted::Compared if self.has_ended() => self.meter.rows,
            Counted::Compared | Counted::Copied | Counted::Both => self.rows_total.max(self.meter.rows),
        }
    }

    fn has_ended(&self) -> bool {
        match self.phase {
            Phase::Done | Phase::Failed | Phase::Canceled => true,
            Phase::Waiting
            | Phase::LoadingSource
            | Phase::Creating
            | Phase::Copying
            | Phase::Flushing
            | Phase::Indexing
            | Phase::Verifying => false,
        }
    }
}

/// All collections.
#[derive(Debug)]
struct Job {
    items: BTreeMap<CollectionName, Item>,
    /// What is waited for before there are any.
    awaiting: Awaiting,
    meter: Meter,
    /// Whether it was known from the beginning which collections there are.
    planned: bool,
    counted: Counted,
    /// What the copy waits for most.
    bound_by: Option<Bottleneck>,
    inserts_at_once: usize,
    max_rate: Option<MaxRate>,
}

/// What is worth telling at once.
enum News {
    Phase(CollectionName),
    Waiting(CollectionName, Wait),
    Awaiting(Option<CollectionName>, Awaited, u64),
    MaxRate,
}

impl Job {
    fn new(plan: &Plan, counted: Counted) -> Self {
        let planned = plan.collections.iter().filter(|collection| collection.presence.is_here());
        let items = planned
            .map(|collection| (collection.source.clone(), Item::new(collection.rows_estimate)))
            .collect();
        Self { items, planned: true, counted, ..Self::empty() }
    }

    fn empty() -> Self {
        Self {
            items: BTreeMap::new(),
            awaiting: Awaiting::default(),
            meter: Meter::default(),
            planned: false,
            counted: Counted::Both,
            bound_by: None,
            inserts_at_once: 0,
            max_rate: None,
        }
    }

    fn item(&mut self, collection: &CollectionName, now: Instant) -> &mut Item {
        self.items.entry(collection.clone()).or_insert_with(|| {
            let mut item = Item::new(0);
            item.meter.sample(now);
            item
        })
    }

    /// Counts rows of a collection.
    fn add(&mut self, collection: &CollectionName, rows: u64, bytes: u64, now: Instant) {
        self.item(collection, now).meter.add(rows, bytes);
        self.meter.add(rows, bytes);
    }

    /// Whether rows that were copied count. Where comparing is what counts, those of a comparison were counted already.
    fn counts_copied(&mut self, collection: &CollectionName, rows: u64, bytes: u64, now: Instant) -> bool {
        if self.counted != Counted::Compared {
            return true;
        }
        let item = self.item(collection, now);
        let counts = item.is_copying();
        if counts {
            item.copied = (item.copied.0 + rows, item.copied.1 + bytes);
        }
        counts
    }

    /// Begins to compare a collection: what was copied of it does not count any more.
    fn begin_comparing(&mut self, collection: &CollectionName, now: Instant) {
        let item = self.item(collection, now);
        let (rows, bytes) = std::mem::take(&mut item.copied);
        if rows > 0 {
            item.meter.take_back(rows, bytes, now);
            self.meter.take_back(rows, bytes, now);
        }
    }

    fn take(&mut self, event: Event, now: Instant) -> Option<News> {
        let counted = self.counted;
        match event {
            Event::Phase { collection, phase } => {
                let item = self.item(&collection, now);
                if item.phase == phase {
                    return None;
                }
                item.phase = phase;
                item.awaiting = Awaiting::default();
                if item.is_measured(counted) {
                    item.meter.samples.clear();
                    item.meter.sample(now);
                    if self.meter.samples.is_empty() {
                        self.meter.sample(now);
                    }
                }
                if phase == Phase::Verifying {
                    self.begin_comparing(&collection, now);
                }
                Some(News::Phase(collection))
            }
            Event::Copied { collection, rows, bytes } => {
                if self.counts_copied(&collection, rows, bytes, now) {
                    self.add(&collection, rows, bytes, now);
                }
                None
            }
            Event::Read { collection, rows, bytes } => {
                self.add(&collection, rows, bytes, now);
                None
            }
            Event::Resumed { collection, rows, bytes } => {
                // They came before: they count, but not for the rate.
                if self.counts_copied(&collection, rows, bytes, now) {
                    self.item(&collection, now).meter.found(rows, bytes, now);
                    self.meter.found(rows, bytes, now);
                }
                None
            }
            Event::Compared { collection, rows, bytes, rows_total } => {
                // After a copy the rows were counted already.
                if counted.compares() {
                    let item = self.item(&collection, now);
                    item.rows_total = item.rows_total.max(rows_total);
                    self.add(&collection, rows, bytes, now);
                }
                None
            }
            Event::Waiting { collection, reason } => {
                let item = self.item(&collection, now);
                let told = item
                    .waited
                    .is_some_and(|(known, time)| known == reason && now.duration_since(time) < WAIT_INTERVAL);
                if told {
                    return None;
                }
                item.waited = Some((reason, now));
                Some(News::Waiting(collection, reason))
            }
            Event::Awaiting { collection, awaited, seconds } => {
                let awaiting = match &collection {
                    Some(collection) => &mut self.item(collection, now).awaiting,
                    None => &mut self.awaiting,
                };
                let is_news = awaiting.take(awaited.clone(), seconds, now);
                is_news.then_some(News::Awaiting(collection, awaited, seconds))
            }
            Event::Pace { bound_by, inserts_at_once } => {
                (self.bound_by, self.inserts_at_once) = (bound_by, inserts_at_once);
                None
            }
            Event::MaxRate { max_rate } => {
                // That there is no limit is no news at the beginning.
                let is_news = self.max_rate != max_rate;
                self.max_rate = max_rate;
                is_news.then_some(News::MaxRate)
            }
        }
    }

    fn sample(&mut self, now: Instant) {
        let counted = self.counted;
        if !self.meter.samples.is_empty() {
            self.meter.sample(now);
        }
        for item in self.items.values_mut().filter(|item| item.is_measured(counted)) {
            item.meter.sample(now);
        }
    }

    /// Rows that are expected in all; estimates that were too low do not make it go backwards.
    fn rows_total(&self) -> u64 {
        self.items.values().map(|item| item.rows_expected(self.counted)).sum()
    }

    /// Rows that are expected in all, once there is something to say of them: a round may compare in a way of which nothing
    /// is told.
    fn rows_shown(&self) -> u64 {
        match self.counted {
            Counted::Compared if self.meter.rows == 0 => 0,
            Counted::Compared | Counted::Copied | Counted::Both => self.rows_total(),
        }
    }

    fn ended(&self) -> usize {
        self.items.values().filter(|item| item.has_ended()).count()
    }

    fn summary(&self, lang: Lang, now: Instant) -> String {
        let total = self.rows_shown();
        let known = self.planned.then_some(self.items.len());
        let mut parts = vec![labels::collections_done(lang, self.ended(), known)];
        if self.meter.rows > 0 || total > 0 {
            let under_way = self.meter.rows < total;
            parts.push(rows_text(lang, &self.meter, total, now, under_way));
            parts.extend(self.bound_by.filter(|_| under_way).map(|by| labels::bound_by(lang, by)));
        }
        parts.join(labels::comma(lang))
    }
}

/// Rows, bytes, rates and time left.
fn rows_text(lang: Lang, meter: &Meter, total: u64, now: Instant, under_way: bool) -> String {
    let mut parts = vec![labels::rows_of(lang, meter.rows, total)];
    parts.push(figures::size(meter.bytes));
    if under_way {
        let (rows_rate, bytes_rate) = meter.rates(now);
        parts.push(format!("{} {}", figures::count(rows_rate.round() as u64), labels::rows_per_second(lang)));
        parts.push(format!("{}/s", figures::size(bytes_rate.round() as u64)));
        let left = meter.left(total, now).map(figures::clock);
        parts.push(labels::left(lang, left.as_deref()));
    }
    parts.join(labels::comma(lang))
}

/// The same for a bar, where there is less space.
fn bar_text(lang: Lang, meter: &Meter, total: u64, now: Instant, under_way: bool) -> String {
    let mut parts = vec![labels::rows_of_short(lang, meter.rows, total)];
    if under_way {
        let (_, bytes_rate) = meter.rates(now);
        parts.push(format!("{}/s", figures::size(bytes_rate.round() as u64)));
        parts.extend(meter.left(total, now).map(|left| labels::left(lang, Some(&figures::clock(left)))));
    } else {
        parts.push(figures::size(meter.bytes));
    }
    parts.join(labels::comma(lang))
}

/// How it is shown.
struct View {
    output: Output,
    kind: Kind,
}

enum Kind {
    Bars(Bars),
    Lines { last: String },
    Json { last: (u64, usize, Option<Bottleneck>) },
    Nothing,
}

/// A line of JSON while a job runs.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum JsonEvent<'a> {
    Phase {
        collection: String,
        phase: Phase,
    },
    Progress {
        rows_done: u64,
        rows_total: u64,
        bytes_done: u64,
        rows_per_second: u64,
        bytes_per_second: u64,
        seconds_left: Option<u64>,
        collections_done: usize,
        collections_total: usize,
        bound_by: Option<Bottleneck>,
        inserts_at_once: usize,
        max_rate: Option<MaxRate>,
        collections: Vec<JsonCollection>,
    },
    MaxRate {
        max_rate: Option<MaxRate>,
    },
    Awaiting {
        collection: Option<String>,
        awaited: &'a Awaited,
        seconds: u64,
    },
    Waiting {
        collection: String,
        reason: Wait,
    },
}

/// A collection that is under way.
#[derive(Serialize)]
struct JsonCollection {
    collection: String,
    phase: Phase,
    rows_done: u64,
    rows_total: u64,
    bytes_done: u64,
}

impl View {
    fn new(output: Output) -> Self {
        let kind = if output.quiet {
            Kind::Nothing
        } else if output.json {
            Kind::Json { last: (0, 0, None) }
        } else if output.has_bars() {
            Kind::Bars(Bars::new())
        } else {
            Kind::Lines { last: String::new() }
        };
        Self { output, kind }
    }

    fn interval(&self) -> Duration {
        match self.kind {
            Kind::Bars(_) => BARS_INTERVAL,
            Kind::Json { .. } => JSON_INTERVAL,
            Kind::Lines { .. } | Kind::Nothing => LINES_INTERVAL,
        }
    }

    fn note(&self, line: &str) {
        match &self.kind {
            Kind::Bars(bars) => bars.multi.suspend(|| self.output.note(line)),
            Kind::Lines { .. } | Kind::Json { .. } | Kind::Nothing => self.output.note(line),
        }
    }

    fn tell(&mut self, news: &News, job: &Job, now: Instant) {
        let lang = self.output.lang;
        match (&mut self.kind, news) {
            (Kind::Json { .. }, news) => {
                let event = match news {
                    News::Phase(collection) => {
                        let Some(item) = job.items.get(collection) else { return };
                        JsonEvent::Phase { collection: collection.to_string(), phase: item.phase }
                    }
                    News::Waiting(collection, reason) => {
                        JsonEvent::Waiting { collection: collection.to_string(), reason: *reason }
                    }
                    News::Awaiting(collection, awaited, seconds) => JsonEvent::Awaiting {
                        collection: collection.as_ref().map(ToString::to_string),
                        awaited,
                        seconds: *seconds,
                    },
                    News::MaxRate => JsonEvent::MaxRate { max_rate: job.max_rate },
                };
                self.output.json_line(&event);
            }
            (Kind::Nothing, _) => {}
            (Kind::Bars(_) | Kind::Lines { .. }, News::Waiting(collection, reason)) => {
                let colon = labels::colon(lang);
                self.note(&harmless(&format!("{collection}{colon}{}", labels::wait(lang, *reason))));
            }
            // The bar of the collection shows it.
            (Kind::Bars(_), News::Awaiting(Some(_), ..)) => {}
            (Kind::Bars(_) | Kind::Lines { .. }, News::Awaiting(collection, awaited, seconds)) => {
                let mut line = labels::awaited(lang, awaited, *seconds);
                if let Some(collection) = collection {
                    line = format!("{collection}{}{line}", labels::colon(lang));
                }
                self.note(&harmless(&line));
            }
            (Kind::Bars(_) | Kind::Lines { .. }, News::MaxRate) => {
                let rate = job.max_rate.map(|rate| rate.to_string());
                self.note(&labels::max_rate(lang, rate.as_deref()));
            }
            (Kind::Lines { .. }, News::Phase(collection)) => {
                if let Some(item) = job.items.get(collection) {
                    let line = phase_line(lang, collection, item, job.counted);
                    self.note(&line);
                }
            }
            (Kind::Bars(bars), News::Phase(collection)) => {
                let ended = job.items.get(collection).filter(|item| item.has_ended());
                if let Some(item) = ended {
                    bars.remove(collection);
                    let line = phase_line(lang, collection, item, job.counted);
                    self.note(&line);
                }
                if let Kind::Bars(bars) = &mut self.kind {
                    bars.draw(lang, job, now);
                }
            }
        }
    }

    fn tick(&mut self, job: &Job, now: Instant) {
        let lang = self.output.lang;
        match &mut self.kind {
            Kind::Nothing => {}
            Kind::Bars(bars) => bars.draw(lang, job, now),
            Kind::Lines { last } => {
                let line = job.summary(lang, now);
                if job.rows_shown() > 0 && *last != line {
                    self.output.note(&self.output.styled_note(Style::Dim, &line));
                    *last = line;
                }
            }
            Kind::Json { last } => {
                let state = (job.meter.rows, job.ended(), job.bound_by);
                if *last != state {
                    *last = state;
                    self.output.json_line(&json_progress(job, now));
                }
            }
        }
    }

    fn end(&mut self) {
        if let Kind::Bars(bars) = &mut self.kind {
            bars.clear();
        }
    }
}

fn json_progress(job: &Job, now: Instant) -> JsonEvent<'static> {
    let (rows_rate, bytes_rate) = job.meter.rates(now);
    let total = job.rows_total();
    let collections = job.items.iter().filter(|(_, item)| item.phase != Phase::Waiting && !item.has_ended());
    JsonEvent::Progress {
        rows_done: job.meter.rows,
        rows_total: total,
        bytes_done: job.meter.bytes,
        rows_per_second: rows_rate.round() as u64,
        bytes_per_second: bytes_rate.round() as u64,
        seconds_left: job.meter.left(total, now).map(|left| left.as_secs()),
        collections_done: job.ended(),
        collections_total: job.items.len(),
        bound_by: job.bound_by,
        inserts_at_once: job.inserts_at_once,
        max_rate: job.max_rate,
        collections: collections
            .map(|(name, item)| JsonCollection {
                collection: name.to_string(),
                phase: item.phase,
                rows_done: item.meter.rows,
                rows_total: item.rows_total.max(item.meter.rows),
                bytes_done: item.meter.bytes,
            })
            .collect(),
    }
}

/// A collection that entered a step.
fn phase_line(lang: Lang, collection: &CollectionName, item: &Item, counted: Counted) -> String {
    let mut line = format!("{collection}{}{}", labels::colon(lang), phase_name(lang, item.phase, counted));
    let detail = match item.phase {
        Phase::Copying if item.rows_total > 0 => labels::about_rows(lang, item.rows_total),
        Phase::Verifying if counted == Counted::Compared && item.rows_total > 0 => {
            labels::about_rows(lang, item.rows_total)
        }
        Phase::Done | Phase::Failed | Phase::Canceled if item.meter.rows > 0 => {
            match counted == Counted::Compared && item.copied.0 == 0 {
                true => labels::rows_compared(lang, item.meter.rows),
                false => labels::some_rows(lang, item.meter.rows),
            }
        }
        Phase::Copying
        | Phase::Done
        | Phase::Failed
        | Phase::Canceled
        | Phase::Waiting
        | Phase::LoadingSource
        | Phase::Creating
        | Phase::Flushing
        | Phase::Indexing
        | Phase::Verifying => String::new(),
    };
    if !detail.is_empty() {
        line.push_str(labels::comma(lang));
        line.push_str(&detail);
    }
    harmless(&line)
}

/// The step of a collection. What a round compares while the source changes is not verified by that.
fn phase_name(lang: Lang, phase: Phase, counted: Counted) -> &'static str {
    match counted {
        Counted::Compared => labels::phase_of_round(lang, phase),
        Counted::Copied | Counted::Both => labels::phase(lang, phase),
    }
}

/// Bars of the collections that are under way, and a line for all of them.
struct Bars {
    multi: MultiProgress,
    total: ProgressBar,
    shown: BTreeMap<CollectionName, ProgressBar>,
}

impl Bars {
    fn new() -> Self {
        let multi = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let total = multi.add(ProgressBar::new(0));
        total.set_style(style());
        Self { multi, total, shown: BTreeMap::new() }
    }

    fn remove(&mut self, collection: &CollectionName) {
        if let Some(bar) = self.shown.remove(collection) {
            bar.finish_and_clear();
            self.multi.remove(&bar);
        }
    }

    fn draw(&mut self, lang: Lang, job: &Job, now: Instant) {
        if job.items.is_empty() {
            return;
        }
        let widest = job.items.keys().map(|name| columns::width(&name.to_string())).max().unwrap_or(0);
        let columns = widest.max(columns::width(labels::total(lang))).min(NAME_COLUMNS_MAX);
        for (name, item) in &job.items {
            if item.phase == Phase::Waiting || item.has_ended() {
                continue;
            }
            if !self.shown.contains_key(name) {
                if self.shown.len() >= BARS_MAX {
                    continue;
                }
                let bar = self.multi.insert_before(&self.total, ProgressBar::new(0));
                bar.set_style(style());
                self.shown.insert(name.clone(), bar);
            }
            let Some(bar) = self.shown.get(name) else { continue };
            bar.set_prefix(columns::fit(&harmless(&name.to_string()), columns));
            let rows_total = item.rows_expected(job.counted);
            bar.set_length(rows_total.max(1));
            bar.set_position(item.meter.rows);
            let mut message = phase_name(lang, item.phase, job.counted).to_owned();
            if let Some((awaited, seconds)) = item.awaiting.fresh(now) {
                // Instead of the rows: those do not move meanwhile, and the line is short.
                message.push_str(labels::colon(lang));
                message.push_str(&labels::awaited(lang, awaited, seconds));
            } else if rows_total > 0 && (item.meter.rows > 0 || job.counted != Counted::Compared) {
                let under_way = match job.counted {
                    Counted::Compared => item.is_measured(job.counted),
                    Counted::Copied | Counted::Both => item.is_copying(),
                };
                message.push(' ');
                message.push_str(&bar_text(lang, &item.meter, rows_total, now, under_way));
            }
            bar.set_message(harmless(&message));
        }
        let rows_total = job.rows_shown();
        self.total.set_prefix(columns::fit(labels::total(lang), columns));
        self.total.set_length(rows_total.max(1));
        self.total.set_position(job.meter.rows);
        let known = job.planned.then_some(job.items.len());
        let mut message = labels::collections_done(lang, job.ended(), known);
        if rows_total > 0 {
            let under_way = job.meter.rows < rows_total;
            message.push_str(labels::comma(lang));
            message.push_str(&bar_text(lang, &job.meter, rows_total, now, under_way));
            if let Some(by) = job.bound_by.filter(|_| under_way) {
                message.push_str(labels::comma(lang));
                message.push_str(&labels::bound_by(lang, by));
            }
        }
        self.total.set_message(message);
    }

    fn clear(&mut self) {
        for bar in self.shown.values() {
            bar.finish_and_clear();
        }
        self.shown.clear();
        self.total.finish_and_clear();
    }
}

fn style() -> ProgressStyle {
    // The template is fixed, so that it can't be wrong at run time (asserted by a test).
    ProgressStyle::with_template(TEMPLATE)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("█▉▊▋▌▍▎▏ ")
}

/// How a bar looks.
const TEMPLATE: &str = "{prefix} {bar:12} {wide_msg}";

#[cfg(test)]
mod tests {
    use vecferry_migrate::event::Side;
    use vecferry_migrate::precheck::CheckId;

    use super::*;

    fn books() -> CollectionName {
        CollectionName::new("default", "books")
    }

    fn job(rows_total: u64) -> Job {
        let counted = Counted::Copied;
        Job { items: [(books(), Item::new(rows_total))].into(), planned: true, counted, ..Job::empty() }
    }

    #[test]
    fn the_template_of_bars_is_valid() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }

    #[test]
    fn rates_are_those_of_the_last_seconds() {
        let start = Instant::now();
        let mut meter = Meter::default();
        meter.sample(start);
        for second in 1..=20 {
            // Slow at first, then ten times as fast.
            meter.add(if second <= 10 { 100 } else { 1000 }, 4000);
            meter.sample(start + Duration::from_secs(second));
        }
        let (rows, bytes) = meter.rates(start + Duration::from_secs(20));
        assert!((rows - 1000.0).abs() < 1.0, "{rows}");
        assert!((bytes - 4000.0).abs() < 1.0, "{bytes}");
        assert_eq!(meter.left(21_000, start + Duration::from_secs(20)), Some(Duration::from_secs(10)));
    }

    #[test]
    fn a_standstill_has_no_end() {
        let meter = Meter::default();
        assert_eq!(meter.left(10, Instant::now()), None);
    }

    #[test]
    fn estimates_that_are_too_low_grow() {
        let mut job = job(10);
        let now = Instant::now();
        assert!(job.take(Event::Phase { collection: books(), phase: Phase::Copying }, now).is_some());
        assert!(job.take(Event::Phase { collection: books(), phase: Phase::Copying }, now).is_none());
        assert!(job.take(Event::Copied { collection: books(), rows: 25, bytes: 100 }, now).is_none());
        assert_eq!(job.rows_total(), 25);
        assert_eq!(job.summary(Lang::En, now), "0 of 1 collections, 25 of about 25 rows (100 %), 100 B");
    }

    #[test]
    fn a_round_shows_the_rows_that_it_compares() {
        let mut job = Job { counted: Counted::Compared, ..job(20) };
        let now = Instant::now();
        let enter = |phase| Event::Phase { collection: books(), phase };
        let compared = |rows| Event::Compared { collection: books(), rows, bytes: 100, rows_total: 20 };
        job.take(enter(Phase::Verifying), now);
        let line = phase_line(Lang::En, &books(), &job.items[&books()], job.counted);
        assert_eq!(line, "default.books: comparing, about 20 rows");
        let line = phase_line(Lang::Zh, &books(), &job.items[&books()], job.counted);
        assert_eq!(line, "default.books：比对中，约 20 行");
        // As long as nothing is told, nothing is claimed to be at its beginning.
        assert_eq!(job.summary(Lang::En, now), "0 of 1 collections");
        job.take(compared(10), now);
        // What is mended was compared before.
        job.take(Event::Copied { collection: books(), rows: 3, bytes: 30 }, now);
        assert!(
            job.summary(Lang::En, now).starts_with("0 of 1 collections, 10 of about 20 rows (50 %), 100 B")
        );
        // The source shrank.
        job.take(compared(5), now);
        job.take(enter(Phase::Done), now);
        assert_eq!(job.summary(Lang::En, now), "1 of 1 collections, 15 of about 15 rows (100 %), 200 B");
        let line = phase_line(Lang::En, &books(), &job.items[&books()], job.counted);
        assert_eq!(line, "default.books: done, 15 rows compared");
    }

    #[test]
    fn a_round_that_copies_a_collection_first_begins_anew_with_comparing() {
        let mut job = Job { counted: Counted::Compared, ..job(20) };
        let now = Instant::now();
        let enter = |phase| Event::Phase { collection: books(), phase };
        job.take(enter(Phase::Copying), now);
        job.take(Event::Copied { collection: books(), rows: 20, bytes: 100 }, now);
        assert_eq!(job.meter.rows, 20);
        job.take(enter(Phase::Verifying), now);
        assert_eq!((job.meter.rows, job.items[&books()].meter.rows), (0, 0));
        let later = now + Duration::from_secs(1);
        job.take(Event::Compared { collection: books(), rows: 5, bytes: 50, rows_total: 20 }, later);
        assert_eq!((job.meter.rows, job.meter.rates(later)), (5, (5.0, 50.0)));
        // The source may have to be loaded anew in between.
        job.take(enter(Phase::LoadingSource), later);
        job.take(enter(Phase::Verifying), later);
        assert_eq!(job.meter.rows, 5);
    }

    #[test]
    fn a_job_that_goes_on_counts_as_its_round_does() {
        let round = |kind, state| RoundRecord {
            number: 2,
            kind,
            state,
            options: "{}".to_owned(),
            plan: None,
            read_timestamp: None,
            switch_intended: false,
            begun_at: String::new(),
            ended_at: None,
            window: None,
            report: None,
        };
        for (kind, state, counted) in [
            (RoundKind::Warm, RoundState::Open, Counted::Copied),
            (RoundKind::CatchUp, RoundState::Open, Counted::Compared),
            (RoundKind::CutOver, RoundState::Open, Counted::Compared),
            // A warm copy begins again.
            (RoundKind::CatchUp, RoundState::Done, Counted::Copied),
        ] {
            assert_eq!(Counted::of_round(Some(&round(kind, state))), counted, "{kind:?} {state:?}");
        }
        assert_eq!(Counted::of_round(None), Counted::Copied);
    }

    #[test]
    fn the_same_wait_is_told_once_in_a_while() {
        let mut job = job(10);
        let now = Instant::now();
        let wait = || Event::Waiting { collection: books(), reason: Wait::TargetLimit };
        assert!(job.take(wait(), now).is_some());
        assert!(job.take(wait(), now + Duration::from_secs(1)).is_none());
        assert!(job.take(wait(), now + WAIT_INTERVAL).is_some());
    }

    #[test]
    fn what_is_awaited_is_said_once_in_a_while_and_an_answer_only_when_it_takes_long() {
        let mut job = job(10);
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let told = |job: &mut Job, awaited: Awaited, seconds| {
            let (collection, at) = (Some(books()), after(seconds));
            job.take(Event::Awaiting { collection, awaited, seconds }, at).is_some()
        };
        let memory = |rows_served| Awaited::Memory { side: Side::Source, rows_served, rows_stored: 4 };
        assert!(!told(&mut job, Awaited::Answer, 1));
        assert!(told(&mut job, memory(1), 2));
        assert!(!told(&mut job, memory(2), 3));
        // Within the other wait, and the bar goes on showing that one.
        assert!(!told(&mut job, Awaited::Answer, 4));
        let shown = |job: &Job, seconds| {
            let fresh = job.items[&books()].awaiting.fresh(after(seconds));
            fresh.map(|(awaited, seconds)| labels::awaited(Lang::En, awaited, seconds))
        };
        let line = "the source serves 2 of 4 stored rows from memory; waiting for the rest, 3 s";
        assert_eq!(shown(&job, 4).as_deref(), Some(line));
        assert_eq!(shown(&job, 6), None);
        assert!(told(&mut job, memory(2), 2 + WAIT_INTERVAL.as_secs()));
        assert!(told(&mut job, Awaited::Answer, 50));
        let check = Awaited::Check { check: CheckId::Writers };
        assert!(!told(&mut job, check.clone(), 1) && told(&mut job, check, 2));
        job.take(Event::Phase { collection: books(), phase: Phase::Copying }, after(50));
        assert_eq!(shown(&job, 50), None);
    }

    #[test]
    fn the_summary_says_what_the_copy_waits_for_while_it_copies() {
        let mut job = job(10);
        let now = Instant::now();
        let pace = |bound_by| Event::Pace { bound_by, inserts_at_once: 3 };
        assert!(job.take(pace(Some(Bottleneck::TargetLimit)), now).is_none());
        assert!(job.summary(Lang::En, now).ends_with(", bound by: target rate limit"));
        assert!(job.summary(Lang::Zh, now).ends_with("，受限于：目标集群限速"));
        let line = serde_json::to_string(&json_progress(&job, now)).unwrap();
        assert!(line.contains(r#""bound_by":"target_limit","inserts_at_once":3,"max_rate":null"#), "{line}");
        job.take(Event::Copied { collection: books(), rows: 10, bytes: 1 }, now);
        assert!(!job.summary(Lang::En, now).contains("bound by"));
    }

    #[test]
    fn a_limit_is_told_when_it_changes() {
        let mut job = job(10);
        let now = Instant::now();
        let mut told =
            |rate: &str| job.take(Event::MaxRate { max_rate: MaxRate::parse(rate).unwrap() }, now).is_some();
        assert_eq!(["none", "1MB/s", "1MB/s", "none"].map(&mut told), [false, true, false, true]);
        job.take(Event::MaxRate { max_rate: MaxRate::parse("5MiB/s").unwrap() }, now);
        let event = JsonEvent::MaxRate { max_rate: job.max_rate };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(line, r#"{"event":"max_rate","max_rate":"5MiB/s"}"#);
    }

    #[test]
    fn lines_of_phases_name_the_collection_and_its_rows() {
        let mut item = Item::new(15_000);
        item.phase = Phase::Copying;
        assert_eq!(
            phase_line(Lang::En, &books(), &item, Counted::Copied),
            "default.books: copying, about 15,000 rows"
        );
        item.phase = Phase::Done;
        item.meter.add(15_001, 1);
        assert_eq!(phase_line(Lang::Zh, &books(), &item, Counted::Copied), "default.books：完成，15,001 行");
    }

    #[test]
    fn json_lines_are_tagged() {
        let event = JsonEvent::Phase { collection: "default.books".into(), phase: Phase::Copying };
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"event":"phase","collection":"default.books","phase":"copying"}"#
        );
        let line = serde_json::to_string(&json_progress(&job(7), Instant::now())).unwrap();
        assert!(line.starts_with(r#"{"event":"progress","rows_done":0,"rows_total":7,"#), "{line}");
    }
}
