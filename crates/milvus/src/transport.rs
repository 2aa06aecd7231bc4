//! Unary gRPC over tonic's channel, with messages as bytes on both sides.
//!
//! tonic's own codec copies a message twice and encodes it into one growing buffer. A page is megabytes and goes out
//! as the slices it came in as, so the five bytes of gRPC framing are written here; connections, TLS, HTTP/2 and flow
//! control stay tonic's.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderValue;
use http_body::Frame;
use http_body_util::BodyExt;
use prost::Message;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tower_service::Service;
use tracing::Instrument;

use crate::buffer::BufferPool;
use crate::diagnose;
use crate::endpoint::{Endpoint, Scheme};
use crate::error::{Error, ErrorKind};
use crate::finding::Finding;
use crate::pinned::Pinned;

/// Largest answer that is taken in. Servers answer at most 64 MiB a shard; more is a broken or hostile peer.
const ANSWER_BYTES_MAX: usize = 512 << 20;
/// Free receive buffers kept; about what is in flight at once.
const POOL_FREE_BYTES_MAX: usize = 48 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// As the vendor's own clients; servers cut clients that ping more often than every 5 s.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Long, because a server that builds indexes on all its cores answers pings late.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(40);
/// HTTP/2 starts with 64 KiB of window, which a page fills 100 times over.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// gRPC framing: one byte of flags, four of length.
const FRAME_HEADER_BYTES: usize = 5;
const PATH_PREFIX: &str = "/milvus.proto.milvus.MilvusService/";

/// Several connections to one server, used in turn: one HTTP/2 connection is one TCP stream and one task.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    channels: Arc<[Channel]>,
    next: Arc<AtomicUsize>,
    endpoint: Arc<Endpoint>,
    authorization: Option<HeaderValue>,
    pool: Arc<BufferPool>,
}

impl Transport {
    /// Prepares `connections` connections; they are opened with the first call.
    pub(crate) fn new(endpoint: Endpoint, connections: usize) -> Result<Self, Error> {
        let channels = (0..connections.max(1)).map(|_| channel(&endpoint)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            channels: channels.into(),
            next: Arc::new(AtomicUsize::new(0)),
            authorization: endpoint.authorization()?,
            endpoint: Arc::new(endpoint),
            pool: BufferPool::new(POOL_FREE_BYTES_MAX),
        })
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// One call with typed messages; the status inside the answer is the caller's to check.
    pub(crate) async fn call<Answer: Message + Default>(
        &self,
        call: &'static str,
        db: &str,
        request: &impl Message,
        timeout: Duration,
    ) -> Result<Answer, Error> {
        let answer =
            self.call_bytes(call, db, Slices::from(Bytes::from(request.encode_to_vec())), timeout).await?;
        Answer::decode(answer).map_err(|error| Error::malformed(call, Finding::NotDecoded).with_source(error))
    }

    /// One call with messages as bytes. The answer's bytes are one piece, in a buffer that is used again.
    pub(crate) async fn call_bytes(
        &self,
        call: &'static str,
        db: &str,
        message: Slices,
        timeout: Duration,
    ) -> Result<Bytes, Error> {
        let span = tracing::debug_span!("call", method = call, server = %self.endpoint, db);
        async {
            let begin = Instant::now();
            let answer = match tokio::time::timeout(timeout, self.exchange(call, db, message)).await {
                Ok(answer) => answer,
                Err(_) => {
                    let seconds = timeout.as_secs();
                    Err(Error::own(ErrorKind::Timeout, call, Finding::NoResponse { seconds }))
                }
            };
            let milliseconds = begin.elapsed().as_secs_f64() * 1e3;
            match &answer {
                Ok(answer) => tracing::trace!(bytes = answer.len(), milliseconds, "answered"),
                Err(error) => tracing::debug!(%error, milliseconds, "failed"),
            }
            answer
        }
        .instrument(span)
        .await
    }

    async fn exchange(&self, call: &'static str, db: &str, message: Slices) -> Result<Bytes, Error> {
        let request = self.request(call, db, message)?;
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.channels.len();
        let mut channel = self.channels[turn].clone();
        let ready = std::future::poll_fn(|cx| channel.poll_ready(cx)).await;
        if let Err(error) = ready {
            return Err(diagnose::connect_error(call, &self.endpoint, error).await.before_execution());
        }
        let response = match channel.call(request).await {
            Ok(response) => response,
            Err(error) => return Err(diagnose::call_error(call, &self.endpoint, error).await),
        };
        let (head, mut body) = response.into_parts();
        if head.status != http::StatusCode::OK && tonic::Status::from_header_map(&head.headers).is_none() {
            let status = head.status.to_string();
            return Err(Error::own(ErrorKind::NotGrpc, call, Finding::HttpStatus { status }));
        }
        if let Some(status) = tonic::Status::from_header_map(&head.headers) {
            return Err(status_error(call, &status));
        }
        let mut receiver = Receiver::new(call, Arc::clone(&self.pool));
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|status| status_error(call, &status))?;
            match frame.into_data() {
                Ok(data) => receiver.push(data)?,
                Err(frame) => {
                    if let Some(status) = frame.trailers_ref().and_then(tonic::Status::from_header_map)
                        && status.code() != tonic::Code::Ok
                    {
                        return Err(status_error(call, &status));
                    }
                }
            }
        }
        receiver.finish()
    }

    fn request(
        &self,
        call: &'static str,
        db: &str,
        message: Slices,
    ) -> Result<http::Request<tonic::body::Body>, Error> {
        let mut builder = http::Request::post(format!("{PATH_PREFIX}{call}"))
            .version(http::Version::HTTP_2)
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some(authorization) = &self.authorization {
            builder = builder.header("authorization", authorization);
        }
        if !db.is_empty() {
            // ListAliases of 2.3.5 and all of lite look here and not into the message.
            builder = builder.header("dbname", db);
        }
        builder.body(tonic::body::Body::new(message.framed())).map_err(|error| {
            Error::own(ErrorKind::Rejected, call, Finding::DatabaseName { db: db.to_owned() })
                .with_source(error)
        })
    }
}

fn channel(endpoint: &Endpoint) -> Result<Channel, Error> {
    let unusable = |what: Finding| Error::own(ErrorKind::InvalidEndpoint, "connect", what);
    let mut builder = Channel::from_shared(endpoint.to_string())
        .map_err(|error| {
            unusable(Finding::NotAnAddress { address: endpoint.to_string() }).with_source(error)
        })?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .user_agent(concat!("vecferry/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| unusable(Finding::ClientName).with_source(error))?;
    if endpoint.scheme() == Scheme::Https {
        let given = endpoint.tls();
        let mut tls = ClientTlsConfig::new().with_enabled_roots();
        if let Some(ca) = &given.ca_pem {
            tls = tls.ca_certificate(Certificate::from_pem(ca));
        }
        if let (Some(certificate), Some(key)) = (&given.certificate_pem, &given.key_pem) {
            tls = tls.identity(Identity::from_pem(certificate, key.reveal()));
        }
        builder = builder.tls_config(tls).map_err(|error| unusable(Finding::NotPem).with_source(error))?;
    }
    Ok(match endpoint.pinned() {
        Some(addresses) => {
            builder.connect_with_connector_lazy(Pinned::new(Arc::clone(addresses), CONNECT_TIMEOUT))
        }
        None => builder.connect_lazy(),
    })
}

/// The error of a gRPC status that arrived instead of, or after, an answer.
fn status_error(call: &'static str, status: &tonic::Status) -> Error {
    use tonic::Code;
    let text = status.message();
    let kind = match status.code() {
        Code::Unauthenticated => ErrorKind::Unauthenticated,
        // 2.3.5 answers a wrong password with this code too; the text tells.
        Code::PermissionDenied => ErrorKind::PermissionDenied,
        Code::Unimplemented if text.contains("unknown service") => ErrorKind::NotMilvus,
        Code::Unimplemented => ErrorKind::Unsupported,
        Code::ResourceExhausted | Code::OutOfRange if text.contains("larger than max") => ErrorKind::TooLarge,
        Code::ResourceExhausted => ErrorKind::RateLimited,
        Code::DeadlineExceeded => ErrorKind::Timeout,
        Code::NotFound => ErrorKind::CollectionNotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => ErrorKind::Rejected,
        // What is left breaks the call on its way; whether the server carried it out is unknown.
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => match text {
            text if text.contains("larger than max") => ErrorKind::TooLarge,
            text if text.contains("rate limit") => ErrorKind::RateLimited,
            _ => ErrorKind::ConnectionLost,
        },
    };
    let mut message = text.to_owned();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(status);
    while let Some(error) = cause {
        let colon = if message.is_empty() { "" } else { ": " };
        message = format!("{message}{colon}{error}");
        cause = error.source();
    }
    let error = if message.is_empty() {
        Error::own(kind, call, Finding::Status { status: format!("{:?}", status.code()) })
    } else {
        Error::new(kind, call, message)
    };
    // The receiving side turns such a request away unread. That the answer is too large is another text.
    let is_turned_away =
        status.code() == Code::ResourceExhausted && text.contains("received message larger than max");
    if is_turned_away { error.before_execution() } else { error }
}

/// A message as the slices it is made of, in order.
#[derive(Debug, Default)]
pub(crate) struct Slices {
    slices: VecDeque<Bytes>,
    len: usize,
}

impl Slices {
    pub(crate) fn push(&mut self, slice: Bytes) {
        if !slice.is_empty() {
            self.len += slice.len();
            self.slices.push_back(slice);
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[cfg(test)]
    pub(crate) fn concat(&self) -> Bytes {
        let mut all = BytesMut::with_capacity(self.len);
        self.slices.iter().for_each(|slice| all.put_slice(slice));
        all.freeze()
    }

    fn framed(mut self) -> FramedBody {
        let mut header = BytesMut::with_capacity(FRAME_HEADER_BYTES);
        header.put_u8(0);
        // gRPC's length is 32 bits; pages are bounded far below (`ANSWER_BYTES_MAX`).
        header.put_u32(u32::try_from(self.len).unwrap_or(u32::MAX));
        // A small first slice (the request's own fields) shares the header's frame.
        if self.slices.front().is_some_and(|first| first.len() <= 4096)
            && let Some(first) = self.slices.pop_front()
        {
            header.put_slice(&first);
        }
        self.slices.push_front(header.freeze());
        FramedBody { left: self.len + FRAME_HEADER_BYTES, slices: self.slices }
    }
}

impl From<Bytes> for Slices {
    fn from(bytes: Bytes) -> Self {
        let mut slices = Self::default();
        slices.push(bytes);
        slices
    }
}

/// The request body: a gRPC frame whose payload is handed to HTTP/2 slice by slice, without being copied together.
struct FramedBody {
    slices: VecDeque<Bytes>,
    left: usize,
}

impl http_body::Body for FramedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let slice = self.slices.pop_front();
        if let Some(slice) = &slice {
            self.left -= slice.len();
        }
        Poll::Ready(slice.map(|slice| Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.slices.is_empty()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.left as u64)
    }
}

/// Puts the data frames of an answer together: one copy, into a buffer of the size that the gRPC frame announces.
struct Receiver {
    call: &'static str,
    pool: Arc<BufferPool>,
    header: BytesMut,
    message: Option<(crate::buffer::PooledBuffer, usize)>,
}

impl Receiver {
    fn new(call: &'static str, pool: Arc<BufferPool>) -> Self {
        Self { call, pool, header: BytesMut::with_capacity(FRAME_HEADER_BYTES), message: None }
    }

    fn push(&mut self, mut data: Bytes) -> Result<(), Error> {
        if self.message.is_none() {
            let missing = FRAME_HEADER_BYTES - self.header.len();
            self.header.put_slice(&data.split_to(missing.min(data.len())));
            if self.header.len() < FRAME_HEADER_BYTES {
                return Ok(());
            }
            let [flags, a, b, c, d] =
                [self.header[0], self.header[1], self.header[2], self.header[3], self.header[4]];
            if flags != 0 {
                return Err(Error::malformed(self.call, Finding::Compressed));
            }
            let len = u32::from_be_bytes([a, b, c, d]) as usize;
            if len > ANSWER_BYTES_MAX {
                let finding = Finding::TooLong { bytes: len, max: ANSWER_BYTES_MAX };
                return Err(Error::own(ErrorKind::TooLarge, self.call, finding));
            }
            self.message = Some((self.pool.take(len), len));
        }
        if let Some((buffer, len)) = &mut self.message {
            if buffer.bytes.len() + data.len() > *len {
                return Err(Error::malformed(self.call, Finding::LongerThanAnnounced));
            }
            buffer.bytes.extend_from_slice(&data);
        }
        Ok(())
    }

    fn finish(self) -> Result<Bytes, Error> {
        match self.message {
            Some((buffer, len)) if buffer.bytes.len() == len => Ok(buffer.freeze()),
            Some((buffer, len)) => {
                let finding = Finding::CutOff { received: buffer.bytes.len(), announced: len };
                Err(Error::own(ErrorKind::ConnectionLost, self.call, finding))
            }
            None => Err(Error::own(ErrorKind::ConnectionLost, self.call, Finding::EndedBefore)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_put_together_from_any_pieces() {
        let message: Vec<u8> = (0..10_000u32).map(|i| i as u8).collect();
        let mut framed = vec![0];
        framed.extend((message.len() as u32).to_be_bytes());
        framed.extend(&message);
        for piece in [1, 3, 7, 4096, 20_000] {
            let mut receiver = Receiver::new("Query", BufferPool::new(1 << 20));
            for part in framed.chunks(piece) {
                receiver.push(Bytes::copy_from_slice(part)).unwrap();
            }
            assert_eq!(receiver.finish().unwrap(), message);
        }
    }

    #[test]
    fn a_cut_long_or_compressed_answer_is_an_error() {
        let push = |frames: &[&[u8]]| {
            let mut receiver = Receiver::new("Query", BufferPool::new(1 << 20));
            for frame in frames {
                receiver.push(Bytes::copy_from_slice(frame))?;
            }
            receiver.finish()
        };
        assert_eq!(push(&[&[0, 0, 0, 0, 4, 1, 2]]).unwrap_err().kind(), ErrorKind::ConnectionLost);
        assert_eq!(push(&[&[0, 0]]).unwrap_err().kind(), ErrorKind::ConnectionLost);
        assert_eq!(push(&[&[0, 0, 0, 0, 1, 1, 2]]).unwrap_err().kind(), ErrorKind::Malformed);
        assert_eq!(push(&[&[1, 0, 0, 0, 1, 1]]).unwrap_err().kind(), ErrorKind::Malformed);
        assert_eq!(push(&[&[0, 255, 255, 255, 255]]).unwrap_err().kind(), ErrorKind::TooLarge);
        assert_eq!(push(&[&[0, 0, 0, 0, 0]]).unwrap(), Bytes::new());
    }

    #[test]
    fn a_request_that_is_too_large_was_not_carried_out_and_an_answer_says_nothing() {
        for (code, text, certain) in [
            (8, "grpc: received message larger than max (75497509 vs. 67108864)", true),
            (8, "grpc: trying to send message larger than max (75497509 vs. 67108864)", false),
            (8, "too many requests", false),
            (11, "Error, decoded message length too large: found 5 larger than max", false),
            (14, "rate limit", false),
        ] {
            let error = status_error("Insert", &tonic::Status::new(tonic::Code::from_i32(code), text));
            assert_eq!(error.precedes_execution(), certain, "{code} {text}");
        }
    }

    /// A server that takes one request and is gone, connection and port, before it answers.
    async fn dies_with_the_request(listener: tokio::net::TcpListener) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.unwrap();
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        stream.write_all(&settings).await.unwrap();
        let mut received = Vec::new();
        while !received.windows(REQUEST.len()).any(|bytes| bytes == REQUEST) {
            assert_ne!(stream.read_buf(&mut received).await.unwrap(), 0);
        }
        drop(listener);
    }

    const REQUEST: &[u8] = b"rows on their way";

    #[tokio::test]
    async fn a_call_that_a_dying_server_took_may_have_been_carried_out() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let server = tokio::spawn(dies_with_the_request(listener));
        let transport = Transport::new(endpoint, 1).unwrap();
        let insert =
            || transport.call_bytes("Insert", "", Slices::from(Bytes::from_static(REQUEST)), CONNECT_TIMEOUT);
        let error = insert().await.unwrap_err();
        server.await.unwrap();
        // Nobody listens any more by the time the failure is looked into; that must not make it "never sent".
        assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
        assert!(error.kind().is_ambiguous() && !error.precedes_execution());
        let error = insert().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
        assert!(!error.kind().is_ambiguous() && error.precedes_execution());
    }
}
