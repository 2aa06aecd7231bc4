//! Shows how far a job of a service is: one line on a terminal, plain lines elsewhere, or lines of JSON.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use vecferry_migrate::event::{Bottleneck, Phase};
use vecferry_report::{figures, harmless, labels};

use super::answers::{Details, Job, Progress};
use crate::output::{Output, Style};

/// How often a plain line of progress is written.
const LINES_INTERVAL: Duration = Duration::from_secs(5);
/// Rates are those of the last seconds.
const RATE_WINDOW: Duration = Duration::from_secs(10);

/// The display of a job.
pub(super) struct Board {
    output: Output,
    bar: Option<ProgressBar>,
    shown: RefCell<Shown>,
}

/// What was shown last.
#[derive(Default)]
struct Shown {
    status: String,
    phases: BTreeMap<String, Phase>,
    figures: Option<Figures>,
    line: Option<(String, Instant)>,
    samples: VecDeque<(Instant, u64)>,
}

/// What a line of progress says.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Figures {
    rows_done: u64,
    rows_total: u64,
    collections_done: usize,
    collections_total: usize,
    bound_by: Option<String>,
    max_rate: Option<String>,
}

impl Figures {
    fn of(progress: &Progress) -> Self {
        let collections = &progress.collections;
        let rows_done = collections.iter().map(|collection| collection.rows_done).sum();
        let rows_total = collections.iter().map(|of| of.rows_total.max(of.rows_done)).sum();
        Self {
            rows_done,
            rows_total,
            collections_done: collections.iter().filter(|collection| collection.done).count(),
            collections_total: collections.len(),
            bound_by: progress.bound_by.clone(),
            max_rate: progress.max_rate.clone(),
        }
    }
}

/// A line of JSON while a job is followed.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    State {
        job_id: &'a str,
        state: &'a str,
    },
    Phase {
        collection: &'a str,
        phase: Phase,
    },
    Progress {
        job_id: &'a str,
        #[serde(flatten)]
        figures: &'a Figures,
        rows_per_second: u64,
    },
}

impl Board {
    /// An empty display.
    pub(super) fn new(output: &Output) -> Self {
        let bar = output.has_bars().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { output: output.clone(), bar, shown: RefCell::default() }
    }

    /// Says something in between.
    pub(super) fn note(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.output.note(line)),
            None => self.output.note(line),
        }
    }

    /// Ends the display.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Shows what is new of a job.
    pub(super) fn show(&self, details: &Details) {
        if self.output.quiet {
            return;
        }
        let mut shown = self.shown.borrow_mut();
        // The end is told behind what led to it.
        if !details.job.is_over() {
            self.show_state(&mut shown, &details.job);
        }
        if let Some(progress) = details.progress() {
            self.show_phases(&mut shown, &progress);
            self.show_figures(&mut shown, &details.job.job_id, Figures::of(&progress), Instant::now());
        }
        if details.job.is_over() {
            self.show_state(&mut shown, &details.job);
        }
    }

    fn show_state(&self, shown: &mut Shown, job: &Job) {
        if shown.status == job.status {
            return;
        }
        shown.status.clone_from(&job.status);
        self.tell(&Event::State { job_id: &job.job_id, state: &job.status }, || {
            harmless(&labels::job_is(self.output.lang, &job.job_id, &job.status))
        });
    }

    fn show_phases(&self, shown: &mut Shown, progress: &Progress) {
        let lang = self.output.lang;
        for collection in &progress.collections {
            let (name, Some(phase)) = (&collection.collection, collection.phase) else { continue };
            if shown.phases.insert(name.clone(), phase) != Some(phase) {
                self.tell(&Event::Phase { collection: name, phase }, || {
                    harmless(&format!("{name}{}{}", labels::colon(lang), labels::phase(lang, phase)))
                });
            }
        }
    }

    /// A line at once.
    fn tell(&self, event: &Event<'_>, line: impl FnOnce() -> String) {
        match self.output.json {
            true => self.output.json_line(event),
            false => self.note(&line()),
        }
    }

    fn show_figures(&self, shown: &mut Shown, job_id: &str, figures: Figures, now: Instant) {
        if figures.rows_total == 0 {
            return;
        }
        shown.samples.push_back((now, figures.rows_done));
        while shown.samples.len() > 2
            && shown.samples.get(1).is_some_and(|(time, _)| now.duration_since(*time) >= RATE_WINDOW)
        {
            shown.samples.pop_front();
        }
        let rows_per_second = rate(&shown.samples, now);
        let line = self.line(&figures, rows_per_second);
        if self.output.json {
            if shown.figures.as_ref() != Some(&figures) {
                self.output.json_line(&Event::Progress { job_id, figures: &figures, rows_per_second });
            }
        } else if let Some(bar) = &self.bar {
            bar.set_message(line);
            bar.tick();
        } else if shown
            .line
            .as_ref()
            .is_none_or(|(said, time)| *said != line && now.duration_since(*time) >= LINES_INTERVAL)
        {
            self.output.note(&self.output.styled_note(Style::Dim, &line));
            shown.line = Some((line, now));
        }
        shown.figures = Some(figures);
    }

    fn line(&self, figures: &Figures, rows_per_second: u64) -> String {
        let lang = self.output.lang;
        let mut parts = vec![
            labels::collections_done(lang, figures.collections_done, Some(figures.collections_total)),
            labels::rows_of(lang, figures.rows_done, figures.rows_total),
        ];
        if figures.rows_done < figures.rows_total {
            parts.push(format!("{} {}", figures::count(rows_per_second), labels::rows_per_second(lang)));
            let bound_by = figures.bound_by.as_deref().and_then(Bottleneck::of_name);
            parts.extend(bound_by.map(|by| labels::bound_by(lang, by)));
        }
        harmless(&parts.join(labels::comma(lang)))
    }
}

/// Rows a second.
fn rate(samples: &VecDeque<(Instant, u64)>, now: Instant) -> u64 {
    let (Some((time, first)), Some((_, last))) = (samples.front(), samples.back()) else { return 0 };
    let seconds = now.duration_since(*time).as_secs_f64();
    // Rows of a collection that starts over are gone.
    if seconds < 0.1 { 0 } else { (last.saturating_sub(*first) as f64 / seconds).round() as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let later = start + Duration::from_secs(4);
        assert_eq!(rate(&VecDeque::from([(start, 100), (later, 500)]), later), 100);
        assert_eq!(rate(&VecDeque::from([(start, 500), (later, 100)]), later), 0);
        assert_eq!(rate(&VecDeque::from([(start, 500)]), start), 0);
        assert_eq!(rate(&VecDeque::new(), start), 0);
    }
}
