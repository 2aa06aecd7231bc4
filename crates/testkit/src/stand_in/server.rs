//! The transport: HTTP/2 without TLS, unary gRPC.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::calls::{Call, Outcome, Service};
use super::gate::{Kind, Pass};
use super::interfere::Interference;
use crate::denial::{DeniedBy, PERMISSION_DENIED};
use crate::fault_proxy::{emptied, message_with};

const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;
/// gRPC framing: one byte of flags, four of length.
const FRAME_HEADER_BYTES: usize = 5;

type Body = BoxBody<Bytes, Infallible>;

/// Takes connections until it is told to stop.
pub(super) async fn run(listener: std::net::TcpListener, service: Service, stopped: oneshot::Receiver<()>) {
    listener.set_nonblocking(true).expect("a socket that does not block");
    let listener = TcpListener::from_std(listener).expect("a listener");
    let mut connections = JoinSet::new();
    let mut stopped = pin!(stopped);
    loop {
        tokio::select! {
            _ = &mut stopped => return,
            // A client that hung up before it was accepted is none.
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(serve(stream, service.clone()));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, service: Service) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let connection = Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .auto_date_header(false)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| {
                let service = service.clone();
                async move { call(service, request).await }
            }),
        );
    // A connection that breaks has ended.
    let _ = connection.await;
}

/// An error resets the call's stream.
async fn call(service: Service, request: Request<Incoming>) -> Result<Response<Body>, h2::Error> {
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let db = request.headers().get("dbname").and_then(|db| db.to_str().ok()).unwrap_or_default().to_owned();
    let authorization = request.headers().get("authorization").and_then(|token| token.to_str().ok());
    let authorization = authorization.unwrap_or_default().to_owned();
    let reset = || h2::Error::from(h2::Reason::INTERNAL_ERROR);
    let body = request.into_body().collect().await.map_err(|_| reset())?.to_bytes();
    let message = body.slice(FRAME_HEADER_BYTES.min(body.len())..);
    let call = Call { method, db, authorization, message };
    let kind = match call.method.as_str() {
        "Insert" | "Upsert" => Kind::Write,
        "ReleaseCollection" | "ReleasePartitions" => Kind::Release,
        _ => Kind::Other,
    };
    match service.gate().arrive(kind) {
        Pass::Through => {}
        Pass::Unanswered => {
            drop(service.carry_out(&call));
            service.gate().tell_stopped();
            pending::<()>().await;
        }
        Pass::Late => {
            service.hold(call);
            return pending().await;
        }
        Pass::Blocked => return pending().await,
    }
    service.let_late_ones_go();
    let interference = service.interference(&call);
    match &interference {
        Interference::CutBefore => return Err(reset()),
        Interference::Refused(status) => return Ok(framed(&message_with(status.clone(), &call.method))),
        Interference::Denied => {
            if let Some(text) = DeniedBy::of(service.options().version).text(&call.method) {
                return Ok(response([Frame::trailers(trailers(&PERMISSION_DENIED.to_string(), &text))]));
            }
        }
        Interference::None
        | Interference::FailedAfter(_)
        | Interference::EmptiedPage
        | Interference::CutAfter => {}
    }
    let answer = match service.carry_out(&call) {
        Outcome::Answer(answer) => answer,
        Outcome::Failed { grpc_status, text } => {
            return Ok(response([Frame::trailers(trailers(grpc_status, &text))]));
        }
    };
    match interference {
        Interference::CutAfter => Err(reset()),
        Interference::FailedAfter(status) => Ok(framed(&message_with(status, &call.method))),
        Interference::EmptiedPage => Ok(framed(&emptied(&answer).unwrap_or_else(|| answer.into()))),
        Interference::None | Interference::Denied | Interference::Refused(_) | Interference::CutBefore => {
            Ok(framed(&answer))
        }
    }
}

/// A success of the transport with a message.
fn framed(message: &[u8]) -> Response<Body> {
    let mut frame = BytesMut::with_capacity(FRAME_HEADER_BYTES + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    response([Frame::data(frame.freeze()), Frame::trailers(trailers("0", ""))])
}

fn trailers(grpc_status: &str, text: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if let Ok(status) = HeaderValue::from_str(grpc_status) {
        trailers.insert("grpc-status", status);
    }
    if let Ok(text) = HeaderValue::from_str(text)
        && !text.is_empty()
    {
        trailers.insert("grpc-message", text);
    }
    trailers
}

fn response(
    frames: impl IntoIterator<Item = Frame<Bytes>, IntoIter: Send + Sync + 'static>,
) -> Response<Body> {
    let body = BodyExt::boxed(StreamBody::new(stream::iter(frames.into_iter().map(Ok))));
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}
