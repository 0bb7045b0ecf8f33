//! Certificates for scenarios, and a client that shows one.

use std::sync::Arc;

use anyhow::Context;
use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// The name servers have.
pub const SERVER: &str = "localhost";

/// An authority that signs certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
pub struct Signed {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl Authority {
    /// A new one.
    pub fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Of its own: who has the name of its issuer is taken for self-signed by Envoy.
        params.distinguished_name.push(DnType::CommonName, "authority");
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// Its own certificate, as PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate of a server.
    pub fn server(&self) -> anyhow::Result<Signed> {
        self.sign(CertificateParams::new(vec![SERVER.to_owned()])?)
    }

    /// A certificate of a server that others than [`Call`](crate::http_client::Call)s know by this name as well.
    pub fn server_also_called(&self, name: &str) -> anyhow::Result<Signed> {
        let mut params = CertificateParams::new(vec![SERVER.to_owned(), name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        self.sign(params)
    }

    /// A certificate of a client: its names as URIs, its names as hosts, and its common name.
    pub fn client(&self, uris: &[&str], hosts: &[&str], name: &str) -> anyhow::Result<Signed> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        for uri in uris {
            params.subject_alt_names.push(SanType::URI(Ia5String::try_from(*uri)?));
        }
        for host in hosts {
            params.subject_alt_names.push(SanType::DnsName(Ia5String::try_from(*host)?));
        }
        params.distinguished_name.push(DnType::CommonName, name);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> anyhow::Result<Signed> {
        let key = KeyPair::generate()?;
        Ok(Signed { certificate: params.signed_by(&key, &self.issuer)?.pem(), key: key.serialize_pem() })
    }

    /// A client that trusts this authority's servers and shows the certificate, if there is one.
    pub fn connector(&self, client: Option<&Signed>, http2: bool) -> anyhow::Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem().as_bytes())?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match client {
            None => builder.with_no_client_auth(),
            Some(signed) => {
                let chain = vec![CertificateDer::from_pem_slice(signed.certificate.as_bytes())?];
                let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes())?;
                builder.with_client_auth_cert(chain, key).context("a certificate and its key")?
            }
        };
        config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        Ok(Arc::new(config))
    }
}
