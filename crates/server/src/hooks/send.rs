//! One attempt: one request, and the status of its answer.

use std::future::Future;
use std::net::SocketAddr;

use http::{HeaderValue, Method, Request, header};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};
use vecferry_migrate::{Lang, Problem, Surface};

use crate::outbound::{Address, Client, Failure};

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// It is no address any more.
    #[error("the address of the webhook cannot be used")]
    Address,
    /// The secret can't be decrypted.
    #[error("{0}")]
    Secret(Box<Problem>),
    /// The store did not answer.
    #[error("the service could not read its database")]
    Store,
    /// The job was removed meanwhile.
    #[error("the job is no longer recorded")]
    JobIsGone,
    /// There is no answer.
    #[error("{0}")]
    Unanswered(Failure),
    /// The answer is a refusal, or a redirect.
    #[error("the answer has the status {0}")]
    Status(u16),
}

/// A trouble as it is recorded.
#[derive(Debug, Serialize, Deserialize)]
struct Recorded {
    en: String,
    zh: String,
}

impl Trouble {
    /// As it is recorded.
    pub(crate) fn to_json(&self) -> String {
        let recorded = Recorded { en: self.told(Lang::En), zh: self.told(Lang::Zh) };
        serde_json::to_string(&recorded).unwrap_or_default()
    }

    /// What was recorded, in a language.
    pub(crate) fn of_json(text: &str, lang: Lang) -> String {
        match (serde_json::from_str::<Recorded>(text), lang) {
            (Ok(recorded), Lang::En) => recorded.en,
            (Ok(recorded), Lang::Zh) => recorded.zh,
            (Err(_), _) => text.to_owned(),
        }
    }

    fn told(&self, lang: Lang) -> String {
        match (self, lang) {
            (Self::Unanswered(failure), _) => failure.told(lang),
            (Self::Secret(problem), _) => problem.what_on(Surface::Service, lang),
            (_, Lang::En) => self.to_string(),
            (Self::Address, Lang::Zh) => "Webhook 地址无法使用".to_owned(),
            (Self::Store, Lang::Zh) => "服务无法读取其数据库".to_owned(),
            (Self::JobIsGone, Lang::Zh) => "该任务的记录已删除".to_owned(),
            (Self::Status(status), Lang::Zh) => format!("应答状态码为 {status}"),
        }
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) delivery_id: &'a str,
    pub(super) signature: &'a str,
    pub(super) body: &'a str,
}

/// Sends messages.
#[derive(Debug, Default)]
pub(crate) struct Sender {
    client: Client,
}

impl Sender {
    /// A sender that trusts what the system trusts.
    pub(crate) fn new() -> Self {
        Self { client: Client::new() }
    }

    /// Sends a message to an address; only to those that the name has by the resolution that is given.
    pub(super) async fn post(
        &self,
        address: &Address,
        resolved: impl Future<Output = Result<Vec<SocketAddr>, Problem>>,
        message: Message<'_>,
    ) -> Result<(), Trouble> {
        let request = request(message).ok_or(Trouble::Address)?;
        let answer = self.client.exchange(address, resolved, request, 0).await;
        let (status, _) = answer.map_err(Trouble::Unanswered)?;
        if status.is_success() { Ok(()) } else { Err(Trouble::Status(status.as_u16())) }
    }
}

fn request(message: Message<'_>) -> Option<Request<Full<Bytes>>> {
    let json = HeaderValue::from_static("application/json");
    Request::builder()
        .method(Method::POST)
        .header(header::CONTENT_TYPE, json)
        .header("vecferry-signature", message.signature)
        .header("vecferry-delivery", message.delivery_id)
        .body(Full::new(Bytes::copy_from_slice(message.body.as_bytes())))
        .ok()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one request, and gives what it said.
    async fn served(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut said, mut part) = (Vec::new(), [0; 4096]);
            while !String::from_utf8_lossy(&said).ends_with("{\"a\":1}") {
                let count = stream.read(&mut part).await.unwrap();
                assert!(count > 0, "the request ended early");
                said.extend_from_slice(&part[..count]);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(said).unwrap()
        });
        (format!("hook.example:{port}"), serving)
    }

    async fn posted(answer: &'static str) -> (Result<(), Trouble>, String) {
        let (authority, serving) = served(answer).await;
        let port: u16 = authority.split_once(':').unwrap().1.parse().unwrap();
        let address = Address::parse(&format!("http://{authority}/in?x=1")).unwrap();
        let resolved = async move { Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]) };
        let message = Message { delivery_id: "dlv-1", signature: "t=1,v1=ab", body: "{\"a\":1}" };
        let sent = Sender::new().post(&address, resolved, message).await;
        (sent, serving.await.unwrap())
    }

    #[tokio::test]
    async fn a_message_goes_to_the_resolved_address_with_its_signature() {
        let (sent, said) = posted("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert!(sent.is_ok(), "{sent:?}");
        assert!(said.starts_with("POST /in?x=1 HTTP/1.1\r\n"), "{said}");
        let said = said.to_lowercase();
        for line in [
            "host: hook.example:",
            "content-type: application/json\r\n",
            "vecferry-signature: t=1,v1=ab\r\n",
            "vecferry-delivery: dlv-1\r\n",
        ] {
            assert!(said.contains(line), "{line}: {said}");
        }
    }

    #[tokio::test]
    async fn refusals_and_redirects_are_failures() {
        for (answer, status) in [
            ("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", 500),
            ("HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n", 302),
        ] {
            let (sent, _) = posted(answer).await;
            assert!(matches!(&sent, Err(Trouble::Status(found)) if *found == status), "{sent:?}");
        }
        let (sent, _) = posted("no HTTP at all\r\n\r\n").await;
        assert!(matches!(&sent, Err(Trouble::Unanswered(Failure::Http(_)))), "{sent:?}");
    }

    #[tokio::test]
    async fn an_address_that_is_denied_is_not_called() {
        let address = Address::parse("http://169.254.169.254/latest").unwrap();
        let problem = Problem::new(vecferry_migrate::Code::NetworkDenied).with("host", "169.254.169.254");
        let problem = problem.with("address", "169.254.169.254").with("network", "169.254.0.0/16");
        let message = Message { delivery_id: "dlv-1", signature: "", body: "" };
        let sent = Sender::new().post(&address, async { Err(problem) }, message).await;
        let trouble = sent.unwrap_err();
        assert!(matches!(trouble, Trouble::Unanswered(Failure::Unresolved(_))), "{trouble:?}");
        let recorded = trouble.to_json();
        assert!(Trouble::of_json(&recorded, Lang::En).contains("169.254.0.0/16"));
        assert!(Trouble::of_json(&recorded, Lang::Zh).starts_with("本服务不允许连接"));
    }

    #[test]
    fn troubles_are_told_in_both_languages() {
        let recorded = Trouble::Status(503).to_json();
        assert_eq!(Trouble::of_json(&recorded, Lang::En), "the answer has the status 503");
        assert_eq!(Trouble::of_json(&recorded, Lang::Zh), "应答状态码为 503");
    }
}
