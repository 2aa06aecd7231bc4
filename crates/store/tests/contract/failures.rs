//! What goes wrong with a PostgreSQL: waited for where it passes, told by its kind where it stays, never with a password.

use std::sync::Arc;
use std::time::{Duration, Instant};

use vecferry_store::postgres::{PostgresStore, Settings};
use vecferry_store::{Claims, Collections, Error, ErrorKind, Jobs, Store};
use vecferry_testkit::Postgres;

use crate::place::{Place, SERVER, eventually};
use crate::sample::{FIRST, begun, claimed, id, job, planned, step};

/// How long a store tries here where it is to give up.
const SOON: Settings =
    Settings { connections_max: 2, retry_for: Duration::from_millis(500), files_directory: None };

async fn refused(url: &str) -> Error {
    let error = PostgresStore::connect(url, SOON).await.unwrap_err();
    let password = SERVER.server().password();
    assert!(!format!("{error} {error:?}").contains(password), "{error:?}");
    error
}

/// The address with something else in place of a part of it.
fn with(url: &str, part: &str, instead: &str) -> String {
    assert!(url.contains(part), "{part}");
    url.replacen(part, instead, 1)
}

#[tokio::test]
async fn whoever_is_not_let_in_is_told_so() {
    let url = SERVER.create_database();
    let password = SERVER.server().password();
    let error = refused(&with(&url, password, "wrong")).await;
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().ends_with("(SQLSTATE 28P01)"), "{error}");
    let error = refused(&with(&url, "vecferry:", "nobody:")).await;
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let error = refused(&with(&url, &format!(":{password}@"), "@")).await;
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let database = url.rsplit_once('/').unwrap().1;
    let error = refused(&with(&url, database, "missing")).await;
    assert_eq!(error.kind(), ErrorKind::Unusable);
    assert!(error.to_string().contains("database \"missing\" does not exist (SQLSTATE 3D000)"), "{error}");
    assert!(error.to_string().starts_with("postgres://127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn a_role_that_may_not_create_schemas_can_be_given_one() {
    let url = SERVER.create_database();
    let password = SERVER.server().password();
    let database = url.rsplit_once('/').unwrap().1;
    let role = format!("role_of_{database}");
    SERVER.query(&url, &format!("CREATE ROLE {role} LOGIN PASSWORD '{password}'"));
    let theirs = with(&url, "vecferry:", &format!("{role}:"));
    let error = refused(&theirs).await;
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().ends_with("(SQLSTATE 42501)"), "{error}");
    SERVER.query(&url, &format!("CREATE SCHEMA vecferry AUTHORIZATION {role}"));
    let store = PostgresStore::connect(&theirs, SOON).await.unwrap();
    store.create_job(job("j1")).await.unwrap();
}

#[tokio::test]
async fn a_database_that_takes_no_writes_is_not_opened() {
    let url = SERVER.create_database();
    drop(PostgresStore::connect(&url, SOON).await.unwrap());
    let database = url.rsplit_once('/').unwrap().1;
    SERVER.query(&url, &format!("ALTER DATABASE {database} SET default_transaction_read_only = on"));
    assert_eq!(refused(&url).await.kind(), ErrorKind::ReadOnly);
}

#[tokio::test]
async fn schemas_that_are_no_store_are_refused_and_left_alone() {
    let newer = SERVER.create_database();
    drop(PostgresStore::connect(&newer, SOON).await.unwrap());
    SERVER.query(&newer, "UPDATE vecferry.version SET number = 99");
    let error = refused(&newer).await;
    assert_eq!(error.kind(), ErrorKind::Newer);
    assert!(error.to_string().contains("has version 99; this program supports up to "), "{error}");

    let foreign = SERVER.create_database();
    SERVER.query(&foreign, "CREATE SCHEMA vecferry");
    SERVER.query(&foreign, "CREATE TABLE vecferry.jobs (mine TEXT)");
    let error = refused(&foreign).await;
    assert_eq!(
        (error.kind(), error.to_string().contains("not created by Vecferry")),
        (ErrorKind::Corrupt, true)
    );
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'vecferry'";
    assert_eq!(SERVER.query(&foreign, tables), "1");

    let damaged = SERVER.create_database();
    let store = PostgresStore::connect(&damaged, SOON).await.unwrap();
    SERVER.query(&damaged, "DROP TABLE vecferry.databases");
    assert_eq!(store.create_job(job("j1")).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn databases_of_other_encodings_are_refused() {
    let url = SERVER.create_database();
    let other = "CREATE DATABASE latin1 OWNER vecferry ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    SERVER.query(&url, other);
    let database = url.rsplit_once('/').unwrap().1;
    let error = refused(&with(&url, database, "latin1")).await;
    assert_eq!(error.kind(), ErrorKind::Unusable);
    assert!(error.to_string().contains("the database encoding is LATIN1"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_open_an_empty_database_at_once_make_one_store() {
    let url = SERVER.create_database();
    let opening: Vec<_> = (0..4)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { PostgresStore::connect(&url, Settings::default()).await.unwrap() })
        })
        .collect();
    let mut stores = Vec::new();
    for opened in opening {
        stores.push(opened.await.unwrap());
    }
    stores[0].create_job(job("j1")).await.unwrap();
    assert_eq!(stores[3].find_job("j").await.unwrap(), id("j1"));
}

/// Makes every change of a table fail, as only a server in trouble does.
fn break_table(url: &str, table: &str, code: &str) {
    let sql = format!(
        "CREATE FUNCTION vecferry.break_{table}() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN RAISE EXCEPTION 'in trouble' USING ERRCODE = '{code}'; END$$"
    );
    SERVER.query(url, &sql);
    let sql = format!(
        "CREATE TRIGGER broken BEFORE INSERT OR UPDATE ON vecferry.{table} \
         FOR EACH ROW EXECUTE FUNCTION vecferry.break_{table}()"
    );
    SERVER.query(url, &sql);
}

#[tokio::test]
async fn what_stays_wrong_is_told_by_its_kind() {
    for (code, kind) in [
        ("53100", ErrorKind::Full),
        ("25006", ErrorKind::ReadOnly),
        ("42501", ErrorKind::Denied),
        ("XX001", ErrorKind::Corrupt),
        ("23514", ErrorKind::Corrupt),
        ("55000", ErrorKind::Unusable),
        // Tried again until the time for that is over.
        ("40001", ErrorKind::Locked),
        ("40P01", ErrorKind::Locked),
        ("55P03", ErrorKind::Locked),
        ("57P03", ErrorKind::Unreachable),
    ] {
        let url = SERVER.create_database();
        let store = PostgresStore::connect(&url, SOON).await.unwrap();
        break_table(&url, "jobs", code);
        let error = store.create_job(job("j1")).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{code}: {error}");
        assert!(error.to_string().contains(&format!("in trouble (SQLSTATE {code})")), "{error}");
        assert!(store.jobs(vecferry_store::JobPage::newest()).await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_the_server_ends_are_replaced() {
    let place = Place::postgres();
    let (store, attempt, splits) = planned(&place).await;
    let claim = claimed(&*store, &splits[0]).await;
    let url = place.name();
    let ends = "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE application_name = 'vecferry' AND datname = current_database()";
    assert_ne!(SERVER.query(&url, ends), "0");
    store.advance(&claim, step((None, None), (None, Some("e")))).await.unwrap();
    SERVER.query(&url, ends);
    store.record_drift_seen(&attempt, FIRST, "drift".into()).await.unwrap();
    SERVER.query(&url, ends);
    assert_eq!(store.splits(&id("j1"), FIRST).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_was_waited_for() {
    let server = Arc::new(Postgres::start());
    let place = Place::Postgres(server.create_database());
    let (store, _attempt, splits) = planned(&place).await;
    let claim = claimed(&*store, &splits[0]).await;
    store.advance(&claim, step((None, None), (None, Some("e")))).await.unwrap();
    server.stop_hard();
    let next = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.advance(&claim, step((None, Some("e")), (Some("e"), None))).await })
    };
    let again = Arc::clone(&server);
    tokio::task::spawn_blocking(move || again.start_again()).await.unwrap();
    next.await.unwrap().unwrap();
    let split = store.split(splits[0].split_id).await.unwrap();
    assert_eq!((split.cursor.as_deref(), split.progress.rows_written), (Some("e"), 5));
}

/// Has all sessions of a database ended, and those that begin from now on written by nobody, or again.
fn set_read_only(server: &Postgres, url: &str, is_read_only: bool) {
    let database = url.rsplit_once('/').unwrap().1;
    let set = format!("ALTER DATABASE {database} SET default_transaction_read_only = {is_read_only}");
    // By a session that may write in any case.
    server.query(&with(url, database, "postgres"), &set);
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'");
    server.query(&with(url, database, "postgres"), &end);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_no_writes_for_a_while_is_waited_for() {
    let server = Postgres::start();
    let url = server.create_database();
    let store = Arc::new(PostgresStore::connect(&url, Settings::default()).await.unwrap());
    set_read_only(&server, &url, true);
    let created = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.create_job(job("j1")).await })
    };
    let refused = "in a read-only transaction";
    eventually("it was refused", async || {
        std::fs::read_to_string(server.server().log_file()).unwrap().contains(refused)
    })
    .await;
    assert!(!created.is_finished());
    set_read_only(&server, &url, false);
    created.await.unwrap().unwrap();
    assert_eq!(store.find_job("j").await.unwrap(), id("j1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_hosts_the_one_that_takes_writes_is_used() {
    let (one, other) = (Postgres::start(), Postgres::start());
    let (url, of_other) = (one.create_database(), other.create_database());
    let password = one.server().password();
    other.query(&of_other, &format!("ALTER ROLE vecferry PASSWORD '{password}'"));
    let of_both = {
        let host = |url: &str| url.split(['@', '/']).nth(3).unwrap().to_owned();
        with(&url, &host(&url), &format!("{},{}", host(&url), host(&of_other)))
    };
    set_read_only(&one, &url, true);
    let store = PostgresStore::connect(&of_both, SOON).await.unwrap();
    store.create_job(job("j1")).await.unwrap();
    assert_eq!(other.query(&of_other, "SELECT count(*) FROM vecferry.jobs"), "1");

    set_read_only(&other, &of_other, true);
    let error = store.create_job(job("j2")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
    assert_eq!(refused(&of_both).await.kind(), ErrorKind::ReadOnly);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_keeps_nobody_out() {
    let place = Place::postgres();
    let (store, attempt, splits) = planned(&place).await;
    claimed(&*store, &splits[0]).await;
    assert!(store.free_splits(&id("j1"), FIRST).await.unwrap().iter().all(|id| *id != splits[0].split_id));
    // As if they were written an hour later than it is now.
    let url = place.name();
    SERVER.query(&url, "UPDATE vecferry.writers SET expires = expires + interval '1 hour'");
    assert!(store.free_splits(&id("j1"), FIRST).await.unwrap().contains(&splits[0].split_id));
    assert_eq!(store.workers(&id("j1")).await.unwrap(), 0);
    claimed(&*store, &splits[0]).await;
    // Nobody renews this one any more.
    place.end_lease("j1");
    SERVER.query(&url, "UPDATE vecferry.leases SET expires = clock_timestamp() + interval '1 hour'");
    assert!(!store.is_live(&id("j1")).await.unwrap());
    let other = place.open().await;
    assert_eq!(other.begin_attempt(&id("j1")).await.unwrap().number(), attempt.number() + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stays_away_is_given_up_in_time() {
    let server = Postgres::start();
    let url = server.create_database();
    let store = PostgresStore::connect(&url, SOON).await.unwrap();
    store.create_job(job("j1")).await.unwrap();
    let attempt = store.begin_attempt(&id("j1")).await.unwrap();
    server.stop_hard();
    let begin = Instant::now();
    let reads = store.job(&id("j1")).await.unwrap_err();
    let writes = store.record_copied(&attempt, FIRST).await.unwrap_err();
    for error in [reads, writes, PostgresStore::connect(&url, SOON).await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
        assert_eq!(error.to_string().matches(&store.place()).count(), 1, "{error}");
        let password = server.server().password();
        assert!(!format!("{error} {error:?} {store:?}").contains(password), "{error:?}");
    }
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    drop(attempt);
    drop(store);
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_connections_wait_for_each_other() {
    let place = Place::postgres();
    let (store, _attempt) = begun(&place).await;
    drop(store);
    let few = Settings { connections_max: 1, ..Settings::default() };
    let store = Arc::new(PostgresStore::connect(&place.name(), few).await.unwrap());
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let worker = vecferry_store::WorkerId::generate();
                store.open_writer(&id("j1"), FIRST, &worker, Duration::ZERO).await.unwrap().number()
            })
        })
        .collect();
    let mut numbers = Vec::new();
    for call in calls {
        numbers.push(call.await.unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=50).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_renewed_by_its_holder_only_and_ends_by_itself() {
    let place = Place::postgres();
    let (store, _attempt) = begun(&place).await;
    let url = place.name();
    SERVER.query(&url, "UPDATE vecferry.leases SET expires = clock_timestamp() + interval '9 seconds'");
    let renewed = "SELECT expires > clock_timestamp() + interval '12 seconds' FROM vecferry.leases";
    eventually("the lease is renewed", async || SERVER.query(&url, renewed) == "t").await;
    // Of a process that is not there any more.
    let of_another = "UPDATE vecferry.leases SET holder = 'another', \
                      expires = clock_timestamp() + interval '6 seconds'";
    SERVER.query(&url, of_another);
    let other = place.open().await;
    assert_eq!(other.begin_attempt(&id("j1")).await.unwrap_err().kind(), ErrorKind::JobIsLive);
    eventually("its time is over", async || !store.is_live(&id("j1")).await.unwrap()).await;
    let newer = other.begin_attempt(&id("j1")).await.unwrap();
    assert_eq!(newer.number(), 2);
    assert!(store.is_live(&id("j1")).await.unwrap());
}

#[tokio::test]
async fn a_store_shows_no_password() {
    let url = SERVER.create_database();
    let store = PostgresStore::connect(&url, SOON).await.unwrap();
    let password = SERVER.server().password();
    let beside: Arc<dyn Store> = store.beside();
    for shown in [store.place(), format!("{store:?}"), format!("{beside:?}"), beside.place()] {
        assert!(!shown.contains(password) && !shown.contains("vecferry@"), "{shown}");
        assert!(shown.contains("postgres://127.0.0.1:"), "{shown}");
    }
}

#[tokio::test]
async fn a_page_of_the_list_does_not_look_through_all_jobs() {
    let url = SERVER.create_database();
    let store = PostgresStore::connect(&url, SOON).await.unwrap();
    let many = "INSERT INTO vecferry.jobs (job_id, state, source, target, request, plan, sample_seed, created_at) \
                SELECT 'job-' || n, 'SUCCESSFUL', 'a', 'b', '{}', '{}', 1, 'then' FROM generate_series(1, 20000) n";
    SERVER.query(&url, many);
    SERVER.query(&url, "ANALYZE vecferry.jobs");
    SERVER.query(&url, "SELECT pg_stat_reset()");
    let mut before = None;
    for _ in 0..5 {
        let page = vecferry_store::JobPage { before, jobs_max: 100 };
        let listed = store.jobs(page).await.unwrap();
        assert_eq!(listed.len(), 100);
        before = listed.last().map(|job| job.job_id.clone());
    }
    drop(store);
    let scans = "SELECT coalesce(max(seq_tup_read), 0), coalesce(max(idx_tup_fetch), 0) < 2000 \
                 FROM pg_stat_user_tables WHERE relname = 'jobs'";
    // The server tells of what was done when the connection that did it ends.
    eventually("the server counted", async || {
        let fetched =
            "SELECT coalesce(max(idx_tup_fetch), 0) >= 500 FROM pg_stat_user_tables WHERE relname = 'jobs'";
        SERVER.query(&url, fetched) == "t"
    })
    .await;
    assert_eq!(SERVER.query(&url, scans), "0|t");
}
