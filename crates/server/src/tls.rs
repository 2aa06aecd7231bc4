//! The certificate of the service's own listener. It is read again while the service runs, so that renewing it needs no
//! restart; a new one that can't be used leaves the old one in place.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};

use crate::secret::file;

/// Long chains take some 10 KiB.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why a certificate is not used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One of the files is not used.
    #[error(transparent)]
    File(#[from] file::Error),
    /// The certificate's file holds no certificate that can be read.
    #[error("the file `{}` holds no usable certificate: {reason}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The key's file holds no key that can be read. Nothing of it is told.
    #[error("the file `{}` holds no usable private key (PEM, not encrypted)", path.display())]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// The key belongs to another certificate.
    #[error("the private key in `{}` does not belong to the certificate in `{}`", key.display(), certificate.display())]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// The protocol can't be set up.
    #[error("TLS cannot be set up: {reason}")]
    Unusable {
        /// What is missing.
        reason: String,
    },
}

/// A certificate chain with its key, and the files they come from.
pub struct Certificates {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: RwLock<Current>,
}

struct Current {
    digest: [u8; 32],
    certified: Arc<CertifiedKey>,
}

struct Pem {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Pem {
    fn read(certificate: &Path, key: &Path) -> Result<Self, Error> {
        let certificate = file::read_public(certificate, FILE_BYTES_MAX)?;
        Ok(Self { certificate, key: file::read_private(key, FILE_BYTES_MAX)? })
    }

    fn digest(&self) -> [u8; 32] {
        // The length keeps the two apart.
        let length = self.certificate.len().to_be_bytes();
        Sha256::new()
            .chain_update(length)
            .chain_update(&self.certificate)
            .chain_update(&self.key)
            .finalize()
            .into()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { certificate, key, provider: _, current: _ } = self;
        f.debug_struct("Certificates")
            .field("certificate", certificate)
            .field("key", key)
            .finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads the certificate chain and its key from PEM files.
    pub fn load(certificate: &Path, key: &Path) -> Result<Arc<Self>, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let pem = Pem::read(certificate, key)?;
        let certified = certified(&pem, certificate, key, &provider)?;
        let current = RwLock::new(Current { digest: pem.digest(), certified });
        Ok(Arc::new(Self {
            certificate: certificate.to_path_buf(),
            key: key.to_path_buf(),
            provider,
            current,
        }))
    }

    /// Reads the files again. Gives whether they have changed; on an error the certificate before stays in use.
    pub fn reload(&self) -> Result<bool, Error> {
        let pem = Pem::read(&self.certificate, &self.key)?;
        let digest = pem.digest();
        if self.current.read().unwrap_or_else(PoisonError::into_inner).digest == digest {
            return Ok(false);
        }
        let certified = certified(&pem, &self.certificate, &self.key, &self.provider)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Current { digest, certified };
        Ok(true)
    }

    /// The configuration of a listener: HTTP/2 and HTTP/1.1 over TLS 1.3 and 1.2, always with the current certificate.
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Unusable { reason: error.to_string() })?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Arc::new(config))
    }

    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).certified)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

fn certified(
    pem: &Pem,
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, Error> {
    let bad_certificate = |reason: String| Error::Certificate { path: certificate.to_path_buf(), reason };
    let bad_key = || Error::Key { path: key.to_path_buf() };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.certificate).collect();
    let chain = chain.map_err(|error| bad_certificate(error.to_string()))?;
    if chain.is_empty() {
        return Err(bad_certificate("no certificate in PEM form".to_owned()));
    }
    let private = PrivateKeyDer::from_pem_slice(&pem.key).map_err(|_| bad_key())?;
    let private = provider.key_provider.load_private_key(private).map_err(|_| bad_key())?;
    let certified = CertifiedKey::new(chain, private);
    match certified.keys_match() {
        Ok(()) => Ok(Arc::new(certified)),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(Error::Mismatch { certificate: certificate.to_path_buf(), key: key.to_path_buf() })
        }
        Err(error) => Err(bad_certificate(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore};
    use tempfile::TempDir;
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    struct Files {
        directory: TempDir,
    }

    impl Files {
        fn new(issued: &Issued) -> Self {
            let files = Self { directory: tempfile::tempdir().unwrap() };
            files.write("cert.pem", &issued.certificate);
            files.write("key.pem", &issued.key);
            files
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.path(name), text).unwrap();
            fs::set_permissions(self.path(name), Permissions::from_mode(0o600)).unwrap();
        }

        fn load(&self) -> Result<Arc<Certificates>, Error> {
            Certificates::load(&self.path("cert.pem"), &self.path("key.pem"))
        }
    }

    struct Issued {
        certificate: String,
        key: String,
        der: CertificateDer<'static>,
    }

    fn issue() -> Issued {
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Issued {
            certificate: issued.cert.pem(),
            key: issued.signing_key.serialize_pem(),
            der: issued.cert.der().clone(),
        }
    }

    /// The certificate and the protocol that a client gets which trusts only `trusted`.
    async fn handshake(
        config: &Arc<ServerConfig>,
        trusted: &Issued,
        protocols: &[&[u8]],
    ) -> (CertificateDer<'static>, Vec<u8>) {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let (near, far) = tokio::io::duplex(64 * 1024);
        let name = ServerName::try_from("localhost").unwrap();
        let (client, server) = tokio::join!(
            TlsConnector::from(Arc::new(client)).connect(name, near),
            TlsAcceptor::from(Arc::clone(config)).accept(far)
        );
        let (client, _server) = (client.unwrap(), server.unwrap());
        let session = client.get_ref().1;
        (session.peer_certificates().unwrap()[0].clone(), session.alpn_protocol().unwrap().to_vec())
    }

    #[tokio::test]
    async fn clients_get_the_certificate_and_both_protocols() {
        let issued = issue();
        let config = Files::new(&issued).load().unwrap().server_config().unwrap();
        for protocols in [&[&b"h2"[..], b"http/1.1"][..], &[b"http/1.1"]] {
            let (certificate, protocol) = handshake(&config, &issued, protocols).await;
            assert_eq!(certificate, issued.der);
            assert_eq!(protocol, protocols[0]);
        }
    }

    #[tokio::test]
    async fn a_renewed_certificate_is_used_without_a_new_configuration() {
        let (old, new) = (issue(), issue());
        let files = Files::new(&old);
        let certificates = files.load().unwrap();
        let config = certificates.server_config().unwrap();
        assert!(!certificates.reload().unwrap(), "nothing has changed");
        files.write("cert.pem", &new.certificate);
        files.write("key.pem", &new.key);
        assert!(certificates.reload().unwrap());
        assert_eq!(handshake(&config, &new, &[b"h2"]).await.0, new.der);
        assert!(!certificates.reload().unwrap());
    }

    #[tokio::test]
    async fn files_that_do_not_fit_leave_the_old_certificate() {
        let (old, new) = (issue(), issue());
        let files = Files::new(&old);
        let certificates = files.load().unwrap();
        let config = certificates.server_config().unwrap();
        // Half of a renewal.
        files.write("cert.pem", &new.certificate);
        let error = certificates.reload().unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }), "{error:?}");
        assert_eq!(handshake(&config, &old, &[b"h2"]).await.0, old.der);
        files.write("cert.pem", "");
        assert!(matches!(certificates.reload(), Err(Error::Certificate { .. })));
        fs::remove_file(files.path("cert.pem")).unwrap();
        assert!(matches!(certificates.reload(), Err(Error::File(file::Error::Unusable { .. }))));
        assert_eq!(handshake(&config, &old, &[b"h2"]).await.0, old.der);
        // The other half.
        files.write("cert.pem", &new.certificate);
        files.write("key.pem", &new.key);
        assert!(certificates.reload().unwrap());
        assert_eq!(handshake(&config, &new, &[b"h2"]).await.0, new.der);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let files = Files::new(&Issued { key: issue().key, ..issue() });
        let error = files.load().unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }), "{error:?}");
        assert!(error.to_string().contains("does not belong to the certificate"), "{error}");
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let files = Files::new(&issue());
        fs::set_permissions(files.path("cert.pem"), Permissions::from_mode(0o644)).unwrap();
        let certificates = files.load().unwrap();
        fs::set_permissions(files.path("key.pem"), Permissions::from_mode(0o644)).unwrap();
        for error in [files.load().unwrap_err(), certificates.reload().unwrap_err()] {
            assert!(matches!(error, Error::File(file::Error::Exposed { mode: 0o644, .. })), "{error:?}");
        }
    }

    #[test]
    fn what_is_neither_certificate_nor_key_is_told_by_its_file() {
        let issued = issue();
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for certificate in ["", "hello", broken, issued.key.as_str()] {
            let files = Files::new(&issued);
            files.write("cert.pem", certificate);
            let error = files.load().unwrap_err();
            assert!(
                matches!(&error, Error::Certificate { path, .. } if path.ends_with("cert.pem")),
                "{error:?}"
            );
        }
        for key in
            ["", "hello", issued.certificate.as_str(), &issued.key.replace("PRIVATE", "ENCRYPTED PRIVATE")]
        {
            let files = Files::new(&issued);
            files.write("key.pem", key);
            let error = files.load().unwrap_err();
            assert!(matches!(&error, Error::Key { path } if path.ends_with("key.pem")), "{error:?}");
            assert!(
                error.to_string().ends_with("holds no usable private key (PEM, not encrypted)"),
                "{error}"
            );
        }
    }
}
