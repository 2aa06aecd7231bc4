//! Connections to the two clusters, and what their failures mean to a person.

use serde::{Deserialize, Serialize};
use vecferry_milvus::{Client, Endpoint, Error, ErrorKind, Flavor, ServerIdentity, ServerVersion};
use vecferry_policy::Product;

use crate::problem::{ANY_CLUSTER, Code, Problem, Side, Told, message_of, words_of};

/// TCP connections to each server. More than one, because each is served by one task on both ends.
const CONNECTIONS: usize = 4;

/// One of the two servers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cluster {
    /// Its address, without credentials.
    pub address: String,
    /// What it is.
    pub version: String,
}

/// What a cluster says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterVersion {
    /// Its address, without credentials.
    pub address: String,
    /// What it is.
    pub version: ServerVersion,
    /// What tells it from every other cluster until its nodes restart; absent where it does not say, or not to this user.
    pub identity: Option<ServerIdentity>,
}

/// Connects to a cluster that is neither source nor target yet, logs in, and asks what it is. Nothing is written.
///
/// # Errors
/// The cluster can't be reached, does not accept the credentials, or is not Milvus.
pub async fn version_of(endpoint: &Endpoint) -> Result<ClusterVersion, Problem> {
    let asked = async {
        let client = Client::connect(endpoint.clone(), 1).await?;
        let identity = client.identity().await?;
        Ok((client.version().clone(), identity))
    };
    let (version, identity) = asked.await.map_err(|error| refusal_of(ANY_CLUSTER, &error))?;
    Ok(ClusterVersion { address: endpoint.to_string(), version, identity })
}

/// Opens connections and logs in.
pub(crate) async fn connect(side: Side, endpoint: &Endpoint) -> Result<Client, Problem> {
    Client::connect(endpoint.clone(), CONNECTIONS).await.map_err(|error| refusal(side, &error))
}

/// A failure before anything was written, as a problem.
pub(crate) fn refusal(side: Side, error: &Error) -> Problem {
    refusal_of(side.name(), error)
}

/// The same of a cluster that is no side of a migration.
pub fn cluster_problem(error: &Error) -> Problem {
    refusal_of(ANY_CLUSTER, error)
}

/// The same of `source`, `target` or [`ANY_CLUSTER`].
fn refusal_of(side: &'static str, error: &Error) -> Problem {
    if let Some(privilege) = error.missing_privilege() {
        return Problem::new(Code::PermissionDenied)
            .with("side", side)
            .with("privilege", privilege)
            .with("object", error.subject().unwrap_or("*"))
            .told("detail", message_of(error));
    }
    let code = match error.kind() {
        ErrorKind::InvalidEndpoint => Code::Endpoint,
        ErrorKind::UnknownHost => Code::UnknownHost,
        ErrorKind::ConnectionRefused => Code::ConnectionRefused,
        ErrorKind::ConnectTimeout | ErrorKind::Unreachable | ErrorKind::Timeout => Code::NoAnswer,
        ErrorKind::ServerSpeaksTls => Code::ServerSpeaksTls,
        ErrorKind::ServerSpeaksPlain => Code::ServerSpeaksPlain,
        ErrorKind::UntrustedCertificate => Code::UntrustedCertificate,
        ErrorKind::ClientCertificateRefused => Code::ClientCertificate,
        ErrorKind::NotGrpc => Code::NotGrpc,
        // A Milvus has the first call of all.
        ErrorKind::NotMilvus => Code::NotMilvus,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::Unsupported
        | ErrorKind::DatabaseNotFound
        | ErrorKind::CollectionNotFound
        | ErrorKind::PartitionNotFound
        | ErrorKind::IndexNotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::NotLoaded
        | ErrorKind::RateLimited
        | ErrorKind::WritesDenied
        | ErrorKind::TooLarge
        | ErrorKind::Busy
        | ErrorKind::ConnectionLost
        | ErrorKind::Rejected
        | ErrorKind::Malformed => Code::CheckFailed,
    };
    // On the way to a server the call does not matter; behind it the call is half of the story.
    let detail = if code == Code::CheckFailed { words_of(error) } else { message_of(error) };
    Problem::new(code).with("side", side).with("flag", side).told("detail", detail)
}

/// That a call was denied, as a problem; none for every other failure. The same before a job and in the middle of one.
pub(crate) fn denied(side: Side, error: &(dyn std::error::Error + 'static)) -> Option<Problem> {
    let of_server = of_server(error)?;
    (of_server.kind() == ErrorKind::PermissionDenied).then(|| refusal(side, of_server))
}

/// What a server said, of a failure that it caused.
pub(crate) fn of_server<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    let mut chain = std::iter::successors(Some(error), |error| error.source());
    chain.find_map(|error| error.downcast_ref::<Error>())
}

/// The product behind a client, as the policy names it.
pub(crate) fn product(client: &Client) -> Product {
    match client.version().flavor {
        Flavor::Milvus => Product::Milvus(client.version().release),
        Flavor::LiteNative => Product::LiteNative,
        Flavor::LitePython => Product::LitePython,
    }
}

/// Address and version for reports.
pub(crate) fn cluster(client: &Client) -> Cluster {
    Cluster { address: client.endpoint().to_string(), version: client.version().to_string() }
}

/// Whether two clients talk to one server. Milvus says who it is; lite does not, so there the addresses decide.
pub(crate) async fn same_server(source: &Client, target: &Client) -> Result<Option<Told>, Problem> {
    let identity = |side, client: &Client| {
        let client = client.clone();
        async move { client.identity().await.map_err(|error| refusal(side, &error)) }
    };
    match (identity(Side::Source, source).await?, identity(Side::Target, target).await?) {
        (Some(one), Some(other)) => {
            let same = "both report the same node IDs and start times";
            Ok((one == other).then(|| Told::both(same, "两端的节点 ID 和启动时间相同")))
        }
        _ => {
            let (one, other) = (addresses(source.endpoint()).await, addresses(target.endpoint()).await);
            let shared = one.iter().find(|address| other.contains(address));
            Ok(shared.map(|address| {
                Told::both(
                    format!("both addresses resolve to {address}"),
                    format!("两端的地址都解析到 {address}"),
                )
            }))
        }
    }
}

/// What a host name leads to; every loopback address counts as one.
async fn addresses(endpoint: &Endpoint) -> Vec<std::net::SocketAddr> {
    let found = endpoint.addresses().await.unwrap_or_default();
    found
        .into_iter()
        .map(|mut address| {
            if address.ip().is_loopback() || address.ip().is_unspecified() {
                address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
            }
            address
        })
        .collect()
}

/// Whether two addresses are of one machine.
pub(crate) async fn on_one_machine(source: &Endpoint, target: &Endpoint) -> bool {
    let (one, other) = (addresses(source).await, addresses(target).await);
    one.iter().any(|address| other.iter().any(|known| known.ip() == address.ip()))
}

/// Opens connections to both servers.
pub(crate) async fn connect_both(
    source: &vecferry_milvus::Endpoint,
    target: &vecferry_milvus::Endpoint,
) -> Result<(Client, Client), Vec<Problem>> {
    match tokio::join!(connect(Side::Source, source), connect(Side::Target, target)) {
        (Ok(source), Ok(target)) => Ok((source, target)),
        (one, other) => Err([one.err(), other.err()].into_iter().flatten().collect()),
    }
}
