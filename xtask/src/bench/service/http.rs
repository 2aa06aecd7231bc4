//! Requests to the service on a connection that stays open.

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::Failure;

/// A connection, which is opened where there is none and after it broke.
pub(super) struct Connection {
    address: String,
    open: Option<SendRequest<Empty<Bytes>>>,
}

impl Connection {
    pub(super) fn new(address: &str) -> Self {
        Self { address: address.to_owned(), open: None }
    }

    /// Another one in its place, which is closed.
    pub(super) fn again(self) -> Self {
        Self { open: None, ..self }
    }

    /// Asks, and returns the answer as soon as it begins.
    pub(super) async fn ask(&mut self, path: &str, key: &str) -> Result<Response<Incoming>, Failure> {
        let mut sender = match self.open.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => open(&self.address).await?,
        };
        sender.ready().await?;
        let request = Request::get(path)
            .header(header::HOST, &self.address)
            .header(header::AUTHORIZATION, format!("Bearer {key}"))
            .body(Empty::new())?;
        let response = sender.send_request(request).await?;
        self.open = Some(sender);
        Ok(response)
    }

    /// Asks, and returns the whole of an answer that is no refusal.
    pub(super) async fn get(&mut self, path: &str, key: &str) -> Result<Bytes, Failure> {
        let response = self.ask(path, key).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status != 200 {
            return Err(format!("{status}: {}", beginning(&body)).into());
        }
        Ok(body)
    }
}

/// As much of an answer as says what is wrong.
fn beginning(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(300).collect()
}

async fn open(address: &str) -> Result<SendRequest<Empty<Bytes>>, Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // It ends with its sender. Why it broke is told by the request.
    tokio::spawn(connection);
    Ok(sender)
}
