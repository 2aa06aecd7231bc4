//! Users of a real server who may not do or see everything: what is hidden from them is not taken to be absent.

use serde_json::Value;
use vecferry_testkit::{Run, Vecferry};

use crate::{oracle, servers};

/// Users and roles, and a way to look at a server as one of them.
const PYTHON: &str = r#"
def user(name, *of_roles):
    source.call("CreateCredential", username=name, password=base64.b64encode(b"Pass.1234").decode())
    for role in of_roles:
        source.call("OperateUserRole", username=name, role_name=role)
def role(name, collection, *privileges):
    source.call("CreateRole", entity=milvus_pb2.RoleEntity(name=name))
    for privilege in privileges:
        grant(name, collection, privilege)
def grant(name, collection, privilege, kind="Collection"):
    source.call("OperatePrivilege", entity=milvus_pb2.GrantEntity(
        role=milvus_pb2.RoleEntity(name=name), object=milvus_pb2.ObjectEntity(name=kind), object_name=collection,
        db_name="default",
        grantor=milvus_pb2.GrantorEntity(privilege=milvus_pb2.PrivilegeEntity(name=privilege))))
def as_user(name):
    return Server(source.uri, name + ":Pass.1234", None, None, None)
def answer(server, call, **fields):
    try:
        server.call(call, **fields)
        return "ok"
    except grpc.RpcError as error:
        return f"{error.code().name} {error.details()}"
def waits_for(server, call, **fields):
    # A server learns of new grants by and by.
    until(lambda: answer(server, call, **fields) == "ok")
"#;

fn run_script(script: &str) -> Value {
    let indent = script
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.len() - line.trim_start().len())
        .min()
        .unwrap_or_default();
    let lines: Vec<_> = script.lines().map(|line| line.get(indent..).unwrap_or_default()).collect();
    oracle().run(&format!("{PYTHON}\n{}", lines.join("\n")))
}

/// `plan`, `migrate`, `verify` and `capacity` by a user of the source.
fn commands(user: &str, arguments: &[&str]) -> [(&'static str, Run); 4] {
    let token = format!("{user}:Pass.1234");
    ["plan", "migrate", "verify", "capacity"].map(|command| {
        let run = match command {
            "capacity" => {
                let source = servers().uri("source");
                let mut all = vec!["--source", &source];
                all.extend(arguments);
                Vecferry::new(servers(), command, &all)
            }
            _ => Vecferry::between(servers(), command, "source", "target", arguments),
        };
        (command, run.env("VECFERRY_SOURCE_TOKEN", &token).run())
    })
}

fn outcome(run: &Run, id: &str) -> Value {
    let checks = run.lines.last().unwrap()["checks"].as_array().unwrap().clone();
    checks.iter().find(|check| check["id"] == id).unwrap()["outcome"].clone()
}

#[test]
fn databases_that_may_not_be_listed_are_not_taken_for_one() {
    run_script(
        r#"
        simple(source, "hidden_db_books", 10)
        user("hidden_db")
        "#,
    );
    for arguments in [&[][..], &["--collection", "default.*"]] {
        for (command, run) in commands("hidden_db", arguments) {
            run.failed(3, "VF-0111", "lacks the privilege `ListDatabases` on `*` of the source");
            assert!(!run.stdout.contains("hidden_db_books"), "{command}: {}", run.stdout);
        }
    }
    let with_rbac = Vecferry::between(
        servers(),
        "migrate",
        "source",
        "target",
        &["--with", "rbac", "--collection", "hidden_db_books"],
    );
    let run = with_rbac.env("VECFERRY_SOURCE_TOKEN", "hidden_db:Pass.1234").run();
    run.failed(3, "VF-0702", "PrivilegeSelectOwnership: permission deny to hidden_db");
}

#[test]
fn partitions_that_may_not_be_listed_are_not_taken_for_none() {
    run_script(
        r#"
        simple(source, "hidden_parts", 90, partitions=["p", "q"])
        role("hidden_parts_role", "hidden_parts", "Query", "Load", "GetStatistics")
        user("hidden_parts", "hidden_parts_role")
        me = as_user("hidden_parts")
        waits_for(me, "GetCollectionStatistics", collection_name="hidden_parts")
        waits_for(me, "GetLoadState", collection_name="hidden_parts")
        "#,
    );
    let arguments = ["--collection", "hidden_parts"];
    // Verify and capacity ask the source first as well.
    for (_, run) in commands("hidden_parts", &arguments) {
        run.failed(
            3,
            "VF-0111",
            "lacks the privilege `ShowPartitions` on `default.hidden_parts` of the source",
        );
    }
    oracle().run(r#"assert "hidden_parts" not in target.names()"#);
    run_script(
        r#"
        grant("hidden_parts_role", "hidden_parts", "ShowPartitions")
        waits_for(as_user("hidden_parts"), "ShowPartitions", collection_name="hidden_parts")
        "#,
    );
    let run = commands("hidden_parts", &arguments);
    run[1].1.failed(
        3,
        "VF-0111",
        "lacks the privilege `ListAliases` on `default.hidden_parts` of the source",
    );
    run_script(
        r#"
        grant("hidden_parts_role", "*", "ListAliases", "Global")
        waits_for(as_user("hidden_parts"), "ListAliases", collection_name="hidden_parts")
        "#,
    );
    let [(_, plan), (_, migrate), (_, verify), (_, capacity)] = commands("hidden_parts", &arguments);
    assert_eq!(plan.code, 0, "{}", plan.stderr);
    let checks = [("visibility", "not_applicable"), ("privileges", "pass")];
    for (id, expected) in checks {
        assert_eq!(outcome(&plan, id), expected, "{id}");
    }
    assert_eq!(migrate.succeeded()["collections"][0]["rows"], 90);
    assert_eq!(migrate.report()["resource_groups"], Value::Null, "unknown is not none");
    assert_eq!(verify.succeeded()["collections"][0]["rows"], 90);
    assert_eq!(capacity.code, 0, "{}", capacity.stderr);
    oracle().run(
        r#"
        target.load("hidden_parts")
        assert same(source, target, "hidden_parts") == 90
        "#,
    );
}

#[test]
fn users_may_ask_for_themselves_and_for_their_roles_and_for_no_others() {
    let answers = run_script(
        r#"
        role("own_role", "*", "Query")
        role("others_role", "*", "Query")
        user("own_user", "own_role")
        me = as_user("own_user")
        until(lambda: answer(me, "SelectUser", user=milvus_pb2.UserEntity(name="own_user")) == "ok")
        of = lambda name: milvus_pb2.GrantEntity(role=milvus_pb2.RoleEntity(name=name), db_name="default")
        waits_for(me, "SelectGrant", entity=of("own_role"))
        found = me.call("SelectUser", user=milvus_pb2.UserEntity(name="own_user"), include_role_info=True).results
        every = lambda db: milvus_pb2.GrantEntity(role=milvus_pb2.RoleEntity(name="own_role"), db_name=db)
        result = [
            [[r.name for r in one.roles] for one in found],
            answer(me, "SelectUser", user=milvus_pb2.UserEntity(name="root")),
            answer(me, "SelectUser"),
            answer(me, "SelectGrant", entity=of("others_role")),
            answer(me, "AllocTimestamp"),
            len(me.call("SelectGrant", entity=every("*")).entities),
            [[r.name for r in one.roles if r.name] for one in source.call("SelectUser", include_role_info=True).results if one.user.name == "root"],
        ]
        "#,
    );
    let denied = |privilege: &str| {
        format!("PERMISSION_DENIED Privilege{privilege}: permission deny to own_user").into()
    };
    assert_eq!(answers[0], serde_json::json!([["own_role"]]));
    let expected: [Value; 4] =
        [denied("SelectUser"), denied("SelectUser"), denied("SelectOwnership"), "ok".into()];
    assert_eq!(answers.as_array().unwrap()[1..5], expected);
    // So every database that the user sees is asked for by its name.
    assert_eq!(answers[5], 0, "grants in all databases are only those given for all of them");
    assert_eq!(answers[6], serde_json::json!([[]]), "root is a user like any other, without a role");
}

#[test]
fn servers_without_users_hide_nothing() {
    for (source, target) in [("lite", "lite_target"), ("old_lite", "old_lite_target"), ("source", "target")] {
        // What else stands in the way of everything that other tests made is another matter.
        let run = Vecferry::between(servers(), "plan", source, target, &[]).run();
        let outcome = outcome(&run, "visibility");
        assert_eq!(outcome, "pass", "{source}: {}", run.stderr);
        assert!(!run.stderr.contains("VF-0229"), "{}", run.stderr);
    }
}
