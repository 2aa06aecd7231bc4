//! The calls.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind};
use crate::shapes::{Cluster, ClusterPage, Metrics, Project};

/// The vendor's control planes: global, and China.
pub const HOSTS: [&str; 2] = ["https://api.cloud.zilliz.com", "https://api.cloud.zilliz.com.cn"];

/// Twenty calls a second are allowed.
const CALL_EVERY: Duration = Duration::from_millis(50);
const TIMEOUT: Duration = Duration::from_secs(60);
/// How often a call is made that was asked too often.
const TRIES_MAX: u32 = 5;
const PAGE_SIZE: u64 = 100;
/// Pages of a list at most.
const PAGES_MAX: u64 = 100;
/// Longest answer.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// A key of an organization. Shown nowhere.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// A key.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(***)")
    }
}

/// A control plane, with a key for it. Clones share the pace of the calls.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    base: String,
    key: ApiKey,
    agent: ureq::Agent,
    next: Arc<Mutex<Option<Instant>>>,
}

#[derive(Deserialize)]
struct Envelope {
    code: Option<i64>,
    message: Option<String>,
    data: Option<Value>,
}

enum Body {
    None,
    Json(Value),
}

impl ControlPlane {
    /// The control plane at an address, as one of [`HOSTS`].
    pub fn new(base: &str, key: ApiKey) -> Self {
        let config =
            ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).build();
        let base = base.trim_end_matches('/').to_owned();
        Self { base, key, agent: config.new_agent(), next: Arc::default() }
    }

    /// Where it is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The projects of the key's organization.
    pub async fn projects(&self) -> Result<Vec<Project>, Error> {
        self.call("/v2/projects".to_owned(), Body::None).await
    }

    /// All clusters that the key has access to.
    pub async fn clusters(&self) -> Result<Vec<Cluster>, Error> {
        let mut all = Vec::new();
        for page in 1..=PAGES_MAX {
            let path = format!("/v2/clusters?pageSize={PAGE_SIZE}&currentPage={page}");
            match self.call(path, Body::None).await? {
                ClusterPage::All(clusters) => return Ok(clusters),
                ClusterPage::Page { count, clusters } => {
                    let is_last = clusters.is_empty();
                    all.extend(clusters);
                    if is_last || all.len() as u64 >= count {
                        return Ok(all);
                    }
                }
            }
        }
        Ok(all)
    }

    /// One cluster.
    pub async fn cluster(&self, id: &str) -> Result<Cluster, Error> {
        let cluster: Cluster = self.call(format!("/v2/clusters/{id}"), Body::None).await?;
        if cluster.cluster_id == id {
            return Ok(cluster);
        }
        let text = format!("asked for {id}, the control plane describes `{}`", cluster.cluster_id);
        Err(Error::new(ErrorKind::Malformed, 0, text))
    }

    /// The newest values of some metrics, over the last minutes; those without a value are left out.
    pub async fn metrics(&self, id: &str, names: &[&str]) -> Result<BTreeMap<String, f64>, Error> {
        let queries: Vec<_> = names.iter().map(|name| json!({"name": name, "stat": "AVG"})).collect();
        let body = json!({"period": "PT10M", "granularity": "PT1M", "metricQueries": queries});
        let metrics: Metrics =
            self.call(format!("/v2/clusters/{id}/metrics/query"), Body::Json(body)).await?;
        let newest = metrics.results.into_iter().filter_map(|metric| {
            let values = metric.values.iter().rev();
            let value = values.filter_map(|value| value.value.as_deref()?.parse().ok()).next()?;
            Some((metric.name, value))
        });
        Ok(newest.collect())
    }

    /// Makes a call, again where it was made too often.
    async fn call<Answer: DeserializeOwned>(&self, path: String, body: Body) -> Result<Answer, Error> {
        let mut tries = 1;
        loop {
            self.wait_for_turn().await;
            match self.call_once(&path, &body).await {
                Err(error) if error.kind() == ErrorKind::Throttled && tries < TRIES_MAX => {
                    tokio::time::sleep(CALL_EVERY * 2_u32.pow(tries + 1)).await;
                    tries += 1;
                }
                Ok(data) => {
                    return serde_json::from_value(data)
                        .map_err(|error| Error::new(ErrorKind::Malformed, 0, format!("{path}: {error}")));
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn wait_for_turn(&self) {
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = next.unwrap_or_else(Instant::now).max(Instant::now());
            *next = Some(turn + CALL_EVERY);
            turn
        };
        tokio::time::sleep_until(turn.into()).await;
    }

    async fn call_once(&self, path: &str, body: &Body) -> Result<Value, Error> {
        let (agent, url) = (self.agent.clone(), format!("{}{path}", self.base));
        let authorization = format!("Bearer {}", self.key.0);
        let body = match body {
            Body::None => None,
            Body::Json(body) => Some(body.to_string()),
        };
        let work = tokio::task::spawn_blocking(move || {
            let mut response = match body {
                None => agent
                    .get(&url)
                    .header("authorization", &authorization)
                    .header("accept", "application/json")
                    .call()?,
                Some(body) => agent
                    .post(&url)
                    .header("authorization", &authorization)
                    .header("accept", "application/json")
                    .header("content-type", "application/json")
                    .send(body)?,
            };
            let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string()?;
            Ok::<_, ureq::Error>((response.status().as_u16(), text))
        });
        let unreachable = |detail: String| Error::new(ErrorKind::Unreachable, 0, detail);
        let answered = work.await.map_err(|error| unreachable(error.to_string()))?;
        let (status, text) = answered.map_err(|error| unreachable(format!("{}: {error}", self.base)))?;
        read(status, &text)
    }
}

/// The data of an answer; what its code says counts, whatever the HTTP status.
fn read(status: u16, text: &str) -> Result<Value, Error> {
    let Ok(envelope) = serde_json::from_str::<Envelope>(text) else {
        if (200..300).contains(&status) {
            return Err(Error::new(ErrorKind::Malformed, 0, "the answer is no JSON document"));
        }
        return Err(Error::refused(status, 0, &format!("HTTP status {status}")));
    };
    match envelope.code {
        Some(0) if (200..300).contains(&status) => {
            envelope.data.ok_or_else(|| Error::new(ErrorKind::Malformed, 0, "the answer has no data"))
        }
        code => {
            let message = envelope.message.unwrap_or_else(|| format!("HTTP status {status}"));
            Err(Error::refused(status, code.unwrap_or_default(), &message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_what_its_code_says() {
        assert_eq!(read(200, r#"{"code":0,"data":[1]}"#).unwrap(), json!([1]));
        for (status, text, kind, code) in [
            (401, r#"{"code":21119,"message":"The apikey is illegal"}"#, ErrorKind::BadKey, 21119),
            (200, r#"{"code":80002,"message":"token invalid"}"#, ErrorKind::BadKey, 80002),
            (200, r#"{"code":80020,"message":"cluster id invalid"}"#, ErrorKind::NoCluster, 80020),
            (200, r#"{"code":40013,"message":"duplicate name"}"#, ErrorKind::Refused, 40013),
            (429, r#"{"code":1,"message":"slowly"}"#, ErrorKind::Throttled, 1),
            (502, "<html>", ErrorKind::Unreachable, 0),
            (200, "<html>", ErrorKind::Malformed, 0),
            (200, r#"{"code":0}"#, ErrorKind::Malformed, 0),
            (500, r#"{"code":0,"data":[]}"#, ErrorKind::Unreachable, 0),
            (200, r#"{"data":[]}"#, ErrorKind::Refused, 0),
        ] {
            let error = read(status, text).unwrap_err();
            assert_eq!((error.kind(), error.code()), (kind, code), "{status} {text}");
        }
    }

    #[test]
    fn a_key_is_shown_nowhere() {
        let plane = ControlPlane::new("http://localhost:1/", ApiKey::new("hunter2"));
        assert!(!format!("{plane:?}").contains("hunter2"));
        assert_eq!(plane.base(), "http://localhost:1");
    }
}
