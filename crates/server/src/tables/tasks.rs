//! Tasks that take longer than a request: what a job copied is loaded, or compared once more. One belongs to the process that
//! began it and ends with it.

use vecferry_store::{Change, Error, ErrorKind, Record, Value};

use super::{CLOCK_STEP_MS, PAGE_ROWS, Tables, new_id, unknown};

/// Comparisons of a job whose results are read at once.
const COMPARISONS_MAX: i64 = 10;

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskKind {
    /// Loads on the target what the source had loaded.
    Load,
    /// Compares source and target.
    Verify,
}

impl TaskKind {
    const ALL: [Self; 2] = [Self::Load, Self::Verify];

    /// Its name in records and answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Load => "LOAD",
            Self::Verify => "VERIFY",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// How far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskState {
    /// It is under way.
    InProgress,
    /// It came to its end.
    Successful,
    /// It did not.
    Failed,
}

impl TaskState {
    const ALL: [Self; 3] = [Self::InProgress, Self::Successful, Self::Failed];

    /// Its name in records and answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Successful => "SUCCESSFUL",
            Self::Failed => "FAILED",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A task to be recorded.
#[derive(Clone, Debug)]
pub(crate) struct NewTask {
    pub(crate) org_id: String,
    pub(crate) job_id: String,
    pub(crate) kind: TaskKind,
    pub(crate) created_by: String,
    /// The process that does it.
    pub(crate) holder: String,
}

/// A task as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskRecord {
    pub(crate) task_id: String,
    pub(crate) job_id: String,
    pub(crate) kind: TaskKind,
    pub(crate) state: TaskState,
    /// Why it failed, as a JSON list of problems; none where its process died.
    pub(crate) reason: Option<String>,
    /// What it came to, as JSON.
    pub(crate) result: Option<String>,
    /// Whether it came to something that was not read.
    pub(crate) is_result_left_out: bool,
    pub(crate) created_by: String,
    pub(crate) created_ms: i64,
    pub(crate) ended_ms: Option<i64>,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskEnd {
    pub(crate) state: TaskState,
    pub(crate) reason: Option<String>,
    pub(crate) result: Option<String>,
}

/// Whether a task is held at a time: no claim ends further ahead, unless the clock was set back since.
fn is_held(until_ms: i64, now_ms: i64) -> bool {
    (now_ms..=now_ms.saturating_add(CLOCK_STEP_MS)).contains(&until_ms)
}

/// As it is at a time: a task whose process was silent for too long has failed.
fn read(record: &Record, now_ms: i64) -> Result<TaskRecord, Error> {
    let (kind, state) = (record.text(2)?, record.text(3)?);
    let held_until_ms = record.integer(9)?;
    let result = record.text_or_none(5)?;
    let mut task = TaskRecord {
        task_id: record.text(0)?,
        job_id: record.text(1)?,
        kind: TaskKind::of_name(&kind).ok_or_else(|| unknown("kind of task", kind))?,
        state: TaskState::of_name(&state).ok_or_else(|| unknown("state", state))?,
        reason: record.text_or_none(4)?,
        is_result_left_out: result.is_none() && record.flag(10)?,
        result,
        created_by: record.text(6)?,
        created_ms: record.integer(7)?,
        ended_ms: record.integer_or_none(8)?,
    };
    if task.state == TaskState::InProgress && !is_held(held_until_ms, now_ms) {
        task.state = TaskState::Failed;
        task.ended_ms = Some(held_until_ms.min(now_ms));
    }
    Ok(task)
}

impl Tables {
    /// Records a task that begins now, if no other of the kind is under way for the job, and not too many are for the
    /// organization.
    pub(crate) async fn begin_task(
        &self,
        task: NewTask,
        held_ms: i64,
        per_organization_max: i64,
    ) -> Result<Option<String>, Error> {
        let now = self.now_ms().await?;
        let task_id = new_id("task");
        // The job is locked before anything is counted, so that two tasks of it can't both be the only one.
        let locked =
            Change::new("UPDATE migrations SET told = told WHERE job_id = $1", [(&task.job_id).into()]);
        let has_room = Change::new(
            "UPDATE migrations SET told = told WHERE job_id = $1 AND NOT EXISTS (SELECT 1 FROM tasks t \
             WHERE t.job_id = $1 AND t.kind = $2 AND t.state = 'IN_PROGRESS' AND t.held_until_ms BETWEEN $3 AND $5) \
             AND (SELECT COUNT(*) FROM tasks t WHERE t.org_id = migrations.org_id AND t.state = 'IN_PROGRESS' \
                AND t.held_until_ms BETWEEN $3 AND $5) < $4",
            [
                (&task.job_id).into(),
                task.kind.name().into(),
                now.into(),
                per_organization_max.into(),
                now.saturating_add(CLOCK_STEP_MS).into(),
            ],
        );
        let values: [Value; 8] = [
            (&task_id).into(),
            task.org_id.into(),
            task.job_id.into(),
            task.kind.name().into(),
            task.created_by.into(),
            now.into(),
            task.holder.into(),
            now.saturating_add(held_ms).into(),
        ];
        let made = Change::new(
            "INSERT INTO tasks (task_id, org_id, job_id, kind, state, created_by, created_ms, holder, held_until_ms) \
             VALUES ($1, $2, $3, $4, 'IN_PROGRESS', $5, $6, $7, $8)",
            values,
        );
        match self.change([locked, has_room.exactly(1), made]).await {
            Ok(_) => Ok(Some(task_id)),
            Err(error) if error.kind() == ErrorKind::Unmet => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Says that a task is still worked on. Tells whether it is recorded as that.
    pub(crate) async fn hold_task(&self, task_id: &str, held_ms: i64) -> Result<bool, Error> {
        let until = self.now_ms().await?.saturating_add(held_ms);
        let sql = "UPDATE tasks SET held_until_ms = $2 WHERE task_id = $1 AND state = 'IN_PROGRESS'";
        let held = self.change([Change::new(sql, [task_id.into(), until.into()])]).await?;
        Ok(held.first() == Some(&1))
    }

    /// Records how far a task is, in the form of what it comes to.
    pub(crate) async fn record_task(&self, task_id: &str, result: String) -> Result<(), Error> {
        let sql = "UPDATE tasks SET result = $2 WHERE task_id = $1 AND state = 'IN_PROGRESS'";
        self.change([Change::new(sql, [task_id.into(), result.into()])]).await.map(drop)
    }

    /// Records how a task ended.
    pub(crate) async fn end_task(&self, task_id: &str, end: TaskEnd) -> Result<(), Error> {
        let now = self.now_ms().await?;
        let sql = "UPDATE tasks SET state = $2, reason = $3, result = COALESCE($4, result), ended_ms = $5 \
            WHERE task_id = $1 AND state = 'IN_PROGRESS'";
        let values: [Value; 5] =
            [task_id.into(), end.state.name().into(), end.reason.into(), end.result.into(), now.into()];
        self.change([Change::new(sql, values)]).await.map(drop)
    }

    /// The last tasks of a job, newest first, with the results of some kinds; those of comparisons are long, and only the
    /// newest come along.
    pub(crate) async fn tasks(&self, job_id: &str, results: &[TaskKind]) -> Result<Vec<TaskRecord>, Error> {
        let now = self.now_ms().await?;
        let sql = "SELECT task_id, job_id, kind, state, reason, CASE WHEN kind = $3 OR kind = $4 AND task_id IN \
            (SELECT task_id FROM tasks WHERE job_id = $1 AND kind = $4 ORDER BY task_id DESC LIMIT $5) THEN result END, \
            created_by, created_ms, ended_ms, held_until_ms, result IS NOT NULL FROM tasks WHERE job_id = $1 \
            ORDER BY task_id DESC LIMIT $2";
        let wanted = [TaskKind::Load, TaskKind::Verify];
        let [load, verify] = wanted.map(|kind| if results.contains(&kind) { kind.name() } else { "" });
        let values = [job_id.into(), PAGE_ROWS.into(), load.into(), verify.into(), COMPARISONS_MAX.into()];
        self.rows(sql, values, |record| read(record, now)).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::webhooks::tests::on_both;
    use super::*;

    #[tokio::test]
    async fn a_task_is_the_only_one_of_its_kind_until_its_end_or_its_process_dies() {
        on_both(a_task_is_the_only_one_of_its_kind_until_its_end_or_its_process_dies_on).await;
    }

    async fn a_task_is_the_only_one_of_its_kind_until_its_end_or_its_process_dies_on(
        tables: Tables,
        org_id: String,
    ) {
        let task = |kind| NewTask {
            org_id: org_id.clone(),
            job_id: "job".into(),
            kind,
            created_by: "user".into(),
            holder: "me".into(),
        };
        let first = tables.begin_task(task(TaskKind::Load), 60_000, 2).await.unwrap().unwrap();
        assert_eq!(tables.begin_task(task(TaskKind::Load), 60_000, 2).await.unwrap(), None);
        assert_eq!(tables.begin_task(task(TaskKind::Verify), 60_000, 1).await.unwrap(), None);
        // It was silent for as long as it may be before it began.
        let dead = tables.begin_task(task(TaskKind::Verify), -1, 2).await.unwrap().unwrap();
        let states = |tasks: &[TaskRecord]| tasks.iter().map(|task| task.state).collect::<Vec<_>>();
        let tasks = tables.tasks("job", &[TaskKind::Load, TaskKind::Verify]).await.unwrap();
        assert_eq!(states(&tasks), [TaskState::Failed, TaskState::InProgress]);
        assert_eq!((tasks[0].task_id.as_str(), &tasks[0].reason), (dead.as_str(), &None));
        assert!(tables.begin_task(task(TaskKind::Verify), 60_000, 2).await.unwrap().is_some());
        assert!(tables.hold_task(&first, 60_000).await.unwrap());
        let end = TaskEnd { state: TaskState::Successful, reason: None, result: Some("{}".into()) };
        tables.end_task(&first, end.clone()).await.unwrap();
        assert!(!tables.hold_task(&first, 60_000).await.unwrap());
        tables.end_task(&first, TaskEnd { state: TaskState::Failed, ..end }).await.unwrap();
        let last = tables.tasks("job", &[TaskKind::Load, TaskKind::Verify]).await.unwrap().pop().unwrap();
        let without = tables.tasks("job", &[TaskKind::Verify]).await.unwrap().pop().unwrap();
        assert_eq!((without.task_id, without.result), (last.task_id.clone(), None));
        assert_eq!((last.state, last.result.as_deref()), (TaskState::Successful, Some("{}")));
        assert!(tables.begin_task(task(TaskKind::Load), 60_000, 9).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn results_of_comparisons_long_ago_are_left_out() {
        on_both(results_of_comparisons_long_ago_are_left_out_on).await;
    }

    async fn results_of_comparisons_long_ago_are_left_out_on(tables: Tables, org_id: String) {
        let begin = async |kind| {
            let task = NewTask {
                org_id: org_id.clone(),
                job_id: "job".into(),
                kind,
                created_by: "user".into(),
                holder: "me".into(),
            };
            let id = tables.begin_task(task, 60_000, 9).await.unwrap().unwrap();
            let end = TaskEnd { state: TaskState::Successful, reason: None, result: Some("{}".into()) };
            tables.end_task(&id, end).await.unwrap();
        };
        begin(TaskKind::Load).await;
        for _ in 0..COMPARISONS_MAX + 2 {
            begin(TaskKind::Verify).await;
        }
        begin(TaskKind::Load).await;
        let tasks = tables.tasks("job", &TaskKind::ALL).await.unwrap();
        let left_out: Vec<_> = tasks.iter().map(|task| task.is_result_left_out).collect();
        let kept = 1 + usize::try_from(COMPARISONS_MAX).unwrap();
        let expected: Vec<_> = (0..tasks.len()).map(|at| at >= kept && at < kept + 2).collect();
        assert_eq!(left_out, expected);
        assert!(tasks.iter().all(|task| task.result.is_some() != task.is_result_left_out));
    }
}
