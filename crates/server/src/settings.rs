//! What whoever runs the service decides.

use std::num::NonZeroU32;
use std::time::Duration;

use vecferry_milvus::Secret;

use crate::network::{Cidr, Networks};
use crate::outbound::Address;

/// As the cloud's API.
const PER_SECOND: NonZeroU32 = NonZeroU32::new(20).unwrap();
/// What a page of a console asks for at once.
const BURST: NonZeroU32 = NonZeroU32::new(40).unwrap();

/// Settings of the service.
#[derive(Clone)]
pub struct Settings {
    /// Which addresses it may connect to.
    pub networks: Networks,
    /// Whether it is reached over TLS, by itself or by a proxy before it: session cookies are sent over TLS only then.
    pub is_behind_tls: bool,
    /// Proxies in these networks tell by `X-Forwarded-For` where a request comes from.
    pub trusted_proxies: Vec<Cidr>,
    /// Jobs that run at once.
    pub jobs: JobLimits,
    /// Bounds of requests.
    pub requests: RequestLimits,
    /// A cluster is looked at again after so long.
    pub look_interval: Duration,
    /// Entries of the audit log are kept so long.
    pub audit_kept: Duration,
    /// Ended jobs are kept so long, with their tasks and deliveries; none for ever.
    pub jobs_kept: Option<Duration>,
    /// Whether figures are shown to whoever asks; otherwise to callers only.
    pub are_metrics_open: bool,
    /// Renders what is counted in this process; none where nothing is.
    pub metrics: Option<metrics_exporter_prometheus::PrometheusHandle>,
    /// Sign-in with an identity provider; none where there is none.
    pub oidc: Option<OidcSettings>,
    /// Another address of the control plane of Zilliz Cloud than the vendor's; for tests.
    pub control_plane: Option<String>,
}

/// Sign-in with an identity provider (OpenID Connect).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcSettings {
    /// What the provider calls itself, an address. Over TLS, unless it is on this machine.
    pub issuer: String,
    /// What the provider calls this service.
    pub client_id: String,
    /// What the service shows the provider; none for a public client.
    pub client_secret: Option<Secret>,
    /// Where the provider sends browsers back to: the service's address with [`OidcSettings::CALLBACK`].
    pub redirect_url: String,
    /// E-mail addresses are of one of these domains; of any one where there are none.
    pub email_domains: Vec<String>,
    /// Who is unknown becomes a member of this organization, without a project; is refused where there is none.
    pub join: Option<String>,
}

impl OidcSettings {
    /// The path that the provider sends browsers back to.
    pub const CALLBACK: &'static str = "/v2/session/oidc/callback";

    /// Whether an e-mail address may sign in.
    pub(crate) fn is_of_domains(&self, email: &str) -> bool {
        let domain = email.rsplit_once('@').map(|(_, domain)| domain).unwrap_or_default();
        self.email_domains.is_empty()
            || self.email_domains.iter().any(|known| known.eq_ignore_ascii_case(domain))
    }

    /// Whether an address may be that of a provider: over TLS, or on this machine.
    pub fn is_issuer(url: &str) -> bool {
        !url.contains('?') && Address::parse(url).is_some_and(|address| address.is_safe())
    }
}

/// Jobs that run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobLimits {
    /// In this process.
    pub per_process_max: usize,
    /// In all processes.
    pub total_max: u32,
    /// Of one organization.
    pub per_organization_max: u32,
    /// Into one target.
    pub per_target_max: u32,
    /// Out of one source.
    pub per_source_max: u32,
}

/// Bounds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Bytes of a body.
    pub body_bytes_max: usize,
    /// A body arrives within this time.
    pub body_wait_max: Duration,
    /// A request is answered within this time; a check of two clusters may take as long.
    pub answer_wait_max: Duration,
    /// Requests of one caller to one endpoint in a second, as the cloud's API allows.
    pub per_second: NonZeroU32,
    /// Requests of one caller to one endpoint at once.
    pub burst: NonZeroU32,
    /// Open connections.
    pub connections_max: usize,
    /// Listeners for the events of jobs.
    pub listeners_max: usize,
    /// How often the record is looked at for each of them.
    pub listener_interval: Duration,
    /// Checks of clusters at once.
    pub checks_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            networks: Networks::default(),
            is_behind_tls: false,
            trusted_proxies: Vec::new(),
            jobs: JobLimits::default(),
            requests: RequestLimits::default(),
            look_interval: Duration::from_secs(60),
            audit_kept: Duration::from_secs(400 * 24 * 60 * 60),
            jobs_kept: None,
            are_metrics_open: false,
            metrics: None,
            oidc: None,
            control_plane: None,
        }
    }
}

impl Default for JobLimits {
    fn default() -> Self {
        Self {
            per_process_max: 4,
            total_max: 64,
            per_organization_max: 16,
            per_target_max: 2,
            per_source_max: 4,
        }
    }
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 1 << 20,
            body_wait_max: Duration::from_secs(30),
            answer_wait_max: Duration::from_secs(60),
            per_second: PER_SECOND,
            burst: BURST,
            connections_max: 2_000,
            listeners_max: 500,
            listener_interval: Duration::from_millis(500),
            checks_max: 8,
        }
    }
}
