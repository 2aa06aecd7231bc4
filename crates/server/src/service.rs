//! The service: its tables, its keys, and what runs in this process.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use vecferry_migrate::problem::ANY_CLUSTER;
use vecferry_migrate::{Code, Limits, Problem, Resources};
use vecferry_milvus::{Endpoint, Secret, Tls};
use vecferry_store::{Error as StoreError, ErrorKind, JobId, Store};
use vecferry_words::Told;

use crate::access::{Actor, Caller, Credential, OrganizationRole, Rights};
use crate::network::{self, Networks};
use crate::oidc::Oidc;
use crate::outline::{Line, Outlines};
use crate::presence::Presence;
use crate::problem::{of_network, of_store, unresolved};
use crate::secret::keyring::{self, Keyring};
use crate::secret::token::{Token, TokenKind};
use crate::settings::Settings;
use crate::tables::{ClusterRecord, KEY_PREFIX, Tables, token_purpose};
use crate::throttle::{Credentials, RateLimit, RetryAfter, SignIns};

/// The organization that the first start makes.
const FIRST_ORGANIZATION: &str = "Default Organization";
/// Its project.
const FIRST_PROJECT: &str = "Default Project";
/// Its owner, who signs in by a link the first time.
const FIRST_OWNER: &str = "owner@localhost";

/// Of the sign-ins of one account with one outcome, the audit log takes so many at once, and one more in this time: it does
/// not grow without an end, whoever tries whatever.
const SIGN_INS_RECORDED: NonZeroU32 = NonZeroU32::new(30).unwrap();
const SIGN_IN_RECORDED_EVERY: Duration = Duration::from_secs(60);

/// Checks of drafts in this process at once.
const DRAFT_CHECKS_MAX: usize = 4;
/// Tasks that take longer than a request, in this process at once.
const TASKS_MAX: usize = 4;

/// The service, as one process runs it.
pub struct Service {
    tables: Tables,
    /// Replaced as a whole when the keys are read again.
    keyring: RwLock<Arc<Keyring>>,
    settings: Settings,
    /// The name of this process among those that share the store.
    process: String,
    /// Shows others on this machine that the process lives.
    _presence: Option<Presence>,
    resources: Resources,
    sign_ins: SignIns,
    /// Sign-ins of one account that the audit log takes.
    recorded_sign_ins: RateLimit,
    credentials: Credentials,
    rate: RateLimit,
    /// Checks of clusters at once.
    checks: Semaphore,
    /// Checks of drafts at once: they wait for their turn, and keep no other request waiting.
    draft_checks: Semaphore,
    /// Tasks that take longer than a request, at once.
    tasks: Arc<Semaphore>,
    /// Listeners for events at once.
    listeners: Arc<Semaphore>,
    /// What was read of the jobs that were looked at last.
    outlines: Outlines,
    /// A job may be there to be taken.
    pub(crate) wake: Notify,
    /// Secrets are to be encrypted with a new key.
    pub(crate) reseal: Notify,
    /// Nothing new begins.
    stop: CancellationToken,
    /// Renders what is counted.
    metrics: Option<Metrics>,
    /// Sign-in with an identity provider.
    oidc: Option<Oidc>,
}

/// Renders what is counted, in the text format of Prometheus.
type Metrics = metrics_exporter_prometheus::PrometheusHandle;

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("process", &self.process).finish_non_exhaustive()
    }
}

impl Service {
    /// Opens the service in a store. Where it is new, an organization and its owner are made: the token is for the link
    /// with which the owner signs in once.
    ///
    /// # Errors
    /// The store can't be used, as a problem that says so.
    pub async fn open(
        store: Arc<dyn Store>,
        keyring: Keyring,
        settings: Settings,
    ) -> Result<(Arc<Self>, Option<Secret>), Problem> {
        let failed = |error: StoreError| of_store(&error);
        let tables = Tables::open(store).await.map_err(failed)?;
        let link = first_start(&tables).await.map_err(failed)?;
        if let Some(org_id) = settings.oidc.as_ref().and_then(|oidc| oidc.join.as_ref())
            && tables.edition(org_id).await.map_err(failed)?.is_none()
        {
            return Err(no_organization(org_id));
        }
        let requests = settings.requests;
        let process = format!("process-{}", uuid::Uuid::now_v7().simple());
        let presence = appear(&tables, &process).await;
        let service = Self {
            tables,
            keyring: RwLock::new(Arc::new(keyring)),
            process,
            _presence: presence,
            resources: Resources::new(Limits::default()),
            sign_ins: SignIns::new(),
            recorded_sign_ins: RateLimit::every(SIGN_IN_RECORDED_EVERY, SIGN_INS_RECORDED),
            credentials: Credentials::new(requests.per_second, requests.burst),
            rate: RateLimit::new(requests.per_second, requests.burst),
            checks: Semaphore::new(requests.checks_max),
            draft_checks: Semaphore::new(DRAFT_CHECKS_MAX),
            tasks: Arc::new(Semaphore::new(TASKS_MAX)),
            listeners: Arc::new(Semaphore::new(requests.listeners_max)),
            outlines: Outlines::default(),
            wake: Notify::new(),
            reseal: Notify::new(),
            stop: CancellationToken::new(),
            metrics: settings.metrics.clone(),
            oidc: settings.oidc.clone().map(Oidc::new),
            settings,
        };
        Ok((Arc::new(service), link))
    }

    /// Ends everything that runs, and begins nothing new.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stop
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        self.tables.store()
    }

    pub(crate) fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&self.keyring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Uses other keys from now on: the first one encrypts, also what is stored already. What the former keys encrypted
    /// still opens. Tells whether another key encrypts, or is there to decrypt, than before.
    pub fn replace_keys(&self, keyring: Keyring) -> bool {
        let mut current = self.keyring.write().unwrap_or_else(PoisonError::into_inner);
        let keyring = keyring.after(&current);
        if keyring.key_ids() == current.key_ids() {
            return false;
        }
        *current = Arc::new(keyring);
        drop(current);
        self.reseal.notify_one();
        true
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn networks(&self) -> &Networks {
        &self.settings.networks
    }

    pub(crate) fn process(&self) -> &str {
        &self.process
    }

    pub(crate) fn resources(&self) -> Resources {
        self.resources.clone()
    }

    pub(crate) fn sign_ins(&self) -> &SignIns {
        &self.sign_ins
    }

    /// Whether the audit log takes one more sign-in of an account with this outcome.
    pub(crate) fn records_sign_in(&self, user_id: &str, outcome: &str) -> bool {
        self.recorded_sign_ins.take(&format!("{user_id} {outcome}"), Instant::now()).is_ok()
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    pub(crate) fn checks(&self) -> &Semaphore {
        &self.checks
    }

    pub(crate) fn draft_checks(&self) -> &Semaphore {
        &self.draft_checks
    }

    pub(crate) fn task_permits(&self) -> &Arc<Semaphore> {
        &self.tasks
    }

    pub(crate) fn listeners(&self) -> &Arc<Semaphore> {
        &self.listeners
    }

    /// The collections of a job that the engine began, in the order of its plan.
    pub(crate) async fn outline(&self, job_id: &JobId) -> Result<Vec<Line>, StoreError> {
        self.outlines.of(&**self.store(), job_id).await
    }

    /// How long the target builds indexes behind the copy of a job, by its plan; 0 where that is not known.
    pub(crate) async fn index_seconds(&self, job_id: &JobId) -> Result<f64, StoreError> {
        self.outlines.index_seconds(&**self.store(), job_id).await
    }

    /// Sign-in with an identity provider, where there is one.
    pub(crate) fn oidc(&self) -> Option<&Oidc> {
        self.oidc.as_ref()
    }

    /// Renders what is counted, where that is.
    pub(crate) fn metrics(&self) -> Option<&Metrics> {
        self.metrics.as_ref()
    }

    /// Whether a caller may still do what it may.
    pub(crate) async fn is_still(&self, caller: &Caller) -> bool {
        match self.caller_of(&caller.credential).await {
            Ok(now) => now.as_ref() == Some(caller),
            // Nobody loses a right because the store is away for a moment.
            Err(_) => true,
        }
    }

    /// Makes an organization with a project and an owner, and the token of the link with which the owner signs in once.
    ///
    /// # Errors
    /// Somebody has the address, or the store fails.
    pub async fn add_organization(&self, name: &str, project: &str, email: &str) -> Result<Secret, Problem> {
        let failed = |error: StoreError| of_store(&error);
        add_organization(&self.tables, (name, project), email).await.map_err(failed)
    }

    /// Counts a request of somebody against the limit of the rate.
    pub(crate) fn allow(&self, key: &str) -> Result<(), Problem> {
        self.rate.take(key, Instant::now()).map_err(too_many)
    }

    /// Whoever has a credential; none where it is not good.
    pub(crate) async fn caller_of(&self, credential: &Credential) -> Result<Option<Caller>, StoreError> {
        match credential {
            Credential::Session(hash) => self.caller_of_session(hash).await,
            Credential::Key(hash) => self.caller_of_key(hash).await,
        }
    }

    /// Whoever has a key, with the rights that it gives now.
    async fn caller_of_key(&self, hash: &str) -> Result<Option<Caller>, StoreError> {
        let Some(key) = self.tables.key_by_hash(hash).await? else { return Ok(None) };
        let credential = Credential::Key(hash.to_owned());
        if let Some(user_id) = key.user_id {
            return self.caller_of_user(key.org_id, user_id, credential).await;
        }
        let projects = self.tables.key_roles(&key.key_id).await?;
        let role = if key.is_owner { OrganizationRole::Owner } else { OrganizationRole::Member };
        let (org_id, actor) = (key.org_id, Actor::Key(key.key_id));
        Ok(Some(Caller { org_id, actor, role, projects, credential }))
    }

    /// Whoever has a session.
    pub(crate) async fn caller_of_session(&self, hash: &str) -> Result<Option<Caller>, StoreError> {
        match self.tables.session(hash).await? {
            Some((user_id, org_id)) => {
                self.caller_of_user(org_id, user_id, Credential::Session(hash.to_owned())).await
            }
            None => Ok(None),
        }
    }

    /// The rights that a user or a key has now, by its ID; none for who is no member any more, or whose key ended.
    pub(crate) async fn rights_of(&self, org_id: &str, actor: &str) -> Result<Option<Rights>, StoreError> {
        if !actor.starts_with(KEY_PREFIX) {
            let membership = self.tables.membership(org_id, actor).await?;
            return Ok(membership.map(|found| Rights { role: found.role, projects: found.projects }));
        }
        let now = self.tables.now_ms().await?;
        let key = self.tables.key(org_id, actor).await?;
        let Some(key) = key.filter(|key| key.expires_ms.is_none_or(|end| end > now)) else { return Ok(None) };
        let role = if key.is_owner { OrganizationRole::Owner } else { OrganizationRole::Member };
        Ok(Some(Rights { role, projects: self.tables.key_roles(actor).await? }))
    }

    async fn caller_of_user(
        &self,
        org_id: String,
        user_id: String,
        credential: Credential,
    ) -> Result<Option<Caller>, StoreError> {
        let membership = self.tables.membership(&org_id, &user_id).await?;
        Ok(membership.map(|membership| Caller {
            org_id,
            actor: Actor::User(user_id),
            role: membership.role,
            projects: membership.projects,
            credential,
        }))
    }

    /// Where a cluster is, and how to be let in. Its name is resolved here and nowhere else: the connection goes to an
    /// address that was allowed.
    ///
    /// # Errors
    /// The address can't be used or may not be called.
    pub(crate) async fn endpoint(
        &self,
        address: &str,
        token: Option<Secret>,
        ca_pem: Option<&str>,
    ) -> Result<Endpoint, Problem> {
        let unusable =
            |error: vecferry_milvus::Error| Problem::new(Code::BadRequest).with("detail", error.message());
        let tls = Tls { ca_pem: ca_pem.map(|pem| pem.as_bytes().to_vec()), ..Tls::default() };
        let endpoint = Endpoint::parse(address).map_err(unusable)?.with_token(token);
        let endpoint = endpoint.with_tls(tls).map_err(unusable)?;
        let addresses = self.networks().resolve(endpoint.host(), endpoint.port()).await;
        let addresses = addresses.map_err(|error| match error {
            network::Error::Unresolved { host, reason } => Problem::new(Code::UnknownHost)
                .with("side", ANY_CLUSTER)
                .told("detail", unresolved(&host, &reason)),
            error @ (network::Error::Denied { .. } | network::Error::NotAllowed { .. }) => {
                of_network(endpoint.host(), error)
            }
        })?;
        Ok(endpoint.at(addresses))
    }

    /// The addresses of a host, all of which may be called.
    pub(crate) async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Problem> {
        self.networks().resolve(host, port).await.map_err(|error| of_network(host, error))
    }

    /// Where a registered cluster is, and how to be let in.
    ///
    /// # Errors
    /// As [`Service::endpoint`], or the credential was encrypted with a key that is not there.
    pub(crate) async fn endpoint_of(&self, cluster: &ClusterRecord) -> Result<Endpoint, Problem> {
        let token = match &cluster.token {
            Some(sealed) => Some(self.open_secret(&token_purpose(&cluster.cluster_id), sealed)?),
            None => None,
        };
        self.endpoint(&cluster.address, token, cluster.ca_pem.as_deref()).await
    }

    /// Encrypts a secret.
    pub(crate) fn seal(&self, purpose: &str, secret: &Secret) -> Result<Vec<u8>, Problem> {
        self.keyring().seal(purpose, secret.reveal().as_bytes()).map_err(key_problem)
    }

    /// Decrypts a secret.
    pub(crate) fn open_secret(&self, purpose: &str, sealed: &[u8]) -> Result<Secret, Problem> {
        let plain = self.keyring().open(purpose, sealed).map_err(key_problem)?;
        let text = String::from_utf8(plain.to_vec());
        text.map(Secret::new).map_err(|_| Problem::new(Code::KeyMissing).with("key", "-"))
    }
}

/// A refusal until a time has passed.
pub(crate) fn too_many(wait: RetryAfter) -> Problem {
    Problem::new(Code::TooManyRequests).with("seconds", wait.seconds())
}

fn key_problem(error: keyring::Error) -> Problem {
    match error {
        keyring::Error::UnknownKey { key } => Problem::new(Code::KeyMissing).with("key", key),
        keyring::Error::Damaged
        | keyring::Error::Unsealable
        | keyring::Error::Random { .. }
        | keyring::Error::File(_)
        | keyring::Error::Unset { .. }
        | keyring::Error::Command { .. }
        | keyring::Error::Malformed { .. }
        | keyring::Error::Empty => Problem::new(Code::ServiceUnavailable).with("detail", error),
    }
}

fn no_organization(org_id: &str) -> Problem {
    Problem::new(Code::ConfigInvalid).with("where", "`oidc-join`").told(
        "detail",
        Told::both(
            format!("there is no organization `{org_id}`; `GET /v2/organization` shows its ID"),
            format!("没有 ID 为 `{org_id}` 的组织；可用 `GET /v2/organization` 查看其 ID"),
        ),
    )
}

/// Shows that this process lives, where others can see that, and ends the claims of those that do not any more. It is a
/// matter of seconds only: what can't be done is told, and the claims end with their time.
async fn appear(tables: &Tables, process: &str) -> Option<Presence> {
    let directory = tables.store().directory()?.to_owned();
    let process = process.to_owned();
    let looked = tokio::task::spawn_blocking(move || {
        let presence = Presence::of(&directory, &process)?;
        Ok::<_, std::io::Error>((presence, Presence::gone(&directory)?))
    });
    let (presence, gone) = match looked.await.map_err(std::io::Error::from).and_then(|seen| seen) {
        Ok(seen) => seen,
        Err(error) => {
            tracing::warn!(%error, "processes that ended cannot be told from others: their jobs wait for 15 s");
            return None;
        }
    };
    for gone in gone {
        match tables.release_all(&gone.process).await {
            Ok(()) => {
                tracing::debug!(process = gone.process, "the claims of a process that is gone ended");
                if let Err(error) = gone.forget() {
                    tracing::debug!(%error, "the file of a process that is gone stays");
                }
            }
            Err(error) => tracing::debug!(%error, "the claims of a process that is gone stay for their time"),
        }
    }
    presence
}

/// Makes the first organization. Of several processes that start at once, one does.
async fn first_start(tables: &Tables) -> Result<Option<Secret>, StoreError> {
    if tables.first_organization().await?.is_some() {
        return Ok(None);
    }
    match add_organization(tables, (FIRST_ORGANIZATION, FIRST_PROJECT), FIRST_OWNER).await {
        Ok(link) => Ok(Some(link)),
        // Another process was first.
        Err(error) if error.kind() == ErrorKind::Taken => Ok(None),
        Err(error) => Err(error),
    }
}

async fn add_organization(
    tables: &Tables,
    (name, project): (&str, &str),
    email: &str,
) -> Result<Secret, StoreError> {
    let token = Token::new(TokenKind::Link).map_err(|error| StoreError::unreadable(error.to_string()))?;
    tables.add_organization((name, project), (email, "Owner"), &token.hash).await?;
    Ok(token.secret)
}
