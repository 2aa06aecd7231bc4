//! From flags to an endpoint.

use std::path::Path;

use vecferry_migrate::{Code, Problem};
use vecferry_milvus::{Endpoint, Secret, Tls};

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
    // An empty token is what an unset variable of a script looks like.
    let token = args.token.filter(|token| !token.reveal().is_empty()).cloned();
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
        let args = ConnectionArgs { side: "source", uri, token: None, files };
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
                files: TlsFiles::default(),
            };
            endpoint(&args).unwrap().has_token()
        };
        assert!(!token(""));
        assert!(token("root:x"));
    }
}
