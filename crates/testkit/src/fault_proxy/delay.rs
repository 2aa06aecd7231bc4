//! A longer way between a client and the proxy: every chunk arrives a fixed time after it was sent. As on a real line,
//! many are on their way at once, so nothing but time is lost.

use std::future::pending;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A chunk is as large at most.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks on their way in one direction; more of them would have to wait, which would be a limit of the rate.
const CHUNKS_MAX: usize = 1024;

/// The end of the line where the proxy is. The future carries what is sent, and ends when all of it has arrived after one
/// of the ends was closed; dropping it breaks the line.
pub(super) fn line(client: TcpStream, delay: Duration) -> (DuplexStream, impl Future<Output = ()>) {
    let (near, far) = tokio::io::duplex(CHUNK_BYTES);
    let carrying = async move {
        let (from_client, to_client) = client.into_split();
        let (from_proxy, to_proxy) = tokio::io::split(near);
        let up = async {
            carry(from_client, to_proxy, delay).await;
            // The proxy closes its end of the line now, and what it had to say is still to arrive.
            pending::<()>().await;
        };
        tokio::select! {
            () = carry(from_proxy, to_client, delay) => {}
            () = up => {}
        }
    };
    (far, carrying)
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, delay: Duration) {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Bytes)>(CHUNKS_MAX);
    let sent = async move {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(CHUNK_BYTES);
            match from.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            if sender.send((Instant::now() + delay, buffer.split().freeze())).await.is_err() {
                break;
            }
        }
        drop(sender);
        pending::<()>().await;
    };
    let arrived = async move {
        while let Some((at, chunk)) = receiver.recv().await {
            tokio::time::sleep_until(at).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
        // A receiver that is gone needs no goodbye.
        let _ = to.shutdown().await;
    };
    tokio::select! {
        () = sent => {}
        () = arrived => {}
    }
}
