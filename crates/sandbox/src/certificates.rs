use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};

use crate::Error;

/// The certificate files of one server, all PEM.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authority that signed the others.
    pub ca_certificate: PathBuf,
    /// For `localhost` and `127.0.0.1`.
    pub server_certificate: PathBuf,
    /// The key of the server certificate.
    pub server_key: PathBuf,
    /// A client certificate.
    pub client_certificate: PathBuf,
    /// The key of the client certificate.
    pub client_key: PathBuf,
}

impl Certificates {
    /// Makes an authority, and a server and a client certificate signed by it.
    ///
    /// # Errors
    /// The directory or its files can't be written.
    pub fn create(directory: &Path) -> Result<Self, Error> {
        fs::create_dir_all(directory)
            .map_err(|cause| Error::io(format!("create the directory {}", directory.display()), cause))?;
        let certificates = Self {
            ca_certificate: directory.join("ca.pem"),
            server_certificate: directory.join("server.pem"),
            server_key: directory.join("server.key"),
            client_certificate: directory.join("client.pem"),
            client_key: directory.join("client.key"),
        };
        let pem = Pem::generate().map_err(|cause| Error::Certificates { reason: cause.to_string() })?;
        for (path, text) in [
            (&certificates.ca_certificate, pem.ca_certificate),
            (&certificates.server_certificate, pem.server_certificate),
            (&certificates.server_key, pem.server_key),
            (&certificates.client_certificate, pem.client_certificate),
            (&certificates.client_key, pem.client_key),
        ] {
            fs::write(path, text).map_err(|cause| Error::io(format!("write {}", path.display()), cause))?;
        }
        Ok(certificates)
    }
}

struct Pem {
    ca_certificate: String,
    server_certificate: String,
    server_key: String,
    client_certificate: String,
    client_key: String,
}

impl Pem {
    fn generate() -> Result<Self, rcgen::Error> {
        let mut authority = CertificateParams::default();
        authority.distinguished_name = common_name("Vecferry sandbox authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_key = KeyPair::generate()?;
        let authority_certificate = authority.self_signed(&authority_key)?;
        let issuer = Issuer::new(authority, authority_key);

        let mut server = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        server.distinguished_name = common_name("localhost");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server_key = KeyPair::generate()?;

        let mut client = CertificateParams::default();
        client.distinguished_name = common_name("vecferry");
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let client_key = KeyPair::generate()?;

        Ok(Self {
            ca_certificate: authority_certificate.pem(),
            server_certificate: server.signed_by(&server_key, &issuer)?.pem(),
            server_key: server_key.serialize_pem(),
            client_certificate: client.signed_by(&client_key, &issuer)?.pem(),
            client_key: client_key.serialize_pem(),
        })
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::CommonName, name);
    distinguished_name
}
