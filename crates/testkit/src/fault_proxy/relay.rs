//! The proxy's own thread: takes connections, and passes calls on or makes them suffer.

use std::future::pending;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use http::uri::Authority;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use super::board::{Board, Held, Stage};
use super::delay::line;
use super::fault::{Answer, Cut, Fault, Garbage, emptied};
use super::reply::{ReleaseError, Reply, fabricated, oversize, success};
use super::upstream::{
    Body, CONNECTION_WINDOW_BYTES, Captured, Failure, HEADERS_BYTES_MAX, STREAM_WINDOW_BYTES, addressed,
    connect, is_reset,
};

const BACKLOG: u32 = 1024;
/// Calls at once on a connection; real servers allow as many as clients ask for.
const STREAMS_MAX: u32 = 10_000;
/// How long a client has for its open calls after upstream said goodbye.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(10);

/// What the test's thread asks of the proxy's.
#[derive(Debug)]
pub(super) enum Command {
    Refuse(bool, mpsc::Sender<()>),
    Release { rule: usize, answer: mpsc::Sender<Result<Reply, ReleaseError>> },
    Stop,
}

/// The proxy.
pub(super) struct Relay {
    address: SocketAddr,
    listener: Option<TcpListener>,
    connections: JoinSet<()>,
    upstream: Authority,
    /// How long whatever a client sends or receives is on its way.
    delay: Duration,
    board: Arc<Board>,
}

/// One client connection and the upstream connection that belongs to it.
struct Link {
    sender: SendRequest<Body>,
    upstream: Authority,
    board: Arc<Board>,
    /// Rung to drop the client's connection.
    broken: Notify,
}

/// How a call ends.
enum Ending {
    Answered(Response<Body>),
    Broken(Cut),
}

impl Relay {
    /// A proxy that listens beside the socket that reserves the port.
    pub(super) fn new(port: &TcpSocket, upstream: Authority, delay: Duration, board: Arc<Board>) -> Self {
        let address = port.local_addr().expect("its number");
        let listener = Some(listen(address));
        Self { address, listener, connections: JoinSet::new(), upstream, delay, board }
    }

    /// Runs until it is told to stop.
    pub(super) async fn run(mut self, mut inbox: UnboundedReceiver<Command>) {
        loop {
            let command = tokio::select! {
                command = inbox.recv() => command,
                stream = accept(self.listener.as_ref()) => {
                    let (upstream, board) = (self.upstream.clone(), Arc::clone(&self.board));
                    self.connections.spawn(serve(stream, self.delay, upstream, board));
                    continue;
                }
                Some(_) = self.connections.join_next() => continue,
            };
            match command {
                Some(Command::Refuse(refuse, done)) => {
                    self.refuse(refuse).await;
                    // Nobody waits any more if the test has failed meanwhile.
                    let _ = done.send(());
                }
                Some(Command::Release { rule, answer }) => match self.board.release(rule) {
                    Some(held) => drop(tokio::spawn(release(held, self.upstream.clone(), answer))),
                    None => drop(answer.send(Err(ReleaseError::NothingHeld))),
                },
                Some(Command::Stop) | None => return,
            }
        }
    }

    async fn refuse(&mut self, refuse: bool) {
        if refuse {
            self.listener = None;
            self.connections.shutdown().await;
        } else if self.listener.is_none() {
            self.listener = Some(listen(self.address));
        }
    }
}

fn listen(address: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("a shared port");
    socket.bind(address).expect("the reserved port");
    socket.listen(BACKLOG).expect("a listener")
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return pending().await };
    loop {
        // A client that hung up before it was accepted is none.
        if let Ok((stream, _)) = listener.accept().await {
            return stream;
        }
    }
}

/// Sends a held call upstream, if it has not been there, and hands out the answer.
async fn release(held: Held, upstream: Authority, answer: mpsc::Sender<Result<Reply, ReleaseError>>) {
    let result = match held.stage {
        Stage::Answered(reply) => Ok(reply),
        Stage::Captured(request) => {
            request.send(&upstream).await.map_err(|failure| ReleaseError::Upstream(chain(failure.as_ref())))
        }
    };
    if let (Some(client), Ok(reply)) = (held.client, &result) {
        // Its client may be gone.
        let _ = client.send(reply.clone());
    }
    // The test may have stopped waiting.
    let _ = answer.send(result);
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// One connection, near or far.
async fn serve(stream: TcpStream, delay: Duration, upstream: Authority, board: Arc<Board>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    if delay.is_zero() {
        return speak(stream, upstream, board).await;
    }
    let (far_end, carrying) = line(stream, delay);
    let spoken = async {
        speak(far_end, upstream, board).await;
        // What was said last is still on its way.
        pending::<()>().await;
    };
    tokio::select! {
        () = carrying => {}
        () = spoken => {}
    }
}

/// One connection, until either side ends it or a fault breaks it.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    upstream: Authority,
    board: Arc<Board>,
) {
    // Without upstream the client finds its connection closed.
    let Ok((sender, driver)) = connect(&upstream).await else { return };
    let link = Arc::new(Link { sender, upstream, board, broken: Notify::new() });
    let calls = Arc::clone(&link);
    let client = Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service_fn(move |request| call(Arc::clone(&calls), request)));
    let mut client = pin!(client);
    let goodbye = tokio::select! {
        _ = client.as_mut() => false,
        () = link.broken.notified() => false,
        ended = driver => ended.is_ok(),
    };
    if goodbye {
        client.as_mut().graceful_shutdown();
        tokio::select! {
            _ = client => {}
            () = link.broken.notified() => {}
            () = tokio::time::sleep(GOODBYE_TIMEOUT) => {}
        }
    }
}

/// One call. An error resets its stream.
async fn call(link: Arc<Link>, request: Request<Incoming>) -> Result<Response<Body>, Failure> {
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let arrived = link.board.arrived(&method);
    let _open = Open { board: Arc::clone(&link.board), method: method.clone() };
    let ending = match arrived {
        None => forward(&link, request).await?,
        Some((rule, fault)) => suffer(&link, method, request, rule, fault).await?,
    };
    match ending {
        Ending::Answered(response) => Ok(response),
        Ending::Broken(Cut::Stream) => Err(h2::Error::from(h2::Reason::INTERNAL_ERROR).into()),
        Ending::Broken(Cut::Connection) => {
            link.broken.notify_one();
            pending().await
        }
    }
}

/// A call that is under way, until its answer begins or its client is gone.
struct Open {
    board: Arc<Board>,
    method: String,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.board.ended(&self.method);
    }
}

/// Passes a call through, in both directions as it comes.
async fn forward(link: &Link, request: Request<Incoming>) -> Result<Ending, Failure> {
    let request = addressed(request.map(|body| body.map_err(Failure::from).boxed()), &link.upstream);
    match link.sender.clone().send_request(request).await {
        Ok(response) => Ok(Ending::Answered(response.map(|body| body.map_err(Failure::from).boxed()))),
        Err(error) if is_reset(&error) => Err(error.into()),
        // Upstream is gone, and so is the connection for the client.
        Err(_) => Ok(Ending::Broken(Cut::Connection)),
    }
}

/// A call with a fault.
async fn suffer(
    link: &Link,
    method: String,
    request: Request<Incoming>,
    rule: usize,
    fault: Fault,
) -> Result<Ending, Failure> {
    let capture = |request| Captured::collect(method.clone(), request);
    match fault {
        Fault::Delay(delay) => {
            link.board.fire(rule);
            tokio::time::sleep(delay).await;
            forward(link, request).await
        }
        Fault::CutBeforeSend(cut) => {
            capture(request).await?;
            link.board.fire(rule);
            Ok(Ending::Broken(cut))
        }
        Fault::Answer(answer) => {
            capture(request).await?;
            link.board.fire(rule);
            Ok(Ending::Answered(fabricated(&answer, &method)))
        }
        Fault::Hold(cut) => {
            let stage = Stage::Captured(capture(request).await?);
            let (client, answer) = oneshot::channel();
            link.board.hold(rule, Held { stage, client: cut.is_none().then_some(client) });
            match cut {
                Some(cut) => Ok(Ending::Broken(cut)),
                None => Ok(withheld(answer).await),
            }
        }
        Fault::CutAfterApply(cut) => applied(link, capture(request).await?, rule, After::Cut(cut)).await,
        Fault::HalfOpen => applied(link, capture(request).await?, rule, After::Withhold).await,
        Fault::OversizeAnswer(len) => {
            applied(link, capture(request).await?, rule, After::Oversize(len)).await
        }
        Fault::Raced(act) => {
            let request = capture(request).await?;
            // Its panic breaks the call, and the fault did not fire.
            tokio::task::spawn_blocking(move || act.run()).await?;
            applied(link, request, rule, After::Nothing).await
        }
        Fault::Garbage(garbage) => {
            applied(link, capture(request).await?, rule, After::Garbage(garbage)).await
        }
        Fault::EmptiedPage => applied(link, capture(request).await?, rule, After::Emptied).await,
        Fault::AnswerAfterApply(answer) => {
            applied(link, capture(request).await?, rule, After::Answer(answer)).await
        }
    }
}

/// What follows when upstream has carried a request out.
enum After {
    Nothing,
    Cut(Cut),
    Withhold,
    Oversize(u32),
    Garbage(Garbage),
    Emptied,
    Answer(Answer),
}

/// Has upstream carry a request out, whatever becomes of the client meanwhile.
async fn applied(link: &Link, request: Captured, rule: usize, after: After) -> Result<Ending, Failure> {
    let (upstream, board) = (link.upstream.clone(), Arc::clone(&link.board));
    let method = request.method().to_owned();
    let task = tokio::spawn(async move {
        // An upstream that breaks the call has done the fault's work, but the fault did not fire.
        let Ok(reply) = request.send(&upstream).await else { return Ending::Broken(Cut::Connection) };
        let ending = match after {
            After::Withhold => {
                let (client, answer) = oneshot::channel();
                board.hold(rule, Held { stage: Stage::Answered(reply), client: Some(client) });
                return withheld(answer).await;
            }
            After::Nothing => Ending::Answered(reply.into_response()),
            After::Cut(cut) => Ending::Broken(cut),
            After::Oversize(len) => Ending::Answered(oversize(len)),
            After::Garbage(garbage) => {
                let (message, announced) = garbage.of(&reply.message());
                Ending::Answered(success(message, announced))
            }
            After::Emptied => match emptied(&reply.message()) {
                Some(message) => {
                    let announced = message.len();
                    Ending::Answered(success(message, announced))
                }
                None => return Ending::Answered(reply.into_response()),
            },
            After::Answer(answer) => Ending::Answered(fabricated(&answer, &method)),
        };
        board.fire(rule);
        ending
    });
    Ok(task.await?)
}

/// Waits until a held call is released.
async fn withheld(answer: oneshot::Receiver<Reply>) -> Ending {
    match answer.await {
        Ok(reply) => Ending::Answered(reply.into_response()),
        // Its release failed.
        Err(_) => Ending::Broken(Cut::Connection),
    }
}
