//! How far a job was from time to time: what the rate of its copy is drawn from, also when its process is gone.
//!
//! One document a job, which is written anew: it never has more points than [`POINTS_MAX`], however long a job takes. It goes with the job.

use vecferry_store::{Change, Error};

use super::Tables;

/// Points of a job.
const POINTS_MAX: usize = 240;
/// Half of them are as many intervals as the time of a job is divided into, so that there is room to go on.
const INTERVALS: i64 = (POINTS_MAX / 2) as i64;
/// The newest point is recorded after this time, however far points are from each other: a process may end at any time.
const NEWEST_MS: i64 = 10_000;
/// Points are not closer to each other; it doubles as often as needed.
const SHORTEST_MS: i64 = 900;

/// How far a job was at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// By the store's clock.
    pub(crate) at_ms: i64,
    /// Which time that a process took the job, from 1. Between two of them nobody copied.
    pub(crate) run: u32,
    /// Rows that the target acknowledged.
    pub(crate) rows: u64,
    /// Bytes of these rows.
    pub(crate) bytes: u64,
}

/// The points of a job, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pace(Vec<Point>);

impl Pace {
    /// From its document. What can't be read is as if nothing had been recorded: it is only shown.
    fn of_document(document: &str) -> Self {
        let points: Vec<(u32, i64, u64, u64)> = serde_json::from_str(document).unwrap_or_default();
        let point = |(run, at_ms, rows, bytes)| Point { at_ms, run, rows, bytes };
        Self(points.into_iter().map(point).collect())
    }

    fn document(&self) -> String {
        let points: Vec<_> =
            self.0.iter().map(|point| (point.run, point.at_ms, point.rows, point.bytes)).collect();
        serde_json::json!(points).to_string()
    }

    pub(crate) fn points(&self) -> &[Point] {
        &self.0
    }

    /// The number of the next run.
    pub(crate) fn next_run(&self) -> u32 {
        self.0.last().map_or(1, |last| last.run.saturating_add(1))
    }

    /// Takes a point up. The last one of a run moves along until it is as far from the one before as points are.
    pub(crate) fn note(&mut self, point: Point) {
        if self.0.last().is_some_and(|last| last.at_ms >= point.at_ms) {
            // The clock was set back.
            return;
        }
        if let [.., before, last] = self.0[..]
            && before.run == last.run
            && last.run == point.run
            && last.at_ms - before.at_ms < self.distance_ms()
        {
            self.0.pop();
        }
        self.0.push(point);
        if self.0.len() > POINTS_MAX {
            self.thin();
        }
    }

    /// How long until the next point is to be taken up.
    pub(crate) fn interval_ms(&self) -> i64 {
        self.distance_ms().min(NEWEST_MS)
    }

    /// How far points are from each other by now.
    fn distance_ms(&self) -> i64 {
        let spans = self.0.chunk_by(|one, next| one.run == next.run);
        let worked: i64 = spans.map(span_ms).sum();
        let mut distance = SHORTEST_MS;
        while worked / distance > INTERVALS {
            distance = distance.saturating_mul(2);
        }
        distance
    }

    /// Leaves out what is closer to the point before than points are by now. Begin and end of a run stay, for the time
    /// between is a pause; of too many runs the oldest go.
    fn thin(&mut self) {
        let distance = self.distance_ms();
        let mut kept: Vec<Point> = Vec::with_capacity(POINTS_MAX);
        for (at, point) in self.0.iter().enumerate() {
            let is_last = self.0.get(at + 1).is_none_or(|next| next.run != point.run);
            let is_far =
                kept.last().is_none_or(|last| last.run != point.run || point.at_ms - last.at_ms >= distance);
            if is_last || is_far {
                kept.push(*point);
            }
        }
        kept.drain(..kept.len().saturating_sub(POINTS_MAX));
        self.0 = kept;
    }
}

fn span_ms(run: &[Point]) -> i64 {
    match (run.first(), run.last()) {
        (Some(first), Some(last)) => last.at_ms - first.at_ms,
        (None, _) | (_, None) => 0,
    }
}

impl Tables {
    /// How far a job was over its time.
    pub(crate) async fn pace(&self, job_id: &str) -> Result<Pace, Error> {
        let sql = "SELECT points FROM paces WHERE job_id = $1";
        let document = self.row(sql, [job_id.into()], |record| record.text(0)).await?;
        Ok(document.map(|document| Pace::of_document(&document)).unwrap_or_default())
    }

    /// Records how far a job was over its time, for the process that has it.
    pub(crate) async fn record_pace(&self, job_id: &str, holder: &str, pace: &Pace) -> Result<(), Error> {
        let sql = "INSERT INTO paces (job_id, points) SELECT job_id, CAST($3 AS TEXT) FROM migrations \
            WHERE job_id = $1 AND holder = $2 ON CONFLICT (job_id) DO UPDATE SET points = excluded.points";
        let values = [job_id.into(), holder.into(), pace.document().into()];
        self.change([Change::new(sql, values)]).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use vecferry_migrate::JobState;

    use super::super::webhooks::tests::on_both;
    use super::super::{QueueLimits, Wanted};
    use super::*;

    fn point(run: u32, at_ms: i64, rows: u64) -> Point {
        Point { at_ms, run, rows, bytes: rows * 10 }
    }

    #[test]
    fn there_are_never_too_many_points_and_they_cover_everything() {
        let mut pace = Pace::default();
        for second in 0..100_000_u64 {
            pace.note(point(1, second as i64 * 1000, second * 7));
            let points = pace.points();
            assert!(points.len() <= POINTS_MAX, "{}", points.len());
            assert_eq!(points.last().unwrap().rows, second * 7, "the newest is there");
            assert_eq!(points[0].at_ms, 0);
        }
        let points = pace.points();
        assert!(points.len() > POINTS_MAX / 4, "{}", points.len());
        let longest = points.windows(2).map(|two| two[1].at_ms - two[0].at_ms).max().unwrap();
        assert!(longest <= 2_000_000, "{longest}");
        assert_eq!(Pace::of_document(&pace.document()), pace);
    }

    #[test]
    fn a_pause_stays_one_however_long_a_job_takes() {
        let mut pace = Pace::default();
        for second in 0..50 {
            pace.note(point(1, second * 1000, 5));
        }
        let resumed = 1_000_000;
        for second in 0..20_000 {
            pace.note(point(2, resumed + second * 1000, 9));
        }
        let ends: Vec<_> = pace.points().chunk_by(|one, next| one.run == next.run).collect();
        let ends: Vec<_> = ends.iter().map(|run| (run[0].at_ms, run[run.len() - 1].at_ms)).collect();
        assert_eq!(ends, [(0, 49_000), (resumed, resumed + 19_999_000)]);
        assert_eq!(pace.next_run(), 3);
    }

    #[test]
    fn a_job_that_is_taken_again_and_again_loses_the_oldest() {
        let mut pace = Pace::default();
        for run in 1..2_000 {
            for second in 0..3 {
                pace.note(point(run, i64::from(run) * 10_000 + second * 1000, 1));
            }
            assert!(pace.points().len() <= POINTS_MAX);
        }
        assert_eq!(pace.points().last().unwrap().run, 1_999);
        // Neither does a clock that is set back.
        let before = pace.clone();
        pace.note(point(2_000, 5, 1));
        assert_eq!(pace, before);
    }

    #[tokio::test]
    async fn the_holder_records_it_and_it_goes_with_the_job() {
        on_both(the_holder_records_it_and_it_goes_with_the_job_on).await;
    }

    async fn the_holder_records_it_and_it_goes_with_the_job_on(tables: Tables, org_id: String) {
        let mut pace = Pace::default();
        pace.note(point(1, 1_000, 5));
        tables.record_pace("job", "me", &pace).await.unwrap();
        assert_eq!(tables.pace("job").await.unwrap(), Pace::default(), "nobody has it");
        let limits =
            QueueLimits { jobs_max: 9, per_organization_max: 9, per_target_max: 9, per_source_max: 9 };
        tables.take_migration("me", 60_000, limits).await.unwrap().unwrap();
        tables.record_pace("job", "me", &pace).await.unwrap();
        pace.note(point(1, 3_000, 9));
        tables.record_pace("job", "me", &pace).await.unwrap();
        tables.record_pace("job", "other", &Pace::default()).await.unwrap();
        assert_eq!(tables.pace("job").await.unwrap(), pace);
        tables.record_end(("job", "me"), Wanted::Run, JobState::Successful, (100, None)).await.unwrap();
        assert_eq!(tables.pace("job").await.unwrap(), pace);
        let gone = [Change::new("DELETE FROM deliveries", []), Change::new("DELETE FROM idempotency", [])];
        tables.change(gone).await.unwrap();
        let later = tables.now_ms().await.unwrap() + 1_000_000;
        while tables.forget_ended(later, 500).await.unwrap() > 0 {}
        assert_eq!(tables.migration(&org_id, "job").await.unwrap(), None);
        assert_eq!(tables.pace("job").await.unwrap(), Pace::default());
    }
}
