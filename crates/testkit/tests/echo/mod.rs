//! An upstream that echoes, and a client that sees everything HTTP/2 carries.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, response};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

const WINDOW_BYTES: u32 = 8 << 20;
/// Nothing waits that long unless it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

type Body = BoxBody<Bytes, Infallible>;

/// A gRPC frame.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    frame
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn frames(frames: impl IntoIterator<Item = Frame<Bytes>, IntoIter: Send + Sync + 'static>) -> Body {
    BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames.into_iter().map(Ok))))
}

/// A body whose frames are sent one by one.
fn channel_body() -> (UnboundedSender<Frame<Bytes>>, Body) {
    let (sender, receiver) = unbounded_channel();
    let next = |mut receiver: UnboundedReceiver<_>| async {
        receiver.recv().await.map(|frame| (Ok(frame), receiver))
    };
    (sender, BodyExt::boxed(StreamBody::new(futures_util::stream::unfold(receiver, next))))
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

#[derive(Default)]
struct Seen {
    state: Mutex<(Vec<Arrived>, usize)>,
    changed: Condvar,
}

impl Seen {
    fn wait(&self, reached: impl Fn(&(Vec<Arrived>, usize)) -> bool) -> bool {
        let state = self.state.lock().unwrap();
        let state = self.changed.wait_timeout_while(state, PATIENCE, |state| !reached(state)).unwrap().0;
        reached(&state)
    }

    fn change(&self, change: impl FnOnce(&mut (Vec<Arrived>, usize))) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }
}

/// Answers each call with its own message; `Fail` with a status, `Stream` frame by frame, `Never` not at all.
pub(crate) struct Upstream {
    address: SocketAddr,
    seen: Arc<Seen>,
    _runtime: Runtime,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        runtime.spawn(accept(listener, Arc::clone(&seen)));
        Self { address, seen, _runtime: runtime }
    }

    pub(crate) fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Arrived> {
        self.seen.state.lock().unwrap().0.clone()
    }

    pub(crate) fn wait_for_requests(&self, count: usize) -> bool {
        self.seen.wait(|(requests, _)| requests.len() >= count)
    }

    /// Calls of `Never` whose client went away.
    pub(crate) fn wait_for_abandoned(&self, count: usize) -> bool {
        self.seen.wait(|(_, abandoned)| *abandoned >= count)
    }
}

async fn accept(listener: TcpListener, seen: Arc<Seen>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let seen = Arc::clone(&seen);
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .auto_date_header(false)
            .serve_connection(
                TokioIo::new(stream),
                service_fn(move |request| echo(request, Arc::clone(&seen))),
            );
        tokio::spawn(connection);
    }
}

struct Abandoned(Arc<Seen>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.change(|(_, abandoned)| *abandoned += 1);
    }
}

async fn echo(request: Request<Incoming>, seen: Arc<Seen>) -> Result<Response<Body>, hyper::Error> {
    let (head, mut body) = request.into_parts();
    let trailers = HeaderMap::from_iter([
        (http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0")),
        (http::HeaderName::from_static("echo-bin"), HeaderValue::from_static("AAEC")),
    ]);
    let response = Response::builder().header("content-type", "application/grpc").header("echo", "yes");
    let path = head.uri.path().to_owned();
    if path.ends_with("/Stream") {
        let (sender, answer) = channel_body();
        tokio::spawn(async move {
            while let Some(frame) = body.frame().await {
                sender.send(frame.unwrap()).unwrap();
            }
            sender.send(Frame::trailers(trailers)).unwrap();
        });
        return Ok(response.body(answer).unwrap());
    }
    let body = body.collect().await?.to_bytes();
    let arrived = Arrived { path: path.clone(), headers: head.headers, body: body.to_vec() };
    seen.change(|(requests, _)| requests.push(arrived));
    if path.ends_with("/Never") {
        let _abandoned = Abandoned(seen);
        pending::<()>().await;
    }
    if path.ends_with("/Fail") {
        let response = response.header("grpc-status", "12").header("grpc-message", "no such call");
        return Ok(response.body(BodyExt::boxed(http_body_util::Empty::new())).unwrap());
    }
    Ok(response.body(frames([Frame::data(body), Frame::trailers(trailers)])).unwrap())
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) head: response::Parts,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answered {
    #[track_caller]
    pub(crate) fn trailer(&self, name: &str) -> &str {
        self.trailers.as_ref().expect("trailers")[name].to_str().unwrap()
    }
}

/// One client connection.
pub(crate) struct Caller {
    sender: SendRequest<Body>,
    uri: String,
    authorization: Option<&'static str>,
    db: Option<&'static str>,
    runtime: Runtime,
}

pub(crate) type Call = JoinHandle<Result<Answered, hyper::Error>>;

impl Caller {
    pub(crate) fn connect(uri: &str) -> Self {
        Self::connect_as(uri, Some("cm9vdDpNaWx2dXM="), Some("archive"))
    }

    pub(crate) fn connect_as(
        uri: &str,
        authorization: Option<&'static str>,
        db: Option<&'static str>,
    ) -> Self {
        let runtime = runtime();
        let sender = runtime.block_on(async {
            let stream = TcpStream::connect(uri.trim_start_matches("http://")).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
                .initial_stream_window_size(WINDOW_BYTES)
                .initial_connection_window_size(WINDOW_BYTES)
                .handshake(TokioIo::new(stream))
                .await
                .unwrap();
            tokio::spawn(connection);
            sender
        });
        Self { sender, uri: uri.to_owned(), authorization, db, runtime }
    }

    fn request(&self, method: &str, body: Body) -> Request<Body> {
        let mut request = Request::post(format!("{}/milvus.proto.milvus.MilvusService/{method}", self.uri))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in [("authorization", self.authorization), ("dbname", self.db)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        request.body(body).unwrap()
    }

    /// Starts a call.
    pub(crate) fn start(&self, method: &str, message: &[u8]) -> Call {
        let request = self.request(method, frames([Frame::data(framed(message).into())]));
        let mut sender = self.sender.clone();
        self.runtime.spawn(async move {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let collected = body.collect().await?;
            let trailers = collected.trailers().cloned();
            Ok(Answered { head, body: collected.to_bytes().into(), trailers })
        })
    }

    /// Waits for its end.
    pub(crate) fn finish(&self, call: Call) -> Result<Answered, hyper::Error> {
        let ended = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, call).await });
        ended.expect("an end in time").unwrap()
    }

    pub(crate) fn call(&self, method: &str, message: &[u8]) -> Result<Answered, hyper::Error> {
        self.finish(self.start(method, message))
    }

    /// Starts a call whose messages go to and fro.
    pub(crate) fn converse(&self, method: &str) -> Conversation<'_> {
        let (requests, body) = channel_body();
        let request = self.request(method, body);
        let mut sender = self.sender.clone();
        let answer = self.runtime.block_on(async move { sender.send_request(request).await }).unwrap();
        Conversation { runtime: &self.runtime, requests, answers: answer.into_body() }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether the connection ends by then.
    pub(crate) fn closes_within(&self, timeout: Duration) -> bool {
        let start = Instant::now();
        while !self.is_closed() && start.elapsed() < timeout {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.is_closed()
    }
}

/// A call whose messages go to and fro.
pub(crate) struct Conversation<'runtime> {
    runtime: &'runtime Runtime,
    requests: UnboundedSender<Frame<Bytes>>,
    answers: Incoming,
}

impl Conversation<'_> {
    pub(crate) fn exchange(&mut self, message: &[u8]) -> Vec<u8> {
        self.requests.send(Frame::data(framed(message).into())).unwrap();
        let answer = self.runtime.block_on(self.answers.frame()).unwrap().unwrap();
        answer.into_data().expect("data").into()
    }

    /// Its trailers.
    pub(crate) fn end(self) -> HeaderMap {
        drop(self.requests);
        self.runtime.block_on(self.answers.collect()).unwrap().trailers().expect("trailers").clone()
    }
}
