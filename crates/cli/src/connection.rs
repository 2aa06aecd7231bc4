//! From flags to an endpoint.

use std::path::Path;

use vecferry_migrate::cluster::reach::{Access, Reached};
use vecferry_migrate::{Code, Problem, words_of};
use vecferry_milvus::{Endpoint, Secret, Tls};

use crate::args::ConnectionArgs;

/// The endpoint that the flags of one side describe. Every file that can't be read is named.
pub(crate) fn endpoint(args: &ConnectionArgs<'_>) -> Result<Endpoint, Vec<Problem>> {
    let (access, unread) = access(args);
    named(access.endpoint(), unread)
}

/// The same, found through the control plane where they name a cluster by its ID.
pub(crate) async fn reach(args: &ConnectionArgs<'_>) -> Result<Reached, Vec<Problem>> {
    let (access, unread) = access(args);
    let api = std::env::var(CLOUD_API).ok().filter(|api| !api.is_empty());
    named(access.reach(api.as_deref()).await, unread)
}

/// Another address of the control plane than the vendor's.
const CLOUD_API: &str = "VECFERRY_CLOUD_API";

/// What the flags say, and which of their files can't be read. Where one of a pair can't, the other is left out: that it is
/// alone is no fault of whoever gave both.
fn access<'a>(args: &ConnectionArgs<'a>) -> (Access<'a>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut read = |path: &Option<_>| match path.as_deref().map(read_file).transpose() {
        Ok(content) => content,
        Err(problem) => {
            problems.push(problem);
            None
        }
    };
    let mut tls = Tls {
        ca_pem: read(&args.files.ca),
        certificate_pem: read(&args.files.cert),
        key_pem: read(&args.files.key).map(|pem| Secret::new(String::from_utf8_lossy(&pem))),
    };
    if args.files.cert.is_some() && args.files.key.is_some() && !problems.is_empty() {
        (tls.certificate_pem, tls.key_pem) = (None, None);
    }
    let ConnectionArgs { side, uri, token, api_key, .. } = args.clone();
    (Access { side, uri, token, api_key, tls }, problems)
}

/// What is wrong with the rest, before the files that can't be read.
fn named<Answer>(answer: Result<Answer, Problem>, mut unread: Vec<Problem>) -> Result<Answer, Vec<Problem>> {
    match answer {
        Ok(answer) if unread.is_empty() => Ok(answer),
        Ok(_) => Err(unread),
        Err(problem) => {
            unread.insert(0, problem);
            Err(unread)
        }
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, Problem> {
    std::fs::read(path).map_err(|error| {
        Problem::new(Code::File).with("file", path.display()).told("detail", words_of(&error))
    })
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
}
