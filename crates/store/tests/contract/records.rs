//! Tables of the caller's own.

use std::sync::Arc;

use vecferry_store::postgres::{PostgresStore, Settings};
use vecferry_store::{Change, Error, ErrorKind, Record, Records, Store, Value};

use crate::on_both_stores;
use crate::place::{Place, SERVER, for_each_number};
use crate::proxy::{Cut, Proxy};
use crate::sample::{id, job};

on_both_stores!(
    values_come_back_as_they_were,
    a_value_of_another_type_is_not_taken_for_one,
    answers_of_expressions_are_read,
    placeholders_are_numbers_of_values,
    what_only_one_store_can_hold_is_refused,
    statements_that_are_something_else_are_refused,
    changes_are_made_together_or_not_at_all,
    rows_that_were_not_expected_undo_everything,
    what_is_unique_is_there_once,
    what_refers_to_nothing_is_refused,
    what_others_did_wrong_at_the_same_time_undoes_nothing,
    a_row_is_made_or_updated,
    each_step_is_made_once_whoever_begins,
    steps_that_fail_leave_nothing_and_can_be_tried_again,
    a_newer_schema_is_refused,
    texts_are_ordered_byte_by_byte,
    answers_are_bounded,
    counters_of_several_handles_lose_nothing,
    handles_beside_see_the_same_and_count_for_themselves,
    the_clock_goes_on,
);

const STEPS: [&str; 2] = [
    "CREATE TABLE accounts (name TEXT COLLATE \"C\" PRIMARY KEY, balance BIGINT NOT NULL, note TEXT, key BYTEA);
     INSERT INTO accounts (name, balance) VALUES ('bank; \"C\"', 100)",
    "CREATE TABLE owners (
         id BIGINT PRIMARY KEY,
         account TEXT COLLATE \"C\" NOT NULL REFERENCES accounts (name), -- it's checked
         email TEXT UNIQUE
     );
     CREATE INDEX owners_of_account ON owners (account)",
];

async fn prepared(place: &Place) -> Arc<dyn Store> {
    let store = place.open().await;
    store.prepare("bank", &STEPS).await.unwrap();
    store
}

fn insert(name: &str, balance: i64) -> Change {
    let sql = "INSERT INTO accounts (balance, name) VALUES ($2, $1)";
    Change::new(sql, [name.into(), balance.into()]).exactly(1)
}

fn insert_owner(number: i64, account: &str, email: Option<&str>) -> Change {
    let values = [number.into(), account.into(), email.into()];
    Change::new("INSERT INTO owners (id, account, email) VALUES ($1, $2, $3)", values)
}

/// Sets a balance, if it is still the one that was seen.
fn set(name: &str, seen: i64, balance: i64) -> Change {
    let sql = "UPDATE accounts SET balance = $3 WHERE name = $1 AND balance = $2";
    Change::new(sql, [name.into(), seen.into(), balance.into()])
}

async fn balance(store: &dyn Store, name: &str) -> Option<i64> {
    let sql = "SELECT balance FROM accounts WHERE name = $1";
    let found = store.select(sql, vec![name.into()]).await.unwrap();
    found.first().map(|record| record.integer(0).unwrap())
}

async fn count(store: &dyn Store, table: &str) -> i64 {
    let found = store.select(&format!("SELECT count(*) FROM {table}"), vec![]).await.unwrap();
    found[0].integer(0).unwrap()
}

fn assert_refused(result: Result<impl std::fmt::Debug, Error>, kind: ErrorKind, text: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(text), "{error}");
}

async fn values_come_back_as_they_were(place: Place) {
    let store = prepared(&place).await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let rows: [[Value; 4]; 5] = [
        ["a".into(), i64::MIN.into(), "".into(), Vec::<u8>::new().into()],
        ["b".into(), i64::MAX.into(), "词 é \u{10ffff} 'quoted'\n".into(), every_byte.into()],
        // Texts and bytes that look like numbers.
        ["c".into(), 0.into(), "0012".into(), b"0012".to_vec().into()],
        ["d".into(), (-1).into(), "1e3".into(), vec![0, 0].into()],
        ["e".into(), 1.into(), Value::Null, Value::Null],
    ];
    let sql = "INSERT INTO accounts (name, balance, note, key) VALUES ($1, $2, $3, $4)";
    let changes = rows.iter().map(|row| Change::new(sql, row.clone())).collect();
    assert_eq!(store.change(changes).await.unwrap(), [1; 5]);
    let sql = "SELECT name, balance, note, key FROM accounts WHERE name <> $1 ORDER BY name";
    for store in [&store, &place.open().await] {
        let found = store.select(sql, vec!["bank; \"C\"".into()]).await.unwrap();
        for (found, row) in found.iter().zip(&rows) {
            let values: [Value; 4] = [
                found.text(0).unwrap().into(),
                found.integer(1).unwrap().into(),
                found.text_or_none(2).unwrap().into(),
                found.bytes_or_none(3).unwrap().into(),
            ];
            assert_eq!(values, *row);
        }
        assert_eq!(found.len(), 5);
    }
    for (column, value) in [
        ("balance", Value::from(i64::MIN)),
        ("note", Value::from("0012")),
        ("key", Value::from(b"0012".to_vec())),
    ] {
        let sql = format!("SELECT count(*) FROM accounts WHERE {column} = $1");
        assert_eq!(store.select(&sql, vec![value]).await.unwrap()[0].integer(0).unwrap(), 1, "{sql}");
    }
}

async fn a_value_of_another_type_is_not_taken_for_one(place: Place) {
    let store = prepared(&place).await;
    for (column, value) in [
        ("balance", Value::from("many")),
        ("balance", Value::from(vec![1])),
        ("note", Value::from(vec![1])),
        ("key", Value::from("text")),
        ("key", Value::from(1)),
        ("balance", Value::Null),
    ] {
        let change = Change::new(format!("UPDATE accounts SET {column} = $1"), [value]);
        assert_eq!(store.change(vec![change]).await.unwrap_err().kind(), ErrorKind::Corrupt, "{column}");
    }
    let found = store.select("SELECT name, balance, note FROM accounts", vec![]).await.unwrap();
    let row: &Record = &found[0];
    assert_refused(row.integer(0), ErrorKind::Corrupt, "column 0 is a text, but must be an integer");
    assert_refused(row.text(1), ErrorKind::Corrupt, "column 1 is an integer, but must be a text");
    assert_refused(row.bytes(1), ErrorKind::Corrupt, "column 1 is an integer, but must be bytes");
    assert_refused(row.text(2), ErrorKind::Corrupt, "column 2 is null");
    assert_refused(row.flag(1), ErrorKind::Corrupt, "column 1 is 100, but must be 0 or 1");
    assert_refused(row.text_or_none(3), ErrorKind::Corrupt, "there is no column 3");
    assert_eq!(row.text_or_none(2).unwrap(), None);
    assert_eq!(row.bytes_or_none(2).unwrap(), None);
    assert_eq!(row.integer_or_none(2).unwrap(), None);
}

async fn answers_of_expressions_are_read(place: Place) {
    let store = prepared(&place).await;
    store.change(vec![insert("a", 7), insert("b", 8)]).await.unwrap();
    let sql = "SELECT CAST(sum(balance) AS BIGINT), count(*) > $1, max(name) = $2, 5, coalesce(max(note), 'none') \
               FROM accounts WHERE balance < $1 + 10 LIMIT $3";
    let found = store.select(sql, vec![1.into(), "b".into(), 1.into()]).await.unwrap();
    let row = &found[0];
    assert_eq!(row.integer(0).unwrap(), 15);
    assert_eq!((row.flag(1).unwrap(), row.flag(2).unwrap()), (true, true));
    assert_eq!((row.integer(3).unwrap(), row.text(4).unwrap()), (5, "none".to_owned()));
    let fraction = store.select("SELECT 1.5", vec![]).await;
    assert_refused(fraction, ErrorKind::Corrupt, "which no record has");
    let missing = store.select("SELECT nothing FROM accounts", vec![]).await.unwrap_err();
    assert!(missing.to_string().contains("nothing"), "{missing}");
}

async fn placeholders_are_numbers_of_values(place: Place) {
    let store = prepared(&place).await;
    store.change(vec![insert("a", 1), insert("b", 2)]).await.unwrap();
    // In any order, and one of them twice.
    let sql = "SELECT name FROM accounts WHERE balance = $2 AND name = $1 AND (name = $1 OR balance = $2)";
    let found = store.select(sql, vec!["b".into(), 2.into()]).await.unwrap();
    assert_eq!(found[0].text(0).unwrap(), "b");
    for (condition, values) in [
        ("name = $1", vec![]),
        ("name = $1", vec!["a".into(), 1.into()]),
        ("name = $2", vec!["a".into(), "a".into()]),
        ("name = $1 AND balance = $3", vec!["a".into(), 1.into(), 1.into()]),
        ("name = $1 AND balance = $2", vec!["a".into()]),
    ] {
        let sql = format!("SELECT name FROM accounts WHERE {condition}");
        let error = store.select(&sql, values.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{condition}: {error}");
        let change = Change::new(format!("DELETE FROM accounts WHERE {condition}"), values);
        let error = store.change(vec![insert("c", 3), change]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{condition}: {error}");
    }
    assert_eq!(count(&*store, "accounts").await, 3);
}

async fn what_only_one_store_can_hold_is_refused(place: Place) {
    let store = prepared(&place).await;
    assert_refused(store.change(vec![insert("a\0b", 1)]).await, ErrorKind::Corrupt, "the character NUL");
    let sql = "SELECT name FROM accounts WHERE name = $1";
    assert_refused(store.select(sql, vec!["\0".into()]).await, ErrorKind::Corrupt, "the character NUL");
}

async fn statements_that_are_something_else_are_refused(place: Place) {
    let store = prepared(&place).await;
    for sql in ["COMMIT", "ROLLBACK", "SELECT 1", "DROP TABLE owners", ""] {
        let refused = store.change(vec![insert("a", 1), Change::new(sql, [])]).await;
        assert_refused(refused, ErrorKind::Unusable, "is not one of INSERT, UPDATE, DELETE, WITH");
    }
    let refused = store.select("DELETE FROM accounts", vec![]).await;
    assert_refused(refused, ErrorKind::Unusable, "`DELETE` is not one of SELECT, WITH");
    for two in ["DELETE FROM accounts; DELETE FROM owners", "INSERT INTO accounts VALUES ("] {
        store.change(vec![insert("a", 1), Change::new(two, [])]).await.unwrap_err();
    }
    assert_eq!(count(&*store, "accounts").await, 1);
}

async fn changes_are_made_together_or_not_at_all(place: Place) {
    let store = prepared(&place).await;
    assert_eq!(store.change(vec![]).await.unwrap(), [0; 0]);
    let none = Change::new("DELETE FROM owners", []);
    let all = Change::new("UPDATE accounts SET balance = balance + $1", [5.into()]);
    let changed = store.change(vec![insert("a", 1), insert("b", 2), none, all]).await.unwrap();
    assert_eq!(changed, [1, 1, 0, 3]);
    assert_eq!((balance(&*store, "a").await, balance(&*store, "b").await), (Some(6), Some(7)));
    let broken = Change::new("UPDATE accounts SET nothing = 1", []);
    store.change(vec![insert("c", 3), set("a", 6, 0), broken]).await.unwrap_err();
    assert_eq!((balance(&*store, "a").await, balance(&*store, "c").await), (Some(6), None));
}

async fn rows_that_were_not_expected_undo_everything(place: Place) {
    let store = prepared(&place).await;
    store.change(vec![insert("a", 1), insert("b", 1)]).await.unwrap();
    let of_both = || Change::new("UPDATE accounts SET balance = 2 WHERE balance = $1", [1.into()]);
    for (change, text) in [
        (set("a", 9, 0).exactly(1), "expected to change 1 rows, but changed 0: UPDATE accounts"),
        (of_both().exactly(1), "expected to change 1 rows, but changed 2"),
        (set("a", 1, 0).exactly(0), "expected to change 0 rows, but changed 1"),
        (set("a", 9, 0).at_least_one(), "expected to change at least 1 rows, but changed 0"),
    ] {
        let shown = format!("{change:?}");
        assert!(shown.contains("UPDATE") && !shown.contains("Text"), "{shown}");
        let refused = store.change(vec![insert("c", 3), change, insert("d", 4)]).await;
        assert_refused(refused, ErrorKind::Unmet, text);
        assert_eq!(count(&*store, "accounts").await, 3);
        assert_eq!(balance(&*store, "a").await, Some(1));
    }
    let met = vec![of_both().at_least_one(), set("a", 2, 3).exactly(1), set("a", 9, 0).exactly(0)];
    assert_eq!(store.change(met).await.unwrap(), [2, 1, 0]);
}

async fn what_is_unique_is_there_once(place: Place) {
    let store = prepared(&place).await;
    store.change(vec![insert("a", 1), insert_owner(1, "a", Some("a@b.c"))]).await.unwrap();
    let secret = "the-value-of-a-row";
    store.change(vec![insert(secret, 1)]).await.unwrap();
    for again in [insert(secret, 2), insert_owner(1, "a", None), insert_owner(2, "a", Some("a@b.c"))] {
        let error = store.change(vec![insert("b", 1), again, set("a", 1, 9)]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Taken, "{error}");
        assert!(!format!("{error:?}").contains(secret), "{error:?}");
        assert_eq!((balance(&*store, "a").await, balance(&*store, "b").await), (Some(1), None));
    }
    assert_eq!(balance(&*store, secret).await, Some(1));
    // Nulls are not the same as each other.
    store.change(vec![insert_owner(2, "a", None), insert_owner(3, "a", None)]).await.unwrap();
    let error = store.change(vec![Change::new("UPDATE accounts SET balance = NULL", [])]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(!format!("{error:?}").contains(secret), "{error:?}");
}

async fn what_refers_to_nothing_is_refused(place: Place) {
    let store = prepared(&place).await;
    let refused = store.change(vec![insert("a", 1), insert_owner(1, "nobody", None)]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unmet, "{refused}");
    assert_eq!(balance(&*store, "a").await, None);
    store.change(vec![insert("a", 1), insert_owner(1, "a", None)]).await.unwrap();
    let delete = || Change::new("DELETE FROM accounts WHERE name = $1", ["a".into()]);
    assert_eq!(store.change(vec![delete()]).await.unwrap_err().kind(), ErrorKind::Unmet);
    assert_eq!(count(&*store, "owners").await, 1);
    let owners = Change::new("DELETE FROM owners WHERE account = $1", ["a".into()]);
    assert_eq!(store.change(vec![owners, delete()]).await.unwrap(), [1, 1]);
}

async fn what_others_did_wrong_at_the_same_time_undoes_nothing(place: Place) {
    let store = prepared(&place).await;
    store.change(vec![insert("taken", 1)]).await.unwrap();
    let calls: Vec<_> = (0..60)
        .map(|number| {
            let store = Arc::clone(&store);
            let mine = insert(&format!("a{number}"), number);
            let changes = match number % 3 {
                0 => vec![mine],
                1 => vec![mine, insert("taken", 2)],
                _ => vec![mine, set("taken", 5, 6).exactly(1)],
            };
            tokio::spawn(async move { (number, store.change(changes).await) })
        })
        .collect();
    store.create_job(job("j1")).await.unwrap();
    for call in calls {
        let (number, outcome) = call.await.unwrap();
        let outcome = outcome.map_err(|error| error.kind());
        let expected = [Ok(vec![1]), Err(ErrorKind::Taken), Err(ErrorKind::Unmet)];
        assert_eq!(outcome, expected[usize::try_from(number % 3).unwrap()]);
        let found = balance(&*store, &format!("a{number}")).await;
        assert_eq!(found, (number % 3 == 0).then_some(number));
    }
    assert_eq!(store.find_job("j").await.unwrap(), id("j1"));
    assert_eq!(count(&*store, "accounts").await, 22);
}

async fn a_row_is_made_or_updated(place: Place) {
    let store = prepared(&place).await;
    let put = |balance: i64| {
        let sql = "INSERT INTO accounts (name, balance) VALUES ($1, $2) \
                   ON CONFLICT (name) DO UPDATE SET balance = accounts.balance + excluded.balance";
        Change::new(sql, ["a".into(), balance.into()]).exactly(1)
    };
    store.change(vec![put(1), put(2)]).await.unwrap();
    assert_eq!(balance(&*store, "a").await, Some(3));
    let sql = "INSERT INTO accounts (name, balance) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    let once = |name: &str| Change::new(sql, [name.into(), 9.into()]);
    assert_eq!(store.change(vec![once("a"), once("b")]).await.unwrap(), [0, 1]);
    let sql = "INSERT INTO owners (id, account) SELECT $1, name FROM accounts WHERE name = $2 \
               AND NOT EXISTS (SELECT 1 FROM owners WHERE account = $2)";
    let first = |number: i64| Change::new(sql, [number.into(), "a".into()]);
    assert_eq!(store.change(vec![first(1), first(2)]).await.unwrap(), [1, 0]);
}

async fn each_step_is_made_once_whoever_begins(place: Place) {
    let mut preparing = Vec::new();
    for number in 0..6 {
        let store = place.open().await;
        let steps = if number == 0 { &STEPS[..1] } else { &STEPS };
        preparing.push(tokio::spawn(async move {
            let prepared = store.prepare("bank", steps).await;
            // Whoever knows less may be too late.
            match prepared {
                Err(error) if number == 0 => assert_eq!(error.kind(), ErrorKind::Newer, "{error}"),
                prepared => prepared.unwrap(),
            }
        }));
    }
    for prepared in preparing {
        prepared.await.unwrap();
    }
    let store = place.open().await;
    assert_eq!((count(&*store, "accounts").await, count(&*store, "owners").await), (1, 0));
    assert_eq!(balance(&*store, "bank; \"C\"").await, Some(100));
    // Of another caller, with versions of its own; and one more step.
    store.prepare("post", &["CREATE TABLE letters (id BIGINT PRIMARY KEY)"]).await.unwrap();
    let more =
        [STEPS[0], STEPS[1], "ALTER TABLE owners ADD COLUMN photo BYTEA; UPDATE accounts SET balance = 5"];
    store.prepare("bank", &more).await.unwrap();
    store.change(vec![set("bank; \"C\"", 5, 6).exactly(1)]).await.unwrap();
    store.prepare("bank", &more).await.unwrap();
    assert_eq!(balance(&*store, "bank; \"C\"").await, Some(6));
    assert_eq!(count(&*store, "letters").await, 0);
    assert_eq!(store.select("SELECT photo FROM owners", vec![]).await.unwrap(), []);
}

async fn steps_that_fail_leave_nothing_and_can_be_tried_again(place: Place) {
    let store = place.open().await;
    let broken = [STEPS[0], "CREATE TABLE letters (id BIGINT PRIMARY KEY); INSERT INTO nowhere VALUES (1)"];
    let error = store.prepare("bank", &broken).await.unwrap_err();
    assert!(error.to_string().starts_with("step 2 of the schema `bank`: "), "{error}");
    assert!(error.to_string().contains("nowhere"), "{error}");
    assert_eq!(count(&*store, "accounts").await, 1);
    let mended = [STEPS[0], "CREATE TABLE letters (id BIGINT PRIMARY KEY)"];
    store.prepare("bank", &mended).await.unwrap();
    assert_eq!(count(&*store, "letters").await, 0);
    let of_the_store = store.prepare("other", &["CREATE TABLE jobs (id BIGINT)"]).await;
    assert!(of_the_store.unwrap_err().to_string().contains("jobs"));
}

async fn a_newer_schema_is_refused(place: Place) {
    let store = prepared(&place).await;
    let text = "the schema `bank` has version 2; this program supports up to 1";
    assert_refused(store.prepare("bank", &STEPS[..1]).await, ErrorKind::Newer, text);
    assert_refused(place.open().await.prepare("bank", &[]).await, ErrorKind::Newer, "up to 0");
    store.prepare("nobody's", &[]).await.unwrap();
}

async fn texts_are_ordered_byte_by_byte(place: Place) {
    let store = prepared(&place).await;
    let mut names =
        ["b", "B", "a", "é", "z", "Z", "_", "-a", "aa", "a a", "10", "9", "\u{ffff}", "\u{10000}"];
    store.change(names.iter().map(|name| insert(name, 0)).collect()).await.unwrap();
    names.sort_unstable();
    let sql = "SELECT name FROM accounts WHERE balance = 0 ORDER BY name";
    let found = store.select(sql, vec![]).await.unwrap();
    let found: Vec<_> = found.iter().map(|row| row.text(0).unwrap()).collect();
    assert_eq!(found, names);
    let sql = "SELECT count(*) FROM accounts WHERE balance = 0 AND name > $1";
    let behind = store.select(sql, vec!["Z".into()]).await.unwrap()[0].integer(0).unwrap();
    assert_eq!(behind, i64::try_from(names.iter().filter(|name| **name > "Z").count()).unwrap());
}

async fn answers_are_bounded(place: Place) {
    let store = prepared(&place).await;
    let many = "WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers \
                WHERE number < $1) SELECT number FROM numbers";
    let found = store.select(many, vec![10_000.into()]).await.unwrap();
    assert_eq!((found.len(), found[9_999].integer(0).unwrap()), (10_000, 10_000));
    let refused = store.select(many, vec![10_001.into()]).await;
    assert_refused(refused, ErrorKind::Unusable, "more than 10,000 rows: WITH RECURSIVE");
    // The rest of the answer is in nobody's way.
    assert_refused(store.select(many, vec![100_000.into()]).await, ErrorKind::Unusable, "10,000");
    assert_eq!(count(&*store, "accounts").await, 1);
}

/// What is seen and set in two calls, so that somebody else may come between them.
async fn count_up(store: &dyn Store, times: usize) {
    for _ in 0..times {
        loop {
            let seen = balance(store, "counter").await.unwrap();
            match store.change(vec![set("counter", seen, seen + 1).exactly(1)]).await {
                Ok(changed) => break assert_eq!(changed, [1]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unmet, "{error}"),
            }
        }
    }
}

async fn counters_of_several_handles_lose_nothing(place: Place) {
    let (store, other) = (prepared(&place).await, place.open().await);
    store.change(vec![insert("counter", 0)]).await.unwrap();
    let counting =
        [Arc::clone(&store), other].map(|store| tokio::spawn(async move { count_up(&*store, 200).await }));
    for counting in counting {
        counting.await.unwrap();
    }
    assert_eq!(balance(&*store, "counter").await, Some(400));
}

async fn handles_beside_see_the_same_and_count_for_themselves(place: Place) {
    let store = prepared(&place).await;
    let beside = store.beside();
    let (waited, of_beside) = (store.usage().waited, beside.usage().waited);
    beside.change(vec![insert("a", 1)]).await.unwrap();
    assert_eq!(balance(&*beside, "a").await, Some(1));
    assert_eq!(store.usage().waited, waited, "nobody waits for what is done beside");
    assert!(beside.usage().waited > of_beside);
    let (commits, waited) = (store.usage().commits, store.usage().waited);
    store.change(vec![set("a", 1, 2).exactly(1)]).await.unwrap();
    assert_eq!(store.usage().commits, commits + 1);
    assert!(store.usage().waited > waited);
}

async fn the_clock_goes_on(place: Place) {
    let store = place.open().await;
    let (first, second) = (store.now_ms().await.unwrap(), store.now_ms().await.unwrap());
    assert!(first <= second);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    // Of one machine here.
    assert!(i64::try_from(since.as_millis()).unwrap().abs_diff(second) < 60_000);
}

/// Changes that would show when they were made twice, by way of a proxy. Returns what is there then, and the commits that
/// the proxy saw.
async fn run(cut: Option<(usize, Cut)>) -> (String, usize) {
    let url = SERVER.create_database();
    drop(PostgresStore::connect(&url, Settings::default()).await.unwrap());
    let proxy = Proxy::start(SERVER.server().port(), cut);
    let store = PostgresStore::connect(&proxy.url(&url), Settings::default()).await.unwrap();
    store.prepare("bank", &STEPS).await.unwrap();
    let mut shown = String::new();
    for number in 0..3 {
        let more = Change::new("UPDATE accounts SET balance = balance + 1", []);
        let changed = store.change(vec![insert(&format!("a{number}"), number), more]).await.unwrap();
        shown += &format!("{changed:?}");
        let refused = store.change(vec![insert("a0", 9)]).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Taken, "{refused}");
    }
    store.change(vec![set("a0", 3, 4).exactly(1)]).await.unwrap();
    let found = store.select("SELECT name, balance FROM accounts ORDER BY name", vec![]).await.unwrap();
    (format!("{shown}{found:?}"), proxy.commits())
}

async fn lose_each(cut: Cut) {
    let (expected, commits) = run(None).await;
    assert!(expected.starts_with("[1, 2][1, 3][1, 4]"), "{expected}");
    assert_eq!(commits, 6, "two steps and four changes");
    let lose = move |number| {
        let expected = expected.clone();
        async move {
            let (found, _) = run(Some((number, cut))).await;
            assert_eq!(found, expected, "cut {cut:?} at commit {number}");
        }
    };
    for_each_number(1..commits + 1, lose).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_made_once_when_the_server_did_not_hear_of_its_commit() {
    lose_each(Cut::Before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_made_once_when_the_answer_to_its_commit_is_lost() {
    lose_each(Cut::AfterAnswer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_made_once_when_the_connection_is_lost_during_its_commit() {
    lose_each(Cut::Between).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_yesterday_are_forgotten_some_at_a_time() {
    let place = Place::postgres();
    let store = prepared(&place).await;
    let url = place.name();
    let old = "INSERT INTO vecferry.record_calls (call, made_at, changed) \
               SELECT 'old' || n, now() - interval '25 hours', '{1}' FROM generate_series(1, 40) n";
    SERVER.query(&url, old);
    let young = "INSERT INTO vecferry.record_calls (call, made_at, changed) \
                 VALUES ('young', now() - interval '23 hours', '{1}')";
    SERVER.query(&url, young);
    let left = "SELECT count(*) FILTER (WHERE call LIKE 'old%'), count(*) FROM vecferry.record_calls";
    for (number, expected) in (0..).zip(["24|26", "8|11", "0|4", "0|5"]) {
        store.change(vec![insert(&format!("a{number}"), 0)]).await.unwrap();
        assert_eq!(SERVER.query(&url, left), expected);
    }
}
