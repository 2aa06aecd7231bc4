//! Roles, grants and users between servers with authorization. They belong to a whole server, so these tests have two of
//! their own and run one after the other.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use vecferry_testkit::fault_proxy::{Cut, Fault, FaultProxy, Garbage, When};
use vecferry_testkit::{Oracle, Run, Servers, Vecferry};

use crate::{PROGRAM, milvus, servers};

/// How long something that must come is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What these tests look at servers with, besides the functions that all tests have.
const PYTHON: &str = r#"
    def role_of(name):
        return milvus_pb2.RoleEntity(name=name)

    def entity(role, privilege, kind, name, db):
        return milvus_pb2.GrantEntity(
            role=role_of(role), object=milvus_pb2.ObjectEntity(name=kind), object_name=name, db_name=db,
            grantor=milvus_pb2.GrantorEntity(privilege=milvus_pb2.PrivilegeEntity(name=privilege)))

    def grant(server, role, privilege, name, db="default", kind="Collection"):
        server.call("OperatePrivilege", entity=entity(role, privilege, kind, name, db))

    def roles(server):
        return sorted(r.role.name for r in server.call("SelectRole").results)

    def users(server):
        found = server.call("SelectUser", include_role_info=True).results
        return {u.user.name: sorted(r.name for r in u.roles if r.name) for u in found if u.user.name != "root"}

    def grants(server, role):
        found = set()
        for db in ["*", "shop", "warehouse", "default"]:
            request = milvus_pb2.GrantEntity(role=role_of(role), db_name=db)
            for g in server.call("SelectGrant", entity=request).entities:
                found.add((g.db_name, g.object.name, g.object_name, g.grantor.privilege.name))
        return sorted(found)

    def user(server, name, *of_roles):
        server.call("CreateCredential", username=name, password=base64.b64encode(b"Of-source-1").decode())
        for role in of_roles:
            server.call("OperateUserRole", username=name, role_name=role)

    def role(server, name, *of_grants):
        server.call("CreateRole", entity=role_of(name))
        for privilege, collection, db in of_grants:
            grant(server, name, privilege, collection, db)

    def empty(server):
        for name in users(server):
            server.call("DeleteCredential", username=name)
        usual = {("*", "Collection", "*", "IndexDetail"), ("*", "Global", "*", "DescribeCollection"), ("*", "Global", "*", "ShowCollections")}
        for name in roles(server):
            for db, kind, collection, privilege in grants(server, name):
                if name != "public" or (db, kind, collection, privilege) not in usual:
                    server.call("OperatePrivilege", entity=entity(name, privilege, kind, collection, db), type=1)
            if name not in ("admin", "public"):
                server.call("DropRole", role_name=name)
        assert roles(server) == ["admin", "public"] and users(server) == {}
        for db in server.client.list_databases():
            for name in server.names(db):
                server.in_db(db).drop_collection(name)
            if db != "default":
                server.call("DropDatabase", db)
"#;

fn pair() -> &'static Servers {
    static SERVERS: OnceLock<Servers> = OnceLock::new();
    SERVERS.get_or_init(|| Servers::start(PROGRAM, [milvus("origin"), milvus("twin")]))
}

/// The pair for one test, without roles, users, databases and collections.
struct Turn {
    oracle: Oracle,
    _turn: MutexGuard<'static, ()>,
}

impl Turn {
    fn take() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut turn = Self { oracle: Oracle::new(pair()), _turn: turn };
        turn.run("empty(origin)\nempty(twin)");
        turn
    }

    /// Runs a script with the functions above.
    #[track_caller]
    fn run(&mut self, script: &str) -> Value {
        let unindented = |text: &str| {
            let lines = || text.lines().filter(|line| !line.trim().is_empty());
            let indent = lines().map(|line| line.len() - line.trim_start().len()).min().unwrap_or_default();
            text.lines().map(|line| line.get(indent..).unwrap_or_default()).collect::<Vec<_>>().join("\n")
        };
        self.oracle.run(&format!("{}\n{}", unindented(PYTHON), unindented(script)))
    }
}

/// A small collection, a role for it and two users.
const SHOP: &str = r#"
    origin.client.create_database("shop")
    simple(origin, "books", 50, db="shop")
    role(origin, "reader", ("Search", "books", "shop"), ("Query", "books", "shop"))
    user(origin, "ann", "reader")
    user(origin, "bob", "reader", "public")
"#;

/// The passwords in a file, which is its owner's alone.
fn passwords(file: &std::path::Path) -> Vec<(String, String)> {
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let document: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let users = document["users"].as_array().unwrap().iter();
    users.map(|user| (text(&user["user"]), text(&user["password"]))).collect()
}

/// No password is anywhere in what was said or recorded.
fn assert_secret(passwords: &[(String, String)], run: &Run, state: &Vecferry) {
    for (user, password) in passwords {
        assert!(!run.stdout.contains(password) && !run.stderr.contains(password), "{user}");
        for entry in std::fs::read_dir(state.state_dir()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let bytes = std::fs::read(&path).unwrap();
                let found = bytes.windows(password.len()).any(|window| window == password.as_bytes());
                assert!(!found, "{user} in {}", path.display());
            }
        }
    }
}

fn only_job(state: &Vecferry) -> String {
    let jobs: Value = serde_json::from_str(&state.of_same_state(pair(), "jobs", &[]).stdout).unwrap();
    assert_eq!(jobs.as_array().unwrap().len(), 1, "{jobs}");
    jobs[0]["job_id"].as_str().unwrap().to_owned()
}

fn made(run: &Run, kind: &str) -> (u64, u64) {
    let made = &run.report()["rbac"][kind];
    (made["planned"].as_u64().unwrap(), made["made"].as_u64().unwrap())
}

/// Runs a command to its end and keeps its state directory.
fn ended(command: Vecferry) -> (Run, Vecferry) {
    let (child, state) = command.spawn();
    (Run::new(child.wait_with_output().unwrap()), state)
}

#[test]
fn roles_grants_and_users_arrive_and_the_new_passwords_work() {
    let mut turn = Turn::take();
    turn.run(
        r#"
        origin.client.create_database("shop")
        simple(origin, "books", 50, db="shop")
        simple(origin, "notes", 50)
        simple(twin, "theirs", 10)
        role(origin, "reader", ("Search", "books", "shop"), ("Query", "books", "shop"), ("Search", "notes", "default"))
        role(origin, "writer", ("Insert", "notes", "default"), ("Delete", "*", "shop"), ("Search", "later", "shop"), ("Search", "theirs", "default"))
        role(origin, "idle")
        grant(origin, "writer", "CreateCollection", "*", kind="Global", db="*")
        grant(origin, "writer", "UpdateUser", "ann", kind="User")
        grant(origin, "public", "Query", "notes")
        user(origin, "ann", "reader")
        user(origin, "bob", "reader", "writer", "admin")
        user(origin, "cid")
        # A name that begins with another's.
        user(origin, "anna", "writer")
        origin.call("CreateResourceGroup", resource_group="gpu")
        "#,
    );
    let file = tempfile::tempdir().unwrap();
    let file = file.path().join("passwords.json");
    let arguments =
        ["--with", "rbac", "--target-db", "shop=warehouse", "--users-file", file.to_str().unwrap()];
    let (run, state) = ended(Vecferry::between(pair(), "migrate", "origin", "twin", &arguments));
    turn.run(r#"origin.call("DropResourceGroup", resource_group="gpu")"#);
    run.succeeded();
    assert_eq!((made(&run, "roles"), made(&run, "users")), ((3, 3), (4, 4)));
    assert_eq!((made(&run, "grants"), made(&run, "memberships")), ((9, 9), (5, 5)));
    let rbac = &run.report()["rbac"];
    assert_eq!((&rbac["method"], &rbac["passwords"]), (&json!("single_calls"), &json!("generated")));
    assert_eq!(run.report()["resource_groups"], json!(["gpu"]));
    assert_eq!(rbac["outside"][0]["object_name"], "later");
    let left = json!([{"kind": "grant", "name": "writer: Search Collection default.theirs", "reason": "other_collection"}]);
    assert_eq!(rbac["left"], left);
    assert!(run.stderr.contains("Passwords can't be copied"), "{}", run.stderr);
    assert!(run.stderr.contains("warning[VF-0706]"), "{}", run.stderr);
    let plan = run.lines.iter().find(|line| line["event"] == "plan").unwrap();
    assert_eq!(plan["rbac"]["roles"], json!(["idle", "reader", "writer"]));
    turn.run(
        r#"
        assert roles(twin) == ["admin", "idle", "public", "reader", "writer"], roles(twin)
        assert users(twin) == {"ann": ["reader"], "anna": ["writer"], "bob": ["admin", "reader", "writer"], "cid": []}, users(twin)
        for name in ["reader", "writer", "idle", "public"]:
            renamed = lambda db: "warehouse" if db == "shop" else db
            expected = sorted((renamed(db), *rest) for db, *rest in grants(origin, name))
            expected = [g for g in expected if g != ("default", "Collection", "theirs", "Search")]
            assert grants(twin, name) == expected, (name, grants(twin, name), expected)
        "#,
    );
    let passwords = passwords(&file);
    assert_eq!(
        passwords.iter().map(|(user, _)| user.as_str()).collect::<Vec<_>>(),
        ["ann", "anna", "bob", "cid"]
    );
    assert_secret(&passwords, &run, &state);
    let ann = &passwords[0].1;
    turn.run(&format!(
        r#"
        twin.load("books", db="warehouse")
        as_ann = MilvusClient(twin.uri, token="ann:{ann}", db_name="warehouse")
        # A server learns of new grants by and by.
        def allowed():
            try:
                return as_ann.query("books", "id >= 0", output_fields=["id"])
            except Exception as error:
                assert "permission deny" in str(error), error
                return False
        until(allowed)
        assert len(as_ann.query("books", "id >= 0", output_fields=["id"])) == 50
        try:
            as_ann.delete("books", ids=[1])
            raise RuntimeError("ann may delete")
        except Exception as error:
            assert "permission deny" in str(error), error
        twin.in_db("warehouse").release_collection("books")
        "#
    ));

    // Everything that the job made goes, and nothing else.
    let canceled = state.of_same_state(pair(), "cancel", &[&only_job(&state), "--clean"]);
    assert_eq!(canceled.code, 0, "{}\n{}", canceled.stdout, canceled.stderr);
    let removed = canceled.lines[0]["removed"].to_string();
    for name in ["user ann", "role writer", "grant public: Query Collection default.notes", "passwords.json"]
    {
        assert!(removed.contains(name), "{removed}");
    }
    assert!(!file.exists());
    turn.run(
        r#"
        assert roles(twin) == ["admin", "public"] and users(twin) == {}
        assert len(grants(twin, "public")) == 3, grants(twin, "public")
        assert twin.client.list_databases() == ["default"] and twin.names() == ["theirs"]
        "#,
    );
}

#[test]
fn what_exists_on_the_target_is_left_as_it_is() {
    let mut turn = Turn::take();
    turn.run(SHOP);
    turn.run(
        r#"
        role(origin, "same", ("Query", "books", "shop"))
        user(origin, "cid", "same")
        role(twin, "same", ("Query", "books", "shop"))
        role(twin, "reader", ("Insert", "books", "shop"))
        user(twin, "bob")
        "#,
    );
    let (run, state) = ended(Vecferry::between(pair(), "migrate", "origin", "twin", &["--with", "rbac"]));
    run.succeeded();
    assert_eq!(
        (made(&run, "roles"), made(&run, "users"), made(&run, "memberships")),
        ((0, 0), (2, 2), (1, 1))
    );
    let left = json!([
        {"kind": "role", "name": "reader", "reason": "differs"},
        {"kind": "role", "name": "same", "reason": "same"},
        {"kind": "membership", "name": "ann → reader", "reason": "role_left"},
        {"kind": "user", "name": "bob", "reason": "exists"},
        {"kind": "membership", "name": "bob → public", "reason": "user_left"},
        {"kind": "membership", "name": "bob → reader", "reason": "user_left"},
    ]);
    assert_eq!(run.report()["rbac"]["left"], left);
    let job = only_job(&state);
    let file = state.state_dir().join("users").join(format!("{job}.json"));
    assert_eq!(passwords(&file).len(), 2);
    let look = r#"
        assert grants(twin, "reader") == [("shop", "Collection", "books", "Insert")], grants(twin, "reader")
        MilvusClient(twin.uri, token="bob:Of-source-1")
        "#;
    turn.run(look);
    turn.run(r#"assert users(twin) == {"ann": [], "bob": [], "cid": ["same"]}, users(twin)"#);
    let canceled = state.of_same_state(pair(), "cancel", &[&job, "--clean"]);
    assert_eq!(canceled.code, 0, "{}", canceled.stderr);
    turn.run(look);
    turn.run(
        r#"
        assert users(twin) == {"bob": []} and roles(twin) == ["admin", "public", "reader", "same"]
        assert grants(twin, "same") == [("shop", "Collection", "books", "Query")]
        "#,
    );
}

/// Starts a migration through a proxy that holds a call, kills it, and lets the call reach the target afterwards.
fn killed_before(call: &str, nth: u64) -> (FaultProxy, Vecferry) {
    let proxy = FaultProxy::start(&pair().uri("twin"));
    let held = proxy.arm(call, When::Nth(nth), Fault::Hold(None));
    let (source, target) = (pair().uri("origin"), proxy.uri());
    let arguments = ["--source", &source, "--target", &target, "--with", "rbac"];
    let (mut child, state) = Vecferry::new(pair(), "migrate", &arguments).spawn();
    assert!(held.wait_until_fired(PATIENCE), "no {call} number {nth}");
    let killed = Command::new("kill").args(["-KILL", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    child.wait().unwrap();
    let reply = held.release(PATIENCE).unwrap();
    assert_eq!(reply.status().map(|status| (status.code, status.error_code)), Some((0, 0)), "it landed");
    (proxy, state)
}

#[test]
fn a_user_made_by_a_killed_attempt_has_its_password_in_the_file() {
    let mut turn = Turn::take();
    turn.run(SHOP);
    // The pre-check asks once; ann is the second, bob the third.
    let (_proxy, state) = killed_before("CreateCredential", 3);
    let job = only_job(&state);
    let file = state.state_dir().join("users").join(format!("{job}.json"));
    let before = passwords(&file);
    turn.run(r#"assert users(twin) == {"ann": [], "bob": []}, users(twin)"#);
    let run = state.of_same_state(pair(), "resume", &[&job]);
    run.succeeded();
    assert_eq!(
        (made(&run, "users"), made(&run, "memberships"), made(&run, "roles")),
        ((2, 2), (3, 3), (1, 1))
    );
    assert_eq!(passwords(&file), before);
    assert_secret(&before, &run, &state);
    turn.run(r#"assert users(twin) == {"ann": ["reader"], "bob": ["public", "reader"]}, users(twin)"#);
    for (user, password) in before {
        turn.run(&format!(r#"MilvusClient(twin.uri, token="{user}:{password}", db_name="shop")"#));
    }
}

#[test]
fn a_user_of_somebody_else_is_not_taken_over_and_not_removed() {
    let mut turn = Turn::take();
    turn.run(SHOP);
    let (_proxy, state) = killed_before("CreateCredential", 3);
    let job = only_job(&state);
    turn.run(
        r#"
        twin.call("DeleteCredential", username="bob")
        user(twin, "bob")
        "#,
    );
    let run = state.of_same_state(pair(), "resume", &[&job]);
    run.succeeded();
    assert_eq!(made(&run, "users"), (2, 1));
    assert_eq!(
        run.report()["rbac"]["left"][0],
        json!({"kind": "user", "name": "bob", "reason": "made_meanwhile"})
    );
    turn.run(r#"assert users(twin) == {"ann": ["reader"], "bob": []}, users(twin)"#);
    let canceled = state.of_same_state(pair(), "cancel", &[&job, "--clean"]);
    assert_eq!(canceled.code, 0, "{}", canceled.stderr);
    turn.run(
        r#"
        assert users(twin) == {"bob": []} and roles(twin) == ["admin", "public"]
        MilvusClient(twin.uri, token="bob:Of-source-1")
        "#,
    );
}

#[test]
fn a_role_of_a_killed_attempt_is_gone_on_with_and_cleaned_up() {
    let mut turn = Turn::take();
    turn.run(SHOP);
    let (_proxy, state) = killed_before("CreateRole", 2);
    let job = only_job(&state);
    turn.run(r#"assert roles(twin) == ["admin", "public", "reader"] and users(twin) == {}"#);
    let canceled = state.of_same_state(pair(), "cancel", &[&job, "--clean"]);
    assert_eq!(canceled.code, 0, "{}", canceled.stderr);
    turn.run(r#"assert roles(twin) == ["admin", "public"] and users(twin) == {}"#);
    // It starts from nothing, with the same file.
    let run = state.of_same_state(pair(), "resume", &[&job]);
    run.succeeded();
    assert_eq!((made(&run, "roles"), made(&run, "grants"), made(&run, "users")), ((1, 1), (2, 2), (2, 2)));
    turn.run(r#"assert grants(twin, "reader") == grants(origin, "reader")"#);
}

#[test]
fn an_interrupted_job_makes_the_rest_later() {
    let mut turn = Turn::take();
    turn.run(SHOP);
    let proxy = FaultProxy::start(&pair().uri("twin"));
    let held = proxy.arm("CreateRole", When::Nth(2), Fault::Hold(None));
    let (source, target) = (pair().uri("origin"), proxy.uri());
    let arguments = ["--source", &source, "--target", &target, "--with", "rbac"];
    let (mut child, state) = Vecferry::new(pair(), "migrate", &arguments).spawn();
    assert!(held.wait_until_fired(PATIENCE), "no role is made");
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let mut lines = stderr.lines().map(|line| line.unwrap());
    assert!(lines.any(|line| line.starts_with("Stopping at the next safe point")), "it does not end");
    held.release(PATIENCE).unwrap();
    let rest = lines.collect::<Vec<_>>().join("\n");
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(!rest.contains("VF-0705"), "{rest}");
    turn.run(r#"assert roles(twin) == ["admin", "public", "reader"] and users(twin) == {}"#);
    let run = state.of_same_state(pair(), "resume", &[&only_job(&state)]);
    run.succeeded();
    assert_eq!((made(&run, "roles"), made(&run, "grants"), made(&run, "users")), ((1, 1), (2, 2), (2, 2)));
    turn.run(r#"assert users(twin) == {"ann": ["reader"], "bob": ["public", "reader"]}, users(twin)"#);
}

#[test]
fn a_role_that_somebody_makes_meanwhile_is_theirs() {
    let mut turn = Turn::take();
    turn.run(SHOP);
    // Made, and given a grant, between the plan and the call.
    let proxy = FaultProxy::start(&pair().uri("twin"));
    let held = proxy.arm("CreateRole", When::Nth(2), Fault::Hold(None));
    let (source, target) = (pair().uri("origin"), proxy.uri());
    let arguments = ["--source", &source, "--target", &target, "--with", "rbac"];
    let (child, state) = Vecferry::new(pair(), "migrate", &arguments).spawn();
    assert!(held.wait_until_fired(PATIENCE), "no role is made");
    turn.run(r#"role(twin, "reader", ("Insert", "*", "shop"))"#);
    held.release(PATIENCE).unwrap();
    let run = Run::new(child.wait_with_output().unwrap());
    run.succeeded();
    assert_eq!(
        (made(&run, "roles"), made(&run, "grants"), made(&run, "memberships")),
        ((1, 0), (2, 0), (3, 1))
    );
    assert_eq!(run.report()["rbac"]["left"][0]["reason"], "made_meanwhile");
    assert!(run.stderr.contains("warning[VF-0706]"), "{}", run.stderr);
    let theirs = r#"
        assert grants(twin, "reader") == [("shop", "Collection", "*", "Insert")], grants(twin, "reader")
        "#;
    turn.run(theirs);
    turn.run(r#"assert users(twin) == {"ann": [], "bob": ["public"]}, users(twin)"#);
    let canceled = state.of_same_state(pair(), "cancel", &[&only_job(&state), "--clean"]);
    assert_eq!(canceled.code, 0, "{}", canceled.stderr);
    turn.run(theirs);
    turn.run("assert users(twin) == {}");
}

#[test]
fn answers_that_get_lost_leave_everything_made_once() {
    let mut turn = Turn::take();
    turn.run(SHOP);
    let proxy = FaultProxy::start(&pair().uri("twin"));
    let lost = ["CreateRole", "CreateCredential", "OperatePrivilege", "OperateUserRole"]
        .map(|call| proxy.arm(call, When::Nth(2), Fault::CutAfterApply(Cut::Connection)));
    let (source, target) = (pair().uri("origin"), proxy.uri());
    let arguments = ["--source", &source, "--target", &target, "--with", "rbac"];
    let run = Vecferry::new(pair(), "migrate", &arguments).run();
    run.succeeded();
    assert!(lost.iter().all(|fault| fault.fired() > 0), "{lost:?}");
    for kind in ["roles", "grants", "users", "memberships"] {
        let (planned, made) = made(&run, kind);
        assert_eq!(planned, made, "{kind}");
    }
    turn.run(
        r#"
        assert users(twin) == {"ann": ["reader"], "bob": ["public", "reader"]}, users(twin)
        assert grants(twin, "reader") == grants(origin, "reader")
        "#,
    );
}

#[test]
fn a_grant_that_the_target_refuses_fails_the_job_but_not_the_copy() {
    let mut turn = Turn::take();
    turn.run(SHOP);
    let proxy = FaultProxy::start(&pair().uri("twin"));
    let broken = proxy.arm("OperatePrivilege", When::Nth(2), Fault::Garbage(Garbage::Noise(7)));
    let (source, target) = (pair().uri("origin"), proxy.uri());
    let arguments = ["--source", &source, "--target", &target, "--with", "rbac"];
    let (run, state) = ended(Vecferry::new(pair(), "migrate", &arguments));
    assert_eq!(broken.fired(), 1);
    run.failed(4, "VF-0705", "grant reader: ");
    assert_eq!(run.report()["collections"][0]["rows"], 50);
    assert_eq!(made(&run, "grants"), (2, 1));
    let run = state.of_same_state(pair(), "resume", &[&only_job(&state)]);
    run.succeeded();
    assert_eq!(made(&run, "grants"), (2, 2));
}

#[test]
fn users_can_be_skipped_and_files_are_never_overwritten() {
    let mut turn = Turn::take();
    turn.run(SHOP);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mine");
    std::fs::write(&file, "precious").unwrap();
    let arguments = ["--with", "rbac", "--users-file", file.to_str().unwrap()];
    let run = Vecferry::migrate(pair(), "origin", "twin", &arguments);
    run.failed(3, "VF-0703", file.to_str().unwrap());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    turn.run(r#"assert roles(twin) == ["admin", "public"] and twin.client.list_databases() == ["default"]"#);

    let run = Vecferry::migrate(pair(), "origin", "twin", &["--with", "rbac", "--rbac-users", "skip"]);
    run.succeeded();
    assert_eq!((made(&run, "roles"), made(&run, "users")), ((1, 1), (0, 0)));
    assert_eq!(run.report()["rbac"]["users_file"], json!(null));
    turn.run(r#"assert users(twin) == {} and grants(twin, "reader") == grants(origin, "reader")"#);
}

#[test]
fn small_roles_and_servers_without_roles_are_refused() {
    let mut turn = Turn::take();
    turn.run(SHOP);
    // Allowed to look around, and no more. The servers remember refusals for a moment, so that it is waited for.
    turn.run(
        r#"
        for server in [origin, twin]:
            role(server, "lister")
            grant(server, "lister", "ListDatabases", "*", kind="Global")
            user(server, "small", "lister")
            def allowed():
                try:
                    return MilvusClient(server.uri, token="small:Of-source-1").list_databases()
                except Exception:
                    return False
            until(allowed)
        "#,
    );
    let as_small = Vecferry::between(pair(), "migrate", "origin", "twin", &["--with", "rbac"])
        .env("VECFERRY_SOURCE_TOKEN", "small:Of-source-1");
    as_small.run().failed(3, "VF-0702", "create roles, grants and users on the source");
    turn.run(r#"assert twin.client.list_databases() == ["default"] and roles(twin) == ["admin", "lister", "public"]"#);
    let as_small = Vecferry::between(pair(), "migrate", "origin", "twin", &["--with", "rbac"])
        .env("VECFERRY_TARGET_TOKEN", "small:Of-source-1");
    as_small.run().failed(3, "VF-0702", "create roles, grants and users on the target");

    let mut oracle = Oracle::new(servers());
    oracle.run(r#"simple(source, "roleless", 5)"#);
    let arguments = ["--collection", "roleless", "--with", "rbac"];
    for target in ["lite", "old_lite"] {
        let run = Vecferry::migrate(servers(), "source", target, &arguments);
        run.failed(3, "VF-0701", "the target does not support roles and users");
    }
}
