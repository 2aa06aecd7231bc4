//! Whole answers: upstream's, kept to be handed out later, and those made up here.

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version, response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use prost::Message;
use vecferry_milvus::proto::common;

use super::fault::{Answer, status_in};
use super::upstream::Body;

/// gRPC framing: one byte of flags, four of length.
const FRAME_HEADER_BYTES: usize = 5;
/// Pieces in which an oversize answer is produced, so that it takes no memory.
const PADDING_PIECE_BYTES: usize = 1 << 20;
/// A length-delimited field that no Milvus message has.
const PADDING_FIELD_TAG: u32 = 20_000 << 3 | 2;

/// An answer of upstream.
#[derive(Clone, Debug)]
pub struct Reply {
    method: String,
    head: response::Parts,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

/// Why a held call could not be let go, or was not answered.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// Nothing is held.
    #[error("no call is held")]
    NothingHeld,
    /// Upstream can't be reached, or broke the call.
    #[error("upstream: {0}")]
    Upstream(String),
    /// No answer in time; the request may yet be carried out.
    #[error("no answer of upstream in time")]
    Timeout,
    /// The proxy is no more.
    #[error("the proxy has ended")]
    ProxyEnded,
}

impl Reply {
    /// Takes in an answer to its end.
    pub(super) async fn collect(method: String, answer: Response<Incoming>) -> Result<Self, hyper::Error> {
        let (head, body) = answer.into_parts();
        let collected = body.collect().await?;
        let trailers = collected.trailers().cloned();
        Ok(Self { method, head, body: collected.to_bytes(), trailers })
    }

    /// The gRPC status; 0 is success of the call, though not of what it asked for (see [`Self::status`]).
    pub fn grpc_status(&self) -> Option<i32> {
        self.grpc_header("grpc-status")?.parse().ok()
    }

    /// The text of the gRPC status, percent-encoded as it is on the wire.
    pub fn grpc_message(&self) -> Option<&str> {
        self.grpc_header("grpc-message")
    }

    /// The message, without its frame; empty if there is none.
    pub fn message(&self) -> Bytes {
        self.body.slice(self.body.len().min(FRAME_HEADER_BYTES)..)
    }

    /// The Milvus status inside the message.
    pub fn status(&self) -> Option<common::Status> {
        status_in(&self.message(), &self.method)
    }

    /// The message as a type.
    pub fn decode<M: Message + Default>(&self) -> Option<M> {
        M::decode(self.message()).ok()
    }

    /// In the trailers, or, of an answer without a message, in the headers.
    fn grpc_header(&self, name: &str) -> Option<&str> {
        let trailer = self.trailers.as_ref().and_then(|trailers| trailers.get(name));
        trailer.or_else(|| self.head.headers.get(name))?.to_str().ok()
    }

    /// The answer, byte for byte.
    pub(super) fn into_response(self) -> Response<Body> {
        let data = (!self.body.is_empty()).then_some(Frame::data(self.body));
        let trailers = self.trailers.map(Frame::trailers);
        Response::from_parts(self.head, body(data.into_iter().chain(trailers)))
    }
}

/// An answer made up here.
pub(super) fn fabricated(answer: &Answer, method: &str) -> Response<Body> {
    let (code, text, message) = answer.encode(method);
    let mut status = grpc_trailers(code);
    if !text.is_empty() {
        status.insert("grpc-message", percent_encoded(&text));
    }
    match message {
        Some(message) => {
            let len = message.len();
            response(body(framed(message, len).into_iter().chain([Frame::trailers(status)])))
        }
        None => {
            let mut response = response(body([]));
            response.headers_mut().extend(status);
            response
        }
    }
}

/// A success whose frame announces `announced` bytes and holds these.
pub(super) fn success(message: Bytes, announced: usize) -> Response<Body> {
    response(body(framed(message, announced).into_iter().chain([Frame::trailers(grpc_trailers(0))])))
}

/// A success of exactly `len` bytes, all of them in a field that every decoder skips.
pub(super) fn oversize(len: u32) -> Response<Body> {
    let mut start = BytesMut::new();
    prost::encoding::encode_varint(PADDING_FIELD_TAG.into(), &mut start);
    // A longer length makes its own number longer, by a byte at most where this is off.
    let room = (len as usize).saturating_sub(start.len());
    let digits = prost::encoding::encoded_len_varint(room as u64);
    let padding = room.saturating_sub(digits);
    start.put_slice(&long_varint(padding, digits));
    let piece = Bytes::from(vec![0; PADDING_PIECE_BYTES]);
    let pieces = (0..padding)
        .step_by(PADDING_PIECE_BYTES)
        .map(move |done| Frame::data(piece.slice(..PADDING_PIECE_BYTES.min(padding - done))));
    let start = start.freeze();
    let announced = start.len() + padding;
    let end = [Frame::trailers(grpc_trailers(0))];
    response(body(framed(start, announced).into_iter().chain(pieces).chain(end)))
}

/// A varint of exactly so many bytes, which the number fits in.
fn long_varint(number: usize, bytes: usize) -> Vec<u8> {
    let group = |index: usize| (number >> (7 * index) & 0x7f) as u8;
    (0..bytes).map(|index| group(index) | if index + 1 < bytes { 0x80 } else { 0 }).collect()
}

fn framed(message: Bytes, announced: usize) -> [Frame<Bytes>; 1] {
    let mut frame = BytesMut::with_capacity(FRAME_HEADER_BYTES + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(announced).unwrap_or(u32::MAX));
    frame.put_slice(&message);
    [Frame::data(frame.freeze())]
}

fn response(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    *response.version_mut() = Version::HTTP_2;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

fn grpc_trailers(code: i32) -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from(code))])
}

/// As gRPC wants its texts: `%` and what is not printable ASCII as `%XX`.
fn percent_encoded(text: &str) -> HeaderValue {
    let byte = |byte: u8| match byte {
        b' '..=b'~' if byte != b'%' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    HeaderValue::from_str(&text.bytes().map(byte).collect::<String>()).expect("printable ASCII")
}

/// A body of these frames, whose length is not announced in a header.
pub(super) fn body(frames: impl IntoIterator<Item = Frame<Bytes>, IntoIter: Send + Sync + 'static>) -> Body {
    BodyExt::boxed(StreamBody::new(stream::iter(frames.into_iter().map(Ok))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oversize_answer_has_the_length_asked_for_and_decodes() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for len in [100, 131, 132, 133, 134, 16_390, 5 << 20] {
            let collected = runtime.block_on(oversize(len).into_body().collect()).unwrap();
            let bytes = collected.to_bytes();
            assert_eq!(bytes[1..5], len.to_be_bytes());
            let message = bytes.slice(FRAME_HEADER_BYTES..);
            assert_eq!(message.len(), len as usize);
            assert_eq!(common::Status::decode(message).unwrap(), common::Status::default());
        }
    }

    #[test]
    fn texts_are_percent_encoded() {
        assert_eq!(percent_encoded("50 % of é"), "50 %25 of %C3%A9");
    }
}
