//! A source of another organization: its address and credential, tried before they are kept.

use std::time::Duration;

use vecferry_migrate::cluster::cluster_problem;
use vecferry_migrate::precheck::plan_of;
use vecferry_migrate::{PlanHints, Problem};
use vecferry_milvus::{Client, Endpoint, Error, Secret};

use super::draft::{Draft, Found, Source};
use super::source::where_from;
use super::{Step, at};
use crate::api::clusters::busy;
use crate::api::migrations::{Source as Asked, access};
use crate::api::{Path, Refusal};
use crate::console::form::Form;
use crate::console::frame::Visit;
use crate::console::page::Shown;
use crate::jobs::Access;
use crate::service::Service;
use crate::tables::draft_purpose;
use crate::watch::look;
use crate::watch::silent;

/// A test of a connection takes so long at most.
const TEST_MAX: Duration = Duration::from_secs(30);
/// Databases whose collections are counted.
pub(super) const DATABASES_MAX: usize = 200;

/// What was typed, without the credential.
#[derive(Clone, Debug, Default)]
pub(super) struct Typed {
    pub(super) endpoint: String,
    pub(super) certificate: String,
}

impl Typed {
    /// What is kept of it.
    pub(super) fn of(draft: &Draft) -> Self {
        match &draft.source {
            Some(Source::Elsewhere(found)) => {
                Self { endpoint: found.address.clone(), certificate: String::new() }
            }
            Some(Source::Cluster(_)) | None => Self::default(),
        }
    }
}

/// Tries an address, and takes it where it answers.
pub(super) async fn connect(visit: Visit, Path(path): Path<(String, String)>, form: Form) -> Shown {
    let mut at = match at(visit, path).await? {
        Ok(at) => at,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let typed = Typed {
        endpoint: form.text("endpoint").to_owned(),
        certificate: form.text("certificate").to_owned(),
    };
    let asked = Asked {
        cluster_id: None,
        endpoint: Some(typed.endpoint.clone()),
        token: form.some("token"),
        ca_certificate: form.some("certificate"),
    };
    let service = std::sync::Arc::clone(&at.visit.service);
    let tried = async {
        let (access, found) = tested(&service, &asked).await?;
        let text = serde_json::to_string(&access).map_err(Refusal::unavailable)?;
        let sealed = service.seal(&draft_purpose(&at.record.draft_id), &Secret::new(text))?;
        at.take_source(Some(Source::Elsewhere(found)), Some(sealed));
        at.keep().await
    };
    match tried.await {
        Ok(()) => at.to(Step::Source),
        Err(refusal) => where_from(&at, Some(&refusal), (true, "", None), typed).await,
    }
}

async fn tested(service: &Service, asked: &Asked) -> Result<(Access, Found), Refusal> {
    let access = access(asked)?.ok_or_else(|| Refusal::bad_told("no address is given", "尚未填写地址"))?;
    let _permit = service.checks().try_acquire().map_err(|_| busy())?;
    let endpoint = service.endpoint(&access.address, access.secret(), access.ca_pem.as_deref()).await?;
    let at_ms = service.tables().now_ms().await?;
    let tested = tokio::time::timeout(TEST_MAX, Box::pin(contents(&endpoint))).await;
    let (version, databases, collections) = tested.map_err(|_| silent(TEST_MAX))??;
    let plan = plan_of(endpoint.host(), &PlanHints::default()).map(|found| found.deployment.to_string());
    let access = Access { address: endpoint.to_string(), ..access };
    let found = Found {
        address: access.address.clone(),
        version,
        plan: plan.unwrap_or_default(),
        databases,
        collections,
        at_ms,
        has_credential: !access.token.is_empty(),
        has_certificate: access.ca_pem.is_some(),
    };
    Ok((access, found))
}

/// Version, databases and collections of a cluster.
async fn contents(endpoint: &Endpoint) -> Result<(String, u64, u64), Problem> {
    let version = look(endpoint).await?;
    let counted = async {
        let client = Client::connect(endpoint.clone(), 1).await?;
        let databases = client.databases().await?;
        let mut collections = 0;
        for db in databases.iter().take(DATABASES_MAX) {
            collections += client.collections(db).await?.len() as u64;
        }
        Ok::<_, Error>((databases.len() as u64, collections))
    };
    let (databases, collections) = counted.await.map_err(|error| cluster_problem(&error))?;
    Ok((version, databases, collections))
}
