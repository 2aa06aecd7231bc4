//! Rounds: begun, ended, and what is recorded in them. Marks: where spans end, and which of them are equal.

use std::sync::Arc;
use std::time::Duration;

use vecferry_store::{
    Attempt, ChangedPlan, CollectionRecord, EndedRound, EqualSpan, ErrorKind, JobKind, JobPage, JobState,
    Mark, NewCollectionRecord, NewJob, NewRound, Position, Presence, RoundFact, RoundKind, RoundState, Step,
    Store,
};

use crate::on_both_stores;
use crate::place::{Place, SERVER, eventually};
use crate::sample::{FIRST, SECOND, THIRD, begun, claimed, id, job, planned, step};

on_both_stores!(
    a_job_is_of_the_kind_that_it_was_recorded_with,
    a_round_is_begun_once,
    a_later_round_ends_the_one_that_is_open,
    a_round_that_began_its_switch_can_only_be_finished,
    the_newest_timestamp_of_a_round_stays,
    what_a_round_knows_is_kept_until_the_next_one_is_done,
    nothing_is_recorded_of_a_round_that_is_not_open,
    rows_that_a_round_may_have_written_never_become_less,
    a_plan_changes_as_a_whole,
    a_plan_is_not_changed_where_others_have_a_new_name,
    a_name_goes_on_to_the_collection_that_has_it_next,
    a_job_that_is_ready_keeps_its_names,
    a_round_ends_with_its_job,
    a_success_takes_a_report_of_every_collection,
    what_is_removed_is_not_compared_any_more,
    marks_are_where_pages_ended,
    marks_are_put_in_place_of_others,
    an_attempt_that_is_over_records_nothing_of_rounds,
);

pub(crate) fn new_round(kind: RoundKind, begun_at: &str) -> NewRound {
    NewRound { kind, options: "{}".into(), begun_at: begun_at.into() }
}

pub(crate) fn ended_round(job: JobState, ended_at: &str) -> EndedRound {
    EndedRound {
        state: RoundState::Done,
        job,
        report: format!("report of {ended_at}"),
        of_round: format!("in short: {ended_at}"),
        window: Some(Duration::from_millis(1_500)),
        ended_at: ended_at.into(),
    }
}

pub(crate) fn new_collection(name: &str) -> NewCollectionRecord {
    NewCollectionRecord {
        source: format!("default.{name}"),
        target: format!("default.{name}"),
        rows_total: 7,
    }
}

/// A mark of partition `p`.
pub(crate) fn mark(until: Option<&str>, rows: u64) -> Mark {
    Mark { partition: Some("p".into()), until: until.map(str::to_owned), rows, equal: None }
}

/// A span of partition `p`.
pub(crate) fn equal(until: Option<&str>, rows: u64) -> EqualSpan {
    EqualSpan { partition: Some("p".into()), until: until.map(str::to_owned), rows }
}

pub(crate) fn sorted(mut marks: Vec<Mark>) -> Vec<Mark> {
    marks.sort_by(|one, other| (&one.partition, &one.until).cmp(&(&other.partition, &other.until)));
    marks
}

/// A warm job with a round of a kind under way.
async fn in_round(place: &Place, kind: RoundKind) -> (Arc<dyn Store>, Attempt) {
    let store = place.open().await;
    store.create_job(NewJob { kind: JobKind::Warm, ..job("j1") }).await.unwrap();
    let attempt = store.begin_attempt(&id("j1")).await.unwrap();
    store.open_round(&attempt, new_round(kind, "first")).await.unwrap();
    (store, attempt)
}

fn changed(plan: &str, added: &[(Position, &str)], going: &[Position]) -> ChangedPlan {
    ChangedPlan {
        plan: plan.into(),
        added: added.iter().map(|(position, name)| (*position, new_collection(name))).collect(),
        going: going.to_vec(),
        databases: Vec::new(),
    }
}

async fn a_job_is_of_the_kind_that_it_was_recorded_with(place: Place) {
    let (store, _attempt) = in_round(&place, RoundKind::Warm).await;
    let plain = job("j2");
    store.create_job(plain.clone()).await.unwrap();
    assert_eq!(store.job(&id("j1")).await.unwrap().kind, JobKind::Warm);
    let listed = store.jobs(JobPage::newest()).await.unwrap();
    assert_eq!((listed[0].kind, listed[1].kind), (JobKind::Plain, JobKind::Warm));
    assert_eq!(store.summary(&id("j1")).await.unwrap().kind, JobKind::Warm);
    let error = store.create_job(NewJob { kind: JobKind::Warm, ..plain }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

async fn a_round_is_begun_once(place: Place) {
    let (store, attempt) = begun(&place).await;
    assert_eq!(store.round(&id("j1")).await.unwrap(), None);
    let first = store.open_round(&attempt, new_round(RoundKind::Warm, "first")).await.unwrap();
    assert_eq!((first.number, first.kind, first.state), (1, RoundKind::Warm, RoundState::Open));
    assert_eq!((first.options.as_str(), first.plan.as_deref()), ("{}", Some("{}")));
    assert_eq!((first.begun_at.as_str(), first.ended_at.as_deref()), ("first", None));
    // The same, also by the next process.
    assert_eq!(store.open_round(&attempt, new_round(RoundKind::Warm, "first")).await.unwrap(), first);
    drop((store, attempt));
    let store = place.open().await;
    let attempt = store.begin_attempt(&id("j1")).await.unwrap();
    assert_eq!(store.round(&id("j1")).await.unwrap(), Some(first.clone()));
    assert_eq!(store.open_round(&attempt, new_round(RoundKind::Warm, "first")).await.unwrap(), first);
    assert_eq!(store.rounds(&id("j1"), 10).await.unwrap(), [first]);
    assert_eq!(store.rounds(&id("none"), 10).await.unwrap(), []);
}

async fn a_later_round_ends_the_one_that_is_open(place: Place) {
    let (store, attempt) = in_round(&place, RoundKind::Warm).await;
    store.change_plan(&attempt, changed("{\"more\": 1}", &[(THIRD, "songs")], &[])).await.unwrap();
    let second = store.open_round(&attempt, new_round(RoundKind::CatchUp, "second")).await.unwrap();
    assert_eq!((second.number, second.plan.as_deref()), (2, Some("{\"more\": 1}")));
    let rounds = store.rounds(&id("j1"), 10).await.unwrap();
    assert_eq!(rounds[0], second);
    assert_eq!((rounds[1].state, rounds[1].ended_at.as_deref()), (RoundState::Failed, Some("second")));
    assert_eq!(rounds[1].plan, None, "plans are kept of the newest one only");
    let third = store.open_round(&attempt, new_round(RoundKind::CatchUp, "third")).await.unwrap();
    assert_eq!(third.number, 3);
    let newest = store.rounds(&id("j1"), 2).await.unwrap();
    assert_eq!(newest.iter().map(|round| round.number).collect::<Vec<_>>(), [3, 2]);
    let shown: Vec<_> = newest.iter().map(|round| round.plan.is_some()).collect();
    assert_eq!(shown, [true, false]);
}

async fn a_round_that_began_its_switch_can_only_be_finished(place: Place) {
    let (store, attempt) = in_round(&place, RoundKind::CatchUp).await;
    let error = store.intend_switch(&attempt).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let cut_over = new_round(RoundKind::CutOver, "second");
    store.open_round(&attempt, cut_over.clone()).await.unwrap();
    for _ in 0..2 {
        store.intend_switch(&attempt).await.unwrap();
    }
    let error = store.open_round(&attempt, new_round(RoundKind::CutOver, "third")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Moved);
    assert!(error.to_string().contains("round 2 has begun its switch"), "{error}");
    let open = store.open_round(&attempt, cut_over).await.unwrap();
    assert_eq!((open.number, open.state, open.switch_intended), (2, RoundState::Open, true));
}

async fn the_newest_timestamp_of_a_round_stays(place: Place) {
    let (store, attempt) = in_round(&place, RoundKind::Warm).await;
    assert_eq!(store.record_round_timestamp(&attempt, None).await.unwrap(), None);
    for timestamp in [7, u64::MAX, 8] {
        let recorded = store.record_round_timestamp(&attempt, Some(timestamp)).await.unwrap();
        assert_eq!(recorded, Some(timestamp));
    }
    assert_eq!(store.record_round_timestamp(&attempt, None).await.unwrap(), Some(8));
    assert_eq!(store.round(&id("j1")).await.unwrap().unwrap().read_timestamp, Some(8));
    assert_eq!(store.job(&id("j1")).await.unwrap().read_timestamp, None);
}

async fn what_a_round_knows_is_kept_until_the_next_one_is_done(place: Place) {
    let (store, attempt) = in_round(&place, RoundKind::Warm).await;
    for document in ["first", "second"] {
        let recorded = store.record_round_fact(&attempt, SECOND, "counts", document.into()).await.unwrap();
        assert_eq!(recorded, "first");
    }
    store.record_round_fact(&attempt, FIRST, "looked", "{}".into()).await.unwrap();
    for report in ["first", "second"] {
        store.record_round_done(&attempt, FIRST, report.into()).await.unwrap();
    }
    let fact = |collection, name: &str, document: &str| RoundFact {
        collection,
        name: name.into(),
        document: document.into(),
    };
    let facts = [fact(FIRST, "looked", "{}"), fact(SECOND, "counts", "first")];
    assert_eq!(store.round_facts(&id("j1"), 1).await.unwrap(), facts);
    assert_eq!(store.round_facts(&id("j1"), 2).await.unwrap(), []);
    assert_eq!(store.round_reports(&id("j1"), 1).await.unwrap(), [(FIRST, "second".to_owned())]);
    store.end_round(&attempt, ended_round(JobState::Ready, "then")).await.unwrap();

    // What a round knew that failed is of no account; what the last one knew that was done is.
    for (number, begun_at) in [(2, "second"), (3, "third")] {
        store.open_round(&attempt, new_round(RoundKind::CatchUp, begun_at)).await.unwrap();
        let recorded = store.record_round_fact(&attempt, SECOND, "counts", begun_at.into()).await.unwrap();
        assert_eq!(recorded, begun_at);
        assert_eq!(store.round_facts(&id("j1"), 1).await.unwrap(), facts);
        assert_eq!(store.round_reports(&id("j1"), 1).await.unwrap().len(), 1);
        assert_eq!(store.round_facts(&id("j1"), number).await.unwrap().len(), 1);
    }
    assert_eq!(store.round_facts(&id("j1"), 2).await.unwrap(), []);
    store.end_round(&attempt, ended_round(JobState::Ready, "later")).await.unwrap();
    store.open_round(&attempt, new_round(RoundKind::CatchUp, "fourth")).await.unwrap();
    assert_eq!(store.round_facts(&id("j1"), 1).await.unwrap(), []);
    assert_eq!(store.round_reports(&id("j1"), 1).await.unwrap(), []);
    assert_eq!(store.round_facts(&id("j1"), 3).await.unwrap(), [fact(SECOND, "counts", "third")]);
}

async fn nothing_is_recorded_of_a_round_that_is_not_open(place: Place) {
    let (store, attempt) = begun(&place).await;
    for has_ended in [false, true] {
        if has_ended {
            store.open_round(&attempt, new_round(RoundKind::CutOver, "first")).await.unwrap();
            store.end_round(&attempt, ended_round(JobState::Ready, "then")).await.unwrap();
        }
        let answers = [
            store.record_round_timestamp(&attempt, Some(1)).await.map(drop),
            store.record_round_fact(&attempt, FIRST, "looked", "{}".into()).await.map(drop),
            store.record_round_done(&attempt, FIRST, "{}".into()).await,
            store.intend_rows(&attempt, FIRST, 1).await,
            store.intend_switch(&attempt).await,
            store.change_plan(&attempt, changed("{\"more\": 1}", &[], &[SECOND])).await.map(drop),
            store.spans_equal(&attempt, FIRST, vec![equal(None, 1)]).await,
            store.end_round(&attempt, ended_round(JobState::Ready, "another")).await,
        ];
        for answer in answers {
            assert_eq!(answer.unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
    assert_eq!(store.job(&id("j1")).await.unwrap().plan, "{}");
    assert_eq!(store.marks(&id("j1"), FIRST).await.unwrap(), []);
}

async fn rows_that_a_round_may_have_written_never_become_less(place: Place) {
    let (store, attempt) = in_round(&place, RoundKind::Warm).await;
    let rows = async || store.collection(&id("j1"), FIRST).await.unwrap().round_rows;
    assert_eq!(rows().await, 0);
    for (intended, recorded) in [(256, 256), (512, 512), (256, 512), (512, 512)] {
        store.intend_rows(&attempt, FIRST, intended).await.unwrap();
        assert_eq!(rows().await, recorded);
    }
    store.open_round(&attempt, new_round(RoundKind::Warm, "first")).await.unwrap();
    assert_eq!(rows().await, 512, "it is the same round");
    store.open_round(&attempt, new_round(RoundKind::CatchUp, "second")).await.unwrap();
    assert_eq!(rows().await, 512, "nobody knows what the one before left");
    store.end_round(&attempt, ended_round(JobState::Ready, "later")).await.unwrap();
    drop(attempt);
    let attempt = store.begin_attempt(&id("j1")).await.unwrap();
    store.open_round(&attempt, new_round(RoundKind::CatchUp, "third")).await.unwrap();
    assert_eq!(rows().await, 0);
}

async fn a_plan_changes_as_a_whole(place: Place) {
    let (store, attempt) = in_round(&place, RoundKind::CatchUp).await;
    assert_eq!(store.reserve_names(&attempt).await.unwrap(), []);
    let before = store.collections(&id("j1")).await.unwrap();
    // A position that is not the next one, and one that is another collection's.
    for (position, name) in [(Position(3), "songs"), (SECOND, "songs"), (FIRST, "films")] {
        let change =
            ChangedPlan { databases: vec!["more".into()], ..changed("new", &[(position, name)], &[FIRST]) };
        let error = store.change_plan(&attempt, change).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
    assert_eq!(store.collections(&id("j1")).await.unwrap(), before);
    assert_eq!(store.job(&id("j1")).await.unwrap().plan, "{}");

    // The source has other films by now: they are another collection, under the same name.
    let change = ChangedPlan {
        databases: vec!["more".into(), "shop".into()],
        ..changed("new", &[(THIRD, "films"), (Position(3), "songs")], &[SECOND])
    };
    store.record_database(&attempt, "shop").await.unwrap();
    for _ in 0..2 {
        assert_eq!(store.change_plan(&attempt, change.clone()).await.unwrap(), []);
    }
    assert_eq!(store.job(&id("j1")).await.unwrap().plan, "new");
    assert_eq!(store.round(&id("j1")).await.unwrap().unwrap().plan.as_deref(), Some("{}"));
    let databases = [("more".to_owned(), false), ("shop".to_owned(), true)];
    assert_eq!(store.databases(&id("j1")).await.unwrap(), databases);
    let shown = |collection: &CollectionRecord| {
        let CollectionRecord { position, target, presence, rows_total, .. } = collection.clone();
        (position.0, target, presence, rows_total)
    };
    let collections = store.collections(&id("j1")).await.unwrap();
    assert_eq!(
        collections.iter().map(shown).collect::<Vec<_>>(),
        [
            (0, "default.books".to_owned(), Presence::Here, 100),
            (1, "default.films".to_owned(), Presence::Going, 50),
            (2, "default.films".to_owned(), Presence::Here, 7),
            (3, "default.songs".to_owned(), Presence::Here, 7),
        ]
    );
    // Lists tell of those that are copied.
    for ends in [false, true] {
        if ends {
            store.record_gone(&attempt, SECOND).await.unwrap();
            store.change_plan(&attempt, change.clone()).await.unwrap();
            assert_eq!(store.collection(&id("j1"), SECOND).await.unwrap().presence, Presence::Gone);
            store.end_attempt(&attempt, JobState::Failed, "{}".into(), "then".into()).await.unwrap();
        }
        let listed = store.summary(&id("j1")).await.unwrap();
        assert_eq!((listed.collections_total, listed.rows_total), (3, 114));
    }
    assert_eq!(store.outline(&id("j1")).await.unwrap()[1].presence, Presence::Gone);
}

async fn a_plan_is_not_changed_where_others_have_a_new_name(place: Place) {
    let (store, attempt) = in_round(&place, RoundKind::CatchUp).await;
    let other = NewJob { collections: vec![new_collection("songs")], ..job("j2") };
    store.create_job(other).await.unwrap();
    let holder = store.begin_attempt(&id("j2")).await.unwrap();
    assert_eq!(store.reserve_names(&holder).await.unwrap(), []);
    let change = changed("new", &[(THIRD, "plays"), (Position(3), "songs")], &[SECOND]);
    let held = store.change_plan(&attempt, change.clone()).await.unwrap();
    let shown: Vec<_> = held.iter().map(|one| (one.name.as_str(), one.position, one.live)).collect();
    assert_eq!(shown, [("default.songs", Position(3), true)]);
    assert_eq!((held[0].holder.clone(), held[0].holder_position), (id("j2"), FIRST));
    assert_eq!(store.job(&id("j1")).await.unwrap().plan, "{}");
    assert_eq!(store.collections(&id("j1")).await.unwrap().len(), 2);

    store.intend_creation(&holder, FIRST, None).await.unwrap();
    drop(holder);
    eventually("nobody works on the job", async || !store.is_live(&id("j2")).await.unwrap()).await;
    let held = store.change_plan(&attempt, change.clone()).await.unwrap();
    assert!(!held[0].live, "it left something that it made");
    store.release_name(held[0].clone()).await.unwrap();
    assert_eq!(store.change_plan(&attempt, change).await.unwrap(), []);
    let holder = store.begin_attempt(&id("j2")).await.unwrap();
    let held = store.reserve_names(&holder).await.unwrap();
    assert_eq!((held[0].holder.clone(), held[0].holder_position), (id("j1"), Position(3)));
}

async fn a_name_goes_on_to_the_collection_that_has_it_next(place: Place) {
    let (store, attempt) = in_round(&place, RoundKind::CatchUp).await;
    store.create_job(job("j2")).await.unwrap();
    assert_eq!(store.reserve_names(&attempt).await.unwrap(), []);
    let change = changed("new", &[(THIRD, "films")], &[FIRST, SECOND]);
    assert_eq!(store.change_plan(&attempt, change).await.unwrap(), []);
    let other = store.begin_attempt(&id("j2")).await.unwrap();
    let positions = async || {
        let held = store.reserve_names(&other).await.unwrap();
        held.iter().map(|one| (one.name.clone(), one.holder_position.0)).collect::<Vec<_>>()
    };
    let (books, films) = ("default.books".to_owned(), "default.films".to_owned());
    for _ in 0..2 {
        // What is to be removed has its name until then, also when the names are reserved again.
        assert_eq!(positions().await, [(books.clone(), 0), (films.clone(), 1)]);
        assert_eq!(store.reserve_names(&attempt).await.unwrap(), []);
    }
    for _ in 0..2 {
        store.record_gone(&attempt, FIRST).await.unwrap();
        store.record_gone(&attempt, SECOND).await.unwrap();
        assert_eq!(positions().await, [(films.clone(), 2)]);
    }
    assert_eq!(store.reserve_names(&attempt).await.unwrap(), [], "it asks for no name that it does not need");
    assert_eq!(positions().await, [(films.clone(), 2)]);
}

async fn a_job_that_is_ready_keeps_its_names(place: Place) {
    let (store, attempt) = in_round(&place, RoundKind::Warm).await;
    assert_eq!(store.reserve_names(&attempt).await.unwrap(), []);
    store.intend_creation(&attempt, FIRST, None).await.unwrap();
    store.end_round(&attempt, ended_round(JobState::Ready, "then")).await.unwrap();
    drop(attempt);
    eventually("nobody works on the job", async || !store.is_live(&id("j1")).await.unwrap()).await;
    let listed = store.summary(&id("j1")).await.unwrap();
    assert_eq!((listed.state, listed.live, listed.state.is_open()), (JobState::Ready, false, false));
    store.create_job(job("j2")).await.unwrap();
    let other = store.begin_attempt(&id("j2")).await.unwrap();
    let held = store.reserve_names(&other).await.unwrap();
    let shown: Vec<_> = held.iter().map(|one| (one.name.as_str(), one.holder_state)).collect();
    assert_eq!(shown, [("default.books", JobState::Ready)]);
    // Nobody works on it: there is nobody to be asked to end it.
    store.request_cancel(&id("j1")).await.unwrap();
    assert_eq!(store.job(&id("j1")).await.unwrap().state, JobState::Ready);
}

async fn a_round_ends_with_its_job(place: Place) {
    let (store, attempt) = in_round(&place, RoundKind::Warm).await;
    let ended = ended_round(JobState::Ready, "then");
    for _ in 0..2 {
        store.end_round(&attempt, ended.clone()).await.unwrap();
    }
    let round = store.round(&id("j1")).await.unwrap().unwrap();
    assert_eq!((round.state, round.ended_at.as_deref()), (RoundState::Done, Some("then")));
    assert_eq!((round.window, round.report.as_deref()), (ended.window, Some("in short: then")));
    let job = store.job(&id("j1")).await.unwrap();
    assert_eq!((job.state, job.ended_at.as_deref()), (JobState::Ready, Some("then")));
    assert_eq!(job.report.as_deref(), Some("report of then"));
    let open = EndedRound { state: RoundState::Open, ..ended.clone() };
    assert_eq!(store.end_round(&attempt, open).await.unwrap_err().kind(), ErrorKind::Corrupt);

    // Given up by hand, and its job with it.
    store.open_round(&attempt, new_round(RoundKind::CatchUp, "second")).await.unwrap();
    let failed =
        EndedRound { state: RoundState::Failed, window: None, ..ended_round(JobState::Failed, "later") };
    store.end_round(&attempt, failed).await.unwrap();
    let round = store.round(&id("j1")).await.unwrap().unwrap();
    assert_eq!((round.number, round.state, round.window), (2, RoundState::Failed, None));
    assert_eq!(store.job(&id("j1")).await.unwrap().state, JobState::Failed);
}

async fn a_success_takes_a_report_of_every_collection(place: Place) {
    let (store, attempt) = in_round(&place, RoundKind::CutOver).await;
    let ended = ended_round(JobState::Successful, "then");
    let refused = async |why: &str, ended: &EndedRound| {
        let error = store.end_round(&attempt, ended.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(why), "{error}");
        let job = store.job(&id("j1")).await.unwrap();
        assert_eq!((job.state, job.report), (JobState::InProgress, None));
        assert_eq!(store.round(&id("j1")).await.unwrap().unwrap().state, RoundState::Open);
    };
    refused("did not switch", &ended).await;
    store.intend_switch(&attempt).await.unwrap();
    refused("2 collection(s) are left", &ended).await;
    store.record_round_done(&attempt, FIRST, "compared".into()).await.unwrap();
    refused("1 collection(s) are left", &ended).await;
    store.change_plan(&attempt, changed("new", &[], &[SECOND])).await.unwrap();
    refused("1 collection(s) are left", &ended).await;
    store.record_gone(&attempt, SECOND).await.unwrap();
    refused("makes no success", &EndedRound { state: RoundState::Failed, ..ended.clone() }).await;
    for _ in 0..2 {
        store.end_round(&attempt, ended.clone()).await.unwrap();
    }
    let collections = store.collections(&id("j1")).await.unwrap();
    assert_eq!((collections[0].done, collections[0].report.as_deref()), (true, Some("compared")));
    assert_eq!((collections[1].done, collections[1].report.as_deref()), (false, None));
    let listed = store.summary(&id("j1")).await.unwrap();
    assert_eq!((listed.state, listed.collections_done), (JobState::Successful, 1));
    assert_eq!(listed.collections_total, 1);
}

async fn what_is_removed_is_not_compared_any_more(place: Place) {
    let (store, attempt) = in_round(&place, RoundKind::CatchUp).await;
    for collection in [FIRST, SECOND] {
        store.record_round_fact(&attempt, collection, "looked", "{}".into()).await.unwrap();
        store.record_round_done(&attempt, collection, "{}".into()).await.unwrap();
        store.intend_rows(&attempt, collection, 5).await.unwrap();
        store.spans_equal(&attempt, collection, vec![equal(Some("k"), 5)]).await.unwrap();
    }
    store.intend_removal(&attempt, FIRST).await.unwrap();
    assert_eq!(store.round_reports(&id("j1"), 1).await.unwrap(), [(SECOND, "{}".to_owned())]);
    assert_eq!(store.round_facts(&id("j1"), 1).await.unwrap().len(), 1);
    assert_eq!(store.marks(&id("j1"), FIRST).await.unwrap().len(), 1);
    store.record_round_done(&attempt, FIRST, "{}".into()).await.unwrap();
    store.record_round_fact(&attempt, FIRST, "looked", "{}".into()).await.unwrap();
    store.forget_creation(&attempt, FIRST, 100).await.unwrap();
    assert_eq!(store.round_reports(&id("j1"), 1).await.unwrap(), [(SECOND, "{}".to_owned())]);
    assert_eq!(store.round_facts(&id("j1"), 1).await.unwrap().len(), 1);
    assert_eq!(store.marks(&id("j1"), FIRST).await.unwrap(), []);
    assert_eq!(store.collection(&id("j1"), FIRST).await.unwrap().round_rows, 0);
    assert_eq!(store.collection(&id("j1"), SECOND).await.unwrap().round_rows, 5);
    assert_eq!(store.marks(&id("j1"), SECOND).await.unwrap().len(), 1);
}

async fn marks_are_where_pages_ended(place: Place) {
    let (store, attempt, splits) = planned(&place).await;
    let claim = claimed(&*store, &splits[0]).await;
    let pages = Step {
        marks: vec![("c\0".into(), 2), ("e".into(), 3)],
        ..step((None, Some("e")), (Some("e"), None))
    };
    store.advance(&claim, step((None, None), (None, Some("e")))).await.unwrap();
    for _ in 0..2 {
        store.advance(&claim, pages.clone()).await.unwrap();
    }
    // One that is not taken leaves none.
    let elsewhere = step((Some("f"), None), (Some("g"), None));
    assert_eq!(store.advance(&claim, elsewhere).await.unwrap_err().kind(), ErrorKind::Moved);
    let marks = || async { sorted(store.marks(&id("j1"), FIRST).await.unwrap()) };
    assert_eq!(marks().await, [mark(Some("c\0"), 2), mark(Some("e"), 3)]);
    assert_eq!(store.marks(&id("j1"), SECOND).await.unwrap(), []);

    // What is written into a span makes it unequal, and so does a split that is read again.
    store.open_round(&attempt, new_round(RoundKind::CatchUp, "first")).await.unwrap();
    let spans = vec![equal(Some("c\0"), 2), equal(Some("e"), 3), equal(None, 9)];
    store.spans_equal(&attempt, FIRST, spans.clone()).await.unwrap();
    let found = |until, rows| Mark { equal: Some((1, rows)), ..mark(until, rows) };
    assert_eq!(marks().await, [found(None, 9), found(Some("c\0"), 2), found(Some("e"), 3)]);
    store.advance(&claim, step((Some("e"), Some("e")), (None, Some("k")))).await.unwrap();
    let again = Step {
        marks: vec![("e".into(), 8), ("e".into(), 4)],
        ..step((Some("e"), Some("k")), (Some("k"), None))
    };
    store.advance(&claim, again).await.unwrap();
    assert_eq!(marks().await, [found(None, 9), found(Some("c\0"), 2), mark(Some("e"), 4)]);
    store.spans_equal(&attempt, FIRST, spans).await.unwrap();
    store.reopen_splits(&attempt, FIRST, vec![splits[0].split_id], Vec::new()).await.unwrap();
    assert!(marks().await.iter().all(|mark| mark.equal.is_none()));
}

async fn marks_are_put_in_place_of_others(place: Place) {
    let (store, attempt) = in_round(&place, RoundKind::Warm).await;
    let set = async |removed: &[Option<&str>], marks: &[Mark]| {
        let removed = removed.iter().map(|until| until.map(str::to_owned)).collect();
        let part = Some("p".to_owned());
        store.set_marks(&attempt, FIRST, part, removed, marks.to_vec()).await.unwrap();
        sorted(store.marks(&id("j1"), FIRST).await.unwrap())
    };
    let whole = Mark { partition: None, ..mark(None, 3) };
    store.set_marks(&attempt, FIRST, None, Vec::new(), vec![whole.clone()]).await.unwrap();
    let first = [mark(None, 1), mark(Some("b"), 2), mark(Some("d"), 3)];
    assert_eq!(set(&[], &first).await, [std::slice::from_ref(&whole), &first[..]].concat());
    let equal = Mark { equal: Some((4, 5)), ..mark(Some("d"), 5) };
    for _ in 0..2 {
        // Also where what is removed comes again.
        let now = set(&[Some("b"), Some("d"), None], &[mark(Some("c"), 6), equal.clone()]).await;
        assert_eq!(now, [whole.clone(), mark(Some("c"), 6), equal.clone()]);
    }
    assert_eq!(set(&[], &[]).await.len(), 3);
    assert_eq!(store.marks(&id("j1"), SECOND).await.unwrap(), []);
}

async fn an_attempt_that_is_over_records_nothing_of_rounds(place: Place) {
    let (store, over) = in_round(&place, RoundKind::CutOver).await;
    place.end_lease("j1");
    let other = place.open().await;
    let _newer = other.begin_attempt(&id("j1")).await.unwrap();
    let answers = [
        store.open_round(&over, new_round(RoundKind::Warm, "second")).await.map(drop),
        store.record_round_timestamp(&over, Some(1)).await.map(drop),
        store.change_plan(&over, changed("new", &[(THIRD, "songs")], &[SECOND])).await.map(drop),
        store.record_gone(&over, SECOND).await,
        store.record_round_fact(&over, FIRST, "looked", "{}".into()).await.map(drop),
        store.record_round_done(&over, FIRST, "{}".into()).await,
        store.intend_rows(&over, FIRST, 1).await,
        store.intend_switch(&over).await,
        store.set_marks(&over, FIRST, None, Vec::new(), vec![mark(None, 1)]).await,
        store.spans_equal(&over, FIRST, vec![equal(None, 1)]).await,
        store.end_round(&over, ended_round(JobState::Ready, "then")).await,
    ];
    for answer in answers {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Superseded);
    }
    let round = other.round(&id("j1")).await.unwrap().unwrap();
    assert_eq!((round.number, round.state, round.switch_intended), (1, RoundState::Open, false));
    assert_eq!(round.read_timestamp, None);
    let job = other.job(&id("j1")).await.unwrap();
    assert_eq!((job.state, job.plan.as_str()), (JobState::InProgress, "{}"));
    let collections = other.collections(&id("j1")).await.unwrap();
    assert!(collections.len() == 2 && collections.iter().all(|one| one.presence == Presence::Here));
    assert_eq!(other.marks(&id("j1"), FIRST).await.unwrap(), []);
}

/// As the version before rounds left it.
const BEFORE_ROUNDS: &str = "\
    SET search_path = vecferry; DROP TABLE marks, round_reports, round_facts, rounds; \
    ALTER TABLE jobs DROP COLUMN kind; ALTER TABLE collections DROP COLUMN presence, DROP COLUMN round_rows; \
    UPDATE version SET number = 3";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_the_version_before_rounds_is_brought_up_with_its_data() {
    let place = Place::postgres();
    let (store, attempt) = begun(&place).await;
    store.end_attempt(&attempt, JobState::Failed, "{}".into(), "then".into()).await.unwrap();
    drop((store, attempt));
    SERVER.query(&place.name(), BEFORE_ROUNDS);
    let store = place.open().await;
    let old = store.job(&id("j1")).await.unwrap();
    assert_eq!((old.state, old.kind), (JobState::Failed, JobKind::Plain));
    let collections = store.collections(&id("j1")).await.unwrap();
    assert_eq!((collections[1].presence, collections[1].round_rows), (Presence::Here, 0));
    assert_eq!(store.round(&id("j1")).await.unwrap(), None);
    let attempt = store.begin_attempt(&id("j1")).await.unwrap();
    let round = store.open_round(&attempt, new_round(RoundKind::Warm, "first")).await.unwrap();
    assert_eq!(round.plan.as_deref(), Some("{}"));
}
