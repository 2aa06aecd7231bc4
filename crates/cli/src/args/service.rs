//! What `serve`, `config`, `backup` and `restore` take.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use vecferry_milvus::Secret;

use super::{STORE_VARIABLE, StateArgs, secret};

/// `serve`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ServeArgs {
    /// What to do besides running it.
    #[command(subcommand)]
    pub(crate) action: Option<ServeAction>,
    /// Try it out: start two Milvus servers, one with sample data, and register them; all of it is removed when the service ends
    #[arg(long)]
    pub(crate) demo: bool,
    /// Its settings.
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
}

impl ServeArgs {
    /// Settings of whatever is done.
    pub(crate) fn base(&self) -> &BaseArgs {
        match &self.action {
            Some(ServeAction::Organization(args)) => args.action.base(),
            None => &self.service.base,
        }
    }
}

/// What to do besides running the service.
#[derive(Debug, Subcommand)]
pub(crate) enum ServeAction {
    /// Manage the organizations of the service
    Organization(OrganizationArgs),
}

/// `serve organization`
#[derive(Debug, Args)]
pub(crate) struct OrganizationArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub(crate) action: OrganizationAction,
}

/// What to do with organizations.
#[derive(Debug, Subcommand)]
pub(crate) enum OrganizationAction {
    /// Create an organization, and print the one-time sign-in link of its owner
    Add(Box<OrganizationAddArgs>),
}

impl OrganizationAction {
    fn base(&self) -> &BaseArgs {
        match self {
            Self::Add(args) => &args.base,
        }
    }
}

/// `serve organization add`
#[derive(Debug, Args)]
pub(crate) struct OrganizationAddArgs {
    /// Name of the organization
    pub(crate) name: String,
    /// Email address of its owner
    #[arg(long, value_name = "EMAIL", value_hint = ValueHint::EmailAddress)]
    pub(crate) email: String,
    /// Where the organization is recorded.
    #[command(flatten)]
    pub(crate) base: BaseArgs,
}

/// `config`
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
}

/// What to do with settings.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Show each setting of the service, its value, and where the value comes from
    Show(Box<ServiceArgs>),
}

/// Where the service keeps its records, and the keys for what is encrypted there.
#[derive(Debug, Args)]
pub(crate) struct BaseArgs {
    /// Settings in a TOML file; variables (VECFERRY_SERVE_…) and options override it
    #[arg(long, value_name = "FILE", env = "VECFERRY_SERVE_CONFIG", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// File with the keys that encrypt stored credentials [default: service.key in the state directory]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Keys")]
    key_file: Option<String>,
    /// Command that prints these keys, run by `sh -c`; or set VECFERRY_KEY to the keys
    #[arg(long, value_name = "COMMAND", value_parser = secret, help_heading = "Keys")]
    key_command: Option<Secret>,
}

/// Settings of the service. What the texts mean is found out where those of the file and of variables are.
#[derive(Debug, Args)]
pub(crate) struct ServiceArgs {
    /// Where it keeps its records.
    #[command(flatten)]
    pub(crate) base: BaseArgs,
    #[command(flatten)]
    listener: ListenerArgs,
    #[command(flatten)]
    networks: NetworkArgs,
    #[command(flatten)]
    oidc: OidcArgs,
    #[command(flatten)]
    traces: TraceArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// Where traces go.
#[derive(Debug, Args)]
#[command(next_help_heading = "Traces")]
struct TraceArgs {
    /// Export traces to this collector (OTLP over HTTP), such as `http://127.0.0.1:4318`
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    otlp_endpoint: Option<String>,
}

/// How the service is reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "Listener")]
struct ListenerArgs {
    /// Address and port to listen on [default: 127.0.0.1:19777]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Certificate chain (PEM); read again every minute and on SIGHUP
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    tls_cert: Option<String>,
    /// Private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    tls_key: Option<String>,
    /// A proxy in front of the service terminates TLS
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    behind_tls: Option<String>,
    /// Proxies in this network (repeatable) state client addresses in X-Forwarded-For
    #[arg(long, value_name = "CIDR")]
    trusted_proxies: Vec<String>,
    /// Show /metrics without an API key
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    metrics_open: Option<String>,
}

/// Where the service connects to.
#[derive(Debug, Args)]
#[command(next_help_heading = "Networks")]
struct NetworkArgs {
    /// Connect only to clusters in this network (repeatable), e.g. 10.0.0.0/8
    #[arg(long, value_name = "CIDR")]
    allow_network: Vec<String>,
    /// Never connect to clusters in this network (repeatable)
    #[arg(long, value_name = "CIDR")]
    deny_network: Vec<String>,
}

/// Sign-in with an identity provider.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sign-in with OpenID Connect")]
struct OidcArgs {
    /// Identity provider: its issuer URL, such as `https://id.example.com`
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    oidc_issuer: Option<String>,
    /// ID of this service at the identity provider
    #[arg(long, value_name = "ID")]
    oidc_client_id: Option<String>,
    /// File with the client secret; or set VECFERRY_SERVE_OIDC_CLIENT_SECRET
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    oidc_client_secret_file: Option<String>,
    /// Callback URL that browsers reach [default: on the address of --listen]
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    oidc_redirect_url: Option<String>,
    /// Accept only email addresses of this domain (repeatable)
    #[arg(long, value_name = "DOMAIN")]
    oidc_email_domain: Vec<String>,
    /// Organization that unknown users join as members without projects
    #[arg(long, value_name = "ORG_ID")]
    oidc_join: Option<String>,
}

/// Limits of the service.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Jobs that run at the same time in this process [default: 4]
    #[arg(long, value_name = "N")]
    jobs_per_process: Option<String>,
    /// Jobs that run at the same time in all processes [default: 64]
    #[arg(long, value_name = "N")]
    jobs_total: Option<String>,
    /// Jobs of one organization that run at the same time [default: 16]
    #[arg(long, value_name = "N")]
    jobs_per_organization: Option<String>,
    /// Jobs that write to one target at the same time [default: 2]
    #[arg(long, value_name = "N")]
    jobs_per_target: Option<String>,
    /// Jobs that read one source at the same time [default: 4]
    #[arg(long, value_name = "N")]
    jobs_per_source: Option<String>,
    /// Requests per second of one caller to one endpoint [default: 20]
    #[arg(long, value_name = "N")]
    requests_per_second: Option<String>,
    /// Requests that one caller may send at once before that limit applies [default: 40]
    #[arg(long, value_name = "N")]
    requests_burst: Option<String>,
    /// Size of a request body in bytes [default: 1048576]
    #[arg(long, value_name = "BYTES")]
    body_bytes: Option<String>,
    /// Open connections [default: 2000]
    #[arg(long, value_name = "N")]
    connections: Option<String>,
    /// Clients that listen to the events of jobs at the same time [default: 500]
    #[arg(long, value_name = "N")]
    listeners: Option<String>,
    /// Cluster checks that run at the same time [default: 8]
    #[arg(long, value_name = "N")]
    checks: Option<String>,
    /// Seconds between two looks at a registered cluster [default: 60]
    #[arg(long, value_name = "SECONDS")]
    cluster_interval: Option<String>,
    /// Days for which entries of the audit log are kept [default: 400]
    #[arg(long, value_name = "DAYS")]
    audit_days: Option<String>,
    /// Days for which ended jobs are kept, 0 for no limit [default: 0]
    #[arg(long, value_name = "DAYS")]
    job_days: Option<String>,
}

/// Values of a setting as they were typed, by the name of the setting.
pub(crate) type Typed = (&'static str, Vec<String>);

fn one(name: &'static str, value: Option<&String>) -> Typed {
    (name, value.cloned().into_iter().collect())
}

impl BaseArgs {
    /// What was typed.
    pub(crate) fn typed(&self) -> Vec<Typed> {
        // The parser takes it from the variable too.
        let of_environment = std::env::var(STORE_VARIABLE).ok();
        let store = self.state.store.as_ref().map(|url| url.reveal().to_owned());
        let store = store.filter(|url| of_environment.as_ref() != Some(url));
        let directory = self.state.state_dir.as_ref().map(|path| path.to_string_lossy().into_owned());
        let command = self.key_command.as_ref().map(|command| command.reveal().to_owned());
        vec![
            one("state-dir", directory.as_ref()),
            one("store", store.as_ref()),
            one("key-file", self.key_file.as_ref()),
            one("key-command", command.as_ref()),
        ]
    }
}

impl ServiceArgs {
    /// What was typed, as [`BaseArgs::typed`] gives it.
    pub(crate) fn typed(&self) -> Vec<Typed> {
        let (listener, networks, limits) = (&self.listener, &self.networks, &self.limits);
        let oidc = &self.oidc;
        let mut typed = self.base.typed();
        typed.extend([
            one("listen", listener.listen.as_ref()),
            one("tls-cert", listener.tls_cert.as_ref()),
            one("tls-key", listener.tls_key.as_ref()),
            one("behind-tls", listener.behind_tls.as_ref()),
            ("trusted-proxies", listener.trusted_proxies.clone()),
            one("metrics-open", listener.metrics_open.as_ref()),
            ("allow-network", networks.allow_network.clone()),
            ("deny-network", networks.deny_network.clone()),
            one("oidc-issuer", oidc.oidc_issuer.as_ref()),
            one("oidc-client-id", oidc.oidc_client_id.as_ref()),
            one("oidc-client-secret-file", oidc.oidc_client_secret_file.as_ref()),
            one("oidc-redirect-url", oidc.oidc_redirect_url.as_ref()),
            ("oidc-email-domain", oidc.oidc_email_domain.clone()),
            one("oidc-join", oidc.oidc_join.as_ref()),
            one("otlp-endpoint", self.traces.otlp_endpoint.as_ref()),
            one("jobs-per-process", limits.jobs_per_process.as_ref()),
            one("jobs-total", limits.jobs_total.as_ref()),
            one("jobs-per-organization", limits.jobs_per_organization.as_ref()),
            one("jobs-per-target", limits.jobs_per_target.as_ref()),
            one("jobs-per-source", limits.jobs_per_source.as_ref()),
            one("requests-per-second", limits.requests_per_second.as_ref()),
            one("requests-burst", limits.requests_burst.as_ref()),
            one("body-bytes", limits.body_bytes.as_ref()),
            one("connections", limits.connections.as_ref()),
            one("listeners", limits.listeners.as_ref()),
            one("checks", limits.checks.as_ref()),
            one("cluster-interval", limits.cluster_interval.as_ref()),
            one("audit-days", limits.audit_days.as_ref()),
            one("job-days", limits.job_days.as_ref()),
        ]);
        typed
    }
}

/// `backup`
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// New file for the copy
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

/// `restore`
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// File that `vecferry backup` wrote
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}
