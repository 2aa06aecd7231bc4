//! From flags to an endpoint.

use std::path::Path;

use vecferry_migrate::cluster::control_plane::{CloudCluster, find};
use vecferry_migrate::{Code, Problem};
use vecferry_milvus::{Endpoint, Secret, Tls};
use vecferry_policy::deployment::{cluster_id_of_host, is_cluster_id};

use crate::args::ConnectionArgs;

/// The endpoint that the flags of one side describe. Every file that can't be read is named.
pub(crate) fn endpoint(args: &ConnectionArgs<'_>) -> Result<Endpoint, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut read = |path: &Option<_>| match path.as_deref().map(read_file).transpose() {
        Ok(content) => content,
        Err(problem) => {
            problems.push(problem);
            None
        }
    };
    let tls = Tls {
        ca_pem: read(&args.files.ca),
        certificate_pem: read(&args.files.cert),
        key_pem: read(&args.files.key).map(|pem| Secret::new(String::from_utf8_lossy(&pem))),
    };
    // The control plane's key opens the cluster as well.
    let token = given(args.token).or(given(args.api_key)).cloned();
    let unusable = |error: vecferry_milvus::Error| {
        Problem::new(Code::Endpoint)
            .with("side", args.side)
            .with("flag", args.side)
            .with("detail", error.message())
    };
    let parsed = Endpoint::parse(args.uri).map_err(unusable);
    match parsed {
        Ok(endpoint) if problems.is_empty() => {
            endpoint.with_token(token).with_tls(tls).map_err(|error| vec![unusable(error)])
        }
        Ok(_) => Err(problems),
        Err(problem) => {
            problems.insert(0, problem);
            Err(problems)
        }
    }
}

/// An empty secret is what an unset variable of a script looks like.
fn given(secret: Option<&Secret>) -> Option<&Secret> {
    secret.filter(|secret| !secret.reveal().is_empty())
}

/// An endpoint, and what the control plane says of the cluster behind it.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) endpoint: Endpoint,
    pub(crate) cloud: Option<CloudCluster>,
}

/// Another address of the control plane than the vendor's.
const CLOUD_API: &str = "VECFERRY_CLOUD_API";

/// The endpoint that the flags of one side describe, found through the control plane where they name a cluster by its id.
pub(crate) async fn reach(args: &ConnectionArgs<'_>) -> Result<Reached, Vec<Problem>> {
    let key = given(args.api_key);
    let id = if is_cluster_id(args.uri) {
        Some(args.uri.to_owned())
    } else {
        let host = args.uri.split("://").nth(1).unwrap_or_default().split([':', '/']).next();
        host.and_then(cluster_id_of_host).map(str::to_owned).filter(|_| key.is_some())
    };
    let Some(id) = id else { return Ok(Reached { endpoint: endpoint(args)?, cloud: None }) };
    let Some(key) = key else {
        let problem = Problem::new(Code::ApiKeyMissing).with("side", args.side).with("flag", args.side);
        return Err(vec![problem.with("id", id).with("variable", args.side.to_uppercase())]);
    };
    let api = std::env::var(CLOUD_API).ok().filter(|api| !api.is_empty());
    let found = find(args.side, &id, key.reveal(), api.as_deref()).await.map_err(|problem| vec![problem])?;
    let uri = if is_cluster_id(args.uri) { found.address.as_str() } else { args.uri };
    let endpoint = endpoint(&ConnectionArgs { uri, ..args.clone() })?;
    Ok(Reached { endpoint, cloud: Some(found.cluster) })
}

fn read_file(path: &Path) -> Result<Vec<u8>, Problem> {
    std::fs::read(path)
        .map_err(|error| Problem::new(Code::File).with("file", path.display()).with("detail", error))
}

/// The results of several checks: both values, or the problems of both.
pub(crate) fn both<A, B>(
    a: Result<A, Vec<Problem>>,
    b: Result<B, Vec<Problem>>,
) -> Result<(A, B), Vec<Problem>> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(problems), Ok(_)) | (Ok(_), Err(problems)) => Err(problems),
        (Err(mut problems), Err(others)) => {
            problems.extend(others);
            Err(problems)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::args::TlsFiles;

    fn codes(uri: &str, files: TlsFiles) -> Vec<Code> {
        let args = ConnectionArgs { side: "source", uri, token: None, api_key: None, files };
        endpoint(&args).unwrap_err().into_iter().map(|problem| problem.code).collect()
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let missing = TlsFiles { ca: Some(PathBuf::from("/nonexistent/ca.pem")), ..TlsFiles::default() };
        assert_eq!(codes("localhost:1", TlsFiles::default()), [Code::Endpoint]);
        assert_eq!(codes("https://localhost:1", missing.clone()), [Code::File]);
        assert_eq!(codes("localhost:1", missing), [Code::Endpoint, Code::File]);
    }

    #[test]
    fn an_empty_token_is_none() {
        let token = |text| {
            let token = Secret::new(text);
            let args = ConnectionArgs {
                side: "source",
                uri: "http://localhost:1",
                token: Some(&token),
                api_key: None,
                files: TlsFiles::default(),
            };
            endpoint(&args).unwrap().has_token()
        };
        assert!(!token(""));
        assert!(token("root:x"));
    }
}
