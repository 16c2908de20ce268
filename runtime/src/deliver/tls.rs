//! TLS towards next hops: verified where a rule wants it, else against eavesdroppers only.
//!
//! TLS 1.2 and 1.3, by rustls with ring. Roots are the system's, read once at the first use.

use super::client::{Io, Trouble};
use std::io;
use std::sync::{Arc, OnceLock};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// How a connection is protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Secrecy {
    /// Whoever is on the way can read along.
    #[default]
    None,
    /// Against those, whoever the server is (RFC 7435).
    Encrypted,
    /// The certificate is good for the server's name, too.
    Verified,
}

impl std::fmt::Display for Secrecy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Encrypted => "encrypted",
            Self::Verified => "verified",
        })
    }
}

/// The settings of TLS, made when they are first needed.
#[derive(Debug, Default)]
pub struct Tls {
    /// Roots to trust in place of the system's.
    roots: Option<RootCertStore>,
    verified: OnceLock<Arc<ClientConfig>>,
    unverified: OnceLock<Arc<ClientConfig>>,
}

impl Tls {
    /// Trusts these roots and no others.
    #[must_use]
    pub fn with_roots(roots: RootCertStore) -> Self {
        Self { roots: Some(roots), ..Self::default() }
    }

    /// Starts TLS on a connection; `verify`: the certificate must be good for `name`.
    ///
    /// # Errors
    /// [`Trouble::Tls`].
    pub async fn start(&self, stream: Box<dyn Io>, name: &str, verify: bool) -> Result<Box<dyn Io>, Trouble> {
        let failed = |e: String| Trouble::Tls(format!("{name}: {e}"));
        let config = if verify { self.verified() } else { self.unverified() };
        let config = config.map_err(|e| failed(e.to_string()))?;
        let server = ServerName::try_from(name.to_owned()).map_err(|e| failed(e.to_string()))?;
        let stream = TlsConnector::from(config).connect(server, stream).await;
        Ok(Box::new(stream.map_err(|e| failed(e.to_string()))?))
    }

    fn verified(&self) -> io::Result<Arc<ClientConfig>> {
        if let Some(config) = self.verified.get() {
            return Ok(Arc::clone(config));
        }
        let roots = match &self.roots {
            Some(roots) => roots.clone(),
            None => system_roots()?,
        };
        let config = builder()?.with_root_certificates(roots).with_no_client_auth();
        Ok(Arc::clone(self.verified.get_or_init(|| Arc::new(config))))
    }

    fn unverified(&self) -> io::Result<Arc<ClientConfig>> {
        if let Some(config) = self.unverified.get() {
            return Ok(Arc::clone(config));
        }
        let verifier = Arc::new(AnyCertificate(Arc::new(ring::default_provider())));
        let config = builder()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        Ok(Arc::clone(self.unverified.get_or_init(|| Arc::new(config))))
    }
}

type Builder = tokio_rustls::rustls::ConfigBuilder<ClientConfig, tokio_rustls::rustls::WantsVerifier>;

fn builder() -> io::Result<Builder> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)
}

fn system_roots() -> io::Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some systems carry certificates that nobody can read; the rest counts.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        Err(io::Error::other("the system has no certificates to verify with"))
    } else {
        Ok(roots)
    }
}

/// Takes any certificate whose owner signs the handshake: opportunistic TLS (RFC 7435).
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
