//! Connections that go only to addresses that were resolved and allowed beforehand, so that a name that resolves to
//! something else later leads nowhere else. TLS and HTTP/2 on top keep the host name, as they do over any connection.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

/// Opens connections to these addresses, whatever the URI.
#[derive(Clone, Debug)]
pub(crate) struct Pinned {
    addresses: Arc<[SocketAddr]>,
    timeout: Duration,
}

impl Pinned {
    /// The addresses in the order in which they are tried, and the time for all of them.
    pub(crate) fn new(addresses: Arc<[SocketAddr]>, timeout: Duration) -> Self {
        Self { addresses, timeout }
    }
}

impl Service<Uri> for Pinned {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { addresses, timeout } = self.clone();
        Box::pin(async move {
            let stream = connect(&addresses, timeout).await?;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(stream))
        })
    }
}

/// The first of the addresses that takes a connection. Each has an equal share of the time, so that one that drops
/// packets leaves some for the next.
pub(crate) async fn connect(addresses: &[SocketAddr], timeout: Duration) -> io::Result<TcpStream> {
    let share = timeout / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut failure = io::Error::new(io::ErrorKind::AddrNotAvailable, "the host has no address");
    for address in addresses {
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = error,
            Err(_) => failure = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failure)
}
