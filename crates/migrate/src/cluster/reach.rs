//! From what a person says of a cluster to an endpoint: an address, or the ID of a cluster of Zilliz Cloud.

use vecferry_milvus::{Endpoint, Secret, Tls};
use vecferry_policy::deployment::{cluster_id_of_host, is_cluster_id};

use super::control_plane::{CloudCluster, find};
use crate::problem::{Code, Problem, message_of};

/// What is said of one side.
#[derive(Clone, Debug)]
pub struct Access<'a> {
    /// `source` or `target`.
    pub side: &'static str,
    /// An address with scheme and port, or the ID of a cluster.
    pub uri: &'a str,
    /// `user:password`, or an API key.
    pub token: Option<&'a Secret>,
    /// A key of the control plane, which opens the cluster as well.
    pub api_key: Option<&'a Secret>,
    /// Certificates.
    pub tls: Tls,
}

/// An endpoint, and what the control plane says of the cluster behind it.
#[derive(Debug)]
pub struct Reached {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The cluster, where the control plane was asked.
    pub cloud: Option<CloudCluster>,
}

impl Access<'_> {
    /// The endpoint of an address.
    ///
    /// # Errors
    /// [`Code::Endpoint`].
    pub fn endpoint(&self) -> Result<Endpoint, Problem> {
        let unusable = |error: vecferry_milvus::Error| {
            let problem = Problem::new(Code::Endpoint).with("side", self.side).with("flag", self.side);
            problem.told("detail", message_of(&error))
        };
        let token = given(self.token).or(given(self.api_key)).cloned();
        let endpoint = Endpoint::parse(self.uri).map_err(unusable)?;
        endpoint.with_token(token).with_tls(self.tls.clone()).map_err(unusable)
    }

    /// The endpoint, found through the control plane where a cluster is named by its ID. With a key, what the control plane
    /// says of the cluster is asked for addresses of Zilliz Cloud as well. `api` is another address of the control plane
    /// than the vendor's.
    ///
    /// # Errors
    /// Those of [`Access::endpoint`] and [`find`], and [`Code::ApiKeyMissing`].
    pub async fn reach(&self, api: Option<&str>) -> Result<Reached, Problem> {
        let key = given(self.api_key);
        let id = if is_cluster_id(self.uri) {
            Some(self.uri.to_owned())
        } else {
            let host = self.uri.split("://").nth(1).unwrap_or_default().split([':', '/']).next();
            host.and_then(cluster_id_of_host).map(str::to_owned).filter(|_| key.is_some())
        };
        let Some(id) = id else { return Ok(Reached { endpoint: self.endpoint()?, cloud: None }) };
        let Some(key) = key else {
            let problem = Problem::new(Code::ApiKeyMissing).with("side", self.side).with("flag", self.side);
            return Err(problem.with("id", id).with("variable", self.side.to_uppercase()));
        };
        let found = find(self.side, &id, key.reveal(), api).await?;
        let uri = if is_cluster_id(self.uri) { found.address.as_str() } else { self.uri };
        let endpoint = Access { uri, ..self.clone() }.endpoint()?;
        Ok(Reached { endpoint, cloud: Some(found.cluster) })
    }
}

/// An empty secret is what an unset variable of a script looks like.
fn given(secret: Option<&Secret>) -> Option<&Secret> {
    secret.filter(|secret| !secret.reveal().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_token_is_none() {
        let has_token = |text| {
            let (token, tls) = (Secret::new(text), Tls::default());
            let uri = "http://localhost:1";
            let access = Access { side: "source", uri, token: Some(&token), api_key: None, tls };
            access.endpoint().unwrap().has_token()
        };
        assert!(!has_token(""));
        assert!(has_token("root:x"));
    }

    #[tokio::test]
    async fn an_id_needs_a_key_of_the_control_plane() {
        let tls = Tls::default();
        let access = Access { side: "target", uri: "in01-0123456789abcde", token: None, api_key: None, tls };
        assert_eq!(access.reach(None).await.unwrap_err().code, Code::ApiKeyMissing);
    }
}
