//! The real binary between real servers. One set of servers serves all tests; each test uses names of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod auto_id;
mod awkward;
mod canceled;
mod changed_source;
mod claim;
mod cloud;
mod copy;
mod demo;
mod drift;
mod faults;
mod lite;
mod load_state;
mod museum;
mod pace;
mod plan;
mod quarantine;
mod rbac;
mod refused;
mod resume;
mod service;
mod state;
mod store;
mod terminal;
mod tls;
mod untrue;
mod verify;
mod visible;
mod warm;
mod workers;

use std::sync::{LazyLock, OnceLock};

use vecferry_sandbox::{ServerKind, ServerSpec};
use vecferry_testkit::{Oracle, Postgres, Servers};

/// The `vecferry` under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_vecferry");

/// A Milvus with users. Its coordinators look more often than by default whether there is something to do: a flush, a load or an
/// index build takes tenths of a second instead of seconds.
fn milvus(name: &str) -> ServerSpec {
    ServerSpec::new(name, ServerKind::Milvus235)
        .with_authorization()
        .with_setting("common.session.ttl", 5)
        .with_setting("dataCoord.segment.assignmentExpiration", 500)
        .with_setting("indexCoord.scheduler.interval", 100)
        .with_setting("queryCoord.checkChannelInterval", 100)
        .with_setting("queryCoord.checkSegmentInterval", 100)
        .with_setting("queryCoord.UpdateNextTargetInterval", 1)
        .with_setting("queryCoord.distPullInterval", 100)
}

/// The shared servers. The supervisor that owns them ends with this process, which closes its standard input.
fn servers() -> &'static Servers {
    static SERVERS: OnceLock<Servers> = OnceLock::new();
    SERVERS.get_or_init(|| {
        Servers::start(
            PROGRAM,
            [
                milvus("source"),
                milvus("target"),
                ServerSpec::new("old_lite", ServerKind::Lite251),
                ServerSpec::new("old_lite_target", ServerKind::Lite251),
                ServerSpec::new("lite", ServerKind::Lite322),
                ServerSpec::new("lite_target", ServerKind::Lite322),
            ],
        )
    })
}

/// An oracle that knows the shared servers by their names.
fn oracle() -> Oracle {
    Oracle::new(servers())
}

/// The shared PostgreSQL, for jobs that are recorded in a database.
fn postgres() -> &'static Postgres {
    static POSTGRES: LazyLock<Postgres> = LazyLock::new(Postgres::start);
    &POSTGRES
}
