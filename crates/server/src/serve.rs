//! Takes connections, until the service ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::gate;
use crate::service::Service;

/// The headers of a request arrive within this time.
const HEADERS_MAX: Duration = Duration::from_secs(10);
/// A TLS handshake is over within this time.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// What is under way when the service ends has so long.
const END_MAX: Duration = Duration::from_secs(8);
/// Bytes of all headers of a request.
const HEADER_BYTES_MAX: usize = 32 << 10;
/// Requests at once on one connection.
const STREAMS_MAX: u32 = 32;
/// After a failure to accept, such as too many open files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// Serves requests, works on jobs, tells webhooks and looks after clusters, until [`Service::stop`]. Requests that are under way then are
/// answered; jobs are left for the next process.
pub async fn serve(service: Arc<Service>, listener: TcpListener, tls: Option<Arc<ServerConfig>>) {
    let jobs = tokio::spawn(crate::jobs::work_off(Arc::clone(&service)));
    let watch = tokio::spawn(crate::watch::watch(Arc::clone(&service)));
    let hooks = tokio::spawn(crate::hooks::deliver(Arc::clone(&service)));
    accept(&service, listener, tls).await;
    // They end with the service; what they hold is given back.
    let ended = async { tokio::join!(jobs, watch, hooks) };
    if tokio::time::timeout(END_MAX, ended).await.is_err() {
        tracing::warn!(
            "the jobs could not be given back: another process takes them when their time is over"
        );
    }
}

async fn accept(service: &Arc<Service>, listener: TcpListener, tls: Option<Arc<ServerConfig>>) {
    let router = gate::router(Arc::clone(service));
    let tls = tls.map(TlsAcceptor::from);
    let connections = Arc::new(Semaphore::new(service.settings().requests.connections_max));
    let graceful = GracefulShutdown::new();
    let mut serving = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = serving.join_next(), if !serving.is_empty() => continue,
            () = service.stopping().cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        // One too many is closed at once: to wait would keep those out that come after it.
        let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else { continue };
        let (router, tls, watcher) = (router.clone(), tls.clone(), graceful.watcher());
        serving.spawn(async move {
            let _permit = permit;
            connection(stream, peer, router, tls, watcher).await;
        });
    }
    drop(listener);
    // Idle connections are closed at once, and the others behind their answer.
    let _ = tokio::time::timeout(END_MAX, graceful.shutdown()).await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    tls: Option<TlsAcceptor>,
    watcher: Watcher,
) {
    // Small answers are not held back.
    let _ = stream.set_nodelay(true);
    match tls {
        None => requests(stream, peer, router, watcher).await,
        Some(tls) => match tokio::time::timeout(HANDSHAKE_MAX, tls.accept(stream)).await {
            Ok(Ok(stream)) => requests(stream, peer, router, watcher).await,
            Ok(Err(error)) => tracing::debug!(%error, %peer, "no TLS connection"),
            Err(_) => tracing::debug!(%peer, "the TLS handshake took too long"),
        },
    }
}

async fn requests<Stream>(stream: Stream, peer: SocketAddr, router: Router, watcher: Watcher)
where
    Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let router = router.clone();
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            router.oneshot(request).await
        }
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS_MAX).max_buf_size(HEADER_BYTES_MAX);
    server.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX);
    server.http2().max_header_list_size(HEADER_BYTES_MAX as u32).keep_alive_interval(Some(HEADERS_MAX));
    let connection = server.serve_connection(TokioIo::new(stream), answer);
    let connection = watcher.watch(connection.into_owned());
    if let Err(error) = connection.await {
        tracing::debug!(%error, %peer, "the connection broke");
    }
}
