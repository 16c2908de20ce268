//! TLS for listeners: a rustls configuration from PEM, and a stream that may become encrypted.
//!
//! rustls with ring; TLS 1.2 and 1.3 (RFC 8996). Certificates are swapped whole on reload.

use super::certificates::Certificates;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Why certificate and key are no use.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The text holds no certificate, or a broken one.
    #[error("no certificate can be read: {0}")]
    Certificate(String),
    /// The text holds no key, or a broken one.
    #[error("no private key can be read: {0}")]
    Key(String),
    /// They do not fit each other, or the key is of a kind that is not known.
    #[error("{0}")]
    Fit(#[from] rustls::Error),
}

/// The oldest version spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MinimumTls {
    /// TLS 1.2, RFC 5246.
    #[default]
    V12,
    /// TLS 1.3, RFC 8446.
    V13,
}

/// A server's configuration from one pair.
///
/// # Errors
/// Says which of the two cannot be read, or why they do not fit.
pub fn server_config(
    certificates: &[u8],
    key: &[u8],
    minimum: MinimumTls,
) -> Result<Arc<ServerConfig>, TlsError> {
    server_config_of(vec![certified(certificates, key)?], minimum)
}

/// A certificate with its key, from PEM: a chain of certificates, its own first, and a key.
///
/// # Errors
/// Says which of the two cannot be read, or why they do not fit.
pub fn certified(certificates: &[u8], key: &[u8]) -> Result<CertifiedKey, TlsError> {
    let chain = CertificateDer::pem_slice_iter(certificates)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| TlsError::Certificate(e.to_string()))?;
    if chain.is_empty() {
        return Err(TlsError::Certificate("there is none".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| TlsError::Key(e.to_string()))?;
    Ok(CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())?)
}

/// A server's configuration from several pairs: SNI chooses, and the first is for everybody else.
///
/// # Errors
/// A certificate whose names cannot be read.
pub fn server_config_of(
    pairs: Vec<CertifiedKey>,
    minimum: MinimumTls,
) -> Result<Arc<ServerConfig>, TlsError> {
    let versions: &[&rustls::SupportedProtocolVersion] = match minimum {
        MinimumTls::V12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        MinimumTls::V13 => &[&rustls::version::TLS13],
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Certificates::new(pairs)?));
    Ok(Arc::new(config))
}

/// A connection, encrypted or not.
#[derive(Debug)]
pub(super) enum Stream {
    /// In the clear.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
    /// Lost in a handshake.
    Gone,
}

impl Stream {
    /// Performs the server's side of a handshake. Afterwards the stream is encrypted, or gone: it is
    /// never used in the clear again.
    pub(super) async fn encrypt(&mut self, config: Arc<ServerConfig>) -> io::Result<()> {
        let Self::Plain(stream) = std::mem::replace(self, Self::Gone) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        *self = Self::Tls(Box::new(TlsAcceptor::from(config).accept(stream).await?));
        Ok(())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}
