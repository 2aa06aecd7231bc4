//! The way to the server: connections, requests that are kept whole, and errors that belong to one call only.

use std::error::Error;

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Request, Uri, request};
use http_body::Frame;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::reply::{Reply, body};

/// A body in either direction; its errors keep the reason of a stream's reset.
pub(super) type Body = BoxBody<Bytes, Failure>;
/// Anything that goes wrong on the way.
pub(super) type Failure = Box<dyn Error + Send + Sync>;
/// What drives a connection; must be polled for it to live.
pub(super) type Driver = Connection<TokioIo<TcpStream>, Body, TokioExecutor>;

/// HTTP/2 starts with 64 KiB of window, which a page fills 100 times over.
pub(super) const STREAM_WINDOW_BYTES: u32 = 8 << 20;
pub(super) const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;
/// Error texts travel in headers.
pub(super) const HEADERS_BYTES_MAX: u32 = 1 << 20;

/// A request that has arrived to its end.
#[derive(Debug)]
pub(super) struct Captured {
    method: String,
    head: request::Parts,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

impl Captured {
    /// Takes in a request to its end.
    pub(super) async fn collect(method: String, request: Request<Incoming>) -> Result<Self, hyper::Error> {
        let (head, body) = request.into_parts();
        let collected = body.collect().await?;
        let trailers = collected.trailers().cloned();
        Ok(Self { method, head, body: collected.to_bytes(), trailers })
    }

    /// The call that it is.
    pub(super) fn method(&self) -> &str {
        &self.method
    }

    /// Sends it over a connection of its own, which no client's end can break.
    pub(super) async fn send(self, upstream: &Authority) -> Result<Reply, Failure> {
        let (mut sender, driver) = connect(upstream).await?;
        let driver = tokio::spawn(driver);
        let data = (!self.body.is_empty()).then_some(Frame::data(self.body));
        let frames = data.into_iter().chain(self.trailers.map(Frame::trailers));
        let request = addressed(Request::from_parts(self.head, body(frames)), upstream);
        let answer = sender.send_request(request).await?;
        let reply = Reply::collect(self.method, answer).await;
        driver.abort();
        Ok(reply?)
    }
}

/// Opens a connection.
pub(super) async fn connect(upstream: &Authority) -> Result<(SendRequest<Body>, Driver), Failure> {
    let stream = TcpStream::connect(upstream.as_str()).await?;
    stream.set_nodelay(true)?;
    let connected = Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await?;
    Ok(connected)
}

/// The request as a client that knows no proxy would have sent it.
pub(super) fn addressed<B>(mut request: Request<B>, upstream: &Authority) -> Request<B> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(upstream.clone());
    *request.uri_mut() = Uri::from_parts(parts).expect("an address with another host");
    request
}

/// The reset of one stream, as opposed to the end of the whole connection.
pub(super) fn is_reset(failure: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(failure);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.is_reset();
        }
        cause = error.source();
    }
    false
}
