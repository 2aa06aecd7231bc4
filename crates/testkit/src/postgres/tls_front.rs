//! TLS in front of a PostgreSQL that has none: answers a client's request for encryption, and passes on what is inside.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use vecferry_sandbox::Certificates;

/// The two requests that a client may make before it says who it is.
const ENCRYPT_WITH_TLS: u32 = 80_877_103;
const ENCRYPT_WITH_GSSAPI: u32 = 80_877_104;
/// What a server answers whose `pg_hba.conf` has `hostssl` lines only.
const REFUSAL: [&str; 4] = ["SFATAL", "VFATAL", "C28000", "Mno pg_hba.conf entry, no encryption"];

/// A port that demands TLS. It ends, and breaks every connection, when this is dropped.
pub(super) struct TlsFront {
    port: u16,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TlsFront {
    pub(super) fn start(server: u16, certificates: &Certificates) -> Self {
        let acceptor = acceptor(certificates);
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a port to be awaited");
        let port = listener.local_addr().expect("its number").port();
        let (stop, stopped) = oneshot::channel();
        // A thread and a runtime of its own: whoever drops this may be within another runtime.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                tokio::select! {
                    () = accept(listener, acceptor, server) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { port, stop: Some(stop), thread: Some(thread) }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has failed the tests of its clients already.
            let _ = thread.join();
        }
    }
}

fn acceptor(certificates: &Certificates) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(&certificates.server_certificate).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(&certificates.server_key).expect("its key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a usable certificate");
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(listener: std::net::TcpListener, acceptor: TlsAcceptor, server: u16) {
    let listener = TcpListener::from_std(listener).expect("a port to be awaited");
    loop {
        let (client, _) = listener.accept().await.expect("a connection");
        let acceptor = acceptor.clone();
        // A client that is cut off, or that trusts another authority, ends its own connection only.
        tokio::spawn(async move { serve(client, acceptor, server).await });
    }
}

async fn serve(mut client: TcpStream, acceptor: TlsAcceptor, server: u16) -> io::Result<()> {
    client.set_nodelay(true)?;
    loop {
        let _length = client.read_u32().await?;
        match client.read_u32().await? {
            ENCRYPT_WITH_TLS => break,
            ENCRYPT_WITH_GSSAPI => client.write_all(b"N").await?,
            _ => return refuse(client).await,
        }
    }
    client.write_all(b"S").await?;
    let mut client = acceptor.accept(client).await?;
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await?;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

async fn refuse(mut client: TcpStream) -> io::Result<()> {
    let fields: Vec<u8> = REFUSAL.iter().flat_map(|field| field.bytes().chain([0])).chain([0]).collect();
    client.write_u8(b'E').await?;
    // The length counts itself.
    client.write_u32(u32::try_from(fields.len() + 4).unwrap_or(u32::MAX)).await?;
    client.write_all(&fields).await?;
    client.shutdown().await?;
    // Closed with something unread, the connection would be reset, and the answer lost.
    tokio::io::copy(&mut client, &mut tokio::io::sink()).await?;
    Ok(())
}
