//! The versions of the tables. A version that was released is never changed: what comes later is a step of its own.

/// SQL that both stores understand.
pub(crate) const STEPS: [&str; 9] = [FIRST, SECOND, THIRD, FOURTH, FIFTH, SIXTH, SEVENTH, EIGHTH, NINTH];

const FIRST: &str = r#"
CREATE TABLE organizations (
    org_id TEXT COLLATE "C" PRIMARY KEY,
    name TEXT NOT NULL,
    edition TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE TABLE users (
    user_id TEXT COLLATE "C" PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    password TEXT,
    created_ms BIGINT NOT NULL
);
CREATE TABLE members (
    org_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    role TEXT NOT NULL,
    joined_ms BIGINT NOT NULL,
    PRIMARY KEY (org_id, user_id)
);
CREATE INDEX members_by_user ON members (user_id);
CREATE TABLE projects (
    project_id TEXT COLLATE "C" PRIMARY KEY,
    org_id TEXT COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    removed_ms BIGINT
);
CREATE INDEX projects_by_org ON projects (org_id, project_id);
CREATE TABLE project_members (
    project_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    role TEXT NOT NULL,
    PRIMARY KEY (project_id, user_id)
);
CREATE INDEX project_members_by_user ON project_members (user_id);
CREATE TABLE clusters (
    cluster_id TEXT COLLATE "C" PRIMARY KEY,
    org_id TEXT COLLATE "C" NOT NULL,
    project_id TEXT COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    address TEXT NOT NULL,
    deployment TEXT NOT NULL,
    region TEXT NOT NULL,
    cu_type TEXT NOT NULL,
    cu_size TEXT NOT NULL,
    cloud TEXT,
    token BYTEA,
    ca_pem TEXT,
    status TEXT NOT NULL,
    version TEXT NOT NULL,
    trouble TEXT,
    looked_ms BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    removed_ms BIGINT
);
CREATE INDEX clusters_by_org ON clusters (org_id, cluster_id);
CREATE INDEX clusters_by_look ON clusters (looked_ms);
CREATE TABLE api_keys (
    key_id TEXT COLLATE "C" PRIMARY KEY,
    org_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C",
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    ending TEXT NOT NULL,
    is_owner BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT,
    revoked_ms BIGINT
);
CREATE INDEX api_keys_by_org ON api_keys (org_id, key_id);
CREATE TABLE key_grants (
    key_id TEXT COLLATE "C" NOT NULL,
    project_id TEXT COLLATE "C" NOT NULL,
    role TEXT NOT NULL,
    PRIMARY KEY (key_id, project_id)
);
CREATE TABLE sessions (
    hash TEXT PRIMARY KEY,
    user_id TEXT COLLATE "C" NOT NULL,
    org_id TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE TABLE links (
    hash TEXT PRIMARY KEY,
    user_id TEXT COLLATE "C" NOT NULL,
    expires_ms BIGINT NOT NULL,
    used_ms BIGINT
);
CREATE TABLE migrations (
    job_id TEXT COLLATE "C" PRIMARY KEY,
    org_id TEXT COLLATE "C" NOT NULL,
    project_id TEXT COLLATE "C" NOT NULL,
    source_project_id TEXT COLLATE "C",
    source_cluster_id TEXT COLLATE "C",
    target_cluster_id TEXT COLLATE "C" NOT NULL,
    source_address TEXT NOT NULL,
    target_address TEXT NOT NULL,
    source_secret BYTEA,
    request TEXT NOT NULL,
    state TEXT NOT NULL,
    wanted TEXT,
    progress BIGINT NOT NULL,
    reason TEXT,
    checks TEXT,
    created_by TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    start_ms BIGINT NOT NULL,
    started_ms BIGINT,
    ended_ms BIGINT,
    holder TEXT,
    held_until_ms BIGINT NOT NULL
);
CREATE INDEX migrations_by_org ON migrations (org_id, job_id);
CREATE INDEX migrations_by_project ON migrations (project_id, job_id);
CREATE INDEX migrations_wanted ON migrations (wanted, start_ms);
CREATE INDEX migrations_held ON migrations (holder);
CREATE TABLE queue (
    name TEXT PRIMARY KEY,
    turn BIGINT NOT NULL
);
INSERT INTO queue (name, turn) VALUES ('jobs', 0);
CREATE TABLE audit (
    audit_id TEXT COLLATE "C" PRIMARY KEY,
    org_id TEXT COLLATE "C" NOT NULL,
    at_ms BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    outcome TEXT NOT NULL,
    address TEXT NOT NULL,
    request_id TEXT NOT NULL
);
CREATE INDEX audit_by_org ON audit (org_id, audit_id);
CREATE INDEX audit_by_time ON audit (at_ms);
CREATE TABLE idempotency (
    org_id TEXT COLLATE "C" NOT NULL,
    caller TEXT NOT NULL,
    name TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    job_id TEXT,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (org_id, caller, name)
);
CREATE INDEX idempotency_by_time ON idempotency (at_ms);
"#;

/// Webhooks, and tasks that take longer than a request. `told` is the state that webhooks were told last: a state that is recorded again is no change.
const SECOND: &str = r#"
CREATE TABLE webhooks (
    webhook_id TEXT COLLATE "C" PRIMARY KEY,
    org_id TEXT COLLATE "C" NOT NULL,
    project_id TEXT COLLATE "C",
    url TEXT NOT NULL,
    secret BYTEA NOT NULL,
    created_by TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX webhooks_by_org ON webhooks (org_id, webhook_id);
CREATE TABLE deliveries (
    delivery_id TEXT COLLATE "C" PRIMARY KEY,
    webhook_id TEXT COLLATE "C" NOT NULL,
    job_id TEXT COLLATE "C",
    sequence BIGINT NOT NULL,
    state TEXT NOT NULL,
    progress BIGINT NOT NULL,
    reason TEXT,
    start_ms BIGINT NOT NULL,
    started_ms BIGINT,
    ended_ms BIGINT,
    made_ms BIGINT NOT NULL,
    body TEXT,
    attempts BIGINT NOT NULL,
    next_ms BIGINT,
    delivered_ms BIGINT,
    trouble TEXT
);
CREATE INDEX deliveries_due ON deliveries (next_ms);
CREATE INDEX deliveries_of_job ON deliveries (job_id, webhook_id, sequence);
CREATE INDEX deliveries_of_webhook ON deliveries (webhook_id, made_ms);
CREATE TABLE tasks (
    task_id TEXT COLLATE "C" PRIMARY KEY,
    org_id TEXT COLLATE "C" NOT NULL,
    job_id TEXT COLLATE "C" NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    result TEXT,
    created_by TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    ended_ms BIGINT,
    holder TEXT NOT NULL,
    held_until_ms BIGINT NOT NULL
);
CREATE INDEX tasks_of_job ON tasks (job_id, task_id);
CREATE INDEX tasks_by_state ON tasks (state, held_until_ms);
CREATE INDEX deliveries_by_time ON deliveries (made_ms);
CREATE INDEX tasks_by_time ON tasks (created_ms);
CREATE INDEX migrations_by_end ON migrations (ended_ms);
CREATE INDEX idempotency_by_job ON idempotency (job_id);
ALTER TABLE migrations ADD COLUMN told TEXT;
UPDATE migrations SET told = state;
"#;

/// Who is who at an identity provider.
const THIRD: &str = r#"
CREATE TABLE identities (
    issuer TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE UNIQUE INDEX identities_by_user ON identities (user_id, issuer);
"#;

/// Members of the source's project see its jobs too.
const FOURTH: &str = r#"
CREATE INDEX migrations_by_source_project ON migrations (source_project_id, job_id);
"#;

/// Migrations that somebody prepares in the console.
const FIFTH: &str = r#"
CREATE TABLE drafts (
    draft_id TEXT COLLATE "C" PRIMARY KEY,
    org_id TEXT COLLATE "C" NOT NULL,
    project_id TEXT COLLATE "C" NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    content TEXT NOT NULL,
    secret BYTEA,
    changed_ms BIGINT NOT NULL,
    check_run TEXT,
    check_of TEXT,
    check_begun_ms BIGINT,
    check_ended_ms BIGINT,
    check_result TEXT,
    starting_by TEXT,
    starting_ms BIGINT
);
CREATE INDEX drafts_by_person ON drafts (org_id, created_by, draft_id);
CREATE INDEX drafts_by_time ON drafts (changed_ms);
"#;

/// What was looked at before a job's first write.
const SIXTH: &str = r#"
ALTER TABLE migrations ADD COLUMN looked_at TEXT;
"#;

/// Every filter of a list has an index: without one, a filter that few rows pass reads all of an organization.
const SEVENTH: &str = r#"
CREATE INDEX migrations_by_state ON migrations (org_id, state, job_id);
CREATE INDEX migrations_by_project_state ON migrations (project_id, state, job_id);
CREATE INDEX migrations_by_source_project_state ON migrations (source_project_id, state, job_id);
CREATE INDEX migrations_by_source_cluster ON migrations (source_cluster_id, job_id, state);
CREATE INDEX migrations_by_target_cluster ON migrations (target_cluster_id, job_id, state);
CREATE INDEX clusters_by_project ON clusters (project_id, cluster_id);
CREATE INDEX audit_by_actor ON audit (org_id, actor, audit_id);
CREATE INDEX audit_by_action ON audit (org_id, action, audit_id);
"#;

/// How far a job was over its time; and when what is in `looked_at` was looked at.
const EIGHTH: &str = r#"
CREATE TABLE paces (
    job_id TEXT COLLATE "C" PRIMARY KEY REFERENCES migrations (job_id) ON DELETE CASCADE,
    points TEXT NOT NULL
);
ALTER TABLE migrations ADD COLUMN looked_ms BIGINT;
"#;

/// How a job copies; and the round that somebody wants of one whose warm copy came to its end.
const NINTH: &str = r#"
ALTER TABLE migrations ADD COLUMN kind TEXT NOT NULL DEFAULT 'plain';
ALTER TABLE migrations ADD COLUMN next_round TEXT;
"#;
