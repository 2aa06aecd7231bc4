//! Clusters that whoever runs the service registers before anybody signs in, such as those of a demonstration.

use vecferry_migrate::Problem;
use vecferry_milvus::Secret;
use vecferry_policy::Deployment;

use crate::problem::of_store;
use crate::service::Service;
use crate::tables::{NewCluster, ProjectPage, Tables, token_purpose};
use crate::watch::{look, sight_of};

impl Service {
    /// Registers a self-hosted cluster in the first project. Clusters there that have the same name are of an earlier start:
    /// they are removed, unless a job needs them.
    ///
    /// # Errors
    /// The cluster does not answer, may not be called, or the store fails.
    pub async fn register_example(
        &self,
        (name, description): (&str, &str),
        address: &str,
        token: Option<Secret>,
    ) -> Result<(), Problem> {
        let endpoint = self.endpoint(address, token.clone(), None).await?;
        let version = look(&endpoint).await?;
        let failed = |error: vecferry_store::Error| of_store(&error);
        let tables = self.tables();
        let org_id = tables.first_organization().await.map_err(failed)?.unwrap_or_default();
        let projects = tables
            .projects(&org_id, ProjectPage { rows: 1, ..ProjectPage::default() })
            .await
            .map_err(failed)?;
        let Some(project) = projects.into_iter().next() else {
            // Somebody removed them all: there is no place for it, and nothing is wrong.
            return Ok(());
        };
        for earlier in tables.clusters_named(&project.project_id, name).await.map_err(failed)? {
            tables.remove_cluster(&earlier).await.map_err(failed)?;
        }
        let cluster_id = Tables::new_cluster_id();
        let token = token.map(|token| self.seal(&token_purpose(&cluster_id), &token)).transpose()?;
        let cluster = NewCluster {
            cluster_id,
            org_id,
            project_id: project.project_id,
            name: name.to_owned(),
            description: description.to_owned(),
            address: endpoint.to_string(),
            deployment: Deployment::SelfHosted.to_string(),
            region: String::new(),
            cu_type: String::new(),
            cu_size: String::new(),
            cloud: None,
            token,
            ca_pem: None,
            sight: sight_of(Ok(version), ""),
        };
        tables.add_cluster(cluster).await.map_err(failed)
    }
}
